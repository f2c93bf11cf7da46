"""A network as an ONNX file: exported by torch, its weights rounded to int8 by onnxruntime,
compared with torch.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kemb.arrays import FloatArray
from kemb.errors import MissingExtra, ModelError, UsageError
from kemb.files import disk
from kemb.models.encoders import Encoder
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.types import Input

MODEL, INT8 = "onnx/model.onnx", "onnx/model_int8.onnx"
NAMES = ("input_ids", "attention_mask", "token_type_ids")
EMBEDDED_BYTES = 1_500_000_000
"""Weights up to this size lie in the file itself, whose format ends at 2 GB; others beside it."""
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MAX_DIFFERENCE = 1e-4
"""Between numbers of vectors of length 1, for a file in float32."""
PER_BATCH = 16
EXAMPLES = [
    "가",
    "나는 오늘 아침에 밥을 먹었다.",
    "서울특별시의 인구는 약 940만 명이다.",
    "ㅋㅋㅋ 그게 뭐야 ㅠㅠ",
    "大韓民國 憲法 第1條",
    "A short sentence in English, with 3 numbers: 1, 22, 333.",
    "한 문단이 길어지면 토큰도 늘어난다. " * 12,
    "Longer than most models read at once. 대부분의 모델이 한 번에 읽지 못할 만큼 길다. " * 60,
]


@dataclass(frozen=True, slots=True)
class Parity:
    """How near the vectors of a file are to those of torch, on the same texts, all of length 1."""

    n_texts: int
    max_difference: float
    """Between two numbers."""
    min_cosine: float
    """Between the two vectors of one text."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written, and how near it is to torch."""

    path: Path
    n_bytes: int
    parity: Parity


def need_packages() -> None:
    """:raises MissingExtra: when one of the packages that write ONNX files is not installed."""
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise MissingExtra("Writing ONNX files", "onnx")


def export_folder(model: Model, out: Path, int8: bool) -> list[Written]:
    """A copy of a model's folder with `onnx/model.onnx`, and with `onnx/model_int8.onnx` where
    asked for.

    :param model: a dense model with a folder, to be computed by torch on the CPU in float32.
    :param out: the new folder; written under another name, and renamed when all is there.
    :raises UsageError: `out` is there, or the model is none that ONNX is for; ModelError: the
        export failed.
    """
    need_packages()
    if out.exists():
        raise UsageError(f"{out} is there already. Name a new folder with -o DIR, or remove it.")
    if model.folder is None or model.family != "dense" or model.spec.append_eos:
        raise UsageError(
            f"ONNX files are written of dense models with a network; {model.name} is not one."
        )
    with (
        disk.writing(f"{out} cannot be written", "Free space, or name another folder with -o DIR."),
        disk.replacing_folder(out) as unfinished,
    ):
        shutil.copytree(
            model.folder.path, unfinished, ignore=shutil.ignore_patterns("onnx", "openvino", ".*")
        )
        encoder = open_model(model)
        write_onnx(encoder, unfinished / MODEL)
        files = [MODEL, *([INT8] if int8 else [])]
        if int8:
            write_int8(unfinished / MODEL, unfinished / INT8)
        of_torch = vectors_of(encoder, EXAMPLES)
        settings = ModelOptions(
            backend="onnx", max_tokens=model.max_tokens, pooling=_pooling(model)
        )
        reports = []
        for file in files:
            parity = parity_of(of_torch, file_vectors(unfinished, file, EXAMPLES, settings))
            reports.append(Written(out / file, size_of(unfinished / file), parity))
        if reports[0].parity.max_difference > MAX_DIFFERENCE:
            raise ModelError(
                f"The ONNX file of {model.name} gives other vectors than torch: numbers differ by "
                f"up to {reports[0].parity.max_difference:.2g}, more than {MAX_DIFFERENCE:g}. "
                "Nothing was written; this "
                "network cannot be exported by the installed torch."
            )
    return reports


def _pooling(model: Model) -> Any:  # noqa: ANN401  one of spec.Pooling
    """What must be said of a plain transformers folder only."""
    return None if model.folder is None or model.folder.has_modules else model.pooling


def write_onnx(encoder: Encoder, path: Path) -> None:
    """Write the network of a dense model in float32: token ids in, `last_hidden_state` out.

    :param encoder: opened by torch, on the CPU.
    :raises ModelError: the model has no such network, or torch cannot export it.
    """
    import torch

    model = getattr(encoder, "model", None)
    network = getattr(model[0], "model", None) if model is not None else None
    if model is None or not isinstance(network, torch.nn.Module) or not hasattr(network, "config"):
        raise ModelError(
            "There is no network that could be written as ONNX: the model is a table of word "
            "vectors."
        )
    features = model.preprocess(EXAMPLES[:2])
    names = [name for name in NAMES if name in features]
    n_bytes = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            torch.onnx.export(
                _tokens_only(network, names),
                tuple(features[name] for name in names),
                str(path),
                input_names=names,
                output_names=["last_hidden_state"],
                dynamic_shapes={"inputs": tuple({0: "batch", 1: "sequence"} for _ in names)},
                dynamo=True,
                external_data=n_bytes > EMBEDDED_BYTES,
                verbose=False,
            )
    except Exception as error:  # torch's and onnxscript's own classes, dozens of them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
        raise ModelError(
            f"torch cannot export this network ({type(network).__name__}) to ONNX: {reason}."
        ) from error


def write_int8(source: Path, path: Path) -> None:
    """Write a copy of an ONNX file with int8 weights, one scale per output channel; it measures
    activations as it runs.

    The range is one bit smaller (`reduce_range`): processors without VNNI overflow in 16 bits
    otherwise.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            path,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=size_of(source) > EMBEDDED_BYTES,
        )


def size_of(path: Path) -> int:
    """Bytes of an ONNX file and of the weights beside it."""
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))


def file_vectors(
    folder: Path, file: str, texts: Sequence[str], settings: ModelOptions
) -> FloatArray:
    """Vectors of texts by an ONNX file of a folder."""
    from dataclasses import replace

    return vectors_of(open_model(resolve(str(folder), replace(settings, backend_file=file))), texts)


def vectors_of(encoder: Encoder, texts: Sequence[str]) -> FloatArray:
    """Vectors of texts without prompt, of length 1 [n, dim]; those of like length in one batch."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vector_of_text: list[Any] = [None] * len(texts)
    for start in range(0, len(order), PER_BATCH):
        rows = order[start : start + PER_BATCH]
        for row, vector in zip(
            rows, np.asarray(encoder.encode([Input("", "", texts[i]) for i in rows])), strict=True
        ):
            vector_of_text[row] = vector
    vectors = np.asarray(vector_of_text, dtype=np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def parity_of(expected: FloatArray, actual: FloatArray) -> Parity:
    """Compare vectors [n, dim] of length 1."""
    cosines = (expected * actual).sum(axis=1)
    return Parity(len(expected), float(np.abs(expected - actual).max()), float(cosines.min()))


def _tokens_only(network: Any, names: list[str]) -> Any:  # noqa: ANN401  torch has no types
    """The network with its inputs in order and one output."""
    import torch

    class Tokens(torch.nn.Module):  # type: ignore[misc]  # torch has no types
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:  # noqa: ANN401
            return self.network(
                **dict(zip(names, inputs, strict=True)), return_dict=True
            ).last_hidden_state

    return Tokens().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the exporters about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
