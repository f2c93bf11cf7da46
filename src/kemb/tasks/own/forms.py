"""Ids that are those of the chunks but for their form: spreadsheets drop leading zeros and write
`2.0`, people change case and add blanks.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from kemb.messages import Text, note
from kemb.tasks.own.gold import ids_in

_FILE_ENDING = re.compile(r"(?<=\w)\.(?:txt|md|html?|pdf|docx?|pptx?|hwpx?)$", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"0*(\d+)(?:\.0+)?")


def _without_blanks(one: str) -> str:
    return unicodedata.normalize("NFC", one).strip()


def _number(one: str) -> str:
    match = _WHOLE_NUMBER.fullmatch(one.strip())
    return match[1] if match else one


def _without_ending(one: str) -> str:
    return _FILE_ENDING.sub("", one.strip().rpartition("/")[2])


FORMS: dict[str, Callable[[str], str]] = {
    "blanks": _without_blanks,
    "number": _number,
    "case": lambda one: _without_blanks(one).casefold(),
    "ending": _without_ending,
}
"""What two ids have in common that differ in one way; the first that fits is taken."""


class KnownIds(Collection[str]):
    """The ids of chunks, and what names exactly one of them after one change of form."""

    def __init__(self, ids: Iterable[str], form: str = "") -> None:
        """:param form: a key of `FORMS`; empty to take ids only as they are."""
        self._exact = ids if isinstance(ids, set) else set(ids)
        self._form = FORMS.get(form)
        self._by_form: dict[str, str] = {}
        if self._form is not None:
            counts = Counter(map(self._form, self._exact))
            self._by_form = {
                changed: one for one in self._exact if counts[changed := self._form(one)] == 1
            }

    def __contains__(self, one: object) -> bool:
        return isinstance(one, str) and self.named_by(one) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._exact)

    def __len__(self) -> int:
        return len(self._exact)

    def named_by(self, one: str) -> str | None:
        """The id that a text names, if it does."""
        if one in self._exact:
            return one
        return None if self._form is None else self._by_form.get(self._form(one))

    def in_cell(self, cell: object) -> list[str]:
        """The ids that a cell names; what is none stays as it is."""
        return list(dict.fromkeys(self.named_by(one) or one for one in ids_in(cell, self)))


def form_of(cells: Iterable[object], ids: set[str]) -> tuple[str, str, str] | None:
    """The one change of form after which a column names nothing but chunks.

    :param cells: of the column, those that hold anything.
    :param ids: of the chunks.
    :return: a key of `FORMS`, an id as the column has it and as the chunk has it; None where all
        are written as the chunks' are, or where no one change is enough.
    """
    exact = KnownIds(ids)
    others = [cell for cell in cells if not all(one in exact for one in ids_in(cell, exact))]
    for form in FORMS if others else ():
        names = KnownIds(ids, form)
        if all(one in names for cell in others for one in ids_in(cell, names)):
            pieces = (one for cell in others for one in ids_in(cell, names))
            example = next(one for one in pieces if one not in exact)
            return form, example, names.named_by(example) or ""
    return None


def nearest_id(one: str, ids: Collection[str]) -> str:
    """An id that differs from a text in form only, whatever the form; empty if there is none."""
    sought = loose_form(one)
    return next((one_id for one_id in ids if sought and loose_form(one_id) == sought), "")


def loose_form(one: str) -> str:
    """An id without what spreadsheets and people change: zeros, blanks, case, endings of files."""
    return _number("".join(_without_ending(_without_blanks(one)).casefold().split()))


def form_said(form: str) -> Text:
    """How the ids differ, for people."""
    return note(f"finding.form_{form}")
