"""Notes, the table of sentences, and how values stand in a sentence."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple, Protocol, Union

from kemb.messages.language import LANGS, Lang
from kemb.messages.particles import PARTICLES, with_particle


class Bilingual(Protocol):
    """A name that data has in both languages."""

    @property
    def ko(self) -> str: ...

    @property
    def en(self) -> str: ...


class Title(NamedTuple):
    """The plainest `Bilingual`."""

    ko: str
    en: str


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said: a sentence of the table and its values."""

    key: str
    """`area.name`: the name in `table/<area>.toml`."""
    values: tuple[tuple[str, Value], ...] = ()


Text = Union[Note, Bilingual, str]  # noqa: UP007  a protocol has no `|` at run time
"""Something that `say` can say; a string is the same in every language."""
Value = Union[Text, int, float, Sequence[Text]]  # noqa: UP007


def note(key: str, /, **values: Value) -> Note:
    """A note.

    :param key: of the table.
    :param values: of every placeholder of the sentence.
    """
    return Note(key, tuple(values.items()))


def say(text: Text, lang: Lang) -> str:
    """A note in a language, as plain text: whoever shows it escapes it.

    :raises KeyError: the table has no such sentence, or the note lacks a value.
    """
    if isinstance(text, str):
        return text
    if not isinstance(text, Note):
        return text.ko if lang == "ko" else text.en
    area, _, name = text.key.partition(".")
    return _Sentence(lang).format(table(area)[name][lang], **dict(text.values))


def printable(text: str) -> str:
    """A text with what a stranger's file says, as it may reach a terminal: control characters,
    which could do things there, are replaced; ends of lines stay.
    """
    return "".join(
        character if character.isprintable() or character == "\n" else "\ufffd"
        for character in text
    )


@cache
def table(area: str) -> Mapping[str, Mapping[Lang, str]]:
    """The sentences of one area, by name and language.

    :raises KeyError: when there is no such area.
    """
    path = resources.files("kemb.messages") / "table" / f"{area}.toml"
    if not path.is_file():
        raise KeyError(area)
    sentences = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: {lang: str(forms[lang]) for lang in LANGS} for name, forms in sentences.items()}


class _Sentence(string.Formatter):
    """How values stand in a sentence; after the colon of a placeholder may stand:

    - nothing: whole numbers get commas, a list gets `, `;
    - a format of Python for a number (`.0%`, `,.1f`);
    - a particle (`은/는`), which follows the value in the form that its sound asks for;
    - `model|models`: the first where the number is 1, else the second, in place of the number;
    - anything else for a list: what stands between its members.
    """

    def __init__(self, lang: Lang) -> None:
        self.lang = lang

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401  as the base class
        if format_spec in PARTICLES:
            return with_particle(self.format_field(value, ""), format_spec)
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return one if value == 1 else many
        if isinstance(value, str | Note) or hasattr(value, self.lang):
            return say(value, self.lang)
        if isinstance(value, int):
            return format(value, format_spec or ",")
        if isinstance(value, float):
            return format(value, format_spec or ",g")
        return (format_spec or ", ").join(say(member, self.lang) for member in value)
