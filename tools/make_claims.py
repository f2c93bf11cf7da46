"""Make the shipped tables of public scores from the shared data.

    python tools/make_claims.py DATA_DIR

DATA_DIR holds `mteb_results_ko.parquet`, `mteb-results-ko/manifest.json` and `published/`. Only
numbers, names and revisions are shipped: what cells of shipped benchmarks need, and main scores.
Running it again gives the same bytes with the same pyarrow.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kemb.adapters.card_results import Entry
from kemb.adapters.mteb_results import entry_numbers
from kemb.adapters.published import Imported, card_rows, model_name, table_rows
from kemb.adapters.tables import build
from kemb.boards import benchmark as boards_benchmark
from kemb.boards.benchmark import MAIN_SCORE
from kemb.boards.cells import declared_parts, expression_of
from kemb.boards.expressions import names_in
from kemb.results.claims import FOLDER, UNSTATED, ClaimRow, Source, write_claims

CUTOFFS = (1, 3, 5, 10)
N_AUTORAG_QUERIES = 114
LEADERBOARD_TABLES = ("sts", "nli", "clustering", "retrieval")


def main() -> None:
    data = Path(sys.argv[1])
    published = data / "published"
    wanted = needed()
    manifest = read(data / "mteb-results-ko/manifest.json")
    results = Source(
        "embeddings-benchmark/results",
        manifest["source"],
        manifest["commit"],
        manifest["licence"],
        "2026-08-20",
    )
    ship("mteb-ko", mteb_rows(data / "mteb_results_ko.parquet", wanted), results)
    ship("kure", kure_rows(read(published / "kure_results.json"), wanted), KURE)
    ship("ko-leaderboard", leaderboard_rows(published), LEADERBOARD)
    ship("autorag", autorag_rows(published), AUTORAG)
    ship("bge-base-en", bge_rows(read(published / "seed003_model_index.json"), wanted), BGE)
    reranking = table(read(published / "seed003_cmteb_reranking.json"), "c-mteb")
    ship("c-mteb-reranking", reranking.rows, C_MTEB)


FACTS = "none stated for the table; numbers are facts"
KURE = Source(
    "KURE eval/results", "https://github.com/nlpai-lab/KURE", "59ce7eca", "MIT", "2025-07-21"
)
LEADERBOARD = Source(
    "ko-embedding-leaderboard README",
    "https://github.com/OnAnd0n/ko-embedding-leaderboard",
    "4244dac",
    FACTS,
    "2025-04-24",
)
AUTORAG = Source(
    "BGE-m3-ko card, AutoRAG tables (ranks recovered)",
    "https://huggingface.co/dragonkue/BGE-m3-ko",
    "",
    FACTS,
)
BGE = Source("bge-base-en-v1.5 card", "https://huggingface.co/BAAI/bge-base-en-v1.5", "", "MIT")
C_MTEB = Source("bge-base-en-v1.5 card, C-MTEB reranking", BGE.url, "", "MIT")


def needed() -> set[tuple[str, str, str, str]]:
    """Every (task, split, subset, metric) that a cell of a shipped benchmark is made of."""
    found = set()
    for name in boards_benchmark.names():
        benchmark = boards_benchmark.load_benchmark(name)
        for cell in benchmark.cells:
            for formula in benchmark.formulas.values():
                for split, subset in declared_parts(cell) or []:
                    for metric in names_in(expression_of(cell, formula)):
                        found |= {
                            (task, split, subset, metric) for task in [cell.task, *cell.members]
                        }
    return found


def keep(rows: Iterable[ClaimRow], wanted: set[tuple[str, str, str, str]]) -> list[ClaimRow]:
    return [
        row
        for row in rows
        if row.metric == MAIN_SCORE or (row.task, row.split, row.subset, row.metric) in wanted
    ]


def mteb_rows(path: Path, wanted: set[tuple[str, str, str, str]]) -> list[ClaimRow]:
    """Public results: 275 models, the score rows of 23 tasks whose languages include Korean."""
    names = [
        "model",
        "revision",
        "task",
        "dataset_revision",
        "mteb_version",
        "split",
        "subset",
        "metric",
        "value",
    ]
    table = pq.read_table(path, columns=names)
    columns = [table[name].to_pylist() for name in names]
    records = sorted(
        zip(*columns, strict=True), key=lambda record: tuple(str(value) for value in record)
    )
    rows: list[ClaimRow] = []
    for place, entry in groupby(records, lambda record: record[:7]):
        model, revision, task, data, version, split, subset = place
        for metric, value in entry_numbers(
            task, {record[7]: record[8] for record in entry}
        ).items():
            rows.append(
                ClaimRow(
                    model, revision, "", task, data, split, subset, metric, value, version or ""
                )
            )
    return keep(rows, wanted)


def kure_rows(table: dict[str, Any], wanted: set[tuple[str, str, str, str]]) -> list[ClaimRow]:
    """KURE's own result files: 18 models, 8 tasks, every split and subset."""
    rows: list[ClaimRow] = []
    for values in table["rows"]:
        record = dict(zip(table["columns"], values, strict=True))
        metrics = {name: value for name, value in record.items() if "_at_" in name}
        revision = record["model_revision_folder"]
        place = (record["task"], record["dataset_revision"], record["split"], record["hf_subset"])
        for metric, value in entry_numbers(record["task"], metrics).items():
            rows.append(
                ClaimRow(
                    record["model"], revision, "", *place, metric, value, record["mteb_version"]
                )
            )
    return keep(rows, wanted)


