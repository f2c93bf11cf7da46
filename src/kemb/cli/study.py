"""The verbs that look at one model several ways: `prompts` and `robustness`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.lists import NameOrVerb
from kemb.cli.options import data_option, model_options, results_option, store_option
from kemb.cli.run import load_tasks, options_of
from kemb.messages import language, note, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kemb.evaluation.evaluate import RunOptions
    from kemb.evaluation.study import Study
    from kemb.publishing.terminal import TerminalReporter


@click.group(name="prompts", cls=NameOrVerb)
def prompts_group() -> None:
    """Print the exact strings that a model sees for a task, or study what other prompts would
    change.

    \b
    Examples:
      kemb prompts intfloat/multilingual-e5-large Ko-StrategyQA KLUE-STS
      kemb prompts study intfloat/multilingual-e5-small KLUE-STS --prompts mine.toml
    """


@prompts_group.command(name="show")
@click.argument("model")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show_prompts(model: str, tasks: tuple[str, ...], as_json: bool, **model_settings: Any) -> None:  # noqa: ANN401  the options of `model_options`
    """Print the exact strings that a model sees; `show` may be left out."""
    from kemb.models.prompts import explain
    from kemb.models.resolve import prompts_of

    specs = [task.spec for task in load_tasks(tasks, None)]
    table = prompts_of(model, options_of(model_settings), [spec.name for spec in specs])
    rows = []
    for spec in specs:
        for line in explain(table, spec.name, spec.type, spec.instruction):
            rows.append([spec.name, line.role, line.shown, line.route, line.source, line.key])
    if as_json:
        import json

        keys = ("task", "role", "shown", "route", "source", "key")
        click.echo(
            json.dumps(
                [dict(zip(keys, row, strict=True)) for row in rows], ensure_ascii=False, indent=1
            )
        )
        return
    from kemb.publishing.terminal import print_table

    print_table(["task", "role", "string (example text)", "route", "from", "key"], rows)
    for warning in table.warnings:
        click.echo(say(note("cli.warning", why=warning), language()), err=True)


@prompts_group.command(name="study")
@click.argument("model")
@click.argument("targets", nargs=-1, required=True, metavar="BENCHMARK|TASK|DIR...")
@data_option
@results_option
@store_option
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def study_prompts(
    model: str,
    targets: tuple[str, ...],
    data: Path | None,
    results_dir: Path,
    store_dir: Path | str | None,
    as_json: bool,
    **model_settings: Any,  # noqa: ANN401  the options of `model_options`
) -> None:
    """Measure a model with its declared prompts, none, a Korean instruction, and a --prompts file.

    A report with paired intervals. Its profiles are variant rows among the results; none replaces
    the declared one.

    \b
    Example:
      kemb prompts study intfloat/multilingual-e5-small KLUE-STS ./mydata --prompts mine.toml
    """
    from kemb.evaluation.study import prompt_study

    tasks, options = load_tasks(targets, data), options_of(model_settings)
    with _reporter() as reporter:
        study = prompt_study(model, tasks, options, _run(results_dir, store_dir), reporter)
    _show([study], as_json)


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="BENCHMARK|TASK|DIR...")
@click.option("-m", "--model", "models", multiple=True, required=True, help="As for `kemb run`.")
@click.option("--perturb", default="spacing,nfd,typo,hanja,honorific,loanword", show_default=True)
@data_option
@results_option
@store_option
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def robustness(
    targets: tuple[str, ...],
    models: tuple[str, ...],
    perturb: str,
    data: Path | None,
    results_dir: Path,
    store_dir: Path | str | None,
    as_json: bool,
    **model_settings: Any,  # noqa: ANN401  the options of `model_options`
) -> None:
    """Measure how much models lose where users drop spaces, mistype, write hanja and the like.

    Queries, first sentences and texts to be classified are changed, the same way every time;
    documents stay. Every item is compared with its original, also by length.

    \b
    Example:
      kemb robustness ./mydata KLUE-STS -m bm25:kiwi -m BAAI/bge-m3 --perturb spacing,typo
    """
    from kemb.evaluation.study import robustness as measure
    from kemb.models.resolve import resolve
    from kemb.tasks import perturb as perturbations

    names = perturbations.parse(perturb)
    tasks, options = load_tasks(targets, data), options_of(model_settings)
    resolved = [resolve(name, options, [task.spec.name for task in tasks]) for name in models]
    run = _run(results_dir, store_dir)
    with _reporter() as reporter:
        studies = [measure(model, tasks, names, run, reporter) for model in resolved]
    _show(studies, as_json)


def _reporter() -> TerminalReporter:
    from kemb.publishing.terminal import TerminalReporter

    return TerminalReporter()


def _run(results_dir: Path, store_dir: Path | str | None) -> RunOptions:
    from kemb.encoding.store import Store, default_root
    from kemb.evaluation.evaluate import RunOptions

    command = shlex.join(["kemb", *sys.argv[1:]])
    return RunOptions(results_dir, Store(store_dir or default_root()), command=command)


def _show(studies: Sequence[Study], as_json: bool) -> None:
    from kemb.publishing import studies as show

    if as_json:
        click.echo(show.to_json(studies), nl=False)
    else:
        for study in studies:
            show.print_study(study)
    if any(study.failed for study in studies):
        sys.exit(1)
