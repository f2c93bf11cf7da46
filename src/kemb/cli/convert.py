"""The verb `convert`: a folder of one's own in BEIR's layout."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kemb.cli.options import OWN_DATA, hear
from kemb.messages import language, note, printable, say


@click.command()
@click.argument("folder", type=OWN_DATA, metavar="DIR|ORG/NAME")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The new folder to write."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def convert(folder: Path | str, out: Path, as_json: bool) -> None:
    """Write questions, chunks and right answers of any layout in BEIR's.

    The scores of the new folder are those of the old one. Nothing is overwritten.

    \b
    Examples:
      kemb convert ./mydata -o ./mydata-beir
      kemb convert org/name -o ./name-beir
    """
    from kemb.tasks.own.convert import convert as write_beir
    from kemb.tasks.own.hub_sets import local_path

    converted = write_beir(local_path(folder, hear), out)
    if as_json:
        click.echo(
            json.dumps(converted._asdict() | {"out": str(out)}, ensure_ascii=False, indent=1)
        )
        return
    sentence = note(
        "check.converted",
        folder=str(out),
        n_documents=converted.n_documents,
        n_queries=converted.n_queries,
        n_judgments=converted.n_judgments,
    )
    click.echo(printable(say(sentence, language())))
    if converted.warnings:
        kinds = [f"{kind} ({n})" for kind, n in converted.warnings.items()]
        click.echo(
            say(note("check.converted_warnings", kinds=kinds, folder=str(folder)), language())
        )
    if converted.has_groups:
        click.echo(say(note("check.converted_groups"), language()))
