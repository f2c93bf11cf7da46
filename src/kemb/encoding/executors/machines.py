"""What a machine that encodes is, as far as it may change a vector: its device, its numerical
libraries, and their versions.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kemb.models.model import LIBRARIES

INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2", "asimd")
"""Of a CPU, as /proc/cpuinfo calls them; the first that it has names its kernels."""


class Machine(NamedTuple):
    """A machine as an actor sees it."""

    name: str
    """Of its host."""
    device: dict[str, str]
    """Equal on machines that give equal bits."""
    versions: dict[str, str]
    """Of the packages that must be those of the command."""

    @property
    def record(self) -> dict[str, str]:
        """What is recorded of it."""
        return {"name": self.name, **self.device}


def machine(device: str, n_threads: int) -> Machine:
    """This machine, once the model is open.

    :param device: of the model.
    """
    is_gpu = device.startswith("cuda")
    facts = _gpu(device) if is_gpu else {"device": cpu_name(), "instructions": _instructions()}
    facts |= {"blas": _blas(), "threads": "" if is_gpu else str(n_threads)}
    return Machine(platform.node(), facts | _builds(), versions())


def versions() -> dict[str, str]:
    """Of the packages whose releases may change a vector, without the mark of their build."""
    return {package: version.partition("+")[0] for package, version in _installed().items()}


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What is not the same: `torch 2.9.1 (here 2.10.0)`; '' where all is."""
    names = sorted(one.keys() | other.keys())
    return ", ".join(
        f"{name} {one.get(name) or 'unknown'} (here {other.get(name) or 'unknown'})"
        for name in names
        if one.get(name) != other.get(name)
    )


def cpu_name() -> str:
    """The model of the processor."""
    lines = _cpuinfo("model name")
    return lines[0] if lines else platform.processor() or platform.machine()


def _instructions() -> str:
    flags = set(" ".join(_cpuinfo("flags")[:1] or _cpuinfo("Features")[:1]).split())
    return next((name for name in INSTRUCTIONS if name in flags), platform.machine())


def _cpuinfo(key: str) -> list[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _gpu(device: str) -> dict[str, str]:
    from kemb.models.encoders.torch import gpu_facts

    return gpu_facts(device)


def _blas() -> str:
    """The libraries for matrix products that this process has loaded, with their versions."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown"
    libraries = {
        f"{entry['internal_api']} {entry['version'] or ''}".strip()
        for entry in threadpool_info()
        if entry["user_api"] == "blas"
    }
    return ", ".join(sorted(libraries))


def _builds() -> dict[str, str]:
    """The marks of builds, as of `torch 2.9.1+cu128`."""
    return {
        f"{package} build": build
        for package, version in _installed().items()
        if (build := version.partition("+")[2])
    }


def _installed() -> dict[str, str]:
    packages = {}
    for package in ("kemb", "numpy", *LIBRARIES):
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            packages[package] = "not installed"
    return packages
