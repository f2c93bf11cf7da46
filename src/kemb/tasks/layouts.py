"""From tables to the data of one part: which tables a layout needs, and how they become texts with
gold answers.

Text preparation is mteb's: a document is title and text joined by a blank and stripped, a query is
its text followed by its instruction, every other text stays as it is
(`mteb/_create_dataloaders.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kemb.arrays import DoubleArray, IntArray
from kemb.errors import DataError
from kemb.types import Label

if TYPE_CHECKING:
    import pyarrow as pa

from collections.abc import Callable, Mapping, Sequence

from kemb.files import scratch
from kemb.files.columns import ArrowColumn, mapped
from kemb.tasks.kinds import KINDS
from kemb.tasks.parts import Notes, checked_retrieval
from kemb.tasks.sampling import encoded, few_shot_rows, stratified_rows
from kemb.tasks.spec import TaskSpec
from kemb.types import BitextData, ClusterData, LabelData, PairData, Qrels, RetrievalData


class Rows(NamedTuple):
    """A table and the file it came from."""

    table: pa.Table
    origin: str

    def take(self, numbers: IntArray) -> Rows:
        """The rows with these numbers, in this order."""
        return Rows(self.table.take(numbers), self.origin)


def column(rows: Rows, name: str) -> pa.ChunkedArray:
    """A column; a dot in the name reaches into a struct. One-row tables of lists are laid
    out flat.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    first, _, field = name.partition(".")
    if name in rows.table.column_names:
        first, field = name, ""
    if first not in rows.table.column_names:
        raise DataError(
            f"{rows.origin} has no column {name!r}; it has "
            f"{', '.join(map(repr, rows.table.column_names))}."
        )
    array = rows.table.column(first)
    if field:
        if not pa.types.is_struct(array.type) or array.type.get_field_index(field) < 0:
            raise DataError(
                f"{rows.origin}: column {first!r} holds {array.type}, which has no field {field!r}."
            )
        array = pc.struct_field(array, [field])
    return pc.list_flatten(array) if is_list(array) else array


def is_list(array: pa.ChunkedArray) -> bool:
    """Whether a column holds one list per row."""
    import pyarrow as pa

    return bool(pa.types.is_list(array.type) or pa.types.is_large_list(array.type))


def texts(rows: Rows, name: str) -> Sequence[str]:
    """A column of text, unchanged; a large one stays in Arrow."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise DataError(f"{rows.origin}: column {name!r} holds {_example(array)}; expected text.")
    _refuse_nulls(rows, name, array, "text")
    return _values(rows, array)


def _values(rows: Rows, array: pa.ChunkedArray) -> Sequence[str]:
    is_large = rows.table.nbytes >= scratch.LARGE_BYTES
    return ArrowColumn(array) if is_large else list(array.to_pylist())


def ids(rows: Rows, name: str) -> Sequence[str]:
    """A column of ids as text; whole numbers become their digits, as in mteb."""
    import pyarrow as pa

    array = _text_or_whole(rows, name, "an id")
    is_text = pa.types.is_large_string(array.type)
    return _values(rows, array if is_text else array.cast(pa.string()))


def labels(rows: Rows, name: str) -> list[Label]:
    """A column of class labels: text or whole numbers, not both."""
    return list(_text_or_whole(rows, name, "a label").to_pylist())


def _text_or_whole(rows: Rows, name: str, what: str) -> pa.ChunkedArray:
    import pyarrow as pa

    array = column(rows, name)
    if not (
        pa.types.is_string(array.type)
        or pa.types.is_large_string(array.type)
        or pa.types.is_integer(array.type)
    ):
        raise DataError(
            f"{rows.origin}: column {name!r} holds {_example(array)}; expected text or whole "
            "numbers."
        )
    _refuse_nulls(rows, name, array, what)
    return array


def numbers(rows: Rows, name: str) -> DoubleArray:
    """A column of finite numbers."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise DataError(
            f"{rows.origin}: column {name!r} holds {_example(array)}; expected numbers."
        )
    _refuse_nulls(rows, name, array, "a number")
    values = np.array(array.to_pylist(), dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"{rows.origin}: column {name!r}, row {row} is {values[row]}; expected a finite number."
        )
    return values


