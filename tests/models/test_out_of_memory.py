"""Memory that ran out, in the words of each library; and what only sounds like it."""

from __future__ import annotations

import numpy as np
import pytest

from kemb.models.device import is_out_of_memory
from kemb.models.encoders import OutOfMemory
from kemb.models.encoders.onnx import _computed

OPENVINO = (
    "Exception from src/inference/src/cpp/infer_request.cpp:224:\n"
    "Exception from src/plugins/intel_cpu/src/cpu_memory.cpp:101:\n"
    "Failed to allocate 35184372088832 bytes of memory\n\n",
    "Exception from src/inference/src/cpp/infer_request.cpp:224:\nstd::bad_alloc\n",
    "Exception from src/inference/src/cpp/core.cpp:109:\n[GPU] ProgramBuilder build failed!\n"
    "[GPU] Exceeded max size of memory object allocation: requested 5e9 bytes\n",
    "[GPU] clEnqueueMapBuffer, error code: -5 CL_OUT_OF_RESOURCES",
)


@pytest.mark.torch
def test_torch_on_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not is_out_of_memory(caught.value)


@pytest.mark.torch
def test_torch_on_a_gpu_has_a_class_for_it() -> None:
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA: whatever it says"))
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_onnxruntime() -> None:
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node("ConstantOfShape", ["shape"], ["y"])
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n"])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 9
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    with pytest.raises(OutOfMemory):
        _computed(lambda: session.run(None, {"shape": np.array([2**45])})[0])
    with pytest.raises(RuntimeError):
        _computed(lambda: session.run(None, {"other": np.array([1])})[0])


@pytest.mark.parametrize("words", OPENVINO)
def test_openvino_says_it_in_a_plain_error(words: str) -> None:
    def run() -> np.ndarray:
        raise RuntimeError(words)

    with pytest.raises(OutOfMemory):
        _computed(run)


def test_other_words_of_openvino_are_a_failure() -> None:
    def run() -> np.ndarray:
        raise RuntimeError("Exception from a.cpp:1:\nCheck 'x' failed at b.cpp:2:\nbad shape\n")

    with pytest.raises(RuntimeError, match=r"^bad shape\.$"):
        _computed(run)


@pytest.mark.parametrize(
    "words",
    [
        "MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 384.0 KB, max "
        "allowed: 18.1 GB). Tried to allocate 256.00 MB on private pool.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "HIP error: hipErrorOutOfMemory",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested "
        "buffer of size 4294967296",
    ],
)
def test_accelerators_say_it_in_a_plain_error(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "CUDA error: unspecified launch failure",
    ],
)
def test_other_errors_of_a_device_are_not_called_memory(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))


def test_python_itself() -> None:
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("5 texts"))
