"""The verbs `train` and `mine`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli_options import FOLDER, data_option, store_option

if TYPE_CHECKING:
    from kemb.pipeline import Outcome
    from kemb.publish.terminal import TerminalReporter
    from kemb.train.export import Exported
    from kemb.train.job import Plan
    from kemb.train.stages import Stage

_EVERY_SECONDS = 10.0


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=FOLDER, help="Folder of the run.  [runs/<name>]")
@data_option
@click.option("--results", "results_dir", type=FOLDER, help="Folder of result files.  [results in the run]")
@store_option
@click.option("--dry-run", is_flag=True, help="Check everything, count, and stop; nothing is written.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted fit from its last checkpoint.")
def train(
    recipe: str,
    out: Path | None,
    data: Path | None,
    results_dir: Path | None,
    store_dir: Path | None,
    dry_run: bool,
    resume: bool,
) -> None:
    """Carry out a recipe: read, filter, mine, train, prove against the base, export, write card and site.

    RECIPE is a TOML file or the name of a shipped recipe. Every stage is kept in the folder of the run; a rerun does
    only what changed. The exit code is 1 when the tuned model is worse than its base beyond the recipe's tolerance.

    \b
    Examples:
      kemb train static-ko --data ./packs --dry-run
      kemb train ./my-recipe.toml
      kemb train ./my-recipe.toml --resume
    """
    from kemb import pipeline
    from kemb.store import Store, default_root
    from kemb.train.job import TrainOptions, plan
    from kemb.train.recipe import read_recipe

    file = read_recipe(recipe)
    options = TrainOptions(
        run_dir=out or Path("runs") / file.recipe.name,
        store=Store(store_dir or default_root()),
        data_dir=data,
        results_dir=results_dir,
        resume=resume,
        command=shlex.join(["kemb", *sys.argv[1:]]),
    )
    if dry_run:
        _show_plan(plan(file, options))
        return
    from kemb.publish.terminal import TerminalReporter

    with TerminalReporter() as reporter:
        outcome = pipeline.train(file, options, _Listener(reporter))
    _show(outcome)
    if not outcome.proof.passed or any(file.problem for file in _files(outcome)):
        sys.exit(1)


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=FOLDER, help="Folder of the run.  [runs/<name>]")
@data_option
@store_option
@click.option("--probe", type=click.Path(path_type=Path, exists=True), metavar="FILE",
              help="Groups of equal texts (columns text, group): how many negatives would be false?")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def mine(
    recipe: str, out: Path | None, data: Path | None, store_dir: Path | None, probe: Path | None, as_json: bool
) -> None:
    """Read, filter and mine the data of a recipe, and say what was found; `kemb train` goes on from there.

    With --probe nothing of the recipe is read but its [mine] section: in groups of texts that mean the same (ParaKQC
    has 1000) every negative of the anchor's own group is false.

    \b
    Examples:
      kemb mine ./my-recipe.toml
      kemb mine ./my-recipe.toml --probe ParaKQC/test.parquet
    """
    from kemb import pipeline
    from kemb.store import Store, default_root
    from kemb.train.job import TrainOptions
    from kemb.train.recipe import read_recipe

    file = read_recipe(recipe)
    store = Store(store_dir or default_root())
    if probe is not None:
        found = pipeline.probe(file, probe, store)
        record = {"rate": found.rate, "n_false": found.n_false, "n_negatives": found.n_negatives}
        _show_report(found.report.to_json() | record, as_json)
        return
    run_dir = out or Path("runs") / file.recipe.name
    stage = pipeline.mine(file, TrainOptions(run_dir, store, data))
    _show_report(stage.report | {"pairs": str(stage.folder / "pairs.parquet")}, as_json)


def _show_report(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    for key, value in report.items():
        shown = ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key}: {f'{shown:.4f}' if isinstance(shown, float) else shown}")


def _show_plan(plan: Plan) -> None:
    rows = sum(plan.n_rows.values())
    sources = ", ".join(f"{name} {count:,}" for name, count in plan.n_rows.items())
    click.echo(f"Rows: {rows:,} ({sources}). Steps: {plan.n_steps:,}. Device: {plan.device}.")
    for name, count in plan.n_negatives.items():
        click.echo(f"{name}: every anchor is compared with {count:,} negatives.")
    if plan.n_parameters and plan.memory_gb is not None:
        click.echo(f"{plan.n_parameters:,} parameters: {plan.memory_gb:.2f} GB and the activations.")


def _show(outcome: Outcome) -> None:
    from kemb.publish.comparison import print_comparison

    print_comparison(outcome.proof.comparison)
    for model, scores in outcome.proof.lexical.items():
        shown = ", ".join(f"{task} {score * 100:.2f}" for task, score in scores.items()) or "applies to no task"
        click.echo(f"Without training, {model}: {shown}.")
    for line in outcome.proof.guard:
        verdict = "kept" if line.passed else "FORGOTTEN"
        click.echo(f"{line.task}: {verdict} ({line.reason}, tolerance {line.tolerance:g}).")
    if outcome.model_dir is None:
        click.echo("The forget-check failed; nothing is exported. Add a [merge] section, or lower train.lr.", err=True)
        return
    for file in _files(outcome):
        said = f"LEFT OUT: {file.problem}" if file.problem else "kept"
        click.echo(f"{file.file}, {file.n_bytes / 1e6:,.1f} MB: {said}.")
    click.echo(f"Model: {outcome.model_dir}. Lock file: {outcome.lock_path}.")
    rows = (outcome.proof.comparison.a.label, outcome.proof.comparison.b.label)
    click.echo(f"Items that changed: kemb compare {rows[0]} {rows[1]} --results {outcome.results_dir}")
    click.echo(f"Base and tuned model side by side: open {outcome.site} in a browser.")


def _files(outcome: Outcome) -> list[Exported]:
    """What was written besides safetensors."""
    from kemb.train.export import from_json

    return [file for stage in outcome.stages if stage.name == "export" for file in from_json(stage.report)]


class _Listener:
    """Shows a pipeline on stderr: a line per stage, and the rate and time left of a fit."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter
        self.loading = reporter.loading
        self.encoding = reporter.encoding
        self.scoring = reporter.scoring
        self.done = reporter.done
        self._started = 0.0
        self._first = 0
        self._shown = 0.0

    def begun(self, stage: str) -> None:
        self._started = 0.0

    def finished(self, stage: Stage) -> None:
        took = "unchanged" if stage.was_there else f"{stage.seconds:,.1f} s"
        click.echo(f"{stage.name} {stage.key}: {took}", err=True)

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def step(self, number: int, total: int, loss: float | None) -> None:
        now = time.monotonic()
        if not self._started:
            self._started, self._first = now, number
        if now - self._shown < _EVERY_SECONDS and number < total:
            return
        self._shown = now
        rate = (number - self._first) / (now - self._started) if now > self._started else 0.0
        left = f", {(total - number) / rate:,.0f} s left" if rate else ""
        shown = f", loss {loss:.4f}" if loss is not None else ""
        click.echo(f"step {number:,} of {total:,}, {rate:.1f} steps/s{left}{shown}", err=True)
