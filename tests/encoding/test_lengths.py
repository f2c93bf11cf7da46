"""What is cut off, what Korean costs, how large an index is: against the tokenizer and counts by
hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemb.encoding.clean import compact
from kemb.encoding.lengths import is_korean, korean_tokens, truncated
from kemb.encoding.store import Store
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.models.encoders import Measured
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import TaskResult
from kemb.types import Input, RetrievalData

QUERIES = ["비가 온다", "눈이 그친다", "wind and rain"]
DOCUMENTS = ["비가 온다 " * 20, "눈이 그쳤다", "hello", "비가 온다 " * 20, "구름이 흩어진다 " * 8]


@pytest.fixture
def search(tmp_path: Path) -> Path:
    folder = tmp_path / "my-search"
    (folder / "qrels").mkdir(parents=True)
    write(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", "text": text} for i, text in enumerate(DOCUMENTS)],
    )
    write(
        folder / "queries.jsonl", [{"_id": f"q{i}", "text": text} for i, text in enumerate(QUERIES)]
    )
    rows = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in range(3))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


def go(task: Path, name: str, out: Path, store: Path, **changes: object) -> TaskResult:
    options = RunOptions(out, Store(store), **changes)  # type: ignore[arg-type]
    (outcome,) = evaluate([load_task(task)], [resolve(name, ModelOptions(device="cpu"))], options)
    assert outcome.result is not None, outcome.message
    return outcome.result


def test_truncation_and_the_cost_of_korean_are_those_of_the_tokenizer(
    search: Path, tmp_path: Path, tiny_st: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_st)
    found = go(search, str(tiny_st), tmp_path / "out", tmp_path / "store").record
    (part,) = found.lengths.values()
    texts = {
        "queries": ["가: " + text for text in QUERIES],
        "documents": [text.strip() for text in DOCUMENTS],
    }
    for name, own in texts.items():
        counts = [len(tokenizer(text)["input_ids"]) for text in own]
        expected = {
            "n_texts": len(own),
            "n_truncated": sum(n > 64 for n in counts),
            "longest": max(counts),
        }
        assert part.columns[name].as_json() == expected
    assert part.columns["documents"].n_truncated == 3
    assert truncated(found) == 3 / 5
    korean = {
        text
        for text in [*QUERIES, *texts["documents"]]
        if any("가" <= letter <= "힣" for letter in text)
    }
    alone = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in korean)
    # The tokenizer knows single characters and blanks: the blank behind the prompt goes with the
    # text.
    alone += sum(text in korean for text in QUERIES)
    assert part.korean.as_json() == {
        "n_texts": 5,
        "n_chars": sum(map(len, korean)),
        "n_tokens": alone,
    }
    assert korean_tokens([found]) == pytest.approx(1000 * alone / sum(map(len, korean)))


def test_lengths_are_the_same_from_the_store_without_the_model(
    search: Path, tmp_path: Path, tiny_st: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = go(search, str(tiny_st), tmp_path / "out", tmp_path / "store").record
    monkeypatch.setattr("kemb.encoding.executors.opened.open_model", None)
    again = go(search, str(tiny_st), tmp_path / "other", tmp_path / "store").record
    assert again.encoded.n_encoded == 0
    assert again.lengths == first.lengths
    assert again.loaded == first.loaded
    space = next(iter(Store(tmp_path / "store").spaces()))
    compact(space)
    assert (
        go(search, str(tiny_st), tmp_path / "third", tmp_path / "store").record.lengths
        == first.lengths
    )


def test_what_nobody_declares_is_read_off_the_loaded_model(
    search: Path, tmp_path: Path, tiny_st: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    result = go(search, str(tiny_st), tmp_path / "out", tmp_path / "store")
    model = SentenceTransformer(str(tiny_st), device="cpu")
    meta = json.loads((result.path.parent / "model_meta.json").read_text(encoding="utf-8"))
    assert meta["n_parameters"] == sum(weights.numel() for weights in model.parameters())
    assert (meta["embed_dim"], meta["max_tokens"]) == (32, 64)


def test_models_without_a_tokenizer_have_no_lengths(search: Path, tmp_path: Path) -> None:
    found = go(search, "toy", tmp_path / "out", tmp_path / "store").record
    assert (found.lengths, truncated(found), korean_tokens([found])) == ({}, None, None)


def test_an_inverted_index_has_eight_bytes_per_posting(search: Path, tmp_path: Path) -> None:
    found = go(search, "bm25:bigram", tmp_path / "out", tmp_path / "store").record
    postings = [
        {word[i : i + 2] for word in text.lower().split() for i in range(len(word) - 1)}
        for text in DOCUMENTS
    ]
    assert found.index_bytes_per_document == pytest.approx(
        8 * sum(map(len, postings)) / len(DOCUMENTS)
    )
    fused = go(search, "rrf(bm25:bigram, toy)", tmp_path / "out", tmp_path / "store").record
    assert fused.index_bytes_per_document == pytest.approx(found.index_bytes_per_document + 4 * 256)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("한국어", True),
        ("CUDA를 쓴다", False),
        ("GPU를 쓴다", True),
        ("hello", False),
        ("123 !", False),
        ("", False),
    ],
)
def test_korean_texts_are_those_of_which_half_the_letters_are_hangul(
    text: str, expected: bool
) -> None:
    assert is_korean(text) is expected


@pytest.mark.shared
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_lengths_of_a_real_tokenizer(shared_data: Path, minilm: Path, prompt: str) -> None:
    from transformers import AutoTokenizer

    (part,) = load_task("AutoRAGRetrieval", shared_data / "packs").load().parts
    assert isinstance(part.data, RetrievalData)
    texts = part.data.documents[:100]
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    encoder = open_model(resolve(str(minilm), ModelOptions(device="cpu")))
    assert isinstance(encoder, Measured)
    found = encoder.lengths([Input("", prompt, text) for text in texts])
    assert found[:, 0].tolist() == [len(tokenizer(prompt + text)["input_ids"]) for text in texts]
    assert found[:, 1].tolist() == [len(tokenizer.tokenize(text)) for text in texts]
    tokens = encoder.token_counts([Input("", prompt, text) for text in texts])
    assert tokens.tolist() == [
        len(tokenizer(prompt + text, truncation=True, max_length=256)["input_ids"])
        for text in texts
    ]
