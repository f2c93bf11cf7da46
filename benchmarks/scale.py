"""What 100 million documents cost, and which group, shard and number of actors waste least.

    python benchmarks/scale.py                        # the tables of docs/scale.md, 3 seconds
    python benchmarks/scale.py --page docs/scale.md   # writes them there
    python benchmarks/scale.py --gpu-dollars 2.15 --tokens 400 --documents 10e6

Nothing here is measured: sizes follow from arithmetic, tokens a second from a share of the device's
peak, losses from a simulation (`simulate`) whose closed forms are tested.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean

HOUR = 3600.0


@dataclass(frozen=True)
class Assumptions:
    """What a reader can change, each an option of the same name."""

    documents: float = 100e6
    tokens: float = 100
    """Of a document."""
    gpu_tflops: float = 989
    """Peak, bf16, dense: an H100 SXM."""
    efficiency: float = 0.45
    """Share of the peak that encoding reaches."""
    gpu_dollars: float = 3.90
    """An hour."""
    disk_gb_per_second: float = 1.0
    """What one machine reads of the store."""
    search_gflops: float = 212
    """float32 of kemb's exact search on 2 cores (benchmarks/README.md: 384 dimensions, 1,000
    queries, 1,000,000 documents in 3.63 s).
    """
    queries: float = 1000
    storage_dollars: float = 0.023
    """A GB and month of object storage."""
    put_dollars: float = 0.005
    """1,000 writes."""
    load_seconds: float = 60
    """Of a model, from the node's disk, with the imports."""
    overhead_seconds: float = 0.5
    """Of a group: asked for, read, written, reported; what does not overlap with the device."""
    notice_seconds: float = 30
    """Before a machine goes: what can be finished by then is."""
    wait_seconds: float = 300
    """Until another machine comes; not paid."""


@dataclass(frozen=True)
class Encoder:
    """A model: parameters that compute, without the table of embeddings, and its dimensions."""

    name: str
    parameters: float
    dims: int

    def tokens_per_second(self, on: Assumptions) -> float:
        """Two operations for each parameter and token; attention of short texts is left out."""
        return on.gpu_tflops * 1e12 * on.efficiency / (2 * self.parameters)

    def seconds(self, on: Assumptions) -> float:
        """Of one GPU for all documents."""
        return on.documents * on.tokens / self.tokens_per_second(on)


ENCODERS = (Encoder("568M (bge-m3)", 303e6, 1024), Encoder("7B (Mistral)", 6.98e9, 4096))
KEY_BYTES = 32 + 2 * 4
"""Of a row of the store beside its vector: the key and two lengths."""
TOKEN_DIMS, N_TOKENS = 128, 32


@dataclass(frozen=True)
class Family:
    """How a document is stored or searched."""

    name: str
    encoder: Encoder
    bytes_per_document: float
    operations: float
    """Of one query and document."""

    @property
    def is_derived(self) -> bool:
        """Whether it is made of stored vectors, so that nothing is encoded for it."""
        return self.name.startswith(("int8", "binary"))


def families(encoder: Encoder) -> list[Family]:
    """Dense vectors, their codes, and token vectors of 128 dimensions with pooling to 32."""
    dims = encoder.dims
    maxsim = 2.0 * N_TOKENS * N_TOKENS * TOKEN_DIMS
    return [
        Family("dense fp16", encoder, 2 * dims, 2 * dims),
        Family("int8 codes", encoder, dims, 2 * dims),
        Family("binary codes", encoder, dims / 8, 2 * dims / 8),
        Family("32 token vectors fp16", encoder, 2 * N_TOKENS * TOKEN_DIMS, maxsim),
    ]


# The simulation: actors pull groups of one length, in the order of the plan.


@dataclass(frozen=True)
class Job:
    """What is to be done, and by how many; times in seconds."""

    n_groups: int
    group: float
    """One group on one device."""
    actors: int
    rate: float = 0.0
    """Preemptions of one actor an hour."""
    load: float = 0.0
    overhead: float = 0.0
    notice: float = 0.0
    wait: float = 0.0
    shard: int = 0
    """Groups of a shard, joined by whoever finishes the last of them; 0: nothing is joined."""
    join: float = 0.0
    """Of one group's part of a joined shard."""
    spread: float = 0.0
    """Groups last between (1 - spread) and (1 + spread) times their length."""


