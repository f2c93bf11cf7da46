"""The part of a model card that kemb writes: summary, code, prompts, scores with intervals, ranks,
provenance.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from kemb import statistics
from kemb.boards import Board, Row
from kemb.boards.benchmark import spec_of
from kemb.boards.items import FEWEST, part_measures
from kemb.errors import NotSupported, ResultError
from kemb.messages import say
from kemb.models.facts import ModelFacts
from kemb.publishing.card.metadata import dataset_of, kemb_version
from kemb.publishing.markdown import block, clean, code, escape, table
from kemb.publishing.notes import formula_note, heading, intervals_note
from kemb.publishing.site.schema import Snippet
from kemb.publishing.tables import points, rank_text, score_text
from kemb.publishing.usage import py
from kemb.results.files import NoItems, TaskResult, read_items
from kemb.results.rows import ResultRow
from kemb.tasks.kinds import kind_of

SEED = 42
_SAME = 1e-5
"""What a score and the same score computed from its items may differ by."""
_LANGUAGE = {"TEI": "bash", "kemb": "bash"}
MISSING = (
    "Nothing is imputed: a model without all tasks of a benchmark has no mean and no rank in it."
)


@dataclass(frozen=True, slots=True)
class PartScore:
    """One number of the evaluation table."""

    result: TaskResult
    split: str
    subset: str
    value: float
    low: float | None
    high: float | None
    n_items: int | None
    reason: str
    """Why there is no interval."""
    lacks_clusters: bool = False
    """As of `kemb.boards.items.PartMeasures`."""


@dataclass(frozen=True, slots=True)
class CardData:
    """What a card says."""

    name: str
    """Under which the model is published."""
    row: ResultRow
    facts: ModelFacts
    snippets: Sequence[Snippet]
    boards: Sequence[tuple[Board, Row]]
    """Boards with the model's row in them."""


def body(card: CardData) -> str:
    """The Markdown of everything but the title and the front matter."""
    results = list(card.row.results.values())
    parts = [part for result in results for part in part_scores(result)]
    sections = [
        _summary(card, results),
        "## Use\n\n" + "\n\n".join(_snippet(snippet) for snippet in card.snippets),
        _prompts(results),
        _evaluation(parts),
        _ranks(card.boards),
        _provenance(card, results),
    ]
    return "\n\n".join(filter(None, sections))


def part_scores(result: TaskResult) -> list[PartScore]:
    """Every (split, subset) of a result with the interval of its main score: 95 % over resampled
    items.

    :raises NoItems: its items are none of a result; a number beside them is worth nothing.
    """
    try:
        items, problem = read_items(result), ""
    except NoItems:
        raise
    except ResultError:
        items, problem = None, "its items are missing"
    scores = []
    for split, entries in result.scores.items():
        for entry in entries:
            part, value = (split, str(entry["hf_subset"])), float(entry["main_score"])
            low = high = n_items = None
            reason, lacks_clusters = problem, False
            if items is not None:
                try:
                    measured = part_measures([result], [items], part, "main_score")
                    n_items, lacks_clusters = measured.n_items, measured.lacks_clusters
                    if measured.n_independent < FEWEST:
                        raise NotSupported("its items all hang together in one cluster")
                    replicates = measured.replicates(statistics.N_REPLICATES, SEED)
                    if (
                        abs(float(measured.point()[0]) - value) > _SAME
                        or not np.isfinite(replicates).all()
                    ):
                        raise NotSupported(
                            "its items do not give the recorded score on every resample"
                        )
                    low, high = (float(bound[0]) for bound in statistics.interval(replicates))
                except (NotSupported, ResultError) as error:
                    reason = str(error).rstrip(".")
            scores.append(
                PartScore(result, *part, value, low, high, n_items, reason, lacks_clusters)
            )
    return scores


