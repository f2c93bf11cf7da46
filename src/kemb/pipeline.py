"""A whole recipe: data, mining, fit, proof, export, card; every stage kept, a rerun does what
changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.encoding.store import Store
from kemb.errors import UsageError
from kemb.evaluation.evaluate import RunOptions
from kemb.models.files import read_folder
from kemb.models.identity import content_hash
from kemb.models.model import Model
from kemb.models.resolve import resolve
from kemb.publishing.card.card import README, CardOptions, make_card, read_existing, write_card
from kemb.publishing.card.training import front_matter, placed, training_text
from kemb.publishing.card.training import write as write_contamination
from kemb.publishing.hub import Target, push_model, target_of
from kemb.publishing.site.build import SiteOptions, publish_site, refuse_strangers
from kemb.training import bases, data, export, fit, folder, processes, stages
from kemb.training import mine as mining
from kemb.training.contamination import CleanScore, ContaminationReport, clean_items, clean_scores
from kemb.training.dev import DevSet, held_out_tasks
from kemb.training.job import (
    Listener,
    Quiet,
    TrainOptions,
    Work,
    hashes,
    libraries,
    memory_gb,
    n_parameters,
    prepare,
    task_hashes,
)
from kemb.training.losses import TrainingSet, training_sets
from kemb.training.mine import Probe
from kemb.training.pairs import DEV, PAIRS, make_pairs, read_column
from kemb.training.proof import Proof, Spread, prove, scores_of, with_seed
from kemb.training.recipe import RecipeFile
from kemb.training.stages import Stage
from kemb.training.teachers import ranker_of, scorer_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a recipe."""

    stages: list[Stage]
    proof: Proof
    spread: list[Spread]
    """Scores over seeds, by task; empty for one seed, and where the forget-check failed."""
    merged: bool
    model_dir: Path | None
    """The exported model; None where the forget-check failed."""
    results_dir: Path
    lock_path: Path
    site: Path
    """The start page of a site of base, tuned model and lexical baseline."""
    page: str = ""
    """Address of the commit that holds the model; '' where it was not uploaded."""


def train(file: RecipeFile, options: TrainOptions, listener: Listener | None = None) -> Outcome:
    """Carry a recipe out.

    :raises UsageError: for what cannot work, with the line of the recipe, before any work.
    :raises RunError: when a stage fails; what is finished is kept.
    """
    if options.resume:
        stages.refuse_resume_of_nothing(options.run_dir, "fit")
    target = target_of(file) if options.push else None
    run = prepare(file, options, listener or Quiet())
    folder.refuse_strangers(file, options.run_dir, run.base)
    refuse_strangers(options.run_dir / "site")
    with folder.alone(options.run_dir):
        return _train(run, target)


def _train(run: Work, target: Target | None) -> Outcome:
    file, options = run.file, run.options
    start = dataclasses.replace(run)
    pairs = make_pairs(run)
    base = _base(run, pairs)
    fitted = _fit(run, base, pairs)
    tuned_dir = fitted.folder / file.recipe.name
    proof = _proof(run, base, tuned_dir, "proof")
    spread = _spread(start, pairs, proof) if proof.passed or file.recipe.merge else []
    merged = _merge(run, base, tuned_dir, proof)
    if merged is not None:
        tuned_dir, proof = merged
    model_dir = _export(run, tuned_dir, proof, spread, target) if proof.passed else None
    lock = options.run_dir / stages.LOCK
    site_options = SiteOptions(run.results_dir, only="measured", data=options.data_dir)
    site = publish_site(options.run_dir / "site", site_options).start_page.resolve()
    page = push_model(target, model_dir) if target and model_dir else ""
    return Outcome(
        run.done, proof, spread, merged is not None, model_dir, run.results_dir, lock, site, page
    )


def mine(file: RecipeFile, options: TrainOptions, listener: Listener | None = None) -> Stage:
    """Read, filter and mine; the stage holds the pairs, and its report what was found.

    :raises UsageError: when the recipe has no [mine] section; and as `train`.
    """
    if file.recipe.mine is None:
        raise UsageError(
            f"{file.path} has no [mine] section. Add one: `kemb docs mining` has the keys."
        )
    run = prepare(file, options, listener or Quiet())
    with folder.alone(options.run_dir):
        return make_pairs(run)


