from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemb.errors import DiskError
from kemb.files import columns, scratch
from kemb.files.columns import ArrowColumn, ColumnWriter

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=40)
VALUES = st.one_of(
    st.none(), st.text(max_size=4), st.integers(), st.booleans(), st.just({"a": [1]})
)


def on_disk(values: list[Any], n_missing: int = 0) -> ArrowColumn[Any]:
    writer = ColumnWriter(n_missing)
    for value in values:
        writer.append(value)
    return writer.finish()


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS", 7)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(VALUES, max_size=40), n_missing=st.integers(0, 9))
def test_a_column_gives_the_values_of_a_list(values: list[Any], n_missing: int) -> None:
    column, expected = on_disk(values, n_missing), [None] * n_missing + values
    assert list(column) == expected
    assert [type(value) for value in column] == [type(value) for value in expected]
    assert [column[row] for row in range(-len(expected), len(expected))] == expected * 2
    assert column[1:9:2] == expected[1:9:2]
    assert column == expected
    assert column != [*expected, "more"]
    assert [value for block in columns.blocks_of(column) for value in block] == expected
    with pytest.raises(IndexError):
        column[len(expected)]


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, sought=TEXTS)
def test_functions_say_of_a_column_what_they_say_of_a_list(
    texts: list[str], sought: list[str]
) -> None:
    column = on_disk(texts)
    assert column.is_text
    assert columns.lengths_of(column).tolist() == list(map(len, texts))
    assert columns.lengths_of(texts).tolist() == list(map(len, texts))
    expected = sorted(range(len(texts)), key=lambda row: (texts[row], row))
    assert columns.in_order(column).tolist() == columns.in_order(texts).tolist() == expected
    last_rows = {text: row for row, text in enumerate(texts) if text in sought}
    assert columns.rows_of(column, sought) == columns.rows_of(texts, sought) == last_rows
    repeats = [(row, texts.index(text)) for row, text in enumerate(texts) if text in texts[:row]]
    assert list(columns.repeats(column)) == list(columns.repeats(texts)) == repeats
    assert list(columns.repeats(column, column)) == repeats
    assert list(columns.mapped(str.upper, column)) == list(map(str.upper, texts))


def test_half_characters_and_numbers_are_kept_but_are_no_texts() -> None:
    column = on_disk(["가", "\ud800", *"나" * 7, 3])
    assert list(column) == ["가", "\ud800", *"나" * 7, 3]
    assert not column.is_text
    assert not on_disk(["가", None]).is_text


def test_columns_are_joined_in_memory_or_on_disk() -> None:
    parts = [["a", None], on_disk([1, "b"]), on_disk(["c"])]
    assert list(columns.joined(parts)) == ["a", None, 1, "b", "c"]
    assert columns.joined([["a"], ["b"]]) == ["a", "b"]


def test_a_large_array_is_the_page_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(scratch.array(10, np.int64), np.ndarray)
    monkeypatch.setattr(scratch, "LARGE_BYTES", 80)
    array = scratch.array(10, np.int64)
    assert isinstance(array.base, np.memmap)
    array[:] = np.arange(10)
    assert array.tolist() == list(range(10))
    assert not list(scratch.folder().iterdir())  # the file has no name, and needs no cleaning


def test_a_folder_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kemb").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DiskError, match="larger than memory is unpacked there"):
        scratch.new_file()
