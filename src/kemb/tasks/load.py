"""From a task's specification to its data: out of a mirror, else out of the hub through a mirror of
our own.

The hub is asked only for what neither `--data` nor the user's cache folder has at the pinned
revision, and what it gives is kept there as Parquet files. So whatever was loaded once loads again
without network, at that very commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from kemb.errors import DataError, FetchError, NotSupported
from kemb.tasks import layouts, sources
from kemb.tasks.kinds import KINDS
from kemb.tasks.layouts import Rows
from kemb.tasks.parts import make_part
from kemb.types import PartData, TaskData

if TYPE_CHECKING:
    import pyarrow as pa

    from kemb.tasks.layouts import Request
    from kemb.tasks.parts import Notes
    from kemb.tasks.spec import TaskSpec


def load(spec: TaskSpec, data_dir: Path | None = None, *, train: bool = True) -> TaskData:
    """The data of a known task.

    :param spec: what to load.
    :param data_dir: a mirror (see `kemb.tasks.sources`) that is looked at before the user's own and
        the hub.
    :param train: whether to load the few-shot examples of classification tasks; without them the
        hash differs.
    :raises FetchError: nothing local has the data, and the hub does not give it; the message says
        what to type.
    :raises DataError: the data break a rule (see `kemb.tasks.parts`); the message names file,
        column and row, or id.
    """
    if spec.source.hub is None:
        raise NotSupported(
            f"Task {spec.name} names no hub dataset; give its folder instead: kemb run DIR"
        )
    reader = _Reader(spec, data_dir)
    parts = []
    for split in spec.splits:
        for subset in spec.subsets:
            data, notes = build(spec, subset, split, reader, train)
            parts.append(make_part(spec, split, subset, data, notes))
    return TaskData(spec.name, spec.type, reader.revision or spec.source.revision, parts)


def fetch(
    specs: Sequence[TaskSpec], out_dir: Path, progress: Callable[[str], None] | None = None
) -> None:
    """Copy everything the tasks need from the hub into a mirror; what it has at the pinned revision
    stays.

    :param specs: the tasks.
    :param out_dir: the mirror's folder, made or extended.
    :param progress: given a line to show before each table.
    :raises FetchError: the hub does not give the data, or the folder cannot be written.
    """
    requests = [
        (spec, request)
        for spec in specs
        for subset in spec.subsets
        for request in layouts.requests(spec, subset)
    ]
    for number, (spec, request) in enumerate(requests, start=1):
        if progress:
            progress(
                f"{number}/{len(requests)} {spec.name}: {spec.source.hub}, "
                f"{request.subset or request.configs[0]}"
            )
        if _find(spec, request, out_dir) is None:
            _download(spec, request, out_dir)


@dataclass
class _Reader:
    """The tables of one task; remembers at which commit they were."""

    spec: TaskSpec
    data_dir: Path | None
    revision: str = ""
    _configs: dict[Request, sources.Config] = field(default_factory=dict)

    def __call__(self, request: Request, split: str) -> Rows:
        if request not in self._configs:
            self._configs[request] = self._locate(request)
        config = self._configs[request]
        self.revision = self.revision or config.revision
        splits = list(config.files)
        if split not in splits:
            if self.spec.source.layout != "beir" or len(splits) != 1:
                raise DataError(
                    f"{self.spec.name}: {config.folder} (config {config.name}) has no split "
                    f"{split!r}; "
                    f"it has {', '.join(splits)}."
                )
            split = splits[0]
        return Rows(
            _of_subset(self.spec, request, config.read(split), config.origin(split)),
            config.origin(split),
        )

    def _locate(self, request: Request) -> sources.Config:
        if self.data_dir is not None:
            config = sources.find(self.data_dir, str(self.spec.source.hub), _names(request))
            if config is not None:
                self._refuse_other_revision(config)
                return config
        mirror = user_mirror()
        config = _find(self.spec, request, mirror)
        return config if config is not None else _download(self.spec, request, mirror)

    def _refuse_other_revision(self, config: sources.Config) -> None:
        pinned = self.spec.source.revision
        if config.revision and pinned != "main" and config.revision != pinned:
            raise DataError(
                f"{config.folder} holds {self.spec.source.hub} at revision {config.revision}, but "
                f"task {self.spec.name} is defined on {pinned}. Type: kemb tasks fetch "
                f"{self.spec.name} -o {self.data_dir}"
            )


def user_mirror() -> Path:
    """Where data from the hub is kept: `data` in the user's cache folder for kemb."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("kemb")) / "data"


def build(
    spec: TaskSpec, subset: str, split: str, read: layouts.ReadRows, train: bool
) -> tuple[PartData, Notes]:
    """The data of one part, out of tables that `read` gives.

    :param train: whether to draw few-shot rows, of types that have them.
    """
    kind = KINDS[spec.type]
    extra = {"train": train} if kind.shape.has_training_rows else {}
    data, notes = resolve_name(kind.builder)(spec, subset, split, read, **extra)
    return data, notes


def _names(request: Request) -> list[str]:
    """Names a mirror may list a table under, best first."""
    return [name for name in (request.subset, *request.configs) if name]


def _find(spec: TaskSpec, request: Request, root: Path) -> sources.Config | None:
    """The table in a mirror that kemb writes itself, if it is there at the revision the
    task wants.
    """
    if not (root / sources.INDEX).exists():
        return None
    try:
        config = sources.find(root, str(spec.source.hub), _names(request))
    except DataError:  # a file was removed or damaged: it is downloaded again
        return None
    if config is None or spec.source.revision not in ("main", config.revision):
        return None
    return config


def _download(spec: TaskSpec, request: Request, root: Path) -> sources.Config:
    dataset = str(spec.source.hub)
    try:
        with sources.locked(root, ".fetch.lock"):
            if config := _find(spec, request, root):  # another process was faster
                return config
            with sources.download(
                spec.name, dataset, spec.source.revision, request.configs, root / ".partial"
            ) as download:
                name = request.subset or download.config
                origin = f"{dataset} at {download.revision}"
                tables = {
                    split: _of_subset(spec, request, table, origin)
                    for split, table in download.tables.items()
                }
                sources.write(root, dataset, download.revision, name, tables, spec.license)
                del tables
    except OSError as error:
        reason = error.strerror or error
        raise FetchError(
            f"{spec.name}: the data of {dataset} could not be written to {root}: {reason}."
        ) from error
    stored_config = sources.find(root, dataset, [name])
    assert stored_config is not None
    return stored_config


def _of_subset(spec: TaskSpec, request: Request, table: pa.Table, origin: str) -> pa.Table:
    """The rows of the wanted subset, where one config holds them all."""
    import pyarrow.compute as pc

    if request.subset is None or spec.source.group_column not in table.column_names:
        return table
    rows = table.filter(pc.equal(table[spec.source.group_column], request.subset))
    if table.num_rows and not rows.num_rows:
        raise DataError(f"{origin}: no row has {spec.source.group_column} = {request.subset!r}.")
    return rows
