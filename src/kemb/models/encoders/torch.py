"""Models on sentence-transformers: its modules, its pooling, its preprocessing; our batching."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kemb.arrays import FloatArray, IntArray, Ragged, Rows, Together
from kemb.errors import MissingExtra, ModelError
from kemb.models.backends import BackendFile
from kemb.models.device import is_out_of_memory
from kemb.models.encoders import OutOfMemory, bge_m3
from kemb.models.encoders.failures import module_of, reason, told
from kemb.models.encoders.missing import Report, named, reaching, reported
from kemb.models.weights import weights_kwargs
from kemb.types import Input

TOKENS_PER_CALL = 2048
_ENDLESS = 1 << 20
ST_POOLING = {"mean": "mean", "cls": "cls", "last": "lasttoken"}
_SAMPLE = (
    "도서관은 평일 오전 9시부터 오후 6시까지 엽니다. 책은 2주 동안 14권까지 빌릴 수 있고, 늦으면 "
    "하루에 100원을 냅니다. The library opens at nine; novels, maps and music can be borrowed."
)
"""Many words of two languages, so that no part of a network is left out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the output of a forward pass becomes vectors."""

    read: Callable[[Any, Any], Rows]
    """From the model and the output of its forward pass to vectors."""
    dim: Callable[[Any], int]
    given: Callable[[str, str], Any] = lambda text, prompt: prompt + text
    """What the model is given for a text of the store and a prompt."""
    nothing: str = ""
    """The text of the store in which there is none."""
    sample: str = _SAMPLE
    """A text of the store that says much."""
    options: Callable[[Any], dict[str, Any]] = lambda model: {}
    """Of the forward pass."""
    check: Callable[[Any, Path], None] = lambda model, folder: None
    """Refuses a loaded model that cannot be used, or loads what it lacks."""


def pair_text(query: str, document: str) -> str:
    """A query and a document as one text of the store; the length in front says where the document
    begins.
    """
    return f"{len(query)} {query}{document}"


def split_pair(text: str) -> tuple[str, str]:
    """The query and the document of `pair_text`."""
    length, _, rest = text.partition(" ")
    return rest[: int(length)], rest[int(length) :]


def _pair(text: str, prompt: str) -> tuple[str, str]:
    query, document = split_pair(text)
    return prompt + query, document


def _array(tensor: Any) -> FloatArray:  # noqa: ANN401  a tensor
    """float32, or float16 where the model computes in it. bfloat16 is widened."""
    if str(tensor.dtype) not in ("torch.float32", "torch.float16"):
        tensor = tensor.float()
    return np.asarray(tensor.cpu().numpy())


def _scores(model: Any, output: Any) -> FloatArray:  # noqa: ANN401  sentence-transformers has no types
    """As `CrossEncoder.predict`: widened to float32, then the model's own activation function."""
    return _array(model.activation_fn(output["scores"].float())).reshape(-1, 1)


def _one_score(model: Any, folder: Path) -> None:  # noqa: ANN401  sentence-transformers has no types
    if model.num_labels != 1:
        raise ModelError(
            f"The model in {folder} gives {model.num_labels} scores for a pair, as classifiers do; "
            "a reranker gives one. Name another model."
        )