def _refuse_nulls(rows: Rows, name: str, array: pa.ChunkedArray, expected: str) -> None:
    import pyarrow.compute as pc

    if array.null_count:
        row = pc.index(pc.is_null(array), True).as_py()
        raise DataError(
            f"{rows.origin}: column {name!r}, row {row} is empty (null); expected {expected}."
        )


def _example(array: pa.ChunkedArray) -> str:
    value = f", for example {array[0].as_py()!r:.60} in row 0" if len(array) else ""
    return f"{array.type}{value}"


class Request(NamedTuple):
    """A table that a layout needs."""

    configs: tuple[str, ...]
    """Names its config may have, best first; "" is the only config of a dataset, whatever its name.
    """
    subset: str | None = None
    """The subset whose rows are wanted, where one config holds all subsets."""


ReadRows = Callable[[Request, str], Rows]
"""Gives the rows of a split."""


def requests(spec: TaskSpec, subset: str) -> list[Request]:
    """Every table that a subset of a task needs."""
    match spec.source.layout:
        case "beir":
            beir = _beir(spec, subset)
            optional = {
                beir.candidates: KINDS[spec.type].has_candidates,
                beir.instructions: spec.source.instructions,
            }
            return [
                beir.corpus,
                beir.queries,
                beir.qrels,
                *(name for name, is_used in optional.items() if is_used),
            ]
        case "belebele":
            return [Request((language,)) for language in dict.fromkeys(subset.split("-"))]
        case _:
            return [rows_request(spec, subset)]


def rows_request(spec: TaskSpec, subset: str) -> Request:
    """The table of a subset, where a task has one table for each, or one for all."""
    config = spec.source.config.replace("{subset}", subset)
    return Request(
        (config, "") if config == "default" else (config,),
        subset if spec.source.group_column else None,
    )


class _Beir(NamedTuple):
    corpus: Request
    queries: Request
    qrels: Request
    candidates: Request
    instructions: Request


_CONFIGS = ("corpus", "queries", "qrels", "top_ranked", "instruction")


def _beir(spec: TaskSpec, subset: str) -> _Beir:
    """Config names of mteb's `RetrievalDatasetLoader`."""
    if subset == "default":
        names = (
            ("corpus",),
            ("queries", "query"),
            ("default", "qrels"),
            ("top_ranked",),
            ("instruction",),
        )
        return _Beir(*map(Request, names))
    return _Beir(*(Request((f"{subset}-{name}",)) for name in _CONFIGS))


def pairs(spec: TaskSpec, subset: str, split: str, read: ReadRows) -> tuple[PairData, Notes]:
    """Sentence pairs with a score, or with a label in {0, 1}."""
    rows = read(rows_request(spec, subset), split)
    notes: Notes = {}
    first, second = (
        texts(rows, spec.columns.get(name, name)) for name in ("sentence1", "sentence2")
    )
    keep = np.arange(len(first))
    if KINDS[spec.type].items == "ranks":
        gold = numbers(rows, spec.columns.get("score", "score"))
    else:
        name = spec.columns.get("labels", "labels")
        values, keep = _mapped(spec, rows.origin, labels(rows, name))
        if spec.labels:
            notes["n_dropped_rows"] = len(first) - len(keep)
        for row, value in zip(keep, values, strict=True):
            if value not in (0, 1):
                raise DataError(
                    f"{rows.origin}: column {name!r}, row {row} is {value!r}; expected the label 0 "
                    "or 1."
                )
        gold = np.array(values, dtype=np.float64)
    if not len(first) == len(second) == len(gold) + len(first) - len(keep):
        raise DataError(
            f"{rows.origin}: sentence1, sentence2 and the gold values have "
            f"{len(first)}, {len(second)} and {len(gold)} entries; expected one of each per pair."
        )
    if spec.dedupe_pairs:
        unique = _first_of_equal_pairs([(first[i], second[i]) for i in keep.tolist()])
        notes["n_dropped_duplicate_pairs"] = len(keep) - len(unique)
        keep, gold = keep[unique], gold[unique]
    data = PairData(
        [str(i) for i in keep],
        [first[i] for i in keep.tolist()],
        [second[i] for i in keep.tolist()],
        gold,
    )
    return data, notes


