"""Names as parts of URLs and file names: safe, stable, and never the same for two names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_LENGTH = 80


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A slug for every name: lower-case letters, digits, `.`, `_` and `-`.

    `BAAI/bge-m3` is `baai--bge-m3`. A name that loses something on the way, and every further name with the same slug,
    ends in 8 hex digits of its hash, so that no slug depends on which other names there are, but for those that differ
    only in case.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(set(names)):
        slug = _slug(name)
        if slug in taken:
            slug = f"{slug}-{_digest(name)}"
        taken.add(slug)
        found[name] = slug
    return found


def _slug(name: str) -> str:
    plain = name.lower().replace("/", "--", 1).replace(":", "-")
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-.")
    if safe == plain and len(safe) <= _LENGTH and safe not in ("", "index"):
        return safe
    return f"{safe[:_LENGTH].strip('-.') or 'x'}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
