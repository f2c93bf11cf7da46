"""What a board says above, in and below its table: formula, intervals, influence, sources, costs.

As notes, the same for terminal, Markdown, site, cards and downloads; `messages` says them.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from kemb.boards import Board, Row
from kemb.encoding.lengths import TRUNCATED
from kemb.messages import Note, Text, Title, note, say, table
from kemb.publishing.costs import CUT, DOUBT, DRAFTED, JUDGE, cost_of, is_cut, judged_of, n_tied
from kemb.publishing.site.words import group_title
from kemb.results.files import TaskResult
from kemb.results.record import JudgeRecord
from kemb.tasks.own.judges import ENOUGH


def heading(board: Board) -> Text:
    """Title of the benchmark and of the formula; '' for a board made of single tasks."""
    benchmark = board.benchmark
    if not benchmark.name:
        return ""
    return note(
        "board.heading",
        benchmark=Title(ko=benchmark.title, en=benchmark.title_en or benchmark.title),
        name=benchmark.name,
        formula=board.formula.title or board.formula_name,
    )


def board_notes(board: Board, marks: Mapping[str, str]) -> list[Note]:
    """Formula, intervals, influence of the groups, whose numbers are claimed, costs, version; not
    the notes on data, which are `board.notes`.

    :param marks: source -> the mark that its rows carry.
    """
    return [
        formula_note(board),
        intervals_note(board),
        *_influence(board),
        *_sources(board, marks),
        *cost_notes(board.rows),
        *drafted_notes(board.rows),
        *judge_notes(result for row in board.rows for result in row.results.values()),
        *doubt_notes(board.rows),
        *model_notes(board.rows),
        *_made(board),
    ]


def footer(board: Board, marks: Mapping[str, str]) -> list[Text]:
    """The notes of a board, then those on its data.

    :param marks: source -> the mark that its rows carry.
    """
    return [*board_notes(board, marks), *board.notes]


def formula_text(board: Board) -> str:
    """How the score is made of the cells, in English, as snapshots and cards keep it."""
    return say(formula_note(board), "en")


def formula_note(board: Board) -> Note:
    """How the score is made of the cells: in words and as weights."""
    formula, groups = board.formula, board.groups
    by = note("board.by_metric", metric=formula.metric) if formula.metric else ""
    if len(board.cells) == 1:
        return note("board.score_of_one_task", task=board.cells[0].title, by=by)
    if formula.weights == "cells":
        return note("board.score_mean_of_tasks", n_tasks=len(board.cells), by=by)
    if formula.weights == "groups":
        names = [group(name) for name in groups]
        return note("board.score_mean_of_groups", n_groups=len(groups), groups=names, by=by)
    fractions = {name: Fraction(weight) for name, weight in formula.weights.items()}
    total = sum(fractions.values(), Fraction(0))
    weights = [
        note("board.weight", weight=str(weight), group=group(name))
        for name, weight in fractions.items()
        if weight
    ]
    remark = "" if total == 1 else note("board.weights_sum", total=str(total))
    return note("board.score_weighted", weights=weights, by=by, sum=remark)


def group(key: str) -> Title:
    """The name of a group: in English the one of the benchmark's file."""
    return Title(ko=group_title(key).ko, en=key)


def intervals_note(board: Board) -> Note:
    """What was resampled, over which family of comparisons the ranks hold, and why nothing better
    was done.
    """
    intervals = board.intervals
    if intervals.mode == "none":
        sentence = note("board.intervals_none")
    elif len(board.complete) == 1:
        sentence = note(
            f"board.alone_{intervals.mode}",
            level=intervals.level,
            n_replicates=intervals.n_replicates,
        )
    else:
        sentence = note(
            f"board.resampled_{intervals.mode}",
            level=intervals.level,
            n_replicates=intervals.n_replicates,
            family=note("board.family", n_ranked=len(board.complete)),
        )
    if not intervals.reasons:
        return sentence
    return note("board.intervals_why", intervals=sentence, reasons=intervals.reasons)


def mode_note(board: Board) -> Note:
    """The kind of interval in a few words."""
    return note(f"board.mode_{board.intervals.mode}")


def cost_notes(rows: Sequence[Row]) -> list[Note]:
    """What marks and numbers of costs stand for, where there are any."""
    measured = [row for row in rows if row.claim is None]
    costs = [cost_of(row) for row in measured]
    notes = []
    if any(is_cut(result.kemb) for row in measured for result in row.results.values()):
        notes.append(note("board.cut", mark=CUT, share=TRUNCATED))
    if any(cost.tokens_per_1000_korean for cost in costs):
        notes.append(note("board.korean_tokens", column=note("column.korean_tokens")))
    if places := sorted({cost.hardware for cost in costs if cost.texts_per_second}):
        notes.append(note("board.speed", places=places))
    if prices := sorted({cost.price for cost in costs if cost.price}):
        notes.append(note("board.paid", prices=prices))
    return notes


def drafted_notes(rows: Sequence[Row]) -> list[Note]:
    """Which tasks have drafted questions, and the share of them that a person had seen when they
    were scored: the smallest, where rows differ; and what the columns of judgments are.
    """
    shares: dict[str, list[float]] = {}
    for row in rows:
        for task, result in row.results.items():
            if result.kemb is not None and result.kemb.task.drafted:
                shares.setdefault(task, []).append(result.kemb.task.seen or 0.0)
    notes = [
        note("board.drafted", mark=DRAFTED, task=task, share=min(of_task))
        for task, of_task in shares.items()
    ]
    has_judged = any(judged_of(row) for row in rows)
    return [*notes, note("board.judged")] if has_judged else notes