def _first_of_equal_pairs(sentences: Sequence[tuple[str, str]]) -> IntArray:
    """Row numbers without the later ones of pairs that are equal in either order."""
    first_row_of_pair = {
        tuple(sorted(pair)): row for row, pair in reversed(list(enumerate(sentences)))
    }
    return np.array(sorted(first_row_of_pair.values()), dtype=np.int64)


def bitext(spec: TaskSpec, subset: str, split: str, read: ReadRows) -> tuple[BitextData, Notes]:
    """Aligned sentences."""
    rows = read(rows_request(spec, subset), split)
    first, second = (
        texts(rows, spec.columns.get(name, name)) for name in ("sentence1", "sentence2")
    )
    return BitextData([str(i) for i in range(len(first))], first, second), {}


def clusters(spec: TaskSpec, subset: str, split: str, read: ReadRows) -> tuple[ClusterData, Notes]:
    """Texts with labels; with the protocol `rows` every row of the data is a clustering problem of
    its own.
    """
    import pyarrow.compute as pc

    text_name, label_name = (spec.columns.get(name, name) for name in ("sentences", "labels"))
    parts = [read(rows_request(spec, subset), name) for name in spec.join_splits or [split]]
    sentences = [texts(part, text_name) for part in parts]
    if _is_hierarchy(parts[0], text_name, label_name):
        return _levels(parts, sentences, label_name), {}
    values = [labels(part, label_name) for part in parts]
    _refuse_mixed(
        label_name,
        {part.origin: split_labels for part, split_labels in zip(parts, values, strict=True)},
    )
    problems: list[IntArray] = []
    for part, part_texts, gold in zip(parts, sentences, values, strict=True):
        if len(part_texts) != len(gold):
            raise DataError(
                f"{part.origin} has {len(part_texts)} texts but {len(gold)} labels; expected "
                "one each."
            )
        raw = part.table.column(text_name)
        rows = np.zeros(len(part_texts), dtype=np.int64)
        if is_list(raw):
            rows += pc.list_parent_indices(raw.combine_chunks()).to_numpy() + sum(
                len(set(p)) for p in problems
            )
        problems.append(rows)
    all_labels = [value for split_labels in values for value in split_labels]
    if spec.encode_labels:
        all_labels = encoded(all_labels, all_labels)
    ids_ = [str(i) for i in range(len(all_labels))]
    joined = [text for part_texts in sentences for text in part_texts]
    labels_by_text: list[tuple[Label, ...]] = [(value,) for value in all_labels]
    return ClusterData(ids_, joined, labels_by_text, np.concatenate(problems)), {}


def _is_hierarchy(rows: Rows, text_name: str, label_name: str) -> bool:
    """Whether every text has a list of labels; where texts are lists, too, a row is a clustering
    problem.
    """
    has_columns = {text_name, label_name} <= set(rows.table.column_names)
    return (
        has_columns
        and is_list(rows.table.column(label_name))
        and not is_list(rows.table.column(text_name))
    )


def _levels(
    parts: Sequence[Rows], sentences: Sequence[Sequence[str]], label_name: str
) -> ClusterData:
    """Texts with a list of labels each, one for every level of a hierarchy."""
    lists = [labels_ for part in parts for labels_ in part.table.column(label_name).to_pylist()]
    joined = [text for part_texts in sentences for text in part_texts]
    if row := next(
        (
            row
            for row, row_labels in enumerate(lists, start=1)
            if not row_labels or None in row_labels
        ),
        0,
    ):
        raise DataError(
            f"{parts[0].origin}: column {label_name!r}, row {row - 1} is {lists[row - 1]!r:.60}."
        )
    ids_ = [str(i) for i in range(len(joined))]
    return ClusterData(
        ids_,
        joined,
        [tuple(row_labels) for row_labels in lists],
        np.zeros(len(joined), dtype=np.int64),
    )


class _Labelled(NamedTuple):
    item_ids: list[str]
    texts: Sequence[str]
    labels: list[Label]
    n_dropped: int


