"""Results -> the files of a site: a pure function, then a folder that appears whole or not at all.

index.html, board/, model/, task/, compare.html, ...    Korean; the same below en/
assets/   kemb.css, kemb.js    data/   scripts that hold data
download/   CSV, JSON, Parquet, Markdown
manifest.json   sha256 and size of every file, and of what they were made from
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from kemb import statistics
from kemb.boards import Board, benchmark, build_board
from kemb.boards.cells import of_results
from kemb.errors import UsageError
from kemb.files import disk
from kemb.messages import note, say
from kemb.models.facts import facts_of
from kemb.publishing import downloads
from kemb.publishing.costs import cost_of
from kemb.publishing.history.snapshots import FOLDER as SNAPSHOTS
from kemb.publishing.history.snapshots import Snapshot, append, measured_tasks, read_snapshots
from kemb.publishing.markdown import is_own, own_data
from kemb.publishing.notes import data_date
from kemb.publishing.site.evidence import Shown, card_data, item_data, replicate_data, shown
from kemb.publishing.site.pages import Extras, render
from kemb.publishing.site.past import (
    Past,
    change_entries,
    feed,
    model_history,
    past_of,
    snapshot_refs,
)
from kemb.publishing.site.schema import CardData, ItemData, Named, SnippetData
from kemb.publishing.site.views import SiteView, Speed, site_view
from kemb.publishing.usage import snippets
from kemb.results.claims import read_all, shipped
from kemb.results.files import META, TaskResult
from kemb.results.meta import read_meta

STATIC = Path(__file__).parent.parent / "static"
MARKER = "manifest.json"


def build_site(
    boards: Mapping[str, Board],
    *,
    title: Named | None = None,
    has_private: bool = False,
    past: Past | None = None,
    texts: Mapping[str, Shown] | None = None,
) -> dict[str, bytes]:
    """Every file of a site by its path; equal boards and snapshots give equal bytes.

    :param boards: by slug; the first is the start page.
    :param title: of the site; None for kemb's own.
    :param has_private: marks every page as not to be published.
    :param past: earlier states of the boards.
    :param texts: of items by task, where they may be shown.
    :raises ResultError: items that a result was written with are gone.
    """
    past = past or past_of(boards, (), ())
    site = replace(_site(boards, title), has_private=has_private, snapshots=snapshot_refs(past))
    texts = texts or {}
    items = _items(site, texts)
    n_items = {
        data.task: sum(len(part.ids) for part in data.parts) + data.n_left_out
        for data in items.values()
    }
    cards = {view.data.slug: card_data(view, n_items) for view in site.boards}
    code = {
        model.slug: snippets(model.name, _own_results(model.name, boards)) for model in site.models
    }
    files = _data_files(site, cards, items, SnippetData(models=code))
    extras = Extras(
        cards={slug: data.cards for slug, data in cards.items()},
        snippets=code,
        detectable=_detectable(boards),
        examples={task: task_texts.examples for task, task_texts in texts.items()},
        n_items=n_items,
        changes=change_entries(past),
        problems=[problem.message for problem in past.problems],
        model_history=model_history(past),
    )
    files |= _download_files(site, boards)
    files |= {path: text.encode() for path, text in render(site, extras, past.older)}
    files["feed.xml"] = feed(past, site.title.ko)
    files |= {f"assets/{path.name}": path.read_bytes() for path in sorted(STATIC.glob("kemb.*"))}
    return files


def _site(boards: Mapping[str, Board], title: Named | None) -> SiteView:
    """What the boards show of their models."""
    rows = [row for board in boards.values() for row in board.rows]
    metas = _metas([result for row in rows for result in row.results.values()])
    facts = {name: facts_of(name, metas.get(name)) for name in {row.model for row in rows}}
    return site_view(
        boards,
        facts,
        _speeds(boards),
        title=title or _named("site.title"),
        date=data_date(boards.values()),
    )


def _named(key: str) -> Named:
    """A sentence of the table as a text of the site's data."""
    return Named(ko=say(note(key), "ko"), en=say(note(key), "en"))


