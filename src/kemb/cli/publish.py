"""The verbs that show results to others, and check what others show: `card`, `site`, `audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from kemb.cli.options import FILE, FOLDER, data_option, in_one, results_option
from kemb.messages import note
from kemb.publishing import progress


@click.command()
@click.argument("model")
@results_option
@click.option(
    "--benchmark",
    "benchmark_names",
    multiple=True,
    metavar="NAME|TOML",
    help="Tell the rank on it; repeatable.  [those whose tasks are all there]",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="README.md",
    help="File to write or to bring up to date.  [printed, nothing is written]",
)
@click.option(
    "--name", default="", metavar="ORG/NAME", help="Name under which the model is published."
)
@click.option("--license", "license_name", default="", help="Licence, in place of what is known.")
@click.option("--private", is_flag=True, help="State results on your own data, too.")
@in_one(
    "upload",
    click.option(
        "--push",
        "repo",
        default="",
        metavar="ORG/NAME",
        help="Upload to this model repository (HF_TOKEN).",
    ),
    click.option("--pr", "create_pr", is_flag=True, help="With --push: as a pull request."),
)
def card(
    model: str,
    results_dir: Path,
    benchmark_names: tuple[str, ...],
    out: Path | None,
    name: str,
    license_name: str,
    private: bool,
    upload: dict[str, Any],
) -> None:
    """Write a model card from measured results: scores with intervals, code with prompts,
    provenance.

    MODEL is a row of results (MODEL, MODEL@REVISION, 'MODEL [VARIANT]') or the folder of a local
    model. Text of yours in an existing README is kept: only what stands between the marks of kemb
    is replaced.

    \b
    Examples:
      kemb card bge-m3 -o README.md
      kemb card ./my-model --push my-org/my-model --license apache-2.0
    """
    from kemb.errors import UsageError
    from kemb.publishing.card.card import README, CardOptions, make_card, read_existing, write_card

    repo: str = upload["repo"]
    if upload["create_pr"] and not repo:
        raise UsageError("--pr says how to upload; add --push ORG/NAME.")
    # A model's folder may belong to somebody else (a package, the hub's cache): it is read, and
    # written only by -o.
    own_readme = Path(model) / README if (Path(model) / "config.json").is_file() else None
    base = out or own_readme
    existing = read_existing(base) if base else ""
    parent = ""
    if repo:
        from kemb.publishing.hub import remote_readme

        remote, parent = remote_readme(repo)
        existing = existing or remote
    options = CardOptions(results_dir, benchmark_names, name or repo, license_name, private)
    new_card = make_card(model, options, existing)
    if out:
        write_card(new_card.files, out)
        n_more = len(new_card.files) - 1
        more = f" and {n_more} files in {out.parent / '.eval_results'}" if n_more else ""
        click.echo(f"Written: {out}{more}.", err=True)
    elif not repo:
        click.echo(new_card.files[README], nl=False)
    if new_card.left_out:
        click.echo(
            f"Left out, on your own data (--private adds them): {', '.join(new_card.left_out)}.",
            err=True,
        )
    if repo:
        from kemb.publishing.hub import push

        click.echo(f"Uploaded: {push(repo, new_card.files, parent, upload['create_pr'])}", err=True)


@click.command()
@click.argument("targets", nargs=-1, metavar="[BENCHMARK[:FORMULA]|FILE.toml]...")
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    required=True,
    help="Folder of the site; a new one, or an earlier site.",
)
@results_option
@data_option
@click.option("--title", default="", help="Title of the site, in Korean.  [한국어 임베딩 순위표]")
@click.option(
    "--only", type=click.Choice(["measured", "claimed"]), help="Leave out the other rows."
)
@click.option(
    "--private",
    "private_dirs",
    type=FOLDER,
    multiple=True,
    help="Results on your own data, shown too; repeatable.",
)
@click.option("--public", is_flag=True, help="Refuse to show results on your own data.")
@click.option(
    "--snapshot",
    is_flag=True,
    help="Keep this state of the boards below the results, for the history.",
)
@click.option("--base-url", default="", help="Where the site will lie; the feed links there.")
def site(out: Path, **settings: Any) -> None:  # noqa: ANN401  click gives each its type
    """Build a static leaderboard site; open its index.html, no server needed.

    Without a name: what was measured in the results folder, then the Korean benchmarks that come
    with kemb.

    \b
    Examples:
      kemb site -o site
      kemb site mteb-kor-v2 kure:recall@10 -o site
      kemb site --private ./my-results -o preview
    """
    from kemb.publishing.site.build import SiteOptions, publish_site

    with progress.busy(note("cli.building_site")):
        summary = publish_site(out, SiteOptions(**settings))
    click.echo(
        f"{summary.n_boards} boards, {summary.n_files} files, {summary.n_bytes / 1e6:.1f} MB. Open "
        f"{summary.start_page}"
    )


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Results of another source to compare with: a JSON table or a results folder; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def audit(files: tuple[Path, ...], against: tuple[Path, ...], as_json: bool) -> None:
    """Check the tables and the metadata of READMEs and model cards.

    Averages, ranks and the identities of metrics are computed again. Exit code 1 when something is
    wrong; numbers that were reproduced are listed apart.

    \b
    Examples:
      kemb audit README.md
      kemb audit README.md --against kure_results.json
    """
    from kemb.audit import audit as check
    from kemb.publishing.findings import print_audit, to_json

    report = check(files, against)
    if as_json:
        click.echo(to_json(report), nl=False)
    else:
        print_audit(report)
    sys.exit(1 if report.n_wrong else 0)
