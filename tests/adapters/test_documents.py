"""Tables out of documents: the published ones cell by cell, and what is wrong in a document named
with its line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemb.adapters.documents import read_document
from kemb.adapters.tables import Table, make_cell
from kemb.errors import DataError

DOCUMENTS = [
    "ko-embedding-leaderboard-readme",
    "koe5-card",
    "bge-m3-ko-card-1",
    "bge-base-en-v1.5-card",
    "bge-m3-ko-card-2",
]


def read(tmp_path: Path, text: str) -> list[Table]:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    return read_document(path).tables


def plain(raw: str) -> str:
    return make_cell(raw).text


@pytest.mark.shared
@pytest.mark.parametrize("number", range(5))
def test_every_published_table_is_read_to_the_last_cell(shared_data: Path, number: int) -> None:
    published = shared_data / "published"
    tables = read_document(published / "documents" / f"{DOCUMENTS[number]}.txt").tables
    expected: list[dict[str, Any]] = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(published.glob(f"seed00{number}_*.json"))
    ]
    expected = [table for table in expected if "raw_rows" in table]
    assert expected
    for wanted in expected:
        shapes = [table for table in tables if len(table.rows) == wanted["n_rows"]]
        texts = [[plain(cell) for cell in row] for row in wanted["raw_rows"]]
        (found,) = [
            table
            for table in shapes
            if [[cell.text for cell in row] for row in table.rows] == texts
        ]
        for row, numbers in zip(found.rows, wanted["rows"], strict=True):
            for cell, value in zip(row, numbers, strict=True):
                assert isinstance(value, str) or cell.number == value


@pytest.mark.shared
def test_metadata_of_cards_is_read_as_it_was_scraped(shared_data: Path) -> None:
    for name, file, n_metrics in (
        ("bge-base-en-v1.5-card", "seed003", 68),
        ("bge-m3-ko-card-1", "seed002", 1),
    ):
        entries = read_document(shared_data / "published" / "documents" / f"{name}.txt").entries
        wanted = json.loads((shared_data / "published" / f"{file}_model_index.json").read_text())[
            "results"
        ]
        assert len(entries) == len(wanted) == n_metrics
        for entry, result in zip(entries, wanted, strict=True):
            assert entry.metrics == {
                name: value for name, value in result["metrics"].items() if value is not None
            }
            assert (entry.task_type, entry.name) == (result["task_type"], result["dataset_name"])


@pytest.mark.parametrize(
    ("raw", "text", "number", "decimals"),
    [
        ("**64.23**", "64.23", 64.23, 2),
        ("[**0.5**](https://a/b)", "0.5", 0.5, 1),
        ("1,024", "1,024", 1024, 0),
        ("12,34", "12,34", None, 0),
        ("85.1%", "85.1%", 85.1, 1),
        ("80.1 (↑0.5)", "80.1 (↑0.5)", 80.1, 1),
        ("80.1 ▲", "80.1 ▲", 80.1, 1),
        ("80.10 (+0.5)", "80.10 (+0.5)", 80.1, 2),
        ("🥇 80.1", "🥇 80.1", 80.1, 1),
        ("80.1 (3)", "80.1 (3)", None, 0),
        ("9" * 400, "9" * 400, None, 0),
        ("a<br/>b", "a b", None, 0),
        ("71.2 ± 0.8", "71.2 ± 0.8", 71.2, 1),
        ("−3.5", "−3.5", -3.5, 1),
        ("nan", "nan", None, 0),
        ("<b>7</b>", "7", 7, 0),
        ("568M", "568M", None, 0),
        ("3.2.1", "3.2.1", None, 0),
        ("T2Reranking\\*", "T2Reranking*", None, 0),
        ("a_b_c", "a_b_c", None, 0),
    ],
)
def test_numbers_are_read_and_nothing_else_is(
    raw: str, text: str, number: float | None, decimals: int
) -> None:
    cell = make_cell(raw)
    assert (cell.text, cell.number, cell.decimals) == (text, number, decimals)


def test_missing_cells_are_told_from_text() -> None:
    assert [make_cell(raw).is_missing for raw in ("nan", "-", "", "N/A", "—", "0", "a")] == [
        True
    ] * 5 + [False] * 2


def test_ragged_rows_are_left_out_and_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "# T\n\n| m | a | b |\n|---|---|---|\n| x | 1 | 2 |\n| y | 3 |\n| z | 4 | 5 |\n| w | 4 | 5 "
        "| 6 |\n"
    )
    document = read_document(path)
    assert [[cell.text for cell in row] for row in document.tables[0].rows] == [
        ["x", "1", "2"],
        ["z", "4", "5"],
    ]
    assert [problem[:8] for problem in document.problems] == ["line 6: ", "line 8: "]
    assert "2 cells under a header of 3" in document.problems[0]


def test_merged_cells_count_for_every_place_they_cover(tmp_path: Path) -> None:
    """A header of two rows, a family that spans rows, a heading between rows, as in cards."""
    (table,) = read(
        tmp_path,
        "<table>\n<tr><th rowspan='2'>Family</th><th rowspan=2>Model</th><th colspan='2'>STS</th>"
        "</tr>\n<tr><th>KorSTS</th><th>KLUE-STS</th></tr>\n"
        "<tr><td colspan=4><b>small</b></td></tr>\n"
        "<tr><td rowspan=2>e5</td><td>a</td><td>1</td><td>2</td></tr>\n"
        "<tr><td>b</td><td>3</td><td>4</td></tr>\n</table>\n",
    )
    assert table.columns == ["Family", "Model", "KorSTS", "KLUE-STS"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["e5", "a", "1", "2"],
        ["e5", "b", "3", "4"],
    ]
    assert table.lines == [5, 6]
    assert table.problems == []


def test_names_that_repeat_below_groups_get_the_group(tmp_path: Path) -> None:
    (table,) = read(
        tmp_path,
        "<table><tr><td rowspan=2>Model</td><td colspan=2>KorSTS</td><td colspan=2>KLUE</td></tr>"
        "<tr><td>P</td><td>S</td><td>P</td><td>S</td></tr>"
        "<tr><td>a</td><td>1</td><td>2</td><td>3</td><td>4</td></tr></table>",
    )
    assert table.columns == ["Model", "KorSTS P", "KorSTS S", "KLUE P", "KLUE S"]


def test_a_number_over_two_columns_is_left_out_and_named(tmp_path: Path) -> None:
    (table,) = read(
        tmp_path,
        "<table><tr><th>m</th><th>a</th><th>b</th></tr>\n<tr><td>x</td><td colspan=2>7</td></tr>\n"
        "<tr><td>y</td><td>1</td><td>2</td></tr></table>",
    )
    assert [row[0].text for row in table.rows] == ["y"]
    assert table.problems[0].startswith("line 2: '7' covers 2 columns")


def test_a_table_of_too_many_places_is_left_out_and_named(tmp_path: Path) -> None:
    for span in ("1001", "9" * 5000):
        (table,) = read(tmp_path, f"<table><tr><td colspan={span}>a<tr><td>b</table>")
        assert (table.rows, table.problems[0][:7]) == ([], "line 1:")


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("| m | a | b |", None),
        ("| m |", None),
        ("| | m | a |", ["m", "a"]),
        ("| m | a | |", ["m", "a"]),
        ("m | a", ["m", "a"]),
        ("| | a |", ["", "a"]),
    ],
)
def test_a_header_that_is_not_as_wide_as_its_rule_is_refused_with_both_counts(
    tmp_path: Path, header: str, columns: list[str] | None
) -> None:
    (table,) = read(tmp_path, f"# T\n\n{header}\n|---|---|\n| x | 1 |\n")
    if columns is not None:
        assert (table.columns, len(table.rows), table.problems) == (columns, 1, [])
        return
    assert table.rows == []
    n = header.count("|") - 1
    assert table.problems[0].startswith(f"line 3: a header of {n} cells over a rule of 2")


def test_html_tables_keep_links_and_lines(tmp_path: Path) -> None:
    html = (
        "<table>\n<tr><th>Model</th><th>Avg</th></tr>\n<tr><td><a "
        "href='/o/m'>m</a></td><td><b>1.5</b></td></tr>\n"
    )
    (table,) = read(tmp_path, f"## Scores\n{html}<tr><td>n</td><td>2</td></tr></table>")
    assert (table.title, table.columns, table.lines) == ("Scores", ["Model", "Avg"], [4, 5])
    assert (table.rows[0][0].link, table.rows[0][1].number) == ("/o/m", 1.5)


def test_two_tables_with_one_title_stay_two(tmp_path: Path) -> None:
    table = "| m | a |\n|---|---|\n| x | {} |\n"
    found = read(tmp_path, f"# T\n\n{table.format(1)}\n# T\n\n{table.format(2)}")
    assert [(t.title, t.rows[0][1].number) for t in found] == [("T", 1), ("T", 2)]


def test_tabs_and_columns_of_blanks_are_tables(tmp_path: Path) -> None:
    (tabs,) = read(tmp_path, "Model\ta\tb\nx y\t1\t2\nz\t3\t4\n")
    assert [cell.text for cell in tabs.rows[0]] == ["x y", "1", "2"]
    (blanks,) = read(
        tmp_path, "Top-k 3\nModel name F1 Recall\nopenai ada 002 0.1 0.2\ne5 large 0.3 0.4\n"
    )
    assert (blanks.title, blanks.columns) == ("Top-k 3", ["Model name", "F1", "Recall"])
    assert [cell.text for cell in blanks.rows[0]] == ["openai ada 002", "0.1", "0.2"]


def test_prose_with_numbers_is_no_table(tmp_path: Path) -> None:
    text = (
        "We trained for 3 epochs in 2024\nand got 85.1 points over 12 runs\nwith a batch size "
        "of 512\n- item 1\n"
    )
    assert read(tmp_path, text) == []


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_document(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["| a ", "|--", "| |", "<table><tr><td>", "0.1 ", "- task: type: ", "model-index: ", "\t1"],
)
def test_megabytes_of_garbage_give_no_number_that_is_not_there(tmp_path: Path, piece: str) -> None:
    path = tmp_path / "x.md"
    for text in (piece * (3_000_000 // len(piece)), (piece + "\n") * (300_000 // len(piece))):
        path.write_text(text)
        document = read_document(path)
        numbers = {cell.number for table in document.tables for row in table.rows for cell in row}
        assert numbers <= {None, 0.1, 1.0}
        assert document.entries == []


def test_a_line_too_long_for_tables_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("x\n" + "| a " * 300_000)
    (problem,) = read_document(path).problems
    assert problem.startswith("line 2: 1,200,000 characters")
