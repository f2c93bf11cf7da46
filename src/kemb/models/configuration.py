"""The configuration files of a model folder: one typed reader per file, bounded in size, depth and
numbers.

A file that is missing reads as one that says nothing; a file that says something else than its
readers understand is refused by its name and key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError

from kemb.errors import ModelError
from kemb.files import disk
from kemb.models.families import Similarity

MODULES = "modules.json"
NETWORK = "config.json"
SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
TOKENIZER = "tokenizer_config.json"
ADAPTER = "adapter_config.json"
TRANSFORMER = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Names of the settings of sentence-transformers' first module, in the order in which it asks."""
MODEL2VEC = "model2vec"
"""The `model_type` of a folder that model2vec itself saved."""

_MOST_POSITIONS = 1 << 24
_MOST_LAYERS = 256
"""Layers that a network may have however few its tensors are; shared weights are stored once."""
_WIDTHS = (
    "hidden_size",
    "d_model",
    "n_embd",
    "dim",
    "embedding_size",
    "intermediate_size",
    "d_ff",
    "vocab_size",
    "type_vocab_size",
    "num_attention_heads",
    "in_features",
    "out_features",
    "hidden_dim",
    "embedding_dimension",
    "word_embedding_dimension",
)
"""Numbers that no network can have beyond the number of its weights."""
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_hidden_groups")
_POSITIONS = ("max_position_embeddings", "n_positions")


def _known_similarity(name: str) -> str:
    if name.lower() not in (*get_args(Similarity), "dot_product"):
        raise ValueError(f"should be one of {', '.join(get_args(Similarity))}")
    return "dot" if name == "dot_product" else name.lower()


def _inside(path: str) -> str:
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ValueError("should be a folder inside the model's")
    return path


class Declared(BaseModel):
    """What a file declares: exact types for what kemb reads, and whatever else it holds."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Module(Declared):
    """One entry of `modules.json`."""

    type: str
    path: Annotated[str, AfterValidator(_inside)]
    name: str
    idx: int = 0


def _of_different_names(modules: list[Module]) -> list[Module]:
    """Of two modules of one name sentence-transformers would forget the first."""
    names = [module.name for module in modules]
    if len(set(names)) < len(names):
        raise ValueError("two modules should not have one name")
    return modules


class Modules(RootModel[Annotated[list[Module], AfterValidator(_of_different_names)]]):
    """`modules.json`: the parts of a sentence-transformers model, in order."""


class SentenceTransformers(Declared):
    """`config_sentence_transformers.json`."""

    model_type: str | None = None
    prompts: dict[str, str | None] | None = None
    default_prompt_name: str | None = None
    similarity_fn_name: Annotated[str, AfterValidator(_known_similarity)] | None = None
    truncate_dim: Annotated[int, Field(ge=1)] | None = None
    """Dimensions that are kept of every vector."""
    query_prefix: str | None = None
    document_prefix: str | None = None


class Network(Declared):
    """`config.json` of transformers, or of model2vec."""

    model_type: str | None = None
    architectures: list[str] | None = None
    auto_map: dict[str, Any] | None = None
    torch_dtype: str | None = None
    dtype: str | None = None
    max_position_embeddings: int | None = None
    name_or_path: Annotated[str | None, Field(alias="_name_or_path")] = None
    """Where its weights once came from."""


class Transformer(Declared):
    """`sentence_bert_config.json` and its elder names."""

    max_seq_length: Annotated[int, Field(ge=1)] | None = None
    do_lower_case: bool | None = None
    tokenizer_name_or_path: str | None = None


class Tokenizer(Declared):
    """`tokenizer_config.json`."""

    model_max_length: Annotated[int | float, Field(ge=1)] | None = None


class Pooling(Declared):
    """`config.json` of sentence-transformers' pooling."""

    pooling_mode: str | list[str] | None = None


class Adapter(Declared):
    """`adapter_config.json` of PEFT: the difference to another model."""

    base_model_name_or_path: str
    revision: str | None = None


