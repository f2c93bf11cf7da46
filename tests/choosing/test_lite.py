"""Lite versions: what they hold, what they say of themselves, and what their scores are worth."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import kendalltau

from drafted_set import write_set
from invented import corpus_of
from kemb.boards import build_board
from kemb.boards.benchmark import Benchmark, CellSpec
from kemb.boards.compare import compare
from kemb.choosing.lite import LiteSettings, LiteVersion, make
from kemb.choosing.lite.draw import Recipe, lite_of, lite_spec, part_of
from kemb.choosing.lite.show import drawn_notes
from kemb.choosing.lite.worth import Reference, share_inside, worth
from kemb.cli import cli
from kemb.encoding.store import Store
from kemb.errors import KembError, RunError, UsageError
from kemb.evaluation.evaluate import RunOptions, Task, evaluate, load_task
from kemb.messages import say
from kemb.models.resolve import resolve
from kemb.publishing.tables import to_markdown
from kemb.results.files import TaskResult, read_items, read_results
from kemb.results.rows import rows_of
from kemb.tasks.own.check import examine
from kemb.tasks.parts import content_sha256
from kemb.types import Part, RetrievalData

DEPTH = 3


class World:
    """A task of 600 passages and 40 questions, and where things lie."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = corpus_of(root / "mydata", n_passages=20, n_others=580)
        self.task = load_task(self.folder)
        self.run = RunOptions(root / "results", Store(root / "store"))
        self.pool = [resolve("bm25:bigram"), resolve("toy")]
        self.others = [resolve("tfidf:char"), resolve("rrf(tfidf:char, toy)")]

    def make(self, name: str, *, stored: bool = False, **recipe: Any) -> LiteVersion:  # noqa: ANN401
        """A lite version in a folder of its own."""
        plan = Recipe(**({"n_documents": 300, "depth": DEPTH} | recipe))
        settings = LiteSettings(self.pool, self.others, stored, plan)
        return make(self.task, self.root / name, settings, self.run)

    @property
    def data(self) -> RetrievalData:
        part = self.task.load().parts[0].data
        assert isinstance(part, RetrievalData)
        return part

    def first(self, row: str, depth: int) -> dict[str, list[str]]:
        """By question, the first documents of a row in the full task."""
        (result,) = [
            one
            for one in read_results(self.run.results_dir)
            if one.task == "mydata" and one.model == row
        ]
        ranked: dict[str, list[str]] = {}
        for item in read_items(result).to_pylist():
            if item["metric"] == "retrieved":
                ranked.setdefault(item["item_id"], []).append(item["target"])
        return {question: documents[:depth] for question, documents in ranked.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("lite"))


@pytest.fixture(scope="module")
def drawn(world: World) -> LiteVersion:
    return world.make("lite")


def documents_of(folder: Path) -> dict[str, str]:
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["_id"]: row["text"] for row in map(json.loads, lines)}


def by_row(drawn: LiteVersion) -> dict[str, Reference]:
    return {one.row.partition("@")[0]: one for one in drawn.references}


def test_it_holds_what_answers_what_the_pool_finds_and_random_others(
    world: World, drawn: LiteVersion
) -> None:
    documents = documents_of(drawn.folder)
    judged = {document for grades in world.data.qrels.values() for document in grades}
    found = {
        document
        for row in ("bm25:bigram", "toy")
        for ranked in world.first(row, DEPTH).values()
        for document in ranked
    }
    assert len(documents) == 300
    assert judged | found < set(documents)
    texts = dict(zip(world.data.doc_ids, world.data.documents, strict=True))
    assert documents == {name: texts[name] for name in world.data.doc_ids if name in documents}
    lite = drawn.spec.lite
    assert lite is not None
    assert (lite.n_full, lite.n_documents, lite.n_judged) == (600, 300, 20)
    assert lite.n_pooled == len(found - judged)
    assert "tfidf:char" not in " ".join(lite.pool)
    assert not {row["_id"] for row in map(json.loads, _queries(drawn))} - set(world.data.query_ids)
    assert len(_queries(drawn)) == len(world.data.query_ids)


