"""Facts of models, tasks and cells as pairs of a name and a text, in the reader's language."""

from __future__ import annotations

from kemb import tasks
from kemb.boards.benchmark import spec_of
from kemb.models import catalogue
from kemb.models.facts import ModelFacts
from kemb.models.prompts import build_prompts, declares_prompts, resolve, roles
from kemb.publishing.site.costs import length_text
from kemb.publishing.site.schema import Card, ModelData, Named
from kemb.publishing.site.views import SiteView
from kemb.publishing.site.words import KINDS, LICENSES, Lang, group_title
from kemb.types import TaskType

Facts = list[tuple[str, str]]

_PROMPTED: tuple[TaskType, ...] = ("retrieval", "sts", "pair_classification", "classification", "clustering")


def _say(text: Named, lang: Lang) -> str:
    return text.ko if lang == "ko" else text.en


def model_facts(model: ModelData, facts: ModelFacts, lang: Lang) -> Facts:
    """Size, limits, licence of a model; what nobody says is left out."""
    ko = lang == "ko"
    index = (
        f"{model.dim * 4e6 / 1e9:.1f} GB (int8 {model.dim * 1e6 / 1e9:.1f}, binary {model.dim * 1e6 / 8e9:.2f})"
        if model.dim
        else ""
    )
    speed = f"{model.texts_per_second:,.0f} ({model.hardware})" if model.texts_per_second else ""
    licence = (
        f"{model.license or '?'} ({_say(LICENSES[model.license_class], lang)})"
        if model.license_class
        else model.license
    )
    pairs = [
        ("종류" if ko else "Kind", _say(KINDS[model.kind], lang) if model.kind else ""),
        ("파라미터" if ko else "Parameters", f"{model.n_parameters:,}" if model.n_parameters else ""),
        ("차원" if ko else "Dimension", f"{model.dim:,}" if model.dim else ""),
        ("줄인 차원" if ko else "Truncated dimensions", ", ".join(map(str, model.truncate_dims))),
        ("최대 토큰" if ko else "Max tokens", f"{model.max_tokens:,}" if model.max_tokens else ""),
        ("라이선스" if ko else "Licence", licence),
        ("바탕 모델" if ko else "Base model", facts.base_model),
        ("공개일" if ko else "Released", model.released),
        ("벡터 100만 개" if ko else "Million vectors", index),
        ("초당 문장" if ko else "Texts per second", speed),
    ]
    return [(name, value) for name, value in pairs if value]


def model_prompts(name: str, site: SiteView, lang: Lang) -> list[tuple[str, str, str]]:
    """What goes before the texts of each type of task: (type, role, prompt); empty where nobody says.

    The declared prompts of a known model, else those recorded with its measured results.
    """
    spec = catalogue.load_spec(name)
    if spec is not None and declares_prompts(spec):
        table = build_prompts(spec, None, None, tasks.names())
        return [
            (_say(group_title(kind), lang), role, resolve(table, "", kind, "", role).prompt)
            for kind in _PROMPTED
            for role in roles(kind)
        ]
    found: dict[tuple[str, str, str], None] = {}
    for view in site.boards:
        for row in view.board.rows:
            for task, result in row.results.items() if row.model == name else ():
                for role, prompt in result.kemb.get("prompts", {}).items():
                    found[task, role, prompt["prompt"]] = None
    return list(found)


def task_facts(task: str, n_items: int | None, lang: Lang) -> tuple[str, str, Facts]:
    """What a task measures, a link, and its facts; little is known of a task of one's own."""
    spec = spec_of(task)
    ko = lang == "ko"
    items = ("문항" if ko else "Items", f"{n_items:,}" if n_items else "")
    if spec is None:
        return "", "", [pair for pair in [items] if pair[1]]
    revision = spec.source.revision
    pairs = [
        ("종류" if ko else "Type", _say(group_title(spec.type), lang)),
        ("대표 지표" if ko else "Main metric", spec.main_metric),
        items,
        ("언어" if ko else "Languages", ", ".join(spec.languages)),
        ("라이선스" if ko else "Licence", spec.license),
        ("자료" if ko else "Data", spec.source.hub or ""),
        ("리비전" if ko else "Revision", "main (고정되지 않음)" if revision == "main" and ko else revision[:12]),
        ("나눔" if ko else "Splits", ", ".join(spec.splits)),
    ]
    link = spec.reference if spec.reference.startswith("https://") else ""
    return " ".join(spec.description.split()), link, [(name, value) for name, value in pairs if value]


def card_details(card: Card, lang: Lang) -> Facts:
    """What is recorded behind a number and does not stand in the table already."""
    ko = lang == "ko"
    prompts = "" if card.prompts is None else "; ".join(f"{p.role}: {p.prompt!r}" for p in card.prompts)
    seconds = " + ".join(
        f"{value:.1f} s {what}"
        for value, what in ((card.encode_seconds, "encode"), (card.score_seconds, "score"))
        if value is not None
    )
    if card.from_store:
        seconds += " (벡터는 저장소에 있었음)" if ko else " (vectors were stored)"
    pairs = [
        ("모델 리비전" if ko else "Model revision", card.model_revision),
        ("자료 리비전" if ko else "Data revision", card.dataset_revision),
        ("자료 해시" if ko else "Data hash", ", ".join(card.data_sha256)),
        ("프롬프트" if ko else "Prompts", prompts),
        ("최대 토큰" if ko else "Max tokens", str(card.max_tokens or "")),
        ("잘린 텍스트" if ko else "Truncated texts", "; ".join(length_text(own, lang) for own in card.lengths)),
        ("자료형" if ko else "Dtype", card.dtype),
        ("유사도" if ko else "Similarity", card.similarity),
        ("버전" if ko else "Versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())),
        ("장비" if ko else "Hardware", card.hardware),
        ("시간" if ko else "Seconds", seconds),
        ("날짜" if ko else "Date", card.date),
        ("명령" if ko else "Command", card.command),
        ("주소" if ko else "URL", card.url),
        ("커밋" if ko else "Commit", card.commit),
        (
            "다른 곳의 값" if ko else "Elsewhere",
            "; ".join(f"{o.source} {o.value * 100:.2f} ({(o.value - card.value) * 100:+.2f})" for o in card.others),
        ),
    ]
    return [(name, value) for name, value in pairs if value]
