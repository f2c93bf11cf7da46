"""A results folder -> a site on disk: which results, which boards, which history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.boards import Board, benchinit, build_board
from kemb.boards.cells import of_results
from kemb.errors import UsageError
from kemb.publishing.history.snapshots import FOLDER as SNAPSHOTS
from kemb.publishing.history.snapshots import Snapshot, append, measured_tasks, read_snapshots
from kemb.publishing.private import is_own, own_data
from kemb.publishing.site.build import MARKER, TITLE, build_site, manifest, write_site
from kemb.publishing.site.examples import shown
from kemb.publishing.site.past import past_of
from kemb.publishing.site.schema import Named
from kemb.results.claims import read_all, shipped
from kemb.results.files import TaskResult

DEFAULT = ("mteb-kor-v2", "ko-retrieval", "kure", "ko-leaderboard-v1", "ko-leaderboard-v2", "autorag-ko", "mteb-kor-v1")
"""The benchmarks of a site where none is named."""
MEASURED = "measured"
"""Slug of the board of everything that was measured."""


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What is shown, and where."""

    results_dir: Path
    targets: tuple[str, ...] = ()
    """`BENCHMARK`, `BENCHMARK:FORMULA` or the path of a benchmark's TOML; none: what was measured, then `DEFAULT`."""
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

    Raises:
        UsageError: there are no results, a public site would show private ones, or the folder is no site.
        ResultError: a result file is damaged; says which.
    """
    folders = [options.results_dir, *options.private_dirs]
    found = [result for folder in folders for result in read_all(folder)]
    found += shipped() if options.only != "measured" else []
    found = [result for result in found if options.only in (None, "claimed" if result.claim else "measured")]
    private = own_data(found)
    if options.public:
        _refuse_private(private, options.private_dirs)
    boards = _boards(options.targets, found)
    if not boards:
        raise UsageError(
            f"There are no results in {options.results_dir}. Make some with `kemb run`, or name --results DIR."
        )
    snapshots = options.results_dir / SNAPSHOTS
    stored, problems = read_snapshots(snapshots)
    if options.snapshot or options.public:
        _refuse_private_past(private, stored)
    past = past_of(boards, stored, problems, options.base_url)
    title = Named(ko=options.title, en=options.title) if options.title else TITLE
    texts = shown(dict.fromkeys(cell.task for board in boards.values() for cell in board.cells), options.data)
    files = build_site(boards, title=title, has_private=bool(private), past=past, texts=texts)
    files[MARKER] = manifest(files, boards)
    write_site(files, out)
    if options.snapshot:
        append(snapshots, past.snapshots[-1])
    return Written((out / "index.html").resolve(), len(boards), len(files), sum(map(len, files.values())))


def _refuse_private(private: Sequence[TaskResult], folders: Sequence[Path]) -> None:
    if folders:
        raise UsageError("--private and --public cannot go together: a public site holds no private results.")
    if private:
        names = ", ".join(sorted({result.task for result in private}))
        raise UsageError(
            f"A public site would show results on data of your own ({names}; {private[0].path}). Move their folders to "
            "another results folder and preview them with --private DIR, or build without --public."
        )


def _refuse_private_past(private: Sequence[TaskResult], stored: Sequence[Snapshot]) -> None:
    """What is kept once is shown for good: by `at/` pages, the changes and the feed."""
    if private:
        raise UsageError(
            f"A snapshot would keep results on data of your own ({private[0].path}), and later sites would show it. "
            "Build without --snapshot, or without these results."
        )
    for snapshot in stored:
        if own := [task for board in snapshot.boards.values() for task in measured_tasks(board) if is_own(task)]:
            raise UsageError(
                f"The snapshot {snapshot.id} shows a task of your own ({own[0]}). Move its file out of the folder of "
                "snapshots, or build without --public and --snapshot."
            )


def _boards(targets: Sequence[str], found: Sequence[TaskResult]) -> dict[str, Board]:
    """By slug; benchmarks that were not asked for are left out where nobody has a score."""
    boards: dict[str, Board] = {}
    own = [result for result in found if result.claim is None]
    if own and not targets:
        every = of_results(own)
        boards[MEASURED] = build_board(
            own, every.model_copy(update={"title": "내 측정 결과", "title_en": "Measured here"})
        )
    for target in targets or DEFAULT:
        name, _, formula = target.partition(":")
        bench = benchinit.load_benchmark(name)
        board = build_board(found, bench, formula)
        if board.rows or targets:
            boards[f"{bench.name}-{formula}" if formula else bench.name] = board
    return boards
