"""What is recorded beside a score: what it is a score of, and under which circumstances it was
made.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from typing import NamedTuple

from kemb.encoding import lengths, records
from kemb.encoding.encode import Progress
from kemb.encoding.executors.machines import cpu_name
from kemb.encoding.plan import Encoded, Sources, prompts_of
from kemb.encoding.store import Space, fingerprint_id
from kemb.models import secrets
from kemb.models.backends import PACKAGES
from kemb.models.doors import Door
from kemb.models.model import Model, library_versions
from kemb.results.record import (
    ActorRecord,
    ApiRecord,
    BackendRecord,
    Circumstances,
    Distribution,
    DoorRecord,
    EncodedTexts,
    Hardware,
    JudgeRecord,
    LiteRecord,
    Loaded,
    ModelRecord,
    Profile,
    PromptRecord,
    Seconds,
    Setting,
    TaskRecord,
    ViewRecord,
    known,
)
from kemb.tasks.kinds import KINDS
from kemb.tasks.spec import Lite, TaskSpec
from kemb.types import JudgeUse, TaskData


def setting(spec: TaskSpec, data: TaskData, model: Model) -> Setting:
    """What decides whether two scores may be compared, and the profile of the row
    (docs/architecture.md, "Comparable or not").
    """
    profile = _profile(spec, model)
    return Setting(
        task=_task(spec, data, model),
        model=profile.model,
        prompts=profile.prompts,
        **known(door=profile.door, view=profile.view, parts=profile.parts),
    )


def _task(spec: TaskSpec, data: TaskData, model: Model) -> TaskRecord:
    kind = KINDS[spec.type]
    protocol = {kind.protocol: getattr(spec, kind.protocol).model_dump()} if kind.protocol else {}
    return TaskRecord(
        type=spec.type,
        revision=data.revision,
        unpinned=spec.source.hub is not None and spec.source.revision == "main",
        data_sha256={f"{part.split}/{part.subset}": part.sha256 for part in data.parts},
        notes={
            f"{part.split}/{part.subset}": dict(part.notes) for part in data.parts if part.notes
        },
        dedupe_pairs=spec.dedupe_pairs,
        train_is_evaluated=[
            f"{part.split}/{part.subset}"
            for part in data.parts
            if getattr(part.data, "train_is_evaluated", False)
        ],
        main_metric=spec.main_metric,
        # Of classification the drawn rows are in the data's hash; of clustering nothing is drawn
        # before scoring.
        clustering=protocol.pop("clustering", None),
        metric_version=kind.metric_version,
        **protocol,
        **known(
            drafted=spec.drafted or None,
            seen=data.seen,
            lite=spec.lite and _lite(spec.lite, model),
            judges=[_judge(use) for use in data.judges] or None,
        ),
    )


def _lite(lite: Lite, model: Model) -> LiteRecord:
    row = f"{model.row}@{model.revision}"
    return LiteRecord(
        of=lite.of,
        n_full=lite.n_full,
        n_documents=lite.n_documents,
        is_pooled=row in lite.pool,
        **known(share=lite.shares.get(row)),
    )


def _judge(use: JudgeUse) -> JudgeRecord:
    return JudgeRecord(
        judge=use.judge,
        use="scores" if use.is_used else "judge-only",
        n_used=use.n_used,
        n_judge_only=use.n_judge_only,
        n_checked=use.n_checked,
        wrote_questions=use.wrote_questions,
        **known(kappa=use.kappa, low=use.low, high=use.high),
    )


def _profile(spec: TaskSpec, model: Model) -> Profile:
    file, view = model.backend, model.view
    backend = file and BackendRecord(runtime=file.runtime, file=file.path, sha256=file.sha256)
    return Profile(
        model=ModelRecord(
            name=model.name,
            revision=model.revision,
            variant=model.variant,
            dtype=model.dtype,
            max_tokens=model.max_tokens,
            similarity=model.similarity,
            pooling=model.pooling,
            **known(backend=backend, known_as=model.known_as, truncate_dim=model.truncate_dim),
        ),
        prompts={
            role: PromptRecord(
                prompt=resolved.prompt,
                route=resolved.route,
                key=resolved.key,
                source=resolved.source,
            )
            for role, resolved in prompts_of(model, spec).items()
        },
        **known(
            door=model.door and _door(model.door),
            view=view
            and ViewRecord(
                dims=view.dims,
                level=view.level,
                **known(candidates=view.candidates, similarity=view.similarity),
            ),
            parts=[_profile(spec, part) for part in model.parts] or None,
        ),
    )


def _door(door: Door) -> DoorRecord:
    origin = door.identity.origin
    return DoorRecord(
        kind=door.kind,
        reference=door.reference or None,
        identity=door.identity.how,
        probe=door.identity.probe or None,
        distribution=Distribution(**origin._asdict()) if origin else None,
    )


def now() -> str:
    """The time as it is recorded."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Around(NamedTuple):
    """The command that a score is made in, and when it began with the model."""

    command: str
    started: str


