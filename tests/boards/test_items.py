from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import v_measure_score

from kemb.arrays import ArrayVectors
from kemb.boards.benchmark import CellSpec, Formula
from kemb.boards.cells import cell_value
from kemb.boards.items import cell_measures, cell_replicates, part_measures
from kemb.errors import NotSupported, ResultError
from kemb.results.files import (
    ScoredPart,
    TaskResult,
    items_table,
    read_items,
    read_result,
    write_result,
)
from kemb.scoring.clusters import clustering
from kemb.scoring.items import metrics_from_items, of_part
from kemb.scoring.labels import classification, multilabel_classification
from kemb.scoring.pairs import bitext_mining, pair_classification, sts
from kemb.scoring.ranking import ranking_metrics
from kemb.scoring.search.search import top_k
from kemb.scoring.summarization import summarization
from kemb.tasks.spec import ClusteringProtocol, SummarizationProtocol
from kemb.types import (
    BitextData,
    ClusterData,
    LabelData,
    MultilabelData,
    PairData,
    PartScore,
    RetrievalData,
    SummaryData,
)
from records import record

N = 60
IDS = [f"i{number}" for number in range(N)]
TEXTS = [f"text {number}" for number in range(N)]
# A word of every fourth pair is the same, so that pairs are clustered.
PAIRS = PairData(IDS, TEXTS, [f"other {number // 4}" for number in range(N)], np.arange(N) % 6 / 5)
LABELLED = PairData(
    IDS,
    TEXTS,
    [f"other {number}" for number in range(N)],
    (np.arange(N) % 3 == 0).astype(np.float64),
)
CLASSES = LabelData(
    IDS,
    TEXTS,
    [number % 3 for number in range(N)],
    TEXTS[:12],
    [number % 3 for number in range(12)],
    [np.arange(9), np.arange(3, 12)],
    False,
)
LEVELS = ClusterData(
    IDS, TEXTS, [(number % 3, number % 5) for number in range(N)], np.zeros(N, dtype=np.int64)
)
PROBLEMS = ClusterData(IDS, TEXTS, [(number % 3,) for number in range(N)], np.arange(N) // 30)
QUERIES = RetrievalData(
    IDS,
    TEXTS,
    [f"q{number}" for number in range(20)],
    TEXTS[:20],
    {f"q{n}": {f"i{n}": 2, f"i{n + 30}": 1} for n in range(20)},
)
BITEXT = BitextData(IDS, TEXTS, TEXTS)
MANY = MultilabelData(
    IDS,
    TEXTS,
    [tuple({n % 2, n % 3}) for n in range(N)],
    TEXTS[:12],
    [(n % 3,) for n in range(12)],
    [np.arange(9), np.arange(3, 12)],
    False,
)
SUMMARIES = SummaryData(
    IDS[:20], TEXTS, np.arange(N) // 3, TEXTS[:40], np.arange(40) // 2, np.arange(N) % 5 / 4
)

CASES = {
    "sts": (
        "sts",
        "cosine_spearman",
        ["pearson", "mean_correlation", "mean(euclidean_spearman, dot_pearson)"],
    ),
    "pair_classification": ("pair_classification", "max_ap", ["similarity_ap", "cosine_ap"]),
    "classification": ("classification", "accuracy", []),
    "levels": ("clustering", "v_measure", []),
    "problems": ("clustering", "v_measure", []),
    "retrieval": ("retrieval", "ndcg@10", ["mean(ndcg@5, mrr@10)", "f1_of_means@5", "hit_rate@1"]),
    "multilabel": ("multilabel_classification", "accuracy", []),
    "summaries": ("summarization", "cosine_spearman", ["spearman", "mean(pearson, dot_pearson)"]),
    "bitext": ("bitext_mining", "f1", ["recall"]),
}


def scored(case: str, seed: int) -> PartScore:
    """The score of a random model, by the functions that make results."""
    rng = np.random.default_rng(seed)
    a, b = (ArrayVectors(rng.normal(size=(N, 6)).astype(np.float32)) for _ in range(2))
    similarity = "cosine" if seed % 2 else "dot"
    match case:
        case "sts":
            return sts(PAIRS, {"sentence1": a, "sentence2": b}, similarity=similarity)
        case "pair_classification":
            return pair_classification(
                LABELLED, {"sentence1": a, "sentence2": b}, similarity=similarity
            )
        case "classification":
            return classification(CLASSES, {"texts": a, "train_texts": ArrayVectors(b.array[:12])})
        case "levels":
            protocol = ClusteringProtocol(n_experiments=3, documents_per_experiment=40)
            return clustering(protocol, LEVELS, {"texts": a})
        case "problems":
            return clustering(ClusteringProtocol(kind="rows"), PROBLEMS, {"texts": a})
        case "retrieval":
            run = top_k(
                a.array[:20], b, doc_ids=IDS, query_ids=QUERIES.query_ids, similarity=similarity
            )
            return ranking_metrics(run, QUERIES)
        case "multilabel":
            return multilabel_classification(
                MANY, {"texts": a, "train_texts": ArrayVectors(b.array[:12])}
            )
        case "summaries":
            vectors = {"machine": a, "human": ArrayVectors(b.array[:40])}
            return summarization(SummarizationProtocol(), SUMMARIES, vectors, similarity=similarity)
        case _:
            return bitext_mining(BITEXT, {"sentence1": a, "sentence2": b}, similarity=similarity)


def write(root: Path, case: str, seed: int, splits: tuple[str, ...] = ("test",)) -> TaskResult:
    task_type, main, _ = CASES[case]
    provenance = record(
        task={"type": task_type, "main_metric": main},
        model={"name": f"m{seed}", "similarity": "cosine" if seed % 2 else "dot"},
    )
    parts = [
        ScoredPart(s, "default", ["kor-Hang"], scored(case, seed + 10 * i), main)
        for i, s in enumerate(splits)
    ]
    return read_result(write_result(root / f"m{seed}" / "r", case, "1", parts, provenance))


def measures(results: list[TaskResult], expression: str) -> Any:  # noqa: ANN401
    return part_measures(
        results, [read_items(result) for result in results], ("test", "default"), expression
    )


EXPRESSIONS = [
    (case, name) for case, (_, main, more) in CASES.items() for name in ["main_score", main, *more]
]


@pytest.mark.parametrize(("case", "expression"), EXPRESSIONS)
def test_the_point_is_the_recorded_score_of_every_row(
    case: str, expression: str, tmp_path: Path
) -> None:
    """Items are read by one code, scores were computed from vectors by another (scipy,
    scikit-learn).
    """
    results = [write(tmp_path, case, seed) for seed in (1, 2, 3)]
    point = measures(results, expression).point()
    cell = CellSpec.model_construct(
        task=case, metric=expression, splits=["test"], subsets=[], members=[]
    )
    expected = [cell_value(cell, Formula(), {case: result}) for result in results]
    assert point == pytest.approx(expected, abs=1e-6)  # average precision is float32 inside
    assert len(set(np.round(point, 5))) > 1


@pytest.mark.parametrize(
    "case", ["multilabel", "summaries", "classification", "bitext", "retrieval"]
)
def test_the_items_of_a_part_give_its_metrics_again(case: str, tmp_path: Path) -> None:
    result = write(tmp_path, case, 1)
    task_type = CASES[case][0]
    again = metrics_from_items(of_part(read_items(result), "test", "default"), task_type)  # type: ignore[arg-type]
    (recorded,) = result.scores["test"]
    assert again == pytest.approx({name: recorded[name] for name in again}, abs=1e-12)
    assert CASES[case][1] in again


@pytest.mark.parametrize("case", list(CASES))
def test_a_row_has_the_same_replicates_whoever_stands_beside_it_and_in_whatever_order_its_items_lie(
    case: str, tmp_path: Path
) -> None:
    results = [write(tmp_path, case, seed) for seed in (1, 2)]
    tables = [read_items(result) for result in results]
    both = part_measures(results, tables, ("test", "default"), "main_score").replicates(50, 7)
    alone = part_measures(results[1:], tables[1:], ("test", "default"), "main_score").replicates(
        50, 7
    )
    assert alone[:, 0] == pytest.approx(both[:, 1], abs=1e-12)
    backwards = tables[1].take(pa.array(np.arange(tables[1].num_rows)[::-1]))
    again = part_measures(
        results, [tables[0], backwards], ("test", "default"), "main_score"
    ).replicates(50, 7)
    assert again == pytest.approx(both, abs=1e-12)
    assert both.mean(axis=0) == pytest.approx(measures(results, "main_score").point(), abs=1e-12)


def test_pairs_that_share_a_sentence_are_drawn_together(tmp_path: Path) -> None:
    found = measures([write(tmp_path, "sts", 1)], "main_score").clusters
    assert found is not None
    assert [len(set(found[start : start + 4])) for start in range(0, N, 4)] == [1] * 15
    assert len(set(found)) == 15
    assert measures([write(tmp_path, "pair_classification", 1)], "main_score").clusters is None


@pytest.mark.parametrize(
    ("case", "metric"),
    [
        ("classification", "f1"),
        ("pair_classification", "cosine_accuracy"),
        ("levels", "ami"),
        ("retrieval", "ndcg@7"),
    ],
)
def test_metrics_without_a_measure_are_named(case: str, metric: str, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match=metric):
        measures([write(tmp_path, case, 1)], metric)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_rows_with_other_items_are_refused(case: str, tmp_path: Path) -> None:
    results = [write(tmp_path, case, seed) for seed in (1, 2)]
    tables = [read_items(result) for result in results]
    ids = pa.array([f"x{item_id}" for item_id in tables[1]["item_id"].to_pylist()])
    tables[1] = tables[1].set_column(tables[1].schema.get_field_index("item_id"), "item_id", ids)
    with pytest.raises(ResultError, match=r"not those of the other rows.*m2 with --overwrite"):
        part_measures(results, tables, ("test", "default"), "main_score")
    with pytest.raises(ResultError, match="or are missing"):
        part_measures(results[:1], [items_table([])], ("test", "default"), "main_score")


def test_a_cell_is_the_mean_of_its_parts_and_members(tmp_path: Path) -> None:
    rows = [
        {case: write(tmp_path, case, seed, ("test", "dev")) for case in ("levels", "problems")}
        for seed in (1, 2)
    ]
    cell = CellSpec.model_construct(
        task="whole",
        name="",
        metric="main_score",
        splits=["dev", "test"],
        subsets=[],
        members=["levels", "problems"],
    )
    parts = cell_measures(cell, Formula(), rows)
    assert [(part.task, part.split) for part in parts] == [
        ("levels", "dev"),
        ("levels", "test"),
        ("problems", "dev"),
        ("problems", "test"),
    ]
    replicates = cell_replicates(parts, 20, 3)
    assert replicates == pytest.approx(np.mean([part.replicates(20, 3) for part in parts], axis=0))
    expected = [cell_value(cell, Formula(), row) for row in rows]
    assert replicates.mean(axis=0) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(NotSupported, match="do not hold the same tasks for whole"):
        cell_measures(cell, Formula(), [rows[0], {"levels": rows[1]["levels"]}])


@pytest.mark.slow
def test_intervals_of_the_v_measure_hold_the_expected_score_as_often_as_they_say(
    tmp_path: Path,
) -> None:
    """Raw bootstrap replicates are biased upwards so much that theirs do not: repeated documents
    always agree.
    """
    rng = np.random.default_rng(0)
    chances = (rng.dirichlet(np.full(7, 0.4), size=6) / 6).ravel()

    def draw(n: int = N) -> tuple[np.ndarray, np.ndarray]:
        cells = rng.choice(42, size=n, p=chances)
        return cells // 7, cells % 7

    truth = np.mean([v_measure_score(*draw()) for _ in range(1000)])
    centred, raw = 0, 0
    result = write(tmp_path, "problems", 1)
    for seed in range(150):
        labels, clusters = draw()
        names = ["gold"] * N + ["assignment"] * N
        table = pa.table(
            {
                "split": ["test"] * 2 * N,
                "subset": ["default"] * 2 * N,
                "item_id": IDS * 2,
                "cluster_id": pa.nulls(2 * N, pa.string()),
                "metric": names,
                "experiment": [0] * 2 * N,
                "value": np.concatenate([labels, clusters]).astype(np.float64),
            }
        )
        part = part_measures([result], [table], ("test", "default"), "v_measure")
        replicates = part.replicates(300, seed)[:, 0]
        low, high = np.quantile(replicates, [0.025, 0.975])
        centred += int(low <= truth <= high)
        lift = part.measures["v_measure"].replicates(
            rng.multinomial(N, np.full(N, 1 / N), size=300)
        )[:, 0]
        low, high = np.quantile(lift, [0.025, 0.975])
        raw += int(low <= truth <= high)
    assert centred / 150 > 0.9
    assert raw / 150 < 0.8
