"""The verb `tasks lite`: a small version of a large retrieval task."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from kemb.cli.options import (
    data_option,
    hear,
    in_one,
    model_options,
    results_option,
    store_option,
)

POOL = ("bm25:kiwi", "bm25:bigram", "tfidf:char", "kiwi-static")
"""What draws a pool where nobody names its members and Kiwi is installed."""
POOL_WITHOUT_KIWI = ("bm25:bigram", "tfidf:char", "toy")


@click.command(name="lite")
@click.argument("target", metavar="TASK|DIR|ORG/NAME")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@in_one(
    "recipe",
    click.option(
        "--documents", "n_documents", type=click.IntRange(1), help="How many it has.  [a tenth]"
    ),
    click.option("--share", type=float, help="The same as a share of all: 0.05."),
    click.option(
        "--depth",
        type=click.IntRange(1),
        default=20,
        show_default=True,
        help="Documents per question and member of the pool.",
    ),
    click.option("--seed", type=int, default=42, show_default=True, help="Of the random ones."),
)
@in_one(
    "part",
    click.option("--split", default="", help="Of a task that has several."),
    click.option("--subset", default="", help="Of a task that has several."),
)
@click.option(
    "--pool",
    multiple=True,
    metavar="MODEL",
    help=f"Draws the pool; repeatable.  [{', '.join(POOL)}]",
)
@click.option(
    "-r",
    "--reference",
    "references",
    multiple=True,
    metavar="MODEL",
    help="Measured on the full task and on the lite version; repeatable.",
)
@click.option("--stored", "with_stored", is_flag=True, help="Rows of --results as references, too.")
@results_option
@store_option
@data_option
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def lite_command(
    target: str,
    out: Path,
    recipe: dict[str, Any],
    part: dict[str, str],
    pool: tuple[str, ...],
    references: tuple[str, ...],
    with_stored: bool,
    results_dir: Path,
    store_dir: Path | str | None,
    data: Path | None,
    as_json: bool,
    **model_settings: Any,  # noqa: ANN401  the options of `model_options`
) -> None:
    """Make a small version of a large retrieval task, and say what its scores are worth.

    It holds every judged document, what unlike cheap retrievers find in the whole corpus, and
    random others. It is a task of a name of its own and never stands on a board beside the full
    one. Name models outside of the pool with --reference: only they, and members by a pool without
    them, say whether it orders models as the full task does.

    \b
    Examples:
      kemb tasks lite ./mydata -o ./mydata-lite --share 0.05 -r BAAI/bge-m3 -r usem3
      kemb tasks lite MIRACLRetrieval -o ./miracl --subset ko --documents 50000 --stored
      kemb run ./mydata-lite -m intfloat/multilingual-e5-small
    """
    from kemb.choosing.lite import LiteSettings, make
    from kemb.choosing.lite.draw import Recipe
    from kemb.choosing.lite.show import show
    from kemb.cli.run import options_of
    from kemb.encoding.store import Store, default_root
    from kemb.evaluation.evaluate import RunOptions, load_task
    from kemb.models.resolve import resolve
    from kemb.publishing.terminal import TerminalReporter

    plan = Recipe(**recipe)
    task = load_task(target, data, [part["subset"]] if part["subset"] else [], hear)
    options = options_of(model_settings)
    members, others = (
        [resolve(name, options, [task.spec.name]) for name in names]
        for names in (pool or _default_pool(), references)
    )
    command = shlex.join(["kemb", *sys.argv[1:]])
    run = RunOptions(results_dir, Store(store_dir or default_root()), command=command)
    settings = LiteSettings(members, others, with_stored, plan, **part)
    with TerminalReporter() as reporter:
        version = make(task, out, settings, run, hear, reporter)
    if as_json:
        click.echo(json.dumps(version.as_json(), ensure_ascii=False, indent=1))
        return
    assert version.spec.lite is not None
    show(version, plan.size(version.spec.lite.n_full))


def _default_pool() -> tuple[str, ...]:
    """Members of the pool by what is installed."""
    from importlib.util import find_spec

    return POOL if find_spec("kiwipiepy") else POOL_WITHOUT_KIWI
