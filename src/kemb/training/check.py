"""What is refused before any work: settings that contradict each other, the machine, or the
evaluation.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kemb.adapters.onnx_export import need_packages
from kemb.errors import KembError, MissingExtra, nearest
from kemb.evaluation.evaluate import Task
from kemb.models.device import n_cuda_devices
from kemb.models.expressions import leaves_of, parse
from kemb.models.files import read_folder
from kemb.models.model import Model
from kemb.models.resolve import is_on_hub, resolve
from kemb.tasks.kinds import KINDS, columns
from kemb.training.losses import kind_of
from kemb.training.recipe import Location, Recipe, RecipeFile
from kemb.training.teachers import refuse_ranker, refuse_scorer, refuse_without_vectors
from kemb.types import PairData, RetrievalData, TaskData, TaskType

if TYPE_CHECKING:
    import pyarrow as pa

SAME = 0.5
"""Share of a task's pairs or queries in the training data from which on it is the training data."""


def check_recipe(file: RecipeFile, device: str) -> None:
    """Refuse what cannot work, with the line that says so.

    :raises UsageError: for the first finding.
    """
    recipe = file.recipe
    kinds = {section.id: kind_of(file, section.role) for section in recipe.data}
    for number, section in enumerate(recipe.data):
        if [entry.id for entry in recipe.data].count(section.id) > 1:
            raise file.error(
                ("data", number, "id"), f"two sections of [[data]] have the id {section.id!r}."
            )
        if not section.in_batch_negatives and kinds[section.id].contrastive:
            raise file.error(
                ("data", number, "in_batch_negatives"),
                f"the loss {recipe.loss.name} takes the other rows of a batch as negatives, which "
                f"the data {section.id} forbids. Take margin-mse or kl, or "
                'role = "similarity" for scored pairs.',
            )
    contrastive = any(kind.contrastive for kind in kinds.values())
    if recipe.train.accumulate > 1 and contrastive:
        raise file.error(
            ("train", "accumulate"),
            "gradient accumulation does not add negatives to a contrastive loss: the batch stays "
            "the batch. Set "
            'accumulate = 1 and raise batch; loss.name = "cached-mnrl" makes large batches fit.',
        )
    if recipe.train.precision == "fp16" and not device.startswith("cuda"):
        raise file.error(
            ("train", "precision"),
            f'fp16 needs a GPU, the device is {device}. Type precision = "auto".',
        )
    _check_matryoshka(file)
    _check_processes(file, device)
    if recipe.base.lora and importlib.util.find_spec("peft") is None:
        raise MissingExtra("LoRA", "train")
    if recipe.base.family == "cross-encoder" and recipe.prompts.model_fields_set:
        raise file.error(
            ("prompts",), "a cross-encoder reads query and document together; it has no prompts."
        )
    if recipe.base.family != "dense" and recipe.merge:
        raise file.error(
            ("merge",), f"merging is for dense models; the base is of family {recipe.base.family}."
        )


def check_models(file: RecipeFile) -> None:
    """Refuse teachers, rerankers and rows of comparison that nobody knows, or that cannot be what
    they are named for. Models on the hub are looked at when they are fetched.

    :raises UsageError: with the line.
    """
    for at, name, refuse in _models(file.recipe):
        leaves = list(leaves_of(parse(name)))
        try:
            for leaf in leaves:
                if not is_on_hub(leaf):
                    resolve(leaf)
            if not any(is_on_hub(leaf) for leaf in leaves):
                refuse(resolve(name))
        except KembError as error:
            raise file.error(at, f"{'.'.join(map(str, at))} {name!r}: {error}") from error


def _models(recipe: Recipe) -> Iterator[tuple[Location, str, Callable[[Model], None]]]:
    """The names of models in a recipe, and what refuses those that do not fit their place."""
    evaluate, mine, teacher = recipe.evaluate, recipe.mine, recipe.loss.teacher
    for name in evaluate.lexical:
        yield ("evaluate", "lexical"), name, lambda model: None
    if recipe.base.family == "cross-encoder":
        yield ("evaluate", "first_stage"), evaluate.first_stage, lambda model: None
    if mine:
        yield ("mine", "teacher"), mine.teacher.id, refuse_ranker
    if mine and mine.rerank:
        yield ("mine", "rerank"), mine.rerank.id, refuse_scorer
    if teacher:
        yield ("loss", "teacher"), teacher, refuse_without_vectors


