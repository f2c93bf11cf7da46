"""The verb `site`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.cli_options import FOLDER, results_option
from kemb.errors import UsageError

if TYPE_CHECKING:
    from kemb.board import Board

PUBLIC = ("mteb-kor-v2", "ko-retrieval", "kure", "ko-leaderboard-v1", "ko-leaderboard-v2", "autorag-ko", "mteb-kor-v1")
"""The boards of a site where none is named."""


@click.command()
@click.argument("targets", nargs=-1, metavar="[BENCHMARK[:FORMULA]|FILE.toml]...")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the site; a new one, or an earlier site.")
@results_option
@click.option("--title", default="", help="Title of the site, in Korean.  [한국어 임베딩 순위표]")
@click.option("--only", type=click.Choice(["measured", "claimed"]), help="Leave out the other rows.")
def site(targets: tuple[str, ...], out: Path, results_dir: Path, title: str, only: str | None) -> None:
    """Build a static leaderboard site; open its index.html, no server needed.

    Without a name: what was measured in the results folder, then the Korean benchmarks that come with kemb.

    \b
    Examples:
      kemb site -o site
      kemb site mteb-kor-v2 kure:recall@10 -o site
    """
    from kemb.publish.site.build import MARKER, TITLE, build_site, manifest, write_site
    from kemb.publish.site.schema import Named

    boards = _boards(targets, results_dir, only)
    files = build_site(boards, Named(ko=title, en=title) if title else TITLE)
    files[MARKER] = manifest(files, boards)
    write_site(files, out)
    size = sum(map(len, files.values())) / 1e6
    click.echo(f"{len(boards)} boards, {len(files)} files, {size:.1f} MB. Open {(out / 'index.html').resolve()}")


def _boards(targets: tuple[str, ...], results_dir: Path, only: str | None) -> dict[str, Board]:
    from kemb import benchmarks
    from kemb.board import build_board
    from kemb.claims import read_all, shipped

    found = [*read_all(results_dir), *(shipped() if only != "measured" else [])]
    found = [result for result in found if only in (None, "claimed" if result.claim else "measured")]
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
