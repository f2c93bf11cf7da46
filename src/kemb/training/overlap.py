"""What evaluations ask, as hashes: of tasks at hand, or of the registry that kemb ships without
their texts.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kemb.arrays import IntArray
from kemb.errors import DataError
from kemb.files import disk
from kemb.tasks.kinds import item_ids, shape_of
from kemb.training.shingles import Hashes, Sets, keys_of, normal_form, sketch, windows
from kemb.types import PartData, RetrievalData, SummaryData, TaskData

REGISTRY = Path(__file__).parent / "registry.parquet"
SHINGLE, WINDOW = 5, 30
"""Characters of the registry's shingles and windows."""
SKETCH = 7
"""Hashes of 32 bits that the registry keeps of a text's shingles; more would make the file larger
than 1 MB.
"""
WINDOW_SHARE = 32
"""The registry keeps one of so many windows."""
QUERY, DOCUMENT = 0, 1
_SCHEMA = 1


class Reference(NamedTuple):
    """A text of an evaluation item."""

    item: int
    """-1 for a document that no query asks for."""
    text: str
    side: int


@dataclass(frozen=True, slots=True)
class EvalPart:
    """One (split, subset) of a task: which items have which texts (numbers into
    `EvalTexts.keys`).
    """

    task: str
    split: str
    subset: str
    item_ids: list[str] | None
    """None in the registry."""
    n_items: int
    item: IntArray
    text: IntArray
    side: IntArray
    """[n_references] each."""
    pairs: IntArray
    """[n, 3]: an item and its two texts that belong together."""


@dataclass(frozen=True)
class EvalTexts:
    """The distinct texts of evaluations."""

    parts: list[EvalPart]
    keys: Hashes
    normals: list[str] | None = None
    """None where only hashes are known."""
    sketches: Sets | None = None
    passages: Sets | None = None
    """A sample of the windows, where texts are not known."""
    _windows: dict[int, Sets] = field(default_factory=dict)

    @property
    def is_hashed(self) -> bool:
        return self.normals is None

    def windows(self, n: int, *, whole: bool) -> Sets:
        """The windows of n characters; only where texts are known."""
        assert self.normals is not None
        key = n if whole else -n
        if key not in self._windows:
            self._windows[key] = windows(self.normals, n, whole=whole)
        return self._windows[key]

    @cached_property
    def n_items(self) -> int:
        return sum(part.n_items for part in self.parts)


def eval_texts(tasks: Iterable[TaskData]) -> EvalTexts:
    """The texts of tasks, each distinct normal form once; few-shot examples of classification are
    not evaluated.
    """
    numbers: dict[str, int] = {}
    parts = []
    for task in tasks:
        for part in task.parts:
            ids, references, pairs = _references(part.data)
            normal_references = [
                reference._replace(text=normal_form(reference.text)) for reference in references
            ]
            text = [
                numbers.setdefault(reference.text, len(numbers)) for reference in normal_references
            ]
            parts.append(
                EvalPart(
                    task.task,
                    part.split,
                    part.subset,
                    list(ids),
                    len(ids),
                    np.array([reference.item for reference in normal_references], dtype=np.int64),
                    np.array(text, dtype=np.int64),
                    np.array([reference.side for reference in normal_references], dtype=np.int64),
                    np.array(
                        [(normal_references[a].item, text[a], text[b]) for a, b in pairs],
                        dtype=np.int64,
                    ).reshape(-1, 3),
                )
            )
    normals = list(numbers)
    return EvalTexts(parts, keys_of(normals), normals)


