"""What a folder of tables is: the task type, and which column is what."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kemb.tasks.own import readers
from kemb.tasks.own.readers import (
    DATA_SUFFIXES,
    Aliases,
    Findings,
    Mapped,
    Table,
    column_values,
    map_columns,
    match_columns,
    note_missing,
    plain_name,
    to_number,
)
from kemb.tasks.spec import ClassificationProtocol, ClusteringProtocol, Source
from kemb.types import TaskType

TOML = "task.toml"


SPLIT_WORDS = {
    **{"train": "train", "training": "train", "학습": "train", "훈련": "train"},
    **{"test": "test", "시험": "test", "테스트": "test", "평가": "test"},
    **{
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "검증": "validation",
        "dev": "dev",
    },
}


ROLE_WORDS = {
    **{
        "corpus": "corpus",
        "documents": "corpus",
        "docs": "corpus",
        "passages": "corpus",
        "문서": "corpus",
    },
    **{
        "queries": "queries",
        "query": "queries",
        "questions": "queries",
        "질문": "queries",
        "질의": "queries",
    },
    "qrels": "qrels",
}


ENTAILMENT = {"entailment", "함의"}


CONTRADICTION = {"contradiction", "not_entailment", "모순"}


NEUTRAL = {"neutral", "중립"}


GOLD = {"sts": "score", "pair_classification": "label"}
"""Our name of the gold column of each type of pairs."""


Files = dict[str, Table | None]
"""Data files by name; None where a file could not be read, which is noted already."""


Settings = dict[str, Any]
"""Fields of a TaskSpec that task.toml sets, validated."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the files decide; task.toml comes over it.

    `tables` has `corpus`, `queries` and one `qrels/<split>` per split for retrieval, else one entry
        per split
    (`train` included where there is such a file).
    """

    fields: dict[str, Any]
    """Fields of the TaskSpec."""
    layout: str
    rules: list[str]
    tables: dict[str, Mapped]
    other_splits: tuple[str, ...] = ()
    """Files of splits that are not scored and not needed."""
    groups: dict[str, list[list[str]]] | None = None
    """By query, AutoRAG's groups: a document of every group answers it in full. None where each
    query has one group of one document.
    """


def role_of(file: str) -> str:
    """`corpus`, `queries` or `qrels` by the name of a file, or nothing."""
    folder = file.partition("/")[0] if "/" in file else ""
    if folder in ("qrels", "corpus", "queries"):
        return folder
    return next((ROLE_WORDS[word] for word in _words(file) if word in ROLE_WORDS), "")


def split_of(file: str) -> str:
    """The split a file's name speaks of, or nothing."""
    return next((SPLIT_WORDS[word] for word in reversed(_words(file)) if word in SPLIT_WORDS), "")


def _words(file: str) -> list[str]:
    return re.split(r"[\W_]+", unicodedata.normalize("NFC", Path(file).stem).lower())


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
    if qa:
        draft = _autorag(files, qa, settings, findings)
    elif (
        "corpus" in role_names
        or {"queries", "qrels"} <= role_names
        or settings.get("type") == "retrieval"
    ):
        draft = _beir(files, roles, settings, findings)
    else:
        draft = _rows(files, settings, findings)
    declared_type = settings.get("type")
    if draft and declared_type and draft.fields["type"] != declared_type:
        message = f"task.toml says so, but the files are {draft.fields['type']}: {draft.rules[0]}"
        findings.error("task.toml", TOML, message, column="type", value=declared_type)
        return None
    return draft


def _only(files: list[str], what: str, findings: Findings) -> str | None:
    """The one file of a kind; none or several are an error."""
    if len(files) == 1:
        return files[0]
    if files:
        findings.error(
            "several files",
            ", ".join(files),
            f"expected one file for {what}. If these are parts of one table, name them "
            f"{what}-00000-of-{len(files):05}.* and so on; if they are versions of it, make a "
            "folder with one of them and the other files of the task",
        )
    else:
        message = f"retrieval needs a file of this name ({', '.join(DATA_SUFFIXES)})"
        findings.error("missing file", what, message)
    return None


def _by_split(files: Iterable[str], fallback: str, findings: Findings) -> dict[str, str]:
    """Split -> file, by the words in their names; `fallback` where a name has none."""
    file_of_split: dict[str, str] = {}
    for file in files:
        split = split_of(file) or fallback
        if split in file_of_split:
            findings.error(
                "several files",
                file,
                f"{file_of_split[split]} is the file of split {split} already",
            )
        elif split:
            file_of_split[split] = file
    return file_of_split