def _own_results(model: str, boards: Mapping[str, Board]) -> list[TaskResult]:
    """The results of one measured row of a model, the declared profile before any variant."""
    rows = [
        row
        for board in boards.values()
        for row in board.rows
        if row.model == model and row.claim is None
    ]
    first = min(rows, key=lambda row: row.variant != "", default=None)
    return list(first.results.values()) if first else []


def _data_files(
    site: SiteView,
    cards: Mapping[str, CardData],
    items: Mapping[str, ItemData],
    code: SnippetData,
) -> dict[str, bytes]:
    """The scripts that hold data."""
    data_by_name: dict[str, BaseModel] = {"site": site.data, "snippets": code}
    for view in site.boards:
        slug = view.data.slug
        data_by_name |= {f"board-{slug}": view.data, f"cards-{slug}": cards[slug]}
        if (replicates := replicate_data(view)) is not None:
            data_by_name[f"draws-{slug}"] = replicates
    data_by_name |= {f"items-{slug}": data for slug, data in items.items()}
    return {f"data/{name}.js": _script(name, data) for name, data in data_by_name.items()}


def _download_files(site: SiteView, boards: Mapping[str, Board]) -> dict[str, bytes]:
    """What readers may take away of boards and tasks."""
    files = {
        f"download/{view.data.slug}.{kind}": content
        for view in site.boards
        for kind, content in downloads.of_board(view.board).items()
    }
    for task, slug in site.tasks.items():
        for kind, content in downloads.of_task(task, boards).items():
            files[f"download/task-{slug}.{kind}"] = content
    return files