def classification(
    spec: TaskSpec, subset: str, split: str, read: ReadRows, train: bool
) -> tuple[LabelData, Notes]:
    """Evaluated texts with labels, and the few-shot rows of every experiment (none if `train` is
    false).
    """
    train_split = spec.classification.train_split
    split_names = dict.fromkeys([*spec.splits, *([train_split] if train else [])])
    request = rows_request(spec, subset)
    text_name, label_name = (spec.columns.get(name, name) for name in ("text", "label"))
    rows = {name: read(request, name) for name in split_names}
    raw = {name: labels(part, label_name) for name, part in rows.items()}
    _refuse_mixed(label_name, {rows[name].origin: values for name, values in raw.items()})
    names = [value for values in raw.values() for value in values]

    def labelled(name: str) -> _Labelled:
        row_numbers = np.arange(len(raw[name]))
        if spec.subsample and name in spec.subsample.splits:
            row_numbers = stratified_rows(raw[name], spec.subsample)
        values = [raw[name][i] for i in row_numbers]
        if spec.encode_labels:
            values = encoded(values, names)
        values, keep = _mapped(spec, rows[name].origin, values)
        part = rows[name].take(row_numbers[keep])
        return _Labelled(
            [str(i) for i in row_numbers[keep]],
            texts(part, text_name),
            values,
            len(row_numbers) - len(keep),
        )

    scored = labelled(split)
    shots = labelled(train_split) if train else _Labelled([], [], [], 0)
    experiments = few_shot_rows(shots.labels, spec.classification) if train else []
    train_rows = (
        np.unique(np.concatenate(experiments)) if experiments else np.empty(0, dtype=np.int64)
    )
    data = LabelData(
        item_ids=scored.item_ids,
        texts=scored.texts,
        labels=scored.labels,
        train_texts=[shots.texts[i] for i in train_rows],
        train_labels=[shots.labels[i] for i in train_rows],
        experiments=[np.searchsorted(train_rows, rows_) for rows_ in experiments],
        train_is_evaluated=train_split == split,
    )
    return data, {"n_dropped_rows": scored.n_dropped} if scored.n_dropped else {}


def _mapped(spec: TaskSpec, origin: str, values: Sequence[Label]) -> tuple[list[Label], IntArray]:
    """Labels after the specification's table, and the numbers of the rows that have one."""
    if not spec.labels:
        return list(values), np.arange(len(values))
    keep = np.array(
        [row for row, value in enumerate(values) if str(value) in spec.labels], dtype=np.int64
    )
    if not len(keep):
        some_labels = ", ".join(sorted({repr(value) for value in values})[:10])
        raise DataError(
            f"{origin}: no label is one of {', '.join(map(repr, spec.labels))}; found "
            f"{some_labels or 'none'}."
        )
    return [spec.labels[str(values[row])] for row in keep], keep


def _refuse_mixed(name: str, splits: Mapping[str, Sequence[Label]]) -> None:
    kinds = {origin: type(values[0]) for origin, values in splits.items() if values}
    if len(set(kinds.values())) > 1:
        kinds_by_split = ", ".join(
            f"{'text' if kind is str else 'whole numbers'} in {origin}"
            for origin, kind in kinds.items()
        )
        raise DataError(
            f"Column {name!r} holds {kinds_by_split}; expected the same kind of label in every "
            "split."
        )


def retrieval(
    spec: TaskSpec, subset: str, split: str, read: ReadRows
) -> tuple[RetrievalData, Notes]:
    """Documents, queries and judgments of any retrieval layout."""
    match spec.source.layout:
        case "qa":
            data = _qa(spec, read(rows_request(spec, subset), split))
        case "belebele":
            documents, questions = (
                read(Request((language,)), split) for language in subset.split("-", 1)
            )
            data = _belebele(spec, documents, questions)
        case _:
            data = _from_beir(spec, subset, split, read)
    return checked_retrieval(data, f"{spec.name}, split {split}, subset {subset}")


def _from_beir(spec: TaskSpec, subset: str, split: str, read: ReadRows) -> RetrievalData:
    beir = _beir(spec, subset)
    corpus, queries, judged = (read(request, split) for request in beir[:3])
    qrels: Qrels = {}
    # Fractions are cut off, as in mteb's loader.
    grades = numbers(judged, "score").astype(np.int64).tolist()
    for query, document, grade in zip(
        ids(judged, "query-id"), ids(judged, "corpus-id"), grades, strict=True
    ):
        qrels.setdefault(query, {})[document] = grade
    candidates = None
    if KINDS[spec.type].has_candidates:
        ranked = read(beir.candidates, split)
        lists = ranked.table.column("corpus-ids").to_pylist()
        candidates = {
            q: [str(d) for d in ds] for q, ds in zip(ids(ranked, "query-id"), lists, strict=True)
        }
    query_ids, query_texts = ids(queries, _id_column(queries)), _queries(queries)
    if spec.source.instructions:
        query_texts = _instructed(
            spec, query_ids, query_texts, qrels, read(beir.instructions, split)
        )
    return RetrievalData(
        doc_ids=ids(corpus, _id_column(corpus)),
        documents=_documents(corpus),
        query_ids=query_ids,
        queries=query_texts,
        qrels=qrels,
        candidates=candidates,
    )


