"""Columns of data files as checked Python lists; every complaint names the file, the column and the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kemb.errors import DataError
from kemb.types import DoubleArray, IntArray, Label

if TYPE_CHECKING:
    import pyarrow as pa


class Rows(NamedTuple):
    """A table and the file it came from."""

    table: pa.Table
    origin: str

    def take(self, numbers: IntArray) -> Rows:
        """The rows with these numbers, in this order."""
        return Rows(self.table.take(numbers), self.origin)


def column(rows: Rows, name: str) -> pa.ChunkedArray:
    """A column; a dot in the name reaches into a struct. One-row tables of lists are laid out flat."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, _, field = name.partition(".")
    if name in rows.table.column_names:
        first, field = name, ""
    if first not in rows.table.column_names:
        raise DataError(
            f"{rows.origin} has no column {name!r}; it has {', '.join(map(repr, rows.table.column_names))}."
        )
    array = rows.table.column(first)
    if field:
        if not pa.types.is_struct(array.type) or array.type.get_field_index(field) < 0:
            raise DataError(f"{rows.origin}: column {first!r} holds {array.type}, which has no field {field!r}.")
        array = pc.struct_field(array, [field])
    return pc.list_flatten(array) if is_list(array) else array


def is_list(array: pa.ChunkedArray) -> bool:
    """Whether a column holds one list per row."""
    import pyarrow as pa

    return bool(pa.types.is_list(array.type) or pa.types.is_large_list(array.type))


def texts(rows: Rows, name: str) -> list[str]:
    """A column of text, unchanged."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise DataError(f"{rows.origin}: column {name!r} holds {_example(array)}; expected text.")
    _refuse_nulls(rows, name, array, "text")
    return list(array.to_pylist())


def ids(rows: Rows, name: str) -> list[str]:
    """A column of ids as text; whole numbers become their digits, as in mteb."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_integer(array.type)):
        raise DataError(f"{rows.origin}: column {name!r} holds {_example(array)}; expected text or whole numbers.")
    _refuse_nulls(rows, name, array, "an id")
    return list(array.cast(pa.string()).to_pylist())


def labels(rows: Rows, name: str) -> list[Label]:
    """A column of class labels: text or whole numbers, not both."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_integer(array.type)):
        raise DataError(f"{rows.origin}: column {name!r} holds {_example(array)}; expected text or whole numbers.")
    _refuse_nulls(rows, name, array, "a label")
    return list(array.to_pylist())


def numbers(rows: Rows, name: str) -> DoubleArray:
    """A column of finite numbers."""
    import pyarrow as pa

    array = column(rows, name)
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise DataError(f"{rows.origin}: column {name!r} holds {_example(array)}; expected numbers.")
    _refuse_nulls(rows, name, array, "a number")
    values = np.array(array.to_pylist(), dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{rows.origin}: column {name!r}, row {row} is {values[row]}; expected a finite number.")
    return values


def _refuse_nulls(rows: Rows, name: str, array: pa.ChunkedArray, expected: str) -> None:
    import pyarrow.compute as pc

    if array.null_count:
        row = pc.index(pc.is_null(array), True).as_py()
        raise DataError(f"{rows.origin}: column {name!r}, row {row} is empty (null); expected {expected}.")


def _example(array: pa.ChunkedArray) -> str:
    value = f", for example {array[0].as_py()!r:.60} in row 0" if len(array) else ""
    return f"{array.type}{value}"
