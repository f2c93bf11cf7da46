"""What looks on part of the documents save, and how often they err: `kemb choose` beside the same
decision from all documents, on the same resamples of the questions.

    python benchmarks/choose.py PACKS [--questions 60] [--resamples 200]

An error is a row of the full decision's first group that a look dropped, or a row taken that is not
in that group. Saved are the characters that dropped rows need not encode.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from kemb import statistics
from kemb.arrays import DoubleArray
from kemb.choosing.candidates import Limits, n_parameters, named, with_hybrids
from kemb.choosing.decide import decide
from kemb.choosing.questions import questions_of
from kemb.choosing.stages import Stage, drops, makers_of, spend, stages_of
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, Task, evaluate, load_task
from kemb.models.model import ModelOptions
from kemb.types import RetrievalData

MODELS = ("bm25:kiwi", "bm25:bigram", "kiwi-static", "usem3", "tfidf:char", "toy")
N_REPLICATES = 1000
ERRORS = (0.05, 0.2, 0.5)


def folder_of(pack: Path, folder: Path, n_questions: int, seed: int) -> Path:
    """WelfareQA as retrieval: every answer is a document, some questions are asked."""
    rows = pq.read_table(pack / "train.parquet").to_pylist()
    documents = list(dict.fromkeys(row["answer"].strip() for row in rows))
    number = {document: place for place, document in enumerate(documents)}
    asked = np.random.default_rng(seed).choice(len(rows), n_questions, replace=False)
    (folder / "qrels").mkdir(parents=True)
    files = {
        "corpus.jsonl": [{"_id": f"d{n}", "text": text} for n, text in enumerate(documents)],
        "queries.jsonl": [{"_id": f"q{row}", "text": rows[row]["question"]} for row in asked],
    }
    for name, lines in files.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")
    pairs = [f"q{row}\td{number[rows[row]['answer'].strip()]}\t1" for row in asked]
    header = "query-id\tcorpus-id\tscore"
    (folder / "qrels/test.tsv").write_text("\n".join([header, *pairs]) + "\n", encoding="utf-8")
    return folder


def n_characters(stage: Stage) -> int:
    data = stage.data.parts[0].data
    assert isinstance(data, RetrievalData)
    return sum(map(len, data.documents))


def resampled(values: DoubleArray, counts: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    return values.mean(axis=1), counts @ values.T / values.shape[1]


def simulate(
    tables: list[DoubleArray],
    lengths: list[int],
    encoders: list[set[str]],
    makers: set[int],
    sizes: list[int],
    n: int,
    error: float,
) -> None:
    """Print savings and errors over resamples of the questions.

    :param lengths: characters of the documents of every look.
    :param encoders: of every row, the models whose vectors it needs; words cost nothing.
    :param makers: rows that were measured on all documents first.
    :param error: of all looks together; kemb's is 0.05, the others are for the curve.
    """
    everything = set().union(*encoders)
    n_rows, n_questions = tables[0].shape
    counts = statistics.draw_counts(n_questions, N_REPLICATES, ["inner"]).astype(np.float64)
    rng = np.random.default_rng(0)
    alphas = spend(len(tables), error)
    n_wrong, shares = 0, []
    for _ in range(n):
        rows = rng.integers(0, n_questions, n_questions)
        living = list(range(n_rows))
        encoded = {name: lengths[-1] for row in makers for name in encoders[row]}
        for values, length, alpha in zip(tables[:-1], lengths[:-1], alphas[:-1], strict=True):
            needs = set().union(*(encoders[row] for row in living))
            encoded |= {name: max(encoded.get(name, 0), length) for name in needs}
            point, replicates = resampled(values[living][:, rows], counts)
            let_go = {drop.row for drop in drops(point, replicates, n_questions, alpha)}
            living = [row for place, row in enumerate(living) if place not in let_go]
        needs = set().union(*(encoders[row] for row in living))
        encoded |= dict.fromkeys(needs, lengths[-1])
        shares.append(1 - sum(encoded.values()) / (len(everything) * lengths[-1]))
        full = decide(*resampled(tables[-1][:, rows], counts), sizes, 0.05)
        staged = decide(
            *resampled(tables[-1][living][:, rows], counts),
            [sizes[row] for row in living],
            alphas[-1],
        )
        lost = set(full.group) - set(living)
        n_wrong += bool(lost) or living[staged.pick] not in full.group
    rate = n_wrong / n
    width = 1.96 * float(np.sqrt(max(rate * (1 - rate), 0.25 / n) / n))
    share = float(np.mean(shares))
    print(f"error spent {error:.0%}: saved {share:.0%}; errors {rate:.1%} +-{width:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("packs", type=Path)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folder = folder_of(options.packs / "WelfareQA", root / "data", options.questions, 0)
        task = load_task(folder)
        data = task.load()
        device = ModelOptions(device="cpu")
        candidates = with_hybrids(named(MODELS, Limits(), device)[0], device)
        run = RunOptions(root / "results", Store(options.store or root / "store"))
        models = [candidate.model for candidate in candidates]
        results = [outcome.result for outcome in evaluate([task], models, run)]
        names = [candidate.name for candidate in candidates]
        of = {c.name: (c.role, n_parameters(c.model) or 0) for c in candidates if "(" not in c.name}
        makers = {names.index(name) for name in makers_of(of)}
        stages = stages_of(data, [results[row] for row in sorted(makers)])
        tables = []
        for stage in stages:
            there = replace(run, results_dir=root / f"looks/{stage.n_documents}")
            at_stage = Task(task.spec, lambda stage=stage: stage.data)
            outcomes = evaluate([at_stage], models, there if not stage.is_last else run)
            questions = questions_of([outcome.result for outcome in outcomes], stage.data)
            tables.append(questions.values())
            scores = ", ".join(
                f"{n} {p:.3f}" for n, p in zip(names, questions.point(), strict=True)
            )
            print(f"{stage.share:.0%} of the documents ({stage.n_documents:,}): {scores}")
        parameters = [n_parameters(model) or 0 for model in models]
        order = sorted(range(len(models)), key=lambda row: (parameters[row], names[row]))
        sizes = [order.index(row) for row in range(len(models))]
        encoders = [{encoder.identity for encoder in model.encoders} for model in models]
        lengths = [n_characters(stage) for stage in stages]
        for error in ERRORS:
            simulate(tables, lengths, encoders, makers, sizes, options.resamples, error)


if __name__ == "__main__":
    main()
