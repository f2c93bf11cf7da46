"""How a model was trained, as text of its card: recipe, data, mining, contamination, comparison,
forgetting, limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kemb.files import disk
from kemb.messages import say
from kemb.publishing.markdown import block, clean, code, escape, table
from kemb.publishing.reports import every_row, groups_note
from kemb.training.contamination import LEVELS, CleanScore, ContaminationReport, PartReport
from kemb.training.export import from_json
from kemb.training.proof import Proof, Spread
from kemb.training.recipe import RecipeFile

_MINED = {
    "teacher": "Teacher",
    "rerank": "Reranked by",
    "n_rows": "Rows",
    "n_queries": "Different queries",
    "n_documents": "Documents",
    "n_candidates": "Candidates in the rank range",
    "dropped": "Candidates dropped by",
    "n_left": "Candidates left",
    "n_negatives": "Negatives taken",
    "found": "Rows by their negatives",
    "n_kept_rows": "Rows kept",
    "mean_positive_score": "Mean score of positives",
    "mean_negative_score": "Mean score of negatives",
    "mean_rank": "Mean rank of negatives, from 0",
}
BEGIN, END = "<!-- kemb:training:begin -->", "<!-- kemb:training:end -->"
SHARE_ALIKE = "CC-BY-SA"


def training_text(
    file: RecipeFile,
    reports: Mapping[str, Mapping[str, Any]],
    lock: Mapping[str, Any],
    proof: Proof,
    spread: Sequence[Spread] = (),
    scores: Mapping[str, Sequence[CleanScore]] | None = None,
) -> str:
    """The sections between our marks.

    :param reports: what the stages said of themselves, by stage.
    :param scores: on all and on clean items, by row, of tasks of which something is left in the
        training data.
    """
    sections = [
        _recipe(file, reports.get("fit", {}), lock),
        _data(file, reports),
        _contamination(reports.get("filter", {}), scores or {}),
        _mining(file, reports.get("mine", {})),
        _dev(file, reports.get("fit", {}).get("dev")),
        _comparison(proof),
        _seeds(spread),
        _forgetting(file, proof),
        _files(file, reports.get("export", {})),
        _limits(file, lock),
    ]
    return "\n\n".join([BEGIN, *filter(None, sections), END])


def placed(existing: str, front: str, title: str, text: str) -> str:
    """A README with the training text in its place: where it was, else behind the title, before all
    else.
    """
    if BEGIN in existing and END in existing:
        before, _, rest = existing.partition(BEGIN)
        return before + text + rest.partition(END)[2]
    return (
        f"{existing.rstrip()}\n\n{text}\n"
        if existing.strip()
        else f"{front}# {escape(clean(title))}\n\n{text}\n"
    )


def front_matter(file: RecipeFile) -> str:
    """What the recipe knows of the metadata; `kemb card` adds the results."""
    import yaml

    card = file.recipe.card
    tags = ["sentence-transformers", "kemb"]
    fields: dict[str, Any] = {
        "language": card.language,
        "tags": tags,
        "library_name": "sentence-transformers",
    }
    if card.license:
        fields["license"] = card.license.lower()
    if file.recipe.base.kind == "hub":
        fields["base_model"] = file.recipe.base.id
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=True)}---\n"


def _text(value: object) -> str:
    return escape(clean(str(value)))


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction * 100:.2f}"


def _recipe(file: RecipeFile, fit: Mapping[str, Any], lock: Mapping[str, Any]) -> str:
    recipe = file.recipe
    base = recipe.base
    start = {
        "static": "a static model from scratch",
        "kiwi-static": "a static model of Kiwi's vectors",
    }
    revision = str(lock.get("resolved", {}).get("base_revision", ""))
    base_name = start.get(base.kind) or (base.id if base.kind == "hub" else "a local model")
    pooling = "as the base" if base.pooling == "keep" else base.pooling
    versions = lock.get("versions", {})
    rows = [
        ["Base", f"{_text(base_name)}, revision {code(revision)}"],
        ["Family", base.family],
        ["Pooling", pooling] if base.family == "dense" and not base.is_static else [],
        [
            "Prompts",
            ", ".join(f"{role} {code(text)}" for role, text in recipe.prompts if text) or "none",
        ],
        ["Loss", _text(recipe.loss.name)],
        ["Matryoshka", ", ".join(map(str, recipe.matryoshka.dims))] if recipe.matryoshka else [],
        ["LoRA", f"r {base.lora.r}, alpha {base.lora.alpha}"] if base.lora else [],
        ["Batch, epochs", f"{recipe.train.batch}, {recipe.train.epochs:g}"],
        [
            "Negatives of an anchor",
            ", ".join(f"{_text(name)} {n:,}" for name, n in fit.get("n_negatives", {}).items()),
        ],
        [
            "Learning rate",
            f"{recipe.train.lr:g}, {recipe.train.scheduler}, warm-up {recipe.train.warmup:g}",
        ],
        ["Steps, seconds", f"{fit.get('n_steps', 0):,}, {fit.get('seconds', 0):,.0f}"],
        ["Parameters", f"{fit.get('n_parameters', 0):,}"],
        ["Seed", str(recipe.seed)],
        [
            "Hardware",
            _text(lock.get("hardware", {}).get("gpu") or lock.get("hardware", {}).get("cpu", "")),
        ],
        ["Versions", _text(", ".join(f"{name} {version}" for name, version in versions.items()))],
    ]
    description = [_text(recipe.description)] if recipe.description else []
    filled_rows = [row for row in rows if row and row[1]]
    whole = (
        "The recipe; `recipe.lock.json` beside it holds every resolved value and hash:\n\n"
        + block(file.text, "toml")
    )
    return "\n\n".join(["## Training", *description, table(["", ""], filled_rows), whole])


def _data(file: RecipeFile, reports: Mapping[str, Mapping[str, Any]]) -> str:
    n_read, n_kept = (reports.get(stage, {}).get("n_rows", {}) for stage in ("data", "filter"))
    rows = [
        [
            _text(section.id),
            f"{n_read.get(section.id, 0):,}",
            f"{n_kept.get(section.id, 0):,}",
            section.role,
            _text(section.license),
        ]
        for section in file.recipe.data
    ]
    text = "## Training data\n\n" + table(
        ["Data", "Rows read", "Rows kept", "Role", "Licence"], rows, (1, 2)
    )
    dropped = reports.get("filter", {}).get("dropped", {})
    counts = ", ".join(
        f"{_text(rule)} {sum(by_source.values()):,}" for rule, by_source in dropped.items()
    )
    text += f"\n\nRows dropped: {counts}." if counts else ""
    if any(section.license.upper().startswith(SHARE_ALIKE) for section in file.recipe.data):
        text += (
            "\n\nSome of the data is licensed to be shared alike. Whether that binds a model "
            "trained on it is not settled; it is stated here, not decided."
        )
    return text


def _contamination(report: Mapping[str, Any], scores: Mapping[str, Sequence[CleanScore]]) -> str:
    """What the filter found of the evaluations; CONTAMINATION.md beside the card says all."""
    contamination = report.get("contamination")
    if not contamination:
        return ""
    rows = [
        [
            _text(part["task"]),
            _text(part["split"]),
            f"{part['n_items']:,}",
            f"{part['n_touched']:,}",
            f"{part['n_remaining']:,}",
        ]
        for part in contamination["parts"]
        if part["n_touched"] or not part["hashed"]
    ]
    intro = (
        f"{contamination['n_rows']:,} training rows were compared with the texts of the "
        f"evaluations; {contamination['n_dropped']:,} were dropped. Touched: items of which a text "
        "stood in the data; left: those of which one still does. "
        "CONTAMINATION.md beside this card has the levels, examples and lineage."
    )
    text = f"## Contamination\n\n{intro}\n\n" + table(
        ["Task", "Split", "Items", "Touched", "Left"], rows, (2, 3, 4)
    )
    both = [
        [
            _text(row),
            _text(f"{score.task} ({score.split})"),
            _points(score.full),
            f"{score.n_items:,}",
            _points(score.clean),
            f"{score.n_clean:,}",
        ]
        for row, row_scores in scores.items()
        for score in row_scores
    ]
    if both:
        header = ["Model", "Task", "All items", "Items", "Clean items only", "Items"]
        text += "\n\nScores with and without the items that are left:\n\n" + table(
            header, both, (2, 3, 4, 5)
        )
    return text


def _mining(file: RecipeFile, report: Mapping[str, Any]) -> str:
    if file.recipe.mine is None:
        return ""
    rows = [
        [_MINED[key], _mined(value)]
        for key, value in report.items()
        if key in _MINED and value not in ("", None)
    ]
    return "## Mined negatives\n\n" + table(["", ""], rows)


def _mined(value: object) -> str:
    """A count, a mean, a name, or several counts by name."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(key)}: {count:,}" for key, count in value.items()) or "none"
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else _text(value)
    )


