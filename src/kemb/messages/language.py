"""The language of the interface: what `--lang` names, else that of the locale, else English.

Of the locale only the language counts: `ko_KR.UTF-8`, `ko.eucKR` and `ko` all mean Korean.
Encodings are Python's affair.
"""

from __future__ import annotations

import os
from typing import Literal

Lang = Literal["ko", "en"]
LANGS: tuple[Lang, ...] = ("ko", "en")

LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first of them that is set decides, as POSIX has it."""

_named: dict[str, Lang] = {}
"""What this process was told to speak; empty where nobody said."""


def use_language(lang: Lang | None) -> None:
    """Speak a language from now on.

    :param lang: None for that of the locale.
    """
    _named.clear()
    if lang is not None:
        _named["interface"] = lang


def language() -> Lang:
    """The language that sentences for the user are said in.

    Functions that write for somebody else (pages of a site, cards) take a language instead.
    """
    return _named.get("interface") or _of_locale()


def _of_locale() -> Lang:
    locale = next(filter(None, map(os.environ.get, LOCALE_VARIABLES)), "")
    code = locale.partition(".")[0].partition("_")[0]
    return "ko" if code.lower() == "ko" else "en"
