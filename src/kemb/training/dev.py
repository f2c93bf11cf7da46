"""What is looked at during a fit: rows of the data that are held out of it, and dev tasks; scored
on the live model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np

from kemb.arrays import IntArray
from kemb.encoding import plan
from kemb.encoding.executors.opened import Opened
from kemb.encoding.store import Store
from kemb.errors import DataError
from kemb.evaluation.evaluate import scored
from kemb.files import disk
from kemb.models.encoders import Encoder
from kemb.models.encoders.torch import TorchEncoder
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve
from kemb.scoring.search.retrieve import unfit
from kemb.tasks.parts import make_part
from kemb.tasks.spec import Source, TaskSpec
from kemb.training import bases
from kemb.training.arguments import DEV_KEY
from kemb.training.data import negative_columns
from kemb.training.guards import full_precision
from kemb.training.recipe import RecipeFile
from kemb.training.shingles import normal_form
from kemb.types import PairData, PartData, PartScore, RetrievalData, TaskData

if TYPE_CHECKING:
    import pyarrow as pa

HELD_OUT = "held-out."
SCORE = DEV_KEY.removeprefix("eval_")
"""Key of the mean over the dev tasks; those of tasks are `dev.<task>`."""
DevTask = tuple[TaskSpec, TaskData]
Scorer = Callable[[Any], dict[str, float]]
"""Of the model that is trained."""


@dataclass(frozen=True, slots=True)
class DevSet:
    """What a fit is scored on, and where the vectors of models that are not trained lie."""

    tasks: list[DevTask]
    store: Store


def hold_out(
    table: pa.Table, share: float, sources: Sequence[str], seed: int
) -> tuple[pa.Table, pa.Table]:
    """Rows to train on, and rows held out: of each source at most `share`, in whole groups.

    Rows that share an anchor, a positive (by normal form) or a group belong together, so no anchor
    or positive that is held out stands in the rest. A group that is larger than what may be held
    out stays.

    :param sources: those of which rows are held out.
    :raises DataError: when nothing can be held out.
    """
    groups = _groups(table)
    names: list[str] = table["source"].to_pylist()
    quota = {name: int(names.count(name) * share) for name in sources}
    is_held_out = np.zeros(len(names), dtype=bool)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for number in np.random.default_rng([seed, 0]).permutation(len(members)).tolist():
        group_sources = [names[row] for row in members[number].tolist()]
        if all(quota.get(name, 0) >= group_sources.count(name) for name in set(group_sources)):
            is_held_out[members[number]] = True
            for name in group_sources:
                quota[name] -= 1
    if not is_held_out.any():
        raise DataError(
            f"[dev] share = {share:g} holds out no row: the groups of rows with a text in common "
            "are larger. Type a larger share, or name dev tasks: [dev] tasks = [...]."
        )
    return table.filter(~is_held_out), table.filter(is_held_out)


def _groups(table: pa.Table) -> IntArray:
    """The number of each row's group [n_rows], by union of what rows have in common."""
    root: dict[str, str] = {}

    def find(key: str) -> str:
        while root.setdefault(key, key) != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    forms: dict[str, str] = {}
    first: list[str] = []
    columns = (table[name].to_pylist() for name in ("anchor", "positive", "group", "source"))
    for anchor, positive, group, source in zip(*columns, strict=True):
        for text in (anchor, positive):
            forms.setdefault(text, "t" + (normal_form(text) or text))
        keys = [
            forms[anchor],
            forms[positive],
            *([f"g{source}\0{group}"] if group is not None else []),
        ]
        for key in keys[1:]:
            root[find(key)] = find(keys[0])
        first.append(keys[0])
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(find(key), len(numbers)) for key in first], dtype=np.int64)


def held_out_sources(file: RecipeFile) -> list[str]:
    """Sources of which rows are held out: all, but scored pairs only for a model that makes one
    vector per text.
    """
    compares = file.recipe.base.family in ("dense", "sparse")
    return [section.id for section in file.recipe.data if compares or section.role != "similarity"]


def held_out_tasks(file: RecipeFile, table: pa.Table) -> list[DevTask]:
    """One task for each source that has rows in `table`: STS of scored pairs, else retrieval of the
    positives.
    """
    import pyarrow.compute as pc

    tasks: list[DevTask] = []
    for section in file.recipe.data:
        rows = table.filter(pc.equal(table["source"], section.id))
        if not rows.num_rows:
            continue
        is_scored = section.role == "similarity"
        name = f"{HELD_OUT}{section.id}"
        spec = TaskSpec(
            name=name, type="sts" if is_scored else "retrieval", splits=["dev"], source=Source()
        )
        part = make_part(spec, "dev", "default", _pairs(rows) if is_scored else _search(rows), {})
        tasks.append((spec, TaskData(name, spec.type, part.sha256, [part])))
    return tasks


