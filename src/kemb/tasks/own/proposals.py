"""The smallest task.toml that makes a task of a folder that is not understood.

Columns are guessed by their values, every guess is tried, and only one that makes a sensible task
is proposed: the person who knows the data decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from statistics import median
from typing import NamedTuple

from kemb.tasks.own.columns import (
    CORPUS,
    PAIRS,
    QRELS,
    QUERIES,
    Aliases,
    column_names,
    column_values,
    match_columns,
    to_number,
)
from kemb.tasks.own.content import check_content
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.gold import Passages, flat_texts, ids_in, is_empty
from kemb.tasks.own.outline import Settings
from kemb.tasks.own.understand import Folder, Understood, understand

_N_SAMPLED = 200
"""Rows that guesses are made from."""
_LEAST_TEXT = 8
"""Characters, in the median, of a column of texts; shorter ones are names, ids and labels."""
_MOST_LABEL = 30
"""Characters, in the median, of a column of labels."""
_MOST_TABLES = 6
"""Folders of more tables hold other things; guessing among them would take long."""
_LEAST_SHARE = 0.5
"""Of its cells, that a column must name chunks in, or ask in."""
_QUESTION = re.compile(r"[?？]\s*$|(?:까|나|가|지|요|니|는지)\s*[.?]?\s*$")
_COUNTED = re.compile(
    r"page|쪽|페이지|번호|연도|날짜|(?:^|[\W_])(?:no|nr|num|number|id|idx|index|year|row|line)(?:[\W_]|$)",
    re.IGNORECASE,
)
"""Names of columns whose numbers say where something stands, not how much."""
_SENTENCES: Aliases = {ours: PAIRS[ours] for ours in ("sentence1", "sentence2")}
_SENSELESS = ("one value", "nothing to score", "no relevant document", "unknown id", "wrong type")
"""Findings that show a wrong guess where they are many."""

Columns = dict[str, str]
"""Our column -> the file's, as in task.toml."""


class Proposal(NamedTuple):
    """What task.toml must say, and what the folder then is."""

    settings: Settings
    """Only what has to be added to what it says already."""
    understood: Understood


def propose(folder: Folder) -> Proposal | None:
    """The smallest settings with which a folder is understood and its task makes sense, if any."""
    tables = {file: table for file, table in folder.files.items() if table is not None}
    if not tables or len(tables) > _MOST_TABLES:
        return None
    for extra in _settings_to_try(folder, tables):
        proposal = _tried(folder, extra)
        if proposal is not None:
            return _reduced(folder, proposal)
    return None


def _tried(folder: Folder, extra: Settings) -> Proposal | None:
    findings = Findings()
    columns = folder.settings.get("columns", {}) | extra.get("columns", {})
    settings = {**folder.settings, **extra, **({"columns": columns} if columns else {})}
    understood = understand(folder._replace(settings=settings), findings)
    if understood is None or findings.n_errors:
        return None
    check_content(understood.spec, understood.draft.tables, findings)
    n_senseless = sum(n for (_, kind), n in findings.counts.items() if kind in _SENSELESS)
    n_rows = max(map(len, understood.draft.tables.values()))
    is_one_value = ("error", "one value") in findings.counts
    if is_one_value or 2 * n_senseless > n_rows:
        return None
    return Proposal(extra, understood)


def _reduced(folder: Folder, proposal: Proposal) -> Proposal:
    """Without the columns that kemb finds by itself."""
    columns = dict(proposal.settings.get("columns", {}))
    for ours in list(columns):
        rest = {name: column for name, column in columns.items() if name != ours}
        extra = {key: value for key, value in proposal.settings.items() if key != "columns"}
        smaller = _tried(folder, extra | ({"columns": rest} if rest else {}))
        if smaller is not None and smaller.understood.spec == proposal.understood.spec:
            columns, proposal = rest, smaller
    return proposal


