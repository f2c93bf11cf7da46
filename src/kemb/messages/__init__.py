"""What kemb says to people, in Korean and English: one table, and notes that name its sentences.

`note` says what is to be said, as a key and its values; `say` gives it in a language. No sentence
is put together per language: what is computed is the note. Escaping is the caller's.
"""

from kemb.messages.language import LANGS, Lang, language, use_language
from kemb.messages.notes import Bilingual, Note, Text, Title, Value, note, printable, say, table

__all__ = [
    "LANGS",
    "Bilingual",
    "Lang",
    "Note",
    "Text",
    "Title",
    "Value",
    "language",
    "note",
    "printable",
    "say",
    "table",
    "use_language",
]