def _dev(file: RecipeFile, dev: Mapping[str, Any] | None) -> str:
    """Which checkpoint was kept, and why."""
    if not dev or not file.recipe.dev:
        return ""
    tasks = [name for name in dev["scores"] if name != "dev"]
    metric = file.recipe.dev.metric or "main metric"
    ended = (
        f", which ended the fit ({file.recipe.dev.patience} without a better one)"
        if dev["ended_early"]
        else ""
    )
    intro = (
        f"These are the weights of step {dev['step']:,}, the best of {len(dev['curve'])} by "
        f"the mean {metric} of "
        f"{_text(', '.join(name.removeprefix('dev.') for name in tasks))}{ended}. None of it "
        "trained the model, and none of it proves it below."
    )
    rows = [
        ["0", _points(dev["before"]["dev"])],
        *([f"{step:,}", _points(score)] for step, score in dev["curve"]),
    ]
    return f"## Choice of the checkpoint\n\n{intro}\n\n" + table(
        ["Step", "Dev score"], rows, (0, 1)
    )


def _comparison(proof: Proof) -> str:
    comparison = proof.comparison
    rows = []
    for cell in every_row(comparison):
        interval = (
            ""
            if cell.low is None or cell.high is None
            else f"{cell.low * 100:+.2f} to {cell.high * 100:+.2f}"
        )
        p = cell.p if cell.p_adjusted is None else cell.p_adjusted
        rows.append(
            [
                _text(cell.title),
                _points(cell.scores[0]),
                _points(cell.scores[1]),
                f"{cell.difference * 100:+.2f}",
                interval,
                "" if p is None else f"{p:.4f}",
                cell.verdict,
            ]
        )
    header = ["Task", "Base", "This model", "Difference", "95 % interval", "p", "Verdict"]
    of_groups = f" {say(groups_note(comparison), 'en')}." if comparison.groups else ""
    lines = [
        "## Compared with the base",
        f"Both measured by kemb on the same items. Base: {_text(comparison.a.label)}. Points "
        "(times 100).",
        table(header, rows, (1, 2, 3)),
        f"p: {_text(comparison.family)}; the last line, if it is a mean, for itself.{of_groups}",
    ]
    tasks = [cell.title for cell in comparison.cells]
    without = [
        [_text(model), *(_points(scores.get(task)) for task in tasks)]
        for model, scores in proof.lexical.items()
        if scores
    ]
    if without:
        lines.append(
            "Without any training:\n\n"
            + table(["Model", *map(_text, tasks)], without, range(1, len(tasks) + 1))
        )
    return "\n\n".join(lines)


