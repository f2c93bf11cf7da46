"""What is recorded beside a score: what it is a score of, and under which circumstances it was
made.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from kemb.encoding import lengths
from kemb.encoding.plan import Encoded, Sources, prompts_of
from kemb.encoding.store import Space, fingerprint_id
from kemb.models.backends import PACKAGES
from kemb.models.model import Model, library_versions
from kemb.tasks.kinds import KINDS
from kemb.tasks.spec import TaskSpec
from kemb.types import TaskData


def cell(spec: TaskSpec, data: TaskData, model: Model) -> dict[str, Any]:
    """What decides whether two scores may be compared, and the profile of the row
    (docs/architecture.md, "Comparable or not").
    """
    kind = KINDS[spec.type]
    protocol = {kind.protocol: getattr(spec, kind.protocol).model_dump()} if kind.protocol else {}
    return {
        "task": {
            "type": spec.type,
            "revision": data.revision,
            "unpinned": spec.source.hub is not None and spec.source.revision == "main",
            "data_sha256": {f"{part.split}/{part.subset}": part.sha256 for part in data.parts},
            "notes": {
                f"{part.split}/{part.subset}": dict(part.notes) for part in data.parts if part.notes
            },
            "dedupe_pairs": spec.dedupe_pairs,
            "train_is_evaluated": [
                f"{part.split}/{part.subset}"
                for part in data.parts
                if getattr(part.data, "train_is_evaluated", False)
            ],
            "main_metric": spec.main_metric,
            # Of classification the drawn rows are in the data's hash; of clustering nothing is
            # drawn before scoring.
            "clustering": protocol.pop("clustering", None),
            "metric_version": kind.metric_version,
            **protocol,
        },
        **_profile(spec, model),
    }


def _profile(spec: TaskSpec, model: Model) -> dict[str, Any]:
    record: dict[str, Any] = {
        "model": {
            "name": model.name,
            "revision": model.revision,
            "variant": model.variant,
            "dtype": model.dtype,
            "max_tokens": model.max_tokens,
            "similarity": model.similarity,
            "pooling": model.pooling,
        },
        "prompts": {
            role: {
                "prompt": found.prompt,
                "route": found.route,
                "key": found.key,
                "source": found.source,
            }
            for role, found in prompts_of(model, spec).items()
        },
    }
    if model.backend:
        file = model.backend
        record["model"]["backend"] = {
            "runtime": file.runtime,
            "file": file.path,
            "sha256": file.sha256,
        }
    if model.view:
        record["view"] = {"dims": model.view.dims, "level": model.view.level} | {
            name: value
            for name in ("candidates", "similarity")
            if (value := getattr(model.view, name)) is not None
        }
    if model.parts:
        record["parts"] = [_profile(spec, part) for part in model.parts]
    return record


def now() -> str:
    """The time as it is recorded."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Around(NamedTuple):
    """The command that a score is made in, and when it began with the model."""

    command: str
    started: str


def circumstances(
    model: Model, sources: Sources, task: str, score_seconds: float, around: Around
) -> dict[str, Any]:
    """What is shown and never gates: versions, hardware, time, command, costs."""
    encoded = sources.encoded
    versions = {"kemb": importlib.metadata.version("kemb"), "python": platform.python_version()}
    for library in ("numpy", "scipy", "scikit-learn"):
        versions[library] = importlib.metadata.version(library)
    if model.backend:
        versions |= {
            name: importlib.metadata.version(name) for name in [PACKAGES[model.backend.runtime]]
        }
    one = encoded.get(model.identity)
    record: dict[str, Any] = {
        "fingerprint_id": fingerprint_id(one.space.fingerprint) if one else None,
        "fingerprint": one.space.fingerprint if one else None,
        "family": model.family,
        "warnings": list(model.prompts.warnings),
        "versions": versions | library_versions(),
        "hardware": hardware(*_devices(next(iter(model.encoders), model))),
        "seconds": {"score": round(score_seconds, 3)},
        "timestamp": int(time.time()),
        "date": now(),
        "started": around.started,
        "command": around.command,
    }
    if encoded:
        found = [of_part.progress for of_part in encoded.values()]
        limits = [progress.token_limit for progress in found if progress.token_limit is not None]
        record["seconds"]["encode"] = round(sum(progress.seconds for progress in found), 3)
        record["encoded"] = {
            "n_texts": sum(progress.n_texts for progress in found),
            "n_unique": sum(progress.n_unique for progress in found),
            "n_stored_before": sum(progress.n_stored for progress in found),
            "n_encoded": sum(progress.n_encoded for progress in found),
            "n_tokens": sum(progress.n_tokens for progress in found),
            "token_limit_after_out_of_memory": min(limits, default=None),
        }
    if one and model.spec.api is not None:
        record["api"] = _api(model, one)
    if (size := lengths.index_bytes(model, sources, task)) is not None:
        record["index_bytes_per_document"] = size
    if one:
        record["loaded"] = loaded(model, one.space)
        record["lengths"] = lengths.measure(model, one, task)
    if model.parts:
        record["part_fingerprints"] = {
            name: of_part.space.fingerprint for name, of_part in encoded.items()
        }
    return record


def loaded(model: Model, space: Space) -> dict[str, int]:
    """What loading the model has shown, and the dimension of its vectors: n_parameters, max_tokens,
    dim.
    """
    space.refresh()
    dim = space.dim() if model.family == "dense" else None
    return space.facts() | ({"dim": dim} if dim else {})


def _api(model: Model, encoded: Encoded) -> dict[str, Any]:
    """What this command asked of an endpoint, and what that costs at the declared price; no cost of
    guessed tokens.
    """
    api, calls = model.spec.api, encoded.progress.calls
    assert api is not None
    price, n_tokens = api.price_per_million_tokens, calls.get("n_tokens", 0)
    is_known = price is not None and not calls.get("n_tokens_guessed")
    return {
        **calls,
        "usd_per_million_tokens": price,
        "price_date": api.price_date or None,
        "price_source": api.price_source or None,
        "usd": round(n_tokens * price / 1e6, 6) if is_known and price is not None else None,
        "korean": lengths.billed_korean(encoded),
    }


def _devices(model: Model) -> tuple[str, ...]:
    return model.devices or (model.device,)


def hardware(device: str, *others: str) -> dict[str, Any]:
    """Processor, cores, the accelerator if the model ran on one, and the devices where several
    processes did.
    """
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if "model name" in line
        ]
        cpu = names[0] if names else cpu
    record: dict[str, Any] = {"device": device, "cpu": cpu, "n_cores": os.cpu_count()}
    if device.startswith("cuda"):
        import torch

        record["gpu"] = torch.cuda.get_device_name(device)
    if others:
        record["devices"] = [device, *others]
    return record
