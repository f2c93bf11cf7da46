"""Files of a results folder that are no results, as a pull request may bring them: descriptions of
models, published numbers, snapshots.
"""

from __future__ import annotations

import re
from pathlib import Path

from kemb.errors import ResultError
from kemb.publishing.history.snapshots import read_snapshot
from kemb.results.claims import claims_path, read_claims, read_source
from kemb.results.files import EXPERIMENTS, META, result_dir
from kemb.results.meta import read_meta

_NAME = re.compile(r"\w[\w.+@:/ -]{0,200}")


def is_other_file(path: Path) -> bool:
    """Whether `check_file` knows what a file is."""
    return path.name == META or path.parent.name in ("claims", "snapshots")


def check_file(path: Path) -> None:
    """Check a file by what kemb would write in its place.

    What it says of the world nobody can check here: numbers of `claims/` are shown as claimed,
    whatever they are.

    :raises ResultError: what is wrong with it; file and key are named.
    """
    if path.name == META:
        _check_meta(path)
    elif path.parent.name == "snapshots":
        try:
            read_snapshot(path)
        except ValueError as error:
            raise ResultError(f"{path.parent}: {error}") from error
    else:
        _check_claims(path)


def _check_meta(path: Path) -> None:
    name, folder = read_meta(path).get("name"), path.parent
    row = folder.parent.parent if folder.parent.name == EXPERIMENTS else folder
    if not isinstance(name, str) or result_dir(row.parent.parent, name, row.name) != row:
        raise ResultError(
            f"{path} describes the model {name!r:.80}, and lies in the folder of another. Put it "
            "beside the results of its own model."
        )


def _check_claims(path: Path) -> None:
    if claims_path(path.parent.parent, read_source(path).name) != path:
        raise ResultError(
            f"{path} has not the name that `kemb import` gives to numbers of its source "
            f"({read_source(path).name!r:.80}). Import them again with that."
        )
    for result in read_claims(path):
        for name in (result.model, result.task, result.revision):
            if not _NAME.fullmatch(name):
                raise ResultError(f"{path} names {name!r:.80}, which is no name. Import it again.")
