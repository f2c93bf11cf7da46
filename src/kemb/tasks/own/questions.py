"""Questions that name their right chunks, by id or by text, in a column of their own; the chunks
stand in a file beside them, or are those texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Literal, NamedTuple

from kemb.messages import Text, note
from kemb.tasks.own.columns import (
    CORPUS,
    GOLD_ANSWERS,
    GOLD_NAMES,
    GOLD_TEXTS,
    GRADES,
    QUERIES,
    QUESTION_NAMES,
    Mapped,
    column_values,
    match_columns,
    note_missing,
    plain_name,
    to_number,
)
from kemb.tasks.own.findings import Findings, Table
from kemb.tasks.own.forms import KnownIds, form_of, form_said, nearest_id
from kemb.tasks.own.gold import (
    LEAST_CHARS,
    Passages,
    flat_texts,
    ids_in,
    is_ambiguous,
    is_empty,
    normal_form,
    passages_in,
)
from kemb.tasks.own.outline import Draft, Files, Settings, choose_splits, only
from kemb.tasks.own.retrieval import one_after_the_other, qa_by_split, retrieval_fields
from kemb.tasks.own.values import NO_VALUE

NUMBERED = "(numbered)"
"""Stands for the name of an id column where the rows are numbered instead."""
_N_SAMPLED = 300
"""Rows that decide which column names the right chunks, and how."""
_LEAST_SHARE = 0.5
"""Of these rows, that a column must name chunks in, to be taken before the ones behind it."""

_NO_CHUNK = NO_VALUE | {"-", "없음", "해당없음", "해당 없음"}
"""Words in a column of right chunks that say that there is none, in small letters."""

Names = dict[str, str]
"""Our column -> the table's own."""


class _Gold(NamedTuple):
    """The column of right chunks, and what it holds."""

    column: str
    kind: Literal["ids", "texts"]
    form: str = ""
    """What ids are to be freed of to be those of the chunks, a key of `forms.FORMS`."""


@dataclass(frozen=True)
class _Questions:
    """One file of questions."""

    table: Table
    names: Names
    """`text`, and `id` where there is one."""


class _Chunks:
    """The chunks, and how they are named."""

    def __init__(self, table: Mapped) -> None:
        self.table = table
        self.has_ids = table.names["id"] != NUMBERED
        self.ids = [str(value) for value in table.columns["id"]]

    @cached_property
    def known_ids(self) -> set[str]:
        return set(self.ids)

    @cached_property
    def passages(self) -> Passages:
        def texts(ours: str) -> list[str]:
            values = self.table.columns.get(ours, [""] * len(self.table))
            return [value if isinstance(value, str) else "" for value in values]

        return Passages(self.ids, texts("title"), texts("text"))


# ---- which files are what


def question_files(files: Files, roles: Mapping[str, str], settings: Settings) -> list[str]:
    """Files with a column of questions, and with right chunks beside it or in another file."""
    declared = _declared(settings, "queries.")
    names = [
        file
        for file, table in files.items()
        if table is not None and "text" in _question_names(table, declared, roles[file])
    ]
    if any(roles[file] != "corpus" for file in names):
        names = [file for file in names if roles[file] != "corpus"]
    has_chunks = bool(names) and bool(chunk_files(files, roles, settings, names))
    return [
        file
        for file in names
        if (table := files[file]) is not None and (has_chunks or _gold_names(table, declared))
    ]


def chunk_files(
    files: Files, roles: Mapping[str, str], settings: Settings, questions: list[str]
) -> list[str]:
    """Files of chunks: by their names, else those that have a text and are not questions."""
    declared = _declared(settings, "corpus.")
    by_role = [file for file in files if roles[file] == "corpus" and file not in questions]
    if by_role:
        return by_role
    return [
        file
        for file, table in files.items()
        if table is not None
        and file not in questions
        and roles[file] == ""
        and "text" in _existing(table, match_columns(table, {"text": CORPUS["text"]}, declared))
    ]


def _declared(settings: Settings, prefix: str) -> Names:
    columns: Names = settings.get("columns", {})
    return {
        ours.removeprefix(prefix): name for ours, name in columns.items() if ours.startswith(prefix)
    }


def _question_names(table: Table, declared: Names, role: str) -> Names:
    text_names = (*QUESTION_NAMES, "text") if role == "queries" else QUESTION_NAMES
    aliases = {"text": text_names, "id": QUERIES["id"]}
    names = _existing(table, match_columns(table, aliases, declared))
    if "id" in names and all(is_empty(value) for value in column_values(table, names["id"]) or []):
        del names["id"]
    return names


