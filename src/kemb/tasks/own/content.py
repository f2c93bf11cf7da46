"""What the tables of a folder hold: their values, converted and checked, each complaint with its
file and row.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.detect import NEUTRAL
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.gold import normal_form
from kemb.tasks.own.judgments import Clean, check_retrieval
from kemb.tasks.own.values import note_broken, note_repeated, number_of, texts_of
from kemb.tasks.spec import TaskSpec
from kemb.types import Label

_MAX_LABEL = 2**62


def check_content(spec: TaskSpec, tables: dict[str, Mapped], findings: Findings) -> Clean:
    """Convert and check all values of a folder's tables.

    :param spec: the task.
    :param tables: `corpus`, `queries`, `qrels/<split>`, or one table per split.
    :param findings: takes what is wrong.
    """
    match spec.type:
        case "retrieval":
            return check_retrieval(spec, tables, findings)
        case "sts" | "pair_classification":
            return _pairs(spec, tables, findings)
        case _:
            return _labelled(spec, tables, findings)


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
    return {"score": [number_of(value, table, row, "score", findings) for row, value in values]}


def _pair_labels(spec: TaskSpec, table: Mapped, findings: Findings) -> dict[str, list[Any]]:
    """Labels 0 and 1, or the words that the specification maps to them."""
    labels: list[Label] = []
    column = table.names["label"]
    for row, value in zip(table.rows, table.columns["label"], strict=True):
        labels.append(0)
        if spec.labels and value is not None:
            word = str(value)
            labels[-1] = word
            note_broken(word, table.file, row, column, findings)
            if word not in spec.labels and word.lower() not in NEUTRAL:
                message = f"is none of {', '.join(spec.labels)}: the row is dropped"
                findings.warn(
                    "dropped row", table.file, message, row=row, column=column, value=word
                )
            continue
        number = number_of(value, table, row, "label", findings)
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
        note_repeated(table, zip(texts, strict=True), "repeated text", findings)
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
        plain = normal_form(label)
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
            note_broken(value, table.file, row, column, findings)
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
