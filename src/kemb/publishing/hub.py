"""A card or a whole model to the hub, as one commit: all of its files or none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kemb.audit import audit
from kemb.errors import FetchError, RunError, UsageError
from kemb.hub import describe, explain, is_offline, one_line, quiet_client, retry
from kemb.publishing.card.card import README
from kemb.training.data import refuse_restricted
from kemb.training.recipe import RecipeFile

_REFUSED = (401, 403)
_CHANGED = (409, 412)


def remote_readme(repo: str, endpoint: str | None = None) -> tuple[str, str]:
    """The README of a model repository, '' where it has none, and the commit at which it was read.

    :raises UsageError: for a name that is none, without a token, or with HF_HUB_OFFLINE.
    :raises FetchError: when there is no such repository or the hub does not answer.
    """
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UsageError(f"--push {repo!r} is no model repository; type --push ORG/NAME.")
    api = _api(endpoint)
    try:
        repository = describe("model", repo, None, api)
        commit = repository.commit
        if README not in repository.names:
            return "", commit
        path = retry(partial(api.hf_hub_download, repo, README, revision=commit))
        return Path(path).read_bytes().decode("utf-8-sig"), commit
    except (
        LocalEntryNotFoundError
    ) as error:  # the hub did not give it; it is an EntryNotFoundError all the same
        raise _explained(error, repo) from error
    except EntryNotFoundError:
        return "", commit
    except Exception as error:
        raise _explained(error, repo) from error


def push(
    repo: str, files: Mapping[str, str], parent: str, create_pr: bool, endpoint: str | None = None
) -> str:
    """Upload files as one commit on `parent`, or as a pull request; the address of what was made.

    :raises FetchError: when the hub refuses; then nothing was uploaded.
    """
    from huggingface_hub import CommitOperationAdd

    operations = [
        CommitOperationAdd(name, content.encode("utf-8")) for name, content in files.items()
    ]
    message = "Model card with evaluation results by kemb"
    try:
        commit = _api(endpoint).create_commit(
            repo, operations, commit_message=message, parent_commit=parent, create_pr=create_pr
        )
    except Exception as error:
        raise _explained(error, repo) from error
    return str(commit.pr_url or commit.commit_url)


@dataclass(frozen=True, slots=True)
class Target:
    """A model repository that the token may write to."""

    repo: str
    private: bool
    """Of a repository that is made."""
    parent: str
    """The commit that was found; '' where there is no repository yet."""
    readme: str


def find_target(repo: str, private: bool, endpoint: str | None = None) -> Target:
    """Look at a repository before work that ends in it; nothing is made or written.

    :raises UsageError: without a token, or with one that may not write there; FetchError when the
        hub does not answer.
    """
    api = _api(endpoint)
    try:
        who = retry(api.whoami)
        exists = retry(partial(api.repo_exists, repo))
    except Exception as error:
        raise _explained(error, repo) from error
    names = [who["name"], *(org["name"] for org in who.get("orgs", []))]
    if repo.partition("/")[0] not in names:
        raise UsageError(
            f"The token in HF_TOKEN belongs to {who['name']} and may write to {', '.join(names)}, "
            f"not to {repo}. Name a repository of these under [publish], or take another token."
        )
    if who.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise UsageError(
            f"The token in HF_TOKEN may only read. Make one that may write to {repo} at "
            "https://huggingface.co/settings/tokens."
        )
    readme, parent = remote_readme(repo, endpoint) if exists else ("", "")
    return Target(repo, private, parent, readme)


def push_folder(target: Target, folder: Path, endpoint: str | None = None) -> str:
    """Upload what of a folder is not there yet as one commit; the address of the commit that holds
    it.

    :raises FetchError: when the hub refuses, or somebody wrote there since `find_target`; then
        nothing was uploaded.
    """
    from huggingface_hub import CommitOperationAdd

    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in paths]
    api = _api(endpoint)
    try:
        if not target.parent:
            api.create_repo(target.repo, private=target.private, exist_ok=True)
        commit = api.create_commit(
            target.repo,
            operations,
            commit_message="Model trained with kemb",
            parent_commit=target.parent or None,
        )
    except Exception as error:
        raise _explained(error, target.repo, folder) from error
    return str(commit.commit_url)


def _api(endpoint: str | None) -> Any:  # noqa: ANN401  HfApi, imported late
    from huggingface_hub import HfApi

    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise UsageError(
            "--push needs a token with write access in the environment: make one at "
            "https://huggingface.co/settings/tokens and type HF_TOKEN=... before the command."
        )
    if is_offline():
        raise UsageError("--push needs the network, and HF_HUB_OFFLINE is set. Unset it.")
    quiet_client()
    return HfApi(endpoint=endpoint, token=token)


def _explained(error: Exception, repo: str, model_dir: Path | None = None) -> FetchError:
    """The failure as one paragraph.

    :param model_dir: the folder that was to be uploaded; None for a card.
    """
    from huggingface_hub.errors import BadRequestError

    proposal = "" if model_dir else ", or add --pr to propose the card as a pull request"
    status = getattr(getattr(error, "response", None), "status_code", None)
    name = type(error).__name__
    page = f"https://huggingface.co/{repo}"
    if name == "RepositoryNotFoundError" or status == 404:
        return FetchError(
            f"{repo} cannot be written: the hub has no such model repository, or the token in "
            "HF_TOKEN may not see it. "
            f"Type `hf repo create {repo}`, or take a token of its owner. Nothing was uploaded."
        )
    if status in _REFUSED:
        return FetchError(
            f"{repo} cannot be written: the hub refused the token in HF_TOKEN ({status}). Take one "
            f"with write access to it{proposal}. Nothing was uploaded."
        )
    if status in _CHANGED:
        return FetchError(
            f"{repo} was changed by somebody in the meantime ({status}). Type the same command "
            "again. Nothing was uploaded."
        )
    if isinstance(status, int) and status >= 500:
        return FetchError(
            f"{repo} was not written: the hub answered {status}. Look at {page}/commits/main, then "
            "type the same command again."
        )
    if isinstance(error, ValueError) and isinstance(error.__cause__, BadRequestError):
        return FetchError(
            f"The hub refuses the front matter of the card: {one_line(error)} Nothing was uploaded."
        )
    elsewhere = (
        f"The model lies in {model_dir}." if model_dir else "The card itself is written by -o."
    )
    return explain(error, f"{repo} is to be written", "model", page, elsewhere)


def target_of(file: RecipeFile) -> Target:
    """The repository of a recipe.

    :raises UsageError: for a recipe that names none, or no licence; and as `find_target`.
    :raises DataError: for data that a published model must not be trained on.
    """
    recipe = file.recipe
    if recipe.publish is None:
        raise UsageError(
            f'{file.path} does not say where to. Add a section [publish] with repo = "ORG/NAME".'
        )
    if not recipe.card.license:
        raise file.error(
            ("card",), 'a published model needs a licence; add license = "apache-2.0", or another.'
        )
    refuse_restricted(recipe.data)
    return find_target(recipe.publish.repo, recipe.publish.private)


def push_model(target: Target, model_dir: Path) -> str:
    """Upload the folder of a model that has passed its proof; the address of the commit.

    :raises RunError: when `kemb audit` finds something in its card; FetchError when the hub
        refuses.
    """
    readme = model_dir / README
    if findings := [finding for finding in audit([readme]).findings if not finding.confirms]:
        raise RunError(
            f"The card {readme} is not in order, so nothing was uploaded: {findings[0].what} "
            f"Findings in all: {len(findings)}; type: kemb audit {readme}"
        )
    return push_folder(target, model_dir)