def circumstances(
    model: Model, sources: Sources, data: TaskData, score_seconds: float, around: Around
) -> Circumstances:
    """What is shown and never gates: versions, hardware, time, command, costs."""
    encoded = sources.encoded
    one = encoded.get(model.identity)
    progress = [of_part.progress for of_part in encoded.values()]
    encode_seconds = round(sum(part.seconds for part in progress), 3) if encoded else None
    fingerprints = {name: of_part.space.fingerprint for name, of_part in encoded.items()}
    return Circumstances(
        fingerprint_id=fingerprint_id(one.space.fingerprint) if one else None,
        fingerprint=one.space.fingerprint if one else None,
        family=model.family,
        warnings=list(model.warnings),
        versions=_versions(model),
        hardware=_hardware(model, sources),
        seconds=Seconds(score=round(score_seconds, 3), **known(encode=encode_seconds)),
        timestamp=int(time.time()),
        date=now(),
        started=around.started,
        command=secrets.redacted(around.command),
        **known(
            encoded=_encoded(progress) if encoded else None,
            api=_api(model, one) if one and model.spec.api is not None else None,
            data_warnings=data.warnings or None,
            data_source=data.source or None,
            index_bytes_per_document=lengths.index_bytes(model, sources, data.task),
            loaded=Loaded(**loaded(model, one.space)) if one else None,
            lengths=lengths.measure(model, one, data.task) if one else None,
            part_fingerprints=fingerprints if model.parts else None,
        ),
    )


def _versions(model: Model) -> dict[str, str]:
    versions = {"kemb": importlib.metadata.version("kemb"), "python": platform.python_version()}
    for library in ("numpy", "scipy", "scikit-learn"):
        versions[library] = importlib.metadata.version(library)
    if model.backend:
        package = PACKAGES[model.backend.runtime]
        versions[package] = importlib.metadata.version(package)
    return versions | library_versions()


def _encoded(progress: Sequence[Progress]) -> EncodedTexts:
    limits = [part.token_limit for part in progress if part.token_limit is not None]
    return EncodedTexts(
        n_texts=sum(part.n_texts for part in progress),
        n_unique=sum(part.n_unique for part in progress),
        n_stored_before=sum(part.n_stored for part in progress),
        n_encoded=sum(part.n_encoded for part in progress),
        n_tokens=sum(part.n_tokens for part in progress),
        token_limit_after_out_of_memory=min(limits, default=None),
    )


def loaded(model: Model, space: Space) -> dict[str, int]:
    """What loading the model has shown, and the dimension of its vectors: n_parameters, max_tokens,
    dim.
    """
    space.refresh()
    dim = space.dim() if model.family == "dense" else None
    return space.facts() | ({"dim": dim} if dim else {})


def _api(model: Model, encoded: Encoded) -> ApiRecord:
    """What this command asked of an endpoint, and what that costs at the declared price; no cost of
    guessed tokens.
    """
    api, calls = model.spec.api, encoded.progress.calls
    assert api is not None
    price, n_tokens = api.price_per_million_tokens, calls.get("n_tokens", 0)
    is_known = price is not None and not calls.get("n_tokens_guessed")
    return ApiRecord(
        **known(**calls),
        usd_per_million_tokens=price,
        price_date=api.price_date or None,
        price_source=api.price_source or None,
        usd=round(n_tokens * price / 1e6, 6) if is_known and price is not None else None,
        korean=lengths.billed_korean(encoded),
    )


def _devices(model: Model) -> tuple[str, ...]:
    return model.devices or (model.device,)


def _hardware(model: Model, sources: Sources) -> Hardware:
    """That of this process, and the machines of a cluster that encoded."""
    encoded = sources.encoded.values()
    mixed = {name for of_part in encoded for name in records.mixed_devices(of_part.space)}
    actors = [
        ActorRecord.model_validate(machine)
        for of_part in encoded
        for machine in of_part.progress.machines
    ]
    base = hardware(*_devices(next(iter(model.encoders), model)))
    return base.model_copy(update=known(actors=actors or None, mixed_devices=sorted(mixed) or None))


def hardware(device: str, *others: str) -> Hardware:
    """Processor, cores, the accelerator if the model ran on one, and the devices where several
    processes did.
    """
    gpu = None
    if device.startswith("cuda"):
        import torch

        # A driver, and who scores stored vectors, need not have what encoded them.
        gpu = torch.cuda.get_device_name(device) if torch.cuda.is_available() else None
    devices = [device, *others] if others else None
    accelerators = known(gpu=gpu, devices=devices)
    return Hardware(device=device, cpu=cpu_name(), n_cores=os.cpu_count(), **accelerators)
