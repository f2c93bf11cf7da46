"""Search and ranking metrics against mteb, the bare matrix product and pytrec_eval, in one run.

    python benchmarks/search.py                # 200,000 documents, 1,000 queries, top 1,000
    python benchmarks/search.py --grow         # kemb alone, from 10,000 to 1,000,000 documents

Vectors are random. Every row is a median over rounds, and every ratio the median of the ratios of
the rounds: the contenders of a round run one after the other, so a noisy machine disturbs them
alike. mteb's search is its
`chunked_full_corpus_search` with vectors at hand: encoding and preparing texts are left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from kemb.arrays import ArrayVectors, FloatArray
from kemb.scoring.ranking import query_metrics
from kemb.scoring.search.blocks import BLOCK
from kemb.scoring.search.search import top_k
from kemb.tasks.kinds import CUTOFFS
from kemb.types import RetrievalData, Run

GROWTH = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def random_vectors(n: int, dim: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def document_ids(n: int) -> list[str]:
    return [f"document-{i}" for i in range(n)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_product(queries: FloatArray, documents: FloatArray) -> None:
    """The product alone, with NumPy's own threads, over the blocks of the search."""
    out = np.empty((len(queries), BLOCK), dtype=np.float32)
    for start in range(0, len(documents), BLOCK):
        block = documents[start : start + BLOCK]
        np.matmul(queries, block.T, out=out[:, : len(block)])


def kemb_search(queries: FloatArray, documents: FloatArray, k: int) -> Callable[[], object]:
    ids = document_ids(len(documents))
    return lambda: top_k(queries, ArrayVectors(documents), k, doc_ids=ids)


def mteb_search(queries: FloatArray, documents: FloatArray, k: int) -> Callable[[], object]:
    import mteb
    from datasets import Dataset
    from mteb.models import search_wrappers
    from mteb.similarity_functions import cos_sim

    search_wrappers.create_dataloader = lambda *_, **__: (
        None
    )  # it would reformat every text of a chunk

    chunk = 50_000  # mteb's default
    corpus = Dataset.from_dict({"id": document_ids(len(documents)), "text": [""] * len(documents)})

    def search() -> object:
        starts = iter(range(0, len(documents), chunk))

        def encode(*_: object, **__: object) -> FloatArray:
            start = next(starts)
            return documents[start : start + chunk]

        return search_wrappers.chunked_full_corpus_search(
            task_corpus=corpus,
            corpus_chunk_size=chunk,
            query_idx_to_id={i: f"query-{i}" for i in range(len(queries))},
            query_embeddings=queries,
            task_metadata=mteb.get_task("AutoRAGRetrieval").metadata,
            hf_subset="default",
            hf_split="test",
            top_k=k,
            encode_kwargs={"show_progress_bar": False},
            encode_fn=encode,
            similarity_fn=cos_sim,
            search_k_offset=1,
        )

    return search


def judged_task(run: Run, doc_ids: list[str]) -> RetrievalData:
    """Ten judgments per query, five of them of retrieved documents."""
    rng = np.random.default_rng(7)
    query_ids = [f"query-{i}" for i in range(len(run.indices))]
    qrels = {
        query: {
            doc_ids[row]: int(rng.integers(0, 3))
            for row in [*rng.choice(found, 5, replace=False), *rng.integers(0, len(doc_ids), 5)]
        }
        for query, found in zip(query_ids, run.indices, strict=True)
    }
    return RetrievalData(doc_ids, [""] * len(doc_ids), query_ids, [""] * len(query_ids), qrels)


