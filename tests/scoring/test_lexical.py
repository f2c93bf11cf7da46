"""BM25 against hand-computed scores, bm25s, mteb's baseline and the published numbers."""

from __future__ import annotations

import importlib.metadata
import math
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kemb.errors import MissingExtra, UnknownName
from kemb.models import analysers
from kemb.scoring.search import lexical
from kemb.types import RetrievalData

DOCUMENTS = ["서울 날씨 맑음", "부산 날씨 흐림 날씨", "커피"]


def retrieval(
    documents: list[str], queries: list[str], ids: list[str] | None = None
) -> RetrievalData:
    ids = ids or [f"d{i}" for i in range(len(documents))]
    return RetrievalData(ids, documents, [f"q{i}" for i in range(len(queries))], queries, {})


def pack(folder: Path) -> RetrievalData:
    corpus = pq.read_table(folder / "corpus.parquet").to_pylist()
    queries = pq.read_table(folder / "queries.parquet").to_pylist()
    qrels: dict[str, dict[str, int]] = {}
    for row in pq.read_table(folder / "qrels.parquet").to_pylist():
        qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    documents = [f"{row['title'] or ''} {row['text']}".strip() for row in corpus]
    return RetrievalData(
        [row["id"] for row in corpus],
        documents,
        [row["id"] for row in queries],
        [row["text"] for row in queries],
        qrels,
    )


def ndcg10(data: RetrievalData, analyser: str) -> float:
    import pytrec_eval

    run = lexical.search(analyser, data, 1000)
    found = {
        query: {
            data.doc_ids[row]: float(score)
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        }
        for query, rows, scores in zip(data.query_ids, run.indices, run.scores, strict=True)
    }
    values = pytrec_eval.RelevanceEvaluator(data.qrels, {"ndcg_cut_10"}).evaluate(found).values()
    return float(np.mean([value["ndcg_cut_10"] for value in values]))


def random_tokens(seed: int, n_texts: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[f"t{t}" for t in rng.zipf(1.4, rng.integers(1, 40)) % 60] for _ in range(n_texts)]


