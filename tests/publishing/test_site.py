"""The files of a site: complete, linked, escaped, the same every time, and with the numbers of the
results.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kemb import demo
from kemb.boards import Board, build_board
from kemb.boards.benchmark import Benchmark, CellSpec
from kemb.cli import cli
from kemb.publishing.site.build import build_site, manifest
from kemb.publishing.site.figures import scatter
from kemb.publishing.site.views import slugs
from kemb.results.claims import read_all
from kemb.results.files import Claim, TaskResult

HOSTILE = [
    "<script>alert(1)</script>/x",
    "a/](javascript:alert(1))",
    'b/"><img src=x onerror=alert(1)>',
    "c/\u202egnp.exe",
    "한" * 200,
    "d/{{ 7*7 }}",
    "e/</script><!--",
]
VOID = {"meta", "link", "input", "br", "img", "hr", "rect", "line", "circle", "polyline", "path"}


def claimed(model: str, task: str, value: float, source: str = "a paper") -> TaskResult:
    scores: dict[str, Any] = {"test": [{"hf_subset": "default", "main_score": value}]}
    claim = Claim(source, "https://example.org", "abc", retrieved="2026-01-02")
    return TaskResult(Path("/r/claims/p.parquet"), model, "r1", "", task, "d", scores, None, claim)


def board_of(models: list[str], n_tasks: int, seed: int = 1) -> Board:
    rng = random.Random(seed)
    cells = [CellSpec(task=f"task{n}", group=f"g{n % 4}", splits=["test"]) for n in range(n_tasks)]
    bench = Benchmark(name="synthetic", title="시험용", cells=cells)
    found = [claimed(model, cell.task, rng.uniform(0.3, 0.9)) for model in models for cell in cells]
    return build_board(found, bench)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of three models on the mini benchmark."""
    results = tmp_path_factory.mktemp("site") / "results"
    models = [
        argument for name in ("toy", "tfidf:char", "bm25:bigram") for argument in ("-m", name)
    ]
    done = CliRunner().invoke(
        cli, ["run", *map(str, demo.task_folders()), *models, "--results", str(results)]
    )
    assert done.exit_code == 0, done.output
    return results


@pytest.fixture(scope="module")
def built(measured: Path) -> tuple[dict[str, Board], dict[str, bytes]]:
    from kemb.boards import benchmark
    from kemb.results.claims import shipped

    results = [*read_all(measured), *shipped()]
    boards = {
        "measured": build_board([result for result in results if result.claim is None]),
        "kure": build_board(results, benchmark.load_benchmark("kure")),
        "ko-leaderboard-v2": build_board(results, benchmark.load_benchmark("ko-leaderboard-v2")),
    }
    return boards, build_site(boards)