def judge_notes(results: Iterable[TaskResult]) -> list[Note]:
    """Which language models have judged passages of which task, and whether that counts."""
    notes: list[Note] = []
    for result in results:
        for judge in (result.kemb.task.judges if result.kemb else None) or ():
            notes.append(_judge_note(result.task, judge))
            if judge.wrote_questions:
                notes.append(note("judged.judge_wrote_questions", judge=judge.judge))
    return list(dict.fromkeys(notes))


def _judge_note(task: str, judge: JudgeRecord) -> Note:
    if judge.use == "judge-only":
        return note(
            "board.judge_only",
            mark=JUDGE,
            task=task,
            judge=judge.judge,
            n=judge.n_judge_only,
            n_checked=judge.n_checked,
            enough=ENOUGH,
        )
    return note(
        "board.judge",
        mark=JUDGE,
        task=task,
        judge=judge.judge,
        n=judge.n_used,
        n_checked=judge.n_checked,
        kappa=judge.kappa or 0.0,
        low=judge.low or 0.0,
        high=judge.high or 0.0,
    )


def doubt_notes(rows: Sequence[Row]) -> list[Note]:
    """Why scores carry the mark of doubt: warnings on the data of a task, and scores of ties."""
    warnings_by_task: dict[str, dict[str, int]] = {}
    ties: list[Note] = []
    for row in rows:
        for task, result in row.results.items():
            if result.kemb is None:
                continue
            if result.kemb.data_warnings:
                warnings_by_task.setdefault(task, {}).update(result.kemb.data_warnings)
            if n_ties := n_tied(result.kemb):
                ties.append(note("board.ties", mark=DOUBT, task=task, model=row.model, n=n_ties))
    return [
        note("board.data_warnings", mark=DOUBT, task=task, kinds=warning_kinds(warnings))
        for task, warnings in warnings_by_task.items()
    ] + ties


def warning_kinds(warnings: Mapping[str, int]) -> list[Note]:
    """Kinds of warnings on data with how often they were given, the most frequent first."""
    known_kinds = table("warning")
    kinds = []
    for kind, n in sorted(warnings.items(), key=lambda item: (-item[1], item[0])):
        key = kind.lower().replace(" ", "_")
        name: Text = note(f"warning.{key}") if key in known_kinds else kind
        kinds.append(note("board.warning_count", kind=name, n=n))
    return kinds


def model_warnings(row: Row) -> list[str]:
    """What was said of a model's files when it was measured, each sentence once."""
    records = [result.kemb for result in row.results.values() if result.kemb is not None]
    return list(dict.fromkeys(text for record in records for text in record.warnings))


def model_notes(rows: Sequence[Row]) -> list[Note]:
    """What must be known of the files of models, and whose settings local folders got."""
    warned = [
        note("board.model_warning", mark=DOUBT, model=row.name, why=text)
        for row in rows
        for text in model_warnings(row)
    ]
    known_as = {
        (row.name, result.kemb.model.known_as)
        for row in rows
        for result in row.results.values()
        if result.kemb is not None and result.kemb.model.known_as
    }
    names = [
        note("board.known_as", model=name, known=known_name)
        for name, known_name in sorted(known_as)
    ]
    return warned + names


def below_line(board: Board, n_hidden: int) -> list[Note]:
    """What the rows below the line are; nothing where there are none.

    :param n_hidden: rows that are not shown.
    """
    if not board.incomplete:
        return []
    wins = note("board.below_line_wins") if board.complete else ""
    hidden = note("board.hidden_rows", n_rows=n_hidden) if n_hidden else ""
    return [note("board.below_line", wins=wins, hidden=hidden)]


def data_date(boards: Iterable[Board]) -> str:
    """The date of the newest record, YYYY-MM-DD: of claimed ones that on which their source was
    read; '' for none.
    """
    results = [result for board in boards for row in board.rows for result in row.results.values()]
    dates = [result.kemb.date[:10] for result in results if not result.claim and result.kemb]
    dates += [result.claim.retrieved for result in results if result.claim]
    return max(dates, default="")


def _made(board: Board) -> list[Note]:
    date = data_date([board])
    if not date:
        return []
    return [note("board.made", version=importlib.metadata.version("kemb"), date=date)]


def _influence(board: Board) -> list[Note]:
    if len(board.effective_weights) < 2:
        return []
    shares = sorted(board.effective_weights.items(), key=lambda item: -item[1])
    parts = [
        note("board.share_of_group", group=group(name), share=float(share))
        for name, share in shares
    ]
    return [note("board.influence", shares=parts)]


def _sources(board: Board, marks: Mapping[str, str]) -> list[Note]:
    claims = {row.claim.source: row.claim for row in board.rows if row.claim}
    notes = []
    for source, mark in marks.items():
        claim = claims[source]
        commit = note("board.commit", commit=claim.commit[:12]) if claim.commit else ""
        places = [place for place in (claim.url, commit) if place]
        where = note("board.where", places=places) if places else ""
        notes.append(note("board.claimed", mark=mark, source=source, where=where))
    return notes
