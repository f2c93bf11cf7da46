"""From tasks to the store and back: which texts a model needs under which prompt, and where their
vectors lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from kemb.arrays import (
    ArrayVectors,
    FloatArray,
    IntArray,
    Ragged,
    RaggedRows,
    Representations,
    Vectors,
)
from kemb.encoding.batches import Budget
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import OnProgress, Progress, encode_missing
from kemb.encoding.executors import Executor
from kemb.encoding.executors.opened import Opened, opened
from kemb.encoding.executors.session import Session
from kemb.encoding.job import Beside, Job
from kemb.encoding.store import Space, Store
from kemb.encoding.views import see
from kemb.models.encoders import Encoder
from kemb.models.model import Model
from kemb.models.prompts import Resolved, resolve
from kemb.scoring.search.retrieve import Pairs, unfit
from kemb.tasks.kinds import columns, ids_of, roles
from kemb.tasks.spec import TaskSpec
from kemb.types import Part, RetrievalData, Role, TaskData, TaskType

Columns = dict[tuple[str, str, str, str], Texts]
"""Texts with their keys by task, split, subset and column."""
Load = Callable[[], TaskData]
"""Loads the data of a task on any machine: made of functions and data that can be pickled."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vectors of all texts that a model needs, and where each column lies."""

    space: Space
    progress: Progress
    columns: Columns

    def vectors(self, spec: TaskSpec, part: Part) -> dict[str, Vectors]:
        """Vectors of a part by column; documents stay on disk and are read in blocks, the rest is
        read now.
        """
        vectors_by_column: dict[str, Vectors] = {}
        for name, column in columns(part.data).items():
            stored = self.space.vectors(self.columns[spec.name, part.split, part.subset, name].keys)
            vectors_by_column[name] = (
                stored
                if column.role == "document"
                else ArrayVectors(stored.block(0, len(column.texts)))
            )
        return vectors_by_column

    def sparse(self, spec: TaskSpec, part: Part) -> dict[str, Ragged]:
        """Sparse vectors of a part by column, read now."""
        vectors_by_column = {}
        for name in columns(part.data):
            stored = self.space.ragged(self.columns[spec.name, part.split, part.subset, name].keys)
            vectors_by_column[name] = stored.take(np.arange(stored.shape[0]))
        return vectors_by_column

    def ragged(self, spec: TaskSpec, part: Part) -> tuple[Ragged, RaggedRows]:
        """The rows of queries, read now, and of documents, read when they are wanted."""
        queries, documents = (
            self.space.ragged(self.columns[spec.name, part.split, part.subset, name].keys)
            for name in ("queries", "documents")
        )
        return queries.take(np.arange(queries.shape[0])), documents

    def joined(self, other: Encoded) -> Encoded:
        """With the columns and counts of another, later one of the same model."""
        mine, its = self.progress, other.progress
        counts = (
            "n_texts",
            "n_unique",
            "n_stored",
            "n_encoded",
            "n_tokens",
            "n_batches",
            "n_shards",
            "seconds",
        )
        limits = [
            progress.token_limit for progress in (mine, its) if progress.token_limit is not None
        ]
        progress = Progress(**{name: getattr(mine, name) + getattr(its, name) for name in counts})
        progress.token_limit = min(limits, default=None)
        progress.machines = [*mine.machines, *(m for m in its.machines if m not in mine.machines)]
        progress.calls = {
            name: mine.calls.get(name, 0) + its.calls.get(name, 0)
            for name in mine.calls | its.calls
        }
        return Encoded(other.space, progress, self.columns | other.columns)


