"""What the tables of a folder hold: their values, converted and checked, each complaint with its
file and row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kemb.messages import note
from kemb.tasks.own.columns import Mapped
from kemb.tasks.own.decisions import Clean
from kemb.tasks.own.detect import NEUTRAL
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.gold import normal_form
from kemb.tasks.own.judgments import check_retrieval
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
        columns: dict[str, Sequence[Any]] = {
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
            message = note("finding.one_value", n=len(classes), n_rows=len(table))
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
                message = note("finding.dropped_row", labels=list(spec.labels))
                findings.warn(
                    "dropped row", table.file, message, row=row, column=column, value=word
                )
            continue
        number = number_of(value, table, row, "label", findings)
        if number in (0, 1):
            labels[-1] = int(number)
        else:
            message = note("finding.wrong_label")
            findings.error("wrong label", table.file, message, row=row, column=column, value=value)
    return {"label": labels}


def _note_repeated_pairs(
    spec: TaskSpec, table: Mapped, columns: dict[str, Sequence[Any]], findings: Findings
) -> None:
    """Pairs that stand twice, in this order or the other one."""
    hint = "" if spec.dedupe_pairs else note("finding.dedupe_pairs")
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
            else note("finding.other_value", there=repr(earlier_value), here=repr(value))
        )
        if earlier_one == one:
            findings.warn(
                "repeated pair",
                table.file,
                note("finding.repeated_pair", earlier=earlier, other=other, hint=hint),
                row=row,
                value=one,
            )
        else:
            message = note("finding.reversed_pair", earlier=earlier, other=other, hint=hint)
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
        note_repeated(table, "repeated text", findings, texts)
    tables = filled
    _refuse_mixed(tables, clean, findings)
    _note_alike_labels(tables, clean, findings)
    train = spec.classification.train_split
    for split in dict.fromkeys([*spec.splits, *([train] if spec.type == "classification" else [])]):
        values, table = set(clean[split]["label"]), tables[split]
        if len(values) < 2:
            message = note("finding.one_label")
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
            message = note("finding.empty_row")
            findings.warn("empty row", table.file, message, row=row, column=table.names["text"])
    columns = {
        ours: [value for value, empty in zip(values, is_empty, strict=True) if not empty]
        for ours, values in table.columns.items()
    }
    rows = [row for row, empty in zip(table.rows, is_empty, strict=True) if not empty]
    return Mapped(table.file, rows, columns, table.names)


def _note_single_texts(table: Mapped, labels: Sequence[Label], findings: Findings) -> None:
    """Classes of one text where others have more: it is alone in its cluster, or all that is
    learned of its class.
    """
    counts = Counter(labels)
    if set(counts.values()) == {1}:
        return
    column = table.names["label"]
    for row, label in zip(table.rows, labels, strict=True):
        if counts[label] == 1:
            message = note("finding.class_of_one_text")
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
            message = note("finding.unseen_labels", file=tables[train].file)
            findings.error(
                "unseen labels", table.file, message, column=column, value=next(iter(labels), None)
            )
            continue
        for row, label in zip(table.rows, labels, strict=True):
            if label not in train_labels:
                message = note("finding.unseen_label", file=tables[train].file)
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
            message = note("finding.labels_alike", usual=repr(usual))
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
            findings.error(
                "missing value", table.file, note("finding.expected_label"), row=row, column=column
            )
        elif isinstance(value, str):
            note_broken(value, table.file, row, column, findings)
        elif not isinstance(value, int | float) or value != value // 1 or abs(value) > _MAX_LABEL:
            message = note("finding.label_type")
            findings.error("wrong type", table.file, message, row=row, column=column, value=value)
            value = None
        labels.append(int(value) if isinstance(value, int | float) else value or "")
    is_untyped = table.file.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
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
    number, text = note("finding.a_number"), note("finding.a_text")
    for table, row, label in rows:
        if type(label) is not type(rows[0][2]):
            kind, other_kind = (number, text) if isinstance(label, int) else (text, number)
            message = note(
                "finding.mixed_labels",
                kind=kind,
                other_kind=other_kind,
                file=rows[0][0].file,
                row=rows[0][1],
                value=repr(rows[0][2]),
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
                message = note("finding.leak", file=tables[train].file, row=learned[key])
                findings.warn("leak", tables[split].file, message, row=row, value=key[0])
