"""How a model is used outside kemb: what to load, and the literal prompts. From its TOML or records, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kemb import tasks
from kemb.models import catalogue
from kemb.models.encoders.bge_m3 import LOADERS
from kemb.models.facts import facts_of
from kemb.models.prompts import ASYMMETRIC, build_prompts, declares_prompts, resolve
from kemb.models.spec import ModelSpec
from kemb.results.files import TaskResult

How = Literal["dense", "built-in", "cross-encoder", "none"]

MORE_MODULES = {"google/embeddinggemma-300m", "sentence-transformers/sentence-t5-xxl"}
"""Known models with dense layers behind the pooling, which plain transformers leave out."""
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_BUILT_IN = ("bm25", "tfidf", "toy", "kiwi-static")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snippet says of a model; None where nobody says."""

    name: str
    """As kemb's commands take it."""
    source: str
    """What other libraries load: a hub id or a folder."""
    how: How
    note: str = ""
    """Why there is no code."""
    revision: str = ""
    query: str | None = None
    """The literal prompt of queries."""
    document: str | None = None
    text: str | None = None
    """The literal prompt of texts without a role, as in STS."""
    query_route: str = ""
    document_route: str = ""
    pooling: str | None = None
    normalize: bool | None = None
    is_plain: bool = False
    """A transformers model that does not say how token vectors become one."""
    is_simple: bool = False
    """Known to be a transformer, a pooling and nothing behind it but normalisation."""
    max_tokens: int | None = None
    dtype: str | None = None
    append_eos: bool = False
    remote_code: bool = False

    @property
    def knows_prompts(self) -> bool:
        return self.query is not None and self.document is not None


def usage_of(name: str, results: Iterable[TaskResult] = (), source: str = "") -> Usage:
    """How a model is used.

    :param results: measured results of one row. They say revision, dtype and limit, and the prompts where no TOML does
        or where others were asked for.
    :param source: the hub id or the folder under which the model can be loaded; its name by default.
    """
    records = [result.kemb for result in results if result.claim is None and result.kemb]
    spec = catalogue.load_spec(name)
    if spec is not None and spec.loader in _BUILT_IN:
        return Usage(spec.name, "", "built-in")
    own = source or (spec.hub or spec.name if spec else name)
    family = str(records[0].get("family", "")) if records else ""
    if (how := _other_way(name, spec, family)) is not None:
        return Usage(name, own, "none", note=how)
    if not source and (not _HUB_ID.fullmatch(own) or own.startswith("local/")):
        return Usage(name, own, "none", note=f"{_short(name)} is no model of the hub; its files lie with its author.")
    model = records[0].get("model", {}) if records else {}
    commit = str(model.get("revision") or (spec.revision if spec else None) or "")
    if spec is not None and spec.loader == "cross-encoder":
        return Usage(spec.name, own, "cross-encoder", revision=commit if not source else "")
    variant = str(model.get("variant", ""))
    is_declared = spec is not None and declares_prompts(spec) and "prompts_" not in variant
    prompts = _declared(spec) if is_declared and spec is not None else _recorded(records)
    return Usage(
        name=spec.name if spec else name,
        source=own,
        how="dense",
        revision=commit if not source else "",
        query=prompts.get("query", (None, ""))[0],
        document=prompts.get("document", (None, ""))[0],
        text=prompts.get("text", (None, ""))[0],
        query_route=prompts.get("query", (None, ""))[1],
        document_route=prompts.get("document", (None, ""))[1],
        pooling=(spec.pooling if spec else None) or model.get("pooling"),
        normalize=spec.normalize if spec else None,
        is_plain=(spec is not None and spec.loader == "transformers") or "pooling_" in variant,
        is_simple=spec is not None
        and spec.pooling is not None
        and spec.name not in MORE_MODULES
        and not spec.needs_remote_code,
        max_tokens=model.get("max_tokens") or (spec.max_tokens if spec else None),
        dtype=model.get("dtype") or (spec.dtype if spec else None),
        append_eos=spec is not None and spec.append_eos,
        remote_code=spec is not None and spec.needs_remote_code,
    )


def _other_way(name: str, spec: ModelSpec | None, family: str) -> str | None:
    """Why a model cannot be loaded by the common libraries; None where it can."""
    facts = facts_of(name)
    kind = facts.kind or family
    if facts.open_weights is False or (spec is not None and spec.loader == "api"):
        return f"{_short(name)} is served by its provider only; see the provider's documentation."
    if spec is not None and spec.loader in LOADERS:
        return f"{_short(name)} is a head of {_short(spec.hub or '')}; load it with FlagEmbedding's BGEM3FlagModel."
    if kind == "late-interaction" or (spec is not None and spec.loader == "late-interaction"):
        return f"{_short(name)} makes one vector per token; load it with PyLate or its author's program."
    if spec is not None and spec.loader == "custom":
        return f"{_short(name)} runs with its author's own program; see its model card."
    if spec is None and kind in ("lexical", "sparse", "cross-encoder", "hybrid"):
        return f"{_short(name)} is no dense encoder ({kind}); see its model card."
    return None


def _declared(spec: ModelSpec) -> dict[str, tuple[str, str]]:
    """Role -> prompt and route, by the model's TOML."""
    table = build_prompts(spec, None, None, tasks.names())
    asked = {role: resolve(table, "", "retrieval", "", role) for role in ("query", "document")}
    asked["text"] = resolve(table, "", "sts", "", "text")
    return {role: (found.prompt, found.route) for role, found in asked.items()}


def _recorded(records: list[dict[str, object]]) -> dict[str, tuple[str, str]]:
    """Role -> prompt and route that all records of retrieval, and of STS, agree on."""
    found: dict[str, set[tuple[str, str]]] = {}
    for record in records:
        task, prompts = record.get("task"), record.get("prompts")
        kind = task.get("type") if isinstance(task, dict) else None
        if isinstance(prompts, dict) and kind in (*ASYMMETRIC, "sts"):
            for role, said in prompts.items():
                found.setdefault(role, set()).add((said["prompt"], said.get("route", "")))
    return {role: next(iter(said)) for role, said in found.items() if len(said) == 1}


def _short(name: str) -> str:
    """A name on one line, without what could end a comment or a code block."""
    clean = "".join(character if character.isprintable() and character != "`" else "\ufffd" for character in name)
    return clean if len(clean) <= 100 else f"{clean[:99]}…"
