"""Forms of a trained model. Safetensors always; ONNX is not made yet, and why is said before any work."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from kemb.train.recipe import RecipeFile


def check(file: RecipeFile) -> None:
    """Refuse a form that cannot be made here.

    :raises UsageError: with the line.
    """
    export = file.recipe.export
    for key in ("onnx", "int8"):
        if not getattr(export, key) or file.recipe.base.is_static:
            continue
        if importlib.util.find_spec("optimum") is None:
            raise file.error(
                ("export", key), f'{key} needs optimum. Type: pip install "optimum-onnx", or set {key} = false'
            )


def notes(file: RecipeFile) -> list[str]:
    """What is worth knowing of the forms asked for."""
    export = file.recipe.export
    if file.recipe.base.is_static and (export.onnx or export.int8):
        return ["ONNX is not applicable to a static model: it is one table of vectors, without a network."]
    return []


def copy_model(source: Path, out: Path) -> None:
    """Copy a model folder to `out`, whole or not at all."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
