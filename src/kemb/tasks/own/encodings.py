"""Text files of any encoding that can be told for certain: UTF-8, UTF-16 and CP949."""

from __future__ import annotations

from typing import Literal

from kemb.messages import Note, note
from kemb.tasks.own.findings import Findings

_LEAST_SYLLABLES = 4
"""So few Hangul syllables in CP949 may be bytes of any other encoding."""
_LEAST_SHARE = 0.95
"""Of the letters outside ASCII that must be everyday Hangul; Chinese and Japanese texts that happen
to be valid CP949 become Hanja and rare syllables.
"""

_MORE_ASCII = 10
"""So many times as many ASCII characters one order of UTF-16's bytes must give."""

_Utf16 = Literal["utf-16", "utf-16-le", "utf-16-be"]


def decode(raw: bytes, file: str, findings: Findings) -> str | None:
    """The text without its byte order mark; None, and a finding with the way out, where the
    encoding is not certain.

    UTF-8 is taken as it is. UTF-16 is told by its byte order mark, or by ASCII characters that one
    order of the bytes gives and the other does not; CP949 by being valid to the last byte and
    reading as everyday Hangul. What was decided is a warning.

    :param raw: the bytes of the file.
    :param file: its name in messages.
    :param findings: takes the decision, or why there is none.
    """
    if 0 not in raw and not _has_utf16_mark(raw):
        try:
            return raw.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            offset = error.start
        if (text := _cp949(raw)) is not None:
            _note("CP949 (EUC-KR)", file, findings)
            return text
    else:
        if (text := _utf16(raw)) is not None:
            _note("UTF-16", file, findings)
            return text
        if (text := _utf8_with_nul(raw)) is not None:
            return text
        offset = 0 if _has_utf16_mark(raw) else raw.index(0)
    findings.error(
        "encoding",
        file,
        note("finding.encoding", offset=offset, advice=_advice(raw, file)),
        row=raw.count(b"\n", 0, offset) + 1,
        value=raw[offset : offset + 4],
    )
    return None


def _note(encoding: str, file: str, findings: Findings) -> None:
    message = note("finding.encoding_decided", encoding=encoding)
    findings.warn("encoding decided", file, message)


def _advice(raw: bytes, file: str) -> Note:
    guess = _guess(raw)
    if guess is None:
        return note("finding.encoding_unknown")
    return note("finding.encoding_likely", encoding=guess.upper(), name=guess, file=file)


def _guess(raw: bytes) -> str | None:
    """What it may be, too little to read it so."""
    if _has_utf16_mark(raw) or raw.count(0) > len(raw) // 10:
        return "utf-16"
    try:
        raw.decode("cp949")
    except UnicodeDecodeError:
        return None
    return "cp949"


def _has_utf16_mark(raw: bytes) -> bool:
    return raw.startswith((b"\xff\xfe", b"\xfe\xff"))


def _utf16(raw: bytes) -> str | None:
    """Text in UTF-16, if that is certain.

    Without a byte order mark the ASCII characters (commas, digits, line ends) tell the order of the
    bytes: read the wrong way round there are hardly any.
    """
    encoding: _Utf16 = "utf-16"
    if not _has_utf16_mark(raw):
        if raw.count(0) <= len(raw) // 10:
            return None
        n_little, n_big = (_n_ascii(raw, order) for order in ("utf-16-le", "utf-16-be"))
        if max(n_little, n_big) <= _MORE_ASCII * min(n_little, n_big):
            return None
        encoding = "utf-16-le" if n_little > n_big else "utf-16-be"
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _n_ascii(raw: bytes, encoding: str) -> int:
    return sum(letter < "\x80" for letter in raw.decode(encoding, "replace"))


def _utf8_with_nul(raw: bytes) -> str | None:
    """UTF-8 in which a text holds a stray NUL, which is noted with the text."""
    if _has_utf16_mark(raw) or raw.count(0) > len(raw) // 10:
        return None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _cp949(raw: bytes) -> str | None:
    """Text in CP949, if that is certain."""
    try:
        text = raw.decode("cp949")
    except UnicodeDecodeError:
        return None
    letters = [letter for letter in text if letter > "\x7f" and letter.isalpha()]
    n_everyday = sum(_is_everyday_hangul(letter) for letter in letters)
    is_certain = n_everyday >= _LEAST_SYLLABLES and n_everyday >= _LEAST_SHARE * len(letters)
    return text if is_certain else None


def _is_everyday_hangul(letter: str) -> bool:
    """One of the 2,350 syllables of KS X 1001, which all but a few Korean words are made of."""
    if not "가" <= letter <= "힣":
        return False
    try:
        letter.encode("euc_kr")
    except UnicodeEncodeError:
        return False
    return True