def probe(file: RecipeFile, groups: Path, store: Store) -> Probe:
    """The share of false negatives that the recipe's mining gives on groups of texts that mean the
    same.

    :param groups: a table with the columns text and group.
    :raises UsageError: when the recipe has no [mine] section.
    """
    section = file.recipe.mine
    if section is None:
        raise UsageError(
            f"{file.path} has no [mine] section to be probed. "
            "Add one: `kemb docs mining` has the keys."
        )
    members: dict[str, list[str]] = {}
    for group, text in zip(read_column(groups, "group"), read_column(groups, "text"), strict=True):
        members.setdefault(group, []).append(text)
    scorer = scorer_of(resolve(section.rerank.id), store) if section.rerank else None
    return mining.probe(
        members, section, ranker_of(resolve(section.teacher.id), store), scorer=scorer
    )


def _base(run: Work, pairs: Stage, suffix: str = "") -> Path:
    """The folder of the base; one from scratch, or without the modules of its family, is made."""
    import pyarrow.parquet as pq

    recipe = run.file.recipe
    base = run.base
    if base is not None and (
        recipe.base.family == "cross-encoder" or (base / "modules.json").is_file()
    ):
        return base
    name = f"{recipe.name}-base"

    def make(folder: Path) -> dict[str, Any]:
        if base is not None:
            bases.make_untrained(recipe.base, base, recipe.prompts, recipe.seed, folder / name)
            return {}
        table = pq.read_table(pairs.folder / PAIRS)
        texts = data.texts_of(table)
        bases.make_static(recipe.base, texts, recipe.seed, recipe.prompts, folder / name)
        return {}

    inputs = {
        "recipe": recipe.model_dump(mode="json", include={"base", "prompts", "seed"}),
        "from": run.base_revision or pairs.outputs[PAIRS],
        "libraries": libraries(),
    }
    stage = run.stage(f"base{suffix}", inputs, make)
    run.base, run.base_is_made = stage.folder / name, True
    run.base_revision = content_hash(run.base)[:12]
    return run.base


def _fit(run: Work, base: Path, pairs: Stage, suffix: str = "") -> Stage:
    """The stage of a fit.

    :param suffix: names the fit of another seed.
    """
    import pyarrow.parquet as pq

    recipe, options = run.file.recipe, run.options
    sections = recipe.model_dump(
        mode="json",
        include={"base", "prompts", "loss", "matryoshka", "train", "dev", "seed", "name"},
    )
    sections["data"] = [
        section.model_dump(mode="json", include={"id", "role"}) for section in recipe.data
    ]
    inputs = {
        "recipe": sections,
        "pairs": pairs.outputs[PAIRS],
        "base": run.base_revision,
        "guide": content_hash(run.guide) if run.guide else "",
        "libraries": libraries(),
    }
    held_out = next((stage for stage in run.done if stage.name == "dev"), None)
    if recipe.dev:
        first = recipe.evaluate.model_dump(include={"first_stage", "depth"})
        inputs["dev"] = {
            "rows": held_out.outputs[DEV] if held_out else "",
            "tasks": hashes(run.dev_tasks),
            **first,
        }
    if options.fresh:
        stages.begin_anew(options.run_dir, f"fit{suffix}", inputs, run.listener.note)
    if options.resume and not suffix:
        stages.refuse_foreign_checkpoint(run.file, options.run_dir, "fit", inputs)

    def work(folder: Path) -> dict[str, Any]:
        sets = training_sets(run.file, pq.read_table(pairs.folder / PAIRS), _teacher(run))
        _announce(run, sets)
        key = stages.key_of(f"fit{suffix}", inputs)
        job = fit.FitJob(
            run.file,
            sets,
            base,
            folder,
            key,
            run.device,
            run.guide,
            True,
            run.listener.step,
            _dev_set(run, held_out),
            run.listener.note,
        )
        train_it = processes.fit_on_ranks if recipe.train.processes > 1 else fit.fit
        return fit.finish(job, train_it)

    return run.stage(f"fit{suffix}", inputs, work, resume=True)