def _entries(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """As `SparseEncoder.encode`: what is not 0, of that the model's greatest `max_active_dims`."""
    from sentence_transformers.util import select_max_active_dims

    dense = output["sentence_embedding"]
    if model.max_active_dims is not None:
        dense = select_max_active_dims(dense, max_active_dims=model.max_active_dims)
    entries = dense.float().to_sparse().coalesce().cpu()
    rows, index = entries.indices().numpy()
    counts = np.bincount(rows, minlength=dense.shape[0])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Ragged(
        offsets, entries.values().numpy()[:, None], int(dense.shape[1]), index.astype(np.int32)
    )


def _token_vectors(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """As `MultiVectorEncoder.encode`: the vectors that count, in float16, half the size at an error
    below 0.001.
    """
    mask = output["attention_mask"].bool()
    vectors = output["token_embeddings"][mask].float().cpu().numpy()
    offsets = np.concatenate(([0], np.cumsum(mask.sum(dim=1).cpu().numpy())))
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
        return Ragged(offsets, vectors.astype(np.float16), vectors.shape[1])


def _active_dims(model: Any) -> dict[str, Any]:  # noqa: ANN401  sentence-transformers has no types
    return {} if model.max_active_dims is None else {"max_active_dims": model.max_active_dims}


def _dim(model: Any) -> int:  # noqa: ANN401  sentence-transformers has no types
    return int(model.get_embedding_dimension())


def _vectors(model: Any, output: Any) -> FloatArray:  # noqa: ANN401  sentence-transformers has no types
    """As `SentenceTransformer.encode`: the first dimensions, where the model declares how many."""
    return _array(output["sentence_embedding"][..., : model.truncate_dim])


DENSE = Reading(_vectors, _dim)
SPARSE = Reading(_entries, _dim, options=_active_dims)
LATE_INTERACTION = Reading(_token_vectors, _dim)
CROSS_ENCODER = Reading(
    _scores,
    lambda model: 1,
    _pair,
    pair_text("", ""),
    pair_text("도서관은 언제 여나요?", _SAMPLE),
    check=_one_score,
)
M3_SPARSE = Reading(
    bge_m3.token_weights,
    bge_m3.vocabulary,
    check=partial(bge_m3.attach, head="sparse"),
)
M3_COLBERT = Reading(
    bge_m3.token_vectors,
    bge_m3.colbert_dim,
    check=partial(bge_m3.attach, head="colbert"),
)


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model folder is loaded."""

    device: str
    dtype: str = "float32"
    max_tokens: int | None = None
    pooling: str | None = None
    """None for a sentence-transformers folder; else the pooling put on a plain transformers model.
    """
    normalize: bool = False
    append_eos: bool = False
    truncate_dim: int | None = None
    """Dimensions that are kept of every vector; None for all."""
    is_model2vec: bool = False
    """Whether model2vec saved the folder: a table of vectors, and no `modules.json`."""
    trust_remote_code: bool = False
    class_name: str = "SentenceTransformer"
    """In sentence_transformers."""
    reading: Reading = DENSE
    beside: tuple[Reading, ...] = ()
    """More to be read off each forward pass."""
    backend: BackendFile | None = None
    """The file that another runtime computes; None for torch."""


def open_torch(folder: Path, loading: Loading) -> TorchEncoder:
    """Load weights from a folder.

    :raises MissingExtra: when sentence-transformers is not installed.
    :raises ModelError: when the folder cannot be loaded or the device is not there.
    """
    _steady_products()
    try:
        import torch
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingExtra("A transformer model", "st") from error
    if loading.backend is None and loading.device.startswith("cuda"):
        _refuse_missing_gpu(loading.device)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    with told(folder), reported() as report, _runtime(folder, loading):
        try:
            model = _load(folder, loading, getattr(torch, loading.dtype))
        except RuntimeError as error:
            if report.mismatched:
                raise _mismatched(folder, report) from error
            raise
    if loading.max_tokens is not None:
        model.max_seq_length = loading.max_tokens
        document_length = getattr(
            model[0], "document_length", None
        )  # of late interaction; it would win over the limit
        if document_length is not None:
            model[0].document_length = min(document_length, loading.max_tokens)
    if loading.class_name == "SentenceTransformer":
        model.truncate_dim = loading.truncate_dim
    model.eval()
    _refuse_empty_vocabulary(folder, model)
    for reading in (loading.reading, *loading.beside):
        reading.check(model, folder)
    eos = model.tokenizer.eos_token if loading.append_eos else ""
    encoder = TorchEncoder(model, loading.reading, eos, loading.beside)
    encoder.counts = _fitted(folder, encoder, report)
    return encoder


def _mismatched(folder: Path, report: Report) -> ModelError:
    return ModelError(
        f"The weights in {folder} (model.safetensors) do not fit the network of its config.json: "
        f"{named(report.mismatched)}. Fetch the model again, or give it the config.json that it "
        "was saved with."
    )


def _refuse_empty_vocabulary(folder: Path, model: Any) -> None:  # noqa: ANN401  sentence-transformers has no types
    """Transformers makes a tokenizer of special tokens alone where it finds no vocabulary."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    special = getattr(tokenizer, "all_special_ids", None)
    if tokenizer is not None and special is not None and hasattr(tokenizer, "__len__"):
        n_words = len(tokenizer) - len(set(special))
    elif tokenizer is not None and hasattr(tokenizer, "get_vocab_size"):
        n_words = tokenizer.get_vocab_size()
    else:
        return
    if n_words <= 0:
        raise ModelError(
            f"The tokenizer of {folder} has no vocabulary: it knows its special tokens only, so "
            "that all texts look alike. tokenizer.json (or vocab.txt, or a .model file) is "
            "missing; fetch the model again."
        )


def _fitted(folder: Path, encoder: TorchEncoder, report: Report) -> dict[str, int]:
    """How many tensors were filled that no vector depends on, and how many were not read.

    :raises ModelError: a vector depends on numbers that are not in the files.
    """
    names = reaching(report, partial(_sample, encoder))
    if names:
        raise ModelError(
            f"The weights in {folder} (model.safetensors) do not fit the network of its "
            f"config.json: {len(names)} of its tensors are not in the files, and the vectors "
            f"depend on them: {named(names)}. transformers would fill them with random numbers. "
            "Fetch the model again, or save it with the network that it was trained as."
        )
    return {"n_filled_tensors": len(report.missing), "n_unread_tensors": report.n_unread}


def _sample(encoder: TorchEncoder) -> Rows | Together:
    """The rows of one text of many different words, by every route of the model."""
    has_router = any(type(module).__name__ == "Router" for module in encoder.model.modules())
    text = encoder.reading.sample
    routes = ("query", "document") if has_router else ("",)
    rows = [encoder.encode([Input(route, "", text)]) for route in routes]
    kinds = [kind for row in rows for kind in (row.kinds if isinstance(row, Together) else (row,))]
    return Together(tuple(kinds))


def _steady_products() -> None:
    """Let MKL add in one order for any number of threads, so that several workers give the bits of
    one.

    Without it the products of few rows (a single short text, a pooled batch of five) change in the
    last bit. It works until MKL's first product.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def _refuse_missing_gpu(device: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            "A CUDA device was asked for, but torch cannot use one here. Type --device cpu."
        )
    if int(device.partition(":")[2] or 0) >= (n := torch.cuda.device_count()):
        devices = ", ".join(f"cuda:{i}" for i in range(n))
        raise ModelError(f"--device {device} is not there; this machine has {devices}.")


def gpu_facts(device: str) -> dict[str, str]:
    """What a GPU is, as far as it may change a vector."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return {
        "device": torch.cuda.get_device_name(device),
        "instructions": f"sm_{major}{minor}",
        "cuda": str(torch.version.cuda),
    }


def _runtime(folder: Path, loading: Loading) -> Any:  # noqa: ANN401  a context manager
    if loading.backend is None:
        return nullcontext()
    from kemb.models.encoders.onnx import in_place_of_optimum

    return in_place_of_optimum(folder, loading.backend, loading.device)


def share_threads(n_workers: int) -> None:
    """Let this process use its share of the cores, beside other workers; before the model is
    opened.

    :raises MissingExtra: when torch is not installed.
    """
    use_threads(max(1, _torch().get_num_threads() // n_workers))


def use_threads(n_threads: int) -> None:
    """Let this process compute with so many threads; before the model is opened.

    :raises MissingExtra: as `share_threads`.
    """
    _torch().set_num_threads(n_threads)
    os.environ["RAYON_NUM_THREADS"] = str(n_threads)  # of tokenizers


def _torch() -> Any:  # noqa: ANN401  a module
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("A transformer model", "st") from error
    return torch


def _load(folder: Path, loading: Loading, dtype: object) -> Any:  # noqa: ANN401  sentence-transformers has no types
    import sentence_transformers

    if loading.is_model2vec:
        return _load_model2vec(folder, loading, dtype)
    model_kwargs = {} if loading.backend else {"dtype": dtype, **weights_kwargs(folder)}
    device, backend = ("cpu", "onnx") if loading.backend else (loading.device, "torch")
    shared = {"trust_remote_code": loading.trust_remote_code, "local_files_only": True}
    if loading.pooling is None:
        load = getattr(sentence_transformers, loading.class_name)
        return load(
            str(folder), device=device, model_kwargs=model_kwargs, backend=backend, **shared
        )
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(
        str(folder),
        model_kwargs={**model_kwargs, **shared},
        processor_kwargs=shared,
        config_kwargs=shared,
        backend=backend,
    )
    modules = [
        transformer,
        Pooling(transformer.get_embedding_dimension(), ST_POOLING[loading.pooling]),
    ]
    if loading.normalize:
        modules.append(Normalize())
    return sentence_transformers.SentenceTransformer(modules=modules, device=device)


def _load_model2vec(folder: Path, loading: Loading, dtype: object) -> Any:  # noqa: ANN401  as above
    """As sentence-transformers reads the folders of model2vec that have `modules.json`."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules = [StaticEmbedding.load(str(folder), local_files_only=True)]
    if loading.normalize:
        modules.append(Normalize())
    return SentenceTransformer(modules=modules, device=loading.device).to(dtype)


class TorchEncoder:
    """A loaded sentence-transformers model as a two-stage encoder."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  sentence-transformers has no types
        reading: Reading,
        eos: str = "",
        beside: tuple[Reading, ...] = (),
    ) -> None:
        self.model = model
        self.reading = reading
        self.eos = eos
        self.beside = beside
        self.counts: dict[str, int] = {}
        """Of tensors that did not fit and do not matter."""

    @property
    def dim(self) -> int:
        return self.reading.dim(self.model)

    @property
    def limit(self) -> int:
        """Most tokens that the model reads; 2^20 where it has no limit."""
        return int(min(self.model.max_seq_length or _ENDLESS, _ENDLESS))

    @property
    def facts(self) -> dict[str, int]:
        """What the loaded model shows of itself."""
        n_parameters = sum(
            weights.numel() for weights in self.model.parameters()
        )  # 0 in another runtime than torch
        facts = {
            "n_parameters": n_parameters,
            "max_tokens": self.limit if self.limit < _ENDLESS else 0,
            **self.counts,
        }
        return {name: value for name, value in facts.items() if value}

    def token_counts(self, inputs: Sequence[Input]) -> IntArray:
        """Token counts after truncation; characters where the model's first module has no
        tokenizer.
        """
        counts = self.lengths(inputs)[:, 0]
        chars = np.array([len(item.prompt) + len(item.text) for item in inputs], dtype=np.int64)
        return np.minimum(np.where(counts < 0, chars, counts), self.limit)

    def lengths(self, inputs: Sequence[Input]) -> IntArray:
        """Of each input its tokens before truncation, and those that its text adds to the prompt
        [n, 2].

        -1 where the model's first module has no tokenizer.
        """
        tokenizer = getattr(self.model, "tokenizer", None)
        if not inputs or not (callable(tokenizer) or hasattr(tokenizer, "encode_batch")):
            return np.full((len(inputs), 2), -1, dtype=np.int64)
        counts = self._counted([(item.text + self.eos, item.prompt) for item in inputs])
        # White space at the end of a prompt belongs to the first token of the text.
        nothing = self._counted([(self.reading.nothing + self.eos, inputs[0].prompt.rstrip())])[0]
        return np.stack([counts, np.maximum(counts - nothing, 0)], axis=1)

    def _counted(self, texts: Sequence[tuple[str, str]]) -> IntArray:
        """Tokens of (text, prompt), not truncated, with special tokens."""
        tokenizer, model_inputs = (
            self.model.tokenizer,
            [self.reading.given(*pair) for pair in texts],
        )
        counts: list[int] = []
        for start in range(0, len(model_inputs), TOKENS_PER_CALL):
            some = model_inputs[start : start + TOKENS_PER_CALL]
            if callable(tokenizer):
                ids = tokenizer(some, truncation=False, padding=False, verbose=False)["input_ids"]
            else:  # a static model's, of the package tokenizers
                ids = [row.ids for row in tokenizer.encode_batch(some, add_special_tokens=False)]
            counts.extend(map(len, ids))
        return np.array(counts, dtype=np.int64)

    def prepare(self, inputs: Sequence[Input]) -> tuple[dict[str, Any], dict[str, str]]:
        """The padded features of one batch, on the CPU, and what the forward pass must know of the
        route.

        :raises ModelError: the model's tokenizer fails.
        """
        route = {"task": inputs[0].route} if inputs[0].route else {}
        texts = [self.reading.given(i.text + self.eos, "") for i in inputs]
        try:
            features = self.model.preprocess(texts, prompt=inputs[0].prompt or None, **route)
        except Exception as error:
            raise ModelError(
                f"The model failed to split texts into tokens{_in_module(error)}: {reason(error)} "
                "Check its tokenizer's files, tokenizer.json and tokenizer_config.json."
            ) from error
        return dict(features), route

    def encode_prepared(self, prepared: tuple[dict[str, Any], dict[str, str]]) -> Rows | Together:
        """One forward pass; rows of every kind where there are several.

        :raises OutOfMemory: with fewer texts it may go.
        :raises ModelError: the model fails.
        """
        import torch
        from sentence_transformers.util import batch_to_device

        features, route = prepared
        try:
            with torch.inference_mode():
                batch = batch_to_device(features, self.model.device)
                output = self.model(batch, **route, **self.reading.options(self.model))
                rows = self.reading.read(self.model, output)
                return (
                    Together((rows, *(other.read(self.model, output) for other in self.beside)))
                    if self.beside
                    else rows
                )
        except Exception as error:
            if is_out_of_memory(error):
                if torch.cuda.is_initialized():
                    torch.cuda.empty_cache()
                raise OutOfMemory from error
            raise self._failed(features, error) from error

    def _failed(self, features: dict[str, Any], error: Exception) -> ModelError:
        text = (
            f"The model failed on a batch of texts up to {self._longest(features)} tokens "
            f"long{_in_module(error)}: {reason(error)} "
        )
        if not isinstance(error, RuntimeError | IndexError):
            return ModelError(
                text + "Its modules (modules.json) do not fit together; ask its author."
            )
        return ModelError(
            f"{text}If it has fewer positions than that (its limit is set to "
            f"{self.model.max_seq_length}), type a smaller --max-tokens."
        )

    @staticmethod
    def _longest(features: dict[str, Any]) -> object:
        return (
            features["input_ids"].shape[-1] if "input_ids" in features else "an unknown number of"
        )

    def encode(self, inputs: Sequence[Input]) -> Rows | Together:
        return self.encode_prepared(self.prepare(inputs))


def _in_module(error: Exception) -> str:
    name = module_of(error)
    return f", in its module {name}" if name else ""
