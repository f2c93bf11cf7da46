"""From a model with an identity to an encoder: loading, by the function that the row of its loader
names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import cast

from kemb.models import files
from kemb.models.encoders import Encoder
from kemb.models.families import LOADERS, st_class_of
from kemb.models.model import Model


def open_model(model: Model, beside: Sequence[Model] = ()) -> Encoder:
    """Load a model.

    :param beside: heads of the same model, to be read off the same forward pass
        (`kemb.encoding.plan`).
    :raises ModelError: when it cannot be loaded.
    """
    loader = LOADERS[model.spec.loader]
    opens = resolve_name(loader.opens)
    return cast(Encoder, opens() if loader.is_built_in else opens(model, beside))


def open_folder(model: Model, beside: Sequence[Model] = ()) -> Encoder:
    """Load a model folder by sentence-transformers, or take what was handed in loaded; arguments
    and errors are those of `open_model`.
    """
    from kemb.models.encoders.torch import Loading, TorchEncoder, open_torch

    if model.door is not None:
        model.door.value.eval()
        return TorchEncoder(model.door.value, resolve_name(model.loader.reading))
    assert model.folder is not None
    attention = None if model.trust_remote_code else model.spec.attention
    files.refuse_remote_code(
        model.folder, model.name, model.trust_remote_code, attention is not None
    )
    pooling, is_normalized = model.built
    loading = Loading(
        device=model.device,
        dtype=model.dtype,
        max_tokens=model.max_tokens,
        pooling=pooling,
        normalize=is_normalized,
        append_eos=model.spec.append_eos,
        truncate_dim=model.truncate_dim,
        is_model2vec=model.folder.is_model2vec,
        trust_remote_code=model.trust_remote_code,
        attention=attention,
        network_settings=model.network_settings,
        class_name=st_class_of(model.spec.loader),
        reading=resolve_name(LOADERS[model.spec.loader].reading),
        beside=tuple(resolve_name(LOADERS[other.spec.loader].reading) for other in beside),
        backend=model.backend,
    )
    return open_torch(model.folder.path, loading)