def _check_processes(file: RecipeFile, device: str) -> None:
    n = file.recipe.train.processes
    at = ("train", "processes")
    if (launched := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise file.error(
            at,
            f"this command was started {launched} times, by torchrun or accelerate "
            f"(WORLD_SIZE={launched}). Start it once, without them, and type processes = "
            f"{launched} under [train]: it starts the others itself.",
        )
    if n == 1:
        return
    if file.recipe.dev:
        raise file.error(
            ("dev",),
            f"a fit of {n} processes is not scored on its way. Leave out [dev], or type processes "
            "= 1.",
        )
    if device == "cpu":
        return
    if device != "cuda":
        raise file.error(
            at,
            f"{n} processes take the first {n} GPUs, the device is {device}. "
            'Type device = "cuda" and choose the GPUs '
            "by the variable CUDA_VISIBLE_DEVICES, or type processes = 1.",
        )
    if n > (n_gpus := n_cuda_devices()):
        raise file.error(
            at,
            f"{n} processes need {n} GPUs, {n_gpus} are there. Type processes = {max(n_gpus, 1)}.",
        )


def _check_matryoshka(file: RecipeFile) -> None:
    recipe = file.recipe
    if recipe.matryoshka is None:
        return
    at = ("matryoshka", "dims")
    if recipe.base.family != "dense":
        raise file.error(
            at,
            "Matryoshka dimensions are for dense models; the base is of family "
            f"{recipe.base.family}.",
        )
    if recipe.base.is_static and recipe.matryoshka.dims[0] != recipe.base.dim:
        raise file.error(
            at,
            f"the first dimension must be that of the model, {recipe.base.dim}, given "
            f"{recipe.matryoshka.dims}.",
        )


def check_export(file: RecipeFile, base: Path | None) -> None:
    """Refuse formats that the model cannot have.

    :param base: folder of the base; None for a model from scratch.
    :raises UsageError: with the line; MissingExtra when ONNX files cannot be written here.
    """
    recipe = file.recipe
    others = [name for name in recipe.export.formats if name != "safetensors"]
    if not others:
        return
    refusal = f"{' and '.join(others)} {'are' if len(others) > 1 else 'is'} not applicable"
    instead = 'Type formats = ["safetensors"], or leave [export] out.'
    if recipe.base.is_static or (base is not None and read_folder(base).is_table):
        why = "a static model is a table of word vectors, without a network"
        raise file.error(("export", "formats"), f"{refusal}: {why}. {instead}")
    if recipe.base.family != "dense":
        why = f"ONNX files are written of dense models; the base is of family {recipe.base.family}"
        raise file.error(("export", "formats"), f"{refusal}: {why}. {instead}")
    need_packages()


def check_guide(file: RecipeFile, base: Path | None, guide: Path) -> None:
    """Refuse a guide whose tokens are not the model's.

    sentence-transformers would decode the model's tokens for it: cut, without unknown characters,
    with the prompt.

    :param base: folder of the base; None for a model from scratch.
    :raises UsageError: with the line.
    """
    if base is None or _vocabulary(base) != _vocabulary(guide):
        raise file.error(
            ("loss", "guide"),
            f"the guide {file.recipe.loss.guide} has another tokenizer than the base: it would be "
            "shown decoded, cut texts instead of the data's. Take a guide of the same family.",
        )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Token ids of a model folder."""
    paths = sorted(folder.rglob("tokenizer.json"))
    if not paths:
        return {}
    from tokenizers import Tokenizer

    vocabulary: dict[str, int] = Tokenizer.from_str(
        paths[0].read_text(encoding="utf-8")
    ).get_vocab()
    return vocabulary


def check_positives(file: RecipeFile, table: pa.Table) -> None:
    """Refuse batches that the rows cannot fill with different positives, before anything is made of
    the rows.

    :raises UsageError: with the line of train.batch.
    """
    import pyarrow.compute as pc

    for section in file.recipe.data:
        if kind_of(file, section.role).contrastive:
            rows = table.filter(pc.equal(table["source"], section.id))
            if rows.num_rows:
                check_batch(file, section.id, len(rows["positive"].unique()))


def check_batch(file: RecipeFile, name: str, n_positives: int) -> None:
    """Refuse a batch of a contrastive loss that is larger than the different positives of the data
    `name`.

    :raises UsageError: with the line of train.batch.
    """
    train = file.recipe.train
    if train.rows_per_step <= n_positives:
        return
    each = (
        f" ({train.batch} for each of {train.processes} processes)" if train.processes > 1 else ""
    )
    raise file.error(
        ("train", "batch"),
        f"a batch of {train.rows_per_step} rows{each} is larger than the {n_positives} different "
        f"positives of the data {name}: every batch would hold a positive twice, once as a "
        "negative. "
        f"Type batch = {2 ** (max(n_positives // train.processes, 1).bit_length() - 1)} or less.",
    )


def check_tasks(file: RecipeFile, table: pa.Table, tasks: Mapping[str, TaskData]) -> None:
    """Refuse a task that is the training data; what overlaps less is for the contamination filter.

    :raises UsageError: with the line of evaluate.tasks.
    """
    anchors, positives = (table[name].to_pylist() for name in ("anchor", "positive"))
    pairs = {frozenset(pair) for pair in zip(anchors, positives, strict=True)}
    texts = {*anchors, *positives}
    for name, data in tasks.items():
        for part in data.parts:
            share = 0.0
            if isinstance(part.data, PairData):
                sentence_pairs = zip(part.data.sentence1, part.data.sentence2, strict=True)
                share = _share(frozenset(pair) in pairs for pair in sentence_pairs)
            elif isinstance(part.data, RetrievalData):
                share = _share(query in texts for query in part.data.queries)
            if share >= SAME:
                raise file.error(
                    ("evaluate", "tasks"),
                    f"{share:.0%} of the items of {name} ({part.split}) stand in the training "
                    "data: its score would say nothing. Evaluate on another split or task, or take "
                    "that data out.",
                )


def check_dev(file: RecipeFile, dev: Sequence[Task], tests: Sequence[Task]) -> None:
    """Refuse dev data that is what proves the training, under whatever name, or that lacks the
    metric.

    :raises UsageError: with the line.
    """
    _check_dev_metric(file, dev)
    items = {task.spec.name: _items(task.load()) for task in tests} if dev else {}
    for task in dev:
        dev_items = _items(task.load())
        for name, test_items in items.items():
            share = _share(item in test_items for item in dev_items)
            if task.spec.name == name or share >= SAME:
                raise file.error(
                    ("dev", "tasks"),
                    f"{task.spec.name} is what the recipe is proved on: {share:.0%} of its items "
                    f"stand in {name}. A checkpoint that is chosen on the test proves nothing. "
                    "Name another split (KorSTS:validation), a "
                    "task of your own, or hold rows out of training: share = 0.02.",
                )


def _check_dev_metric(file: RecipeFile, dev: Sequence[Task]) -> None:
    section = file.recipe.dev
    if section is None or not section.metric:
        return
    types: list[TaskType] = [task.spec.type for task in dev]
    if section.share:
        types += [
            "sts" if entry.role == "similarity" else "retrieval" for entry in file.recipe.data
        ]
    for task_type in types:
        kind = KINDS[task_type]
        if section.metric not in kind.metrics:
            near = nearest(section.metric, kind.metrics, 1) or [kind.main_metric]
            raise file.error(
                ("dev", "metric"),
                f"dev data of the type {task_type} has no metric {section.metric!r}. Type "
                f"{near[0]}, or leave it out: then every task has its own.",
            )


def _items(data: TaskData) -> set[object]:
    """What a task asks: pairs, queries, or texts."""
    items: set[object] = set()
    for part in data.parts:
        if isinstance(part.data, PairData):
            items |= {
                frozenset(pair)
                for pair in zip(part.data.sentence1, part.data.sentence2, strict=True)
            }
        elif isinstance(part.data, RetrievalData):
            items |= set(part.data.queries)
        else:
            items |= set(next(iter(columns(part.data).values())).texts)
    return items


def _share(hits: Iterable[bool]) -> float:
    outcomes = list(hits)
    return sum(outcomes) / len(outcomes) if outcomes else 0.0
