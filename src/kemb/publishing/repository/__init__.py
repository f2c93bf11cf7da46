"""The repository of a leaderboard: files to begin with, in `files/` (`git...` becomes
`.git...`).
"""

from __future__ import annotations

import uuid
from pathlib import Path

from kemb.errors import ResultError

FILES = Path(__file__).parent / "files"


def files() -> dict[str, str]:
    """Path inside the repository -> text."""
    found = {}
    for path in sorted(path for path in FILES.rglob("*") if path.is_file()):
        name = path.relative_to(FILES).as_posix()
        found[f".{name}" if name.startswith("git") else name] = path.read_text(encoding="utf-8")
    return found


def write(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the files that are not there.

    Returns:
        Those that were written, and those that were there.

    Raises:
        ResultError: the folder cannot be written.
    """
    written, kept = [], []
    for name, text in files().items():
        path = folder / name
        if path.exists():
            kept.append(path)
            continue
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise ResultError(
                f"{path} cannot be written ({error.strerror or error}). Name another folder."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        written.append(path)
    return written, kept
