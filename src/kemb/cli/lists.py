"""The verbs that show what there is: tasks, models, benchmarks, and what the store holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kemb.cli.lite import lite_command
from kemb.cli.options import FOLDER, store_option
from kemb.errors import UsageError

if TYPE_CHECKING:
    from kemb.encoding.store import Space


class NameOrVerb(click.Group):
    """A group whose first argument may also be a name: `kemb tasks KorSTS` is `kemb tasks show
    KorSTS`.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args.insert(0, "show")
        return super().resolve_command(ctx, args)


@click.group(name="tasks", cls=NameOrVerb, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def tasks_group(ctx: click.Context, as_json: bool) -> None:
    """List the tasks, show one, fetch their data for work without network, or make a small version.

    \b
    Examples:
      kemb tasks
      kemb tasks KLUE-STS
      kemb tasks fetch KLUE-STS AutoRAGRetrieval -o ./data
    """
    if ctx.invoked_subcommand is not None:
        return
    from kemb import tasks
    from kemb.publishing.terminal import print_table

    specs = [tasks.load_spec(name) for name in tasks.names()]
    rows = [
        [s.name, s.type, " ".join(s.subsets), " ".join(s.splits), s.main_metric, s.license]
        for s in specs
    ]
    if as_json:
        _echo_json([spec.model_dump(exclude_defaults=True) for spec in specs])
        return
    print_table(["task", "type", "subsets", "splits", "main score", "license"], rows)


@tasks_group.command(name="show")
@click.argument("name")
def show_task(name: str) -> None:
    """Print a task's specification."""
    from kemb import tasks
    from kemb.tasks.own.check import to_toml

    click.echo(to_toml(tasks.load_spec(name)), nl=False)


@tasks_group.command(name="fetch")
@click.argument("names", nargs=-1, required=True, metavar="BENCHMARK|TASK...")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder to write to or extend.")
def fetch_tasks(names: tuple[str, ...], out: Path) -> None:
    """Fetch the data of tasks into a folder; `--data DIR` then needs no network."""
    from kemb import tasks
    from kemb.evaluation.targets import task_targets
    from kemb.tasks.load import fetch

    specs_and_subsets = [(tasks.load_spec(name), subsets) for name, subsets in task_targets(names)]
    specs = [
        spec.model_copy(update={"subsets": subsets or spec.subsets})
        for spec, subsets in specs_and_subsets
    ]
    fetch(specs, out, lambda line: click.echo(line, err=True))


tasks_group.add_command(lite_command)


@tasks_group.group(name="import")
def import_tasks_group() -> None:
    """Bring in tasks of other programs."""


@import_tasks_group.command(name="mteb")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--benchmark",
    "benchmarks_",
    multiple=True,
    metavar="NAME",
    help="All tasks of mteb's benchmark; repeatable.",
)
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    help="Only this subset of tasks that have several; repeatable.",
)
@click.option("-o", "--out", type=FOLDER, default=Path(), help="Folder for the TOML files.  [.]")
def import_tasks_of_mteb(
    names: tuple[str, ...], benchmarks_: tuple[str, ...], subsets: tuple[str, ...], out: Path
) -> None:
    """Write mteb's tasks as TOML files, with their protocol; the data stay where they are.

    Tasks that kemb cannot express exactly are named, with the reason, and left out.

    \b
    Examples:
      kemb tasks import mteb NFCorpus STS22 --subset en -o tasks
      kemb tasks import mteb --benchmark "MTEB(eng, v1)" -o tasks
      kemb run tasks/NFCorpus.toml -m BAAI/bge-m3
    """
    from kemb.adapters.mteb_tasks import import_tasks
    from kemb.errors import UsageError
    from kemb.tasks.own.check import to_toml

    if not names and not benchmarks_:
        raise UsageError(
            "Name a task of mteb, or give --benchmark NAME. For all of them type: mteb "
            "available-tasks"
        )
    imported = import_tasks(names, benchmarks_, subsets)
    out.mkdir(parents=True, exist_ok=True)
    for spec in imported.specs:
        (out / f"{spec.name}.toml").write_text(to_toml(spec), encoding="utf-8")
    click.echo(f"{len(imported.specs)} tasks written to {out}.")
    for name, reason in imported.refused.items():
        click.echo(f"{name} was left out: {reason}", err=True)
    if imported.refused:
        raise SystemExit(1)


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def models(name: str | None, as_json: bool) -> None:
    """List the known models, or show one. Any hub id or local folder works too.

    \b
    Examples:
      kemb models
      kemb models BAAI/bge-m3
    """
    from kemb.errors import UnknownName
    from kemb.models import catalogue
    from kemb.publishing.terminal import print_table

    if name is not None:
        spec = catalogue.load_spec(name)
        if spec is None:
            raise UnknownName("model", name, catalogue.names(), "Type `kemb models` for all.")
        click.echo(spec.model_dump_json(indent=1, exclude_defaults=True))
        return
    specs = [spec for model_name in catalogue.names() if (spec := catalogue.load_spec(model_name))]
    if as_json:
        _echo_json([spec.model_dump(exclude_defaults=True) for spec in specs])
        return
    rows = []
    for spec in specs:
        limits = [
            "" if value is None else str(value)
            for value in (spec.n_parameters, spec.dim, spec.max_tokens)
        ]
        rows.append([spec.name, spec.loader, *limits, spec.license])
    print_table(["model", "loader", "parameters", "dim", "max tokens", "license"], rows)


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def benchmarks(name: str | None, as_json: bool) -> None:
    """List the benchmarks, or the tasks of one.

    \b
    Example:
      kemb benchmarks mteb-kor-v2
    """
    from kemb.boards import benchmark

    if as_json:
        _echo_json(
            [
                benchmark.load_benchmark(each).model_dump()
                for each in ([name] if name else benchmark.names())
            ]
        )
        return
    if name is not None:
        click.echo("\n".join(benchmark.load_benchmark(name).tasks))
        return
    from kemb.publishing.terminal import print_table

    specs = [benchmark.load_benchmark(each) for each in benchmark.names()]
    rows = [
        [spec.name, spec.title, str(len(spec.cells)), ", ".join(spec.formulas)] for spec in specs
    ]
    print_table(["benchmark", "title", "cells", "formulas"], rows)


