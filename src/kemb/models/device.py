"""Which device a model runs on, found without importing torch, and whether its memory ran out."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Any

from kemb.errors import UsageError


def find_devices(option: str, n_workers: int | None) -> tuple[str, ...]:
    """The devices of one command, each for a process of its own; the first one stands for all.

    :param option: `cpu`, `cuda`, `cuda:N`, `mps`, several of a kind with commas between, or `auto`.
    :param n_workers: processes on the CPU, if there is to be more than one.
    :raises UsageError: an unknown device, devices of two kinds, a GPU named twice, workers on a
        GPU.
    """
    devices = tuple(part.strip() for part in option.split(","))
    if len(devices) > 1:
        kinds = {device.partition(":")[0] for device in devices}
        if kinds == {"cuda"} and "cuda" not in devices and len(set(devices)) < len(devices):
            raise UsageError(
                f"--device {option} names a GPU twice. Name each one once: --device cuda:0,cuda:1."
            )
        devices = tuple(find_device(device) for device in devices)
        if kinds != {"cpu"} and (kinds != {"cuda"} or "cuda" in devices):
            raise UsageError(
                f"--device {option} cannot share one model: several devices are of one kind, and "
                "GPUs have a number, as vectors of different kinds are not the same. Type --device "
                "cuda:0,cuda:1 or --device cpu,cpu."
            )
        if n_workers is not None:
            raise UsageError(
                f"--device {option} is a process per device already. Leave out --workers."
            )
        return devices
    device = find_device(option)
    if n_workers is None or n_workers == 1:
        return (device,)
    if device != "cpu":
        raise UsageError(
            f"--workers {n_workers} is for processes on the CPU, and the device is {device}. Type "
            "--device cpu, or name the GPUs: --device cuda:0,cuda:1."
        )
    return (device,) * n_workers


def check_device(option: str) -> None:
    """Look at the names of devices, before anything is fetched for them.

    :param option: as of `find_devices`.
    :raises UsageError: a name that is none.
    """
    for name in option.split(","):
        if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name.strip()):
            continue
        gpu = re.fullmatch(r"(?:gpu|nvidia|rocm|hip|cuda)?:?(\d*)", name.strip().lower())
        instead = f"cuda{gpu[1] and f':{gpu[1]}'}" if gpu else "auto"
        raise UsageError(
            f"--device {name.strip()!r} is not known: devices are cpu, cuda (a GPU), cuda:1 (the "
            f"second one), mps and auto; type --device {instead}."
        )


def find_device(option: str) -> str:
    """`cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes what torch will be able to use, without
    importing it.
    """
    check_device(option)
    if option != "auto":
        return option
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return "cpu"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    build: dict[str, Any] = {}
    exec(
        (Path(torch.origin).parent / "version.py").read_text(encoding="utf-8"), build
    )  # five assignments of torch's
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


_NO_MEMORY = re.compile(
    "(can't|cannot|could not|failed to|unable to) allocate|not enough memory|out of memory"
    "|bad[_ ]alloc|exceeded max size of memory|out_of_resources|mem_object_allocation_failure"
    "|status_alloc_failed|erroroutofmemory",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure of torch, onnxruntime or OpenVINO means that fewer texts may fit.

    torch has a class for CUDA only; its CPU allocator, MPS, HIP, cuBLAS and the other two say it in
    the words of a plain error. This is the one place that reads an error's words.
    """
    if isinstance(error, MemoryError):
        return True
    if any(base.__name__ == "OutOfMemoryError" for base in type(error).__mro__):
        return True
    return _NO_MEMORY.search(str(error)) is not None
