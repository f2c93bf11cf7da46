"""Retrieval out of files for corpus, queries and judgments, and out of AutoRAG's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kemb.messages import Text, note
from kemb.tasks.own.columns import (
    AUTORAG_QA,
    CORPUS,
    QRELS,
    QUERIES,
    Aliases,
    Mapped,
    map_columns,
    plain_name,
)
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.gold import flat_texts, parse_list
from kemb.tasks.own.outline import Draft, Files, Settings, choose_splits, only, split_of
from kemb.tasks.spec import Source


def autorag(files: Files, qa: list[str], settings: Settings, findings: Findings) -> Draft | None:
    corpora = [
        file
        for file, table in files.items()
        if table and file not in qa and {"docid", "contents"} <= set(map(plain_name, table.columns))
    ]
    corpus_file = only(corpora, "corpus", findings)
    file_of_split = qa_by_split(qa, findings)
    if not file_of_split or corpus_file is None:
        return None
    splits, split_rule = choose_splits(file_of_split, settings, findings)
    corpus = map_file(files, corpus_file, CORPUS, settings, findings, "corpus.")
    mapped = [
        map_file(files, file_of_split[split], AUTORAG_QA, settings, findings, "queries.")
        for split in splits
    ]
    questions = [table for table in mapped if table is not None]
    if corpus is None or not questions or len(questions) < len(mapped):
        return None
    rules: list[Text] = [
        note("rule.autorag", file=questions[0].file),
        *([split_rule] if len(qa) > 1 else []),
    ]
    tables = {"corpus": corpus, "queries": one_after_the_other(questions)}
    groups: dict[str, list[list[str]]] = {}
    for split, table in zip(splits, questions, strict=True):
        tables[f"qrels/{split}"] = _flatten_gt(table, groups, findings)
    columns = renamed(corpus, "corpus.") | renamed(questions[0], "queries.")
    is_flat = all(sum(map(len, of_query)) <= 1 for of_query in groups.values())
    others = tuple(file for file in qa if file not in {table.file for table in questions})
    fields = retrieval_fields(splits, columns)
    return Draft(fields, "AutoRAG", rules, tables, others, None if is_flat else groups)


def qa_by_split(qa: list[str], findings: Findings) -> dict[str, str]:
    """Split -> file of questions; several files need a split in each name."""
    if len(qa) == 1:
        return {split_of(qa[0]) or "test": qa[0]}
    by_split = {split: file for file in qa if (split := split_of(file))}
    if len(by_split) < len(qa):
        message = note("finding.several_question_files")
        findings.error("several files", ", ".join(qa), message)
        return {}
    return by_split


def one_after_the_other(tables: list[Mapped]) -> Mapped:
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
    for row, query_id, cell in zip(questions.rows, questions.columns["id"], gold, strict=True):
        groups = parse_list(cell) if isinstance(cell, str) else cell
        if not isinstance(groups, list):
            message = note("finding.autorag_lists")
            findings.error(
                "wrong type", questions.file, message, row=row, column="retrieval_gt", value=cell
            )
            continue
        nested = [group if isinstance(group, list) else [group] for group in groups]
        of_query = [flat_texts(group) for group in nested]
        ids = [one for group in of_query for one in group]
        groups_by_query[str(query_id)] = [group for group in of_query if group]
        flat += [(row, query_id, one) for one in dict.fromkeys(ids)]
    columns: dict[str, list[object]] = {
        "query-id": [query_id for _, query_id, _ in flat],
        "corpus-id": [one for _, _, one in flat],
    }
    names = {"query-id": questions.names["id"], "corpus-id": questions.names["retrieval_gt"]}
    return Mapped(questions.file, [row for row, _, _ in flat], columns, names)


def beir(
    files: Files, roles: dict[str, str], settings: Settings, findings: Findings
) -> Draft | None:
    by_role = {
        role: [file for file in files if roles[file] == role]
        for role in ("corpus", "queries", "qrels")
    }
    corpus_file, queries_file = (
        only(by_role[role], role, findings) for role in ("corpus", "queries")
    )
    if not by_role["qrels"]:
        only([], "qrels", findings)
    judged = {
        split_of(file) or (Path(file).stem if file.startswith("qrels/") else "test"): file
        for file in by_role["qrels"]
    }
    if len(judged) < len(by_role["qrels"]):
        findings.error(
            "several files",
            ", ".join(by_role["qrels"]),
            note("finding.two_of_one_split"),
        )
    if corpus_file is None or queries_file is None or not judged:
        return None
    splits, split_rule = choose_splits(judged, settings, findings)
    corpus = map_file(files, corpus_file, CORPUS, settings, findings, "corpus.")
    queries = map_file(files, queries_file, QUERIES, settings, findings, "queries.")
    qrels = {
        split: map_file(files, file, QRELS, settings, findings, "qrels.")
        for split, file in judged.items()
    }
    tables = {"corpus": corpus, "queries": queries} | {
        f"qrels/{split}": table for split, table in qrels.items()
    }
    whole = {key: table for key, table in tables.items() if table is not None}
    if len(whole) < len(tables) or not splits:
        return None
    columns = renamed(whole["corpus"], "corpus.") | renamed(whole["queries"], "queries.")
    columns |= renamed(whole[f"qrels/{splits[0]}"], "qrels.")
    rules: list[Text] = [note("rule.beir"), split_rule]
    return Draft(retrieval_fields(splits, columns), "BEIR", rules, whole)


def retrieval_fields(splits: list[str], columns: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "retrieval",
        "splits": splits,
        "source": Source(layout="beir"),
        "columns": columns,
    }


def map_file(
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


def renamed(table: Mapped, prefix: str = "") -> dict[str, str]:
    """The columns whose name in the file is not ours."""
    return {prefix + ours: name for ours, name in table.names.items() if ours != name}