def _existing(table: Table, names: Names) -> Names:
    """Those that the table has; task.toml speaks of all tables."""
    return {ours: name for ours, name in names.items() if column_values(table, name) is not None}


def _gold_names(table: Table, declared: Names) -> list[str]:
    """Columns that may name the right chunks, the likeliest first."""
    if "gold" in declared:
        return [declared["gold"]]
    plain = {plain_name(name): name for name in reversed([*table.columns])}
    return [plain[name] for name in GOLD_NAMES if name in plain]


# ---- the draft


def questions_with_gold(
    files: Files, names: list[str], chunks: list[str], settings: Settings, findings: Findings
) -> Draft | None:
    """The draft of questions with their right chunks.

    :param files: all tables.
    :param names: files of questions, of `question_files`.
    :param chunks: files of chunks, of `chunk_files`; none if the passages are the chunks.
    :param settings: of task.toml.
    :param findings: takes what is missing or does not fit.
    """
    file_of_split = qa_by_split(names, findings)
    chunk_file = only(chunks, "corpus", findings) if chunks else None
    if not file_of_split or (chunks and chunk_file is None):
        return None
    splits, split_rule = choose_splits(file_of_split, settings, findings)
    declared = _declared(settings, "queries.")
    sources = []
    for split in splits:
        table = files[file_of_split[split]]
        if table is not None:
            sources.append(_Questions(table, _question_names(table, declared, "queries")))
    if not sources or len(sources) < len(splits):
        return None
    if chunk_file is not None:
        corpus = _chunk_table(files[chunk_file], settings, findings)
        gold = None if corpus is None else _choose_gold(sources, corpus, declared, findings)
    else:
        gold = _passage_column(sources[0], declared, findings)
        corpus = None if gold is None else _passage_table(sources, gold.column, findings)
    if corpus is None or gold is None or _lack_column(sources, gold.column, findings):
        return None
    numbering = _Numbering()
    queries = [_query_table(source, numbering) for source in sources]
    tables = {"corpus": corpus.table, "queries": one_after_the_other(queries)}
    for split, source in zip(splits, sources, strict=True):
        tables[f"qrels/{split}"] = _judgments(source, gold, corpus, numbering, findings)
    others = tuple(file for file in names if file not in {source.table.file for source in sources})
    rules = _rules(sources[0], gold, corpus.table, chunk_file is not None)
    if len(names) > 1:
        rules.append(split_rule)
    columns = _spec_columns(sources[0], gold, corpus.table if chunk_file else None)
    return Draft(retrieval_fields(splits, columns), "questions", rules, tables, others)


def _lack_column(sources: list[_Questions], column: str, findings: Findings) -> bool:
    """Whether a split lacks the column of right chunks that another one has, which is noted."""
    lacking = [one.table for one in sources if column_values(one.table, column) is None]
    for table in lacking:
        note_missing(table, "queries.gold", (column,), findings)
    return bool(lacking)


def _spec_columns(source: _Questions, gold: _Gold, chunks: Mapped | None) -> Names:
    columns = {f"queries.{ours}": name for ours, name in source.names.items() if ours != name}
    if chunks is not None:
        columns = {
            f"corpus.{ours}": name
            for ours, name in chunks.names.items()
            if name not in (ours, NUMBERED)
        } | columns
    return columns | {"queries.gold": gold.column}


def _rules(source: _Questions, gold: _Gold, corpus: Mapped, has_chunks: bool) -> list[Text]:
    file, question = source.table.file, source.names["text"]
    if not has_chunks:
        meaning = note("rule.gold_passages", column=repr(gold.column))
    elif gold.kind == "ids":
        meaning = note("rule.gold_ids", column=repr(gold.column), file=corpus.file)
    else:
        meaning = note("rule.gold_texts", column=repr(gold.column), file=corpus.file)
    rules: list[Text] = [
        note("rule.questions", file=file, question=repr(question), meaning=meaning)
    ]
    grade = _grade_column(source.table, (gold.column, *source.names.values()))
    if grade:
        rules.append(note("rule.grade", column=repr(grade)))
    taken_up = {gold.column, grade, "is_impossible", *source.names.values()}
    unused = [name for name in source.table.columns if name not in taken_up]
    if unused:
        rules.append(note("rule.unused", file=file, columns=unused))
    if corpus.names["id"] == NUMBERED:
        rules.append(note("rule.numbered_documents", file=corpus.file))
    if "id" not in source.names:
        rules.append(note("rule.numbered_questions"))
    return rules


