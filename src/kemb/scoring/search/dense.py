"""The run that dense vectors make."""

from __future__ import annotations

from collections.abc import Mapping

from kemb.arrays import Representations, Vectors
from kemb.errors import DataError, ModelError
from kemb.scoring.search.rerank import rerank
from kemb.scoring.search.search import top_k
from kemb.tasks.kinds import KINDS, columns
from kemb.tasks.spec import TaskSpec
from kemb.types import PartData, RetrievalData, Run


def rank(
    spec: TaskSpec, data: RetrievalData, vectors: Mapping[str, Vectors], *, similarity: str
) -> Run:
    """The run that vectors make, for use beside others; arguments and errors are those of
    `score`.
    """
    try:
        check_shapes(data, vectors)
        return ranked(spec, data, vectors, similarity)
    except (DataError, ModelError) as error:
        raise type(error)(f"Task {spec.name}: {error}") from error


def ranked(
    spec: TaskSpec, data: RetrievalData, vectors: Mapping[str, Vectors], similarity: str
) -> Run:
    queries = vectors["queries"].block(0, len(data.queries))
    if KINDS[spec.type].has_candidates:
        return rerank(queries, vectors["documents"], data, similarity=similarity)
    documents, query_ids = vectors["documents"], data.query_ids
    return top_k(
        queries, documents, doc_ids=data.doc_ids, query_ids=query_ids, similarity=similarity
    )


def check_shapes(data: PartData, vectors: Representations) -> None:
    dims: dict[str, int] = {}
    for name, column in columns(data).items():
        n_rows, dims[name] = vectors[name].shape
        if not column.texts:
            raise DataError(f"The column {name!r} is empty; expected at least one text.")
        if n_rows != len(column.texts):
            raise ModelError(
                f"The column {name!r} has {n_rows} vectors for {len(column.texts)} texts."
            )
    if len(set(dims.values())) > 1:
        raise ModelError(
            f"The columns have vectors of different dimensions: {dims}; expected one dimension for "
            "all."
        )
