"""Results as a model card's metadata: `model-index`, `.eval_results/<Task>.yaml`, and the fields
above them.

What the author wrote stays: fields that are there are kept, and of `model-index` only the same
metrics are replaced.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from kemb.adapters.front_matter import number_of
from kemb.adapters.mteb_results import metric_name
from kemb.boards.benchmark import spec_of
from kemb.models.facts import ModelFacts
from kemb.publishing.usage import Usage
from kemb.results.files import TaskResult, mteb_metric
from kemb.tasks.kinds import kind_of

_LANGUAGES = {
    "kor": "ko",
    "eng": "en",
    "zho": "zh",
    "jpn": "ja",
    "cmn": "zh",
    "mul": "multilingual",
}

Fields = dict[str, Any]


def model_index(name: str, results: Sequence[TaskResult]) -> list[Fields]:
    """A `model-index` of the main scores, as fractions of full precision.

    Made task by task: huggingface_hub would join tasks on the same data into one entry under the
    first one's name.
    """
    from huggingface_hub import ModelCardData

    entries: list[Fields] = []
    for result in results:
        data: Any = ModelCardData(model_name=name, eval_results=list(_eval_results(result)))
        entries += data.to_dict()["model-index"][0]["results"]
    return [{"name": name, "results": entries}]


def _eval_results(result: TaskResult) -> list[Any]:
    from huggingface_hub import EvalResult

    kind = kind_of(result.record.task.type)
    main = result.record.task.main_metric
    return [
        EvalResult(
            task_type=kind.hub_task,
            task_name=kind.mteb,
            dataset_type=dataset_of(result),
            dataset_name=f"{result.task} ({entry['hf_subset']})",
            dataset_config=entry["hf_subset"],
            dataset_split=split,
            dataset_revision=result.dataset_revision or None,
            metric_type=mteb_metric(metric),
            metric_name=metric,
            metric_value=entry["main_score"],
        )
        for split, entries in result.scores.items()
        for entry in entries
        for metric in (main, "main_score")
    ]


def dataset_of(result: TaskResult) -> str:
    """The hub id of a task's data; the task's name where it has none."""
    spec = spec_of(result.task)
    return spec.source.hub if spec and spec.source.hub else result.task


def eval_results_yaml(result: TaskResult) -> str:
    """The content of `.eval_results/<Task>.yaml`, in percent, as mteb writes it
    (`_to_hf_benchmark_result`).
    """
    notes = f"Measured with kemb {result.record.versions.get('kemb', '')}".strip()

    def entry(task_id: str, value: float) -> Fields:
        data = {"id": dataset_of(result), "task_id": task_id, "revision": result.dataset_revision}
        date = result.record.date[:10]
        # Ten decimals hold what a float has, without the noise of the multiplication.
        fields: Fields = {"dataset": data, "value": round(value * 100, 10)}
        return fields | ({"date": date} if date else {}) | {"notes": notes}

    parts = [(split, part) for split, entries in result.scores.items() for part in entries]
    eval_results = [
        entry(f"{result.task}_{part['hf_subset']}_{split}", part["main_score"])
        for split, part in parts
    ]
    spec = spec_of(result.task)
    declared = (
        [(split, subset) for split in spec.splits for subset in spec.subsets] if spec else None
    )
    if declared is None or result.has_parts(declared):
        eval_results.append(entry(result.task, result.main_score))
    return yaml.safe_dump(eval_results, sort_keys=False, allow_unicode=True)


def changed_fields(
    old: Mapping[str, Any],
    removed: Collection[str],
    facts: ModelFacts,
    usage: Usage,
    name: str,
    results: Sequence[TaskResult],
) -> Fields:
    """What kemb writes into the front matter: fields that the author leaves out, tags and results.

    :param old: the author's fields.
    :param removed: those of them that are written anew.
    """
    changed = {
        key: value
        for key, value in _fields(facts, usage).items()
        if old.get(key) is None or key in removed
    }
    changed["tags"] = list(dict.fromkeys([*_listed(old.get("tags")), *_tags(usage)]))
    changed["model-index"] = merged_index(old.get("model-index"), model_index(name, results))
    return changed


def merged_index(old: object, new: list[Fields]) -> list[Fields]:
    """The entries of `old` without the metrics that `new` has, then those of `new`.

    Metrics are the same when task, config, split and name are: data sets move on the hub and task
    types are written in several ways. Where the kept entries are in percent, the new ones are made
    so.
    """
    models = (
        [dict(model) for model in old if isinstance(model, dict)] if isinstance(old, list) else []
    )
    new_keys = {key for entry in new[0]["results"] for key in _keys(entry)}
    values: list[object] = []
    for model in models:
        entries = [
            _without(entry, new_keys)
            for entry in model.get("results") or []
            if isinstance(entry, dict)
        ]
        model["results"] = [entry for entry in entries if entry.get("metrics")]
        values += [metric.get("value") for entry in model["results"] for metric in entry["metrics"]]
    added: list[Fields] = new[0]["results"]
    numbers = [number_of(value) for value in values]
    if any(number is not None and abs(number) > 1 for number in numbers):
        added = [
            {**entry, "metrics": [_in_percent(metric) for metric in entry["metrics"]]}
            for entry in added
        ]
    if len(models) == 1 or any(model.get("name") == new[0]["name"] for model in models):
        author_model = next(
            (model for model in models if model.get("name") == new[0]["name"]), models[0]
        )
        author_model["results"] = [*author_model["results"], *added]
    else:
        models.append({"name": new[0]["name"], "results": added})
    return models


def _in_percent(metric: Fields) -> Fields:
    return {**metric, "value": round(metric["value"] * 100, 10)}


def _without(entry: Fields, new_keys: set[tuple[str, ...]]) -> Fields:
    metrics = entry.get("metrics")
    if not isinstance(metrics, list):
        return entry
    keys = _keys(entry)
    return {
        **entry,
        "metrics": [
            metric for metric, key in zip(metrics, keys, strict=True) if key not in new_keys
        ],
    }


def _keys(entry: Fields) -> list[tuple[str, ...]]:
    """What each metric of an entry is a number of."""
    data: Any = entry.get("dataset") if isinstance(entry.get("dataset"), dict) else {}
    config = str(data.get("config") or "default")
    name = str(data.get("name") or "").removeprefix("MTEB ").removesuffix(f" ({config})").strip()
    return [
        (name, config, str(data.get("split") or ""), metric_name(str(metric.get("type"))))
        if isinstance(metric, dict)
        else ("",)
        for metric in entry.get("metrics") or []
    ]


def _fields(facts: ModelFacts, usage: Usage) -> Fields:
    """What the hub asks for and is known; nothing is guessed."""
    languages = [_LANGUAGES.get(code.split("-")[0], code.split("-")[0]) for code in facts.languages]
    fields: Fields = {
        "language": list(dict.fromkeys(languages)),
        "base_model": facts.base_model,
        **_license(facts.license),
    }
    if usage.how == "dense":
        fields["pipeline_tag"] = "feature-extraction" if usage.is_plain else "sentence-similarity"
        fields["library_name"] = "transformers" if usage.is_plain else "sentence-transformers"
    return {key: value for key, value in fields.items() if value}


def _license(terms: str) -> Fields:
    """The hub takes short names only; the address of other terms stands beside `other`."""
    if re.match(r"https?://", terms):
        return {"license": "other", "license_link": terms}
    return {"license": terms.lower()} if re.fullmatch(r"[A-Za-z0-9.+-]+", terms) else {}


def _tags(usage: Usage) -> list[str]:
    return [
        *(["sentence-transformers"] if usage.how == "dense" and not usage.is_plain else []),
        "kemb",
    ]


def _listed(value: object) -> list[str]:
    return (
        [item for item in value if isinstance(item, str)]
        if isinstance(value, list)
        else [value]
        if isinstance(value, str)
        else []
    )


def kemb_version() -> str:
    """The version that writes."""
    return importlib.metadata.version("kemb")
