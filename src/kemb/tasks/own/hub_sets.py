"""A data set of the hub as data of one's own: fetched at one commit, then read like a folder.

Only tables, task.toml and the README are fetched, by name; nothing of the data set runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kemb.errors import DataError, KembError, UsageError, nearest
from kemb.files import disk
from kemb.hub import (
    Repository,
    ask_first,
    describe,
    explain,
    is_offline,
    quiet_client,
    retry,
)
from kemb.messages import Text, note
from kemb.tasks.own.hub_files import (
    CONFIG,
    DRAFT,
    README,
    TABLES,
    Files,
    at_the_top,
    configs_of,
)
from kemb.tasks.own.outline import TOML
from kemb.tasks.own.understand import SUBFOLDERS
from kemb.tasks.sources import fetch_file, locked

Hear = Callable[[Text], object]
"""Gets what is to be said to the user."""

_NAME = re.compile(
    rf"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?::(?P<config>{CONFIG.pattern}))?"
    r"(?:@(?P<revision>\w[\w./+-]{0,199}))?",
    re.ASCII,
)
"""The hub's names have no Hangul."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILES = (*TABLES, ".toml")
"""Endings of what is a path, even if nothing is there."""
LARGE = 10**9
"""Bytes, from which on a data set is fetched only where somebody agreed."""
MOST_NAMED = 10
"""Configs that a sentence names."""


class HubSet(NamedTuple):
    """A data set of the hub, as it was typed."""

    repo: str
    revision: str | None
    """A commit, branch or tag; None for the main branch."""
    config: str = ""
    """'' for the data set itself."""

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        return f"{self.repo}{config}" + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> str:
        """The name of the folder that is read, and so of the task."""
        name = self.repo.split("/")[1]
        return f"{name}.{self.config}" if self.config else name

    @property
    def page(self) -> str:
        """Where people read about it."""
        return f"https://huggingface.co/datasets/{self.repo}"

    @property
    def command(self) -> str:
        """What fetches all of it into a folder."""
        return f"`hf download {self.repo} --repo-type dataset --local-dir DIR`"


def parse(target: str | Path) -> HubSet | None:
    """The data set that `ORG/NAME`, `ORG/NAME:CONFIG`, `ORG/NAME@REVISION` or both means; None for
    anything else.

    What is here is a path, and so is a name of a data file, or one in a folder that is here:
    a mistyped path is not sent to the hub. With `:CONFIG` or `@REVISION` the hub is always meant.
    """
    match = _NAME.fullmatch(str(target).replace("\\", "/"))
    if match is None or Path(target).exists():
        return None
    repo, revision, config = match["repo"], match["revision"], match["config"] or ""
    organisation = repo.split("/")[0]
    if (
        revision is None
        and not config
        and (repo.lower().endswith(_FILES) or Path(organisation).exists())
    ):
        return None
    return HubSet(repo, revision, config)


def local_path(target: str | Path, hear: Hear = lambda text: None, is_agreed: bool = False) -> Path:
    """Where data lie on this machine: what was typed, or the folder of a data set of the hub, which
    is fetched if need be.

    :param hear: gets what is fetched, how large it is, and what is left out, before.
    :param is_agreed: whether more than 1 GB may be fetched.
    :raises FetchError: the hub cannot be reached, refuses, or has no such data set.
    :raises DataError: it has no file that kemb reads.
    :raises UsageError: the name is that of a model, or it is large and nobody agreed.
    """
    hub_set = parse(target)
    return Path(target) if hub_set is None else _fetch(hub_set, hear, is_agreed)


def source_of(path: Path) -> str:
    """`ORG/NAME@COMMIT` of a folder that came from the hub, with `:CONFIG` before the commit if it
    has one; '' for any other.
    """
    try:
        parts = path.resolve().relative_to(_root().resolve()).parts
    except ValueError:
        return ""
    if len(parts) != 4 or not _COMMIT.fullmatch(parts[2]):
        return ""
    config = parts[3].removeprefix(parts[1]).removeprefix(".")
    return str(HubSet(f"{parts[0]}/{parts[1]}", parts[2], config))


def _root() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "hub-sets"


def _fetch(hub_set: HubSet, hear: Hear, is_agreed: bool) -> Path:
    home = _root() / hub_set.repo
    copy = partial(_copy, home, hub_set)
    if hub_set.revision and _COMMIT.fullmatch(hub_set.revision) and copy(hub_set.revision).is_dir():
        return copy(hub_set.revision)
    quiet_client()
    try:
        if is_offline():
            commit = _last_commit(home, hub_set)
            hear(
                note("check.hub_offline", repo=str(hub_set._replace(revision=None)), commit=commit)
            )
            return copy(commit)
        repository = _describe(hub_set)
        if not copy(repository.commit).is_dir():
            with locked(home):
                _download(hub_set, repository, copy(repository.commit), hear, is_agreed)
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


def _copy(home: Path, hub_set: HubSet, commit: str) -> Path:
    """The folder of a commit; its name, and so the task's, is that of the data set and config."""
    return home / commit / hub_set.folder


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
    if not _COMMIT.fullmatch(commit) or not _copy(home, hub_set, commit).is_dir():
        raise ConnectionError(f"{hub_set} was never fetched here")
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


