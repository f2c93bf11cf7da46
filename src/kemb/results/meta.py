"""`model_meta.json` beside the results of a row, typed: mteb writes and reads it, and so do
strangers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kemb.errors import ResultError
from kemb.files import disk
from kemb.results.record import Count, first_problem

_MOST_BYTES = 2**20
_MOST_LETTERS = 1000


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be shown")
    return text


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("an address begins with https://")
    return _printable(text)


_Text = Annotated[str, Field(max_length=_MOST_LETTERS), AfterValidator(_printable)]
_Address = Annotated[str, Field(max_length=_MOST_LETTERS), AfterValidator(_address)]


class ModelMeta(BaseModel):
    """What kemb reads of the file, and what mteb writes into it."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: _Text | None = None
    revision: _Text | None = None
    languages: list[_Text] | None = None
    n_parameters: Count | None = None
    max_tokens: Count | float | None = None
    embed_dim: Count | list[Count] | None = None
    license: _Text | None = None
    open_weights: bool | None = None
    framework: list[_Text] | None = None
    reference: _Address | None = None
    similarity_fn_name: _Text | None = None
    use_instructions: bool | None = None
    adapted_from: _Text | list[_Text] | None = None
    modalities: list[_Text] | None = None
    model_type: list[_Text] | None = None
    experiment_kwargs: dict[str, Any] | None = None


def read_meta(path: Path) -> dict[str, Any]:
    """The content of a `model_meta.json`.

    :raises ResultError: it is none, or has other types than mteb and kemb write; file and key are
        named.
    """
    try:
        content = disk.read_json(path, finite=True, most_bytes=_MOST_BYTES)
        ModelMeta.model_validate(content)
    except ValidationError as error:
        raise _not_a_meta(path, first_problem(error)) from error
    except (OSError, ValueError) as error:
        reason = disk.reason_of(error) if isinstance(error, OSError) else str(error)
        raise _not_a_meta(path, reason) from error
    return dict(content)


def _not_a_meta(path: Path, why: str) -> ResultError:
    return ResultError(
        f"{path} does not describe a model ({why}). Delete it and run the model again; its results "
        "stay."
    )
