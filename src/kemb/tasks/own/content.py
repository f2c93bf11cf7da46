"""What the tables of a folder hold: their values, converted and checked, each complaint with its
file and row.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from kemb.tasks.own.detect import NEUTRAL
from kemb.tasks.own.readers import Findings, Mapped, to_number
from kemb.tasks.spec import TaskSpec
from kemb.types import Label

Clean = dict[str, dict[str, list[Any]]]
"""Columns by table, under our names; whole only where there is no error."""

LONG_TEXT = 100_000
"""Characters; the longest contexts of embedding models (32 thousand tokens) hold less."""

_MAX_LABEL = 2**62
_MAX_GRADE = 1000
"""trec_eval counts the documents of every grade, so a grade is a small number."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_JAMO = re.compile(r"[\u1100-\u11ff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Hangul in UTF-8 read as Latin-1 or CP1252 (three characters a syllable), and in CP949 read as
# Latin-1 (two).
_MOJIBAKE = re.compile(r"(?:[êëìí][\x80-\xbfŒœŠšŸŽžƒˆ˜–-›€™]{2}){2}|(?:[\xb0-\xc8][\xa1-\xfe]){3}")
_ODD = re.compile(f"[\\ufffd\\x80-\\xff]|{_CONTROL.pattern}|{_JAMO.pattern}|{_SURROGATE.pattern}")


def check_content(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    """Convert and check all values of a folder's tables.

    :param spec: the task.
    :param tables: `corpus`, `queries`, `qrels/<split>`, or one table per split.
    :param findings: takes what is wrong.
    """
    match spec.type:
        case "retrieval":
            return _retrieval(spec, tables, findings)
        case "sts" | "pair_classification":
            return _pairs(spec, tables, findings)
        case _:
            return _labelled(spec, tables, findings)


# ---- values


def texts_of(table: Mapped, ours: str, findings: Findings, may_be_empty: bool = False) -> list[str]:
    """A column of text; what is not text becomes "" after its error is noted."""
    column = table.names[ours]
    texts: list[str] = []
    for row, value in zip(table.rows, table.columns[ours], strict=True):
        text = value if isinstance(value, str) else ""
        texts.append(text)
        if value is None and not may_be_empty:
            findings.error("missing value", table.file, "expected text", row=row, column=column)
        elif value is not None and not isinstance(value, str):
            findings.error(
                "wrong type", table.file, "expected text", row=row, column=column, value=value
            )
        elif not text.strip() and not may_be_empty:
            findings.error("empty text", table.file, "the text is empty", row=row, column=column)
        elif len(text) > LONG_TEXT or _ODD.search(text):
            _note_oddities(text, table.file, row, column, findings)
    return texts


def _note_oddities(text: str, file: str, row: int, column: str, findings: Findings) -> None:
    """Note what most likely went wrong before the file was written; texts stay as they are."""

    def around(position: int) -> str:
        return text[max(0, position - 10) : position + 20]

    if len(text) > LONG_TEXT:
        size = f"{len(text):,} characters ({len(text.encode('utf-8', 'replace')) / 1e6:.1f} MB)"
        findings.warn(
            "very long text",
            file,
            f"{size}: models read only the beginning",
            row=row,
            column=column,
        )
    _note_broken(text, file, row, column, findings)
    if (position := text.find("\ufffd")) >= 0:
        message = "U+FFFD stands where a character was lost in an earlier conversion"
        findings.warn(
            "lost character", file, message, row=row, column=column, value=around(position)
        )
    if match := _MOJIBAKE.search(text):
        message = "looks like Hangul read in the wrong encoding; convert the original again"
        findings.warn(
            "wrong encoding", file, message, row=row, column=column, value=around(match.start())
        )
    elif match := _CONTROL.search(text):
        message = f"control character U+{ord(match[0]):04X}"
        findings.warn(
            "control character", file, message, row=row, column=column, value=around(match.start())
        )
    if (match := _JAMO.search(text)) and not unicodedata.is_normalized("NFC", text):
        message = (
            "Hangul is decomposed into jamo (NFD); models expect NFC: "
            "unicodedata.normalize('NFC', text)"
        )
        findings.warn(
            "NFD Hangul", file, message, row=row, column=column, value=around(match.start())
        )


def _note_broken(text: str, file: str, row: int, column: str, findings: Findings) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file and no tokenizer can hold."""
    if match := _SURROGATE.search(text):
        message = f"half of a surrogate pair (\\u{ord(match[0]):04x}) is no character"
        findings.error("broken character", file, message, row=row, column=column)


def _ids(table: Mapped, ours: str, findings: Findings, unique: bool = False) -> list[str]:
    """A column of ids, exactly as written; whole numbers become their digits."""
    column = table.names[ours]
    ids: list[str] = []
    first: dict[str, int] = {}
    for row, value in zip(table.rows, table.columns[ours], strict=True):
        if value is None or value == "":
            findings.error("missing value", table.file, "expected an id", row=row, column=column)
            value = ""
        elif isinstance(value, bool) or not isinstance(value, str | int):
            message = "an id is text or a whole number"
            findings.error("wrong type", table.file, message, row=row, column=column, value=value)
        elif unique and first.setdefault(str(value), row) != row:
            message = f"this id is in row {first[str(value)]} already"
            findings.error(
                "repeated id", table.file, message, row=row, column=column, value=str(value)
            )
        ids.append(str(value))
        _note_broken(ids[-1], table.file, row, column, findings)
    return ids


def _number(value: object, table: Mapped, row: int, ours: str, findings: Findings) -> float:
    """A finite number; 0 after its error is noted."""
    number, column = to_number(value), table.names[ours]
    if value is None or value == "":
        findings.error("missing value", table.file, "expected a number", row=row, column=column)
    elif number is None:
        findings.error(
            "wrong type", table.file, "expected a number", row=row, column=column, value=value
        )
    elif not math.isfinite(number):
        findings.error(
            "not finite",
            table.file,
            "expected a finite number",
            row=row,
            column=column,
            value=value,
        )
    else:
        return number
    return 0.0


def _note_repeated(
    table: Mapped, keys: Iterable[tuple[str, ...]], kind: str, findings: Findings
) -> None:
    first: dict[tuple[str, ...], int] = {}
    for row, key in zip(table.rows, keys, strict=True):
        if any(key) and first.setdefault(key, row) != row:
            findings.warn(kind, table.file, f"the same as row {first[key]}", row=row, value=key[-1])


# ---- retrieval


def _retrieval(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    corpus, queries = tables["corpus"], tables["queries"]
    has_titles = "title" in corpus.columns
    titles = (
        texts_of(corpus, "title", findings, may_be_empty=True) if has_titles else [""] * len(corpus)
    )
    documents = {
        "id": _ids(corpus, "id", findings, unique=True),
        "title": titles,
        "text": texts_of(corpus, "text", findings, may_be_empty=True),
    }
    questions = {
        "id": _ids(queries, "id", findings, unique=True),
        "text": texts_of(queries, "text", findings),
    }
    for row, title, text in zip(corpus.rows, titles, documents["text"], strict=True):
        if not (title.strip() or text.strip()):
            findings.warn(
                "empty document",
                corpus.file,
                "neither title nor text",
                row=row,
                column=corpus.names["text"],
            )
    _note_repeated(
        corpus, zip(titles, documents["text"], strict=True), "repeated document", findings
    )
    _note_repeated(queries, zip(questions["text"], strict=True), "repeated query", findings)
    if not spec.ignore_identical_ids:
        _note_queries_in_corpus(queries, questions, documents, findings)
    clean: Clean = {"corpus": documents, "queries": questions}
    known_ids = {
        "query-id": (set(questions["id"]), queries.file),
        "corpus-id": (set(documents["id"]), corpus.file),
    }
    relevant: set[str] = set()
    for key, table in tables.items():
        if key.startswith("qrels/"):
            clean[key] = _judgments(table, known_ids, findings)
            scored = zip(clean[key]["query-id"], clean[key]["score"], strict=True)
            relevant |= {query_id for query_id, grade in scored if grade > 0}
    for row, query_id in zip(queries.rows, questions["id"], strict=True):
        if query_id not in relevant:
            message = "no document is relevant to this query"
            findings.warn(
                "no relevant document", queries.file, message, row=row, column="id", value=query_id
            )
    for split in spec.splits:
        if not any(grade > 0 for grade in clean[f"qrels/{split}"]["score"]):
            file = tables[f"qrels/{split}"].file
            findings.error("nothing to score", file, "no judgment is above 0")
    return clean


def _note_queries_in_corpus(
    queries: Mapped,
    questions: dict[str, list[Any]],
    documents: dict[str, list[Any]],
    findings: Findings,
) -> None:
    """Queries whose text is a document, which every model finds first."""
    ids_by_text: dict[str, list[str]] = {}
    for doc_id, title, text in zip(*documents.values(), strict=True):
        for whole in {text.strip(), f"{title} {text}".strip()}:
            ids_by_text.setdefault(whole, []).append(doc_id)
    for row, query_id, text in zip(queries.rows, *questions.values(), strict=True):
        doc_ids = ids_by_text.get(text.strip()) if text.strip() else None
        if doc_ids is None:
            continue
        if query_id in doc_ids:
            advice = "if it is not an answer, type in task.toml: ignore_identical_ids = true"
        else:
            advice = (
                "if it is not an answer, give document and query the same id and type in "
                "task.toml: ignore_identical_ids = true"
            )
        message = (
            f"the text of the document {doc_ids[0]!r}, which every model finds first; {advice}"
        )
        findings.warn("query in corpus", queries.file, message, row=row, column="text", value=text)


def _judgments(
    table: Mapped, known_ids: dict[str, tuple[set[str], str]], findings: Findings
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {ours: _ids(table, ours, findings) for ours in known_ids}
    for ours, (ids, file) in known_ids.items():
        for row, value in zip(table.rows, columns[ours], strict=True):
            if value and value not in ids:
                message = f"{file} has no such id"
                findings.error(
                    "unknown id",
                    table.file,
                    message,
                    row=row,
                    column=table.names[ours],
                    value=value,
                )
    grades = _grades(table, findings) if "score" in table.columns else [1] * len(table)
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for row, *pair, grade in zip(table.rows, *columns.values(), grades, strict=True):
        earlier, earlier_grade = first.setdefault((pair[0], pair[1]), (row, grade))
        if earlier != row:
            # The same judgment twice is harmless, two different ones are not.
            note = findings.warn if grade == earlier_grade else findings.error
            message = (
                f"judged in row {earlier} already, with {earlier_grade} there and {grade} here"
            )
            note("repeated judgment", table.file, message, row=row, value=" ".join(pair))
    return columns | {"score": grades}


def _grades(table: Mapped, findings: Findings) -> list[int]:
    grades = []
    for row, value in zip(table.rows, table.columns["score"], strict=True):
        number = _number(value, table, row, "score", findings)
        if number != int(number) or abs(number) > _MAX_GRADE:
            message = (
                "a relevance is a small whole number: 0 for not relevant, 1 or more for relevant"
            )
            findings.error(
                "wrong type", table.file, message, row=row, column=table.names["score"], value=value
            )
        grades.append(int(number))
    return grades


# ---- pairs


def _pairs(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    clean: Clean = {}
    convert = _scores if spec.type == "sts" else _pair_labels
    for split, table in tables.items():
        columns: dict[str, list[Any]] = {
            ours: texts_of(table, ours, findings) for ours in ("sentence1", "sentence2")
        }
        columns |= convert(spec, table, findings)
        clean[split] = columns
        _note_repeated_pairs(spec, table, columns, findings)
    for split in spec.splits:
        gold, table = clean[split][_gold_name(spec)], tables[split]
        classes = (
            {spec.labels.get(str(value)) for value in gold} - {None} if spec.labels else set(gold)
        )
        if len(classes) < 2:
            message = (
                f"only {len(classes)} different value(s) in {len(table)} rows: there is nothing "
                "to tell apart"
            )
            findings.error("one value", table.file, message, column=table.names[_gold_name(spec)])
    _note_leaks(spec, tables, clean, ("sentence1", "sentence2"), findings)
    return clean


def _gold_name(spec: TaskSpec) -> str:
    return "score" if spec.type == "sts" else "label"


def _scores(spec: TaskSpec, table: Mapped, findings: Findings) -> dict[str, list[Any]]:
    values = zip(table.rows, table.columns["score"], strict=True)
    return {"score": [_number(value, table, row, "score", findings) for row, value in values]}


def _pair_labels(spec: TaskSpec, table: Mapped, findings: Findings) -> dict[str, list[Any]]:
    """Labels 0 and 1, or the words that the specification maps to them."""
    labels: list[Label] = []
    column = table.names["label"]
    for row, value in zip(table.rows, table.columns["label"], strict=True):
        labels.append(0)
        if spec.labels and value is not None:
            word = str(value)
            labels[-1] = word
            _note_broken(word, table.file, row, column, findings)
            if word not in spec.labels and word.lower() not in NEUTRAL:
                message = f"is none of {', '.join(spec.labels)}: the row is dropped"
                findings.warn(
                    "dropped row", table.file, message, row=row, column=column, value=word
                )
            continue
        number = _number(value, table, row, "label", findings)
        if number in (0, 1):
            labels[-1] = int(number)
        else:
            message = "expected the label 0 or 1"
            findings.error("wrong label", table.file, message, row=row, column=column, value=value)
    return {"label": labels}


def _note_repeated_pairs(
    spec: TaskSpec, table: Mapped, columns: dict[str, list[Any]], findings: Findings
) -> None:
    """Pairs that stand twice, in this order or the other one."""
    hint = "" if spec.dedupe_pairs else "; dedupe_pairs = true in task.toml drops the second"
    first: dict[tuple[str, ...], tuple[int, str, object]] = {}
    gold = columns[_gold_name(spec)]
    for row, one, two, value in zip(
        table.rows, columns["sentence1"], columns["sentence2"], gold, strict=True
    ):
        if not (one and two):
            continue
        earlier, earlier_one, earlier_value = first.setdefault(
            tuple(sorted((one, two))), (row, one, value)
        )
        if earlier == row:
            continue
        other = (
            ""
            if earlier_value == value
            else f", but with {earlier_value!r} there and {value!r} here"
        )
        if earlier_one == one:
            findings.warn(
                "repeated pair",
                table.file,
                f"the same pair as row {earlier}{other}{hint}",
                row=row,
                value=one,
            )
        else:
            message = f"row {earlier} the other way round{other}{hint}"
            findings.warn("reversed pair", table.file, message, row=row, value=one)


# ---- labelled texts


def _labelled(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    clean: Clean = {}
    filled: dict[str, Mapped] = {}
    for split, whole in tables.items():
        table = _without_empty_rows(whole, findings)
        texts, labels = texts_of(table, "text", findings), _labels(table, findings)
        clean[split] = {"text": texts, "label": labels}
        filled[split] = table
        _note_repeated(table, zip(texts, strict=True), "repeated text", findings)
    tables = filled
    _refuse_mixed(tables, clean, findings)
    _note_alike_labels(tables, clean, findings)
    train = spec.classification.train_split
    for split in dict.fromkeys([*spec.splits, *([train] if spec.type == "classification" else [])]):
        values, table = set(clean[split]["label"]), tables[split]
        if len(values) < 2:
            message = "every row has the same label: there is nothing to tell apart"
            findings.error(
                "one value",
                table.file,
                message,
                column=table.names["label"],
                value=next(iter(values)),
            )
        elif not findings.n_errors and (spec.type == "clustering" or split == train):
            _note_single_texts(table, clean[split]["label"], findings)
    if spec.type == "classification":
        _note_leaks(spec, tables, clean, ("text",), findings)
        _note_unseen_labels(spec, tables, clean, findings)
    return clean


def _without_empty_rows(table: Mapped, findings: Findings) -> Mapped:
    """The rows that have a text; all where none has, which is an error."""
    texts = table.columns["text"]
    is_empty = [value is None or (isinstance(value, str) and not value.strip()) for value in texts]
    if not any(is_empty) or all(is_empty):
        return table
    for row, empty in zip(table.rows, is_empty, strict=True):
        if empty:
            message = "the text is empty: the row is dropped"
            findings.warn("empty row", table.file, message, row=row, column=table.names["text"])
    columns = {
        ours: [value for value, empty in zip(values, is_empty, strict=True) if not empty]
        for ours, values in table.columns.items()
    }
    rows = [row for row, empty in zip(table.rows, is_empty, strict=True) if not empty]
    return Mapped(table.file, rows, columns, table.names)


def _note_single_texts(table: Mapped, labels: list[Label], findings: Findings) -> None:
    """Classes of one text where others have more: it is alone in its cluster, or all that is
    learned of its class.
    """
    counts = Counter(labels)
    if set(counts.values()) == {1}:
        return
    column = table.names["label"]
    for row, label in zip(table.rows, labels, strict=True):
        if counts[label] == 1:
            message = "no other row has this label: a class of one text"
            findings.warn(
                "class of one text", table.file, message, row=row, column=column, value=label
            )


def _note_unseen_labels(
    spec: TaskSpec, tables: dict[str, Mapped], clean: Clean, findings: Findings
) -> None:
    """Scored labels that the training file lacks; where it lacks all of them nothing is scored."""
    train = spec.classification.train_split
    train_labels = set(clean[train]["label"])
    for split in spec.splits:
        table, labels = tables[split], clean[split]["label"]
        column = table.names["label"]
        if train_labels.isdisjoint(labels):
            message = (
                f"no label of this file is known from {tables[train].file}: write them alike in "
                "both"
            )
            findings.error(
                "unseen labels", table.file, message, column=column, value=next(iter(labels), None)
            )
            continue
        for row, label in zip(table.rows, labels, strict=True):
            if label not in train_labels:
                message = f"no row of {tables[train].file} has this label, so it cannot be learned"
                findings.warn(
                    "unseen label", table.file, message, row=row, column=column, value=label
                )


def _note_alike_labels(tables: dict[str, Mapped], clean: Clean, findings: Findings) -> None:
    """Labels that a reader takes for one and the same, but are two classes."""
    first_row: dict[str, tuple[Mapped, int]] = {}
    counts: Counter[str] = Counter()
    for split, table in tables.items():
        for row, label in zip(table.rows, clean[split]["label"], strict=True):
            if isinstance(label, str) and label:
                first_row.setdefault(label, (table, row))
                counts[label] += 1
    spellings: dict[str, list[str]] = {}
    for label, _ in counts.most_common():
        plain = "".join(unicodedata.normalize("NFKC", label).casefold().split())
        spellings.setdefault(plain, []).append(label)
    for usual, *others in spellings.values():
        for other in others:
            table, row = first_row[other]
            message = (
                f"differs from the label {usual!r} only by case, blanks or normal form, and is a "
                "class of its own: write them alike"
            )
            column = table.names["label"]
            findings.warn("labels alike", table.file, message, row=row, column=column, value=other)


def _labels(table: Mapped, findings: Findings) -> list[Label]:
    """Labels as text or whole numbers. CSV has no types: a column of nothing but whole numbers is
    numbers.
    """
    labels: list[Label] = []
    column = table.names["label"]
    for row, value in zip(table.rows, table.columns["label"], strict=True):
        if value is None or value == "":
            findings.error("missing value", table.file, "expected a label", row=row, column=column)
        elif isinstance(value, str):
            _note_broken(value, table.file, row, column, findings)
        elif not isinstance(value, int | float) or value != value // 1 or abs(value) > _MAX_LABEL:
            message = "expected one label, text or a whole number"
            findings.error("wrong type", table.file, message, row=row, column=column, value=value)
            value = None
        labels.append(int(value) if isinstance(value, int | float) else value or "")
    is_untyped = table.file.lower().endswith((".csv", ".tsv"))
    if is_untyped and all(
        re.fullmatch("0|-?[1-9][0-9]{0,17}", str(label or 0)) for label in labels
    ):
        return [int(label or 0) for label in labels]
    return labels


def _refuse_mixed(tables: dict[str, Mapped], clean: Clean, findings: Findings) -> None:
    """Labels are text in all splits or numbers in all; 1 and "1" would be two classes."""
    rows = [
        (table, row, label)
        for split, table in tables.items()
        for row, label in zip(table.rows, clean[split]["label"], strict=True)
        if label != ""
    ]
    for table, row, label in rows:
        if type(label) is not type(rows[0][2]):
            kind, other_kind = (
                ("a number", "text") if isinstance(label, int) else ("text", "a number")
            )
            message = (
                f"the label is {kind} here, but {other_kind} in {rows[0][0].file}, row "
                f"{rows[0][1]} ({rows[0][2]!r})"
            )
            findings.error(
                "mixed labels",
                table.file,
                message,
                row=row,
                column=table.names["label"],
                value=label,
            )


def _note_leaks(
    spec: TaskSpec,
    tables: dict[str, Mapped],
    clean: Clean,
    columns: tuple[str, ...],
    findings: Findings,
) -> None:
    """Scored texts that also stand in the training file."""
    train = spec.classification.train_split
    if train not in tables:
        return
    keys = zip(*(clean[train][ours] for ours in columns), strict=True)
    learned = dict(zip(keys, tables[train].rows, strict=True))
    for split in spec.splits:
        if split == train:
            continue
        for row, key in zip(
            tables[split].rows,
            zip(*(clean[split][ours] for ours in columns), strict=True),
            strict=True,
        ):
            if any(key) and key in learned:
                message = f"also in {tables[train].file}, row {learned[key]}: known from training"
                findings.warn("leak", tables[split].file, message, row=row, value=key[0])
