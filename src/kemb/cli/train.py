"""The verbs `train` and `mine`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kemb.cli.options import FOLDER, data_option, in_one, store_option
from kemb.errors import UsageError

if TYPE_CHECKING:
    from kemb.pipeline import Outcome
    from kemb.publishing.terminal import TerminalReporter
    from kemb.training.export import Exported
    from kemb.training.plan import Plan
    from kemb.training.stages import Stage

_EVERY_SECONDS = 10.0
_TIMED_STEPS = 5


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=FOLDER, help="Folder of the run.  [runs/<name>]")
@data_option
@click.option(
    "--results", "results_dir", type=FOLDER, help="Folder of result files.  [results in the run]"
)
@store_option
@in_one(
    "how",
    click.option(
        "--dry-run", is_flag=True, help="Check everything, count, and stop; nothing is written."
    ),
    click.option(
        "--seeds",
        type=click.IntRange(2, 100),
        metavar="N",
        help="Train with N seeds, from the recipe's own onwards; the model is that of the first.",
    ),
    click.option(
        "--push",
        is_flag=True,
        help="Upload the model to [publish] repo if it passes everything (HF_TOKEN).",
    ),
    click.option(
        "--resume", is_flag=True, help="Refuse where there is no interrupted fit to go on with."
    ),
    click.option(
        "--fresh",
        is_flag=True,
        help="Begin an interrupted fit anew; its checkpoints are moved aside.",
    ),
)
def train(
    recipe: str,
    out: Path | None,
    data: Path | None,
    results_dir: Path | None,
    store_dir: Path | str | None,
    how: dict[str, Any],
) -> None:
    """Carry out a recipe: read, filter, mine, train, prove against the base, export, write card and
    site.

    RECIPE is a TOML file or the name of a shipped recipe. Every stage is kept in the folder of the
    run; a rerun does only what changed, and goes on with an interrupted fit from its last
    checkpoint. The exit code is 1 when the tuned model is worse than its
    base beyond the recipe's tolerance.

    \b
    Examples:
      kemb train static-ko --data ./packs --dry-run
      kemb train ./my-recipe.toml
      kemb train ./my-recipe.toml --fresh
    """
    from kemb import pipeline
    from kemb.encoding.store import Store, default_root
    from kemb.training.job import TrainOptions
    from kemb.training.plan import plan
    from kemb.training.proof import with_n_seeds
    from kemb.training.recipe import read_recipe

    if how["resume"] and how["fresh"]:
        raise UsageError("--resume goes on and --fresh begins anew; type one of them.")
    file = read_recipe(recipe)
    if how["seeds"]:
        file = with_n_seeds(file, how["seeds"])
    options = TrainOptions(
        run_dir=out or Path("runs") / file.recipe.name,
        store=Store(store_dir or default_root()),
        data_dir=data,
        results_dir=results_dir,
        resume=how["resume"],
        fresh=how["fresh"],
        push=how["push"],
        command=shlex.join(["kemb", *sys.argv[1:]]),
    )
    if how["dry_run"]:
        click.echo("A few steps are trained, to time them, and forgotten.", err=True)
        _show_plan(plan(file, options, timed=True))
        return
    from kemb.publishing.terminal import TerminalReporter

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
@click.option(
    "--probe",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Groups of equal texts (columns text, group): how many negatives would be false?",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def mine(
    recipe: str,
    out: Path | None,
    data: Path | None,
    store_dir: Path | str | None,
    probe: Path | None,
    as_json: bool,
) -> None:
    """Read, filter and mine the data of a recipe, and say what was found; `kemb train` goes on from
    there.

    With --probe nothing of the recipe is read but its [mine] section: in groups of texts that mean
    the same (ParaKQC has 1000) every negative of the anchor's own group is false.

    \b
    Examples:
      kemb mine ./my-recipe.toml
      kemb mine ./my-recipe.toml --probe ParaKQC/test.parquet
    """
    from kemb import pipeline
    from kemb.encoding.store import Store, default_root
    from kemb.training.job import TrainOptions
    from kemb.training.recipe import read_recipe

    file = read_recipe(recipe)
    store = Store(store_dir or default_root())
    if probe is not None:
        outcome = pipeline.probe(file, probe, store)
        record = {
            "rate": outcome.rate,
            "n_false": outcome.n_false,
            "n_negatives": outcome.n_negatives,
        }
        _show_report(outcome.report.to_json() | record, as_json)
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
        text = (
            ", ".join(f"{name} {count}" for name, count in value.items())
            if isinstance(value, dict)
            else value
        )
        click.echo(f"{key}: {f'{text:.4f}' if isinstance(text, float) else text}")


def _show_plan(plan: Plan) -> None:
    rows = sum(plan.n_rows.values())
    sources = ", ".join(f"{name} {count:,}" for name, count in plan.n_rows.items())
    click.echo(f"Rows: {rows:,} ({sources}). Steps: {plan.n_steps:,}. Device: {plan.device}.")
    if plan.n_mined is not None:
        click.echo(f"Negatives that were mined: {plan.n_mined:,}.")
    for name, count in plan.n_negatives.items():
        click.echo(f"{name}: every anchor is compared with {count:,} negatives.")
    for name, counts in plan.hard_negatives.items():
        if counts.sentence:
            click.echo(f"{name}: {counts.sentence}")
    if plan.n_parameters and plan.memory_gb is not None:
        click.echo(
            f"{plan.n_parameters:,} parameters: {plan.memory_gb:.2f} GB and the activations."
        )
    if plan.timing:
        seconds = plan.timing.seconds_per_step * plan.n_steps
        where, peak = "GPU" if plan.device.startswith("cuda") else "process", plan.timing.peak_gb
        memory = "" if peak is None else f"; the memory of the {where} was {peak:.1f} GB at most"
        click.echo(
            f"The fit will take about {_duration(seconds)}, by {plan.timing.n_timed} timed steps "
            f"of {plan.timing.seconds_per_step:.2f} s{memory}."
        )
    elif plan.untimed:
        click.echo(
            f"No steps were timed: {plan.untimed}. A fit says how long it takes after its first "
            "steps."
        )


def _duration(seconds: float) -> str:
    """In the unit a person would take."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _show(outcome: Outcome) -> None:
    from kemb.publishing.reports import print_comparison

    print_comparison(outcome.proof.comparison)
    fit = next(stage for stage in outcome.stages if stage.name == "fit")
    if dev := fit.report["dev"]:
        steps, score = f"{dev['step']:,} of {fit.report['n_steps']:,}", dev["scores"]["dev"]
        click.echo(f"Weights of step {steps}, which have the best dev score, {score:.4f}.")
    for model, scores in outcome.proof.lexical.items():
        scores_text = (
            ", ".join(f"{task} {score * 100:.2f}" for task, score in scores.items())
            or "applies to no task"
        )
        click.echo(f"Without training, {model}: {scores_text}.")
    for spread in outcome.spread:
        click.echo(
            f"{spread.task}: {spread.mean * 100:.2f} on average of {len(spread.scores)} seeds, "
            f"standard deviation {spread.sd * 100:.2f}, {spread.n_above} above the base."
        )
    for line in outcome.proof.guard:
        verdict = "kept" if line.passed else "FORGOTTEN"
        click.echo(f"{line.task}: {verdict} ({line.reason}, tolerance {line.tolerance:g}).")
    if outcome.model_dir is None:
        click.echo(
            "The forget-check failed; nothing is exported. Add a [merge] section, or lower "
            "train.lr.",
            err=True,
        )
        return
    for file in _files(outcome):
        fate = f"LEFT OUT: {file.problem}" if file.problem else "kept"
        click.echo(f"{file.file}, {file.n_bytes / 1e6:,.1f} MB: {fate}.")
    if any(file.problem for file in _files(outcome)):
        click.echo(
            "Raise the value in [export] that it failed, or take the format out of export.formats.",
            err=True,
        )
    click.echo(f"Model: {outcome.model_dir}. Lock file: {outcome.lock_path}.")
    rows = (outcome.proof.comparison.a.label, outcome.proof.comparison.b.label)
    click.echo(
        f"Items that changed: kemb compare {rows[0]} {rows[1]} --results {outcome.results_dir}"
    )
    if outcome.page:
        click.echo(f"Uploaded: {outcome.page}")
    click.echo(f"Base and tuned model side by side: open {outcome.site} in a browser.")


