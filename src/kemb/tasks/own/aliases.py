"""Which column of a user's table is which of ours: by task.toml, else by the usual English and Korean names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kemb.errors import nearest
from kemb.tasks.own.readers import Findings, Table

Aliases = Mapping[str, tuple[str, ...]]
"""Our column name -> names it may have, the preferred one first, as `plain_name` writes them."""


def _names(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_DOCUMENT_ID = _names("corpusid docid documentid passageid pid 문서id 문서번호 문단id")
_QUERY_ID = _names("queryid qid questionid 질문id 질의id 쿼리id 질문번호")

CORPUS: Aliases = {
    "id": ("id", *_DOCUMENT_ID),
    "title": _names("title 제목"),
    "text": _names("text contents content passage document body 본문 내용 문서 문단 텍스트"),
}
QUERIES: Aliases = {
    "id": ("id", *_QUERY_ID),
    "text": _names("text query question 질문 질의 쿼리 검색어"),
}
QRELS: Aliases = {
    "query-id": _QUERY_ID,
    "corpus-id": _DOCUMENT_ID,
    "score": _names("score relevance rel grade label 점수 관련도"),
}
AUTORAG_QA: Aliases = {"id": ("qid",), "text": ("query",), "retrieval_gt": ("retrievalgt",)}
PAIRS: Aliases = {
    "sentence1": _names("sentence1 sent1 text1 sentencea texta premise question1 문장1 텍스트1 전제 질문1"),
    "sentence2": _names("sentence2 sent2 text2 sentenceb textb hypothesis question2 문장2 텍스트2 가설 질문2"),
    "score": _names("score similarity similarityscore goldscore relatedness 점수 유사도 유사도점수"),
    "label": _names("label labels goldlabel 라벨 레이블 정답"),
}
LABELS: Aliases = {
    "text": _names(
        "text sentence content contents document review utterance title 문장 텍스트 본문 내용 문서 리뷰 발화 제목"
    ),
    "label": _names(
        "label labels category class topic intent sentiment 라벨 레이블 범주 분류 카테고리 주제 의도 감정 정답"
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
    """A column name without case, spaces, hyphens and underscores: `Query ID`, `query-id` and `query_id` are one."""
    return re.sub(r"[\s_\-]", "", unicodedata.normalize("NFC", name)).lower()


def match_columns(table: Table, aliases: Aliases, given: Mapping[str, str]) -> dict[str, str]:
    """Our column name -> the table's own, for those that task.toml gives or that have a usual name."""
    plain = {plain_name(name): name for name in reversed(table.columns)}
    found = {ours: given[ours] for ours in aliases if ours in given}
    for ours, names in aliases.items():
        for name in names:
            if ours not in found and name in plain and plain[name] not in found.values():
                found[ours] = plain[name]
    return found


def map_columns(
    table: Table, aliases: Aliases, given: Mapping[str, str], findings: Findings, prefix: str = ""
) -> Mapped | None:
    """The table under our names; None, and findings, if a column that is needed is not there.

    Args:
        table: what was read.
        aliases: our columns and their usual names.
        given: the columns of task.toml; in retrieval tasks their names start with the prefix.
        findings: takes what is missing.
        prefix: `corpus.`, `queries.` or `qrels.` in retrieval tasks.
    """
    own = {ours.removeprefix(prefix): name for ours, name in given.items() if ours.startswith(prefix)}
    names = match_columns(table, aliases, own)
    columns = {ours: values for ours, name in names.items() if (values := column_values(table, name)) is not None}
    missing = [ours for ours in aliases if ours not in columns and (ours in names or prefix + ours not in OPTIONAL)]
    for ours in missing:
        note_missing(table, prefix + ours, (names[ours],) if ours in names else aliases[ours], findings)
    return None if missing else Mapped(table.file, table.rows, columns, names)


def note_missing(table: Table, ours: str, wanted: tuple[str, ...], findings: Findings) -> None:
    """Note that a column is missing: what was looked for, what the file has, and the nearest of them."""
    near = next((close for name in wanted for close in nearest(name, table.columns, n=1)), "")
    hint = f"; did you mean {near!r}?" if near else "."
    key = f'"{ours}"' if "." in ours else ours
    findings.error(
        "missing column",
        table.file,
        f"found the columns {', '.join(table.columns)}, but none named {' or '.join(wanted[:4])}{hint} "
        f'Rename it, or say in task.toml which one it is: columns = {{ {key} = "{near or "..."}" }}',
        column=ours,
    )


def column_values(table: Table, name: str) -> list[object] | None:
    """A column by name, None if there is none; `labels.label` is the field `label` of the records in `labels`."""
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
