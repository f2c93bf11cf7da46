"""Models behind an HTTP endpoint: who they are (asked once, remembered) and how their vectors come
in.

An endpoint's answer names the model that made it. That name is part of the fingerprint, so a model
that is exchanged behind its name is noticed. Keys come from the environment, go into one header and
nowhere else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from kemb.errors import UsageError
from kemb.files import disk
from kemb.models import catalogue
from kemb.models.encoders import Encoder
from kemb.models.encoders.api_checks import EXAMPLE, KEY_ENV, check_endpoint
from kemb.models.encoders.endpoint import digest, memory, sent_model
from kemb.models.model import Model, ModelOptions
from kemb.models.prompts import build_prompts, prompts_label, rules_of_file
from kemb.models.spec import ApiSpec, ModelSpec

PREFIX = "api:"
BASE_ENV = "KEMB_API_BASE"
_PROBE = "kemb"
_MOST_DIM = 1 << 20


def resolve_api(name: str, options: ModelOptions, task_names: Collection[str]) -> Model:
    """The model `api:NAME`, or `api:FILE.toml` for one's own TOML with an [api] table.

    The endpoint is asked once, with one short text for every name it is sent, who answers; the
    answer is kept in the user's cache folder, so that scores can be made again without network or
    key.

    :raises UsageError: no endpoint is known for it, the key is missing, or an option an endpoint
        does not have.
    :raises ModelError: the endpoint cannot be used.
    """
    settings: dict[str, object] = {"--dtype": options.dtype, "--max-tokens": options.max_tokens}
    settings |= {"--pooling": options.pooling, "--backend": options.backend}
    if wrong := [flag for flag, value in settings.items() if value is not None]:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with api:{name}; an endpoint has no such "
            "setting."
        )
    spec, variant = _spec_of(name, options)
    prompts = build_prompts(spec, rules_of_file(options.prompts_file, spec), None, task_names)
    identity = identity_of(spec)
    assert spec.api is not None
    parts = {
        "model": spec.name,
        "loader": "api",
        "kind": spec.api.kind,
        "endpoint": digest(
            spec.api.base_url.rstrip("/")
        ),  # a hash: addresses of private servers stay private
        "sent_model": spec.api.model,
        "body": json.dumps(spec.api.body, sort_keys=True),
        "dim": str(identity["dim"]),
        "served_model": json.dumps(identity["served"], sort_keys=True),
    }
    labels = [
        variant,
        f"prompts_{prompts_label(options.prompts_file)}" if options.prompts_file else "",
    ]
    return Model(
        spec=spec,
        name=spec.name,
        revision=digest(json.dumps(parts, sort_keys=True)),
        prompts=prompts,
        device="api",
        max_tokens=spec.max_tokens,
        similarity=spec.similarity,
        variant="__".join(label for label in labels if label),
        endpoint=tuple(parts.items()),
    )


def key_of(api: ApiSpec, name: str) -> str:
    """The key, from the environment; '' where none is needed.

    :raises UsageError: the variable is not set.
    """
    if not api.key_env:
        return ""
    key = os.environ.get(api.key_env, "").strip()
    if not key and api.key_env != KEY_ENV:  # of a server of one's own a key is optional
        raise UsageError(
            f"The API of {name} needs a key. Put it into the environment: export {api.key_env}=... "
            f"It is sent to {urlsplit(api.base_url).netloc} and neither printed nor stored."
        )
    if not key.isascii() or not key.isprintable():
        raise UsageError(
            f"The key in {api.key_env} holds characters that no header can; copy it again."
        )
    return key


def identity_of(spec: ModelSpec) -> dict[str, Any]:
    """`dim` and, by the name sent, the name `served`, as remembered or, the first time, asked."""
    api = spec.api
    assert api is not None
    path = memory(api)
    names = {sent_model(api, route): route for route in sorted({*spec.routes.values()} or {""})}
    remembered = _remembered(path, names)
    if remembered is not None:
        return remembered.model_dump()
    from kemb.models.encoders.api import Client

    with Client(spec, key_of(api, spec.name)) as client:
        answers = {sent: client.ask(route, [_PROBE]) for sent, route in names.items()}
    identity = {
        "dim": int(next(iter(answers.values())).vectors.shape[1]),
        "served": {sent: answer.served for sent, answer in answers.items()},
    }
    disk.write(path, json.dumps(identity), "Set XDG_CACHE_HOME to a folder that can be written.")
    return identity


class _Identity(BaseModel):
    """What is remembered of an endpoint."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dim: Annotated[int, Field(ge=1, le=_MOST_DIM)]
    served: dict[str, str]


def _remembered(path: Path, names: Collection[str]) -> _Identity | None:
    """What is remembered of these names; None where it is not, or is damaged: then it is asked
    anew.
    """
    try:
        identity = _Identity.model_validate(disk.read_json(path))
    except (OSError, ValueError):
        return None
    return identity if identity.served.keys() >= set(names) else None


def _spec_of(name: str, options: ModelOptions) -> tuple[ModelSpec, str]:
    """The specification with its endpoint, and the variant it makes."""
    base = options.api_base
    if name.endswith(".toml") and Path(name).is_file():
        spec: ModelSpec | None = catalogue.read_spec(Path(name))
    else:
        spec = catalogue.load_spec(name)
    declared = spec is not None and spec.api is not None
    if spec is None or spec.api is None:
        if not base:
            raise UsageError(
                f"No endpoint is known for api:{name}. Type --api-base {EXAMPLE} (or set "
                f"{BASE_ENV}), or give a TOML file of your own with an [api] table: -m "
                "api:my-model.toml"
            )
        if not re.fullmatch(r"[\w.:+/-]+", name) or ".." in name:
            raise UsageError(
                f"{name!r} cannot be the name of a model; use letters, digits and . _ : + / -."
            )
        title = spec.name if spec else name if "/" in name else f"api/{name}"
        # The model's hub name is what servers of open weights (vLLM, TEI, infinity) are given.
        base_spec = spec or ModelSpec(name=title, prompts={})
        spec = base_spec.model_copy(update={"loader": "api", "api": ApiSpec(model=name)})
    api = spec.api
    assert api is not None
    update: dict[str, Any] = {"model": api.model or spec.name.removeprefix("api/")}
    if base:
        # The key of the declared endpoint must not be sent to another.
        update |= {
            "base_url": base,
            "key_env": KEY_ENV,
            "price_per_million_tokens": None,
            "price_date": "",
            "price_source": "",
        }
    api = api.model_copy(update=update)
    check_endpoint(api)
    spec = spec.model_copy(update={"api": api, "loader": "api"})
    return spec, "" if declared and not base else "loader_api"


def open_api(model: Model, _beside: Sequence[Model] = ()) -> Encoder:
    """A client of the endpoint.

    :raises MissingExtra: httpx is not installed.
    :raises UsageError: the key is missing.
    """
    from kemb.models.encoders.api import ApiEncoder, Client

    api = model.spec.api
    assert api is not None
    identity = identity_of(model.spec)
    return ApiEncoder(
        Client(model.spec, key_of(api, model.name), dict(identity["served"]), int(identity["dim"]))
    )