def _seeds(spread: Sequence[Spread]) -> str:
    """How much of the scores is chance."""
    if not spread:
        return ""
    seeds = list(spread[0].scores)
    intro = (
        f"The same recipe was trained with {len(seeds)} seeds. This model is that of the first, "
        f"{seeds[0]}, as was set before any of them was scored; the others show how far chance "
        "moves a score."
    )
    rows = [
        [
            _text(task.task),
            _points(task.base),
            *(_points(score) for score in task.scores.values()),
            _points(task.mean),
            _points(task.sd),
            f"{task.n_above} of {len(seeds)}",
        ]
        for task in spread
    ]
    header = [
        "Task",
        "Base",
        *(f"Seed {seed}" for seed in seeds),
        "Mean",
        "Standard deviation",
        "Above the base",
    ]
    return f"## Seeds\n\n{intro}\n\n" + table(header, rows, range(1, len(header)))


def _forgetting(file: RecipeFile, proof: Proof) -> str:
    rows = [
        [
            _text(line.task),
            f"{line.tolerance:g}",
            _text(line.reason),
            "kept" if line.passed else "forgotten",
        ]
        for line in proof.guard
    ]
    rule = {
        "ci-lower": "On no task may the 95 % interval of the difference reach below the tolerance "
        "(points).",
        "verdict": "On no task may the verdict be worse.",
        "none": "Nothing was checked.",
    }[file.recipe.evaluate.guard.decision]
    return f"## Forgetting\n\n{rule}\n\n" + table(
        ["Task", "Tolerance", "Found", "Result"], rows, (1,)
    )


def _files(file: RecipeFile, report: Mapping[str, Any]) -> str:
    """The files besides safetensors, and what the gates said of them."""
    if report.get("is_table"):
        return (
            "## Files\n\nThe weights are safetensors. ONNX and int8 are not applicable: a static "
            "model is a table of word vectors, without a network."
        )
    section = file.recipe.export
    rows = [
        [
            code(export.file),
            f"{export.n_bytes / 1e6:,.1f} MB",
            f"{export.parity.max_difference:.1e}",
            f"{export.parity.min_cosine:.4f}",
            ", ".join(f"{_text(line.task)} {line.difference * 100:+.2f}" for line in export.quality)
            or "same vectors",
            f"left out: {_text(export.problem)}" if export.problem else "kept",
        ]
        for export in from_json(report)
    ]
    if not rows:
        return ""
    rule = (
        "The weights are safetensors. Other files were compared with torch on texts of the "
        "evaluation, and int8 on the tasks item by item (points, this file - torch). Kept is what "
        "differs in no number by more than "
        f"{section.max_difference:g} (ONNX), has no cosine below {section.min_cosine:g}, and on no "
        f"task a 95 % interval that reaches below -{section.tolerance:g} points."
    )
    header = [
        "File",
        "Size",
        "Largest difference",
        "Least cosine",
        "Difference of scores",
        "Result",
    ]
    return f"## Files\n\n{rule}\n\n" + table(header, rows, (1, 2, 3))


