"""A trained model on disk: safetensors, and ONNX files that pass a gate.

A file in float32 must give torch's vectors on texts of the evaluation. A file in int8 gives others:
it must be near, and on no task of the recipe may it be worse than the model in torch by more than
the tolerance (non-inferiority, as in the forget-check). A file that fails is not exported.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kemb.adapters import onnx_export as onnx
from kemb.boards.benchmark import of_tasks
from kemb.boards.compare import CompareOptions, compare
from kemb.errors import ModelError
from kemb.evaluation.evaluate import Reporter, RunOptions, Task, evaluate
from kemb.files import disk
from kemb.models.encoders import Encoder
from kemb.models.identity import content_hash
from kemb.models.model import ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import TaskResult
from kemb.results.rows import rows_of
from kemb.training import bases, folder, stages
from kemb.training.job import Work, libraries, task_hashes
from kemb.training.overlap import texts_of
from kemb.training.proof import GuardLine, Proof, forgotten
from kemb.training.recipe import GuardSection, Recipe
from kemb.training.sections import ExportSection

README = "README.md"
N_TEXTS, N_LONGEST = 256, 16
"""Texts of the evaluation on which vectors are compared, the longest among them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file beside the safetensors, and what the gates said of it."""

    file: str
    n_bytes: int
    parity: onnx.Parity
    quality: list[GuardLine]
    """Against the model in torch, by task; empty where the vectors are the same."""
    problem: str
    """Why it is not exported; '' where it is."""


def make_files(run: Work, tuned: Path, proof: Proof) -> Path | None:
    """The stage with the ONNX files that the recipe asks for: their folder; None where it asks for
    none.
    """
    section = run.file.recipe.export
    if section.formats == ["safetensors"]:
        return None
    options = RunOptions(run.results_dir, run.options.store, command=run.options.command)

    def work(folder: Path) -> dict[str, Any]:
        return to_json(write_files(section, tuned, folder, run.tasks, proof, options, run.listener))

    inputs = {
        "recipe": {"export": section.model_dump(mode="json")},
        "tuned": content_hash(tuned),
        "tasks": task_hashes(run),
        "libraries": libraries()
        | {name: importlib.metadata.version(name) for name in onnx.PACKAGES},
    }
    return run.stage("export", inputs, work).folder / "onnx"


def write_files(
    section: ExportSection,
    tuned: Path,
    folder: Path,
    tasks: Sequence[Task],
    proof: Proof,
    options: RunOptions,
    reporter: Reporter,
) -> list[Exported]:
    """Write the ONNX files that a recipe asks for to `folder/onnx`, without those that fail.

    :param tuned: the model in safetensors; left as it is.
    """
    beside = folder / tuned.name  # a model's files must lie in its folder
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(
        tuned, beside, copy_function=_link, ignore=shutil.ignore_patterns("onnx", "openvino")
    )
    encoder = open_model(resolve(str(tuned), ModelOptions(device="cpu", dtype="float32")))
    onnx.write_onnx(encoder, beside / onnx.MODEL)
    texts = _texts(tasks)
    of_torch = onnx.vectors_of(encoder, texts)
    exported = _gate(
        section, beside, onnx.MODEL, _parity(beside, onnx.MODEL, encoder, texts, of_torch), []
    )
    exported_files = [exported] if "onnx" in section.formats else []
    if "int8" in section.formats:
        onnx.write_int8(beside / onnx.MODEL, beside / onnx.INT8)
        parity = _parity(beside, onnx.INT8, encoder, texts, of_torch)
        quality = _quality(section, beside, tasks, proof, options, reporter)
        exported_files.append(_gate(section, beside, onnx.INT8, parity, quality))
    for file in exported_files:
        if not file.problem:
            (folder / "onnx").mkdir(exist_ok=True)
            for part in (beside / "onnx").glob(f"{Path(file.file).name}*"):
                part.replace(folder / "onnx" / part.name)
    shutil.rmtree(beside)
    return exported_files


def copy_model(
    source: Path, out: Path, run_dir: Path, readme: str = "", onnx_dir: Path | None = None
) -> None:
    """Copy a model folder to `out`, whole or not at all, with the lock file that shows what the run
    made; what an earlier run made there goes.

    :param readme: what the model card says so far.
    :param onnx_dir: ONNX files to lie in it.
    :raises UsageError: `out` holds what no run of kemb made.
    """
    folder.refuse_replacing(out)
    with (
        disk.writing(f"{out} cannot be written", "Free space, then run the same command again."),
        disk.replacing_folder(out) as unfinished,
    ):
        shutil.copytree(source, unfinished)
        if onnx_dir is not None and onnx_dir.is_dir():
            shutil.copytree(onnx_dir, unfinished / "onnx")
        if readme:
            (unfinished / README).write_bytes(readme.encode())
        stages.copy_lock(run_dir, unfinished)


def to_json(files: Sequence[Exported]) -> dict[str, Any]:
    """As the report of a stage."""
    return {"files": [asdict(file) for file in files]}


def from_json(report: Mapping[str, Any]) -> list[Exported]:
    """What `to_json` wrote."""
    from pydantic import TypeAdapter

    return TypeAdapter(list[Exported]).validate_python(report.get("files", []))


def _link(source: str, target: str) -> None:
    """The same file under another name where the disk can do that, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _texts(tasks: Sequence[Task]) -> list[str]:
    """Texts of the evaluation, the same ones for the same data: the longest, and others chosen by
    chance.
    """
    texts = sorted(
        {text for task in tasks for part in task.load().parts for text in texts_of(part.data)}
    )
    texts.sort(key=len, reverse=True)
    rest = np.random.default_rng(0).permutation(np.arange(N_LONGEST, max(len(texts), N_LONGEST)))
    return texts[:N_LONGEST] + [texts[i] for i in rest[: N_TEXTS - N_LONGEST].tolist()]