@dataclass(frozen=True)
class Outcome:
    """What a job took; times in seconds."""

    makespan: float
    paid: float
    """Of all actors: from the start until each is preempted, or the job is done."""
    useful: float
    n_preemptions: int
    lost: float
    """Work and loads that preemptions threw away, and the loads that they made necessary."""

    @property
    def waste(self) -> float:
        """Paid beyond what was useful, as a share of the useful."""
        return self.paid / self.useful - 1


def simulate(job: Job, seed: int = 0) -> Outcome:
    """Run a job, event by event: each is a moment at which an actor has something to do."""
    return _Cluster(job, random.Random(seed)).run()


class _Cluster:
    """Actors that load, pull, are preempted and come back, and what they have paid."""

    def __init__(self, job: Job, rng: random.Random) -> None:
        self._job, self._rng = job, rng
        self._plan = _Plan(job, rng)
        self._events: list[tuple[float, int, str]] = []
        self._began = [0.0] * job.actors
        self._ends = [math.inf] * job.actors
        """When each is preempted."""
        self._has_loaded = [False] * job.actors
        self._waiting: list[int] = []
        self._makespan = self._paid = self._useful = self._lost = 0.0
        self._n_preemptions = 0

    def run(self) -> Outcome:
        for actor in range(self._job.actors):
            heapq.heappush(self._events, (0.0, actor, "begin"))
        while self._events and not self._plan.is_done:
            now, actor, what = heapq.heappop(self._events)
            getattr(self, f"_{what}")(now, actor)
        present = [self._began[actor] for actor in range(self._job.actors) if self._is_here(actor)]
        self._paid += sum(self._makespan - began for began in present)
        return Outcome(self._makespan, self._paid, self._useful, self._n_preemptions, self._lost)

    def _is_here(self, actor: int) -> bool:
        return self._began[actor] < math.inf

    def _begin(self, now: float, actor: int) -> None:
        rate = self._job.rate / HOUR
        life = self._rng.expovariate(rate) if rate else math.inf
        self._began[actor], self._ends[actor] = now, now + life
        if self._job.load > life:
            self._lost += life
            heapq.heappush(self._events, (now + life, actor, "leave"))
        else:
            heapq.heappush(self._events, (now + self._job.load, actor, "loaded"))

    def _loaded(self, now: float, actor: int) -> None:
        self._lost += self._job.load if self._has_loaded[actor] else 0.0
        self._has_loaded[actor] = True
        self._pull(now, actor)

    def _pull(self, now: float, actor: int) -> None:
        """Take what is next; wait where all that is left is in other hands and may come back."""
        end = self._ends[actor]
        seconds = self._plan.take(actor)
        if seconds is None:
            self._waiting.append(actor)
            return
        done = now + seconds
        if done <= end + self._job.notice:
            heapq.heappush(self._events, (done, actor, "done"))
        else:
            heapq.heappush(self._events, (end, actor, "fail"))
            self._lost += end - now

    def _done(self, now: float, actor: int) -> None:
        self._useful += self._plan.finish(actor)
        self._makespan = now
        self._wake(now)
        if now >= self._ends[actor]:
            self._leave(now, actor)
        else:
            self._pull(now, actor)

    def _fail(self, now: float, actor: int) -> None:
        self._plan.give_back(actor)
        self._leave(now, actor)
        self._wake(now)

    def _wake(self, now: float) -> None:
        """There may be something to take: a group that came back, a shard to be joined."""
        waiting, self._waiting = self._waiting, []
        for actor in waiting:
            if now < self._ends[actor]:
                self._pull(now, actor)
            else:
                self._leave(self._ends[actor], actor)

    def _leave(self, now: float, actor: int) -> None:
        self._n_preemptions += 1
        self._paid += now - self._began[actor]
        self._began[actor] = math.inf
        heapq.heappush(self._events, (now + self._job.wait, actor, "begin"))