class Sources:
    """The vectors and pair scores that one model needs for one task."""

    def __init__(
        self,
        store: Store,
        encoded: Mapping[str, Encoded],
        rescore: bool,
        report: OnProgress,
        opened: Opened,
        loads: Mapping[str, Load] | None = None,
    ) -> None:
        """:param loads: of tasks whose pairs may be scored on other machines, by name."""
        self.encoded = dict(encoded)
        """By identity of the model."""
        self.seconds = 0.0
        """Spent on scores of pairs."""
        self.n_postings = self.n_documents = 0
        """Of the inverted indexes of the runs so far, and the documents that were ranked."""
        self._store, self._rescore, self._report, self._kept = store, rescore, report, opened
        self._loads = loads or {}

    def vectors(self, model: Model, spec: TaskSpec, part: Part) -> Mapping[str, Vectors]:
        """As `kemb.scoring.search.retrieve.Sources`, through the model's view."""
        return see(model, self.encoded[model.identity].vectors(spec, part))

    def representations(self, model: Model, spec: TaskSpec, part: Part) -> Representations:
        """What the texts of a part are compared by: dense vectors through the model's view, or
        sparse ones.
        """
        if model.family == "sparse":
            return self.encoded[model.identity].sparse(spec, part)
        return self.vectors(model, spec, part)

    def ragged(self, model: Model, spec: TaskSpec, part: Part) -> tuple[Ragged, RaggedRows]:
        """As `kemb.scoring.search.retrieve.Sources`."""
        return self.encoded[model.identity].ragged(spec, part)

    def pair_scores(self, model: Model, spec: TaskSpec, pairs: Pairs) -> FloatArray:
        """As `kemb.scoring.search.retrieve.Sources`; scores are kept in the store and only those it
        lacks are computed.
        """
        columns = _pair_columns(model, spec, pairs)
        (texts,) = columns.values()
        space = self._store.space(model.fingerprint())
        if self._rescore:
            encoded = stored(columns, space)
        else:
            load, opener = self._loads.get(spec.name), partial(self._kept.open, model)
            elsewhere = load and JobOfPairs.of(model, self._store, spec, load, pairs)
            encoded = encode(columns, space, model, self._report, opener, elsewhere=elsewhere)
        self.seconds += encoded.progress.seconds
        before = self.encoded.get(model.identity)
        self.encoded[model.identity] = encoded if before is None else before.joined(encoded)
        return space.vectors(texts.keys).block(0, len(pairs))[:, 0]


def _pair_columns(model: Model, spec: TaskSpec, pairs: Pairs) -> Columns:
    prompt = prompts_of(model, spec)["text"]
    texts = Texts.of("", prompt.prompt, pairs, partial(_name_pair, spec.name, pairs))
    return {(spec.name, pairs.part.split, pairs.part.subset, "pairs"): texts}


def _name_pair(task: str, pairs: Pairs, number: int) -> str:
    data, part = pairs.part.data, pairs.part
    assert isinstance(data, RetrievalData)
    query, document = (
        data.query_ids[pairs.of_query[number]],
        data.doc_ids[pairs.of_document[number]],
    )
    return f"{task} ({part.subset}, {part.split}), query {query} with document {document}"


def prompts_of(model: Model, spec: TaskSpec) -> dict[Role, Resolved]:
    """What goes before the texts of each role of a task; a reranker has one text, the pair."""
    text_roles: tuple[Role, ...] = (
        ("text",) if model.family == "cross-encoder" else roles(spec.type)
    )
    return {
        role: resolve(model.prompts, spec.name, spec.type, spec.instruction, role)
        for role in text_roles
    }


def columns_of(tasks: Sequence[tuple[TaskSpec, TaskData]], model: Model) -> Columns:
    """All texts of the tasks as the model is to see them."""
    texts_by_column: Columns = {}
    for spec, data in tasks:
        prompts = prompts_of(model, spec)
        for part in data.parts:
            for name, column in columns(part.data).items():
                where = _Where(spec.name, part, name)
                prompt = prompts[column.role]
                key = (spec.name, part.split, part.subset, name)
                texts_by_column[key] = Texts.of(prompt.route, prompt.prompt, column.texts, where)
    return texts_by_column


def encode(
    columns: Columns,
    space: Space,
    model: Model,
    on_progress: OnProgress,
    open_encoder: Callable[[], Encoder | Executor] | None = None,
    beside: Sequence[tuple[Model, Beside]] = (),
    elsewhere: Callable[[], Job] | None = None,
    session: Session | None = None,
) -> Encoded:
    """Encode what the space lacks.

    :param open_encoder: opens the encoder, instead of `opened`.
    :param beside: heads of the same model that are encoded in the same pass, and where their rows
        go.
    :param elsewhere: as of `Job`.
    :param session: as of `opened`.

    :raises ModelError: as `encode_missing`.
    :raises DiskError: when the store cannot be written.
    """
    budget = Budget.for_device(model.device)
    others, places = [other for other, _ in beside], [place for _, place in beside]
    with ExitStack() as stack:
        opener = open_encoder or (lambda: stack.enter_context(opened(model, others, session)))
        progress = encode_missing(
            Collection(list(columns.values())),
            space,
            opener,
            budget,
            on_progress,
            places,
            elsewhere,
        )
    return Encoded(space, progress, columns)


def together(
    model: Model,
    others: Iterable[Model],
    columns: Columns,
    types: Mapping[str, TaskType],
    store: Store,
) -> list[tuple[Model, Beside]]:
    """Heads of the same model that lack vectors of these columns, and where theirs go.

    :param others: the models of the command.
    :param types: of the tasks; a head gets vectors only for those it applies to.
    """
    heads = []
    for other in heads_beside(model, others):
        beside = _beside(other, columns, types, store)
        if not beside.space.stored(beside.keys).all():
            heads.append((other, beside))
    return heads


