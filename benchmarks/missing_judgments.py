"""What a retriever loses by not having been in the pool: Zobel's test over unlike retrievers.

    python benchmarks/missing_judgments.py AutoRAGRetrieval --data PACKS       # 2 minutes
    python benchmarks/missing_judgments.py ./folder -m bm25:kiwi -m toy -m org/model

Every retriever is judged by the pool of the others (depth 10), as if it came later; the right
passages of the task stand for what people would say of what is pooled.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from kemb.drafting.left_out import leave_one_out
from kemb.drafting.pools import ranking_of_result
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.resolve import resolve
from kemb.types import RetrievalData

RETRIEVERS = ("bm25:kiwi", "bm25:bigram", "bm25:mteb", "tfidf:char", "toy", "kiwi-static")


def table_of(name: str, data_dir: Path | None, retrievers: list[str], store: Path) -> None:
    """Print the table of one task."""
    task = load_task(name, data_dir)
    models = [resolve(retriever, own_tasks=[task.spec.name]) for retriever in retrievers]
    options = RunOptions(store / "results", Store(store / "store"), command="missing_judgments")
    rankings = {}
    for outcome in evaluate([task], models, options):
        if outcome.result is None:
            raise SystemExit(f"{outcome.row}: {outcome.message}")
        rankings[outcome.row] = ranking_of_result(outcome.result)
    data = task.load().parts[0].data
    assert isinstance(data, RetrievalData)
    n_right = sum(grade > 0 for grades in data.qrels.values() for grade in grades.values())
    print(
        f"\n{task.spec.name}: {len(data.query_ids)} questions, {n_right} right passages of "
        f"{len(data.doc_ids)}\n"
    )
    print(
        "| left out | right passages only it finds | judged@10 | score | without it | change | "
        "condensed | rank | without it | condensed |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in leave_one_out(rankings, data.qrels):
        change = (row.score_without - row.score) * 100
        print(
            f"| {row.retriever} | {row.n_alone} | {row.judged_at_10:.0%} | {row.score * 100:.1f} | "
            f"{row.score_without * 100:.1f} | {change:+.1f} | {row.score_condensed * 100:.1f} | "
            f"{row.rank} | {row.rank_without} | {row.rank_condensed} |"
        )


def main() -> None:
    """Read the arguments and print a table per task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tasks", nargs="+", help="names of retrieval tasks, or folders")
    parser.add_argument("--data", type=Path, help="folder with local copies of data sets")
    parser.add_argument("-m", "--model", action="append", help=f"default: {', '.join(RETRIEVERS)}")
    parser.add_argument("--store", type=Path, help="keeps vectors and results for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for task in arguments.tasks:
            store = arguments.store or Path(scratch)
            table_of(task, arguments.data, arguments.model or list(RETRIEVERS), store)


if __name__ == "__main__":
    main()