def _summary(card: CardData, results: Sequence[TaskResult]) -> str:
    facts, row = card.facts, card.row
    variant = f", in the variant {escape(clean(row.variant))}" if row.variant else ""
    n_tasks = f"{len(results)} task{'s' if len(results) > 1 else ''}"
    intro = (
        f"{escape(clean(card.name))} at revision {code(row.revision)}{variant}, measured with "
        f"kemb on {n_tasks}."
    )
    size = f"{facts.n_parameters / 1e6:,.0f} million" if facts.n_parameters else ""
    model = results[0].record.model
    pairs = [
        ("Parameters", size),
        ("Dimension", str(facts.dim or "")),
        ("Truncated dimensions", ", ".join(map(str, facts.truncate_dims))),
        ("Max tokens", str(model.max_tokens or "")),
        ("Dtype as measured", model.dtype or ""),
        ("Pooling", model.pooling or ""),
        ("Similarity", model.similarity),
        ("Base model", facts.base_model),
        ("Licence", facts.license),
    ]
    rows = [[name, escape(clean(value))] for name, value in pairs if value]
    return f"{intro}\n\n{table(['Property', 'Value'], rows)}"


def _snippet(snippet: Snippet) -> str:
    return f"### {snippet.name}\n\n{block(snippet.code, _LANGUAGE.get(snippet.name, 'python'))}"


def _prompts(results: Sequence[TaskResult]) -> str:
    """What stood before the texts when the scores were measured; every different prompt once."""
    tasks_by_prompt: dict[tuple[str, str, str], list[str]] = {}
    for result in results:
        for role, prompt in result.record.prompts.items():
            tasks_by_prompt.setdefault((role, prompt.prompt, prompt.route), []).append(result.task)
    if not tasks_by_prompt:
        return ""
    rows = [
        [
            role,
            code(py(prompt)) if prompt else "nothing",
            code(py(route)) if route else "",
            escape(", ".join(tasks)),
        ]
        for (role, prompt, route), tasks in tasks_by_prompt.items()
    ]
    return "## Prompts\n\nPut before the texts, character by character:\n\n" + table(
        ["Role", "Text before", "Route", "Tasks"], rows
    )


def _evaluation(parts: Sequence[PartScore]) -> str:
    rows = [
        [
            escape(clean(part.result.task)),
            kind_of(part.result.record.task.type).mteb,
            escape(clean(part.split)),
            escape(clean(part.subset)),
            escape(part.result.record.task.main_metric),
            points(part.value),
            ""
            if part.low is None or part.high is None
            else f"{points(part.low)} to {points(part.high)}",
            "" if part.n_items is None else f"{part.n_items:,}",
        ]
        for part in parts
    ]
    header = [
        "Task",
        "Type",
        "Split",
        "Subset",
        "Metric",
        "Score",
        "95 % interval",
        "Number of items",
    ]
    notes = ["Scores are points (times 100); the front matter holds fractions at full precision."]
    if any(part.low is not None for part in parts):
        notes.append(
            f"Intervals: {statistics.LEVEL:.0%}, percentiles of {statistics.N_REPLICATES:,} "
            "resamples of the items of each task; "
            "they say what other questions of the same task could change, each task for itself."
        )
    if alone := {clean(part.result.task) for part in parts if part.lacks_clusters and part.low is not None}:
        notes.append(
            f"Questions of {escape(', '.join(sorted(alone)))} were drawn one by one, as the "
            "results do not say which share a right passage; their intervals may be too narrow."
        )
    reasons = dict.fromkeys(
        f"{clean(part.result.task)} has no interval: {clean(part.reason)}."
        for part in parts
        if part.reason
    )
    return "## Evaluation\n\n" + "\n\n".join(
        [table(header, rows, (5, 7)), *notes, *map(escape, reasons)]
    )


def _ranks(boards: Sequence[tuple[Board, Row]]) -> str:
    """Where the model stands on boards, and what the numbers are made of."""
    sections = []
    for board, row in boards:
        tasks = f"All {len(board.cells)} tasks" if len(board.cells) > 1 else board.cells[0].title
        title = (
            say(heading(board), "en") or f"{tasks}, among the models measured with the same results"
        )
        if row.standing is None:
            sections.append(f"### {escape(clean(title))}\n\n{escape(clean(_below(board, row)))}")
            continue
        groups = [[escape(clean(name)), points(value)] for name, value in row.groups.items()]
        first = [rank_text(row), str(len(board.complete)), score_text(row)]
        tables = [table(["Rank", "Of", "Score"], [first], (0, 1, 2))]
        if 1 < len(groups) < len(board.cells):
            tables.append(table(["Group", "Mean of its tasks"], groups, (1,)))
        notes = [
            say(formula_note(board), "en"),
            _weights(board),
            say(intervals_note(board), "en"),
            MISSING,
        ]
        sections.append(
            "\n\n".join(
                [f"### {escape(clean(title))}", *tables, *(escape(clean(note)) for note in notes)]
            )
        )
    return "## Ranks\n\n" + "\n\n".join(sections) if sections else ""