def _beside(head: Model, columns: Columns, types: Mapping[str, TaskType], store: Store) -> Beside:
    keys = [
        column.keys for (task, *_), column in columns.items() if unfit(head, types[task]) is None
    ]
    head_keys = np.unique(np.concatenate(keys)) if keys else np.empty(0, dtype="S32")
    return Beside(store.space(head.fingerprint()), head_keys)


@dataclass(frozen=True, slots=True)
class JobOfTasks:
    """Makes the job of a command's tasks on another machine."""

    model: Model
    heads: tuple[Model, ...]
    """As `beside` of `encode`."""
    store: Store
    tasks: tuple[tuple[TaskSpec, Load], ...]
    budget: Budget

    def __call__(self) -> Job:
        columns = columns_of([(spec, load()) for spec, load in self.tasks], self.model)
        types = {spec.name: spec.type for spec, _ in self.tasks}
        beside = [_beside(head, columns, types, self.store) for head in self.heads]
        return _job(self.model, self.store, columns, beside, self.budget)


@dataclass(frozen=True, slots=True)
class JobOfPairs:
    """Makes the job of a reranker's pairs on another machine: their numbers travel, not their
    texts.
    """

    model: Model
    store: Store
    spec: TaskSpec
    load: Load
    part: tuple[str, str]
    """Split and subset."""
    of_query: IntArray
    of_document: IntArray
    budget: Budget

    @classmethod
    def of(cls, model: Model, store: Store, spec: TaskSpec, load: Load, pairs: Pairs) -> JobOfPairs:
        """Of pairs that are to be scored."""
        part, numbers = (pairs.part.split, pairs.part.subset), (pairs.of_query, pairs.of_document)
        budget = Budget.for_device(model.device)
        return cls(model, store.absolute(), spec, load, part, *numbers, budget)

    def __call__(self) -> Job:
        parts = self.load().parts
        part = next(part for part in parts if (part.split, part.subset) == self.part)
        pairs = Pairs(part, self.of_query, self.of_document)
        columns = _pair_columns(self.model, self.spec, pairs)
        return _job(self.model, self.store, columns, (), self.budget)


def _job(
    model: Model, store: Store, columns: Columns, beside: Sequence[Beside], budget: Budget
) -> Job:
    collection = Collection(list(columns.values()))
    return Job(collection, store.space(model.fingerprint()), budget, beside)


def of_other_devices(store: Store, fingerprint: Mapping[str, str]) -> list[Space]:
    """Spaces whose vectors differ from those of a fingerprint in the device alone, GPUs first."""

    def rest(of: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in of.items() if name != "device"}

    if "device" not in fingerprint:
        return []
    others = [
        space
        for space in store.spaces()
        if rest(space.fingerprint) == rest(fingerprint) and space.fingerprint != dict(fingerprint)
    ]
    return sorted(others, key=lambda space: DEVICES.index(space.fingerprint["device"]))


DEVICES = ("cuda", "mps", "cpu")
"""Whose vectors are taken, in this order, where those of the device at hand are not there."""


def stored(columns: Columns, space: Space) -> Encoded:
    """What is in a space, with nothing encoded."""
    collection = Collection(list(columns.values()))
    return Encoded(space, Progress(collection.n_texts, len(collection), len(collection)), columns)


@dataclass(frozen=True, slots=True)
class _Where:
    """Names the origin of a text, for messages."""

    task: str
    part: Part
    column: str

    def __call__(self, row: int) -> str:
        ids = ids_of(self.part.data, self.column)
        item = ids[row] if ids is not None else f"row {row}"
        return f"{self.task} ({self.part.subset}, {self.part.split}), {self.column}, id {item}"


def heads_beside(model: Model, others: Iterable[Model]) -> list[Model]:
    """Those of the others whose vectors a forward pass of the model makes too, each kind once."""
    model_by_head = {other.head: other for other in reversed(list(others)) if _shares(model, other)}
    return list(model_by_head.values())


def _shares(one: Model, other: Model) -> bool:
    """Whether both are heads of BGE-M3 in one folder, under one profile, and see the same
    inputs.
    """
    if not one.head or not other.head or one.head == other.head:
        return False
    return _encoder(one) == _encoder(other)


def _encoder(model: Model) -> tuple[object, ...]:
    """What two heads must have in common; a plain folder may be pooled otherwise than
    BGE-M3 does.
    """
    path = model.folder.path if model.folder else None
    profile = (
        model.device,
        model.dtype,
        model.max_tokens,
        model.spec.append_eos,
        model.trust_remote_code,
    )
    return (path, model.built, model.prompts, model.backend, profile)
