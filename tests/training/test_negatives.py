"""Rows with different numbers of negatives: by a rule that no row decides alone, and counted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from kemb.errors import DataError
from kemb.training.negatives import even_negatives
from kemb.training.pairs import read_column


def table(*rows: list[str | None]) -> pa.Table:
    columns = {f"negative_{n + 1}": [row[n] for row in rows] for n in range(len(rows[0]))}
    return pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})


def rows_of(evened: pa.Table) -> list[list[str]]:
    return [list(row.values()) for row in evened.to_pylist()]


def test_one_short_row_takes_no_negative_from_the_others() -> None:
    evened, names, counts = even_negatives(table(["a", "b", "c"], ["d", None, None]))
    assert names == ["negative_1", "negative_2", "negative_3"]
    assert rows_of(evened) == [["a", "b", "c"], ["d", "d", "d"]]
    assert (counts.n_given, counts.n_used, counts.n_lost, counts.n_repeated) == (4, 4, 0, 2)
    assert "of 4 4 are used and 0 lost" in counts.sentence


def test_a_row_without_any_takes_those_of_the_rows_after_it() -> None:
    evened, _, counts = even_negatives(table([None, None], ["a", "b"], ["c", "d"]))
    assert rows_of(evened) == [["a", "c"], ["a", "b"], ["c", "d"]]
    assert counts.n_borrowed == 2


def test_what_a_cap_takes_away_is_counted() -> None:
    evened, _, counts = even_negatives(table(["a", "b", "c"], ["d", "e", None]), most=2)
    assert rows_of(evened) == [["a", "b"], ["d", "e"]]
    assert (counts.n_used, counts.n_lost) == (4, 1)


def test_even_rows_are_not_spoken_of() -> None:
    evened, _, counts = even_negatives(table(["a", "b"], ["c", "d"]))
    assert rows_of(evened) == [["a", "b"], ["c", "d"]]
    assert counts.sentence == ""
    assert even_negatives(pa.table({"anchor": ["x"]}))[1] == []


def test_a_null_in_a_pool_is_no_text(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "글"}\n{"text": null}\n{"text": "  "}\n{"text": 3}\n', "utf-8")
    with pytest.raises(DataError, match=r"pool\.jsonl, row 2, text: .*row 3.*row 4"):
        read_column(pool, "text")
    pool.write_text('{"text": "글"}\n', "utf-8")
    assert read_column(pool, "text") == ["글"]
