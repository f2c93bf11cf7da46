"""A retrieval folder of any layout in BEIR's, which every program of the field reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from kemb.errors import DataError, UsageError
from kemb.files import disk
from kemb.tasks.kinds import KINDS
from kemb.tasks.own.check import examine, refuse_errors, to_toml_of
from kemb.tasks.own.decisions import Clean
from kemb.tasks.own.hub_sets import source_of
from kemb.tasks.own.outline import TOML
from kemb.tasks.spec import TaskSpec

_LEFT_OUT = {"source", "columns", "splits", "type"}
"""Of a specification: what BEIR's layout says by itself."""


class Converted(NamedTuple):
    """What was written."""

    n_documents: int
    n_queries: int
    n_judgments: int
    warnings: dict[str, int]
    """What `kemb check` warns of in the source, by kind."""
    has_groups: bool
    """Whether the source groups right chunks, as AutoRAG does, which BEIR cannot say: recall, F1,
    MRR and MAP then count each right chunk; nDCG stays.
    """


def convert(source: Path, target: Path) -> Converted:
    """Write a folder of one's own in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/<split>.tsv,
    and a task.toml with the name and what else the task says; its `reference` names the commit of
    a data set of the hub. Its scores are those of the source.

    :param source: a folder or file that `kemb check` takes.
    :param target: the new folder; it appears whole or not at all.
    :raises UsageError: the target is there already, or the task is no retrieval.
    :raises DataError: the source has errors, or an id that a tab-separated file cannot hold.
    :raises DiskError: what cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already. Name a new folder with -o DIR.")
    examined = examine(source)
    understood = refuse_errors(source, examined)
    spec, clean = understood.spec, examined.clean
    origin = source_of(source)
    if origin:
        spec = spec.model_copy(update={"reference": origin})
    if not KINDS[spec.type].is_ranking:
        raise UsageError(
            f"{source} is {spec.type}; BEIR's layout holds documents, questions and judgments. "
            "Convert a folder of which `kemb check` says retrieval."
        )
    if spec.drafted:
        raise UsageError(
            f"{source} is a drafted test set, which is in BEIR's layout already; copy the folder, "
            "so that its spans and reviews come along."
        )
    refuse_unwritable(source, clean)
    with (
        disk.writing(f"{target} cannot be written", "Free space, or name another folder with -o."),
        disk.replacing_folder(target) as unfinished,
    ):
        write_beir(unfinished, spec, clean)
    n_judgments = sum(len(columns["query-id"]) for columns in _judged(clean).values())
    return Converted(
        len(clean["corpus"]["id"]),
        len(clean["queries"]["id"]),
        n_judgments,
        examined.findings.warnings,
        understood.draft.groups is not None,
    )


def refuse_unwritable(source: Path | str, clean: Clean) -> None:
    """Refuse ids that the tables of judgments cannot hold.

    :raises DataError: the first of them.
    """
    for key, columns in _judged(clean).items():
        for one in chain(columns["query-id"], columns["corpus-id"]):
            if any(mark in one for mark in "\t\r\n") or one != one.strip():
                raise DataError(
                    f"{source} has the id {one!r}, which {key}.tsv cannot hold: ids must be "
                    "without tabs, line breaks and blanks around them. Change it in the source."
                )


def write_beir(folder: Path, spec: TaskSpec, clean: Clean) -> None:
    """Write corpus.jsonl, queries.jsonl, qrels/<split>.tsv and task.toml into a folder."""
    (folder / "qrels").mkdir(parents=True)
    corpus = clean["corpus"]
    documents = (
        {"_id": doc_id, "title": title or "", "text": text}
        for doc_id, title, text in zip(corpus["id"], corpus["title"], corpus["text"], strict=True)
    )
    _write_jsonl(folder / "corpus.jsonl", documents)
    queries = zip(clean["queries"]["id"], clean["queries"]["text"], strict=True)
    _write_jsonl(folder / "queries.jsonl", ({"_id": one, "text": text} for one, text in queries))
    for key, columns in _judged(clean).items():
        rows = zip(columns["query-id"], columns["corpus-id"], columns["score"], strict=True)
        lines = (f"{query}\t{document}\t{grade}\n" for query, document, grade in rows)
        text = "query-id\tcorpus-id\tscore\n" + "".join(lines)
        (folder / f"{key}.tsv").write_text(text, encoding="utf-8", newline="")
    settings = spec.model_dump(exclude_defaults=True, exclude_none=True, exclude=_LEFT_OUT)
    if spec.splits != ["test"]:
        settings["splits"] = spec.splits
    (folder / TOML).write_text(to_toml_of(settings), encoding="utf-8", newline="")


def _judged(clean: Clean) -> Clean:
    """The tables of judgments, by `qrels/<split>`."""
    return {key: columns for key, columns in clean.items() if key.startswith("qrels/")}


def _write_jsonl(path: Path, records: Iterator[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