def _parity(
    beside: Path,
    file: str,
    encoder: Encoder,
    texts: list[str],
    of_torch: Any,  # noqa: ANN401
) -> onnx.Parity:
    return onnx.parity_of(
        of_torch, onnx.file_vectors(beside, file, texts, ModelOptions(backend="onnx"))
    )


def _gate(
    section: ExportSection, beside: Path, file: str, parity: onnx.Parity, quality: list[GuardLine]
) -> Exported:
    """The verdict on a file."""
    problem = ""
    worse = [line for line in quality if not line.passed]
    if file == onnx.MODEL and parity.max_difference > section.max_difference:
        problem = (
            f"numbers differ from torch's by {parity.max_difference:.2g}, more than "
            f"{section.max_difference:g}"
        )
    elif parity.min_cosine < section.min_cosine:
        problem = (
            f"the cosine with torch's vector falls to {parity.min_cosine:.4g}, below "
            f"{section.min_cosine:g}"
        )
    elif worse:
        reasons = "; ".join(f"{line.task}: {line.reason}" for line in worse)
        problem = (
            "it may score below torch by more than the tolerance of "
            f"{section.tolerance:g} ({reasons})"
        )
    return Exported(file, onnx.size_of(beside / file), parity, quality, problem)


def _quality(
    section: ExportSection,
    beside: Path,
    tasks: Sequence[Task],
    proof: Proof,
    options: RunOptions,
    reporter: Reporter,
) -> list[GuardLine]:
    """The int8 file on the recipe's tasks, compared item by item with the model in torch."""
    model = resolve(str(beside), ModelOptions(backend="onnx", backend_file=onnx.INT8))
    results: list[TaskResult] = []
    for outcome in evaluate(tasks, [model], options, reporter):
        if outcome.result is not None:
            results.append(outcome.result)
        elif outcome.status == "failed":
            return [GuardLine(outcome.task, 0.0, None, section.tolerance, False, outcome.message)]
    names = of_tasks([task.spec.name for task in tasks])
    compared = compare(proof.comparison.b, rows_of(results)[0], names, CompareOptions(n_flips=0))
    guard = GuardSection(tolerance=section.tolerance)
    return [forgotten(cell, guard) for cell in compared.cells]


def merge(recipe: Recipe, base: Path, tuned: Path, weight: float, out: Path) -> None:
    """Save weight * tuned + (1 - weight) * base to `out`; everything else is the tuned model's.

    :raises ModelError: when the two are not the same network.
    """
    st = bases.need_libraries()
    model = st.SentenceTransformer(str(tuned), device="cpu", model_kwargs={"use_safetensors": True})
    plain = recipe.base.model_copy(update={"lora": None})
    before = bases.open_model(plain, base, recipe.prompts, "cpu").state_dict()
    after = model.state_dict()
    if before.keys() != after.keys() or any(
        before[name].shape != after[name].shape for name in after
    ):
        raise ModelError(
            f"The models in {base} and {tuned} are not the same network; they cannot be merged."
        )
    mixed = {
        name: weight * tensor + (1 - weight) * before[name]
        if tensor.is_floating_point()
        else tensor
        for name, tensor in after.items()
    }
    model.load_state_dict(mixed)
    bases.save(model, out)