def _limits(file: RecipeFile, lock: Mapping[str, Any]) -> str:
    selection = file.recipe.evaluate.selected_on
    reads = ", ".join(f"{_text(task)} {count}" for task, count in lock.get("reads", {}).items())
    lines = [
        f"Values of this recipe were chosen on: {_text(selection)}." if selection else "",
        f"Times this run has looked at a test set: {reads}." if reads else "",
        _text(file.recipe.card.limitations),
        f"Contact: {_text(', '.join(file.recipe.card.contacts))}."
        if file.recipe.card.contacts
        else "",
    ]
    return "## Limits\n\n" + "\n\n".join(filter(None, lines)) if any(lines) else ""


def write(
    folder: Path,
    report: ContaminationReport,
    scores: Mapping[str, Sequence[CleanScore]] | None = None,
) -> None:
    """Write both files.

    :param scores: by row (the base, the tuned model).
    """
    scores = scores or {}
    record = report.to_json() | {
        "scores": {
            row: [asdict(score) for score in row_scores] for row, row_scores in scores.items()
        },
    }
    hint = "Free space or name another folder with -o DIR."
    disk.write(folder / "contamination.json", disk.json_text(record), hint)
    disk.write(folder / "CONTAMINATION.md", markdown(report, scores), hint)


def markdown(report: ContaminationReport, scores: Mapping[str, Sequence[CleanScore]]) -> str:
    """CONTAMINATION.md, for readers of a model card."""
    lines = [
        "# Contamination",
        "",
        f"{report.n_rows:,} training rows were compared with the texts of the evaluations below; "
        f"{report.n_dropped:,} were dropped{_reasons(report)}.",
        "",
        "Texts are compared by NFKC, lower case, letters and digits only. "
        f"*Near*: Jaccard similarity of {report.shingle}-character shingles of at least "
        f"{report.jaccard:g}. "
        f"*Passage*: {report.ngram_chars} characters in common. *Pair*: both texts of a row stand "
        "together in an evaluation item. *Left*: items of which a text stands in the rows that "
        "were trained on.",
        "",
        "| task | split | items | exact | near | passage | pair | touched | left |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_line(part) for part in report.parts if part.n_touched or not part.hashed),
    ]
    hashed = [part for part in report.parts if part.hashed]
    if hashed:
        touched = sum(part.n_touched > 0 for part in hashed)
        lines += [
            "",
            f"{len(hashed)} parts of tasks were compared by hashes only (†), of which {touched} "
            "were touched; near and passage are estimates there, which may miss some.",
        ]
    if report.lineage:
        lines += [
            "",
            "## Lineage",
            "",
            "| source or model | tasks | why | reference |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {escape(note.subject)} | {escape(', '.join(note.tasks))} | {escape(note.why)} | "
            f"{escape(note.reference)} |"
            for note in report.lineage
        ]
    if any(scores.values()):
        lines += ["", "## Scores on all and on clean items", ""]
        lines += [
            "| model | task | metric | all | items | clean | items |",
            "|---|---|---|--:|--:|--:|--:|",
        ]
        lines += [
            f"| {escape(row)} | {escape(s.task)} ({escape(s.split)}) | {escape(s.metric)} | "
            f"{s.full * 100:.2f} | {s.n_items:,} | {s.clean * 100:.2f} | {s.n_clean:,} |"
            for row, row_scores in scores.items()
            for s in row_scores
        ]
    return "\n".join(lines) + "\n"


def _line(part: PartReport) -> str:
    name = f"{escape(part.task)}{' †' if part.hashed else ''}"
    levels = " | ".join(f"{part.items[level]:,}" for level in LEVELS)
    split = part.split if part.subset in ("", "default") else f"{part.split}, {part.subset}"
    return (
        f"| {name} | {escape(split)} | {part.n_items:,} | {levels} | {part.n_touched:,} | "
        f"{part.n_remaining:,} |"
    )


def _reasons(report: ContaminationReport) -> str:
    counts = {reason: sum(by_source.values()) for reason, by_source in report.dropped.items()}
    return (
        f" ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})"
        if counts
        else ""
    )