def _spread(start: Work, pairs: Stage, proof: Proof) -> list[Spread]:
    """Train with the other seeds, too, and score those models on the recipe's tasks.

    :param start: the run before its base was made: a made base has the seed, too.
    """
    recipe = start.file.recipe
    models: dict[str, Model] = {}
    for seed in recipe.seeds[1:]:
        run = dataclasses.replace(start, file=with_seed(start.file, seed))
        base = _base(run, pairs, f"-seed-{seed}")
        fitted = _fit(run, base, pairs, f"-seed-{seed}")
        models[str(seed)] = _models(run, base, fitted.folder / recipe.name)[1]
    if not models:
        return []
    options = RunOptions(
        start.options.run_dir / "seeds", start.options.store, command=start.options.command
    )

    def work(folder: Path) -> dict[str, Any]:
        scores = scores_of(models, start.tasks, options, start.listener)
        return {
            "scores": scores,
            "tasks": [task.spec.name for task in start.tasks],
            "n_models": len(models),
        }

    inputs = {
        "models": {seed: [model.name, model.revision] for seed, model in models.items()},
        "tasks": task_hashes(start),
        "libraries": libraries(),
    }
    scores = start.stage("seeds", inputs, work).report["scores"]
    first = str(recipe.seeds[0])
    return [
        Spread(
            cell.title,
            cell.scores[0],
            {first: cell.scores[1], **{seed: scores[seed][cell.title] for seed in models}},
        )
        for cell in proof.comparison.cells
    ]


def _dev_set(run: Work, held_out: Stage | None) -> DevSet | None:
    import pyarrow.parquet as pq

    if run.file.recipe.dev is None:
        return None
    tasks = [(task.spec, task.load()) for task in run.dev_tasks]
    if held_out:
        tasks += held_out_tasks(run.file, pq.read_table(held_out.folder / DEV))
    return DevSet(tasks, run.options.store)


def _announce(run: Work, sets: list[TrainingSet]) -> None:
    rows = ", ".join(f"{entry.name} {entry.table.num_rows:,}" for entry in sets)
    run.listener.note(
        f"Training on {rows} rows, {fit.n_steps(run.file, sets):,} steps, on {run.where}."
    )
    for name, count in fit.negatives(run.file, sets).items():
        run.listener.note(f"{name}: every anchor is compared with {count:,} negatives.")
    for name, counts in fit.hard_negatives(sets).items():
        if counts.sentence:
            run.listener.note(f"{name}: {counts.sentence}")
    if fit.without_others(run.file, sets):
        n = run.file.recipe.train.processes
        run.listener.note(
            f"They are those of the own process; gather = true under [loss] takes those of all {n}."
        )
    if size := n_parameters(run):
        run.listener.note(
            f"{size:,} parameters: {memory_gb(run, size):.2f} GB and the activations."
        )


def _teacher(run: Work) -> Any:  # noqa: ANN401  shapes.Teacher, or nothing
    name = run.file.recipe.loss.teacher
    if not name:
        return None
    from kemb.training.teachers import teacher

    return teacher(resolve(name), run.options.store)


def _proof(run: Work, base: Path, tuned: Path, name: str) -> Proof:
    """Evaluate and compare; the stage keeps the record, the scores lie in the results folder."""
    recipe = run.file.recipe
    base_model, tuned_model = _models(run, base, tuned)
    lexical = [resolve(lexical) for lexical in recipe.evaluate.lexical]
    options = RunOptions(run.results_dir, run.options.store, command=run.options.command)
    proofs: list[Proof] = []

    def work(folder: Path) -> dict[str, Any]:
        guard = recipe.evaluate.guard
        proofs.append(
            prove(base_model, tuned_model, lexical, run.tasks, guard, options, run.listener)
        )
        return proofs[0].record()

    inputs = {
        "recipe": {"evaluate": recipe.evaluate.model_dump(mode="json")},
        "base": [base_model.name, base_model.revision],
        "tuned": [tuned_model.name, tuned_model.revision],
        "lexical": [[model.name, model.revision] for model in lexical],
        "tasks": task_hashes(run),
        "libraries": libraries(),
    }
    run.stage(name, inputs, work)
    if not proofs:  # the stage was there; its scores are read, not made again
        work(run.options.run_dir)
    return proofs[0]


