"""A trained model on disk: safetensors, as sentence-transformers saves it."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_model(source: Path, out: Path) -> None:
    """Copy a model folder to `out`, whole or not at all."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
