"""Model repositories of the Hugging Face hub: resolved to a commit, safetensors only, code only on request."""

from __future__ import annotations

from pathlib import Path

from kemb.errors import FetchError, ModelError
from kemb.hub import explain, quiet_client, retry

WANTED = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
UNWANTED = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", ".eval_results/*"]


def fetch_model(repo: str, revision: str | None, trust_code: bool) -> tuple[Path, str]:
    """The folder of a model in the local hub cache, downloaded if need be, and its commit.

    :param revision: a commit, branch or tag; None for the main branch. It is resolved to a commit either way.
    :raises FetchError: when the hub does not give it; the message says what to do.
    :raises ModelError: when the repository holds no safetensors weights.
    """
    from huggingface_hub import snapshot_download

    quiet_client()
    patterns = [*WANTED, *(["*.py"] if trust_code else [])]
    need = f"{repo} is to be loaded{f' at revision {revision}' if revision else ''}"
    elsewhere = (
        f"On a machine with network type `hf download {repo} --local-dir DIR`, and give that folder here with -m DIR."
    )
    try:
        commit = _commit(repo, revision)
        folder = retry(
            lambda: snapshot_download(repo, revision=commit, allow_patterns=patterns, ignore_patterns=UNWANTED)
        )
    except (FetchError, ModelError):
        raise
    except Exception as error:
        raise explain(error, need, "model", f"https://huggingface.co/{repo}", elsewhere) from error
    path = Path(folder)
    return path, path.name


def _commit(repo: str, revision: str | None) -> str | None:
    """The commit of a revision, after a look at the files; what the hub cannot say offline is left to the cache."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return revision
    info = retry(lambda: HfApi().model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT))
    names = [file.rfilename for file in info.siblings or []]
    if not any(name.endswith(".safetensors") for name in names):
        pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        held = f"only pickle weights ({', '.join(pickles[:3])})" if pickles else "no weights"
        raise ModelError(
            f"The model {repo} at {info.sha} holds {held}. kemb loads safetensors only, because a pickle can run code. "
            "Ask its author for safetensors, or convert a copy: SentenceTransformer(name).save_pretrained(folder), "
            "then -m folder."
        )
    return str(info.sha)