# ---- chunks


def _chunk_table(table: Table | None, settings: Settings, findings: Findings) -> _Chunks | None:
    """A file of chunks under our names; without ids its rows are numbered."""
    if table is None:
        return None
    declared = _declared(settings, "corpus.")
    names = match_columns(table, {ours: CORPUS[ours] for ours in ("text", "title")}, declared)
    if "text" not in names or column_values(table, names["text"]) is None:
        note_missing(table, "corpus.text", (names.get("text", CORPUS["text"][0]),), findings)
        return None
    columns = {
        ours: values
        for ours, name in names.items()
        if (values := column_values(table, name)) is not None
    }
    id_name = declared.get("id") or _id_name(table, set(names.values()))
    ids = column_values(table, id_name) if id_name else None
    if declared.get("id") and ids is None:
        note_missing(table, "corpus.id", (declared["id"],), findings)
        return None
    if ids is None:
        ids = [str(number) for number in range(1, len(table) + 1)]
    names = {"id": id_name or NUMBERED} | names
    return _Chunks(Mapped(table.file, table.rows, {"id": ids} | columns, names))


def _id_name(table: Table, others: set[str]) -> str:
    """The column of ids, nothing if there is none; a field of the metadata must be complete and
    tell the chunks apart, since `source` is often a file of many chunks.
    """
    for name in CORPUS["id"]:
        column = match_columns(table, {"id": (name,)}, {}).get("id", "")
        if not column or column in others:
            continue
        values = [flat_texts(value) for value in column_values(table, column) or []]
        is_filled = any(values) if "." not in column else all(values)
        is_unique = len({tuple(value) for value in values}) == len(values)
        if is_filled and ("." not in column or is_unique):
            return column
    return ""


def _passage_table(sources: list[_Questions], column: str, findings: Findings) -> _Chunks:
    """The passages beside the questions as documents, each once, whatever their blanks and case."""
    rows: dict[str, int] = {}
    texts: dict[str, str] = {}
    titles: dict[str, set[str]] = {}
    for source in sources:
        table = source.table
        title_name = match_columns(table, {"title": CORPUS["title"]}, {}).get("title", "")
        title_values = column_values(table, title_name) or [""] * len(table)
        cells = column_values(table, column) or []
        for row, cell, title in zip(table.rows, cells, title_values, strict=True):
            for passage in () if _says_none(cell) else passages_in(cell):
                key = normal_form(passage)
                rows.setdefault(key, row)
                texts.setdefault(key, passage)
                titles.setdefault(key, set()).add(title if isinstance(title, str) else "")
    has_titles = all(len(of_passage) == 1 for of_passage in titles.values())
    file = sources[0].table.file
    message = note("finding.no_other_chunks")
    findings.warn("no other chunks", file, message, column=column)
    columns: dict[str, list[object]] = {
        "id": [str(number) for number in range(1, len(texts) + 1)],
        "text": list(texts.values()),
    }
    names = {"id": NUMBERED, "text": column}
    if has_titles and any(any(of_passage) for of_passage in titles.values()):
        columns["title"] = [next(iter(of_passage)) for of_passage in titles.values()]
        names["title"] = "title"
    return _Chunks(Mapped(file, list(rows.values()), columns, names))


# ---- which column names the right chunks


def _choose_gold(
    sources: list[_Questions], corpus: _Chunks, declared: Names, findings: Findings
) -> _Gold | None:
    """The first column whose cells are ids of chunks, else the first whose cells are passages, else
    the first that is all ids but for their form; the best one where none is so in half of its rows.
    """
    source = sources[0]
    names = _usable(source, _gold_names(source.table, declared))
    known_ids = corpus.known_ids if corpus.has_ids else set()
    shares: list[tuple[float, _Gold]] = []
    for name in names:
        cells = _sample(source.table, name)
        n_ids = sum(set(ids_in(cell, known_ids)) <= known_ids for cell in cells)
        shares.append((n_ids / len(cells), _Gold(name, "ids")))
    if not any(share >= _LEAST_SHARE for share, _ in shares):
        for name in names:
            cells = _sample(source.table, name)
            n_texts = sum(bool(corpus.passages.find_all(cell)[0]) for cell in cells)
            shares.append((n_texts / len(cells), _Gold(name, "texts")))
    for share, gold in shares:
        if share >= _LEAST_SHARE:
            return _in_form(gold, sources, corpus, findings) or gold
    for name in names if corpus.has_ids else ():
        if gold_in_form := _in_form(_Gold(name, "ids"), sources, corpus, findings):
            return gold_in_form
    best_share, best = max(shares, key=lambda entry: entry[0], default=(0.0, None))
    if best is None or best_share == 0:
        _note_no_gold(source, corpus, names, findings)
        return None
    return best


