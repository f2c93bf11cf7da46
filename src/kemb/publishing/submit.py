"""Results on their way to a leaderboard: packed into a submission, and taken out of one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kemb.errors import ResultError, UsageError
from kemb.evaluation.verify import refuse_unmeasured
from kemb.files import disk
from kemb.models import secrets
from kemb.publishing import submission
from kemb.publishing.markdown import is_own, own_data
from kemb.publishing.submission import MANIFEST, ROOT, FileEntry, Manifest, ResultEntry
from kemb.results.files import META, TaskResult, again, has_items, items_path, result_dir
from kemb.results.rows import ResultRow

_HOME = re.compile(
    r"(?<![\w.~-])(?:(?:/home|/Users|[A-Za-z]:[\\/]+Users)[\\/]+[^\\/\s'\"]+|/root(?=[/\s'\"]|$))",
)
_N_LISTED = 10


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed."""

    path: Path
    sha256: str
    manifest: Manifest
    commands: list[str]
    """The recorded commands, as they are inside."""
    n_masked: int
    """Home folders that are written as `~` inside."""


def pack(rows: Sequence[ResultRow], out: Path, include_own_data: bool = False) -> Packed:
    """Write the measured results of some rows, and check the file that was made before it gets its
    name.

    Home folders in the records are written as `~`; nothing else is changed.

    :param rows: not empty.
    :param out: a file that ends in .zip; one that is there is replaced.
    :param include_own_data: also results on data of one's own.
    :raises UsageError: a result was not measured by kemb, is on data of one's own, or holds what
        looks like a key.
    :raises ResultError: items are missing, or scores do not follow from them.
    :raises DiskError: the file cannot be written.
    """
    if out.suffix != ".zip":
        raise UsageError(f"{out} is no name of a submission; expected one that ends in .zip.")
    results = sorted(
        (result for row in rows for result in row.results.values()), key=lambda result: result.path
    )
    for result in results:
        _refuse(result)
    private_results = own_data(results)
    if private_results and not include_own_data:
        raise UsageError(
            f"kemb does not know {_listed(result.task for result in private_results)}: the data "
            "are your own. Choose public tasks with --tasks, or type --include-own-data to give "
            "these results away."
        )
    files: dict[str, bytes] = {}
    entries = []
    masked = _Masked()
    for result in results:
        folder = PurePosixPath(
            result_dir(Path(ROOT), result.model, result.revision, result.variant).as_posix()
        )
        entries.append(_entry(result, folder))
        if not has_items(result):
            raise ResultError(
                f"The items of {result.path} are missing or were changed. Make them again with: "
                f"{again(result, '--rescore')}"
            )
        files[str(folder / result.path.name)] = masked.json(result.path)
        files[str(folder / META)] = masked.json(result.path.with_name(META))
        files[str(folder / items_path(result).name)] = items_path(result).read_bytes()
    manifest = Manifest(
        format="kemb submission",
        schema_version=1,
        kemb_version=importlib.metadata.version("kemb"),
        results=entries,
        files={
            name: FileEntry(sha256=_sha256(files[name]), size=len(files[name]))
            for name in sorted(files)
        },
    )
    _write_checked(out, manifest, files)
    commands = list(dict.fromkeys(_mask(result.record.command)[0] for result in results))
    return Packed(out, _sha256(out.read_bytes()), manifest, commands, masked.n)


def _refuse(result: TaskResult) -> None:
    """Refuse what was not measured by kemb, or of a model that nothing tells from others."""
    refuse_unmeasured(result)
    if any(door.identity == "none" for door in result.record.doors):
        raise UsageError(
            f"{result.model} [{result.variant}] is an object without a revision; nobody could tell "
            "which one was measured. Give it one, kemb.encoder(..., revision='1'), and run again."
        )


