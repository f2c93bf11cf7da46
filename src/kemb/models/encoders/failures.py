"""What foreign code raises on a model folder, told in a sentence that names the file or module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType, TracebackType

from kemb.errors import KembError, ModelError
from kemb.models.weights import more_than_tensors

_FILES = {
    "tokenization": "tokenizer.json or tokenizer_config.json",
    "processing_auto": "tokenizer.json or tokenizer_config.json",
    "processing_utils": "tokenizer.json or tokenizer_config.json",
    "configuration": "config.json",
    "peft": "adapter_config.json",
    "safetensors": "model.safetensors",
    "modeling_utils": "model.safetensors or config.json",
    "modeling": "config.json",
}
"""Part of the path of a library's module -> the files that it reads."""
_MOST_REASON = 300


@contextlib.contextmanager
def told(folder: Path) -> Iterator[None]:
    """Around all that loads a model folder: whatever a library raises becomes one sentence.

    :raises ModelError: the folder, what was being read, and the library's reason.
    """
    try:
        yield
    except KembError:
        raise
    except UnpicklingError as error:
        raise ModelError(more_than_tensors(folder)) from error
    except Exception as error:
        raise _unloadable(folder, error) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of a library in Rust
            raise _unloadable(folder, error) from error
        raise


def _unloadable(folder: Path, error: BaseException) -> ModelError:
    return ModelError(
        f"The model in {folder} cannot be loaded: {reason(error)} It was reading "
        f"{file_of(error)}. Check that the folder is complete and that the installed transformers "
        "knows this architecture."
    )


def reason(error: BaseException) -> str:
    """The first line of what a library says, with its kind where the text alone says nothing."""
    text = (str(error).strip().splitlines() or [""])[0][:_MOST_REASON]
    is_plain = isinstance(error, OSError | RuntimeError | ValueError | ImportError) and text
    return text if is_plain else f"{type(error).__name__}{f': {text}' if text else ''}"


def file_of(error: BaseException) -> str:
    """The file that a library was reading when it failed, by the module that raised."""
    for frame in _frames(error.__traceback__):
        name = frame.f_code.co_filename.replace("\\", "/")
        subfolder = frame.f_locals.get("subfolder")
        if "/sentence_transformers/" in name and "/modules/" in name and subfolder:
            return f"{subfolder}/config.json or its weights"
        for part, files in _FILES.items():
            if part in name.rpartition("site-packages/")[2]:
                return files
    return "config.json, its tokenizer or its weights"


def module_of(error: BaseException) -> str:
    """The class of the innermost part of a model that a failure came through; '' for none."""
    for frame in _frames(error.__traceback__):
        name = frame.f_code.co_filename.replace("\\", "/")
        if "/sentence_transformers/" in name and "/modules/" in name and "self" in frame.f_locals:
            return type(frame.f_locals["self"]).__name__
    return ""


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    """Innermost first."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames[::-1]