def _in_form(
    gold: _Gold, sources: list[_Questions], corpus: _Chunks, findings: Findings
) -> _Gold | None:
    """A column of ids that one change of form makes ids of chunks, all of them, which is said."""
    if gold.kind != "ids":
        return None
    cells = [cell for one in sources for cell in _filled(one.table, gold.column)]
    change = form_of(cells, corpus.known_ids)
    if change is None:
        return None
    form, example, near = change
    message = note("finding.id_form", form=form_said(form), file=corpus.table.file, near=repr(near))
    file = sources[0].table.file
    findings.warn("id form", file, message, column=gold.column, value=example)
    return gold._replace(form=form)


def _note_no_gold(
    source: _Questions, corpus: _Chunks, names: list[str], findings: Findings
) -> None:
    ids = note("finding.no_ids")
    if corpus.has_ids:
        ids = note("finding.ids_such_as", example=repr(corpus.ids[0]))
    file, columns = corpus.table.file, list(source.table.columns)
    example = _sample(source.table, names[0])[0] if names else None
    if corpus.has_ids and names:
        for cell in _sample(source.table, names[0]):
            one = next(iter(ids_in(cell, corpus.known_ids)), "")
            if near := nearest_id(one, corpus.known_ids):
                example, ids = cell, note("finding.ids_near", one=repr(one), near=repr(near))
                break
    message = note("finding.no_gold_column", columns=columns, file=file, ids=ids)
    if names:
        message = note("finding.no_right_chunks", names=list(map(repr, names)), file=file, ids=ids)
    column = names[0] if names else "queries.gold"
    findings.error("no right chunks", source.table.file, message, column=column, value=example)


def _passage_column(source: _Questions, declared: Names, findings: Findings) -> _Gold | None:
    """The column whose passages are the documents, where there is no file of chunks."""
    names = _usable(source, _gold_names(source.table, declared))
    is_passage = {*GOLD_TEXTS, plain_name(declared.get("gold", ""))}
    for name in names:
        if plain_name(name) in is_passage:
            return _Gold(name, "texts")
    for name in names:
        if plain_name(name) in GOLD_ANSWERS and _are_passages(_sample(source.table, name)):
            return _Gold(name, "texts")
    looked_at = (
        note("finding.no_passage", column=repr(names[0])) if names else note("finding.no_passages")
    )
    message = note("finding.no_chunk_file", looked_at=looked_at)
    column = names[0] if names else "queries.gold"
    findings.error("missing file", source.table.file, message, column=column)
    return None


def _are_passages(cells: list[object]) -> bool:
    """Whether answers are texts to look for, not names and numbers that many questions share."""
    texts = [" ".join(flat_texts(cell)) for cell in cells]
    return bool(texts) and (
        median(map(len, texts)) >= LEAST_CHARS and len(set(texts)) > len(texts) / 2
    )


def _usable(source: _Questions, names: list[str]) -> list[str]:
    """Of these columns those that hold anything and are not the question or its id."""
    others = set(source.names.values())
    return [name for name in names if name not in others and _sample(source.table, name)]


