"""How large a Parquet file is once it is unpacked, before a page of it is."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from kemb import disk

_ALWAYS_BYTES = 64 * 2**20
_MOST_TIMES = 100
"""What kemb writes unpacks to at most five times its size."""


def refuse_bomb(path: Path) -> None:
    """Refuse a file that is small and unpacks to something large.

    :raises OSError: as the system says it.
    :raises ValueError: it would, or is no regular file, or no Parquet file (pyarrow's errors are
        of this type).
    """
    size = disk.size_of_file(path)
    metadata = pq.read_metadata(path)
    n_bytes = sum(
        metadata.row_group(group).column(column).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if n_bytes > max(_ALWAYS_BYTES, _MOST_TIMES * size):
        raise ValueError(f"its {size} bytes would unpack to {n_bytes}")
