"""Groups encoded by the actors of a Ray cluster: the driver hands out numbers and hears counts.

Ray Core, not Ray Data (docs/architecture.md). An actor has two groups in hand, pulled, so that a
slow one takes fewer. What is lost with an actor is looked for in the store and done again by
another.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kemb.encoding import records
from kemb.encoding.batches import Event
from kemb.encoding.executors.actors import Answer, Broken, Encoding, Opened, Refused, Unopened
from kemb.encoding.executors.desk import Desk, Parcel
from kemb.encoding.executors.here import batches_of
from kemb.encoding.executors.machines import Machine, differences, versions
from kemb.encoding.executors.session import Session, living_nodes
from kemb.encoding.job import Job
from kemb.errors import ModelError, UsageError
from kemb.messages import note
from kemb.models.encoders import Encoder, StreamEncoder
from kemb.models.model import Model
from kemb.models.nodes import on_this_node
from kemb.models.open import open_model

IN_HAND = 2
"""Groups per actor: one in the model, one being tokenised."""
MOST_FAILURES = 3
_POLL_SECONDS = 1.0
_END_SECONDS = 3.0
_PATIENCE_SECONDS = 15.0
"""Without any actor, before the user is told."""
_BASE_MEMORY = 3 << 29
_BYTES_PER_INPUT = 100
"""Of keys and places; beside the weights, what an actor reserves."""


@dataclass(eq=False, slots=True)
class _Actor:
    """An actor and the calls that it has not answered."""

    handle: Any
    stage: str = "placing"
    """`placing`, `placed`, `opening`, `open`, `beginning` or `at work`."""
    node: str = ""
    machine: Machine | None = None
    calls: dict[Any, Parcel] = field(default_factory=dict)
    """By reference; of calls that are no work, the empty parcel."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """As `Answer.calls`."""


class Cluster:
    """The actors of one model; started when there is work, kept until `close`."""

    def __init__(self, session: Session, model: Model, beside: Sequence[Model] = ()) -> None:
        """:param beside: heads of the same model, as of `open_model`."""
        self._session, self._model, self._beside = session, model, tuple(beside)
        self._actors: list[_Actor] = []
        self._n_wanted = session.pool.n_actors
        self._n_dead_openings = 0
        self._alone_since, self._is_told, self._n_bytes = time.monotonic(), False, 0
        """Since when no actor has a place, whether the user knows, and what each reserves."""
        self._refused: set[str] = set()
        """Ids of nodes that cannot take part."""
        self._requests: dict[str, int] = {}
        """Of actors that are gone."""
        self.machines: list[dict[str, str]] = []
        """As `Executor.machines`."""
        self.n_lost = self.n_preempted = 0
        """Actors that died, and those of them that went with their node."""

    @property
    def calls(self) -> dict[str, int]:
        """As `Executor.calls`, of all actors together."""
        total = dict(self._requests)
        for actor in self._actors:
            _add(total, actor.requests)
        return total

    def run(self, job: Job) -> Generator[tuple[int, Event], None, None]:
        """As `Executor.run`; groups are written by the actors.

        :raises UsageError: no actor can take part, with the reason.
        """
        if job.elsewhere is None:
            raise UsageError(
                "The texts of this command are known to this process alone, and the machines of "
                "--cluster cannot read them. Leave --cluster out."
            )
        parcels = self._parcels(job)
        plan = job.plan()
        records.write_absent(job.space, f"{plan['plan']}.json", plan)
        work = _Work(job, plan, Desk(parcels))
        for actor in list(self._actors):
            if actor.stage == "at work" and not actor.calls:
                actor.stage = "open"
            elif actor.stage in ("beginning", "at work"):  # still with the job before
                self._dismiss(actor)
        try:
            while not work.desk.is_clear:
                self._hire(job)
                self._feed(work)
                for actor, ref in self._answers():
                    yield from self._heard(actor, ref, work)
        finally:
            if not work.desk.is_clear:  # what they are doing is wanted no more
                self.close()

    def close(self) -> None:
        """End all actors."""
        import ray

        with contextlib.suppress(Exception):  # some may be gone, or the whole cluster
            ends = [actor.handle.end.remote() for actor in self._actors if actor.node]
            ray.wait(ends, num_returns=len(ends), timeout=_END_SECONDS)
        for actor in list(self._actors):
            self._dismiss(actor)

    def _parcels(self, job: Job) -> list[Parcel]:
        """Single groups; of an endpoint, whose groups are its batches, several at once."""
        api = self._model.spec.api
        if api is None:
            return [(number,) for number in job.pending()]
        encoder = open_model(self._model)
        assert isinstance(encoder, StreamEncoder)
        job.groups = batches_of(encoder, job.collection)
        pending, size = job.pending(), 4 * api.concurrency
        return [tuple(pending[start : start + size]) for start in range(0, len(pending), size)]

    def _hire(self, job: Job) -> None:
        """Start the actors that are missing, and let each node load one model at a time: as many
        copies of the weights at once may not fit.
        """
        import ray

        pool, self._n_bytes = self._session.pool, self._memory(job)
        n_wanted = min(self._n_wanted, self._most_actors())
        while len(self._actors) < n_wanted:
            threads = {name: str(pool.n_cpus) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
            handle: Any = (
                ray.remote(Encoding)
                .options(
                    num_cpus=pool.n_cpus,
                    num_gpus=pool.n_gpus,
                    memory=self._n_bytes,
                    max_restarts=0,
                    max_concurrency=IN_HAND + 1,
                    scheduling_strategy=self._strategy(),
                    runtime_env={"env_vars": {**threads, "MKL_CBWR": "AUTO,STRICT"}},
                )
                .remote(pool.n_cpus)
            )
            actor = _Actor(handle)
            self._actors.append(actor)
            actor.calls[handle.node.remote()] = ()
        loading = {actor.node for actor in self._actors if actor.stage == "opening"}
        for actor in self._actors:
            if actor.stage == "placed" and actor.node not in loading:
                loading.add(actor.node)
                actor.stage = "opening"
                opener = _Open(self._shared(n_wanted), self._beside, pool.n_cpus)
                actor.calls[actor.handle.open.remote(opener, self._session.device)] = ()

    def _strategy(self) -> Any:  # noqa: ANN401  Ray's
        """Where a new actor may go: never to a node that was refused."""
        from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

        if not self._refused:
            return "SPREAD"
        others = NotIn(*sorted(self._refused))  # type: ignore[no-untyped-call]
        return NodeLabelSchedulingStrategy({"ray.io/node-id": others})

    def _has_other_nodes(self) -> bool:
        """Whether a node that was not refused is large enough for an actor."""
        pool = self._session.pool
        return any(
            entry["NodeID"] not in self._refused
            and entry["Resources"].get("CPU", 0) >= pool.n_cpus
            and entry["Resources"].get("GPU", 0) >= pool.n_gpus
            for entry in living_nodes()
        )

    def _most_actors(self) -> int:
        api = self._model.spec.api
        return self._n_wanted if api is None else api.concurrency

    def _shared(self, n_actors: int) -> Model:
        """The model; of an endpoint, each actor has its share of the limits, so that all together
        keep them.
        """
        api = self._model.spec.api
        if api is None:
            return self._model
        share = {
            "concurrency": max(1, api.concurrency // n_actors),
            "requests_per_minute": api.requests_per_minute and api.requests_per_minute / n_actors,
            "tokens_per_minute": api.tokens_per_minute and api.tokens_per_minute / n_actors,
        }
        spec = self._model.spec.model_copy(update={"api": api.model_copy(update=share)})
        return replace(self._model, spec=spec)

    def _memory(self, job: Job) -> int:
        """Bytes that an actor reserves of its node: Ray kills actors where a node runs out."""
        folder = self._model.folder
        n_bytes = _BASE_MEMORY + _BYTES_PER_INPUT * len(job.collection)
        if folder is not None and self._session.device == "cpu":
            n_bytes += 4 * folder.n_parameters
        return n_bytes

    def _feed(self, work: _Work) -> None:
        for actor in self._actors:
            if actor.stage == "open":
                actor.stage = "beginning"
                ref = actor.handle.begin.remote(work.job.elsewhere, work.plan)
                actor.calls[ref] = ()
        n_in_hand = 1 if self._model.spec.api is not None else IN_HAND
        for depth in range(1, n_in_hand + 1):
            for actor in self._actors:
                if actor.stage == "at work" and len(actor.calls) < depth:
                    parcel = work.desk.take(actor)
                    if parcel is None and not actor.calls:
                        parcel = work.desk.take_again(actor)
                    if parcel is not None:
                        ref = actor.handle.encode.remote(parcel, work.desk.is_again(parcel))
                        actor.calls[ref] = parcel

    def _answers(self) -> list[tuple[_Actor, Any]]:
        """Calls that were answered, or will never be."""
        import ray

        actor_by_ref = {ref: actor for actor in self._actors for ref in actor.calls}
        refs = list(actor_by_ref)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        if not ready:
            ready, _ = ray.wait(refs, num_returns=1, timeout=_POLL_SECONDS)
        if ready or any(actor.stage != "placing" for actor in self._actors):
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE_SECONDS and not self._is_told:
            self._is_told = True
            pool, n_gb = self._session.pool, self._n_bytes / 2**30
            self._session.hear(
                note("cluster.waiting", n_cpus=pool.n_cpus, n_gpus=f"{pool.n_gpus:g}", n_gb=n_gb)
            )
        return [(actor_by_ref[ref], ref) for ref in ready]

    def _heard(self, actor: _Actor, ref: Any, work: _Work) -> Iterator[tuple[int, Event]]:  # noqa: ANN401  Ray's
        """What an answer means."""
        import ray
        from ray.exceptions import RayActorError, RayError

        if ref not in actor.calls or actor not in self._actors:  # lost meanwhile
            return
        try:
            answer = ray.get(ref)
        except RayActorError as error:
            self._lose(actor, error, work)
            return
        except RayError as error:
            answer = Broken(f"Ray could not run an actor: {_first_line(error)}.")
        parcel = actor.calls.pop(ref)
        match answer:
            case Answer(counts, n_found, requests):
                actor.requests = requests
                if work.desk.finish(parcel):
                    self._credit(actor, counts.n_texts)
                    if n_found:
                        work.job.on_found(n_found)
                    yield parcel[0], counts
            case Broken(text):
                self._fail(actor, parcel, text, work)
            case _:
                self._prepare(actor, answer, work)

    def _prepare(
        self, actor: _Actor, answer: str | Opened | Unopened | Refused | None, work: _Work
    ) -> None:
        """What an answer means of an actor that is not at work yet.

        :raises UsageError, ModelError: it cannot open the model.
        """
        match answer:
            case str():
                actor.node, actor.stage = answer, "placed"
            case Unopened(text, is_usage):
                raise (UsageError if is_usage else ModelError)(text)
            case Opened(machine):
                self._n_dead_openings, actor.machine, actor.stage = 0, machine, "open"
                self._judge(actor, machine, work)
            case Refused(text):
                self._refuse(actor, text)
            case None:
                actor.stage = "at work"

    def _judge(self, actor: _Actor, machine: Machine, work: _Work) -> None:
        """Refuse an actor whose libraries are not the command's, or whose device is not the
        plan's.
        """
        if unlike := differences(machine.versions, versions()):
            self._refuse(
                actor, f"it has other libraries: {unlike}. Install the same versions on all nodes."
            )
            return
        space, name = work.job.space, str(work.plan["plan"])
        first = records.write_absent(space, f"{name}.device.json", machine.device)
        if not (unlike := differences(machine.device, first)):
            return
        if self._session.options.mixed_devices:
            digest = records.digest(machine.device)
            records.write_absent(space, f"{name}.{digest}{records.MIXED}", machine.device)
            return
        self._refuse(
            actor,
            f"its device is not that of the plan: {unlike}. Vectors of unequal devices differ in "
            "their last bits; --mixed-devices takes it all the same, and the result says so.",
        )

    def _refuse(self, actor: _Actor, why: str) -> None:
        """Do without an actor and its node, and say so.

        :raises UsageError: there is no other.
        """
        name = actor.machine.name if actor.machine else actor.node
        self._dismiss(actor)
        self._refused.add(actor.node)
        self._n_wanted = max(1, self._n_wanted - 1)
        is_alone = all(other.stage == "placing" for other in self._actors)
        if is_alone and not self._has_other_nodes():
            raise UsageError(f"No node of the cluster can take part. The node {name}: {why}")
        self._session.hear(note("cluster.refused", node=name, why=why))

    def _fail(self, actor: _Actor, parcel: Parcel, text: str, work: _Work) -> None:
        """Count a failure of a parcel.

        :raises ModelError: it was the last that it may have.
        """
        if not parcel:  # it could not even begin
            raise ModelError(text)
        if parcel not in work.desk.in_hand(actor):  # another's answer came first
            return
        n_failures = work.desk.fail(parcel, actor)
        if n_failures >= MOST_FAILURES or self._model.spec.api is not None:
            times = f" (tried {n_failures} times)" if n_failures > 1 else ""
            raise ModelError(f"{text}{times}")

    def _lose(self, actor: _Actor, error: Exception, work: _Work) -> None:
        """An actor is gone: what it had is looked for in the store before it is done again.

        :raises ModelError: it ended while it loaded the model, as others did, or one group has
            ended several.
        """
        is_preempted = self._is_preempted(actor, error)
        self.n_lost += 1
        self.n_preempted += is_preempted
        hold, stage, node = work.desk.in_hand(actor), actor.stage, actor.node
        self._dismiss(actor)
        work.desk.put_back(actor)
        name = actor.machine.name if actor.machine else node or "?"
        if is_preempted:
            self._session.hear(note("cluster.preempted", node=name, n_groups=len(hold)))
            return
        self._session.hear(note("cluster.lost", node=name, n_groups=len(hold)))
        if stage in ("placing", "placed", "opening", "open", "beginning"):
            self._n_dead_openings += 1
            if self._n_dead_openings >= MOST_FAILURES:
                raise ModelError(
                    f"{self._n_dead_openings} actors ended one after the other before they had a "
                    f"group, the last on {node or 'no node'}: {_first_line(error)}. Look whether "
                    "kemb is installed on all nodes, and whether the model fits in their memory."
                )
        elif hold:
            where = work.job.where(hold[0][0], 0)
            n_failures = work.desk.fail(hold[0], actor)
            if n_failures >= MOST_FAILURES:
                raise ModelError(
                    f"{n_failures} actors ended, the last on {node}, at the texts that begin with "
                    f"{where}: mostly the system ends what has no memory left. What was finished "
                    "is stored. Type --max-tokens N, or fewer --actors, and run the same command "
                    "again."
                )

    def _is_preempted(self, actor: _Actor, error: Exception) -> bool:
        """Whether an actor went with its node, and not by itself."""
        from ray.exceptions import ActorUnavailableError

        if isinstance(error, ActorUnavailableError) or getattr(error, "preempted", False):
            return True
        living = {entry["NodeID"] for entry in living_nodes()}
        return bool(actor.node) and actor.node not in living

    def _credit(self, actor: _Actor, n_texts: int) -> None:
        machine = actor.machine
        if n_texts and machine is not None and machine.record not in self.machines:
            self.machines.append(machine.record)

    def _dismiss(self, actor: _Actor) -> None:
        import ray

        self._actors.remove(actor)
        _add(self._requests, actor.requests)
        with contextlib.suppress(Exception):  # it may be gone, or the whole cluster
            ray.kill(actor.handle)


@dataclass(frozen=True, slots=True)
class _Work:
    """A job under way."""

    job: Job
    plan: dict[str, object]
    desk: Desk


@dataclass(frozen=True, slots=True)
class _Open:
    """Opens a model on a node, with as many threads as every actor of the plan."""

    model: Model
    beside: tuple[Model, ...]
    n_threads: int

    def __call__(self) -> Encoder:
        model = on_this_node(self.model)
        if model.folder is not None and model.device == "cpu":
            from kemb.models.encoders.torch import use_threads

            use_threads(self.n_threads)
        return open_model(model, self.beside)


def _add(total: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