def _choose_splits(
    splits: Iterable[str], settings: Settings, findings: Findings
) -> tuple[list[str], str]:
    """The splits to score, and the rule that chose them."""
    splits = list(splits)
    declared_splits: list[str] = settings.get("splits", [])
    for split in declared_splits:
        if split not in splits:
            message = f"there is no file for it; found {', '.join(splits)}"
            findings.error("task.toml", TOML, message, column="splits", value=split)
    if declared_splits:
        scored = [split for split in declared_splits if split in splits]
        return scored, "task.toml names the splits."
    if "test" in splits:
        return ["test"], "The split test is scored."
    rest = [split for split in splits if split != "train"] or splits
    return rest, f"There is no test file, so {', '.join(rest)} is scored."


# ---- retrieval


def _autorag(files: Files, qa: list[str], settings: Settings, findings: Findings) -> Draft | None:
    corpora = [
        file
        for file, table in files.items()
        if table and file not in qa and {"docid", "contents"} <= set(map(plain_name, table.columns))
    ]
    corpus_file = _only(corpora, "corpus", findings)
    qa_by_split = _qa_by_split(qa, findings)
    if not qa_by_split or corpus_file is None:
        return None
    splits, split_rule = _choose_splits(qa_by_split, settings, findings)
    corpus = _map(files, corpus_file, readers.CORPUS, settings, findings, "corpus.")
    mapped = [
        _map(files, qa_by_split[split], readers.AUTORAG_QA, settings, findings, "queries.")
        for split in splits
    ]
    questions = [table for table in mapped if table is not None]
    if corpus is None or not questions or len(questions) < len(mapped):
        return None
    rules = [
        f"AutoRAG, because {questions[0].file} has a column retrieval_gt: every document named "
        "there is relevant (1), and recall, F1, MRR and MAP count its groups, as AutoRAG does.",
        *([split_rule] if len(qa) > 1 else []),
    ]
    tables = {"corpus": corpus, "queries": _one_after_the_other(questions)}
    groups: dict[str, list[list[str]]] = {}
    for split, table in zip(splits, questions, strict=True):
        tables[f"qrels/{split}"] = _flatten_gt(table, groups, findings)
    columns = _renamed(corpus, "corpus.") | _renamed(questions[0], "queries.")
    is_flat = all(sum(map(len, of_query)) <= 1 for of_query in groups.values())
    others = tuple(file for file in qa if file not in {table.file for table in questions})
    fields = _retrieval(splits, columns)
    return Draft(fields, "AutoRAG", rules, tables, others, None if is_flat else groups)


def _qa_by_split(qa: list[str], findings: Findings) -> dict[str, str]:
    """Split -> file of questions; several files need a split in each name."""
    if len(qa) == 1:
        return {split_of(qa[0]) or "test": qa[0]}
    by_split = {split: file for file in qa if (split := split_of(file))}
    if len(by_split) < len(qa):
        message = (
            "several files of questions: put another split into each name, the one that is to be "
            "scored as in qa_test.parquet, the others as in qa_train.parquet"
        )
        findings.error("several files", ", ".join(qa), message)
        return {}
    return by_split


def _one_after_the_other(tables: list[Mapped]) -> Mapped:
    """The rows of several tables of the same columns."""
    first = tables[0]
    columns = {
        ours: [value for table in tables for value in table.columns[ours]] for ours in first.columns
    }
    rows = [row for table in tables for row in table.rows]
    return Mapped(", ".join(table.file for table in tables), rows, columns, first.names)


def _flatten_gt(
    questions: Mapped, groups_by_query: dict[str, list[list[str]]], findings: Findings
) -> Mapped:
    """Judgments from nested lists: of AutoRAG's "(a or b) and c" a, b and c are each relevant.

    :param groups_by_query: takes the groups of every query.
    """
    flat: list[tuple[int, object, object]] = []
    gold = questions.columns["retrieval_gt"]
    for row, query_id, groups in zip(questions.rows, questions.columns["id"], gold, strict=True):
        if not isinstance(groups, list):
            message = "expected a list of lists of document ids"
            findings.error(
                "wrong type", questions.file, message, row=row, column="retrieval_gt", value=groups
            )
            continue
        nested = [group if isinstance(group, list) else [group] for group in groups]
        of_query = [[one for one in group if one != ""] for group in nested]
        ids = [one for group in of_query for one in group]
        groups_by_query[str(query_id)] = [list(map(str, group)) for group in of_query if group]
        flat += [(row, query_id, one) for one in dict.fromkeys(ids)]
    columns: dict[str, list[object]] = {
        "query-id": [query_id for _, query_id, _ in flat],
        "corpus-id": [one for _, _, one in flat],
    }
    names = {"query-id": questions.names["id"], "corpus-id": questions.names["retrieval_gt"]}
    return Mapped(questions.file, [row for row, _, _ in flat], columns, names)