class _Plan:
    """Groups and joins that are not done."""

    def __init__(self, job: Job, rng: random.Random) -> None:
        self._job, self._rng = job, rng
        self._groups = list(range(job.n_groups - 1, -1, -1))
        self._joins: list[int] = []
        self._in_hand: dict[int, tuple[int, bool, float]] = {}
        self._size = job.shard or job.n_groups
        n_shards = -(-job.n_groups // self._size)
        self._left = [
            min(self._size, job.n_groups - shard * self._size) for shard in range(n_shards)
        ]
        self._parts = list(self._left)

    @property
    def is_done(self) -> bool:
        return not (self._groups or self._joins or self._in_hand)

    def take(self, actor: int) -> float | None:
        """The seconds of the next piece of work; None where there is none now."""
        job = self._job
        if self._joins:
            shard = self._joins.pop()
            self._in_hand[actor] = (shard, True, 0.0)
            return job.join * self._parts[shard]
        if self._groups:
            seconds = job.group * self._rng.uniform(1 - job.spread, 1 + job.spread)
            self._in_hand[actor] = (self._groups.pop(), False, seconds)
            return seconds + job.overhead
        return None

    def finish(self, actor: int) -> float:
        """Seconds that the model computed for what is now stored."""
        number, is_join, seconds = self._in_hand.pop(actor)
        shard = number if is_join else number // self._size
        if not is_join and self._job.shard:
            self._left[shard] -= 1
            if not self._left[shard]:
                self._joins.append(shard)
        return seconds

    def give_back(self, actor: int) -> None:
        number, is_join, _ = self._in_hand.pop(actor)
        (self._joins if is_join else self._groups).append(number)


def best_group(overhead: float, rate: float) -> float:
    """Seconds of a group that waste least: sqrt(2 overhead / rate), as Young 1974 has it for
    checkpoints.

    :param rate: preemptions an hour.
    """
    return math.sqrt(2 * overhead * HOUR / rate)


def paid_per_group(group: float, load: float, rate: float) -> float:
    """Expected seconds that an actor pays for a group that is begun anew after each preemption,
    loads included (Daly 2006, without checkpoints).
    """
    per_second = rate / HOUR
    return math.expm1(per_second * group) * math.exp(per_second * load) / per_second


# The tables of the page.

Table = Iterator[Sequence[str]]
GROUPS = (5, 15, 30, 60, 120, 300, 900)
RATES = (0.0, 0.02, 0.1, 1.0)
ACTORS = (1, 8, 32, 128, 512)
SHARDS = (0, 2, 6, 25)
"""Groups of a shard; 0: nothing is joined."""
N_SEEDS = 3


def job_of(encoder: Encoder, group: float, actors: int, rate: float, on: Assumptions) -> Job:
    """All documents in groups of some seconds."""
    return Job(
        max(1, math.ceil(encoder.seconds(on) / group)),
        group,
        actors,
        rate,
        on.load_seconds,
        on.overhead_seconds,
        on.notice_seconds,
        on.wait_seconds,
        spread=0.1,
    )


def waste_of(job: Job) -> float:
    return fmean(simulate(job, seed).waste for seed in range(N_SEEDS))


def encoding(on: Assumptions) -> Table:
    yield "model", "tokens/s on a GPU", "GPU hours", "dollars"
    for encoder in ENCODERS:
        hours = encoder.seconds(on) / HOUR
        rate = encoder.tokens_per_second(on)
        yield encoder.name, f"{rate:,.0f}", f"{hours:,.1f}", f"{hours * on.gpu_dollars:,.0f}"


def storing(on: Assumptions) -> Table:
    yield (
        *("model", "family", "bytes a document", "GB in the store", "network, GB"),
        *("dollars a month", f"top-k of {on.queries:,.0f} queries, hours", "bound by"),
    )
    for encoder in ENCODERS:
        for family in families(encoder):
            if family.name.startswith("32") and encoder is not ENCODERS[0]:
                continue
            stored = 0.0 if family.is_derived else family.bytes_per_document + KEY_BYTES
            gigabytes = on.documents * stored / 1e9
            # A byte is written in its group, read and written again in its shard, and searched.
            source = families(encoder)[0] if family.is_derived else family
            read = on.documents * source.bytes_per_document / 1e9
            network = read if family.is_derived else 4 * gigabytes
            reading = read / on.disk_gb_per_second
            operations = on.queries * on.documents * family.operations
            computing = operations / (on.search_gflops * 1e9)
            yield (
                *(encoder.name, family.name, f"{family.bytes_per_document:,.0f}"),
                "of dense" if family.is_derived else f"{gigabytes:,.0f}",
                f"{network:,.0f}",
                "" if family.is_derived else f"{gigabytes * on.storage_dollars:,.1f}",
                f"{max(reading, computing) / HOUR:,.2f}",
                "reading" if reading > computing else "computing",
            )


def groups(on: Assumptions) -> Table:
    yield "seconds of a group", *(f"{rate:g} an hour" for rate in RATES)
    encoder = ENCODERS[1]
    for group in GROUPS:
        wastes = [waste_of(job_of(encoder, group, 16, rate, on)) for rate in RATES]
        yield f"{group}", *(f"{waste:.1%}" for waste in wastes)
    best = [f"{best_group(on.overhead_seconds, rate):.0f}" if rate else "any" for rate in RATES]
    yield "best, by the closed form", *best


def actors(on: Assumptions) -> Table:
    what = ("hours", "waste", "dollars")
    yield "actors", *(f"{encoder.name}: {name}" for encoder in ENCODERS for name in what)
    for number in ACTORS:
        cells = []
        for encoder in ENCODERS:
            outcomes = [
                simulate(job_of(encoder, 30, number, 0.1, on), seed) for seed in range(N_SEEDS)
            ]
            paid = fmean(outcome.paid for outcome in outcomes) / HOUR
            cells += [
                f"{fmean(outcome.makespan for outcome in outcomes) / HOUR:.2f}",
                f"{fmean(outcome.waste for outcome in outcomes):.1%}",
                f"{paid * on.gpu_dollars:,.0f}",
            ]
        yield f"{number}", *cells


def shards(on: Assumptions) -> Table:
    yield (
        *("model, groups of a shard", "MB of a shard", "objects", "dollars of writes"),
        *("waste, 0.1 an hour", "waste, 1 an hour"),
    )
    for encoder in ENCODERS:
        row_bytes = families(encoder)[0].bytes_per_document + KEY_BYTES
        job = job_of(encoder, 30, 16, 0.0, on)
        megabytes = on.documents * row_bytes / job.n_groups / 1e6
        join = 2 * megabytes / 1e3 / on.disk_gb_per_second
        for size in SHARDS:
            joined = replace(job, shard=size, join=join) if size else job
            n_shards = math.ceil(job.n_groups / (size or 1))
            n_writes = job.n_groups + (n_shards if size else 0)
            wastes = [waste_of(replace(joined, rate=rate)) for rate in (0.1, 1.0)]
            yield (
                f"{encoder.name}, {size or 'none joined'}",
                *(f"{megabytes * (size or 1):,.0f}", f"{n_shards:,}"),
                f"{n_writes / 1000 * on.put_dollars:.3f}",
                *(f"{waste:.1%}" for waste in wastes),
            )


TABLES: dict[str, Callable[[Assumptions], Table]] = {
    "encoding": encoding,
    "storing": storing,
    "groups": groups,
    "actors": actors,
    "shards": shards,
}


def markdown(rows: Table) -> str:
    """A table whose first column is text."""
    header, *body = rows
    ruler = ["---", *["--:"] * (len(header) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (header, ruler, *body)]
    return "\n".join(lines).replace("| --- ", "|---").replace("--: ", "--:").replace(" --:", "--:")


def with_tables(page: str, on: Assumptions) -> str:
    """A page with new tables between its marks, `<!-- scale:NAME -->` and `<!-- end -->`."""
    for name, rows in TABLES.items():
        mark = f"<!-- scale:{name} -->\n"
        before, _, rest = page.partition(mark)
        _, end, after = rest.partition("\n<!-- end -->")
        if not end:
            raise SystemExit(f"The page has no {mark.strip()} with an <!-- end --> behind it.")
        page = f"{before}{mark}\n{markdown(rows(on))}\n{end}{after}"
    return page


def main() -> None:
    """Read the assumptions; print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for field in fields(Assumptions):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=field.default)
    parser.add_argument("--page", type=Path, help="the page whose tables are written anew")
    arguments = vars(parser.parse_args())
    page = arguments.pop("page")
    on = Assumptions(**arguments)
    if page is not None:
        page.write_text(with_tables(page.read_text(encoding="utf-8"), on), encoding="utf-8")
        return
    for name, rows in TABLES.items():
        print(f"\n{name}\n\n{markdown(rows(on))}", flush=True)


if __name__ == "__main__":
    main()
