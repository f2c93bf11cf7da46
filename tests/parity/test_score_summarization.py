"""Summarization against freshly created mteb tasks."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb")

import numpy as np

from kemb.arrays import ArrayVectors, FloatArray
from kemb.errors import DataError, ModelError
from kemb.scoring.summarization import summarization
from kemb.tasks.spec import SummarizationProtocol
from kemb.types import SummaryData
from mteb_tasks import evaluate, numbers, rows, tied

pytestmark = pytest.mark.torch


def sample(rng: np.random.Generator, n: int) -> SummaryData:
    """Documents with three to eight machine and one to three human summaries; gold scores of the
    first are equal.
    """
    n_machine, n_human = rng.integers(3, 9, n), rng.integers(1, 4, n)
    gold = rng.integers(0, 6, n_machine.sum()).astype(np.float64)
    gold[: n_machine[0]] = 2
    machine, human = (
        numbers(int(n_machine.sum())),
        numbers(int(n_human.sum()), int(n_machine.sum())),
    )
    of = [np.repeat(np.arange(n), counts) for counts in (n_machine, n_human)]
    return SummaryData(numbers(n), machine, of[0], human, of[1], gold)


def score(
    data: SummaryData, table: FloatArray, similarity: str, with_p: bool = False
) -> dict[str, float]:
    vectors = {
        "machine": ArrayVectors(table[: len(data.machine)]),
        "human": ArrayVectors(table[len(data.machine) :]),
    }
    return summarization(
        SummarizationProtocol(average_p_values=with_p), data, vectors, similarity=similarity
    ).metrics


@pytest.mark.parametrize("task", ["SummEval", "SummEvalSummarization.v2"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("is_tied", [False, True])
def test_every_metric_is_mtebs(task: str, similarity: str, is_tied: bool) -> None:
    rng = np.random.default_rng(3)
    data = sample(rng, 30)
    n_texts = len(data.machine) + len(data.human)
    table = (
        tied(rng, n_texts, 4) if is_tied else rng.standard_normal((n_texts, 4)).astype(np.float32)
    )
    if is_tied:  # exact cosines need vectors of one length
        table = np.where(table == 0, 1, np.sign(table)).astype(np.float32)
    documents = range(len(data.document_ids))
    dataset = rows(
        text=[""] * len(documents),
        machine_summaries=[
            [t for t, d in zip(data.machine, data.machine_of, strict=True) if d == n]
            for n in documents
        ],
        human_summaries=[
            [t for t, d in zip(data.human, data.human_of, strict=True) if d == n] for n in documents
        ],
        relevance=[data.gold[data.machine_of == n].tolist() for n in documents],
    )
    theirs = evaluate(task, "test", {"test": dataset}, table, similarity)
    ours = score(data, table, similarity, with_p=task == "SummEval")
    assert len(ours) == 6
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], abs=1e-6), name


def test_a_constant_encoder_and_constant_gold_scores_are_refused() -> None:
    data = sample(np.random.default_rng(0), 5)
    table = np.ones((len(data.machine) + len(data.human), 3), dtype=np.float32)
    with pytest.raises(ModelError, match="equally similar"):
        score(data, table, "cosine")
    data.gold[:] = 1
    with pytest.raises(DataError, match="different gold scores"):
        score(data, table, "cosine")