def _beir(
    files: Files, roles: dict[str, str], settings: Settings, findings: Findings
) -> Draft | None:
    by_role = {
        role: [file for file in files if roles[file] == role]
        for role in ("corpus", "queries", "qrels")
    }
    corpus_file, queries_file = (
        _only(by_role[role], role, findings) for role in ("corpus", "queries")
    )
    if not by_role["qrels"]:
        _only([], "qrels", findings)
    judged = {
        split_of(file) or (Path(file).stem if file.startswith("qrels/") else "test"): file
        for file in by_role["qrels"]
    }
    if len(judged) < len(by_role["qrels"]):
        findings.error(
            "several files",
            ", ".join(by_role["qrels"]),
            "two of these files are for the same split",
        )
    if corpus_file is None or queries_file is None or not judged:
        return None
    splits, split_rule = _choose_splits(judged, settings, findings)
    corpus = _map(files, corpus_file, readers.CORPUS, settings, findings, "corpus.")
    queries = _map(files, queries_file, readers.QUERIES, settings, findings, "queries.")
    qrels = {
        split: _map(files, file, readers.QRELS, settings, findings, "qrels.")
        for split, file in judged.items()
    }
    tables = {"corpus": corpus, "queries": queries} | {
        f"qrels/{split}": table for split, table in qrels.items()
    }
    whole = {key: table for key, table in tables.items() if table is not None}
    if len(whole) < len(tables) or not splits:
        return None
    columns = _renamed(whole["corpus"], "corpus.") | _renamed(whole["queries"], "queries.")
    columns |= _renamed(whole[f"qrels/{splits[0]}"], "qrels.")
    rules = [
        "Retrieval in BEIR's layout, because there are files for corpus, queries and qrels.",
        split_rule,
    ]
    return Draft(_retrieval(splits, columns), "BEIR", rules, whole)


def _retrieval(splits: list[str], columns: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "retrieval",
        "splits": splits,
        "source": Source(layout="beir"),
        "columns": columns,
    }


def _map(
    files: Files,
    file: str,
    aliases: Aliases,
    settings: Settings,
    findings: Findings,
    prefix: str = "",
) -> Mapped | None:
    table = files[file]
    return (
        None
        if table is None
        else map_columns(table, aliases, settings.get("columns", {}), findings, prefix)
    )


def _renamed(table: Mapped, prefix: str = "") -> dict[str, str]:
    """The columns whose name in the file is not ours."""
    return {prefix + ours: name for ours, name in table.names.items() if ours != name}


# ---- one file per split


def _rows(files: Files, settings: Settings, findings: Findings) -> Draft | None:
    by_split = _by_split(files, "test" if len(files) == 1 else "", findings)
    if not by_split:
        message = (
            "the names say nothing: expected corpus, queries and qrels, or train and test, "
            "or one file alone"
        )
        findings.error("unknown files", ", ".join(files), message)
        return None
    splits, split_rule = _choose_splits(by_split, settings, findings)
    scored = [files[by_split[split]] for split in splits]
    tables = [table for table in scored if table is not None]
    if not scored or len(tables) < len(scored):
        return None
    if _are_pairs(tables[0], settings):
        shaped = _pairs(tables, settings, findings)
    else:
        shaped = _labelled(tables[0], by_split, settings, findings)
    if shaped is None:
        return None
    # Every file must have the columns of the first one: the TOML has one name for each.
    first_columns = {"columns": shaped.columns}
    mapped = {
        split: _map(files, file, shaped.aliases, first_columns, findings)
        for split, file in by_split.items()
    }
    whole = {split: table for split, table in mapped.items() if table is not None}
    if len(whole) < len(mapped):
        return None
    columns = _renamed(whole[splits[0]])
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
    layout = "one file" if len(by_split) == 1 else "one file per split"
    return Draft(fields, layout, [*shaped.rules, split_rule], whole)


class _Shape(NamedTuple):
    type: TaskType
    aliases: Aliases
    columns: dict[str, str]
    labels: dict[str, str | int]
    rules: list[str]


