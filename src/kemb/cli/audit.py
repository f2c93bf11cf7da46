"""The verb that checks what others, or we, have published."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kemb.cli.options import FILE


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

    Averages, ranks and the identities of metrics are computed again. Exit code 1 when something is wrong; numbers that
    were reproduced are listed apart.

    \b
    Examples:
      kemb audit README.md
      kemb audit README.md --against kure_results.json
    """
    from kemb.audit import audit as check
    from kemb.publishing.findings import print_audit, to_json

    found = check(files, against)
    if as_json:
        click.echo(to_json(found), nl=False)
    else:
        print_audit(found)
    sys.exit(1 if found.n_wrong else 0)