def _queries(drawn: LiteVersion) -> list[str]:
    return (drawn.folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_folder_is_a_task_of_a_name_of_its_own_that_says_how_it_was_drawn(
    world: World, drawn: LiteVersion
) -> None:
    task = load_task(drawn.folder)
    assert task.spec.name == drawn.spec.name
    prefix, _, digest = task.spec.name.partition(".lite-")
    assert prefix == "mydata"
    assert len(digest) == 4
    assert int(digest, 16) >= 0
    table = tomllib.loads((drawn.folder / "task.toml").read_text(encoding="utf-8"))["lite"]
    full = world.task.load()
    assert table["of"] == "mydata"
    assert table["revision"] == full.revision
    assert table["sha256"] == full.parts[0].sha256
    assert (table["seed"], table["depth"]) == (42, DEPTH)
    assert [member.partition("@")[0] for member in table["pool"]] == ["bm25:bigram", "toy"]
    assert all(member.partition("@")[2] for member in table["pool"])
    checked = examine(drawn.folder)
    assert not checked.findings.n_errors
    assert not checked.findings.warnings
    report = json.loads((drawn.folder / "lite-report.json").read_text(encoding="utf-8"))
    assert report["drawn"] == {key: table[key] for key in table if key != "shares"}


def test_the_same_draw_gives_the_same_bytes_and_another_one_another_name(
    world: World, drawn: LiteVersion
) -> None:
    again = world.make("again")
    for path in sorted(drawn.folder.rglob("*")):
        if path.is_file():
            other = again.folder / path.relative_to(drawn.folder)
            assert other.read_bytes() == path.read_bytes(), path.name
    larger = world.make("larger", n_documents=400)
    assert documents_of(drawn.folder).items() < documents_of(larger.folder).items()
    other_seed = world.make("other", seed=7)
    assert documents_of(other_seed.folder).keys() != documents_of(drawn.folder).keys()
    names = {one.spec.name for one in (drawn, larger, other_seed)}
    assert len(names) == 3
    assert again.spec.name == drawn.spec.name


def test_shares_are_those_of_the_first_ten_of_the_full_task(
    world: World, drawn: LiteVersion
) -> None:
    documents = documents_of(drawn.folder)
    for row in ("bm25:bigram", "toy", "tfidf:char"):
        ranked = world.first(row, 10)
        shares = [len(set(first) & documents.keys()) / len(first) for first in ranked.values()]
        assert by_row(drawn)[row].share == pytest.approx(np.mean(shares))
        assert drawn.spec.lite is not None
        assert by_row(drawn)[row].share == drawn.spec.lite.shares[by_row(drawn)[row].row]
    assert share_inside({"q": []}, {"a"}) == 1.0
    assert share_inside({"q": ["a", "b"], "r": []}, {"a"}) == 0.5


def test_members_are_scored_by_a_pool_without_them(world: World, drawn: LiteVersion) -> None:
    """Of a dense row a ranking of fewer documents is its full ranking without the others, so that
    the score by hand needs the documents only, and these are those of a version without it.
    """
    rows = by_row(drawn)
    assert [one.is_pooled for one in drawn.references] == [True, True, False, False]
    settings = LiteSettings(world.pool[:1], [], False, Recipe(n_documents=300, depth=DEPTH))
    without = make(world.task, world.root / "without-toy", settings, world.run)
    others = documents_of(without.folder).keys()
    ranked = world.first("toy", 100)
    by_hand = []
    for question, first in ranked.items():
        (right,) = world.data.qrels[question]
        places = [document for document in first if document in others]
        place = places.index(right) + 1 if right in places[:10] else 0
        by_hand.append(1 / np.log2(place + 1) if place else 0.0)
    assert rows["toy"].outside.mean() == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert rows["toy"].outside_share < rows["toy"].share
    assert rows["tfidf:char"].outside is rows["tfidf:char"].lite


def test_stored_rows_need_no_model(world: World, drawn: LiteVersion, tmp_path: Path) -> None:
    """A dense row by its stored ranking has the scores of one that was run."""
    settings = LiteSettings(world.pool[:1], [], True, Recipe(n_documents=300, depth=DEPTH))
    stored = make(world.task, tmp_path / "stored", settings, world.run)
    derived = by_row(stored)["toy"]
    assert derived.is_derived
    assert not derived.is_pooled
    assert derived.lite == pytest.approx(by_row(drawn)["toy"].outside, abs=1e-6)
    assert by_row(stored).keys() == by_row(drawn).keys()


def reference(name: str, full: list[float], outside: list[float]) -> Reference:
    values = np.array(full), np.array(outside)
    return Reference(name, False, False, 1.0, 1.0, values[0], values[1], values[1])


def test_the_order_is_that_of_scipy_and_turned_pairs_are_named() -> None:
    rng = np.random.default_rng(0)
    full = rng.uniform(size=(6, 80)) * 0.1 + np.linspace(0.1, 0.8, 6)[:, None]
    outside = full + 0.1
    outside[[0, 5]] = outside[[5, 0]]
    rows = [reference(f"r{row}@1", list(full[row]), list(outside[row])) for row in range(6)]
    verdict = worth(rows, None, ["key"])
    expected = kendalltau(full.mean(axis=1), outside.mean(axis=1)).statistic
    assert verdict.tau == pytest.approx(expected)
    assert verdict.low <= verdict.tau <= verdict.high < 1
    assert verdict.n_apart == 15
    turned = {(pair.better, pair.worse) for pair in verdict.turned}
    assert turned == {
        (f"r{better}@1", f"r{worse}@1")
        for better in range(6)
        for worse in range(better)
        if outside[better].mean() < outside[worse].mean()
    }
    assert ("r5@1", "r0@1") in turned
    assert len(turned) == 9


def test_what_cannot_be_told_apart_is_not_turned_and_two_rows_have_no_order() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2, 30))
    rows = [reference(f"r{n}@1", list(noise[n]), list(noise[1 - n])) for n in range(2)]
    verdict = worth(rows, None, ["key"])
    assert verdict.n_apart == 0
    assert verdict.turned == []
    assert np.isnan(verdict.tau)


