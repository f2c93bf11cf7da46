"""What a folder of tables is: the task type, and which column is what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kemb.messages import Note, Text, note
from kemb.tasks.own.columns import (
    LABELS,
    PAIRS,
    Aliases,
    column_values,
    match_columns,
    note_missing,
    plain_name,
    to_number,
)
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.marks import numbers_spelled, with_numbers, yes_and_no
from kemb.tasks.own.outline import TOML, Draft, Files, Settings, by_split, choose_splits
from kemb.tasks.own.questions import chunk_files, question_files, questions_with_gold
from kemb.tasks.own.retrieval import autorag, beir, map_file, renamed
from kemb.tasks.spec import ClassificationProtocol, ClusteringProtocol, Source
from kemb.types import TaskType

ENTAILMENT = {"entailment", "함의"}


CONTRADICTION = {"contradiction", "not_entailment", "모순"}


NEUTRAL = {"neutral", "중립"}


_LEAST_TEXTS = 20
"""With fewer texts classes of one text are no reason to doubt that they are classes."""


GOLD = {"sts": "score", "pair_classification": "label"}
"""Our name of the gold column of each type of pairs."""


def detect(
    files: Files, roles: dict[str, str], settings: Settings, findings: Findings
) -> Draft | None:
    """Apply the rules; None, and findings, if the files do not make a task."""
    qa = [
        file
        for file, table in files.items()
        if table and "retrievalgt" in map(plain_name, table.columns)
    ]
    role_names = set(roles.values())
    declared_type = settings.get("type")
    has_judgments = "qrels" in role_names and not role_names.isdisjoint(("corpus", "queries"))
    questions: list[str] = []
    if not has_judgments and declared_type in (None, "retrieval"):
        questions = question_files(files, roles, settings)
    if qa:
        draft = autorag(files, qa, settings, findings)
    elif questions:
        chunks = chunk_files(files, roles, settings, questions)
        draft = questions_with_gold(files, questions, chunks, settings, findings)
    elif role_names == {"corpus"}:
        _refuse_chunks_alone(files, findings)
        draft = None
    elif has_judgments or "corpus" in role_names or declared_type == "retrieval":
        draft = beir(files, roles, settings, findings)
    else:
        draft = _rows(files, settings, findings)
    if draft is None:
        _note_absent_columns(files, settings, findings)
    if draft and declared_type and draft.fields["type"] != declared_type:
        message = note("finding.other_type", type=draft.fields["type"], rule=draft.rules[0])
        findings.error("task.toml", TOML, message, column="type", value=declared_type)
        return None
    return draft


def _refuse_chunks_alone(files: Files, findings: Findings) -> None:
    message = note("finding.chunks_alone")
    findings.error("missing file", ", ".join(files), message)


def _note_absent_columns(files: Files, settings: Settings, findings: Findings) -> None:
    """Columns that task.toml names and no file has, where they may be why nothing is understood."""
    tables = [table for table in files.values() if table is not None]
    for ours, name in settings.get("columns", {}).items():
        if all(column_values(table, name) is None for table in tables):
            columns = list(dict.fromkeys(one for table in tables for one in table.columns))
            message = note("finding.absent_column", columns=columns)
            findings.error("task.toml", TOML, message, column=ours, value=name)


# ---- one file per split


def _rows(files: Files, settings: Settings, findings: Findings) -> Draft | None:
    file_of_split = by_split(files, "test" if len(files) == 1 else "", findings)
    if not file_of_split:
        message = note("finding.unknown_files")
        findings.error("unknown files", ", ".join(files), message)
        return None
    splits, split_rule = choose_splits(file_of_split, settings, findings)
    scored = [files[file_of_split[split]] for split in splits]
    tables = [table for table in scored if table is not None]
    if not scored or len(tables) < len(scored):
        return None
    if _are_pairs(tables[0], settings):
        shaped = _pairs(tables, settings, findings)
    else:
        shaped = _labelled(tables[0], file_of_split, settings, findings)
    if shaped is None:
        return None
    # Every file must have the columns of the first one: the TOML has one name for each.
    first_columns = {"columns": shaped.columns}
    mapped = {
        split: map_file(files, file, shaped.aliases, first_columns, findings)
        for split, file in file_of_split.items()
    }
    whole = {
        split: with_numbers(table, GOLD[shaped.type], findings) if shaped.type in GOLD else table
        for split, table in mapped.items()
        if table is not None
    }
    if len(whole) < len(mapped):
        return None
    columns = renamed(whole[splits[0]])
    fields: dict[str, Any] = {
        "type": shaped.type,
        "labels": shaped.labels,
        "splits": splits,
        "source": Source(),
        "columns": columns,
    }
    if shaped.type == "clustering" and "clustering" not in settings:
        # mteb draws 16,384 whatever the size of the data; more draws than texts cost time and tell
        # nothing.
        n_texts = max(len(whole[split].rows) for split in splits)
        fields["clustering"] = ClusteringProtocol(documents_per_experiment=min(n_texts, 16384))
    layout = "one file" if len(file_of_split) == 1 else "one file per split"
    return Draft(fields, layout, [*shaped.rules, split_rule], whole)


class _Shape(NamedTuple):
    type: TaskType
    aliases: Aliases
    columns: dict[str, str]
    labels: dict[str, str | int]
    rules: list[Text]


def _are_pairs(table: Table, settings: Settings) -> bool:
    if "type" in settings:
        return settings["type"] in GOLD
    columns = settings.get("columns", {})
    sentences = match_columns(table, PAIRS, columns).keys() & {"sentence1", "sentence2"}
    return len(sentences) == 2 or (
        len(sentences) == 1 and len(match_columns(table, LABELS, columns)) < 2
    )


def _pairs(tables: list[Table], settings: Settings, findings: Findings) -> _Shape | None:
    """Pairs of texts: the gold column's values decide the type."""
    names = match_columns(tables[0], PAIRS, settings.get("columns", {}))
    order = (
        ("label", "score") if settings.get("type") == "pair_classification" else ("score", "label")
    )
    gold = next((ours for ours in order if ours in names), None)
    if gold is None:
        note_missing(tables[0], order[0], PAIRS["score"][:2] + PAIRS["label"][:2], findings)
        return None
    values = [value for table in tables for value in column_values(table, names[gold]) or []]
    decided = _pair_type(values, tables[0].file, names[gold], settings, findings)
    if decided is None:
        return None
    type_, labels, rule = decided
    columns = {ours: names[ours] for ours in ("sentence1", "sentence2") if ours in names} | {
        GOLD[type_]: names[gold]
    }
    aliases = {ours: PAIRS[ours] for ours in ("sentence1", "sentence2", GOLD[type_])}
    return _Shape(type_, aliases, columns, labels, [rule])


