"""The usual names of columns, and a table under ours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kemb.errors import nearest
from kemb.messages import note
from kemb.tasks.own.findings import Findings, Table

_N_SAMPLED = 100
"""Rows that are asked which fields their records have."""


Aliases = Mapping[str, tuple[str, ...]]
"""Our column name -> names it may have, the preferred one first, as `plain_name` writes them."""


def _names(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_CHUNK_ID = _names("chunkid chunkno nodeid 청크id 청크번호 청크아이디 조각id 조각번호")


_DOCUMENT_ID = _names(
    "corpusid docid documentid docno passageid pid 문서id 문서번호 문단id 문단번호"
)


_QUERY_ID = _names("queryid qid questionid 질문id 질의id 쿼리id 질문번호 질의번호 문항번호")


_NESTED_ID = _names(
    "metadata.id metadata.chunkid metadata.docid metadata.documentid metadata.청크번호 "
    "metadata.문서번호 metadata.source"
)
"""In LangChain's documents an id may stand in the metadata."""


CORPUS: Aliases = {
    "id": ("id", *_CHUNK_ID, *_DOCUMENT_ID, *_names("번호 no 아이디"), *_NESTED_ID),
    "title": _names("title 제목 metadata.title"),
    "text": _names(
        "text contents content pagecontent chunktext chunk passage document body 본문 내용 청크 "
        "청크내용 조각 문서 문단 텍스트 context 지문"
    ),
}


QUERIES: Aliases = {
    "id": ("id", *_QUERY_ID, *_names("번호 no 아이디")),
    "text": _names("text query question userinput 질문 질의 쿼리 검색어 문의 물음 질문내용"),
}


QUESTION_NAMES = tuple(name for name in QUERIES["text"] if name != "text")
"""Names that only a column of questions has."""


GOLD_IDS = _names(
    "goldids goldid golddocids goldchunkids goldchunks golddocs gold relevantids "
    "relevantdocs relevantdocids relevantchunks relevantchunkids relevantchunkid "
    "referencecontextids referenceids contextids contextid chunkids chunkid docids docid "
    "documentids documentid passageids passageid corpusids corpusid positiveids positiveid "
    "answerids sourceids 청크번호 청크id 청크아이디 조각번호 조각id 문서번호 문서id 문단번호 "
    "문단id 정답번호 정답id 정답청크 정답청크번호 정답청크id 정답문서 정답문서번호 "
    "정답문서id 근거번호 근거id 근거청크 근거청크번호 근거문서 근거문서번호 관련문서 "
    "관련문서번호 관련청크"
)
"""Names of a column, beside a question, that holds the ids of the right chunks."""


GOLD_TEXTS = _names(
    "referencecontexts referencecontext goldcontexts goldcontext groundtruthcontexts "
    "groundtruthcontext contexts context positives positive pos passages passage paragraph "
    "paragraphs evidence evidences 근거 근거문장 근거문단 근거텍스트 근거본문 근거내용 "
    "정답문단 정답본문 정답문장 지문 문맥 본문 내용 문단"
)
"""Names of a column, beside a question, that holds the right passages themselves."""


GOLD_ANSWERS = _names("정답 answer answers groundtruth groundtruths 답변 답 answertext")
"""Names of a column that holds an answer in people's own words; at times its chunk's id or text."""


GOLD_NAMES = GOLD_IDS + GOLD_TEXTS + GOLD_ANSWERS


GRADES = _names("relevance rel grade label score 관련도 점수")
"""Names of a column, beside a question and a passage, that says how right the passage is."""


QRELS: Aliases = {
    "query-id": _QUERY_ID,
    "corpus-id": (*_DOCUMENT_ID, *_CHUNK_ID),
    "score": _names("score relevance rel grade label 점수 관련도"),
}


AUTORAG_QA: Aliases = {"id": ("qid",), "text": ("query",), "retrieval_gt": ("retrievalgt",)}


PAIRS: Aliases = {
    "sentence1": _names(
        "sentence1 sent1 text1 sentencea texta premise question1 문장1 텍스트1 전제 질문1"
    ),
    "sentence2": _names(
        "sentence2 sent2 text2 sentenceb textb hypothesis question2 문장2 텍스트2 가설 질문2"
    ),
    "score": _names(
        "score similarity similarityscore goldscore relatedness 점수 유사도 유사도점수 labels.label"
    ),
    "label": _names("label labels goldlabel 라벨 레이블 정답"),
}


