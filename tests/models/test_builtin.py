"""`toy` and `tfidf:char` against scikit-learn, a known hash sequence, and the published score of
char tf-idf.
"""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import unicodedata
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kemb.models.encoders import hashed, tables
from kemb.types import Input

TEXTS = ["서울의 날씨가 맑다", "서울 날씨는 맑음", "ＫＯＲＥＡ 2024년 커피", "뷁쉛 커피 커피"]
OPENERS = [hashed.open_toy, hashed.open_tfidf]


def inputs(texts: list[str]) -> list[Input]:
    return [Input("", "", text) for text in texts]


def ngrams_of(text: str) -> list[str]:
    words = unicodedata.normalize("NFKC", text).lower().split()
    return [c for word in words for c in word] + [
        word[i : i + 2] for word in words for i in range(len(word) - 1)
    ]


def test_tfidf_equals_scikit_learn_before_hashing() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    lines = (
        (files("kemb.models") / "data/char_ngrams.tsv")
        .read_bytes()
        .decode()
        .rstrip("\n")
        .split("\n")
    )
    n = int(lines[0].split("\t")[1])
    table = {ngram: int(count) for ngram, count in (line.split("\t") for line in lines[1:])}
    vocabulary = sorted({ngram for text in TEXTS for ngram in ngrams_of(text)})
    assert any(ngram not in table for ngram in vocabulary)
    oracle = TfidfVectorizer(analyzer=ngrams_of, vocabulary=vocabulary, sublinear_tf=True)
    oracle.idf_ = np.array(
        [math.log((1 + n) / (1 + table.get(ngram, 4))) + 1 for ngram in vocabulary]
    )
    expected = oracle.transform(TEXTS)
    wide = hashed.HashedNgrams(1 << 22, hashed.open_tfidf().idf).encode(inputs(TEXTS))
    np.testing.assert_allclose(wide @ wide.T, (expected @ expected.T).toarray(), atol=1e-6)


def test_hash_is_splitmix64() -> None:
    # The first number of Vigna's splitmix64.c from seed 1234567.
    expected = 6457827717110365317
    vector = hashed.hash_features(np.array([1234567], dtype=np.uint64), np.array([2.5]), 2048)
    assert {int(i): float(vector[i]) for i in np.flatnonzero(vector)} == {expected % 2048: 2.5}
    assert expected < 1 << 63  # so its sign is plus


def test_codes_and_texts_of_ngrams_agree() -> None:
    codes, counts = hashed.ngrams("한국 한A 😀a")
    found = {
        hashed.ngram_text(int(code)): int(count) for code, count in zip(codes, counts, strict=True)
    }
    assert found == {"한": 2, "국": 1, "a": 2, "😀": 1, "한국": 1, "한a": 1, "😀a": 1}


@pytest.mark.parametrize("opener", OPENERS)
def test_vectors_have_unit_length_and_the_promised_shape(opener: type) -> None:
    encoder = opener()
    vectors = encoder.encode(inputs([*TEXTS, "", "   \n", "!", "\x00"]))
    assert vectors.shape == (8, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_vector_depends_on_its_own_input_only(opener: type) -> None:
    encoder = opener()
    together = encoder.encode(inputs(TEXTS))
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_array_equal(encoder.encode(inputs([text]))[0], row)


@pytest.mark.parametrize("opener", OPENERS)
def test_prompt_is_text_and_unicode_form_is_not(opener: type) -> None:
    encoder = opener()
    prompted, joined, plain = encoder.encode(
        [Input("", "질문: ", "서울"), Input("", "", "질문: 서울"), Input("", "", "서울")]
    )
    np.testing.assert_array_equal(prompted, joined)
    assert not np.array_equal(prompted, plain)
    decomposed = encoder.encode(inputs([unicodedata.normalize("NFD", "서울")]))[0]
    np.testing.assert_array_equal(decomposed, plain)
    assert encoder.token_counts([Input("", "ab", "cde"), Input("", "", "")]).tolist() == [5, 0]


def test_equal_bytes_in_every_process() -> None:
    script = (
        "from kemb.models.encoders import hashed as b\n"
        "from kemb.types import Input; import hashlib\n"
        f"x = [Input('', '', t) for t in {TEXTS!r}]\n"
        "print(*(hashlib.sha256(e().encode(x).tobytes()).hexdigest() for e in (b.open_toy, "
        "b.open_tfidf)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"},
    ).stdout.split()  # fmt: skip
    here = [
        hashlib.sha256(opener().encode(inputs(TEXTS)).tobytes()).hexdigest() for opener in OPENERS
    ]
    assert printed == here


def test_identity_follows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashed.tfidf_identity()
    read = tables._read
    monkeypatch.setattr(tables, "_read", lambda name: read(name) + "뷁\t5\n".encode())
    assert hashed.tfidf_identity() != before


def test_eight_megabytes_in_one_text() -> None:
    text = "한국어 문서를 검색하는 모델을 평가한다. " * 140_000
    assert len(text.encode()) > 7_500_000
    vectors = hashed.open_tfidf().encode(inputs([text, "한국어 문서를 검색하는 모델을 평가한다."]))
    assert vectors[0] @ vectors[1] > 0.9


@pytest.mark.shared
def test_korsts_as_published_for_character_tfidf(shared_data: Path) -> None:
    from scipy.stats import spearmanr

    table = pq.read_table(shared_data / "packs/KorSTS/test.parquet")
    encoder = hashed.open_tfidf()
    left, right = (encoder.encode(inputs(table[c].to_pylist())) for c in ("sentence1", "sentence2"))
    value = spearmanr((left * right).sum(axis=1), table["score"].to_numpy().astype(float))[0]
    assert value == pytest.approx(0.643, abs=0.005)
