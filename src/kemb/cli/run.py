"""The verbs that load tasks and models: `run`, `demo`, `check`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.options import (
    FILE,
    FOLDER,
    OWN_DATA,
    data_option,
    hear,
    in_one,
    model_options,
    results_option,
    store_option,
    view_options,
)
from kemb.errors import UsageError
from kemb.messages import language, note, printable, say
from kemb.publishing import progress

if TYPE_CHECKING:
    from kemb.encoding.executors.session import Session
    from kemb.evaluation.evaluate import Outcome, Task
    from kemb.models.model import Model, ModelOptions

QUICK = 200_000
"""Values of (row, item) that are resampled at the end of a run: a few seconds."""


@click.command(name="run")
@click.argument("targets", nargs=-1, required=True, metavar="BENCHMARK|TASK|DIR|ORG/NAME...")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    help="Known name, hub id, folder, or several put together.",
)
@in_one(
    "run_files",
    click.option(
        "--run",
        "paths",
        type=FILE,
        multiple=True,
        help="A TREC run file as one more model; repeatable.",
    ),
    click.option(
        "--run-name", "names", multiple=True, help="Its name on the board.  [the file's name]"
    ),
    click.option(
        "--run-order",
        "order",
        type=click.Choice(["score", "rank"]),
        default="score",
        show_default=True,
        help="The column of run files that orders documents.",
    ),
)
@data_option
@model_options
@in_one(
    "cluster",
    click.option("--cluster", "address", metavar="auto|HOST:PORT", help="Encode on a Ray cluster."),
    click.option(
        "--actors",
        "n_actors",
        type=click.IntRange(1),
        help="Copies of the model on it.  [one per GPU, or per machine]",
    ),
    click.option(
        "--gpus-per-actor",
        type=click.FloatRange(0),
        help="1, a share of a GPU, or 0.  [1 where it has GPUs]",
    ),
    click.option(
        "--mixed-devices",
        is_flag=True,
        help="Let unequal devices share the work; the result says so.",
    ),
)
@view_options
@in_one(
    "keeping",
    results_option,
    store_option,
    click.option(
        "--rescore", is_flag=True, help="Score again from stored vectors; encode nothing."
    ),
    click.option(
        "--overwrite", is_flag=True, help="Score again even where a comparable result exists."
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print outcomes as JSON.")
def run_command(
    targets: tuple[str, ...],
    models: tuple[str, ...],
    run_files: dict[str, Any],
    data: Path | None,
    cluster: dict[str, Any],
    views: dict[str, str],
    keeping: dict[str, Any],
    as_json: bool,
    **model_settings: Any,  # noqa: ANN401  the options of `model_options`
) -> None:
    """Evaluate models on tasks; every text is encoded once, every score keeps its items.

    \b
    Examples:
      kemb run KorSTS KLUE-NLI -m BAAI/bge-m3 -m kiwi-static
      kemb run ./mydata -m ./my-finetuned-model -m bm25:kiwi
      kemb run ./mydata -m "rrf(bm25:kiwi, BAAI/bge-m3)" -m "fuse(0.3*bm25:kiwi + 0.7*BAAI/bge-m3)"
      kemb run ./mydata -m bm25:kiwi+reranker:BAAI/bge-reranker-v2-m3@100
      kemb run ./mydata -m Qwen/Qwen3-Embedding-0.6B --dims 512,256 --quantize int8,binary@100
      kemb run ./mydata -m BAAI/bge-m3 --device cuda:0,cuda:1
      kemb run ./mydata -m BAAI/bge-m3 --cluster auto --store /shared/store
      kemb run ./mydata --run elastic.trec --run-name elastic
    """
    from kemb.encoding.store import Store, default_root
    from kemb.encoding.views import with_views
    from kemb.evaluation.evaluate import RunOptions
    from kemb.models.resolve import resolve, run_of_file

    paths, names = run_files["paths"], run_files["names"]
    if not models and not paths:
        raise UsageError(
            "There is no model to run. Name one with -m MODEL, or a run file with --run FILE."
        )
    if len(names) > len(paths):
        raise UsageError(
            f"{len(names)} --run-name for {len(paths)} --run; give each name with its file."
        )

    session = _session(cluster, model_settings)
    tasks = load_tasks(targets, data)
    settings = replace(options_of(model_settings), run_order=run_files["order"])
    resolved = [resolve(name, settings, [task.spec.name for task in tasks]) for name in models]
    for warning in dict.fromkeys(text for model in resolved for text in model.warnings):
        click.echo(printable(say(note("cli.warning", why=warning), language())), err=True)
    for model in resolved:
        if model.known_as:
            known_as = note("board.known_as", model=model.name, known=model.known_as)
            click.echo(say(known_as, language()), err=True)
    resolved = with_views(resolved, **views)
    resolved += [
        run_of_file(path, name, run_files["order"])
        for path, name in zip(paths, [*names, *[""] * len(paths)], strict=False)
    ]
    store = Store(keeping.pop("store_dir") or default_root())
    command = shlex.join(["kemb", *sys.argv[1:]])
    options = RunOptions(store=store, command=command, session=session, **keeping)
    _run_and_show(tasks, resolved, options, as_json)


def _session(cluster: dict[str, Any], model_settings: dict[str, Any]) -> Session | None:
    """The cluster that is asked for; the device of the models becomes that of its actors.

    :raises UsageError: an option of clusters without one, or a device that it has not.
    """
    if cluster["address"] is None:
        flags = {
            "--actors": cluster["n_actors"] is not None,
            "--gpus-per-actor": cluster["gpus_per_actor"] is not None,
            "--mixed-devices": cluster["mixed_devices"],
        }
        if names := [name for name, is_there in flags.items() if is_there]:
            raise UsageError(
                f"{' and '.join(names)} cannot stand without --cluster: type --cluster auto, or "
                "the address of a Ray cluster."
            )
        return None
    from kemb.encoding.executors.session import ClusterOptions, connect

    device = model_settings["device"]
    if model_settings["workers"] is not None or device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            "--cluster says where models run: leave out --workers and --device (--actors and "
            "--gpus-per-actor say how many, and whether on GPUs)."
        )
    session = connect(ClusterOptions(**cluster), hear)
    if device not in ("auto", session.device):
        other = "--gpus-per-actor 0" if device == "cpu" else "--gpus-per-actor 1"
        raise UsageError(
            f"--device {device} is not what the actors have, which is {session.device}. Type "
            f"{other} instead."
        )
    model_settings["device"] = session.device
    return session


def _run_and_show(tasks: list[Task], models: list[Model], options: Any, as_json: bool) -> None:  # noqa: ANN401  lazy
    from kemb.boards import BoardOptions, build_board
    from kemb.boards.benchmark import of_tasks
    from kemb.evaluation.evaluate import evaluate
    from kemb.publishing.closing import closing
    from kemb.publishing.reports import clean
    from kemb.publishing.terminal import TerminalReporter, print_board
    from kemb.results.rows import ResultRow

    with TerminalReporter(len(tasks) * len(models)) as reporter:
        outcomes = evaluate(tasks, models, options, reporter)
    results = [outcome.result for outcome in outcomes if outcome.result]
    if as_json:
        import json

        click.echo(
            json.dumps([_outcome(outcome) for outcome in outcomes], ensure_ascii=False, indent=1)
        )
    else:
        # A model that applies to none of the tasks is a row of dashes; where all its cells failed
        # there is no row.
        row_names = {outcome.row for outcome in outcomes if outcome.status != "failed"}
        rows = tuple(
            ResultRow(m.name, m.revision, m.variant, "", {}) for m in models if m.row in row_names
        )
        quick = BoardOptions(max_item_values=QUICK, rows=rows)
        if rows:
            subsets = {task.spec.name: task.spec.subsets for task in tasks}
            with progress.busy(note("cli.ranking")):
                board = build_board(results, of_tasks(list(subsets), subsets), options=quick)
            print_board(board)
            for sentence in closing(board):
                click.echo(clean(say(sentence, language())))
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if failed:
        cells_failed = note("cli.cells_failed", n_failed=failed, n_cells=len(outcomes))
        click.echo(say(cells_failed, language()), err=True)
        sys.exit(1)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "model": outcome.row,
        "task": outcome.task,
        "status": outcome.status,
        "main_score": outcome.result.main_score if outcome.result else None,
        "path": str(outcome.result.path) if outcome.result else None,
        "message": outcome.message or None,
    }


@click.command()
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    default=Path("kemb-demo"),
    show_default=True,
    help="Folder for the results.",
)
@store_option
def demo(out: Path, store_dir: Path | str | None) -> None:
    """Run the shipped models on the shipped Korean mini benchmark; needs no network.

    \b
    Example:
      kemb demo
    """
    from kemb import demo as shipped
    from kemb.encoding.store import Store
    from kemb.evaluation.evaluate import RunOptions
    from kemb.models.resolve import resolve
    from kemb.publishing.site.build import SiteOptions, publish_site

    tasks = load_tasks(tuple(str(folder) for folder in shipped.task_folders()), None)
    models = [resolve(name) for name in shipped.models()]
    options = RunOptions(out / "results", Store(store_dir or out / "store"), command="kemb demo")
    _run_and_show(tasks, models, options, as_json=False)
    with progress.busy(note("cli.building_site")):
        page = publish_site(out / "site", SiteOptions(options.results_dir)).start_page
    click.echo(say(note("cli.demo_results", folder=str(options.results_dir)), language()))
    click.echo(say(note("cli.demo_site", page=str(page)), language()))


@click.command()
@click.argument("folder", type=OWN_DATA, metavar="DIR|ORG/NAME")
@click.option("--toml", is_flag=True, help="Print only the task.toml that kemb would use.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--yes", "is_agreed", is_flag=True, help="More than 1 GB may be fetched.")
def check(folder: Path | str, toml: bool, as_json: bool, is_agreed: bool) -> None:
    """Say what kemb understands of a data folder, and what is wrong in it.

    \b
    Examples:
      kemb check ./mydata
      kemb check org/name
      kemb check org/name:config
    """
    from kemb.tasks.own.check import check_folder, format_report, report_as_json, to_toml
    from kemb.tasks.own.hub_sets import local_path

    report = check_folder(local_path(folder, hear, is_agreed))
    if as_json:
        import json

        click.echo(json.dumps(report_as_json(report), ensure_ascii=False, indent=1))
    elif toml and (report.spec is not None or report.proposal):
        click.echo(to_toml(report.spec) if report.spec else report.proposal, nl=False)
    else:
        click.echo(printable(format_report(report, language())))
    sys.exit(1 if report.has_errors else 0)


def load_tasks(targets: tuple[str, ...], data: Path | None) -> list[Task]:
    """Tasks, benchmarks and data folders, in the order given, each once."""
    from kemb.evaluation.targets import load_tasks as load_targets

    return load_targets(targets, data, hear)


def options_of(settings: dict[str, Any]) -> ModelOptions:
    """What the options of `model_options` mean."""
    from kemb.models import catalogue
    from kemb.models.model import ModelOptions

    short: dict[Any, Any] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    dtype = settings.get("dtype")
    if dtype is not None and short.get(dtype, dtype) not in short.values():
        raise UsageError(
            f"--dtype {dtype!r} is not known. Type float32, float16 (fp16) or bfloat16 (bf16)."
        )
    if file := settings.get("prompts_file"):
        settings = settings | {"prompts_file": catalogue.profiles().get(file, Path(file))}
    return ModelOptions(**(settings | {"dtype": short.get(dtype, dtype)}))
