"""Model repositories of the Hugging Face hub: resolved to a commit, safetensors only, code only on request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kemb.errors import FetchError, ModelError
from kemb.hub import ask_first, explain, is_offline, quiet_client, retry
from kemb.models.files import STANFORD, TORCH_WEIGHTS, needed_torch_weights

WANTED = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", STANFORD]
NETWORK = ["model.safetensors", "model-*.safetensors", TORCH_WEIGHTS]
"""Weights of the network itself, which another runtime has in its own file."""
UNWANTED = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", ".eval_results/*"]


def fetch_model(
    repo: str,
    revision: str | None,
    trust_code: bool,
    also: Sequence[str] = (),
    instead: Sequence[str] = (),
    give: str = "give that folder here with -m DIR",
) -> tuple[Path, str]:
    """The folder of a model in the local hub cache, downloaded if need be, and its commit.

    :param revision: a commit, branch or tag; None for the main branch. It is resolved to a commit either way.
    :param also: names of more files.
    :param instead: patterns of another runtime's files; then the weights of torch are left where they are.
    :param give: how a folder is named here, for the message.
    :raises FetchError: when the hub does not give it; the message says what to do.
    :raises ModelError: when the repository holds no safetensors weights.
    """
    from huggingface_hub import snapshot_download

    quiet_client()
    patterns = [*WANTED, *also, *instead, *(["*.py"] if trust_code else [])]
    unwanted = NETWORK if instead else UNWANTED
    need = f"{repo} is to be loaded{f' at revision {revision}' if revision else ''}"
    elsewhere = f"On a machine with network type `hf download {repo} --local-dir DIR`, and {give}."
    try:
        if is_offline():
            commit = revision
        else:
            commit, own = _look(repo, revision, patterns, unwanted, needs_weights=not instead)
            patterns += own
        fetch = partial(snapshot_download, repo, allow_patterns=patterns, ignore_patterns=unwanted)
        path = Path(retry(partial(fetch, revision=commit)))
    except (FetchError, ModelError):
        raise
    except Exception as error:
        raise explain(error, need, "model", f"https://huggingface.co/{repo}", elsewhere) from error
    return path, path.name


def _look(
    repo: str, revision: str | None, patterns: list[str], unwanted: list[str], needs_weights: bool
) -> tuple[str, list[str]]:
    """The commit of a revision, once it is known that its files are fit to be loaded and that the hub gives them.

    With it the weights of torch that stand in for safetensors.
    """
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # not listed, but documented

    info = retry(lambda: HfApi().model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT))
    commit, names = str(info.sha), [file.rfilename for file in info.siblings or []]
    own = needed_torch_weights(list(filter_repo_objects(names, ignore_patterns=unwanted))) if needs_weights else []
    if needs_weights and not own and not any(name.endswith(".safetensors") for name in names):
        pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        held = f"only pickle weights ({', '.join(pickles[:3])})" if pickles else "no weights"
        raise ModelError(
            f"The model {repo} at {commit} holds {held}. kemb loads safetensors and {TORCH_WEIGHTS}, because other "
            "pickles can run code. Ask its author for safetensors, or convert a copy: "
            "SentenceTransformer(name).save_pretrained(folder) "
            "(SparseEncoder, MultiVectorEncoder or CrossEncoder for models of these kinds), then -m folder."
        )
    for name in filter_repo_objects(names, allow_patterns=[*patterns, *own], ignore_patterns=unwanted):
        if not isinstance(try_to_load_from_cache(repo, name, revision=commit), str):
            ask_first(repo, name, "model", commit)
    return commit, own
