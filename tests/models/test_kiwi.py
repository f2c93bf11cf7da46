"""`kiwi-static`: the recovered vectors against Kiwi's own similarities, the cache, and texts
without vectors.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kemb.errors import DiskError, MissingExtra
from kemb.models import analysers
from kemb.models.encoders import kiwi_static
from kemb.types import Input

TEXTS = ["은행에서 돈을 빌렸다", "대출을 받았다", "고양이가 잔다", "Python 3.11", "어머나"]


def inputs(texts: list[str]) -> list[Input]:
    return [Input("", "", text) for text in texts]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("kiwipiepy")
    folder = tmp_path_factory.mktemp("kiwi")
    kiwi_static.load_morphemes(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(cache_dir: Path) -> kiwi_static.KiwiStatic:
    return kiwi_static.open_kiwi_static(cache_dir)


def test_vectors_are_recovered_from_cosines_alone() -> None:
    true = np.random.default_rng(0).standard_normal((1000, 256))
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    vectors = kiwi_static.recover_vectors(lambda i, j: float(true[i] @ true[j]), len(true))
    np.testing.assert_allclose(vectors @ vectors.T, true @ true.T, atol=1e-4)


@pytest.mark.slow
def test_recovered_vectors_reproduce_kiwis_similarities(cache_dir: Path) -> None:
    kiwi = analysers.load_kiwi("test")
    keys, vectors = kiwi_static.load_morphemes(cache_dir)
    assert vectors.shape[1] == 256
    assert len(keys) == len(vectors) > 70_000
    pairs = np.random.default_rng(1).integers(0, len(vectors), (2000, 2))
    expected = [kiwi.morpheme_similarity(int(i), int(j)) for i, j in pairs]
    np.testing.assert_allclose(
        (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1), expected, atol=1e-5
    )
    assert keys[100] == (kiwi.morpheme(100).form, kiwi.morpheme(100).tag)


@pytest.mark.slow
def test_meaning_counts_where_words_differ(encoder: kiwi_static.KiwiStatic) -> None:
    bank, loan, cat, *_ = encoder.encode(inputs(TEXTS))
    assert bank @ loan > bank @ cat + 0.1


@pytest.mark.slow
def test_texts_without_vectors_are_told_apart_and_never_zero(
    encoder: kiwi_static.KiwiStatic,
) -> None:
    vectors = encoder.encode(
        inputs(["어머나", "에이씨", "ㅋㅋㅋ", "😀", "Zyxwv", "Vwxyz", "", "   \n"])
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    similar = np.abs(vectors @ vectors.T - np.eye(len(vectors)))
    assert similar[-1, -2] == pytest.approx(1)  # the two empty texts
    assert similar[:-1, :-1].max() < 0.5
    assert encoder.encode([]).shape == (0, 256)


@pytest.mark.slow
def test_a_vector_depends_on_its_own_input_only(encoder: kiwi_static.KiwiStatic) -> None:
    together = encoder.encode(inputs(TEXTS))
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_array_equal(encoder.encode(inputs([text]))[0], row)
        np.testing.assert_array_equal(
            encoder.encode(inputs([unicodedata.normalize("NFD", text)]))[0], row
        )


@pytest.mark.slow
def test_equal_bytes_in_every_process(encoder: kiwi_static.KiwiStatic, cache_dir: Path) -> None:
    script = (
        "from kemb.models.encoders import kiwi_static as k; from kemb.types import Input\n"
        "from pathlib import Path\n"
        f"e = k.open_kiwi_static(Path({str(cache_dir)!r}))\n"
        f"print(e.encode([Input('', '', t) for t in {TEXTS!r}]).tobytes().hex())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"},
    ).stdout.strip()  # fmt: skip
    assert printed == encoder.encode(inputs(TEXTS)).tobytes().hex()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_cache_is_made_again(
    cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    (good,) = cache_dir.iterdir()
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / good.name).write_bytes(data if damage == "flip" else data[: len(data) // 2])
    _, vectors = kiwi_static.load_morphemes(cache_dir)
    monkeypatch.setattr(kiwi_static, "recover_vectors", lambda _similarity, _n: vectors)
    np.testing.assert_array_equal(kiwi_static.load_morphemes(tmp_path)[1], vectors)
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert (tmp_path / good.name).read_bytes() == good.read_bytes()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kiwipiepy")
    monkeypatch.setattr(
        kiwi_static, "recover_vectors", lambda _similarity, n: np.zeros((n, 1), dtype=np.float32)
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="XDG_CACHE_HOME"):
        kiwi_static.load_morphemes(tmp_path / "file")


def test_identity_names_kiwi_and_the_tables() -> None:
    identity = kiwi_static.kiwi_static_identity()
    assert importlib.metadata.version("kiwipiepy") in identity["kiwi"]
    assert len(identity["tables"]) == 16


def test_sign_vectors_have_unit_length_and_differ() -> None:
    words = [kiwi_static.sign_vector(word) for word in ("텐서", "렌더링", "")]
    np.testing.assert_allclose(np.stack(words) @ np.stack(words).T, np.eye(3), atol=0.25)
    np.testing.assert_allclose([word @ word for word in words], 1, atol=1e-6)


def test_missing_kiwi_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    analysers._kiwi.cache_clear()
    with pytest.raises(MissingExtra, match=r'kiwi-static needs .* pip install "kemb\[kiwi\]"'):
        kiwi_static.open_kiwi_static(tmp_path)


@pytest.mark.shared
@pytest.mark.slow
def test_korsts_as_measured_before_for_kiwi_vectors(
    encoder: kiwi_static.KiwiStatic, shared_data: Path
) -> None:
    from scipy.stats import spearmanr

    table = pq.read_table(shared_data / "packs/KorSTS/test.parquet")
    left, right = (encoder.encode(inputs(table[c].to_pylist())) for c in ("sentence1", "sentence2"))
    value = spearmanr((left * right).sum(axis=1), table["score"].to_numpy().astype(float))[0]
    assert (
        0.617 <= value < 0.70
    )  # 0.617 is the same method without hashed words and with two components