def _pairs(rows: pa.Table) -> PartData:
    ids = [str(row) for row in rows["row"].to_pylist()]
    gold = rows["score"].to_numpy().astype(np.float64)
    return PairData(ids, rows["anchor"].to_pylist(), rows["positive"].to_pylist(), gold)


def _search(rows: pa.Table) -> PartData:
    """Every anchor once, over all positives and negatives of the rows; texts of one normal form are
    one.
    """
    queries, documents = _Texts("q", {}, []), _Texts("d", {}, [])
    qrels: dict[str, dict[str, int]] = {}
    for row in rows.to_pylist():
        qrels.setdefault(queries.add(row["anchor"]), {})[documents.add(row["positive"])] = 1
    for name in negative_columns(rows):
        for text in rows[name].to_pylist():
            if text is not None:
                documents.add(text)
    return RetrievalData(
        list(documents.ids.values()),
        documents.texts,
        list(queries.ids.values()),
        queries.texts,
        qrels,
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts with ids; of those of one normal form the first is kept."""

    mark: str
    ids: dict[str, str]
    texts: list[str]

    def add(self, text: str) -> str:
        """The id of a text."""
        form = normal_form(text) or text
        if form not in self.ids:
            self.ids[form] = f"{self.mark}{len(self.texts)}"
            self.texts.append(text)
        return self.ids[form]


def scorer(file: RecipeFile, dev: DevSet, base: Path, device: str) -> Scorer:
    """Scores the live model as kemb would score it once it is saved.

    :raises UsageError: for a dev task that the model cannot be scored on.
    """
    model = _as_saved(file, base, device)
    trained = model.parts[1] if model.parts else model
    for spec, _ in dev.tasks:
        if (reason := unfit(model, spec.type)) is not None:
            raise file.error(
                ("dev", "tasks"), f"{spec.name} cannot be scored. {reason or 'It does not apply.'}"
            )

    def score_of(live: Any) -> dict[str, float]:  # noqa: ANN401  sentence-transformers has no types
        live.eval()  # the trainer's next step sets it to train again
        encoder = TorchEncoder(live, resolve_name(trained.loader.reading))
        with disk.scratch_folder() as folder, full_precision(live):
            sources = _sources(model, trained, encoder, dev, Store(folder))
            values = {}
            for spec, data in dev.tasks:
                parts = [scored(model, spec, part, sources) for part in data.parts]
                values[f"{SCORE}.{spec.name}"] = float(
                    np.mean([_value(file, model, spec, part) for part in parts])
                )
        return {SCORE: float(np.mean(list(values.values()))), **values}

    return score_of


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Whatever draws random numbers inside, those outside do not notice."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  what libraries draw from
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002  as above


def _as_saved(file: RecipeFile, base: Path, device: str) -> Model:
    """The model with its prompts, similarity and limits as they will be read from its folder; never
    opened.
    """
    recipe = file.recipe
    plain = recipe.base.model_copy(update={"lora": None})
    with disk.scratch_folder() as scratch:
        folder = scratch / recipe.name
        bases.save(bases.open_model(plain, base, recipe.prompts, "cpu"), folder)
        if recipe.base.family != "cross-encoder":
            return resolve(str(folder), ModelOptions(device=device))
        first, depth = recipe.evaluate.first_stage, recipe.evaluate.depth
        return resolve(f"{first}+reranker:{folder}@{depth}", ModelOptions(device=device))


def _sources(
    model: Model, trained: Model, encoder: Encoder, dev: DevSet, scratch: Store
) -> plan.Sources:
    """Vectors of the live model in a store that is thrown away, those of a first stage in the
    lasting one.
    """
    encoded = {}
    for part in model.encoders:
        is_live = part.identity == trained.identity
        space = (scratch if is_live else dev.store).space(part.fingerprint())
        columns = plan.columns_of(dev.tasks, part)
        encoded[part.identity] = plan.encode(
            columns, space, part, _quiet, (lambda: encoder) if is_live else None
        )
    return plan.Sources(scratch, encoded, False, _quiet, Opened({trained.identity: encoder}))


def _quiet(progress: object) -> None: ...


def _value(file: RecipeFile, model: Model, spec: TaskSpec, part: PartScore) -> float:
    assert file.recipe.dev is not None
    metric = file.recipe.dev.metric or spec.main_metric
    return part.metrics[metric if metric in part.metrics else f"{model.similarity}_{metric}"]