def manifest(files: Mapping[str, bytes], boards: Mapping[str, Board]) -> bytes:
    """What the site consists of and was made from: hashes of all files and of all result files."""
    inputs: dict[str, str] = {}
    for board in boards.values():
        for row in board.rows:
            for result in row.results.values():
                if result.path.is_file():
                    parts = result.path.parts[-5 if row.variant else -3 :]
                    name = f"claims/{result.path.name}" if row.claim else "/".join(parts)
                    inputs.setdefault(name, _digest(result.path.read_bytes()))
    record = {
        "kemb": importlib.metadata.version("kemb"),
        "boards": {slug: len(board.rows) for slug, board in boards.items()},
        "inputs": dict(sorted(inputs.items())),
        "files": {
            path: {"sha256": _digest(files[path]), "bytes": len(files[path])}
            for path in sorted(files)
        },
    }
    return (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode()


def write_site(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a site beside its place, then move it there; what an earlier build left there goes.

    :raises UsageError: when the folder holds something that no build of a site made.
    """
    refuse_strangers(folder)
    with (
        disk.writing(
            f"The site cannot be written to {folder}",
            "What was there is unchanged. Free space or name another folder with -o DIR.",
        ),
        disk.replacing_folder(folder) as unfinished,
    ):
        for path, content in files.items():
            target = unfinished / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def refuse_strangers(folder: Path) -> None:
    """Refuse to put a site in the place of what no build of a site made.

    :raises UsageError: with the first file that is in the way.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    place = folder.resolve()
    if place == Path.cwd() or place in Path.cwd().parents:
        raise UsageError(
            f"{folder} is the folder in which this command works; a site takes the place of a "
            "whole folder. Name another folder with -o DIR."
        )
    strangers = _strangers(folder)
    if strangers and not (folder / MARKER).is_file():
        raise UsageError(
            f"{folder} exists and is no site of kemb's (it has no {MARKER}); nothing was written. "
            "Name an empty or a new folder with -o DIR."
        )
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise UsageError(
            f"{folder / strangers[0]}{more} was not made by kemb, or was changed since; the new "
            "site would take its place, and nothing was written. Move it away, or name a new "
            "folder with -o DIR."
        )


def _strangers(folder: Path) -> list[str]:
    """Paths in a folder that are not as its manifest says."""
    if folder.is_symlink() or not folder.is_dir():
        return [""]
    try:
        entries = disk.read_json(folder / MARKER)["files"]
        hashes = {path: entry["sha256"] for path, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [path.name for path in sorted(folder.iterdir())]
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    return [
        name
        for path in paths
        if (name := path.relative_to(folder).as_posix()) != MARKER
        and not (name in hashes and path.is_file() and disk.sha256(path) == hashes[name])
    ]


def _script(name: str, data: BaseModel) -> bytes:
    """A data script; `<` and the two line ends that old engines stumble over are written as
    escapes.
    """
    text = json.dumps(data.model_dump(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"kembData({json.dumps(name)},{text});\n".encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _metas(results: Sequence[TaskResult]) -> dict[str, dict[str, object]]:
    """By model, the `model_meta.json` beside its measured results."""
    metas: dict[str, dict[str, object]] = {}
    for result in results:
        if result.claim is not None or result.model in metas:
            continue
        folder = result.path.parent.parent.parent if result.variant else result.path.parent
        path = folder / META
        if path.is_file():
            metas[result.model] = read_meta(path)
    return metas


def _speeds(boards: Mapping[str, Board]) -> dict[str, Speed]:
    """By model, the best recorded rate of encoding."""
    speeds: dict[str, Speed] = {}
    for row in (row for board in boards.values() for row in board.rows if row.claim is None):
        cost = cost_of(row)
        rate = cost.texts_per_second
        if rate is not None and (
            row.model not in speeds or rate > speeds[row.model].texts_per_second
        ):
            speeds[row.model] = Speed(round(rate, 1), cost.hardware)
    return speeds


def _items(site: SiteView, texts: Mapping[str, Shown]) -> dict[str, ItemData]:
    """By slug of the task, its items in the first board that has them."""
    items: dict[str, ItemData] = {}
    for view in site.boards:
        for column, cell in enumerate(view.data.cells):
            if (
                cell.slug not in items
                and (data := item_data(view, column, texts.get(cell.task))) is not None
            ):
                items[cell.slug] = data
    return items


def _detectable(boards: Mapping[str, Board]) -> dict[str, float]:
    """Task -> the difference found in 80 % of cases: the median over pairs of measured rows of one
    board.
    """
    differences: dict[str, float] = {}
    for board in boards.values():
        replicates = board.replicates.cells
        for column, cell in enumerate(board.cells if replicates is not None else ()):
            assert replicates is not None
            n = replicates.shape[2]
            errors = [
                (replicates[:, column, a] - replicates[:, column, b]).std()
                for a in range(n)
                for b in range(a)
            ]
            positive_errors = sorted(error for error in errors if error > 0)
            if positive_errors:
                middle = float(positive_errors[len(positive_errors) // 2])
                differences.setdefault(
                    cell.task, statistics.minimum_detectable(middle, 1, board.intervals.level)
                )
    return differences


DEFAULT = (
    "mteb-kor-v2",
    "ko-retrieval",
    "kure",
    "ko-leaderboard-v1",
    "ko-leaderboard-v2",
    "autorag-ko",
    "mteb-kor-v1",
)
"""The benchmarks of a site where none is named."""


MEASURED = "measured"
"""Slug of the board of everything that was measured."""


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What is shown, and where."""

    results_dir: Path
    targets: tuple[str, ...] = ()
    """`BENCHMARK`, `BENCHMARK:FORMULA` or the path of a benchmark's TOML; none: what was measured,
    then `DEFAULT`.
    """
    title: str = ""
    only: str | None = None
    """"measured" or "claimed"."""
    private_dirs: tuple[Path, ...] = ()
    """Results folders that are shown beside the others and mark the site as private."""
    public: bool = False
    """Refuse to show results on data of one's own."""
    snapshot: bool = False
    """Keep this state of the boards in `<results_dir>/snapshots`."""
    base_url: str = ""
    """Where the site will lie; the feed links there."""
    data: Path | None = None
    """A mirror of data sets, for example items."""


@dataclass(frozen=True, slots=True)
class Written:
    """A site on disk."""

    start_page: Path
    n_boards: int
    n_files: int
    n_bytes: int


def publish_site(out: Path, options: SiteOptions) -> Written:
    """Build a site and write it to a new folder, or in place of an earlier site.

    :raises UsageError: there are no results, a public site would show private ones, or the folder
        is no site.
    :raises ResultError: a result file is damaged; says which.
    """
    folders = [options.results_dir, *options.private_dirs]
    results = [result for folder in folders for result in read_all(folder)]
    results += shipped() if options.only != "measured" else []
    results = [
        result
        for result in results
        if options.only in (None, "claimed" if result.claim else "measured")
    ]
    private = own_data(results)
    if options.public:
        _refuse_private(private, options.private_dirs)
    boards = _boards(options.targets, results)
    if not boards:
        raise UsageError(
            f"There are no results in {options.results_dir}. Make some with `kemb run`, or name "
            "--results DIR."
        )
    snapshots = options.results_dir / SNAPSHOTS
    stored, problems = read_snapshots(snapshots)
    if options.snapshot or options.public:
        _refuse_private_past(private, stored)
    past = past_of(boards, stored, problems, options.base_url)
    title = Named(ko=options.title, en=options.title) if options.title else None
    texts = shown(
        dict.fromkeys(cell.task for board in boards.values() for cell in board.cells), options.data
    )
    files = build_site(boards, title=title, has_private=bool(private), past=past, texts=texts)
    files[MARKER] = manifest(files, boards)
    write_site(files, out)
    if options.snapshot:
        append(snapshots, past.snapshots[-1])
    return Written(out / "index.html", len(boards), len(files), sum(map(len, files.values())))


def _refuse_private(private: Sequence[TaskResult], folders: Sequence[Path]) -> None:
    if folders:
        raise UsageError(
            "--private and --public cannot go together: a public site holds no private results."
        )
    if private:
        names = ", ".join(sorted({result.task for result in private}))
        raise UsageError(
            f"A public site would show results on data of your own ({names}; {private[0].path}). "
            "Move their folders to another results folder and preview them with --private DIR, or "
            "build without --public."
        )


def _refuse_private_past(private: Sequence[TaskResult], stored: Sequence[Snapshot]) -> None:
    """What is kept once is shown for good: by `at/` pages, the changes and the feed."""
    if private:
        raise UsageError(
            f"A snapshot would keep results on data of your own ({private[0].path}), and later "
            "sites would show it. "
            "Build without --snapshot, or without these results."
        )
    for snapshot in stored:
        if own_tasks := [
            task
            for board in snapshot.boards.values()
            for task in measured_tasks(board)
            if is_own(task)
        ]:
            raise UsageError(
                f"The snapshot {snapshot.id} shows a task of your own ({own_tasks[0]}). Move its "
                "file out of the folder of snapshots, or build without --public and --snapshot."
            )


def _boards(targets: Sequence[str], results: Sequence[TaskResult]) -> dict[str, Board]:
    """By slug; benchmarks that were not asked for are left out where nobody has a score."""
    boards: dict[str, Board] = {}
    measured_results = [result for result in results if result.claim is None]
    if measured_results and not targets:
        every = of_results(measured_results)
        title = _named("site.measured_board")
        boards[MEASURED] = build_board(
            measured_results, every.model_copy(update={"title": title.ko, "title_en": title.en})
        )
    for target in targets or DEFAULT:
        name, _, formula = target.partition(":")
        bench = benchmark.load_benchmark(name)
        board = build_board(results, bench, formula)
        if board.rows or targets:
            boards[f"{bench.name}-{formula}" if formula else bench.name] = board
    return boards