AnyDeclared = TypeVar("AnyDeclared", bound=BaseModel)


def read(kind: type[AnyDeclared], path: Path) -> AnyDeclared | None:
    """What a configuration file declares; None where there is no such file.

    :raises ModelError: it cannot be read, or declares what no model can have; file and key are
        named.
    """
    if not path.is_file():
        return None
    try:
        content = disk.read_json(path)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({disk.reason_of(error)}). Give yourself the right to read it."
        ) from error
    except ValueError as error:
        raise ModelError(
            f"{path} is not valid JSON ({str(error)[:200]}). The download may be incomplete: fetch "
            "it again."
        ) from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ModelError(
            f"{path} does not fit: {_problem(error)}. Fetch the model again, or mend the file as "
            "its author meant it."
        ) from error


def declared(kind: type[AnyDeclared], path: Path) -> AnyDeclared:
    """As `read`; a file that is missing declares nothing."""
    content = read(kind, path)
    return kind.model_validate([] if kind is Modules else {}) if content is None else content


def _problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{f'key {key!r}: ' if key else ''}{message}, and it is {problem['input']!r:.80}"


def transformer_of(folder: Path) -> Transformer:
    """The settings of the first of sentence-transformers' files that says something, as it asks.

    :raises ModelError: as `read`.
    """
    for name in TRANSFORMER:
        settings = read(Transformer, folder / name)
        if settings is not None and settings.model_dump(exclude_unset=True):
            return settings
    return Transformer()


def max_tokens(folder: Path, network: Network) -> int | None:
    """The limit that sentence-transformers would use: its own file, else the smaller of positions
    and tokenizer.

    :param folder: of the transformer.
    """
    if limit := transformer_of(folder).max_seq_length:
        return limit
    tokenizer = declared(Tokenizer, folder / TOKENIZER).model_max_length
    limits = [
        int(n)
        for n in (network.max_position_embeddings, tokenizer)
        if n is not None and math.isfinite(n) and 0 < n < 1 << 30
    ]
    return min(limits, default=None)


def pooling(folder: Path) -> str:
    """How token vectors become one, of the folder of a pooling module."""
    settings = declared(Pooling, folder / NETWORK)
    if isinstance(settings.pooling_mode, str):
        return "last" if settings.pooling_mode == "lasttoken" else settings.pooling_mode
    flags = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
    modes = settings.pooling_mode or sorted(
        key.removeprefix("pooling_mode_")
        for key, is_on in (settings.model_extra or {}).items()
        if is_on is True and "mode_" in key
    )
    return "+".join(flags.get(mode, mode) for mode in modes) or "mean"


def refuse_sizes(path: Path, config: BaseModel, n_weights: int, n_tensors: int | None) -> None:
    """Refuse numbers that the stored weights cannot fill, before a network of that size is built.

    :param path: of the file, for the message.
    :param n_weights: an upper bound of the numbers that are stored.
    :param n_tensors: that are stored; None where nobody knows.
    :raises ModelError: the key and what it can be at most.
    """
    most_layers = max(_MOST_LAYERS, _MOST_LAYERS if n_tensors is None else n_tensors)
    most = {
        **dict.fromkeys(_WIDTHS, n_weights),
        **dict.fromkeys(_LAYERS, most_layers),
        **dict.fromkeys(_POSITIONS, _MOST_POSITIONS),
    }
    for key, value in _values(config.model_dump(exclude_unset=True)):
        if key not in most or value is None:
            continue
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int):
                raise ModelError(
                    f"{path} does not fit: {key} should be a whole number, and it is "
                    f"{number!r:.80}. Fetch the model again."
                )
            if number > most[key] or (number < 0 and key not in _POSITIONS):
                raise ModelError(
                    f"{path} does not fit its weights: {key} is {number}, where {most[key]} is "
                    "the most that they can fill. Fetch the model again."
                )


def _values(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a configuration and of those inside it (`text_config`)."""
    for key, value in table.items():
        if not isinstance(value, dict):
            yield key, value
        elif key.endswith("_config"):
            yield from _values(value)