def _pair_type(
    values: list[object], file: str, column: str, settings: Settings, findings: Findings
) -> tuple[TaskType, dict[str, str | int], Note] | None:
    """The type of pairs with these gold values, the labels to map, and the rule; None if the values
    do not say.
    """
    if "type" in settings or "labels" in settings:
        labels = settings.get("labels") or _entailment(values)
        return settings.get("type", "pair_classification"), labels, note("rule.toml_type")
    spelled = numbers_spelled(values) or values
    numbers = [number for value in spelled if (number := to_number(value)) is not None]
    if 2 * len(numbers) >= len(values):
        kinds = set(numbers)
        if kinds <= {0.0, 1.0}:
            return (
                "pair_classification",
                {},
                note("rule.zero_and_one", column=repr(column)),
            )
        if kinds <= {0.0, 1.0, 2.0} and plain_name(column) in PAIRS["label"]:
            message = note("finding.labels_of_three")
            findings.error("unclear labels", file, message, column=column)
            return None
        return "sts", {}, note("rule.sts", column=repr(column))
    labels = _entailment(values)
    if set(labels.values()) == {0, 1}:
        rule = note("rule.entailment", column=repr(column), labels=str(labels))
        return "pair_classification", labels, rule
    labels = yes_and_no(values)
    if labels:
        message = note("finding.yes_and_no", labels=str(labels))
        findings.warn("labels decided", file, message, column=column)
        rule = note("rule.yes_and_no", column=repr(column), labels=str(labels))
        return "pair_classification", labels, rule
    message = note("finding.unclear_labels")
    words = sorted({str(value) for value in values})
    findings.error("unclear labels", file, message, column=column, value=", ".join(words[:4]))
    return None


def _entailment(values: list[object]) -> dict[str, str | int]:
    words = sorted({value for value in values if isinstance(value, str)})
    return {
        word: int(word.lower() in ENTAILMENT)
        for word in words
        if word.lower() in ENTAILMENT | CONTRADICTION
    }


def _labelled(
    table: Table, file_of_split: Mapping[str, str], settings: Settings, findings: Findings
) -> _Shape | None:
    """Texts with labels: a train file makes the difference between classification and
    clustering.
    """
    type_: TaskType
    if len(file_of_split) > 1 and "train" in file_of_split:
        type_, why = "classification", note("rule.train_beside")
    else:
        type_, why = "clustering", note("rule.no_train_beside")
    if "type" in settings:
        type_, why = settings["type"], note("rule.toml_says_so")
    protocol: ClassificationProtocol = settings.get("classification", ClassificationProtocol())
    if type_ == "classification" and protocol.train_split not in file_of_split:
        message = note("finding.no_train_file", split=protocol.train_split)
        findings.error("missing file", table.file, message)
        return None
    names = match_columns(table, LABELS, settings.get("columns", {}))
    if not names:
        message = note("finding.no_usual_column", columns=list(table.columns))
        findings.error("missing column", table.file, message)
        return None
    if "label" not in names:
        message = note("finding.no_label_column", columns=list(table.columns))
        findings.error("missing column", table.file, message, column="label")
        return None
    if "type" not in settings and _are_no_labels(table, names["label"]):
        message = note("finding.unlikely_labels", type=type_)
        findings.error("unlikely labels", table.file, message, column=names["label"])
        return None
    rule = note("rule.labelled", type=type_.capitalize(), why=why)
    return _Shape(type_, LABELS, names, settings.get("labels", {}), [rule])


def _are_no_labels(table: Table, column: str) -> bool:
    """Whether so many values differ that they are names or texts; a few rows may be all unlike."""
    values = [str(value) for value in column_values(table, column) or [] if value not in (None, "")]
    return len(values) >= _LEAST_TEXTS and len(set(values)) > len(values) / 2