@click.group()
def store() -> None:
    """Look at the vector store, or clean it up."""


@store.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def stats(store_dir: Path | str | None, as_json: bool) -> None:
    """Vectors, shards and bytes of every model in the store."""
    from kemb.encoding.store import Store, default_root
    from kemb.publishing.terminal import print_table

    root = store_dir or default_root()
    spaces = Store(root).spaces()
    rows = [(space.name, space.n_vectors(), *space.size()) for space in spaces]
    if as_json:
        import json

        keys = ("folder", "n_vectors", "n_shards", "n_bytes")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
        return
    print_table(
        ["folder", "vectors", "shards", "MB"],
        [[r[0], f"{r[1]:,}", str(r[2]), _mb(r[3])] for r in rows],
    )
    for space in spaces:
        for name in space.damaged:
            click.echo(f"{space.place}/{name} is damaged.", err=True)
    click.echo(f"{_mb(sum(row[3] for row in rows))} MB in {root}")


@store.command()
@store_option
@click.option("--model", help="Remove every vector of the models whose folder begins so.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def gc(store_dir: Path | str | None, model: str | None, yes: bool) -> None:
    """Drop damaged and repeated rows and leftovers of killed runs, and merge small shards.

    What would be freed is shown first. Models that a command uses at the moment are left as they
    are.

    \b
    Examples:
      kemb store gc
      kemb store gc --model BAAI-bge-m3 --yes
    """
    from kemb.encoding import clean
    from kemb.encoding.store import Store, default_root

    if model is not None and not model.strip("./ "):
        raise UsageError(
            f"--model {model!r} would remove the vectors of every model. Type the beginning of a "
            "folder that `kemb store stats` shows, or leave --model out to clean up."
        )
    root = store_dir or default_root()
    store = Store(root)
    store.sweep()
    spaces = [space for space in store.spaces() if space.name.startswith(model or "")]
    if model is not None and not spaces:
        raise UsageError(
            f"There is no model {model} in {root}. `kemb store stats` shows its folders."
        )
    _say_freeable(spaces, root, is_forgotten=model is not None)
    if spaces and not yes:
        _ask()
    work = clean.compact if model is None else clean.forget
    freed_bytes = 0
    for space in spaces:
        cleaned = work(space)
        freed_bytes += cleaned.n_bytes
        for user in cleaned.users:
            click.echo(f"{space.name} is in use by {user}; left as it is.", err=True)
        for path in cleaned.strangers:
            click.echo(f"{path} is none of kemb's files; left as it is.", err=True)
    click.echo(f"{_mb(freed_bytes)} MB freed.")


def _say_freeable(spaces: list[Space], root: Path | str, is_forgotten: bool) -> None:
    from kemb.encoding import clean

    for space in spaces:
        n_bytes = space.size()[1] if is_forgotten else clean.freeable(space)
        what = "all vectors" if is_forgotten else "leftovers, damaged and repeated rows"
        click.echo(f"{space.name}: {_mb(n_bytes)} MB ({what})", err=True)
    if not spaces:
        click.echo(f"There are no vectors in {root}.", err=True)


def _ask() -> None:
    """:raises UsageError: nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("Nothing was changed, as nobody can be asked here. Add --yes to do it.")
    click.confirm("Go on?", abort=True, err=True)


def _echo_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f}"