def _sample(table: Table, name: str) -> list[object]:
    values = _filled(table, name)
    return values[:: max(1, len(values) // _N_SAMPLED)]


def _filled(table: Table, name: str) -> list[object]:
    """The cells of a column that name something."""
    cells = column_values(table, name) or []
    return [cell for cell in cells if not is_empty(cell) and not _says_none(cell)]


def _says_none(cell: object) -> bool:
    """Whether a cell says in a word that no chunk is right."""
    return isinstance(cell, str) and cell.strip().lower() in _NO_CHUNK


# ---- questions and judgments


class _Numbering:
    """Ids of questions that have none: q1, q2, ... in the order of their texts."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def of(self, text: object) -> str:
        return self._numbers.setdefault(str(text), f"q{len(self._numbers) + 1}")


def _ids_and_texts(
    source: _Questions, numbering: _Numbering
) -> Iterator[tuple[int, object, object]]:
    """Row, id and text of every question."""
    table = source.table
    texts = column_values(table, source.names["text"]) or []
    if "id" in source.names:
        ids = column_values(table, source.names["id"]) or []
    else:
        ids = [numbering.of(text) for text in texts]
    yield from zip(table.rows, ids, texts, strict=True)


def _query_table(source: _Questions, numbering: _Numbering) -> Mapped:
    """The questions, each once: a question of several right chunks may have a row for each."""
    rows: dict[tuple[str, str], tuple[int, object, object]] = {}
    for number, (row, query_id, text) in enumerate(_ids_and_texts(source, numbering)):
        is_nameless = query_id is None or query_id == ""
        key = (f"\0{number}" if is_nameless else str(query_id), str(text))
        rows.setdefault(key, (row, query_id, text))
    columns: dict[str, list[object]] = {
        "id": [query_id for _, query_id, _ in rows.values()],
        "text": [text for _, _, text in rows.values()],
    }
    names = {"id": NUMBERED} | source.names
    return Mapped(source.table.file, [row for row, _, _ in rows.values()], columns, names)


def _judgments(
    source: _Questions, gold: _Gold, corpus: _Chunks, numbering: _Numbering, findings: Findings
) -> Mapped:
    """One row per question and right chunk."""
    table = source.table
    cells = column_values(table, gold.column) or [None] * len(table)
    is_impossible = table.columns.get("is_impossible", [False] * len(table))
    grade_name = _grade_column(table, (gold.column, *source.names.values()))
    grades = table.columns[grade_name] if grade_name else [1] * len(table)
    id_names = KnownIds(corpus.known_ids, gold.form)
    judged: dict[tuple[str, str, str], tuple[int, object, str, object]] = {}
    rows = zip(_ids_and_texts(source, numbering), cells, grades, is_impossible, strict=True)
    for (row, query_id, _), cell, grade, has_no_answer in rows:
        if has_no_answer is True or is_empty(cell):
            continue
        if _says_none(cell) and str(cell).strip() not in corpus.known_ids:
            message = note("finding.no_chunk_word")
            findings.warn("no value", table.file, message, row=row, column=gold.column, value=cell)
            continue
        for chunk_id in _right_chunks(cell, gold, (corpus, id_names), (table.file, row), findings):
            key = (str(query_id), chunk_id, str(grade))
            judged.setdefault(key, (row, query_id, chunk_id, grade))
    columns: dict[str, list[object]] = {
        "query-id": [query_id for _, query_id, _, _ in judged.values()],
        "corpus-id": [chunk_id for _, _, chunk_id, _ in judged.values()],
        "score": [grade for _, _, _, grade in judged.values()],
    }
    names = {
        "query-id": source.names.get("id", source.names["text"]),
        "corpus-id": gold.column,
        "score": grade_name or "score",
    }
    return Mapped(table.file, [row for row, _, _, _ in judged.values()], columns, names)


def _right_chunks(
    cell: object,
    gold: _Gold,
    chunks: tuple[_Chunks, KnownIds],
    place: tuple[str, int],
    findings: Findings,
) -> list[str]:
    """Ids of the chunks that a cell names; passages that are no chunk are noted.

    :param chunks: the chunks, and what their ids are called in the column.
    :param place: file and row, for messages.
    """
    (corpus, id_names), (file, row) = chunks, place
    if gold.kind == "ids":
        if is_ambiguous(cell, id_names):
            message = note("finding.ambiguous_ids")
            findings.error("ambiguous ids", file, message, row=row, column=gold.column, value=cell)
        return id_names.in_cell(cell)
    chunk_ids, unmatched = corpus.passages.find_all(cell)
    for passage in unmatched:
        message = note("finding.passage_not_found", file=corpus.table.file)
        findings.warn(
            "passage not found", file, message, row=row, column=gold.column, value=passage
        )
    return chunk_ids


def _grade_column(table: Table, others: tuple[str, ...]) -> str:
    """A column of whole numbers that says how right a passage is, nothing if there is none."""
    plain = {plain_name(name): name for name in reversed([*table.columns])}
    for name in GRADES:
        column = plain.get(name, "")
        if column and column not in others:
            filled = [value for value in table.columns[column] if not is_empty(value)]
            numbers = [to_number(value) for value in filled]
            if filled and all(number is not None and number == number // 1 for number in numbers):
                return column
    return ""