def board_results(world: World, drawn: LiteVersion) -> list[TaskResult]:
    """Results of the full task and of the lite version, and of a row that no reference was."""
    lite = load_task(drawn.folder)
    new = [resolve("bm25:mteb")]
    evaluate([lite, world.task], new, world.run)
    return [
        one for one in read_results(world.run.results_dir) if one.task in ("mydata", lite.spec.name)
    ]


def test_it_never_stands_beside_the_full_task(world: World, drawn: LiteVersion) -> None:
    results = board_results(world, drawn)
    name = drawn.spec.name
    board = build_board(results)
    assert [cell.title for cell in board.cells] == ["mydata"]
    said = [say(note, "en") for note in board.notes]
    assert any(f"{name} is not shown" in line and "mydata" in line for line in said)
    one, other, *_ = rows_of(results)
    comparison = compare(one, other)
    assert [cell.title for cell in comparison.cells] == ["mydata"]
    assert "never ranked beside" in comparison.refused[name]
    cells = [CellSpec(task="mydata"), CellSpec(task=name)]
    with pytest.raises(UsageError, match=f"both {name} and mydata"):
        build_board(results, Benchmark(name="both", title="both", cells=cells))
    alone = build_board(results, Benchmark(name="alone", title="alone", cells=cells[1:]))
    assert [cell.title for cell in alone.cells] == [name]


