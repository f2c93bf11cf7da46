"""The verb `site`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kemb.cli.options import FOLDER, data_option, results_option


@click.command()
@click.argument("targets", nargs=-1, metavar="[BENCHMARK[:FORMULA]|FILE.toml]...")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the site; a new one, or an earlier site.")
@results_option
@data_option
@click.option("--title", default="", help="Title of the site, in Korean.  [한국어 임베딩 순위표]")
@click.option("--only", type=click.Choice(["measured", "claimed"]), help="Leave out the other rows.")
@click.option(
    "--private", "private_dirs", type=FOLDER, multiple=True, help="Results on your own data, shown too; repeatable."
)
@click.option("--public", is_flag=True, help="Refuse to show results on your own data.")
@click.option("--snapshot", is_flag=True, help="Keep this state of the boards below the results, for the history.")
@click.option("--base-url", default="", help="Where the site will lie; the feed links there.")
def site(out: Path, **settings: Any) -> None:  # noqa: ANN401  click gives each its type
    """Build a static leaderboard site; open its index.html, no server needed.

    Without a name: what was measured in the results folder, then the Korean benchmarks that come with kemb.

    \b
    Examples:
      kemb site -o site
      kemb site mteb-kor-v2 kure:recall@10 -o site
      kemb site --private ./my-results -o preview
    """
    from kemb.publishing.site.project import SiteOptions, publish_site

    found = publish_site(out, SiteOptions(**settings))
    click.echo(f"{found.n_boards} boards, {found.n_files} files, {found.n_bytes / 1e6:.1f} MB. Open {found.start_page}")
