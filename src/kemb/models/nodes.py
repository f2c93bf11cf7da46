"""A model on another machine: the same files, looked for there, and compared before they are used.

What a command sends to a machine is the description of its model, not its weights. A model of the
hub is found in the machine's cache, or fetched at the same commit; a folder must lie at the same
path with the same content.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from kemb.errors import ModelError
from kemb.models import backends, files
from kemb.models.encoders import bge_m3
from kemb.models.identity import content_hash
from kemb.models.model import Model

LOCAL = "local/"
"""Begins the names of models that are folders."""


def on_this_node(model: Model) -> Model:
    """The model with its folder on this machine.

    :raises ModelError: there is no such folder here, or it holds other files.
    :raises FetchError: the hub does not give it here.
    """
    if model.folder is None:
        return model
    also = bge_m3.HUB_FILES if model.head in bge_m3.FILES else ()
    if model.name.startswith(LOCAL) or model.known_as is not None:
        _check(model, model.folder.path, also)
        return model
    commit = model.revision.partition("-")[0]
    instead = backends.patterns(model.backend.runtime, model.backend.path) if model.backend else ()
    path, _ = files.fetch_model(
        model.spec.hub or model.spec.name, commit, model.trust_remote_code, also, instead
    )
    return replace(model, folder=replace(model.folder, path=path))


def _check(model: Model, path: Path, also: tuple[str, ...]) -> None:
    """Compare the content of a folder with that of the command's.

    :raises ModelError: it is not here, or another.
    """
    node = platform.node()
    if not path.is_dir():
        raise ModelError(
            f"The machine {node} has no folder {path}, which is the model {model.name}. Bring it "
            "to all nodes under the same path (a shared file system, or a copy), or name a model "
            "of the hub, which every node fetches by itself."
        )
    revision = content_hash(path, also)[: len(model.revision)]
    if revision != model.revision:
        raise ModelError(
            f"The folder {path} on the machine {node} holds other files than on the machine of the "
            f"command: its content is {revision}, there it is {model.revision}. Copy it anew."
        )
