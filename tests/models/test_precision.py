"""The declared precision is the computed one, and a forward pass leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kemb.errors import ModelError
from kemb.models.encoders import precision
from kemb.models.encoders.torch import CROSS_ENCODER, Loading, open_torch, pair_text
from kemb.types import Input

pytestmark = pytest.mark.torch

_LETTERS = "가나다라마바사아자차카타파하"
TEXTS = [f"{_LETTERS[i % 14]}책 {i}번을 빌린다" * (1 + i % 3) for i in range(40)]


def _inputs(texts: list[str]) -> list[Input]:
    return [Input("", "", text) for text in texts]


def test_a_prepared_batch_holds_no_output(tiny_transformer: Path) -> None:
    """Token vectors of all batches of a group would stay on the device until the group ends."""
    encoder = open_torch(tiny_transformer, Loading("cpu", pooling="cls"))
    outputs: list[Any] = []

    def watch(module: Any, values: Any, output: Any) -> None:  # noqa: ANN401  of torch
        outputs.append(weakref.ref(output["token_embeddings"].untyped_storage()))

    encoder.model[0].register_forward_hook(watch)
    prepared = encoder.prepare(_inputs(TEXTS))
    names = set(prepared[0])
    vectors = encoder.encode_prepared(prepared)
    assert set(prepared[0]) == names
    gc.collect()
    assert len(vectors) == len(TEXTS)
    assert outputs
    assert all(output() is None for output in outputs)
    assert isinstance(vectors, np.ndarray)
    assert vectors.base is None or vectors.base.nbytes == vectors.nbytes


def test_half_precision_is_pooled_and_normalised_in_float32(tiny_st: Path) -> None:
    import torch

    encoder = open_torch(tiny_st, Loading("cpu", dtype="bfloat16"))
    features, _ = encoder.prepare(_inputs(TEXTS))
    vectors = np.asarray(encoder.encode_prepared((features, {})))
    network = encoder.model[0].model
    with torch.inference_mode():
        states = network(
            input_ids=features["input_ids"], attention_mask=features["attention_mask"]
        )[0]
    assert states.dtype == torch.bfloat16
    states, mask = states.double().numpy(), features["attention_mask"].numpy()[..., None]
    expected = (states * mask).sum(axis=1) / mask.sum(axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - expected).max() < 1e-6


def test_scores_of_a_reranker_in_half_precision_differ(
    tiny_transformer: Path, tmp_path: Path
) -> None:
    """bfloat16 has 128 values an octave; a head in it gives a few dozen scores for all pairs."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig.from_pretrained(tiny_transformer, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_transformer).save_pretrained(tmp_path)
    loading = Loading("cpu", dtype="bfloat16", class_name="CrossEncoder", reading=CROSS_ENCODER)
    encoder = open_torch(tmp_path, loading)
    pairs = [pair_text("책을 빌리나요", text) for text in dict.fromkeys(TEXTS)]
    scores = np.asarray(encoder.encode(_inputs(pairs)))[:, 0]
    assert len(np.unique(scores)) >= 0.99 * len(scores)


def test_short_products_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert not precision.is_short("cpu")
    product = torch.Tensor.__matmul__

    def short(one: Any, other: Any) -> Any:  # noqa: ANN401  as TensorFloat-32: 10 bits of a factor
        keep = 2.0**10
        return product((one * keep).round() / keep, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", short)
    assert precision.is_short("cpu")
    monkeypatch.setattr(precision, "is_short", lambda device: True)
    with pytest.raises(ModelError, match="TensorFloat-32"):
        precision.refuse_short_products("cuda:0", "float32")
    precision.refuse_short_products("cuda:0", "bfloat16")
    monkeypatch.setenv(precision.OVERRIDE, "1")
    with pytest.raises(ModelError, match=f"unset {precision.OVERRIDE}"):
        precision.refuse_short_products("cuda:0", "float32")


def test_settings_that_shorten_products_are_undone() -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    precision.refuse_short_products("cpu", "float32")
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_a_device_that_fails_is_not_told_to_read_less(tiny_transformer: Path) -> None:
    class AcceleratorError(RuntimeError):
        """As torch's, for an illegal access."""

    encoder = open_torch(tiny_transformer, Loading("cpu", pooling="mean"))

    def fail(*values: object) -> None:
        raise AcceleratorError("CUDA error: an illegal memory access was encountered")

    encoder.model[0].register_forward_pre_hook(fail)
    with pytest.raises(ModelError, match="the device's own failure") as caught:
        encoder.encode(_inputs(TEXTS[:3]))
    assert "--max-tokens" not in str(caught.value)


def test_two_threads_may_tokenise_at_once(tiny_transformer: Path) -> None:
    """While a batch is split in the main thread, the next group is tokenised in another."""
    encoder = open_torch(tiny_transformer, Loading("cpu", pooling="mean", max_tokens=12))
    inputs = _inputs(TEXTS)
    expected = encoder.lengths(inputs).tolist(), encoder.prepare(inputs)[0]["input_ids"].tolist()
    answers: list[Any] = []

    def count() -> None:
        answers.extend(encoder.lengths(inputs).tolist() == expected[0] for _ in range(30))

    def prepare() -> None:
        answers.extend(
            encoder.prepare(inputs)[0]["input_ids"].tolist() == expected[1] for _ in range(30)
        )

    threads = [threading.Thread(target=target) for target in (count, prepare, count, prepare)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 120
    assert all(answers)