def leaderboard_rows(published: Path) -> list[ClaimRow]:
    """The four task tables of the Korean leaderboard: one number per cell of
    `ko-leaderboard-v1`.
    """
    imported = [
        table(read(published / f"seed000_{name}.json"), "ko-leaderboard-v1")
        for name in LEADERBOARD_TABLES
    ]
    return [row for part in imported for row in part.rows]


def autorag_rows(published: Path) -> list[ClaimRow]:
    """AutoRAG's tables as the card's later state prints them.

    Recall gives the number of questions answered within k. Every question has one relevant page, so
    precision and F1 follow, and at k = 1 all metrics are equal. The printed mAP, mRR and nDCG for k
    > 1 were computed on the reversed list; where one histogram of ranks explains them, they are
    computed anew from it, else left out.
    """
    histograms = {
        row["model"]: row for row in read(published / "derived_autorag_true_ranks.json")["rows"]
    }
    numbers: list[tuple[str, str, float]] = []
    for k in CUTOFFS:
        for printed, f1, recall, precision, *_ in read(published / f"seed004_autorag_top{k}.json")[
            "rows"
        ]:
            n_found = round(recall * N_AUTORAG_QUERIES)
            exact = n_found / N_AUTORAG_QUERIES
            values = {"recall": exact, "precision": exact / k, "f1": 2 * exact / (k + 1)}
            for name, given in (("recall", recall), ("precision", precision), ("f1", f1)):
                assert abs(values[name] - given) < 1e-4, (printed, k, name)
            if k == 1:
                values |= dict.fromkeys(("map", "mrr", "ndcg"), exact)
            elif counts := histograms[printed]["gold_rank_counts_1_to_10"]:
                values |= ranking_metrics(counts[:k])
                assert sum(counts[:k]) == n_found, (printed, k)
            numbers += [(printed, f"{name}@{k}", value) for name, value in values.items()]
            if k == 10 and "ndcg" in values:
                numbers.append((printed, MAIN_SCORE, values["ndcg"]))
    place = ("AutoRAGRetrieval", "unknown", "test", "default")
    return [
        ClaimRow(model_name(name), UNSTATED, "", *place, metric, value)
        for name, metric, value in numbers
    ]


def ranking_metrics(counts: Sequence[int]) -> dict[str, float]:
    """Metrics at k of a histogram of the rank of the one relevant page; mAP equals mRR then."""
    reciprocal = math.fsum(n / rank for rank, n in enumerate(counts, 1)) / N_AUTORAG_QUERIES
    gain = (
        math.fsum(n / math.log2(rank + 1) for rank, n in enumerate(counts, 1)) / N_AUTORAG_QUERIES
    )
    return {"map": reciprocal, "mrr": reciprocal, "ndcg": gain}


def bge_rows(index: dict[str, Any], wanted: set[tuple[str, str, str, str]]) -> list[ClaimRow]:
    """The `model-index` of the card."""
    entries = [
        Entry(
            model=index["model_name"],
            task_type=result["task_type"],
            dataset=result["dataset_type"],
            name=result["dataset_name"],
            config=result["config"],
            split=result["split"],
            revision=result["revision"] or "",
            metrics=result["metrics"],
            line=1,
        )
        for result in index["results"]
    ]
    imported = card_rows(model_name(index["model_name"]), entries)
    assert not imported.problems, imported.problems
    return keep(imported.rows, wanted)


def table(content: dict[str, Any], benchmark: str) -> Imported:
    rows = [(0, row) for row in content["raw_rows"]]
    imported = table_rows(
        build(content["title"], content["columns"], rows, 0),
        boards_benchmark.load_benchmark(benchmark),
    )
    assert not imported.problems, imported.problems
    return imported


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def ship(name: str, rows: Sequence[ClaimRow], source: Source) -> None:
    path = FOLDER / f"{name}.parquet"
    write_claims(path, rows, source)
    n_models, n_tasks = len({row.model for row in rows}), len({row.task for row in rows})
    print(
        f"{path}: {len(rows)} numbers, {n_models} models, {n_tasks} tasks, {path.stat().st_size} "
        "bytes"
    )


if __name__ == "__main__":
    main()
