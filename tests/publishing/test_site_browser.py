"""The site as a reader has it: opened from a folder in a browser, with and without its script,
never online.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from browser import AXE, chromium, needs
from kemb import demo
from kemb.boards import Board, BoardOptions, build_board
from kemb.boards.benchmark import Benchmark, CellSpec
from kemb.cli import cli
from kemb.publishing.site.build import build_site, write_site
from kemb.publishing.site.schema import Snippet, SnippetData
from kemb.results.files import (
    Claim,
    ScoredPart,
    TaskResult,
    read_results,
    result_dir,
    write_meta,
    write_result,
)
from kemb.types import ItemBlock, PartScore
from records import record

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

TASKS = {"Law": "law", "Health": "health", "News": "news", "Wiki": "wiki"}
HOSTILE = [
    "<script>window.harm = 1</script>/x",
    "a/](javascript:window.harm=2)",
    'b/"><img src=x onerror=window.harm=3>',
    "c/‮gnp.exe",
    "한" * 200,
    "d/</script><!--",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def measured(folder: Path) -> Board:
    """Eight models on four tasks in four groups with items; the last lacks one task."""
    rng = np.random.default_rng(7)
    hardness = {task: rng.normal(0, 0.2, 120) for task in TASKS}
    for number in range(8):
        home = result_dir(folder, f"org/model-{number}", f"r{number}", "")
        write_meta(home, {"name": f"org/model-{number}", "revision": f"r{number}"})
        for task in list(TASKS)[: 3 if number == 7 else 4]:
            values = np.clip(0.75 - 0.05 * number + hardness[task] + rng.normal(0, 0.1, 120), 0, 1)
            items = ItemBlock("ndcg@10", [f"q{item}" for item in range(120)], values)
            part = ScoredPart(
                "test",
                "default",
                ["kor-Hang"],
                PartScore({"ndcg@10": values.mean()}, {}, [items]),
                "ndcg@10",
            )
            write_result(
                home,
                task,
                "d1",
                [part],
                record(
                    task={
                        "type": "retrieval",
                        "main_metric": "ndcg@10",
                        "data_sha256": {"test/default": "0" * 64},
                    },
                    model={"name": f"org/model-{number}", "dtype": "float32"},
                    prompts={"query": {"prompt": "query: ", "route": "", "source": "model"}},
                    timestamp=0,
                ),
            )
    cells = [
        CellSpec(task=task, group=group, splits=["test"], metric="ndcg@10")
        for task, group in TASKS.items()
    ]
    bench = Benchmark(name="measured", title="네 분야", cells=cells)
    return build_board(read_results(folder), bench, options=BoardOptions(n_replicates=400))


def claimed(name: str, models: list[str], n_tasks: int, n_incomplete: int = 0) -> Board:
    rng = random.Random(3)
    cells = [CellSpec(task=f"task{n}", group=f"g{n % 3}", splits=["test"]) for n in range(n_tasks)]
    claim = Claim("a paper", "https://example.org", "abc", retrieved="2026-01-02")
    found = [
        TaskResult(
            Path("/r/p.parquet"),
            model,
            "r1",
            "",
            cell.task,
            "d",
            {"test": [{"hf_subset": "default", "main_score": rng.uniform(0.3, 0.9)}]},
            None,
            claim,
        )
        for number, model in enumerate(models)
        for cell in cells[: 1 if number >= len(models) - n_incomplete else None]
    ]
    bench = Benchmark(name=name, title=name, cells=cells)
    return build_board(found, bench, options=BoardOptions(n_replicates=100))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    boards = {
        "measured": measured(folder / "results"),
        "hostile": claimed(
            "hostile", [*HOSTILE, *(f"o/m{n}" for n in range(80))], 6, n_incomplete=70
        ),
    }
    code = Snippet(name="kemb", code="print('<b>안녕</b>')")
    snippets = SnippetData(models={"org--model-0": [code]}).model_dump_json()
    files = build_site(boards) | {"data/snippets.js": f'kembData("snippets",{snippets});'.encode()}
    write_site(files | {"manifest.json": b"{}"}, folder / "site")
    return folder / "site"


class Reader:
    """A fresh profile that notes what goes wrong and what leaves the folder."""

    def __init__(self, browser: Browser, site: Path, **options: Any) -> None:  # noqa: ANN401  of the context
        self.context: BrowserContext = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}} | options
        )
        self.site = site
        self.problems: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.problems.append(said.text) if said.type == "error" else None,
        )
        self.context.on("request", lambda asked: self._check(asked.url))

    def _check(self, url: str) -> None:
        if not url.startswith(("file://", "data:", "about:")):
            self.problems.append(f"asked the network for {url}")

    def open(self, path: str, ready: str = "") -> Page:
        self.page.goto(f"file://{self.site}/{path}")
        if ready:
            self.page.wait_for_selector(ready)
        return self.page

    def board(self, query: str = "", path: str = "index.html") -> Page:
        return self.open(path + query, "#controls:not([hidden])")


@pytest.fixture
def reader(browser: Browser, site: Path) -> Iterator[Reader]:
    reader = Reader(browser, site)
    yield reader
    reader.context.close()
    assert reader.problems == []


def shown(page: Page, body: str = "#ranked") -> list[str]:
    labels: list[str] = page.eval_on_selector_all(
        f"{body} tr[data-row]",
        "rows => rows.map(row => row.querySelector('[data-col=model]').textContent.trim())",
    )
    return [label.split()[0].removeprefix("org/") for label in labels]


def column(page: Page, name: str) -> list[float]:
    texts: list[str] = page.eval_on_selector_all(
        f"#ranked td[data-col={name}]", "cells => cells.map(cell => cell.textContent.trim())"
    )
    return [float(text.split()[0]) for text in texts]


MODELS = [f"model-{number}" for number in range(7)]


def test_sorting_by_mouse_and_keyboard(reader: Reader) -> None:
    page = reader.board()
    assert shown(page) == MODELS
    assert shown(page, "#unranked") == ["model-7"]
    page.click("th[data-col=c1] button")
    assert column(page, "c1") == sorted(column(page, "c1"), reverse=True)
    assert page.get_attribute("th[data-col=c1]", "aria-sort") == "descending"
    assert page.get_attribute("th[data-col=rank]", "aria-sort") is None
    page.focus("th[data-col=c1] button")
    page.keyboard.press("Enter")
    assert column(page, "c1") == sorted(column(page, "c1"))
    assert page.get_attribute("th[data-col=c1]", "aria-sort") == "ascending"
    assert shown(page, "#unranked") == ["model-7"]


def test_search_and_filters_keep_ranks(reader: Reader) -> None:
    page = reader.board()
    rank = page.inner_text("#ranked tr:nth-child(3) .rank")
    page.fill("input[name=q]", "MODEL-2")
    assert shown(page) == ["model-2"]
    assert page.inner_text("#ranked .rank") == rank
    assert page.inner_text("#count").startswith("1 / 8")
    page.fill("input[name=q]", "")
    page.select_option("select[name='f.source']", "claimed")
    assert shown(page) == []
    page.click("button[type=reset]")
    assert shown(page) == MODELS
    assert page.input_value("select[name='f.source']") == ""


def test_everything_chosen_is_in_the_url_and_comes_back(reader: Reader) -> None:
    page = reader.board()
    page.fill("input[name=q]", "org")
    page.click("th[data-col=c2] button")
    page.click("#ranked tr:has-text('model-4') .pin")
    page.click("#columns summary")
    page.uncheck("#columns label:has-text('News') input")
    page.wait_for_function("location.search.includes('hide=c2')")
    url, pinned, order = page.url, shown(page, "#pinned"), shown(page)
    assert pinned == ["model-4"]
    assert not page.is_visible("th[data-col=c2]")
    fresh = reader.context.new_page()
    fresh.goto(url)
    fresh.wait_for_selector("#controls:not([hidden])")
    assert (shown(fresh, "#pinned"), shown(fresh)) == (pinned, order)
    assert fresh.input_value("input[name=q]") == "org"
    assert not fresh.is_visible("th[data-col=c2]")
    assert fresh.get_attribute("#pinned .pin", "aria-pressed") == "true"
    fresh.click("button[type=reset]")
    fresh.wait_for_function("location.search === ''")
    assert shown(fresh) == MODELS


def test_nonsense_in_the_url_shows_the_board(reader: Reader) -> None:
    page = reader.board(
        "?sort=nothing&pin=nobody&hide=x%22%5D&w.law=-3&w.none=5&f.what=1&at=1999-01-01"
    )
    assert shown(page) == MODELS
    assert "1999-01-01" in page.inner_text("#notice")


def test_weights_change_scores_intervals_ranks_and_come_back(reader: Reader) -> None:
    page = reader.board()
    before = (column(page, "score"), page.inner_text("#ranked"))
    page.click("#weights summary")
    for number in range(3):
        page.fill(f"#weights .weight:nth-of-type({number + 1}) input[type=number]", "0")
    page.wait_for_function("location.search.includes('w.news=0')")
    page.wait_for_selector("#board.reweighted")
    page.wait_for_function("document.querySelector('#weights .hint').textContent.includes('400')")
    # All weight is on the last task: the scores are its column.
    assert column(page, "score") == sorted(column(page, "c3"), reverse=True)
    assert all("±" in text for text in page.locator("#ranked td[data-col=score]").all_inner_texts())
    assert page.is_visible("#notice")
    url = page.url
    page.click("#weights .panel > button")
    assert (column(page, "score"), page.inner_text("#ranked")) == before
    assert not page.is_visible("#notice")
    again = reader.board(url.removeprefix(f"file://{reader.site}/index.html"))
    assert column(again, "score") == sorted(column(again, "c3"), reverse=True)
    again.click("button[type=reset]")
    assert (column(again, "score"), again.inner_text("#ranked")) == before


def test_a_number_opens_its_card_and_gives_the_focus_back(reader: Reader) -> None:
    page = reader.board()
    value = page.inner_text("#ranked tr:nth-child(2) td[data-col=c0]")
    page.focus("#ranked tr:nth-child(2) td[data-col=c0] a")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    text = page.inner_text("dialog")
    for part in ("model-1", "Law", value, "r1", "d1", "query: ", "float32", "cosine", "95%"):
        assert part in text, part
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.textContent") == value
    page.click("#ranked tr:nth-child(2) td[data-col=c0] a")
    page.click("dialog .close")
    page.wait_for_selector("dialog", state="detached")
    with reader.context.expect_page() as opened:
        page.click("#ranked td[data-col=c0] a >> nth=0", modifiers=["Control"])
    assert "/task/law.html" in opened.value.url
    assert page.locator("dialog").count() == 0


def test_pinned_models_are_compared_with_intervals_and_verdicts(reader: Reader) -> None:
    page = reader.board()
    page.click("#compare-pins")
    assert page.is_visible("#notice")
    for name in ("model-0", "model-6"):
        page.click(f"#ranked tr:has-text('{name}') .pin")
    page.click("#compare-pins")
    page.wait_for_selector("#result table")
    overall = page.inner_text("#result tr.overall")
    assert re.search(r"−\d+\.\d\d \[−\d+\.\d\d, −\d+\.\d\d\] ▼", overall), overall
    assert page.locator("#result tbody tr").count() == 2 + 4
    assert "0 / 0 / 4" in page.inner_text("#result tbody")
    assert page.locator("svg.radar .series").count() == 2
    page.click(".flips summary >> nth=0")
    page.wait_for_selector(".flips table")
    assert page.locator(".flips details[open] tbody tr").count() <= 20
    assert "q" in page.inner_text(".flips details[open] tbody th >> nth=0")
    # With the incomplete one, only common tasks count, and there is no interval.
    page.select_option(
        "select[name=m] >> nth=2",
        label=page.inner_text("select[name=m] >> nth=2 >> option:has-text('model-7')"),
    )
    page.wait_for_function("document.querySelectorAll('#result tbody tr').length === 5")
    assert "[" not in page.inner_text("#result tbody")
    # A group without common tasks is a gap: three of four axes have a mark.
    assert page.locator("svg.radar .series-0 .mark").count() == 3
    url = page.url
    other = reader.context.new_page()
    other.goto(url)
    other.wait_for_selector("#result table")
    assert other.inner_text("#result table") == page.inner_text("#result table")


def test_choosing_keeps_what_is_unknown_apart(reader: Reader) -> None:
    page = reader.open("choose.html", "#constraints:not([hidden])")
    page.check("input[name=api]")
    assert "7" in page.inner_text("#result p >> nth=0")
    page.click(".snippets summary >> nth=0")
    page.wait_for_selector(".snippets pre")
    assert page.inner_text(".snippets pre") == "print('<b>안녕</b>')"
    page.select_option("select[name=hardware]", "gpu8")
    page.wait_for_function("location.search.includes('hardware=gpu8')")
    # Nothing is known of these models: none is dropped, none passes.
    summary = page.inner_text("#result details >> nth=0 >> summary")
    assert "(7)" in summary
    page.goto(page.url)
    page.wait_for_selector("#result details")
    assert page.input_value("select[name=hardware]") == "gpu8"
    assert page.inner_text("#result details >> nth=0 >> summary") == summary


def test_the_language_keeps_what_was_chosen_and_the_theme_stays(reader: Reader) -> None:
    page = reader.board("?sort=-c1")
    page.click("#theme")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#language")
    page.wait_for_selector("#controls:not([hidden])")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.url.endswith("/en/index.html?sort=-c1")
    assert page.get_attribute("th[data-col=c1]", "aria-sort") == "descending"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
    assert "models" in page.inner_text("#count")


def test_rows_are_folded_and_shown_on_demand(reader: Reader) -> None:
    page = reader.board(path="board/hostile.html")
    assert len(shown(page, "#unranked")) == 50
    assert "20" in page.inner_text("#more")
    page.click("#more")
    page.wait_for_function("document.querySelectorAll('#unranked tr[data-row]').length === 70")
    assert not page.is_visible("#more")
    for _ in range(11):
        page.click("#ranked .pin >> nth=0")
    assert page.locator("#pinned tr").count() == 10
    assert page.is_visible("#notice")


def test_a_link_to_a_folded_row_unfolds(reader: Reader) -> None:
    text = (reader.site / "data" / "board-hostile.js").read_text(encoding="utf-8")
    last = json.loads(text.removeprefix('kembData("board-hostile",').removesuffix(");\n"))["rows"][
        -1
    ]["id"]
    page = reader.board(path="board/hostile.html")
    row = page.locator("#unranked tr[data-row]").nth(69)
    assert row.count() == 0
    page.evaluate("id => { location.hash = id }", last)
    row.wait_for()
    assert row.get_attribute("id") == last
    assert page.evaluate("scrollY") > 500
    page = reader.board(f"#{last}", "en/board/hostile.html")
    page.locator(f"[id='{last}']").wait_for()
    assert page.evaluate("scrollY") > 500


@pytest.mark.parametrize(
    "path", ["board/hostile.html", "compare.html?board=hostile", "choose.html?board=hostile&api=1"]
)
def test_hostile_names_are_text(reader: Reader, path: str) -> None:
    page = reader.open(path, "#count:not(:empty), #result > *")
    if path.startswith("board"):
        page.click("#ranked a.cell >> nth=0")
        page.wait_for_selector("dialog[open]")
    if path.startswith("compare"):
        for number in range(4):
            page.select_option(f"select[name=m] >> nth={number}", index=number + 1)
        page.wait_for_function("document.querySelectorAll('#result thead th.num').length === 4")
    page.wait_for_timeout(50)
    assert page.evaluate("window.harm") is None
    assert page.locator("main img").count() == 0
    assert page.evaluate(
        "[...document.querySelectorAll('a')].every(a => !a.protocol.startsWith('javascript'))"
    )
    assert "<script>window.harm" in page.inner_text("main")


def test_without_script_every_page_is_complete(browser: Browser, site: Path) -> None:
    reader = Reader(browser, site, java_script_enabled=False)
    page = reader.open("index.html")
    # evaluate() needs no script of the page.
    assert page.locator("#ranked tr").count() == 7
    assert page.locator("#controls").is_hidden()
    assert page.locator(".pin >> nth=0").is_hidden()
    for path in (
        "compare.html",
        "choose.html",
        "method.html",
        "changelog.html",
        "task/law.html",
        "en/index.html",
    ):
        page = reader.open(path)
        assert page.locator("main h1").is_visible(), path
        assert len(page.inner_text("main")) > 40, path
    assert reader.problems == []
    reader.context.close()


def test_a_missing_data_script_is_said_and_the_table_stays(
    browser: Browser, site: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(site, tmp_path / "site"))
    (broken / "data" / "board-measured.js").unlink()
    reader = Reader(browser, broken)
    page = reader.open("index.html", "#notice:not([hidden])")
    assert "board-measured.js" in page.inner_text("#notice")
    assert page.locator("#ranked tr").count() == 7
    (broken / "data" / "draws-measured.js").unlink()
    (broken / "data" / "cards-measured.js").unlink()
    shutil.copy(site / "data" / "board-measured.js", broken / "data")
    page = reader.board()
    page.click("#weights summary")
    page.fill("#weights .weight:nth-of-type(1) input[type=number]", "90")
    page.wait_for_selector("#board.reweighted")
    assert column(page, "score") == sorted(column(page, "score"), reverse=True)
    page.click("#ranked a.cell >> nth=0")
    page.wait_for_url("**/task/law.html*")
    reader.context.close()


def test_an_older_state_is_opened(browser: Browser, site: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(site, tmp_path / "site"))
    data = copied / "data" / "site.js"
    text = data.read_text(encoding="utf-8")
    assert '"snapshots":[]' in text
    old = '"snapshots":[{"id":"2026-01-02","date":"2026-01-02","boards":["measured"]}]'
    data.write_text(text.replace('"snapshots":[]', old), encoding="utf-8")
    (copied / "at" / "2026-01-02").mkdir(parents=True)
    (copied / "at" / "2026-01-02" / "measured.html").write_text(
        "<title>old</title>", encoding="utf-8"
    )
    reader = Reader(browser, copied)
    page = reader.open("index.html?at=2026-01-02&q=model")
    page.wait_for_url("**/at/2026-01-02/measured.html?q=model")
    assert page.title() == "old"
    assert "2026-01-03" in reader.board("?at=2026-01-03").inner_text("#notice")
    reader.context.close()


def test_sorting_and_filtering_600_rows(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = claimed("large", [f"o/m{n}" for n in range(600)], 25, n_incomplete=300)
    write_site(build_site({"large": board}) | {"manifest.json": b"{}"}, tmp_path / "site")
    page = Reader(browser, tmp_path / "site").board()
    timed = (
        "act => { const t = performance.now(); act(); document.body.offsetHeight; return "
        "performance.now() - t }"
    )
    sort, search = (
        "document.querySelector('th[data-col=c3] button').click()",
        (
            "(field => { field.value = 'm1'; field.dispatchEvent(new Event('input', {bubbles: "
            "true})) })"
            "(document.querySelector('[name=q]'))"
        ),
    )
    spent = {}
    for name, act in {"first sort": sort, "sort": sort, "search": search}.items():
        spent[name] = page.evaluate(f"({timed})(() => {act})")
        page.wait_for_timeout(500)
    n_rows = sum("m1" in f"m{n}" for n in range(300))
    page.wait_for_function(f"document.querySelectorAll('#ranked tr').length === {n_rows}")
    with capsys.disabled():
        sys.stdout.write(
            " 600 rows, 25 tasks: "
            f"{', '.join(f'{name} {ms:.0f} ms' for name, ms in spent.items())} "
        )


def test_print_shows_tables_without_controls(reader: Reader) -> None:
    page = reader.board()
    page.emulate_media(media="print")
    assert not page.is_visible("#controls")
    assert page.is_visible("#ranked tr >> nth=6")
    assert len(page.pdf()) > 10_000


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "compare.html",
        "choose.html?api=1",
        "method.html",
        "task/law.html",
        "model/org--model-0.html",
    ],
)
def test_a_phone_never_scrolls_the_page_sideways(browser: Browser, site: Path, path: str) -> None:
    reader = Reader(browser, site, viewport={"width": 375, "height": 800})
    page = reader.open(path)
    page.wait_for_timeout(150)
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 375, wide
    reader.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "board/hostile.html",
        "compare.html",
        "choose.html?api=1",
        "method.html",
        "changelog.html",
        "task/law.html",
        "model/org--model-0.html",
        "en/index.html",
    ],
)
def test_axe_finds_nothing(browser: Browser, site: Path, theme: str, path: str) -> None:
    needs(AXE)
    reader = Reader(browser, site, color_scheme=theme)
    page = reader.open(path)
    page.wait_for_timeout(150)
    if path == "index.html":
        page.click("#weights summary")
        page.click("#columns summary")
        page.fill("#weights input[type=number] >> nth=0", "70")
        page.wait_for_selector("#board.reweighted")
    page.add_script_tag(path=str(AXE))
    assert violations(page) == []
    if path in ("index.html", "compare.html"):
        page.click("#ranked a.cell >> nth=0" if path == "index.html" else ".flips summary >> nth=0")
        page.wait_for_selector("dialog[open], .flips table")
        assert violations(page) == []
    assert reader.problems == []
    reader.context.close()


def violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run({preload: false}).then(result => result.violations)"
    )
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of two models without a download and the views of one."""
    folder = tmp_path_factory.mktemp("costs")
    task = next(path for path in demo.task_folders() if path.name == "ko-mini-retrieval")
    arguments = [
        "run",
        str(task),
        "-m",
        "toy",
        "-m",
        "bm25:bigram",
        "--dims",
        "128,64",
        "--quantize",
        "binary",
    ]
    done = CliRunner().invoke(cli, [*arguments, "--results", str(folder / "results")])
    assert done.exit_code == 0, done.output
    cell = CellSpec(task="KoMiniRetrieval", group="retrieval", splits=["test"])
    bench = Benchmark(name="own", title="내 결과", cells=[cell])
    board = build_board(read_results(folder / "results"), bench)
    write_site(build_site({"own": board}) | {"manifest.json": b"{}"}, folder / "site")
    return folder / "site"


def test_columns_of_costs_are_sorted_and_hidden(browser: Browser, costs: Path) -> None:
    reader = Reader(browser, costs)
    page = reader.board()
    page.click("th[data-col=index] button")
    assert page.get_attribute("th[data-col=index]", "aria-sort") == "ascending"
    assert column(page, "index") == sorted(column(page, "index"))
    assert shown(page)[0] == "toy"
    page.click("#columns summary")
    page.uncheck("#columns label:has-text('색인 GB') input")
    assert not page.is_visible("th[data-col=index]")
    page.wait_for_url("**hide=index**")
    page.reload()
    page.wait_for_selector("#controls:not([hidden])")
    assert not page.is_visible("#ranked td[data-col=index] >> nth=0")
    assert reader.problems == []
    reader.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["index.html", "en/model/toy.html"])
def test_axe_finds_nothing_in_the_curve_and_the_costs(
    browser: Browser, costs: Path, theme: str, path: str
) -> None:
    needs(AXE)
    reader = Reader(browser, costs, color_scheme=theme)
    page = reader.open(path)
    page.wait_for_selector("svg.curve")
    page.wait_for_timeout(150)
    page.add_script_tag(path=str(AXE))
    assert violations(page) == []
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    reader.context.close()