def _settings_to_try(folder: Folder, tables: dict[str, Table]) -> Iterator[Settings]:
    name = {} if folder.settings.get("name") else {"name": "my-task"}
    for extra in _guesses(folder, tables):
        yield extra
        if name:
            yield name | extra


def _guesses(folder: Folder, tables: dict[str, Table]) -> Iterator[Settings]:
    yield {}
    roles: dict[str, list[Table]] = {}
    for file, table in tables.items():
        roles.setdefault(folder.roles[file], []).append(table)
    if {"corpus", "queries", "qrels"} <= roles.keys():
        guess = _beir_columns(roles["corpus"][0], roles["queries"][0], roles["qrels"][0])
        if guess:
            yield {"columns": guess}
    for questions, chunks in permutations(tables.values(), 2):
        yield from ({"columns": guess} for guess in _question_columns(questions, chunks))
    for table in tables.values():
        yield from ({"columns": guess} for guess in _pair_of_texts(table))
        yield from ({"columns": guess} for guess in _sentence_pairs(table))
    first = next(iter(tables.values()))
    if len(match_columns(first, _SENTENCES, {})) == len(_SENTENCES):
        return  # pairs, whose marks are no classes of their first texts
    for guess in _label_columns(first):
        yield {"columns": guess}
        yield {"columns": guess, "type": "clustering"}


# ---- what columns look like