def _id_column(rows: Rows) -> str:
    return "_id" if "_id" in rows.table.column_names else "id"


def _documents(corpus: Rows) -> Sequence[str]:
    bodies = texts(corpus, "text")
    if "title" not in corpus.table.column_names:
        return mapped(str.strip, bodies)
    titles: ArrowColumn[str | None] = ArrowColumn(corpus.table.column("title"))
    if not isinstance(bodies, ArrowColumn):
        return [_document(title, body) for title, body in zip(titles, bodies, strict=True)]
    return mapped(_document, titles, bodies)


def _document(title: str | None, body: str) -> str:
    return f"{title} {body}".strip() if title else body.strip()


def _queries(queries: Rows) -> Sequence[str]:
    bodies = texts(queries, "text")
    if "instruction" not in queries.table.column_names:
        return bodies
    added = queries.table.column("instruction").to_pylist()
    return [
        body if extra is None else f"{body} {extra}"
        for body, extra in zip(bodies, added, strict=True)
    ]


def _instructed(
    spec: TaskSpec, query_ids: Sequence[str], queries: Sequence[str], qrels: Qrels, table: Rows
) -> list[str]:
    """Queries followed by their instruction; every judged one must have one, as in mteb."""
    instructions = dict(zip(ids(table, "query-id"), texts(table, "instruction"), strict=True))
    if missing := next(
        (query for query in query_ids if query in qrels and query not in instructions), None
    ):
        raise DataError(
            f"{spec.name}: {table.origin} has no instruction for the query {missing!r}."
        )
    return [
        f"{text} {instructions.get(query, '')}"
        for query, text in zip(query_ids, queries, strict=True)
    ]


def _qa(spec: TaskSpec, rows: Rows) -> RetrievalData:
    """Questions and answers; equal ones are one query or document, rows that lack one of the two
    are left out.
    """
    pairs_ = [
        (question, answer)
        for question, answer in zip(
            *(
                column(rows, spec.columns.get(name, name)).to_pylist()
                for name in ("question", "answer")
            ),
            strict=True,
        )
        if question is not None and answer is not None
    ]
    questions = {
        text: f"Q{i}" for i, text in enumerate(dict.fromkeys(question for question, _ in pairs_))
    }
    answers = {
        text: f"D{i}" for i, text in enumerate(dict.fromkeys(answer for _, answer in pairs_))
    }
    qrels: Qrels = {}
    for question, answer in pairs_:
        qrels.setdefault(questions[question], {})[answers[answer]] = 1
    documents = [text.strip() for text in answers]
    return RetrievalData(
        list(answers.values()), documents, list(questions.values()), list(questions), qrels
    )


def _belebele(spec: TaskSpec, corpus: Rows, questions: Rows) -> RetrievalData:
    """Passages are told apart by their link, queries by their text; the link joins the two
    languages.
    """
    passages: dict[str, str] = {}
    for link, passage in zip(texts(corpus, "link"), texts(corpus, "flores_passage"), strict=True):
        passages.setdefault(link, passage.strip())
    doc_ids = {link: f"C{i}" for i, link in enumerate(passages)}
    query_texts, links = texts(questions, "question"), texts(questions, "link")
    query_ids = {text: f"Q{i}" for i, text in enumerate(dict.fromkeys(query_texts))}
    qrels: Qrels = {}
    for text, link in zip(query_texts, links, strict=True):
        if link not in doc_ids:
            raise DataError(
                f"{spec.name}: {questions.origin} links to {link!r}, which {corpus.origin} does "
                "not have."
            )
        qrels.setdefault(query_ids[text], {})[doc_ids[link]] = 1
    return RetrievalData(
        list(doc_ids.values()),
        list(passages.values()),
        list(query_ids.values()),
        list(query_ids),
        qrels,
    )