def _are_pairs(table: Table, settings: Settings) -> bool:
    if "type" in settings:
        return settings["type"] in GOLD
    columns = settings.get("columns", {})
    sentences = match_columns(table, readers.PAIRS, columns).keys() & {"sentence1", "sentence2"}
    return len(sentences) == 2 or (
        len(sentences) == 1 and len(match_columns(table, readers.LABELS, columns)) < 2
    )


def _pairs(tables: list[Table], settings: Settings, findings: Findings) -> _Shape | None:
    """Pairs of texts: the gold column's values decide the type."""
    names = match_columns(tables[0], readers.PAIRS, settings.get("columns", {}))
    order = (
        ("label", "score") if settings.get("type") == "pair_classification" else ("score", "label")
    )
    gold = next((ours for ours in order if ours in names), None)
    if gold is None:
        note_missing(
            tables[0], order[0], readers.PAIRS["score"][:2] + readers.PAIRS["label"][:2], findings
        )
        return None
    values = [value for table in tables for value in column_values(table, names[gold]) or []]
    decided = _pair_type(values, tables[0].file, names[gold], settings, findings)
    if decided is None:
        return None
    type_, labels, rule = decided
    columns = {ours: names[ours] for ours in ("sentence1", "sentence2") if ours in names} | {
        GOLD[type_]: names[gold]
    }
    aliases = {ours: readers.PAIRS[ours] for ours in ("sentence1", "sentence2", GOLD[type_])}
    return _Shape(type_, aliases, columns, labels, [rule])


def _pair_type(
    values: list[object], file: str, column: str, settings: Settings, findings: Findings
) -> tuple[TaskType, dict[str, str | int], str] | None:
    """The type of pairs with these gold values, the labels to map, and the rule; None if the values
    do not say.
    """
    if "type" in settings or "labels" in settings:
        labels = settings.get("labels") or _entailment(values)
        return settings.get("type", "pair_classification"), labels, "The type is task.toml's."
    numbers = [number for value in values if (number := to_number(value)) is not None]
    if 2 * len(numbers) >= len(values):
        kinds = set(numbers)
        if kinds <= {0.0, 1.0}:
            return (
                "pair_classification",
                {},
                f"Pair classification, because {column!r} holds only 0 and 1.",
            )
        if kinds <= {0.0, 1.0, 2.0} and plain_name(column) in readers.PAIRS["label"]:
            message = (
                "0, 1 and 2: say in task.toml which are 1 and 0 (others are dropped): labels "
                "= { 0 = 1, 2 = 0 }"
            )
            findings.error("unclear labels", file, message, column=column)
            return None
        return "sts", {}, f"STS, because {column!r} holds numbers other than 0 and 1."
    labels = _entailment(values)
    if set(labels.values()) == {0, 1}:
        rule = (
            f"Pair classification, because {column!r} holds entailment words: {labels}; other "
            "rows are dropped."
        )
        return "pair_classification", labels, rule
    message = (
        "expected numbers, or 0 and 1, or entailment and contradiction; other words are mapped in "
        "task.toml, for example: labels = { same = 1, different = 0 }"
    )
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
    table: Table, by_split: Mapping[str, str], settings: Settings, findings: Findings
) -> _Shape | None:
    """Texts with labels: a train file makes the difference between classification and
    clustering.
    """
    type_: TaskType
    if len(by_split) > 1 and "train" in by_split:
        type_, why = "classification", "a train file and another one."
    else:
        type_, why = "clustering", "but no train file beside another one."
    if "type" in settings:
        type_, why = settings["type"], "and task.toml says so."
    protocol: ClassificationProtocol = settings.get("classification", ClassificationProtocol())
    if type_ == "classification" and protocol.train_split not in by_split:
        message = (
            f"classification learns from the split {protocol.train_split}; add a file "
            f"{protocol.train_split}.*"
        )
        findings.error("missing file", table.file, message)
        return None
    names = match_columns(table, readers.LABELS, settings.get("columns", {}))
    if not names:
        message = (
            f"found the columns {', '.join(table.columns)}; pairs need sentence1, sentence2 and "
            "score or label, classification and clustering need text and label: rename them, or "
            "name them in task.toml"
        )
        findings.error("missing column", table.file, message)
        return None
    rule = f"{type_.capitalize()}, because there are text and label, {why}"
    return _Shape(type_, readers.LABELS, names, settings.get("labels", {}), [rule])