def _files(outcome: Outcome) -> list[Exported]:
    """What was written besides safetensors."""
    from kemb.training.export import from_json

    return [
        file
        for stage in outcome.stages
        if stage.name == "export"
        for file in from_json(stage.report)
    ]


class _Listener:
    """Shows a pipeline on stderr: a line per stage, and the rate and time left of a fit."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter
        self.loading = reporter.loading
        self.warned = reporter.warned
        self.noted = reporter.noted
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
        from kemb.publishing import progress

        now = time.monotonic()
        if not self._started:
            self._started, self._first, self._shown = now, number, now
            return
        if number - self._first == _TIMED_STEPS:
            seconds = (now - self._started) / _TIMED_STEPS
            took = _duration(seconds * (total - number))
            click.echo(
                f"About {took} to go, by {_TIMED_STEPS} timed steps of {seconds:.2f} s.", err=True
            )
        if now - self._shown < _EVERY_SECONDS and number < total:
            return
        self._shown = now
        progress.said()
        rate = (number - self._first) / (now - self._started) if now > self._started else 0.0
        time_left = f", {(total - number) / rate:,.0f} s left" if rate else ""
        loss_text = f", loss {loss:.4f}" if loss is not None else ""
        click.echo(
            f"step {number:,} of {total:,}, {rate:.1f} steps/s{time_left}{loss_text}", err=True
        )
