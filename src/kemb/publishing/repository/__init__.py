"""The repository of a leaderboard: files to begin with, in `files/` (`git...` becomes
`.git...`).
"""

from __future__ import annotations

from pathlib import Path

from kemb.files import disk

FILES = Path(__file__).parent / "files"


def files() -> dict[str, str]:
    """Path inside the repository -> text."""
    texts = {}
    for path in sorted(path for path in FILES.rglob("*") if path.is_file()):
        name = path.relative_to(FILES).as_posix()
        texts[f".{name}" if name.startswith("git") else name] = path.read_text(encoding="utf-8")
    return texts


def write(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the files that are not there.

    :return: Those that were written, and those that were there.
    :raises DiskError: the folder cannot be written.
    """
    new_paths, present_paths = [], []
    for name, text in files().items():
        path = folder / name
        if path.exists():
            present_paths.append(path)
            continue
        disk.write(path, text, "Name another folder.")
        new_paths.append(path)
    return new_paths, present_paths