@dataclass
class _Column:
    """A column, by its values."""

    name: str
    values: Sequence[object]

    @cached_property
    def sample(self) -> list[object]:
        """Cells that hold anything."""
        step = max(1, len(self.values) // _N_SAMPLED)
        return [value for value in self.values[::step] if not is_empty(value)]

    @cached_property
    def texts(self) -> list[str]:
        return [" ".join(flat_texts(value)) for value in self.sample]

    @cached_property
    def length(self) -> float:
        """Characters, in the median."""
        return median(map(len, self.texts)) if self.texts else 0.0

    @property
    def is_number(self) -> bool:
        return bool(self.texts) and all(to_number(text) is not None for text in self.texts)

    @property
    def is_text(self) -> bool:
        return self.length >= _LEAST_TEXT and not self.is_number

    @property
    def is_unique(self) -> bool:
        texts = [str(value) for value in self.values if not is_empty(value)]
        return len(texts) == len(self.values) == len(set(texts))

    @property
    def question_share(self) -> float:
        return sum(bool(_QUESTION.search(text)) for text in self.texts) / max(1, len(self.texts))

    @property
    def is_various(self) -> bool:
        """Whether most texts stand once or twice."""
        return 2 * len(set(self.texts)) > len(self.texts)

    @property
    def is_label(self) -> bool:
        n_labels = len(set(self.texts))
        return 2 <= n_labels <= len(self.texts) / 2 and self.length <= _MOST_LABEL


def _columns(table: Table) -> list[_Column]:
    return [_Column(name, column_values(table, name) or []) for name in column_names(table)]


def _texts(table: Table) -> list[_Column]:
    """Columns of texts, the longest first."""
    return sorted(
        (column for column in _columns(table) if column.is_text), key=lambda one: -one.length
    )


def _named(table: Table, aliases: Aliases, ours: str) -> str:
    return match_columns(table, {ours: aliases[ours]}, {}).get(ours, "")


# ---- retrieval


def _question_columns(questions: Table, chunks: Table) -> Iterator[Columns]:
    """Questions whose column of right chunks is told by what it holds: ids, or texts, of chunks."""
    chunk_texts = _texts(chunks)
    if not chunk_texts:
        return
    text = _named(chunks, CORPUS, "text") or chunk_texts[0].name
    bodies = [str(value or "") for value in column_values(chunks, text) or []]
    passages = Passages([str(i) for i in range(len(bodies))], [""] * len(bodies), bodies)
    id_name = _named(chunks, CORPUS, "id")
    id_columns = [
        column
        for column in _columns(chunks)
        if column.name != text and (column.is_unique or column.name == id_name)
    ]
    for asked_in in sorted(_texts(questions), key=lambda column: -column.question_share):
        names = {"corpus.text": text, "queries.text": asked_in.name}
        others = [
            column
            for column in _columns(questions)
            if column.texts and column.name != asked_in.name
        ]
        for id_column, column in product(id_columns, others):
            if _share_of_ids(column, id_column) > _LEAST_SHARE:
                yield names | {"corpus.id": id_column.name, "queries.gold": column.name}
        for column in others:
            if column.is_text and _share_of_passages(column, passages) > _LEAST_SHARE:
                yield names | {"queries.gold": column.name}


def _share_of_ids(column: _Column, id_column: _Column) -> float:
    """Of the cells, how many name nothing but ids of the other column."""
    known_ids = {str(value) for value in id_column.values}
    cells = column.sample
    return sum(set(ids_in(cell, known_ids)) <= known_ids for cell in cells) / max(1, len(cells))


def _share_of_passages(column: _Column, passages: Passages) -> float:
    """Of the cells, how many hold a text of the chunks."""
    cells = column.sample
    return sum(bool(passages.find_all(cell)[0]) for cell in cells) / max(1, len(cells))


def _pair_of_texts(table: Table) -> Iterator[Columns]:
    """One table of questions and passages: what asks is the question, the longest the passage."""
    texts = _texts(table)
    askers = [column for column in texts if column.question_share > _LEAST_SHARE]
    for asked_in in sorted(askers, key=lambda column: -column.question_share):
        for passage in texts:
            if passage.name != asked_in.name and passage.length > asked_in.length:
                yield {"queries.text": asked_in.name, "queries.gold": passage.name}


def _beir_columns(corpus: Table, queries: Table, qrels: Table) -> Columns:
    """Ids are told by where the judgments' values stand; nothing if they stand nowhere."""
    columns: Columns = {}
    for prefix, table, aliases, judged in (
        ("corpus", corpus, CORPUS, "corpus-id"),
        ("queries", queries, QUERIES, "query-id"),
    ):
        texts = _texts(table)
        text = _named(table, aliases, "text") or (texts[0].name if texts else "")
        if text:
            columns[f"{prefix}.text"] = text
        for id_column in _columns(table):
            known_ids = {str(value) for value in id_column.values}
            judged_columns = [
                column.name
                for column in _columns(qrels)
                if id_column.is_unique and column.texts and set(column.texts) <= known_ids
            ]
            if judged_columns:
                columns |= {f"{prefix}.id": id_column.name, f"qrels.{judged}": judged_columns[0]}
                break
    score = _named(qrels, QRELS, "score")
    numbers = [
        column.name
        for column in _columns(qrels)
        if column.is_number and column.name not in columns.values()
    ]
    if not score and numbers:
        columns["qrels.score"] = numbers[0]
    return columns


# ---- rows


def _sentence_pairs(table: Table) -> Iterator[Columns]:
    """Two columns of texts that are no names of a few kinds, and a number that counts no pages."""
    texts = [column for column in _columns(table) if column.is_text and column.is_various]
    numbers = [
        column
        for column in _columns(table)
        if column.is_number and not column.is_unique and not _COUNTED.search(column.name)
    ]
    if len(texts) >= 2 and numbers:
        gold = set(numbers[-1].texts)
        ours = "label" if gold <= {"0", "1"} else "score"
        names = {"sentence1": texts[0].name, "sentence2": texts[1].name}
        yield names | {ours: numbers[-1].name}


def _label_columns(table: Table) -> Iterator[Columns]:
    for text in _texts(table):
        for label in _columns(table):
            is_place = label.is_number and _COUNTED.search(label.name)
            if label.name != text.name and label.is_label and not is_place:
                yield {"text": text.name, "label": label.name}
