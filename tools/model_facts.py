"""Writes src/kemb/data/models.json: size, limits and licence of public models, from the registry of
an installed mteb.

Run by hand (`python tools/model_facts.py`) when mteb knows new models; needs the extra `mteb`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "src" / "kemb" / "data" / "models.json"


def main() -> None:
    import mteb

    found = {
        meta.name: facts(meta)
        for meta in mteb.get_model_metas()
        if meta.name and "text" in meta.modalities
    }
    lines = [
        f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found, key=str.lower)
    ]
    text = (
        '{\n"mteb": '
        + json.dumps(mteb.__version__)
        + ',\n"models": {\n'
        + ",\n".join(lines)
        + "\n}\n}\n"
    )
    OUT.write_text(text, encoding="utf-8")
    print(f"{OUT}: {len(found)} models")


def facts(meta: Any) -> dict[str, Any]:  # noqa: ANN401  mteb is optional and untyped here
    """What is known of a model; keys without a value are left out."""
    dims = sorted(meta.embed_dim) if isinstance(meta.embed_dim, list | tuple) else []
    limit = meta.max_tokens if meta.max_tokens and meta.max_tokens < 1e7 else None
    base = meta.adapted_from if re.fullmatch(r"[\w.-]+/[\w.-]+", str(meta.adapted_from)) else None
    known = {
        "kind": meta.model_type[0],
        "n_parameters": meta.n_parameters,
        "dim": dims[-1] if dims else meta.embed_dim,
        "truncate_dims": dims[:-1],
        "max_tokens": int(limit) if limit else None,
        "license": None if meta.license in ("not specified", "multiple") else meta.license,
        "open_weights": meta.open_weights,
        "instructions": meta.use_instructions,
        "base_model": base,
        "released": str(meta.release_date) if meta.release_date else None,
        "reference": str(meta.reference) if meta.reference else None,
    }
    return {key: value for key, value in known.items() if value not in (None, [])}


if __name__ == "__main__":
    main()