def test_two_lite_versions_of_a_task_are_not_averaged(world: World, drawn: LiteVersion) -> None:
    other = world.make("other-lite", n_documents=250)
    names = {drawn.spec.name, other.spec.name}
    results = [one for one in read_results(world.run.results_dir) if one.task in names]
    board = build_board(results)
    assert [cell.title for cell in board.cells] == [min(names)]


def test_scores_of_rows_that_it_does_not_hold_are_marked(world: World, drawn: LiteVersion) -> None:
    results = [one for one in board_results(world, drawn) if one.task == drawn.spec.name]
    shares = {one.model: one.record.task.lite for one in results}
    assert shares["bm25:mteb"] is not None
    assert shares["bm25:mteb"].share is None
    assert shares["toy"] is not None
    assert shares["toy"].is_pooled
    held = [replace(one, kemb=with_share(one, 0.95)) for one in results if one.model == "toy"]
    new = [one for one in results if one.model == "bm25:mteb"]
    lines = {
        model: next(line for line in to_markdown(build_board(rows)).splitlines() if model in line)
        for model, rows in (("toy", held), ("bm25:mteb", new))
    }
    assert "◔" in lines["bm25:mteb"]
    assert "◔" not in lines["toy"]
    text = to_markdown(build_board([*held, *new]))
    assert "300 of 600 documents" in text
    assert "drawn by a pool of toy" in text


def with_share(result: TaskResult, share: float) -> Any:  # noqa: ANN401  a record
    lite = result.record.task.lite
    assert lite is not None
    task = result.record.task.model_copy(update={"lite": lite.model_copy(update={"share": share})})
    return result.record.model_copy(update={"task": task})