def pytrec_metrics(run: Run, data: RetrievalData) -> Callable[[], object]:
    """All cut-offs by pytrec_eval; making its dictionaries is not measured, and it computes no MRR
    and no F1.
    """
    import pytrec_eval

    results = {
        query: dict(zip([data.doc_ids[row] for row in rows], scores, strict=True))
        for query, rows, scores in zip(
            data.query_ids, run.indices.tolist(), run.scores.tolist(), strict=True
        )
    }
    cutoffs = ",".join(map(str, CUTOFFS))
    names = {f"{name}.{cutoffs}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success")}
    return lambda: pytrec_eval.RelevanceEvaluator(data.qrels, names).evaluate(results)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(
    arguments: argparse.Namespace, who: str, n_documents: int, rounds: int
) -> dict[str, float]:
    """Time and peak memory beyond the vectors of one search, in a process of its own."""
    options = {
        "--alone": who,
        "--documents": n_documents,
        "--queries": arguments.queries,
        "--dim": arguments.dim,
        "-k": arguments.k,
        "--rounds": rounds,
    }
    command = [
        sys.executable,
        __file__,
        *(str(word) for option in options.items() for word in option),
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return measured


def run_alone(arguments: argparse.Namespace) -> None:
    queries = random_vectors(arguments.queries, arguments.dim, 0)
    documents = random_vectors(arguments.documents, arguments.dim, 1)
    search = mteb_search if arguments.alone == "mteb" else kemb_search
    work = search(queries, documents, arguments.k)
    before = peak_mb()
    work()
    peak = peak_mb() - before
    rounds = [
        (seconds(work), seconds(lambda: bare_product(queries, documents)))
        for _ in range(arguments.rounds)
    ]
    times, bare = (median(values) for values in zip(*rounds, strict=True))
    print(json.dumps({"seconds": times, "bare": bare, "peak_mb": peak}))


def compare(arguments: argparse.Namespace) -> None:
    # First: Linux hands the peak of a parent on to its children.
    peaks = {
        who: alone(arguments, who, arguments.documents, rounds=1)["peak_mb"]
        for who in ("kemb", "mteb")
    }
    queries = random_vectors(arguments.queries, arguments.dim, 0)
    documents = random_vectors(arguments.documents, arguments.dim, 1)
    ids = document_ids(len(documents))
    run = top_k(queries, ArrayVectors(documents), arguments.k, doc_ids=ids)
    data = judged_task(run, ids)
    contenders: dict[str, Callable[[], object]] = {
        "kemb search": kemb_search(queries, documents, arguments.k),
        "bare matrix product": lambda: bare_product(queries, documents),
        "mteb search": mteb_search(queries, documents, arguments.k),
        "kemb metrics": lambda: query_metrics(run, data),
        "pytrec_eval metrics": pytrec_metrics(run, data),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, work in contenders.items():
            times[name].append(seconds(work))
    print(
        f"{len(documents):,} x {arguments.dim} documents, {len(queries):,} queries, top "
        f"{arguments.k:,}; ",
        end="",
    )
    print(f"medians of {arguments.rounds} rounds\n\n| | seconds | beside kemb |\n|---|---|---|")
    for name, values in times.items():
        ours = times["kemb search" if "metrics" not in name else "kemb metrics"]
        ratio = median(a / b for a, b in zip(values, ours, strict=True))
        print(f"| {name} | {median(values):.3f} | {ratio:.2f} |")
    to_bare = median(
        a / b for a, b in zip(times["kemb search"], times["bare matrix product"], strict=True)
    )
    print(f"\nkemb search takes {to_bare:.2f} times the bare matrix product.")
    for who, peak in peaks.items():
        print(f"Peak memory of {who} search beyond the vectors: {peak:,.0f} MB.")


def grow(arguments: argparse.Namespace) -> None:
    print(f"{arguments.queries:,} queries x {arguments.dim}, top {arguments.k:,}\n")
    print("| documents | seconds | bare product | peak MB beyond the vectors |\n|---|---|---|---|")
    for n in GROWTH:
        measured = alone(arguments, "kemb", n, arguments.rounds)
        print(
            f"| {n:,} | {measured['seconds']:.3f} | {measured['bare']:.3f} | "
            f"{measured['peak_mb']:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("-k", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--grow", action="store_true", help="how time and memory grow with the corpus"
    )
    parser.add_argument("--alone", choices=["kemb", "mteb"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        run_alone(arguments)
    elif arguments.grow:
        grow(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
