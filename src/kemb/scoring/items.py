"""Item scores, taken apart."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def of_part(items: pa.Table, split: str, subset: str) -> pa.Table:
    """The items of one (split, subset)."""
    return items.filter(pc.and_(pc.equal(items["split"], split), pc.equal(items["subset"], subset)))


def of_metric(items: pa.Table, metric: str) -> pa.Table:
    """The items of one metric, in their order."""
    return items.filter(pc.equal(items["metric"], metric))
