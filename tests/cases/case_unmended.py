"""The cases that are not right yet, each with its reason in one line."""

UNMENDED: dict[str, str] = {}