def _below(board: Board, row: Row) -> str:
    common = row.common
    lacking = ", ".join(f"{title} ({say(why, 'en')})" for title, why in row.missing.items())
    wins = ""
    if common is not None and common.win_rate is not None:
        wins = (
            f" On the {common.n_cells} it has, it wins {common.win_rate:.0%} of the comparisons "
            "with ranked models."
        )
    return (
        f"No rank: {len(row.missing)} of {len(board.cells)} tasks are missing: {lacking}.{wins} "
        f"{MISSING}"
    )


def _weights(board: Board) -> str:
    """The weight of every task."""
    weights = [str(Fraction(weight).limit_denominator(10_000)) for weight in board.weights]
    if len(set(weights)) == 1:
        return f"Weights: {weights[0]} for each of the {len(weights)} tasks."
    pairs = zip(board.cells, weights, strict=True)
    return f"Weights: {', '.join(f'{cell.title} {weight}' for cell, weight in pairs)}."


def _provenance(card: CardData, results: Sequence[TaskResult]) -> str:
    """What was measured on what, by which versions, and how to do it again."""
    rows = []
    for result in results:
        unpinned = " (unpinned)" if result.record.task.unpinned else ""
        hashes = result.record.task.data_sha256
        rows.append(
            [
                escape(clean(result.task)),
                escape(clean(dataset_of(result))),
                code(result.dataset_revision) + unpinned if result.dataset_revision else "",
                ", ".join(code(digest[:12]) for digest in dict.fromkeys(hashes.values())),
            ]
        )
    versions: dict[str, dict[str, None]] = {}
    for result in results:
        for name, version in result.record.versions.items():
            if version and version != "not installed":
                versions.setdefault(name, {})[version] = None
    hardware = dict.fromkeys(_hardware(result) for result in results)
    dates = sorted(result.record.date[:10] for result in results)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    lines = [
        f"Model revision: {code(card.row.revision)}. Measured: {span}.",
        "Versions: "
        + escape(", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in versions.items()))
        + ".",
        f"Hardware: {escape(clean('; '.join(filter(None, hardware))))}.",
        table(["Task", "Data", "Data revision", "Hash of the data"], rows),
        "Measured again by\n\n" + block(_command(card, results), "bash"),
        f"Written by kemb {kemb_version()} from these records. What stands outside of this block "
        "is the author's.",
    ]
    return "## Provenance\n\n" + "\n\n".join(lines)


def _hardware(result: TaskResult) -> str:
    place = result.record.hardware
    if place is None:
        return ""
    n_cores = "?" if place.n_cores is None else place.n_cores
    return place.gpu or f"{place.cpu or '?'}, {n_cores} cores"


def _command(card: CardData, results: Sequence[TaskResult]) -> str:
    """The command without paths of the machine that ran it, which are nobody's business and useless
    elsewhere.

    A task of one's own stands as the folder of its data.
    """
    row = card.row
    local = row.model.startswith("local/")
    name = card.name if local else row.model
    model = f"{name}@{row.revision}" if "/" in name and not local else name
    tasks = [result.task if spec_of(result.task) else f"./{result.task}" for result in results]
    return shlex.join(["kemb", "run", *tasks, "-m", model, *_flags(row.variant)])


def _flags(variant: str) -> list[str]:
    """The options behind a variant (`dtype_bfloat16__max_tokens_512`); a prompts file is named by
    its beginning.
    """
    flags: list[str] = []
    for part in filter(None, variant.split("__")):
        for option in ("dtype", "max_tokens", "pooling", "dims", "quantize", "similarity"):
            if part.startswith(f"{option}_"):
                flags += [f"--{option.replace('_', '-')}", part.removeprefix(f"{option}_")]
        if part.startswith("backend_"):
            runtime, _, file = part.removeprefix("backend_").partition("-")
            flags += ["--backend", runtime, "--backend-file", file.rpartition("-")[0]]
        if part.startswith("prompts_"):
            flags += ["--prompts", part.removeprefix("prompts_").rpartition("-")[0]]
    return flags
