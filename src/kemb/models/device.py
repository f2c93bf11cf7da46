"""Which device a model runs on, found without importing torch."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Any

from kemb.errors import UsageError


def find_device(asked: str) -> str:
    """`cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes what torch will be able to use, without importing it."""
    if asked != "auto":
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", asked):
            raise UsageError(f"--device {asked!r} is not known. Type cpu, cuda, cuda:1 or mps.")
        return asked
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return "cpu"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    build: dict[str, Any] = {}
    exec((Path(torch.origin).parent / "version.py").read_text(encoding="utf-8"), build)  # five assignments of torch's
    return "cuda" if build.get("cuda") and n_cuda_devices() else "cpu"


def n_cuda_devices() -> int:
    """GPUs that torch will see."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