LABELS: Aliases = {
    "text": _names(
        "text sentence content contents document review utterance title 문장 텍스트 본문 내용 문서 "
        "리뷰 발화 제목"
    ),
    "label": _names(
        "label labels category class topic intent sentiment 라벨 레이블 범주 분류 카테고리 주제 "
        "의도 감정 정답"
    ),
}


OPTIONAL = {"corpus.title", "qrels.score"}
"""Columns that a table may lack: no title, and 1 for every judgment."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A table under our column names."""

    file: str
    rows: Sequence[int]
    columns: dict[str, list[object]]
    names: dict[str, str]
    """Our name -> the file's own."""

    def __len__(self) -> int:
        return len(self.rows)


def plain_name(name: str) -> str:
    """A column name without case, spaces, hyphens and underscores: `Query ID`, `query-id` and
    `query_id` are one.
    """
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).lower()


def match_columns(table: Table, aliases: Aliases, declared: Mapping[str, str]) -> dict[str, str]:
    """Our column name -> the table's own, for those that task.toml gives or that have a
    usual name.
    """
    plain = {plain_name(name): name for name in reversed(column_names(table))}
    matches = {ours: declared[ours] for ours in aliases if ours in declared}
    for ours, names in aliases.items():
        for name in names:
            if ours not in matches and name in plain and plain[name] not in matches.values():
                matches[ours] = plain[name]
    return matches


def column_names(table: Table) -> list[str]:
    """The columns, and behind them the fields of those that hold records, as `metadata.id`."""
    fields = {
        f"{name}.{field}": None
        for name, values in table.columns.items()
        for value in values[:_N_SAMPLED]
        if isinstance(value, dict)
        for field in value
    }
    return [*table.columns, *fields]


def map_columns(
    table: Table,
    aliases: Aliases,
    declared: Mapping[str, str],
    findings: Findings,
    prefix: str = "",
) -> Mapped | None:
    """The table under our names; None, and findings, if a column that is needed is not there.

    :param table: what was read.
    :param aliases: our columns and their usual names.
    :param declared: the columns of task.toml; in retrieval tasks their names start with the prefix.
    :param findings: takes what is missing.
    :param prefix: `corpus.`, `queries.` or `qrels.` in retrieval tasks.
    """
    declared_here = {
        ours.removeprefix(prefix): name
        for ours, name in declared.items()
        if ours.startswith(prefix)
    }
    names = match_columns(table, aliases, declared_here)
    columns = {
        ours: values
        for ours, name in names.items()
        if (values := column_values(table, name)) is not None
    }
    missing = [
        ours
        for ours in aliases
        if ours not in columns and (ours in names or prefix + ours not in OPTIONAL)
    ]
    for ours in missing:
        note_missing(
            table, prefix + ours, (names[ours],) if ours in names else aliases[ours], findings
        )
    return None if missing else Mapped(table.file, table.rows, columns, names)


def note_missing(table: Table, ours: str, names: tuple[str, ...], findings: Findings) -> None:
    """Note that a column is missing: what was looked for, what the file has, and the nearest of
    them.
    """
    near = next((close for name in names for close in nearest(name, table.columns, n=1)), "")
    key = f'"{ours}"' if "." in ours else ours
    columns = list(table.columns)
    message = note("finding.missing_column", columns=columns, names=names[:4], key=key)
    if near:
        message = note(
            "finding.missing_column_near", columns=columns, names=names[:4], key=key, near=near
        )
    findings.error(
        "missing column",
        table.file,
        message,
        column=ours,
    )


def column_values(table: Table, name: str) -> list[object] | None:
    """A column by name, None if there is none; `labels.label` is the field `label` of the records
    in `labels`.
    """
    if name in table.columns:
        return table.columns[name]
    head, _, field = name.partition(".")
    if not any(isinstance(value, dict) and field in value for value in table.columns.get(head, ())):
        return None
    return [value.get(field) if isinstance(value, dict) else None for value in table.columns[head]]


def to_number(value: object) -> float | None:
    """A number, or the number a string spells; None for anything else (`nan` is a number here)."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) else None
