"""Clustering against freshly created mteb tasks: equal, not close."""

from __future__ import annotations

from itertools import chain

import pytest

pytest.importorskip("mteb")

import numpy as np

from kemb.arrays import ArrayVectors, FloatArray
from kemb.scoring.clusters import clustering
from kemb.tasks.spec import ClusteringProtocol
from kemb.types import ClusterData, Label
from mteb_tasks import evaluate, numbers, rows, splits

pytestmark = pytest.mark.torch

N = 300


def topics(seed: int, n_topics: int) -> tuple[FloatArray, list[int]]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_topics, N)
    array = rng.standard_normal((n_topics, 10))[codes] + rng.normal(0, 0.8, (N, 10))
    return array.astype(np.float32), codes.tolist()


def data_of(labels: list[tuple[Label, ...]], problems: list[int]) -> ClusterData:
    return ClusterData(numbers(N), numbers(N), labels, np.array(problems))


@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_mteb(seed: int) -> None:
    table, codes = topics(seed, 5)
    codes[200:] = [7] * 100
    bounds = [(0, 120), (120, 200), (200, N)]
    dataset = splits(
        test=rows(
            sentences=[numbers(stop - start, start) for start, stop in bounds],
            labels=[codes[start:stop] for start, stop in bounds],
        )
    )
    theirs = evaluate("KlueMrcDomainClustering", "test", dataset, table)
    problems = np.repeat([0, 1, 2], [stop - start for start, stop in bounds]).tolist()
    ours = clustering(
        ClusteringProtocol(kind="rows"),
        data_of([(c,) for c in codes], problems),
        {"texts": ArrayVectors(table)},
    )
    assert ours.experiments["v_measure"] == theirs["v_measures"]
    assert {name: theirs[name] for name in ours.metrics} == ours.metrics


@pytest.mark.parametrize(
    ("protocol", "attributes"),
    [
        ({"max_documents": 1004}, {}),
        ({"max_documents": 180}, {"max_document_to_embed": 180}),
        (
            {"fraction": 0.5},
            {"max_document_to_embed": None, "max_fraction_of_documents_to_embed": 0.5},
        ),
        ({}, {"max_document_to_embed": None, "max_fraction_of_documents_to_embed": None}),
    ],
    ids=["sib200", "maximum", "fraction", "all"],
)
@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
def test_bootstrap_equals_mteb(
    protocol: dict[str, float], attributes: dict[str, object], text: bool
) -> None:
    table, codes = topics(1, 6)
    labels: list[Label] = [f"주제{code}" if text else code for code in codes]
    small = {"max_documents_per_cluster": 700, "n_clusters": 3}
    theirs = evaluate(
        "SIB200ClusteringS2S",
        "test",
        splits(test=rows(sentences=numbers(N), labels=labels)),
        table,
        **{
            "max_document_to_embed": 1004,
            "max_fraction_of_documents_to_embed": None,
            **small,
            **attributes,
        },
    )
    ours = clustering(
        ClusteringProtocol.model_validate(
            {**protocol, "documents_per_experiment": 700, "n_experiments": 3}
        ),
        data_of([(label,) for label in labels], [0] * N),
        {"texts": ArrayVectors(table)},
    )
    assert ours.experiments["v_measure"] == theirs["v_measures"]["Level 0"]
    assert ours.experiments["ami"] == theirs["ami_scores"]["Level 0"]
    assert {name: theirs[name] for name in ours.metrics} == ours.metrics


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize("max_depth", [None, 2])
def test_levels_equal_mteb(text: bool, max_depth: int | None) -> None:
    table, codes = topics(2, 8)
    paths = [[code % 2, code % 4, code][: 2 + code % 2] for code in codes]
    labels = [[f"주제{label}" if text else label for label in path] for path in paths]
    theirs = evaluate(
        "SIB200ClusteringS2S",
        "test",
        splits(test=rows(sentences=numbers(N), labels=labels)),
        table,
        max_documents_per_cluster=600,
        n_clusters=2,
        max_depth=max_depth,
    )
    ours = clustering(
        ClusteringProtocol(
            max_documents=1004, documents_per_experiment=600, n_experiments=2, max_depth=max_depth
        ),
        data_of([tuple(path) for path in labels], [0] * N),
        {"texts": ArrayVectors(table)},
    )
    assert ours.experiments["v_measure"] == list(chain(*theirs["v_measures"].values()))
    assert len(ours.experiments["v_measure"]) == 2 * (max_depth or 3)
    assert {name: theirs[name] for name in ours.metrics} == ours.metrics