def _models(run: Work, base: Path, tuned: Path) -> tuple[Model, Model]:
    """What is compared: base and tuned model; of a cross-encoder its first stage, without and with
    it.
    """
    recipe = run.file.recipe
    if recipe.base.family == "cross-encoder":
        first = recipe.evaluate.first_stage
        return resolve(first), resolve(f"{first}+reranker:{tuned}@{recipe.evaluate.depth}")
    is_folder = run.base_is_made or recipe.base.kind == "local"
    return resolve(str(base) if is_folder else recipe.base.id), resolve(str(tuned))


def _merge(run: Work, base: Path, tuned: Path, proof: Proof) -> tuple[Path, Proof] | None:
    """Mix the tuned model with its base and prove the mixture, where the recipe asks for it."""
    section = run.file.recipe.merge
    if section is None or (section.on == "forget-fail" and proof.passed):
        return None
    from kemb.training.export import merge

    name = run.file.recipe.name

    def work(folder: Path) -> dict[str, Any]:
        merge(run.file.recipe, base, tuned, section.weight, folder / name)
        return {}

    inputs = {
        "recipe": {"merge": section.model_dump()},
        "base": run.base_revision,
        "tuned": content_hash(tuned),
    }
    stage = run.stage("merge", inputs, work)
    return stage.folder / name, _proof(run, base, stage.folder / name, "proof-merged")


def _export(
    run: Work, tuned: Path, proof: Proof, spread: list[Spread], target: Target | None
) -> Path:
    """The model under its own name in the run's folder, ready to be published: with card and lock
    file.
    """
    out = run.options.run_dir / run.file.recipe.name
    readme = read_existing(out / README) or (target.readme if target else "")
    onnx_dir = export.make_files(run, tuned, proof)
    export.copy_model(tuned, out, run.options.run_dir, readme, onnx_dir)
    scores = _contamination(run, out, proof)
    _card(run, out, proof, spread, scores, readme)
    return out


def _contamination(run: Work, out: Path, proof: Proof) -> dict[str, list[CleanScore]]:
    """CONTAMINATION.md: what the filter found, and both scores of tasks of which something is left
    in the data.

    :return: those scores, of base and tuned model.
    """
    from pydantic import TypeAdapter

    record = next(stage.report["contamination"] for stage in run.done if stage.name == "filter")
    report = TypeAdapter(ContaminationReport).validate_python(record)
    overlapping_tasks = {part.task for part in report.parts if part.n_remaining and not part.hashed}
    scores: dict[str, list[CleanScore]] = {}
    for task in run.tasks:
        if task.spec.name in overlapping_tasks:
            clean = clean_items(task.load(), report)
            for row in (proof.comparison.a, proof.comparison.b):
                scores.setdefault(row.label, []).extend(
                    clean_scores(row.results[task.spec.name], clean)
                )
    write_contamination(out, report, scores)
    return scores


def _card(
    run: Work,
    out: Path,
    proof: Proof,
    spread: list[Spread],
    scores: Mapping[str, list[CleanScore]],
    readme: str,
) -> None:
    """README.md: how it was trained, by the stages' reports; what it scores, by `kemb card`. Other
    text in it stays.
    """
    file = run.file
    reports = {stage.name: stage.report for stage in run.done}
    reports.setdefault("export", {"is_table": read_folder(out).is_table})
    lock = stages.read_lock(run.options.run_dir)
    text = training_text(file, reports, lock, proof, spread, scores)
    text = placed(readme, front_matter(file), file.recipe.name, text)
    card = file.recipe.card
    row = proof.comparison.b
    name = card.name or (file.recipe.publish.repo if file.recipe.publish else "")
    options = CardOptions(
        run.results_dir, name=name, license=card.license.lower(), private=card.own_data
    )
    try:
        card_files = make_card(row.label, options, text).files
    except UsageError as error:
        # Results on data of one's own only: the card says how it was trained.
        run.listener.note(str(error))
        card_files = {README: text}
    write_card(card_files, out / README)