def take_out(
    path: Path, results_dir: Path, overwrite: bool = False, include_own_data: bool = False
) -> list[Path]:
    """Put the results of a submission into a results folder; none where one is refused.

    :param path: the zip file.
    :param results_dir: may not exist yet.
    :param overwrite: also in place of other results of the same row and task.
    :param include_own_data: also results on data of the submitter's own.
    :return: The result files that were written; those that are there already are not.
    :raises UsageError: there are results on the submitter's own data, or other results in the same
        places.
    :raises ResultError: the submission does not pass.
    :raises DiskError: the folder cannot be written.
    """
    with submission.unpacked(path) as (folder, manifest):
        checked = submission.check_unpacked(folder, manifest)
        if not checked.is_good:
            raise ResultError(
                f"{path} does not pass its check; nothing was imported. See: kemb verify {path}"
            )
        private_tasks = [entry.task for entry in manifest.results if entry.own_data]
        if private_tasks and not include_own_data:
            raise UsageError(
                f"{path} holds results on the submitter's own data ({_listed(private_tasks)}). "
                "Type --include-own-data to import them; a public site leaves them out."
            )
        moves = []
        replaced = []
        for entry in manifest.results:
            target = results_dir.joinpath(*PurePosixPath(entry.file).parts[1:])
            if target.exists() and _Masked().json(target) == (folder / entry.file).read_bytes():
                continue
            moves.append((folder / entry.file, target))
            if target.exists():
                replaced.append(str(target))
        if replaced and not overwrite:
            raise UsageError(
                f"There are other results already: {_listed(replaced)}. Nothing was imported; "
                "--overwrite replaces."
            )
        for source, target in moves:
            _place(source, target, overwrite)
    return [target for _, target in moves]


def _entry(result: TaskResult, folder: PurePosixPath) -> ResultEntry:
    return ResultEntry(
        model=result.model,
        revision=result.revision,
        variant=result.variant,
        task=result.task,
        main_score=result.main_score,
        own_data=is_own(result.task, result.dataset_revision),
        file=str(folder / result.path.name),
    )


class _Masked:
    """JSON files with home folders written as `~`, and how many there were."""

    def __init__(self) -> None:
        self.n = 0

    def json(self, path: Path) -> bytes:
        """:raises UsageError: the file holds what looks like a key."""
        try:
            content = disk.read_json(path)
        except (OSError, ValueError) as error:
            raise ResultError(f"{path} cannot be read ({error}). Run the task again.") from error
        text = disk.json_text(self._clean(content))
        shape = secrets.first_shape(text)
        if shape:
            raise UsageError(
                f"{path} holds what looks like a secret key ({shape}); remove it before you submit."
            )
        return text.encode()

    def _clean(self, content: Any) -> Any:  # noqa: ANN401  whatever JSON can hold
        match content:
            case str():
                text, n = _mask(content)
                self.n += n
                return text
            case list():
                return [self._clean(value) for value in content]
            case dict():
                # A prompt is what the model saw, whatever it looks like.
                return {
                    key: value if key == "prompts" else self._clean(value)
                    for key, value in content.items()
                }
            case _:
                return content


def _mask(text: str) -> tuple[str, int]:
    return _HOME.subn("~", text)


def _write_checked(out: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    content = disk.json_text(manifest.model_dump(mode="json"))
    with disk.writing(f"{out} cannot be written", "Free space or name another file."):
        out.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing(out) as unfinished:
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
                for name, data in [(MANIFEST, content.encode()), *sorted(files.items())]:
                    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                    info.create_system, info.external_attr = 3, 0o100644 << 16
                    archive.writestr(info, data)
            _refuse_bad(submission.check(unfinished))


def _refuse_bad(checked: submission.Checked) -> None:
    if checked.is_good:
        return
    differing = [
        verification.result.path.name
        for verification in checked.verifications
        if verification.differs
    ]
    reasons = [
        *checked.problems,
        *(f"{name}: its scores do not follow from its items" for name in differing),
    ]
    raise ResultError(
        f"Nothing was packed: {_listed(reasons)}. Run the task again with --overwrite."
    )


def _place(source: Path, target: Path, overwrite: bool) -> None:
    """Items first, as the record holds their hash; the facts of the model stay where they are
    there.
    """
    items = source.with_name(source.name.removesuffix(".json") + ".items.parquet")
    copies = [(items, target.with_name(items.name)), (source, target)]
    if overwrite or not target.with_name(META).exists():
        copies.insert(0, (source.with_name(META), target.with_name(META)))
    for original, copy in copies:
        disk.write(copy, original.read_bytes(), "Free space or name another folder.")


def _listed(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - _N_LISTED} more" if len(every) > _N_LISTED else ""
    return ", ".join(every[:_N_LISTED]) + more


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
