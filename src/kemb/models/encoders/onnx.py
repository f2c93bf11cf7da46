"""Networks in onnxruntime and OpenVINO, in the place where sentence-transformers has a transformers
model.

sentence-transformers loads such files through optimum, whose releases refuse transformers 5
(optimum-onnx 0.1.0 wants < 4.58, optimum-intel 2.2.0 < 5.6). Everything but its two loading
functions is used: tokenizer, pooling, modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemb.errors import ModelError
from kemb.models.backends import PACKAGES, BackendFile
from kemb.models.device import is_out_of_memory
from kemb.models.encoders import OutOfMemory

OUTPUTS = ("last_hidden_state", "token_embeddings")
"""Names of the output with a vector per token [n, length, dim]."""
GIVEN = {"input_ids", "attention_mask", "token_type_ids"}
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Session:
    """A network that is ready to compute."""

    inputs: dict[str, type[np.integer]]
    run: Callable[[Arrays], NDArray[Any]]
    """Token vectors of the inputs."""


class Network:
    """What sentence-transformers takes for a transformers model."""

    def __init__(self, session: Session, config: Any, alone: bool) -> None:  # noqa: ANN401  transformers has no types
        self.session = session
        self.config = config
        self.alone = alone

    def forward(self, **features: Any) -> dict[str, Any]:  # noqa: ANN401  tensors, and flags of transformers
        """Token vectors [n, length, dim] of `input_ids` and the like, [n, length] each."""
        import torch

        ids, mask = features["input_ids"].numpy(), features["attention_mask"].numpy()
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        arrays |= {name: features[name].numpy() for name in self.session.inputs if name in features}
        inputs = {
            name: np.ascontiguousarray(arrays[name], kind)
            for name, kind in self.session.inputs.items()
        }
        states = self._each_alone(inputs, mask) if self.alone else self.session.run(inputs)
        return {"last_hidden_state": torch.from_numpy(np.array(states, dtype=np.float32))}

    def _each_alone(self, inputs: Arrays, mask: NDArray[Any]) -> NDArray[Any]:
        """As `run`, but every row without its padding and without the others; zeros where the
        padding was.
        """
        parts = []
        for row, is_token in enumerate(mask.astype(bool)):
            place = slice(int(is_token.argmax()), len(is_token) - int(is_token[::-1].argmax()))
            one = {name: value[row : row + 1, place] for name, value in inputs.items()}
            parts.append((place, self.session.run(one)))
        states = np.zeros((*mask.shape, parts[0][1].shape[-1]), dtype=np.float32)
        for row, (place, part) in enumerate(parts):
            states[row, place] = part[0]
        return states


@contextmanager
def in_place_of_optimum(folder: Path, file: BackendFile, device: str) -> Iterator[None]:
    """While this lasts, sentence-transformers' backend "onnx" is this file.

    :raises ModelError: when the runtime cannot open it.
    """
    from sentence_transformers.base.modules import transformer

    def load(model_name_or_path: str, config: Any, task_name: str, **model_kwargs: Any) -> Network:  # noqa: ANN401
        return Network(open_session(folder / file.path, file, device), config, file.alone)

    before = transformer.load_onnx_model
    transformer.load_onnx_model = load
    try:
        yield
    finally:
        transformer.load_onnx_model = before


def open_session(path: Path, file: BackendFile, device: str) -> Session:
    """Open a file on `cpu`, or with onnxruntime on `cuda`.

    :raises ModelError: it cannot be opened there, or is no network from token ids to token vectors.
    """
    package = PACKAGES[file.runtime]
    if device != "cpu" and (file.runtime == "openvino" or not device.startswith("cuda")):
        raise ModelError(
            f"--backend {file.runtime} computes on the CPU here, not on {device}. Type --device "
            "cpu."
        )
    try:
        session, outputs = (_onnxruntime if file.runtime == "onnx" else _openvino)(path, device)
    except ModelError:
        raise
    except Exception as error:  # the runtimes' own classes
        raise ModelError(
            f"{path} cannot be opened by {package}: {_reason(error)} Fetch or export the file "
            f"again, or use a newer {package}."
        ) from error
    if "input_ids" not in session.inputs or not session.inputs.keys() <= GIVEN:
        raise ModelError(
            f"{path} wants the inputs {', '.join(session.inputs)}; kemb gives "
            f"{', '.join(sorted(GIVEN))}. Export the "
            "model for feature extraction, without a cache of past keys: kemb export onnx MODEL -o "
            "DIR."
        )
    if not set(outputs) & set(OUTPUTS):
        raise ModelError(
            f"{path} gives {', '.join(outputs)}; kemb reads a vector per token from "
            f"{' or '.join(OUTPUTS)}. Export the model for feature extraction: kemb export onnx "
            "MODEL -o DIR."
        )
    return session


def _onnxruntime(path: Path, device: str) -> tuple[Session, list[str]]:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; the rest is about how the graph was improved
    options.enable_mem_pattern = False  # for inputs of one shape only
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        number = int(device.partition(":")[2] or 0)
        providers = [("CUDAExecutionProvider", {"device_id": number, "use_tf32": 0})]
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ModelError(
                f"--device {device} needs onnxruntime for CUDA, which is not installed. Type "
                "--device cpu, or: pip uninstall onnxruntime; pip install onnxruntime-gpu"
            )
    opened = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if device.startswith("cuda") and opened.get_providers()[0] != "CUDAExecutionProvider":
        raise ModelError(f"onnxruntime could not start CUDA for {path.name}. Type --device cpu.")
    kinds: dict[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    outputs = [output.name for output in opened.get_outputs()]
    output_names = [name for name in OUTPUTS if name in outputs][:1]
    inputs = {entry.name: kinds.get(entry.type, np.int64) for entry in opened.get_inputs()}
    return Session(
        inputs, lambda arrays: _computed(lambda: opened.run(output_names, dict(arrays))[0])
    ), outputs


def _openvino(path: Path, device: str) -> tuple[Session, list[str]]:
    import openvino
    import torch

    if any(part.is_symlink() for part in path.parent.glob(f"{path.name}[._]*")):
        raise ModelError(
            "OpenVINO reads no weights of an ONNX file through links, as the hub's cache holds "
            f"{path.name}. Fetch it into a folder: hf download ORG/NAME --local-dir DIR, then -m "
            "DIR; or type --backend onnx."
        )
    # Without the hint it computes in bfloat16 where the processor has it.
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), device.upper(), settings)
    kinds: dict[str, type[np.integer]] = {"i64": np.int64, "i32": np.int32}
    outputs = {name: output for output in compiled.outputs for name in output.names}
    token_output = next((outputs[name] for name in OUTPUTS if name in outputs), None)
    inputs = {
        entry.any_name: kinds.get(entry.element_type.get_type_name(), np.int64)
        for entry in compiled.inputs
    }
    return Session(
        inputs, lambda arrays: _computed(lambda: compiled(dict(arrays))[token_output])
    ), list(outputs)


def _computed(run: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    try:
        return run()
    except Exception as error:  # the runtimes' own classes
        if is_out_of_memory(error):
            raise OutOfMemory from error
        raise RuntimeError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The first line that is no place in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [
        line for line in lines if not re.match(r"(Exception from|Check '.*' failed at) ", line)
    ]
    return (reasons or lines or [type(error).__name__])[0][:300].rstrip(".") + "."