def test_scores_computed_by_hand() -> None:
    # Bigrams: 3, 4 and 1 terms, mean 8/3. "날씨": df 2 of 3, idf ln(1 + 1.5/2.5); "부산": df 1, idf
    # ln(1 + 2.5/1.5).
    run = lexical.search("bigram", retrieval(DOCUMENTS, ["부산 날씨"]), k=3)
    idf_weather, idf_busan = math.log(1.6), math.log(1 + 2.5 / 1.5)
    d0 = idf_weather * 1 / (1 + 1.5 * (0.25 + 0.75 * 3 / (8 / 3)))
    norm = 1.5 * (0.25 + 0.75 * 4 / (8 / 3))
    d1 = idf_busan * 1 / (1 + norm) + idf_weather * 2 / (2 + norm)
    assert run.indices.tolist() == [[1, 0, 2]]
    assert run.scores[0].tolist() == pytest.approx([d1, d0, 0.0], rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_bm25s_bit_for_bit(seed: int) -> None:
    bm25s = pytest.importorskip("bm25s")
    documents, queries = random_tokens(seed, 200), random_tokens(seed + 100, 20)
    oracle = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    oracle.index(documents, show_progress=False)
    index = lexical.build_index(documents)
    for query in queries:
        np.testing.assert_array_equal(
            lexical.score_documents(index, query), oracle.get_scores(query)
        )


@pytest.mark.slow
def test_mteb_analyser_equals_mtebs_baseline() -> None:
    bm25s = pytest.importorskip("bm25s")
    from mteb.models.model_implementations.bm25 import BM25Tokenizer

    documents = [
        "날씨가 좋다\n그리고 ＡＢＣ도 좋다",
        "날씨가 나쁘다",
        "커피 한 잔이 좋다",
        "",
        "다다 하다 1\t2",
        "가다",
        "오다",
        "자다",
        "보다",
        "먹다",
        "쓰다",
    ]
    queries = ["abc 좋다\n날씨", "커피다", "ㅋㅋ"]
    tokenizer = BM25Tokenizer(language="kor")
    oracle = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    oracle.index(tokenizer.fit_transform(["\n" + text for text in documents]), show_progress=False)
    found, scores = oracle.retrieve(
        tokenizer.transform(queries), k=len(documents), show_progress=False
    )
    run = lexical.search("mteb", retrieval(documents, queries), k=len(documents))
    for i in range(len(queries)):
        ours = dict(zip(run.indices[i].tolist(), run.scores[i].tolist(), strict=True))
        assert ours == dict(zip(found[i].tolist(), scores[i].tolist(), strict=True))


def test_ties_and_queries_without_terms_go_by_id_descending() -> None:
    ids = ["b", "a10", "a9", "c"]
    run = lexical.search(
        "bigram", retrieval(["사과", "사과", "배나무", "사과"], ["사과", "없는말", ""], ids), k=3
    )
    named = [[ids[row] for row in rows] for rows in run.indices]
    assert named == [["c", "b", "a10"], ["c", "b", "a9"], ["c", "b", "a9"]]
    assert run.scores[1:].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_fewer_documents_than_k_leave_empty_places() -> None:
    run = lexical.search("bigram", retrieval(DOCUMENTS, ["커피"]), k=5)
    assert run.indices.tolist() == [[2, 1, 0, -1, -1]]
    assert run.scores[0, 3:].tolist() == [-np.inf, -np.inf]
    assert (run.indices.dtype, run.scores.dtype) == (np.int64, np.float32)


def test_documents_without_any_term_score_zero() -> None:
    run = lexical.search("bigram", retrieval(["가", "나"], ["가 나"]), k=2)
    assert run.indices.tolist() == [[1, 0]]
    assert run.scores.tolist() == [[0, 0]]


def test_bigrams_stay_inside_words() -> None:
    assert list(analysers.tokenize("bigram", ["ＫＯＲＥＡ의 한 은행업"])) == [
        ["ko", "or", "re", "ea", "a의", "은행", "행업"]
    ]


@pytest.mark.slow
def test_kiwi_keeps_words_that_carry_content() -> None:
    text = "서울에서 커피를 3잔 마셨다. 아름다운 API를 사용했습니다!"
    assert list(analysers.tokenize("kiwi", [text, ""])) == [
        ["서울", "커피", "3", "잔", "마시", "아름답", "api", "사용"],
        [],
    ]


@pytest.mark.parametrize("analyser", analysers.ANALYSERS)
def test_decomposed_hangul_gives_the_same_terms(analyser: str) -> None:
    text = "은행의 인가 요건은 무엇인가요?"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    composed_terms, decomposed_terms = analysers.tokenize(analyser, [text, decomposed])
    assert composed_terms == decomposed_terms != []


@pytest.mark.slow
def test_kiwi_reads_long_texts_in_pieces_without_losing_words() -> None:
    (terms,) = analysers.tokenize("kiwi", ["하늘이 파랗다. " * 2000])
    assert terms.count("하늘") == 2000
    (solid,) = analysers.tokenize("kiwi", ["7" * 9000])
    assert sum(map(len, solid)) == 9000


def test_eight_megabytes_in_one_document() -> None:
    sentence = "한국어 문서를 검색하는 모델을 평가한다. "
    large = sentence * (8_000_000 // len(sentence.encode()))
    for analyser in ("bigram", "mteb"):
        run = lexical.search(analyser, retrieval([large, "짧은 커피 문서", "책"], ["커피"]), k=1)
        assert run.indices.tolist() == [[1]]


def test_progress_counts_documents_and_queries() -> None:
    seen: list[int] = []
    lexical.search("bigram", retrieval(DOCUMENTS, ["커피", "날씨"]), k=1, progress=seen.append)
    assert sum(seen) == 5


@pytest.mark.slow
def test_order_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from kemb.models.analysers import ANALYSERS; from kemb.types import RetrievalData as R\n"
        "from kemb.scoring.search import lexical\n"
        "d = R(list('abcd'), ['서울 날씨', '부산 날씨', '서울 부산', '날씨 서울'], ['q'], ['부산 "
        "서울 날씨'], {})\n"
        "for a in ANALYSERS:\n"
        "    r = lexical.search(a, d, 4); print(r.indices.tolist(), r.scores.tobytes().hex())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop().count("\n") == 3


def test_unknown_analyser_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean bigram"):
        lexical.search("bigrams", retrieval(DOCUMENTS, ["커피"]), k=1)


def test_version_names_kiwi_and_its_model() -> None:
    version = importlib.metadata.version
    assert analysers.analyser_version("kiwi") == (
        f"1-kiwipiepy-{version('kiwipiepy')}+model-{version('kiwipiepy_model')}"
    )
    assert analysers.analyser_version("bigram") == analysers.analyser_version("mteb") == "1"


def test_missing_kiwi_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    monkeypatch.setattr(importlib.metadata, "version", absent)
    analysers._kiwi.cache_clear()
    with pytest.raises(MissingExtra, match=r'bm25:kiwi needs .* pip install "kemb\[kiwi\]"'):
        lexical.search("kiwi", retrieval(DOCUMENTS, ["커피"]), k=1)
    with pytest.raises(MissingExtra, match="bm25:kiwi"):
        analysers.analyser_version("kiwi")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "analyser", "value", "tolerance"),
    [
        ("AutoRAGRetrieval", "mteb", 0.65022, 1e-5),
        ("AutoRAGRetrieval", "bigram", 0.91607, 1e-4),
        ("DocsKo", "bigram", 0.443, 1e-3),
    ],
)
def test_published_numbers(
    shared_data: Path, name: str, analyser: str, value: float, tolerance: float
) -> None:
    assert ndcg10(pack(shared_data / "packs" / name), analyser) == pytest.approx(
        value, abs=tolerance
    )


@pytest.mark.shared
@pytest.mark.slow
def test_morphemes_beat_bigrams_on_questions(shared_data: Path) -> None:
    assert ndcg10(pack(shared_data / "packs" / "AutoRAGRetrieval"), "kiwi") > 0.91607
