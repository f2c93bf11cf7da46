"""The whole way as one function: data or documents, candidates, looks, the choice."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kemb.choosing.candidates import (
    Candidate,
    LeftOut,
    Limits,
    declared,
    named,
    with_hybrids,
    with_smaller,
)
from kemb.choosing.choose import Choice, ChooseOptions, Hear, Size
from kemb.choosing.choose import choose as choose_among
from kemb.choosing.cuts import CutChoice, choose_cuts
from kemb.choosing.drafts import of_drafted
from kemb.choosing.power import DIFFERENCE, check_difference
from kemb.drafting import draft
from kemb.drafting.chunks import parse_chunking
from kemb.drafting.make import beside
from kemb.encoding.store import Store, default_root
from kemb.errors import DataError, UsageError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task
from kemb.evaluation.targets import load_tasks
from kemb.messages import note
from kemb.models.model import ModelOptions
from kemb.tasks.own.documents import DOCUMENT_SUFFIXES
from kemb.tasks.own.readers import DATA_SUFFIXES

PathLike = str | os.PathLike[str]


def choose(
    data: PathLike,
    models: Sequence[str] = (),
    *,
    results: PathLike = "results",
    store: PathLike | None = None,
    mirror: PathLike | None = None,
    limits: Limits | None = None,
    options: ModelOptions | None = None,
    hybrids: bool = True,
    dims: str = "",
    quantize: str = "",
    smallest: Size = "parameters",
    shares: Sequence[float] | None = None,
    difference: float = DIFFERENCE,
    budget_seconds: float | None = None,
    command: str = "",
    hear: Hear = lambda text: None,
    reporter: Reporter | None = None,
) -> Choice:
    """Which model to take for one's own data, and how sure that is.

    :param data: a folder with questions, a task, or a folder of documents, for which questions are
        drafted into `<folder>-test` first.
    :param models: what is tried; by default the declared candidates of this machine's hardware.
    :param results: folder of result files; `results` by default.
    :param store: folder of the vector store; the user's by default.
    :param mirror: folder with local copies of data sets.
    :param limits: what a model may be; without them anything that sends no text to an API.
    :param hybrids: whether every dense model is tried with words, too (rrf).
    :param dims: fewer dimensions of dense models that were trained for them as rows, too:
        `512,256`.
    :param quantize: codes of dense models as rows, too: `int8,binary,binary@100`.
    :param smallest: what small means first, parameters or the index.
    :param shares: of the documents that are looked at before all of them; 10 and 30 % by default,
        where that saves anything.
    :param difference: as a fraction, what the plan for more questions is made for.
    :param budget_seconds: wall time after which no further group of texts is encoded.
    :param command: what goes on where the time was over, for the sentence that says so.
    :param hear: hears what is declared and dropped.
    :raises UsageError: nothing to choose from. DataError: data that are not understood.
    """
    check_difference(difference)
    task = task_of(data, mirror, hear)
    candidates, left_out = candidates_of(
        task, models, limits or Limits(), options, hybrids, dims, quantize, hear
    )
    settings = ChooseOptions(
        _run(results, store), shares, difference, budget_seconds, command, smallest
    )
    choice = choose_among(task, candidates, settings, left_out, hear, reporter)
    if not task.spec.drafted:
        return choice
    return of_drafted(choice, task.load(), Path(task.path))


def choose_chunks(
    data: PathLike,
    chunkings: Sequence[str],
    models: Sequence[str] = (),
    *,
    results: PathLike = "results",
    store: PathLike | None = None,
    limits: Limits | None = None,
    options: ModelOptions | None = None,
    hybrids: bool = True,
    dims: str = "",
    quantize: str = "",
    smallest: Size = "parameters",
    difference: float = DIFFERENCE,
    budget_seconds: float | None = None,
    command: str = "",
    hear: Hear = lambda text: None,
    reporter: Reporter | None = None,
) -> CutChoice:
    """Which way of cutting to take for one's own documents, with which model.

    :param data: a folder of documents, for which questions are drafted first, or a set that `kemb
        draft` made.
    :param chunkings: `sentences:300`, `heading:800`, `fixed:400+80`, `document`.

    The other parameters are those of `choose`; there are no stages, since answers stand in most
    documents, so that a part of them would save nothing.

    :raises UsageError: an unknown way of cutting, or no folder of documents.
    """
    check_difference(difference)
    for name in chunkings:
        parse_chunking(name)
    task = task_of(data, None, hear)
    if not task.spec.drafted:
        raise UsageError(
            f"--chunks cuts documents; {data} is no folder of documents, nor a set that kemb draft "
            "made of one. Type for example: kemb draft DOCUMENTS -o DIR"
        )
    candidates, left_out = candidates_of(
        task, models, limits or Limits(), options, hybrids, dims, quantize, hear
    )
    settings = ChooseOptions(
        _run(results, store), (), difference, budget_seconds, command, smallest
    )
    return choose_cuts(Path(task.path), chunkings, candidates, settings, left_out, hear, reporter)


def _run(results: PathLike, store: PathLike | None) -> RunOptions:
    return RunOptions(Path(results), Store(store or default_root()), command="kemb choose")


def candidates_of(
    task: Task,
    models: Sequence[str],
    limits: Limits,
    options: ModelOptions | None = None,
    hybrids: bool = True,
    dims: str = "",
    quantize: str = "",
    hear: Hear = lambda text: None,
) -> tuple[list[Candidate], list[LeftOut]]:
    """What is tried, smaller vectors behind their models, hybrids last, and what is not.

    :param hear: hears of every candidate why it is one.
    """
    settings = options or ModelOptions()
    own_tasks = [task.spec.name]
    if models:
        candidates, left_out = named(models, limits, settings, own_tasks)
    else:
        candidates, left_out = declared(limits, settings, own_tasks)
    candidates, untrained = with_smaller(candidates, limits, dims, quantize)
    if hybrids:
        candidates = with_hybrids(candidates, settings, own_tasks)
    for candidate in candidates:
        hear(note("choose.tried", name=candidate.name, why=candidate.why))
    return candidates, [*left_out, *untrained]


def task_of(data: PathLike, mirror: PathLike | None, hear: Hear) -> Task:
    """The task of a folder with questions, or of its documents with questions that are drafted.

    :raises UsageError: several tasks.
    """
    path, folder = Path(data), Path(mirror) if mirror else None
    try:
        tasks = load_tasks([str(path) if path.exists() else str(data)], folder, hear)
    except (DataError, UsageError) as error:
        suffixes = _suffixes(path) if path.is_dir() else set()
        if not suffixes & set(DOCUMENT_SUFFIXES):
            raise
        if not suffixes & set(DATA_SUFFIXES) - set(DOCUMENT_SUFFIXES):
            tasks = load_tasks([str(_drafted(path, hear))], folder, hear)
        elif isinstance(error, DataError):
            raise DataError(
                f"{error} If {data} is documents, with tables beside them, draft questions of the "
                f"documents: kemb draft {shlex.quote(str(data))} -o "
                f"{shlex.quote(str(beside(path)))}"
            ) from error
        else:
            raise
    if len(tasks) != 1:
        raise UsageError(f"{data} is {len(tasks)} tasks; name one task, or a folder of your own.")
    return tasks[0]


def _drafted(source: Path, hear: Hear) -> Path:
    """The folder of the questions of documents; they are drafted where there are none yet."""
    target = beside(source)
    if (target / "task.toml").is_file():
        command = f"kemb draft {shlex.quote(str(source))} -o {shlex.quote(str(target))}"
        before = {"source": str(source), "target": str(target), "command": command}
        hear(note("choose.drafted_before", **before))
        return target
    hear(note("choose.drafting", source=str(source), target=str(target)))
    report = draft(source, target)
    if report.findings:
        hear(note("draft.findings", findings=list(report.findings)))
    return target


def _suffixes(folder: Path) -> set[str]:
    return {path.suffix.lower() for path in folder.rglob("*") if path.is_file()}
