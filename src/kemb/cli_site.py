"""The verb `site`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.cli_options import FOLDER, results_option
from kemb.errors import UsageError

if TYPE_CHECKING:
    from kemb.board import Board
    from kemb.results import TaskResult

PUBLIC = ("mteb-kor-v2", "ko-retrieval", "kure", "ko-leaderboard-v1", "ko-leaderboard-v2", "autorag-ko", "mteb-kor-v1")
"""The boards of a site where none is named."""


@click.command()
@click.argument("targets", nargs=-1, metavar="[BENCHMARK[:FORMULA]|FILE.toml]...")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the site; a new one, or an earlier site.")
@results_option
@click.option("--title", default="", help="Title of the site, in Korean.  [한국어 임베딩 순위표]")
@click.option("--only", type=click.Choice(["measured", "claimed"]), help="Leave out the other rows.")
@click.option(
    "--private",
    "private_dirs",
    type=FOLDER,
    multiple=True,
    help="Results on data of your own, shown beside the others; repeatable.",
)
@click.option("--public", is_flag=True, help="Refuse to include results on data of one's own.")
@click.option("--snapshot", is_flag=True, help="Keep this state of the boards below the results, for the history.")
@click.option("--base-url", default="", help="Where the site will lie; the feed links there.")
def site(
    targets: tuple[str, ...],
    out: Path,
    results_dir: Path,
    title: str,
    only: str | None,
    private_dirs: tuple[Path, ...],
    public: bool,
    snapshot: bool,
    base_url: str,
) -> None:
    """Build a static leaderboard site; open its index.html, no server needed.

    Without a name: what was measured in the results folder, then the Korean benchmarks that come with kemb.

    \b
    Examples:
      kemb site -o site
      kemb site mteb-kor-v2 kure:recall@10 -o site
      kemb site --private ./my-results -o preview
    """
    from kemb.publish.history.snapshots import FOLDER as FOLDER_OF_SNAPSHOTS
    from kemb.publish.history.snapshots import append, read_snapshots
    from kemb.publish.private import own_data
    from kemb.publish.site.build import MARKER, TITLE, build_site, manifest, write_site
    from kemb.publish.site.past import past_of
    from kemb.publish.site.schema import Named

    found = _results([results_dir, *private_dirs], only)
    private = own_data(found)
    if public:
        _refuse_private(private, private_dirs)
    boards = _boards(targets, found, results_dir)
    past = past_of(boards, *read_snapshots(results_dir / FOLDER_OF_SNAPSHOTS), base_url)
    own_title = Named(ko=title, en=title) if title else TITLE
    files = build_site(boards, title=own_title, has_private=bool(private), past=past)
    files[MARKER] = manifest(files, boards)
    write_site(files, out)
    if snapshot:
        append(results_dir / FOLDER_OF_SNAPSHOTS, past.snapshots[-1])
    size = sum(map(len, files.values())) / 1e6
    click.echo(f"{len(boards)} boards, {len(files)} files, {size:.1f} MB. Open {(out / 'index.html').resolve()}")


def _results(folders: list[Path], only: str | None) -> list[TaskResult]:
    from kemb.claims import read_all, shipped

    found = [result for folder in folders for result in read_all(folder)]
    found += shipped() if only != "measured" else []
    return [result for result in found if only in (None, "claimed" if result.claim else "measured")]


def _refuse_private(private: list[TaskResult], folders: tuple[Path, ...]) -> None:
    if folders:
        raise UsageError("--private and --public cannot go together: a public site holds no private results.")
    if private:
        names = ", ".join(sorted({result.task for result in private}))
        raise UsageError(
            f"A public site would show results on data of your own ({names}; {private[0].path}). Move their folders to "
            "another results folder and preview them with --private DIR, or build without --public."
        )


def _boards(targets: tuple[str, ...], found: list[TaskResult], results_dir: Path) -> dict[str, Board]:
    from kemb import benchmarks
    from kemb.board import build_board

    boards: dict[str, Board] = {}
    if not targets:
        own = [result for result in found if result.claim is None and result.kemb]
        if own:
            boards["measured"] = build_board(own)
    for target in targets or PUBLIC:
        name, _, formula = target.partition(":")
        bench = benchmarks.load_benchmark(name)
        board = build_board(found, bench, formula)
        if board.rows or targets:
            boards[f"{bench.name}-{formula}" if formula else bench.name] = board
    if not boards:
        raise UsageError(f"There are no results in {results_dir}. Make some with `kemb run`, or name --results DIR.")
    return boards