def kemb(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_on_the_command_line(world: World, tmp_path: Path) -> None:
    where = ["--results", world.run.results_dir, "--store", world.root / "store"]
    words = ["--pool", "bm25:bigram", "--pool", "toy", "-r", "tfidf:char", "--depth", DEPTH]
    done = kemb("tasks", "lite", world.folder, "-o", tmp_path / "a", *words, *where)
    assert done.exit_code == 0, done.output
    assert "Members of the pool" in done.output
    assert "Rows outside of the pool" in done.output
    assert "more than the 60 documents asked for" in done.output
    assert "Kendall's tau" in done.output
    done = kemb("tasks", "lite", world.folder, "-o", tmp_path / "b", *words, *where, "--json")
    report = json.loads(done.stdout)
    assert report["order"]["n_rows"] == 3
    assert len(report["rows"]) == 3
    done = kemb("run", tmp_path / "a", "-m", "bm25:bigram", *where, "--json")
    assert json.loads(done.stdout)[0]["status"] == "kept"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"n_documents": 600}, "no smaller"),
        ({"n_documents": 10, "share": 0.1}, "one of them"),
        ({"n_documents": None, "share": 1.5}, "--share 1.5"),
        ({"depth": 101}, "1 to 100"),
        ({"depth": 100}, "Pool fewer with --depth"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(
    world: World, recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        world.make("refused", **recipe)
    assert not (world.root / "refused").exists()


def test_other_mistakes_are_refused(world: World, drawn: LiteVersion, tmp_path: Path) -> None:
    settings = LiteSettings(world.pool, recipe=Recipe(share=0.5))
    with pytest.raises(UsageError, match="is there already"):
        make(world.task, drawn.folder, settings, world.run)
    with pytest.raises(UsageError, match="lite version already"):
        make(load_task(drawn.folder), tmp_path / "x", settings, world.run)
    with pytest.raises(UsageError, match="drafted test set"):
        make(load_task(write_set(tmp_path / "set")), tmp_path / "x", settings, world.run)
    with pytest.raises(UsageError, match="--split and --subset"):
        make(world.task, tmp_path / "x", replace(settings, split="dev"), world.run)
    with pytest.raises(UsageError, match="Name some with --pool"):
        make(world.task, tmp_path / "x", replace(settings, pool=[]), world.run)
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


def test_a_row_that_fails_leaves_no_folder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(task: Task, *arguments: Any) -> list[TaskResult]:  # noqa: ANN401
        raise RunError(f"no score on {task.spec.name}")

    settings = LiteSettings(world.pool, recipe=Recipe(n_documents=300, depth=DEPTH))
    full = [one for one in read_results(world.run.results_dir) if one.task == "mydata"]
    answers = iter([[one for one in full if one.model in ("bm25:bigram", "toy")]])

    def first_then_fail(task: Task, *arguments: Any) -> list[TaskResult]:  # noqa: ANN401
        return next(answers, None) or fail(task)

    monkeypatch.setattr("kemb.choosing.lite.measure.run_all", first_then_fail)
    with pytest.raises(KembError, match=r"no score on mydata\.lite-"):
        make(world.task, tmp_path / "lite", settings, world.run)
    assert list(tmp_path.iterdir()) == []


def test_the_site_marks_such_scores_too(world: World, drawn: LiteVersion, tmp_path: Path) -> None:
    board_results(world, drawn)
    name = drawn.spec.name
    board = tmp_path / "board.toml"
    board.write_text(f'name = "lite"\ntitle = "lite"\n[[cells]]\ntask = "{name}"\n')
    done = kemb("site", board, "-o", tmp_path / "site", "--results", world.run.results_dir)
    assert done.exit_code == 0, done.output
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")]
    marked = [page for page in pages if ">◔</span>" in page]
    titles = ("이 행이 찾는 문서가 축소판에", "may hold too little of what this row finds")
    assert [sum(title in page for page in marked) for title in titles] == [1, 1]


def test_groups_of_right_chunks_are_lost_and_said_to_be(tmp_path: Path) -> None:
    folder = corpus_of(tmp_path / "source", n_passages=12, per_passage=1, n_others=100)
    task = load_task(folder)
    data = task.load()
    retrieval = data.parts[0].data
    assert isinstance(retrieval, RetrievalData)
    groups = {query: [list(grades)] for query, grades in retrieval.qrels.items()}
    grouped = replace(data, parts=[make_part_of(data.parts[0], groups)])
    run = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    settings = LiteSettings([resolve("bm25:bigram")], recipe=Recipe(n_documents=60, depth=2))
    version = make(Task(task.spec, lambda: grouped), tmp_path / "lite", settings, run)
    assert version.has_lost_groups
    said = [say(sentence, "en") for sentence in drawn_notes(version, 60)]
    assert any("Groups of right chunks" in line for line in said)


def make_part_of(part: Part, groups: dict[str, list[list[str]]]) -> Part:
    assert isinstance(part.data, RetrievalData)
    data = replace(part.data, groups=groups)
    return replace(part, data=data, sha256=content_sha256(data))


def test_of_several_parts_one_is_taken_with_its_language(world: World) -> None:
    data = world.task.load()
    (part,) = data.parts
    parts = [replace(part, subset=subset) for subset in ("ko", "en")]
    several = replace(data, parts=parts)
    spec = world.task.spec.model_copy(
        update={"subsets": ["ko", "en"], "subset_languages": {"en": ["eng-Latn"]}}
    )
    with pytest.raises(UsageError, match=r"test/ko, test/en\. Name one"):
        part_of(spec, several, "test", "")
    english = part_of(spec, several, "", "en")
    lite = lite_of(several, english, english, set(), ["a@1"], Recipe())
    of_part = lite_spec(spec, english, lite)
    assert (of_part.subsets, of_part.languages) == (["en"], ["eng-Latn"])
    assert of_part.subset_languages == {}
    korean = lite_spec(spec, part_of(spec, several, "", "ko"), lite)
    assert korean.languages == spec.languages
    assert korean.name != of_part.name, "the part is in the hash"