def _download(
    hub_set: HubSet, repository: Repository, target: Path, hear: Hear, is_agreed: bool
) -> None:
    """Fetch the files into a folder that appears whole; what a failed download left is used."""
    if target.is_dir():  # another process was faster
        return
    commit = repository.commit
    unfinished = target.with_name(f"unfinished-{target.name}")
    files = _files(hub_set, repository, unfinished)
    facts = {name: ask_first(hub_set.repo, name, "dataset", commit) for name in files}
    n_bytes = sum(file.n_bytes for file in facts.values())
    _announce(hub_set, repository, files, n_bytes, hear)
    if not hub_set.config:
        _name_others(hub_set, repository, files, unfinished, hear)
    if n_bytes > LARGE and not is_agreed:
        raise UsageError(
            f"{hub_set} is {n_bytes / 1e9:,.1f} GB, more than {LARGE / 1e9:g} GB. Nothing of it "
            f"was fetched. Type kemb check {hub_set} --yes, which fetches it, and then the same "
            "command again."
        )
    for name, file in facts.items():
        retry(partial(fetch_file, hub_set.repo, commit, name, unfinished, file.sha256))
    with disk.writing(f"{target} cannot be written", "Free space, and try again."):
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)  # the client's own notes
        if hub_set.config:
            unfinished = _arranged(unfinished, files)
        disk.place(unfinished, target)


def _arranged(downloaded: Path, files: Files) -> Path:
    """The files of a config in a folder of their own, as if it were all there is."""
    folder = downloaded.with_name(f"{downloaded.name}-arranged")
    shutil.rmtree(folder, ignore_errors=True)
    for name, place in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        disk.place(downloaded / name, folder / place)
    shutil.rmtree(downloaded)
    return folder


def _announce(
    hub_set: HubSet, repository: Repository, files: Files, n_bytes: int, hear: Hear
) -> None:
    hear(
        note(
            "check.hub_fetch",
            repo=str(hub_set._replace(revision=None)),
            commit=repository.commit[:12],
            n_files=len(files),
            megabytes=f"{n_bytes / 1e6:,.1f}",
        )
    )


def _name_others(
    hub_set: HubSet, repository: Repository, files: Files, folder: Path, hear: Hear
) -> None:
    """Say which files are not fetched, and which configs they belong to."""
    names = repository.names
    others = [name for name in names if name not in files and name != ".gitattributes"]
    if others:
        hear(note("check.hub_left_out", n_files=len(others), names=others[:5]))
    if not any(name.lower().endswith(TABLES) for name in others):
        return
    configs = [
        name
        for name, of_config in configs_of(names, _readme(hub_set, repository, folder)).items()
        if not of_config.keys() <= files.keys()
    ]
    if configs:
        example = f"{hub_set.repo}:{configs[0]}"
        hear(note("check.hub_configs", names=configs[:MOST_NAMED], example=example))


def _files(hub_set: HubSet, repository: Repository, folder: Path) -> Files:
    """The files that are fetched, and the names under which they are read.

    :param folder: where the README is fetched to, which says what the configs are.
    :raises DataError: there is no table among them, or no such config; or a drafted set that does
        not say that it is one.
    """
    names = repository.names
    files = at_the_top(names)
    if DRAFT in names and TOML not in names:
        raise DataError(
            f"The data set {hub_set.repo} was made by kemb draft, but its {TOML}, which says so, "
            f"is not there. See {hub_set.page}"
        )
    if files and not hub_set.config:
        return files
    configs = configs_of(names, _readme(hub_set, repository, folder))
    if not hub_set.config:
        offer = ""
        if configs:
            first = ", ".join(list(configs)[:MOST_NAMED])
            example = f"{hub_set.repo}:{next(iter(configs))}"
            offer = f" Its configs are {first}. Name one, for example: {example}"
        raise DataError(
            f"The data set {hub_set.repo} at {repository.commit} has no file that kemb reads: "
            f"expected {', '.join(TABLES)} at its top or in {', '.join(SUBFOLDERS)}; it has "
            f"{_some(names)}.{offer or f' See {hub_set.page}'}"
        )
    if hub_set.config not in configs:
        near = nearest(hub_set.config, configs) or list(configs)[:MOST_NAMED]
        rest = f" Did you mean {' or '.join(near)}?" if near else " It has no config that can be."
        raise DataError(
            f"The data set {hub_set.repo} at {repository.commit} has no config {hub_set.config!r}."
            f"{rest} See {hub_set.page}"
        )
    return configs[hub_set.config]


def _readme(hub_set: HubSet, repository: Repository, folder: Path) -> str:
    """The text of the README; '' where there is none."""
    if README not in repository.names:
        return ""
    commit = repository.commit
    facts = ask_first(hub_set.repo, README, "dataset", commit)
    path = retry(partial(fetch_file, hub_set.repo, commit, README, folder, facts.sha256))
    try:
        return disk.read_text(path)
    except (OSError, UnicodeDecodeError):
        return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more