def write_registry(path: Path, texts: EvalTexts) -> None:
    """Write hashes of texts; the same tasks give the same bytes."""
    sketches = sketch(texts.windows(SHINGLE, whole=True), SKETCH)
    passages = _sampled(texts.windows(WINDOW, whole=False))
    rows = pa.table(
        {
            "key": pa.array(texts.keys, pa.uint64()),
            "sketch": _lists(sketches),
            "passages": _lists(passages),
        }
    )
    record = [
        {
            "task": part.task,
            "split": part.split,
            "subset": part.subset,
            "n_items": part.n_items,
            "item": part.item.tolist(),
            "text": part.text.tolist(),
            "side": part.side.tolist(),
            "pairs": part.pairs.reshape(-1).tolist(),
        }
        for part in texts.parts
    ]
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("split", pa.string()),
            ("subset", pa.string()),
            ("n_items", pa.int32()),
        ]
        + [(name, pa.list_(pa.int32())) for name in ("item", "text", "side", "pairs")]
    )
    parts = pa.Table.from_pylist(record, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(parts)
    compressed = pa.compress(sink.getvalue(), codec="brotli", asbytes=True)
    metadata = {
        "kemb": str(_SCHEMA),
        "parts": base64.b85encode(compressed),
        "n_bytes": str(sink.getvalue().size),
    }
    with disk.replacing(path) as unfinished:
        pq.write_table(
            rows.replace_schema_metadata(metadata),
            unfinished,
            compression="brotli",
            use_dictionary=False,
            column_encoding={"key": "PLAIN"},
            store_schema=True,
        )


def read_registry(path: Path = REGISTRY) -> EvalTexts:
    """The hashes that are shipped.

    :raises DataError: when the file is no registry.
    """
    try:
        rows = pq.read_table(path)
        metadata = {
            key.decode(): value.decode() for key, value in (rows.schema.metadata or {}).items()
        }
        raw = pa.decompress(
            base64.b85decode(metadata["parts"]), int(metadata["n_bytes"]), codec="brotli"
        )
        with pa.ipc.open_stream(raw) as stream:
            record = stream.read_all().to_pylist()
        parts = [
            EvalPart(
                entry["task"],
                entry["split"],
                entry["subset"],
                None,
                entry["n_items"],
                np.array(entry["item"], dtype=np.int64),
                np.array(entry["text"], dtype=np.int64),
                np.array(entry["side"], dtype=np.int64),
                np.array(entry["pairs"], dtype=np.int64).reshape(-1, 3),
            )
            for entry in record
        ]
        keys = rows["key"].to_numpy().astype(np.uint64)
        sketches, passages = (
            _from_lists(rows[name].combine_chunks()) for name in ("sketch", "passages")
        )
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is no registry of evaluation texts ({type(error).__name__}: {error}). "
            "tools/make_registry.py writes one."
        ) from error
    return EvalTexts(parts, keys, None, sketches, passages)


def sampled_windows(normals: Sequence[str]) -> Sets:
    """The windows of texts that a registry would keep."""
    return _sampled(windows(normals, WINDOW, whole=False))


def _sampled(sets: Sets) -> Sets:
    in_sample = sets.hashes % np.uint64(WINDOW_SHARE) == 0
    hashes = sets.hashes[in_sample] >> np.uint64(32)
    counts = np.bincount(sets.owners[in_sample], minlength=len(sets))
    return Sets(np.concatenate(([0], np.cumsum(counts))), hashes)


def _lists(sets: Sets) -> pa.Array:
    offsets = pa.array(sets.offsets, pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(sets.hashes.astype(np.uint32), pa.uint32()))


def _from_lists(lists: pa.ListArray) -> Sets:
    values = lists.values.to_numpy(zero_copy_only=False).astype(np.uint64)
    return Sets(lists.offsets.to_numpy(zero_copy_only=False).astype(np.int64), values)


def _references(data: PartData) -> tuple[Sequence[str], list[Reference], list[tuple[int, int]]]:
    """Item ids, the texts of every item, and places of texts that belong together (the first names
    the item).
    """
    match data:
        case RetrievalData():
            return _of_retrieval(data)
        case SummaryData():
            machine = zip(data.machine_of.tolist(), data.machine, strict=True)
            human = zip(data.human_of.tolist(), data.human, strict=True)
            return (
                data.document_ids,
                [Reference(i, text, QUERY) for i, text in (*machine, *human)],
                [],
            )
        case _:
            return _of_rows(data)


def _of_rows(data: PartData) -> tuple[Sequence[str], list[Reference], list[tuple[int, int]]]:
    """Of data whose columns have one text for each item: the texts of two columns belong
    together.
    """
    shape = shape_of(data)
    names = [name for name in shape.columns if shape.ids.get(name) == shape.items]
    rows = list(zip(*(getattr(data, name) for name in names), strict=True))
    references = [Reference(i, text, QUERY) for i, row in enumerate(rows) for text in row]
    pairs = [(2 * i, 2 * i + 1) for i in range(len(rows))] if len(names) == 2 else []
    return item_ids(data), references, pairs


def _of_retrieval(
    data: RetrievalData,
) -> tuple[Sequence[str], list[Reference], list[tuple[int, int]]]:
    references = [Reference(i, text, QUERY) for i, text in enumerate(data.queries)]
    row_of = {doc_id: row for row, doc_id in enumerate(data.doc_ids)}
    pairs: list[tuple[int, int]] = []
    judged_rows = set()
    for i, query_id in enumerate(data.query_ids):
        for doc_id, relevance in data.qrels.get(query_id, {}).items():
            if relevance > 0:
                pairs.append((i, len(references)))
                references.append(Reference(i, data.documents[row_of[doc_id]], DOCUMENT))
                judged_rows.add(row_of[doc_id])
    others = (row for row in range(len(data.doc_ids)) if row not in judged_rows)
    references += [Reference(-1, data.documents[row], DOCUMENT) for row in others]
    return data.query_ids, references, pairs


def texts_of(data: PartData) -> list[str]:
    """The texts that a part evaluates, as they are."""
    return [reference.text for reference in _references(data)[1]]