class Page(HTMLParser):
    """What a page links to, its ids, its tables; fails on tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.handlers += [name] if name.startswith("on") else []
            self.ids += [value or ""] if name == "id" else []
            self.links += [value or ""] if name in ("href", "src") else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another tag, line {self.getpos()}"
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def pages(files: dict[str, bytes]) -> Iterator[tuple[str, Page]]:
    for path, content in files.items():
        if path.endswith(".html"):
            yield path, Page(content.decode())


def data(files: dict[str, bytes], name: str) -> Any:  # noqa: ANN401
    text = files[f"data/{name}.js"].decode()
    match = re.fullmatch(r"kembData\((\".*?\"),(.*)\);\n", text, re.DOTALL)
    assert match
    assert json.loads(match[1]) == name
    return json.loads(match[2])


@pytest.mark.slow
def test_every_page_is_well_formed_and_every_link_leads_somewhere(
    built: tuple[dict[str, Board], dict[str, bytes]],
) -> None:
    files = built[1] | {"manifest.json": b""}
    found = dict(pages(files))
    assert {path for path in found if "/" not in path} == {
        "index.html",
        "compare.html",
        "choose.html",
        "method.html",
        "changelog.html",
    }
    for path, page in found.items():
        assert len(page.ids) == len(set(page.ids)), f"{path}: an id stands twice"
        for link in page.links:
            if link.startswith(("https://", "data:")):
                continue
            target, _, anchor = unquote(link).partition("#")
            parts = [] if target == "" else Path(path).parent.joinpath(target).parts
            resolved: list[str] = []
            for part in parts:
                resolved = resolved[:-1] if part == ".." else [*resolved, part]
            where = "/".join(resolved) or path
            assert where in files, f"{path} links to {link}"
            if anchor and where.endswith(".html"):
                assert anchor in found[where].ids, f"{path} links to {link}"


def test_nothing_is_asked_of_the_network(built: tuple[dict[str, Board], dict[str, bytes]]) -> None:
    """Links may lead out; what a browser loads by itself may not."""
    for path, content in built[1].items():
        if path.endswith(".html"):
            loaded = re.findall(
                r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]*)"'
                r'|<link rel="(?:stylesheet|icon)" href="([^"]*)"',
                content.decode(),
            )
            assert all(not (src or href).startswith(("http", "//")) for src, href in loaded), path
        if path.endswith(".css"):
            assert not re.search(rb"url\(|@import|@font-face", content), path
        if path == "assets/kemb.js":
            assert not re.search(
                rb"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|\bimport\(", content
            )


def test_pages_come_in_both_languages(built: tuple[dict[str, Board], dict[str, bytes]]) -> None:
    files = built[1]
    korean = {path for path in files if path.endswith(".html") and not path.startswith("en/")}
    assert {f"en/{path}" for path in korean} == {path for path in files if path.startswith("en/")}
    for path in korean:
        assert '<html lang="ko"' in files[path].decode()
        assert '<html lang="en"' in files[f"en/{path}"].decode()


def test_the_board_shows_the_numbers_of_the_results(
    built: tuple[dict[str, Board], dict[str, bytes]], measured: Path
) -> None:
    recorded = {
        (json.loads(path.read_text())["kemb"]["model"]["name"], path.stem): json.loads(
            path.read_text()
        )["scores"]
        for path in measured.glob("*/*/*.json")
        if path.name != "model_meta.json"
    }
    page = Page(built[1]["index.html"].decode())
    header = next(row for row in page.rows if "점수" in row)
    n_checked = 0
    for row in page.rows:
        for (model, task), scores in recorded.items():
            if len(row) == len(header) and row[1] == model:
                (entry,) = [entry for entries in scores.values() for entry in entries]
                assert row[header.index(task)] == f"{entry['main_score'] * 100:.2f}"
                n_checked += 1
    assert n_checked == len(recorded) == 9


def test_the_same_results_give_the_same_bytes_in_any_order(measured: Path) -> None:
    results = read_all(measured)
    one = build_site({"measured": build_board(results)})
    other = build_site({"measured": build_board(results[::-1])})
    assert one == other


def test_the_manifest_holds_the_hash_of_every_file_and_input(
    built: tuple[dict[str, Board], dict[str, bytes]], measured: Path
) -> None:
    boards, files = built
    record = json.loads(manifest(files, boards))
    assert {path: entry["sha256"] for path, entry in record["files"].items()} == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items()
    }
    for path in measured.glob("*/*/*.json"):
        if path.name != "model_meta.json":
            name = path.relative_to(measured).as_posix()
            assert record["inputs"][name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "claims/kure.parquet" in record["inputs"]


def test_replicates_give_the_intervals_of_the_board(
    built: tuple[dict[str, Board], dict[str, bytes]],
) -> None:
    boards, files = built
    found = data(files, "draws-measured")
    board = boards["measured"]
    assert board.intervals.mode == found["mode"] == "items"
    shape = (found["n_replicates"], len(board.cells), len(board.complete))
    cells = np.frombuffer(base64.b64decode(found["values"]), "<i2").reshape(shape) / found["scale"]
    overall = np.einsum("btm,t->bm", cells, board.weights)
    low, high = np.quantile(overall, [0.025, 0.975], axis=0)
    for number, row in enumerate(board.complete):
        assert row.standing
        assert row.standing.low == pytest.approx(low[number], abs=1e-4)
        assert row.standing.high == pytest.approx(high[number], abs=1e-4)
    tasks = data(files, "draws-kure")
    kure = boards["kure"]
    counts = np.frombuffer(base64.b64decode(tasks["values"]), np.uint8).reshape(
        tasks["n_replicates"], len(kure.cells)
    )
    assert set(counts.sum(axis=1).tolist()) == {
        len(kure.cells)
    }  # one group: so many draws as tasks
    assert tasks["strata"] == [0] * len(kure.cells)
    means = counts @ np.array([row.cells for row in kure.complete], dtype=float).T / len(kure.cells)
    top = kure.complete[0].standing
    assert top
    assert top.low == pytest.approx(np.quantile(means[:, 0], 0.025), abs=1e-12)


def test_a_card_holds_what_the_record_says(
    built: tuple[dict[str, Board], dict[str, bytes]], measured: Path
) -> None:
    boards, files = built
    board = boards["measured"]
    row = next(number for number, row in enumerate(board.rows) if row.model == "tfidf:char")
    cell = next(number for number, cell in enumerate(board.cells) if cell.task == "KoMiniSTS")
    card = next(
        c for c in data(files, "cards-measured")["cards"] if (c["row"], c["cell"]) == (row, cell)
    )
    (path,) = measured.glob("kemb__tfidf-char/*/KoMiniSTS.json")
    record = json.loads(path.read_text())
    assert card["value"] == record["scores"]["test"][0]["main_score"]
    assert card["low"] < card["value"] < card["high"]
    assert card["model_revision"] == path.parent.name
    assert card["data_sha256"] == [
        f"test/default {record['kemb']['task']['data_sha256']['test/default']}"
    ]
    assert card["versions"]["numpy"] == np.__version__
    assert card["date"] == record["kemb"]["date"]
    assert card["command"] == record["kemb"]["command"]
    assert card["prompts"][0]["prompt"] == ""
    claimed_card = data(files, "cards-kure")["cards"][0]
    assert claimed_card["prompts"] is None
    assert claimed_card["source"]
    assert claimed_card["commit"]


def test_items_are_the_scores_of_queries(
    built: tuple[dict[str, Board], dict[str, bytes]], measured: Path
) -> None:
    found = data(built[1], "items-kominiretrieval")
    (path,) = measured.glob("kemb__bm25-bigram/*/KoMiniRetrieval.items.parquet")
    table = pq.read_table(path).to_pylist()
    recorded = {line["item_id"]: line["value"] for line in table if line["metric"] == "ndcg@10"}
    (part,) = found["parts"]
    assert set(part["ids"]) == set(recorded)
    (row_id,) = [row_id for row_id in part["values"] if row_id.startswith("bm25-bigram")]
    for item_id, value in zip(part["ids"], part["values"][row_id], strict=True):
        assert value == pytest.approx(recorded[item_id], abs=0.0051)


def test_downloads_hold_every_row(
    built: tuple[dict[str, Board], dict[str, bytes]], tmp_path: Path
) -> None:
    boards, files = built
    path = tmp_path / "board.parquet"
    path.write_bytes(files["download/kure.parquet"])
    table = pq.read_table(path)
    assert table.num_rows == len(boards["kure"].rows) * len(boards["kure"].cells)
    first = boards["kure"].rows[0]
    values = [
        line["value"]
        for line in table.to_pylist()
        if line["model"] == first.model and line["source"] == first.claim.source
    ]  # type: ignore[union-attr]
    assert values == first.cells
    assert json.loads(files["download/kure.json"])["rows"][0]["score"] == first.score
    assert files["download/kure.csv"].startswith(b"\xef\xbb\xbf")
    text = files["download/kure.md"].decode()
    assert "Made with kemb" in text
    assert "Score: unweighted mean of 8 tasks" in text


def test_hostile_names_stay_text() -> None:
    board = board_of([*HOSTILE, "ok/model"], 6)
    files = build_site({"x": board})
    for path, page in pages(files):
        assert not page.handlers, path
        assert page.tags.count("script") == files[path].count(b"<script"), path
        assert not [link for link in page.links if link.lower().startswith("javascript")], path
        assert "img" not in page.tags, path
    for path, content in files.items():
        assert re.fullmatch(r"[A-Za-z0-9._/~-]{1,160}", path), path
        if path.startswith("data/"):
            assert b"<" not in content, path
    text = files["index.html"].decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text
    assert "49" not in re.findall(r"<th scope=\"row\"[^>]*>(.*?)</th>", text)


def test_slugs_are_safe_stable_and_never_the_same() -> None:
    names = [
        "BAAI/bge-m3",
        "baai/BGE-M3",
        "a b",
        "a-b",
        "a/b",
        "",
        ".",
        "..",
        "index",
        "한국어",
        *HOSTILE,
    ]
    found = slugs(names)
    assert len(set(found.values())) == len(names)
    assert len({slug.lower() for slug in found.values()}) == len(names)
    assert found["a/b"] == "a--b"
    assert {found["BAAI/bge-m3"], found["baai/BGE-M3"]} > {"baai--bge-m3"}
    assert all(re.fullmatch(r"[a-z0-9_][a-z0-9._-]*", slug) for slug in found.values())
    assert slugs(["a b"])["a b"] == found["a b"]


def test_size_of_a_start_page_of_60_models_and_25_tasks() -> None:
    files = build_site(
        {"x": board_of([f"organisation{n}/embedding-model-v{n}" for n in range(60)], 25)}
    )
    names = ["index.html", "assets/kemb.css", "assets/kemb.js", "data/site.js", "data/board-x.js"]
    total = sum(len(gzip.compress(files[name], mtime=0)) for name in names)
    assert total <= 200_000, f"{total} bytes"


@pytest.mark.parametrize(
    ("models", "n_tasks", "gone", "says"),
    [
        (["a/one"], 6, 0, "1</b>개 모델에 순위"),
        (["a/one", "b/two"], 1, 0, "구간 없음"),
        (["a/one", "b/two"], 6, 2, "모든 과제의 점수가 있는 모델이 아직 없어"),
    ],
)
def test_small_and_incomplete_boards_are_useful_pages(
    models: list[str], n_tasks: int, gone: int, says: str
) -> None:
    cells = [CellSpec(task=f"task{n}", group="g", splits=["test"]) for n in range(n_tasks)]
    found = [
        claimed(m, c.task, 0.5 + 0.01 * n)
        for m in models
        for n, c in enumerate(cells[: n_tasks - gone])
    ]
    files = build_site({"x": build_board(found, Benchmark(name="s", title="시험", cells=cells))})
    text = files["index.html"].decode()
    assert says in text
    assert "50.00" in text
    assert all(page.tags for _, page in pages(files))


def test_a_figure_leaves_out_only_what_has_no_size_and_says_so() -> None:
    from kemb.models.facts import facts_of
    from kemb.publishing.site.schema import Named
    from kemb.publishing.site.views import site_view

    board = board_of(["BAAI/bge-m3", "intfloat/multilingual-e5-small", "nobody/unknown"], 6)
    facts = {row.model: facts_of(row.model) for row in board.rows}
    site = site_view({"x": board}, facts, {}, title=Named(ko="", en=""), date="")
    found = scatter(site.boards[0], [model.n_parameters for model in site.models])
    assert found
    assert len(found.points) == 2
    assert [label.split(" ")[0] for label in found.without] == ["nobody/unknown"]
    small = next(p for p in found.points if "small" in p.label)
    large = next(p for p in found.points if "bge" in p.label)
    assert small.x < large.x
    assert small.on_front  # nothing is smaller


def kemb(*arguments: str | Path) -> Any:  # noqa: ANN401
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_writes_a_site_and_replaces_only_its_own(
    measured: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    done = kemb("site", "--results", measured, "--only", "measured", "-o", out)
    assert done.exit_code == 0, done.output
    assert str(out / "index.html") in done.output
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert kemb("site", "--results", measured, "--only", "measured", "-o", out).exit_code == 0
    assert {
        path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()
    } == first
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("years of work")
    refused = kemb("site", "--results", measured, "--only", "measured", "-o", other)
    assert refused.exit_code != 0
    assert "no site of kemb's" in str(refused.exception)
    assert [path.name for path in other.iterdir()] == ["chapter1.tex"]


def test_results_on_own_data_are_marked_and_never_public(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "data.csv").write_text(
        "sentence1,sentence2,score\n고양이가 잔다,고양이가 자고 있다,5\n비가 온다,해가 뜬다,1\n"
        "밥을 먹는다,식사를 한다,4\n차가 간다,책을 읽는다,0\n",
        encoding="utf-8",
    )
    results = tmp_path / "private"
    done = kemb("run", own, "-m", "toy", "--results", results)
    assert done.exit_code == 0, done.output
    own_only = ["site", "--private", results, "--results", tmp_path / "0", "--only", "measured"]
    shown = kemb(*own_only, "-o", tmp_path / "a")
    assert shown.exit_code == 0, shown.output
    text = (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    assert "비공개 결과" in text
    assert '<meta name="robots" content="noindex' in text
    for arguments in (["--private", results], ["--results", results]):
        refused = kemb("site", *arguments, "--public", "-o", tmp_path / "b")
        assert refused.exit_code != 0
        assert "public" in str(refused.exception)
        assert not (tmp_path / "b").exists()


def test_wrong_input_is_refused_with_one_sentence(measured: Path, tmp_path: Path) -> None:
    nothing = kemb(
        "site", "--results", tmp_path / "none", "--only", "measured", "-o", tmp_path / "x"
    )
    assert "There are no results" in str(nothing.exception)
    assert "mteb-kor-v2" in str(kemb("site", "mteb-kor-v3", "-o", tmp_path / "x").exception)
    broken = tmp_path / "broken" / "org__m" / "r1"
    broken.mkdir(parents=True)
    (broken / "KorSTS.json").write_text("{")
    corrupt = kemb("site", "--results", tmp_path / "broken", "-o", tmp_path / "x")
    assert str(broken / "KorSTS.json") in str(corrupt.exception)
    assert not (tmp_path / "x").exists()


def test_history_shows_what_changed_and_why_and_older_states_can_be_read(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    tasks = [
        str(folder)
        for folder in demo.task_folders()
        if "sts" in str(folder) or "nli" in str(folder)
    ]
    run = ["run", *tasks, "--results", results, "-m", "toy"]
    assert kemb(*run).exit_code == 0
    site = ["site", "--results", results, "--only", "measured", "--snapshot", "-o", out]
    assert kemb(*site, "--base-url", "https://example.org/board/").exit_code == 0
    (kept,) = (results / "snapshots").glob("*.json")
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert (
        kemb(*site, "--base-url", "https://example.org/board/").exit_code == 0
    )  # nothing new: nothing is kept
    assert [*(results / "snapshots").glob("*.json")] == [kept]
    assert {
        path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()
    } == before
    assert kemb(*run, "-m", "tfidf:char").exit_code == 0
    assert kemb(*site, "--base-url", "https://example.org/board/").exit_code == 0
    assert len([*(results / "snapshots").glob("*.json")]) == 2
    text = (out / "changelog.html").read_text(encoding="utf-8")
    assert "새 모델: tfidf:char" in text
    assert "new model: tfidf:char" in (out / "en" / "changelog.html").read_text(encoding="utf-8")
    old = (out / "at" / kept.stem / "measured.html").read_text(encoding="utf-8")
    assert "toy" in old
    assert "tfidf:char" not in old
    assert f"at/{kept.stem}/measured.html" in text
    model = next((out / "model").glob("tfidf-char*.html")).read_text(encoding="utf-8")
    assert "새 모델: tfidf:char" in model
    feed = (out / "feed.xml").read_text(encoding="utf-8")
    assert feed.count("<entry>") == 2
    assert "https://example.org/board/changelog.html#" in feed
    assert [
        ref["id"]
        for ref in data({"data/site.js": (out / "data/site.js").read_bytes()}, "site")["snapshots"]
    ] == [kept.stem]


def test_an_old_or_damaged_snapshot_is_named_and_the_site_is_built(
    measured: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(measured, folder)
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / "2020-01-01-00000000.json").write_text('{"schema_version": 0}')
    (folder / "snapshots" / "2020-01-02-00000000.json").write_text("{")
    done = kemb("site", "--results", folder, "--only", "measured", "-o", tmp_path / "site")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "site" / "changelog.html").read_text(encoding="utf-8")
    assert "2020-01-01-00000000.json has the schema version 0" in text
    assert "2020-01-02-00000000.json cannot be read" in text


@pytest.mark.shared
def test_texts_of_items_are_shown_where_licence_and_data_allow(shared_data: Path) -> None:
    from kemb.publishing.site.evidence import shown

    found = shown(["KorSTS", "KLUE-STS", "KoMiniRetrieval", "nobody's"], shared_data / "packs")
    assert set(found) == {
        "KorSTS",
        "KoMiniRetrieval",
    }  # KLUE-STS may be shown, but the mirror lacks it
    first = (
        pq.read_table(shared_data / "packs" / "KorSTS" / "test.parquet").slice(0, 1).to_pylist()[0]
    )
    assert found["KorSTS"].examples[0] == [
        first["sentence1"],
        first["sentence2"],
        f"{first['score']:g}",
    ]
    both = f"{first['sentence1']} / {first['sentence2']}"
    assert next(iter(found["KorSTS"].texts["test", "default"].values())) == both
    assert shown(["KorSTS"], None) == {}
    assert shown(["MIRACLRetrieval"], shared_data / "packs") == {}
