"""Korean particles, whose form depends on the sound that a word ends with: 모델은, 과제는."""

from __future__ import annotations

PARTICLES = ("은/는", "이/가", "을/를", "과/와", "으로/로", "이나/나", "이라/라")
"""The form after a consonant, then that after a vowel."""

_FIRST_SYLLABLE, _LAST_SYLLABLE = ord("가"), ord("힣")
_N_FINALS = 28
"""Endings of a Hangul syllable, the first of which is none (Unicode, section 3.12)."""
_RIEUL = 8
"""The ending ㄹ, after which 로 stands and not 으로."""
_DIGITS = {"0": 21, "1": 8, "2": 0, "3": 16, "4": 0, "5": 0, "6": 1, "7": 8, "8": 8, "9": 0}
"""The ending of 영, 일, 이, 삼, 사, 오, 육, 칠, 팔, 구."""
_CAPITALS = {"L": 8, "M": 16, "N": 4, "R": 8}
"""The ending of 엘, 엠, 엔, 알; the names of the other letters end with a vowel."""
_LOWER = {"l": 8, "m": 16, "n": 4} | dict.fromkeys("aiouwy", 0)
"""Of words in small letters, where the last letter tells. The others may be read either way."""
_CLOSING = " \t\n)]}>'\"’”.,:;!?%*_`"
"""What is not read at the end of a word."""


def with_particle(word: str, particle: str) -> str:
    """A word and its particle.

    Where the sound of the last letter is not known (`base`, `dot`), both forms stand: `base은(는)`.

    :param particle: one of `PARTICLES`.
    """
    after_consonant, after_vowel = particle.split("/")
    ending = _ending(word)
    if ending is None:
        return word + _both(after_consonant, after_vowel)
    is_vowel = ending == 0 or (particle == "으로/로" and ending == _RIEUL)
    return word + (after_vowel if is_vowel else after_consonant)


def _both(after_consonant: str, after_vowel: str) -> str:
    """은(는), (으)로."""
    if after_consonant.endswith(after_vowel):
        optional = after_consonant.removesuffix(after_vowel)
        return f"({optional}){after_vowel}"
    return f"{after_consonant}({after_vowel})"


def _ending(word: str) -> int | None:
    """The number of the final consonant of the last syllable, 0 for none; None where nobody
    knows.
    """
    text = word.rstrip(_CLOSING)
    if not text:
        return None
    last = text[-1]
    if _FIRST_SYLLABLE <= ord(last) <= _LAST_SYLLABLE:
        return (ord(last) - _FIRST_SYLLABLE) % _N_FINALS
    if last in _DIGITS:
        return _DIGITS[last]
    if "A" <= last <= "Z":
        return _CAPITALS.get(last, 0)
    if text.lower().endswith("ng"):
        return 21
    return _LOWER.get(last)
