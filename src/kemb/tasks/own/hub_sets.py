"""A data set of the hub as data of one's own: fetched at one commit, then read like a folder.

Only tables and the README are fetched, by name; nothing of the data set runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kemb.errors import DataError, KembError, UsageError
from kemb.files import disk
from kemb.hub import (
    COMMIT,
    FileFacts,
    Repository,
    ask_first,
    describe,
    explain,
    is_offline,
    quiet_client,
    retry,
)
from kemb.messages import Text, note
from kemb.tasks.own.outline import role_of, split_of
from kemb.tasks.own.understand import SUBFOLDERS
from kemb.tasks.sources import fetch_file, locked

Hear = Callable[[Text], object]
"""Gets what is to be said to the user."""

_NAME = re.compile(
    r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>\w[\w./+-]{0,199}))?", re.ASCII
)
"""The hub's names have no Hangul."""
_TABLES = (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt")
_DESCRIPTIONS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json")
"""What the hub's tools write beside tables."""
_FILES = (*_TABLES, ".toml")
"""Endings of what is a path, even if nothing is there."""


class HubSet(NamedTuple):
    """A data set of the hub, as it was typed."""

    repo: str
    revision: str | None
    """A commit, branch or tag; None for the main branch."""

    @property
    def page(self) -> str:
        """Where people read about it."""
        return f"https://huggingface.co/datasets/{self.repo}"

    @property
    def command(self) -> str:
        """What fetches all of it into a folder."""
        return f"`hf download {self.repo} --repo-type dataset --local-dir DIR`"


def parse(target: str | Path) -> HubSet | None:
    """The data set that `ORG/NAME` or `ORG/NAME@REVISION` means; None for anything else.

    What is here is a path, and so is a name of a data file, or one in a folder that is here:
    a mistyped path is not sent to the hub. With `@REVISION` the hub is always meant.
    """
    match = _NAME.fullmatch(str(target).replace("\\", "/"))
    if match is None or Path(target).exists():
        return None
    repo, revision = match["repo"], match["revision"]
    organisation = repo.split("/")[0]
    if revision is None and (repo.lower().endswith(_FILES) or Path(organisation).exists()):
        return None
    return HubSet(repo, revision)


def local_path(target: str | Path, hear: Hear = lambda text: None) -> Path:
    """Where data lie on this machine: what was typed, or the folder of a data set of the hub, which
    is fetched if need be.

    :param hear: gets what is fetched, how large it is, and what is left out, before.
    :raises FetchError: the hub cannot be reached, refuses, or has no such data set.
    :raises DataError: it has no file that kemb reads.
    :raises UsageError: the name is that of a model.
    """
    hub_set = parse(target)
    return Path(target) if hub_set is None else _fetch(hub_set, hear)


def source_of(path: Path) -> str:
    """`ORG/NAME@COMMIT` of a folder that came from the hub; '' for any other."""
    try:
        parts = path.resolve().relative_to(_root().resolve()).parts
    except ValueError:
        return ""
    if len(parts) != 4 or not COMMIT.fullmatch(parts[2]):
        return ""
    return f"{parts[0]}/{parts[1]}@{parts[2]}"


def _root() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "hub-sets"


def _fetch(hub_set: HubSet, hear: Hear) -> Path:
    home = _root() / hub_set.repo
    copy = partial(_copy, home, hub_set.repo)
    if hub_set.revision and COMMIT.fullmatch(hub_set.revision) and copy(hub_set.revision).is_dir():
        return copy(hub_set.revision)
    quiet_client()
    try:
        if is_offline():
            commit = _last_commit(home, hub_set)
            hear(note("check.hub_offline", repo=hub_set.repo, commit=commit))
            return copy(commit)
        repository = _describe(hub_set)
        if not copy(repository.commit).is_dir():
            with locked(home):
                _download(hub_set, repository, copy(repository.commit), hear)
    except KembError:
        raise
    except Exception as error:
        at = f" at revision {hub_set.revision}" if hub_set.revision else ""
        need = (
            f"{hub_set.repo} is no file or folder here, so the data set {hub_set.repo} of the hub"
            f"{at} is to be read"
        )
        elsewhere = f"On a machine with network type {hub_set.command}, and name that folder here."
        raise explain(error, need, "dataset", hub_set.page, elsewhere) from error
    _remember(home, hub_set, repository.commit)
    return copy(repository.commit)


def _copy(home: Path, repo: str, commit: str) -> Path:
    """The folder of a commit; its name, and so the task's, is that of the data set."""
    return home / commit / repo.split("/")[1]


def _reference(home: Path, hub_set: HubSet) -> Path:
    """The file that says at which commit a branch or tag was last."""
    return home / "refs" / (hub_set.revision or "main").replace("/", "%2F")


def _remember(home: Path, hub_set: HubSet, commit: str) -> None:
    reference = _reference(home, hub_set)
    with disk.writing(f"{reference} cannot be written", "Free space."):
        reference.parent.mkdir(parents=True, exist_ok=True)
    disk.write(reference, commit, "Free space.")


def _last_commit(home: Path, hub_set: HubSet) -> str:
    """Without network: the commit at which the revision was last fetched.

    :raises ConnectionError: it never was.
    """
    reference = _reference(home, hub_set)
    commit = disk.read_text(reference).strip() if reference.is_file() else ""
    if not COMMIT.fullmatch(commit) or not _copy(home, hub_set.repo, commit).is_dir():
        raise ConnectionError(f"{hub_set.repo} was never fetched here")
    return commit


def _describe(hub_set: HubSet) -> Repository:
    """What the hub has of the data set.

    :raises UsageError: it is a model.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return describe("dataset", hub_set.repo, hub_set.revision)
    except RevisionNotFoundError:
        raise
    except RepositoryNotFoundError:
        if _is_model(hub_set.repo):
            raise UsageError(
                f"{hub_set.repo} is a model of the hub, where data are expected. Type for example: "
                f"kemb run TASK -m {hub_set.repo}"
            ) from None
        raise


def _is_model(repo: str) -> bool:
    try:
        describe("model", repo, None)
    except Exception:  # whatever it is, the data set's own error says more
        return False
    return True


def _download(hub_set: HubSet, repository: Repository, target: Path, hear: Hear) -> None:
    """Fetch the files into a folder that appears whole; what a failed download left is used."""
    if target.is_dir():  # another process was faster
        return
    commit = repository.commit
    names = _readable(hub_set, repository)
    facts = {name: ask_first(hub_set.repo, name, "dataset", commit) for name in names}
    _announce(hub_set, repository, facts, hear)
    unfinished = target.with_name("unfinished")
    for name, file in facts.items():
        retry(partial(fetch_file, hub_set.repo, commit, name, unfinished, file.sha256))
    with disk.writing(f"{target} cannot be written", "Free space, and try again."):
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)  # the client's own notes
        disk.place(unfinished, target)


def _announce(
    hub_set: HubSet, repository: Repository, facts: dict[str, FileFacts], hear: Hear
) -> None:
    others = [name for name in repository.names if name not in facts and name != ".gitattributes"]
    megabytes = f"{sum(file.n_bytes for file in facts.values()) / 1e6:,.1f}"
    hear(
        note(
            "check.hub_fetch",
            repo=hub_set.repo,
            commit=repository.commit[:12],
            n_files=len(facts),
            megabytes=megabytes,
        )
    )
    if others:
        hear(note("check.hub_left_out", n_files=len(others), names=others[:5]))


def _readable(hub_set: HubSet, repository: Repository) -> list[str]:
    """The names of the files that are fetched.

    :raises DataError: there is no table among them, or they are a drafted set.
    """
    names = repository.names
    tables = [name for name in names if _is_table(PurePosixPath(name))]
    if not tables:
        raise DataError(
            f"The data set {hub_set.repo} at {repository.commit} has no file that kemb reads: "
            f"expected {', '.join(_TABLES)} at its top or in {', '.join(SUBFOLDERS)}; it has "
            f"{_some(names)}. See {hub_set.page}"
        )
    if "drafted.json" in names:
        raise DataError(
            f"The data set {hub_set.repo} was made by kemb draft, and its task.toml, which says "
            f"so, is not fetched. Type {hub_set.command}, and name that folder here."
        )
    return [*tables, *(name for name in names if name == "README.md")]


def _is_table(path: PurePosixPath) -> bool:
    """Whether a file stands where tables stand, and may be one: a readme as .txt is none."""
    suffix = path.suffix.lower()
    has_place = len(path.parts) == 1 or (len(path.parts) == 2 and path.parts[0] in SUBFOLDERS)
    if not has_place or suffix not in _TABLES or path.name.startswith("."):
        return False
    if path.name in _DESCRIPTIONS:
        return False
    return suffix != ".txt" or bool(role_of(str(path)) or split_of(str(path)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more
