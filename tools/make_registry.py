"""Write src/kemb/training/registry.parquet: hashes of evaluation texts, so that training data can
be checked without them.

    python tools/make_registry.py ../shared/data/packs

The folder is a mirror as of `kemb tasks fetch`. Tasks it does not have are left out and named; the
file has no texts, and the same data give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kemb import tasks
from kemb.errors import KembError
from kemb.tasks import sources
from kemb.tasks.load import load
from kemb.training.overlap import REGISTRY, eval_texts, write_registry

KOREAN = ("kor", "ko")
MAX_BYTES = 1_000_000


def main() -> None:
    """Hash every Korean task that the mirror has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="mirror of hub datasets")
    parser.add_argument("-o", "--out", type=Path, default=REGISTRY)
    options = parser.parse_args()
    found, missing = [], []
    hubs = json.loads((options.data / sources.INDEX).read_text(encoding="utf-8"))
    for name in tasks.names():
        spec = tasks.load_spec(name)
        if spec.source.hub not in hubs or not any(
            code.startswith(KOREAN) for code in spec.languages
        ):
            continue
        try:
            found.append(load(spec, options.data, train=False))
        except KembError as error:
            missing.append(f"{name}: {error}")
    texts = eval_texts(found)
    write_registry(options.out, texts)
    size = options.out.stat().st_size
    print(
        f"{options.out}: {len(found)} tasks, {texts.n_items:,} items, {len(texts.keys):,} texts, "
        f"{size:,} bytes"
    )
    print("\n".join(missing))
    if size > MAX_BYTES:
        raise SystemExit(f"{size:,} bytes are more than {MAX_BYTES:,}")


if __name__ == "__main__":
    main()
