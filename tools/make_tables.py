"""Make the shipped tables of `tfidf:char` and `kiwi-static` from public Korean training texts.

    python tools/make_tables.py PACKS_DIR

Only counts and coefficients are shipped. The texts are the training splits of packs under MIT, CC0
and CC BY; a text that also stands in a pack used for evaluation is left out. Running it again on
the same packs and the same kiwipiepy gives the same bytes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kemb.arrays import DoubleArray
from kemb.models.analysers import kiwi_tokens, kiwi_version
from kemb.models.encoders import kiwi_static
from kemb.models.encoders.hashed import NGRAM_TABLE, ngram_text, ngrams
from kemb.models.encoders.tables import read_counts

OUT = Path(__file__).resolve().parent.parent / "src/kemb/models/data"
TRAINING = ("ChatbotData", "DocsKo", "KorQuestionPair", "NSMC-raw-sample", "WelfareQA")
COLUMNS = ("sentence1", "sentence2", "question", "answer", "document", "text", "anchor", "positive")
EVALUATED = (
    "AutoRAGRetrieval",
    "DocsKo",
    "FLORES-sib-kor-eng",
    "KLUE-NLI",
    "KorNLI",
    "KorSTS",
    "KorSarcasm",
    "ParaKQC",
    "SIB200",
    "STS17-ko-ko",
    "Tatoeba-kor-eng",
)
MIN_COUNT = 5
"""Rarer keys are left out of the tables; they get the weight of one text less."""
N_COMPONENTS = 8
N_COMPONENT_MORPHEMES = 512
"""The most frequent morphemes; any 512 span the 256 dimensions, in which the components are then
written.
"""


def main() -> None:
    packs = Path(sys.argv[1])
    texts, sources = read_texts(packs)
    OUT.mkdir(exist_ok=True)
    n_ngrams = Counter(ngram_text(int(code)) for text in texts for code in ngrams(text)[0])
    write_counts(NGRAM_TABLE, len(texts), {(ngram,): n for ngram, n in n_ngrams.items()})
    tokens = list(tokenized(texts))
    # Web tokens are addresses and telephone numbers: nothing to publish.
    counts = Counter(key for keys in tokens for key in set(keys) if not key[1].startswith("W_"))
    write_counts(kiwi_static.MORPHEME_TABLE, len(texts), counts)
    write_components(tokens)
    note = {
        "made_by": "tools/make_tables.py",
        "kiwi": kiwi_version("tools/make_tables.py"),
        "n_texts": len(texts),
        "min_count": MIN_COUNT,
        "sources": sources,
    }
    write("sources.json", json.dumps(note, ensure_ascii=False, indent=1))


def read_texts(packs: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Distinct training texts, sorted, and where they come from."""
    evaluated = {
        text
        for pack in EVALUATED
        for path in sorted((packs / pack).glob("*.parquet"))
        if (pack, path.stem) != ("DocsKo", "train")
        for text in strings(path, None)
    }
    texts: set[str] = set()
    sources = []
    for pack in TRAINING:
        path = packs / pack / "train.parquet"
        manifest = json.loads((packs / pack / "manifest.json").read_text(encoding="utf-8"))
        texts |= set(strings(path, COLUMNS))
        sha256 = next(file["sha256"] for file in manifest["files"] if file["file"] == path.name)
        sources.append(
            {"pack": pack, "license": manifest["license"], "file": path.name, "sha256": sha256}
        )
    return sorted(texts - evaluated), sources


def strings(path: Path, columns: Sequence[str] | None) -> Iterator[str]:
    table = pq.read_table(path)
    for field in table.schema:
        if field.type in (pa.string(), pa.large_string()) and (
            columns is None or field.name in columns
        ):
            yield from (text for text in table[field.name].to_pylist() if text)


def tokenized(texts: Iterable[str]) -> Iterator[list[tuple[str, ...]]]:
    normal = (unicodedata.normalize("NFKC", text) for text in texts)
    for tokens in kiwi_tokens(normal, "tools/make_tables.py"):
        yield [(token.form, token.tag) for token in tokens]


def write_components(tokens: list[list[tuple[str, ...]]]) -> None:
    """Principal directions of the texts' weighted mean vectors (SIF, Arora et al. 2017), as sums of
    morphemes.
    """
    with tempfile.TemporaryDirectory() as folder:
        keys, vectors = kiwi_static.load_morphemes(Path(folder))
    weight = kiwi_static.MorphemeWeights(*read_counts(kiwi_static.MORPHEME_TABLE))
    rows = kiwi_static.weigh(keys, vectors, weight).astype(np.float64)
    row_of = {key: row for row, key in reversed(list(enumerate(keys))) if key[0]}
    moment: DoubleArray = np.zeros((kiwi_static.DIM, kiwi_static.DIM))
    for text in tokens:
        if known := [row_of[form, tag] for form, tag in text if (form, tag) in row_of]:
            mean = rows[known].mean(axis=0)
            moment += np.outer(mean, mean)
    components = np.linalg.eigh(moment)[1][:, ::-1][:, :N_COMPONENTS]
    frequent = list(read_counts(kiwi_static.MORPHEME_TABLE)[1])
    basis = [key for key in frequent if key in row_of][:N_COMPONENT_MORPHEMES]
    coefficients = (
        np.linalg.pinv(vectors[[row_of[form, tag] for form, tag in basis]].astype(np.float64).T)
        @ components
    )
    coefficients *= np.sign(
        coefficients[np.abs(coefficients).argmax(axis=0), np.arange(N_COMPONENTS)]
    )
    lines = (
        "\t".join((*key, *(f"{x:.5f}" for x in row)))
        for key, row in zip(basis, coefficients, strict=True)
    )
    write(kiwi_static.COMPONENT_TABLE, "\n".join(lines))


def write_counts(name: str, n_texts: int, counts: dict[tuple[str, ...], int]) -> None:
    """Most frequent first; the first line holds the number of texts."""
    frequent = sorted(
        (-n, key) for key, n in counts.items() if n >= MIN_COUNT and "".join(key).isprintable()
    )
    width = len(frequent[0][1])
    head = "\t".join(("(all texts)", *[""] * (width - 1), str(n_texts)))
    write(name, "\n".join([head, *("\t".join((*key, str(-n))) for n, key in frequent)]))


def write(name: str, text: str) -> None:
    (OUT / name).write_bytes(f"{text}\n".encode())
    print(f"{OUT / name}: {(OUT / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
