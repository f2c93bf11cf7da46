"""Costs on the site: columns of boards, tables of model pages, the curve of score against index
size.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from kemb import demo
from kemb.boards import Board, build_board
from kemb.cli import cli
from kemb.models.facts import facts_of
from kemb.publishing.costs import cost_of, is_cut
from kemb.publishing.site.build import build_site
from kemb.publishing.site.figures import Curve, curves
from kemb.publishing.site.schema import Named
from kemb.publishing.site.views import site_view
from kemb.results.files import read_results


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, tiny_st: Path) -> Board:
    """Two models and their views on two tasks; the tiny one reads 64 tokens, one per syllable."""
    results = tmp_path_factory.mktemp("costs") / "results"
    tasks = [
        str(folder)
        for folder in demo.task_folders()
        if folder.name in ("ko-mini-retrieval", "ko-mini-sts")
    ]
    models = [
        "-m",
        "toy",
        "-m",
        str(tiny_st),
        "--device",
        "cpu",
        "--dims",
        "128,64",
        "--quantize",
        "int8,binary",
    ]
    done = CliRunner().invoke(cli, ["run", *tasks, *models, "--results", str(results)])
    assert "toy [dims_64__quantize_binary]" in done.output
    return build_board(read_results(results))


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return {
        path: content.decode()
        for path, content in build_site({"own": board}).items()
        if path.endswith(".html")
    }


def drawn(board: Board) -> list[Curve]:
    facts = {row.model: facts_of(row.model) for row in board.rows}
    site = site_view({"own": board}, facts, {}, title=Named(ko="", en=""), date="")
    return curves(site.boards[0])


def test_a_curve_places_every_view_by_its_index_and_score(board: Board) -> None:
    curve = next(curve for curve in drawn(board) if curve.title == "toy")
    points = {
        (series.level, point.dims): point for series in curve.series for point in series.points
    }
    assert set(points) == {
        (level, dims) for level in ("", "int8", "binary") for dims in (256, 128, 64)
    }
    factor = {"": 4, "int8": 1, "binary": 1 / 8}
    for (level, dims), point in points.items():
        assert point.index_bytes == factor[level] * dims
        row = board.rows[point.row]
        view = {"dims": None if dims == 256 else dims, "level": level or None}
        recorded = next(iter(row.results.values())).record.view
        assert (recorded and recorded.as_json()) == (view if any(view.values()) else None)
        standing = row.standing
        assert standing is not None
        assert standing.low is not None
        assert point.high <= point.y <= point.low
    ends = [(board.rows[point.row].score or 0, point.y) for point in points.values()]
    (best, top), (worst, bottom) = max(ends), min(ends)
    for score, y in ends:  # linear in the score
        assert y == pytest.approx(
            bottom + (top - bottom) * (score - worst) / (best - worst), abs=0.02
        )
    of_float = [point.x for point in curve.series[0].points]
    assert of_float == sorted(of_float, reverse=True)


def test_a_model_without_views_has_no_curve(board: Board) -> None:
    rows = [
        result
        for row in board.rows
        if row.model != "toy" or not row.variant
        for result in row.results.values()
    ]
    assert "toy" not in [curve.title for curve in drawn(build_board(rows))]


def test_pages_show_the_curve_costs_and_truncation_without_a_script(
    board: Board, files: dict[str, str]
) -> None:
    titles = {
        "model/toy.html": "색인 GB, 문서 100만 건",
        "en/model/toy.html": "index GB per million documents",
    }
    for path, words in titles.items():
        assert words in files[path]
        (label,) = re.findall(r'class="plot curve"[^>]* aria-label="([^"]*)"', files[path])
        for row in board.complete:
            if row.model == "toy":
                assert f"{(row.score or 0) * 100:.1f}" in label
    tiny = next(row for row in board.rows if row.model == "local/tiny-st" and not row.variant)
    page = files["en/model/local--tiny-st.html"]
    for result in tiny.results.values():
        for part in result.record.lengths.values():
            for name, own in part.columns.items():
                cells = [
                    name,
                    own.n_texts,
                    own.n_truncated,
                    f"{own.n_truncated / own.n_texts * 100:.1f}",
                ]
                pattern = "</td><td[^>]*>".join(map(str, cells))
                assert re.search(pattern, page), cells
    assert "Truncated texts" not in files["en/model/toy.html"]
    tokens = cost_of(tiny).tokens_per_1000_korean
    assert tokens is not None
    assert f'<td class="num">{tokens:,.0f}</td>' in page


def test_cells_of_cut_texts_are_marked_on_the_board(board: Board, files: dict[str, str]) -> None:
    marked = [
        (row.model, task)
        for row in board.rows
        for task, result in row.results.items()
        if is_cut(result.kemb)
    ]
    assert {model for model, _ in marked} == {"local/tiny-st"}
    assert {task for _, task in marked} == {"KoMiniRetrieval"}
    assert files["index.html"].count('<span class="cut"') == len(marked)
    for key in ("korean", "index"):
        assert f'<th scope="col" data-col="{key}"' in files["index.html"]
    assert 'data-col="usd"' not in files["index.html"]
