"""Deterministic variants of what users write: rules by hand-made examples, and what must stay as it
is.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from kemb.errors import DataError, NotSupported, UsageError
from kemb.tasks import perturb
from kemb.tasks.perturb import HANJA, LOANWORDS
from kemb.types import LabelData, PairData, Part, RetrievalData, SummaryData, TaskData

KEYBOARD = {"ㅎ": "ㄹ", "ㄱ": "ㄷㅅ", "ㅏ": "ㅓㅣ", "ㅜ": "ㅠㅡ"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("spacing", "한국 어를  좋아 한다 ok go 3 개", "한국어를좋아한다 ok go 3 개"),
        ("nfd", "각", "\u1100\u1161\u11a8"),
        ("hanja", "한국 경제와 시장", "韓國 經濟와 시장"),
        ("loanword", "텔레비전 콘텐츠", "텔레비젼 컨텐츠"),
        ("honorific", "갔다. 이것은 책이다", "갔습니다. 이것은 책입니다"),
        ("honorific", "학교에 간다! 좋다", "학교에 갑니다! 좋습니다"),
        ("honorific", "수도는 어디인가? 언제 하는가?", "수도는 어디입니까? 언제 합니까?"),
        ("honorific", "무엇이 있는가?", "무엇이 있습니까?"),
        ("honorific", "바다 작가 다가가", "바다 작가 다가가"),
    ],
)
def test_what_becomes_of_a_text(name: str, text: str, expected: str) -> None:
    assert perturb.PERTURBATIONS[name](text) == expected


def parts_of(syllable: str) -> list[str]:
    """Lead, vowel and final as compatibility letters, by Unicode's own names."""
    names = [
        unicodedata.name(letter).split()[-1] for letter in unicodedata.normalize("NFD", syllable)
    ]
    return [unicodedata.lookup(f"HANGUL LETTER {name}") for name in names]


def test_a_typo_is_one_letter_on_a_key_beside() -> None:
    seen = set()
    for text in (f"{n}{letter}" for n in range(40) for letter in "학구"):
        (changed,) = [
            (parts_of(a), parts_of(b))
            for a, b in zip(text, perturb.typo(text), strict=True)
            if a != b
        ]
        ((was, now),) = [(a, b) for a, b in zip(*changed, strict=True) if a != b]
        assert now in KEYBOARD[was]
        seen.add((was, now))
    assert len(seen) == 7  # every key beside


def test_typos_are_one_in_twenty_syllables_and_always_the_same() -> None:
    text = "가나다라마바사아자차" * 6
    changed = perturb.typo(text)
    assert sum(a != b for a, b in zip(text, changed, strict=True)) == 3
    assert perturb.typo(text) == changed
    assert perturb.typo("no hangul") == "no hangul"


def test_tables_hold_words_of_equal_length_and_no_word_twice() -> None:
    assert all(len(word) == len(other) for word, other in HANJA.items())
    assert all(
        unicodedata.name(letter).startswith("CJK") for other in HANJA.values() for letter in other
    )
    assert not set(LOANWORDS) & set(LOANWORDS.values())


def retrieval() -> TaskData:
    data = RetrievalData(["d"], ["경제 글"], ["q1", "q2"], ["한국 경제", "abc"], {"q1": {"d": 1}})
    return TaskData("T", "retrieval", "r", [Part("test", "default", data, "hash")])


def test_only_queries_change_and_the_data_is_another() -> None:
    before, after = retrieval(), perturb.perturbed(retrieval(), "spacing")
    (part,) = after.parts
    assert isinstance(part.data, RetrievalData)
    assert part.data.queries == ["한국경제", "abc"]
    assert (part.data.documents, part.data.query_ids) == (["경제 글"], ["q1", "q2"])
    assert part.notes == {"n_perturbed": 1, "n_user_texts": 2}
    assert part.sha256 != before.parts[0].sha256
    assert after.revision == "r+spacing"
    assert perturb.perturbed(retrieval(), "hanja").parts[0].sha256 != part.sha256


def test_pairs_change_on_one_side_and_training_texts_never() -> None:
    pair = Part("test", "default", PairData(["1"], ["한국 말"], ["한국 말"], np.zeros(1)), "x")
    changed = perturb.perturbed(TaskData("T", "sts", "r", [pair]), "spacing").parts[0].data
    assert isinstance(changed, PairData)
    assert (changed.sentence1, changed.sentence2) == (["한국말"], ["한국 말"])
    label = LabelData(
        ["1"], ["한국 말"], ["a"], ["한국 말"], ["a"], [np.zeros(1, dtype=np.int64)], False
    )
    task = TaskData("T", "classification", "r", [Part("test", "default", label, "x")])
    texts = perturb.perturbed(task, "spacing").parts[0].data
    assert isinstance(texts, LabelData)
    assert (texts.texts, texts.train_texts) == (["한국말"], ["한국 말"])


def test_refusals() -> None:
    with pytest.raises(DataError, match="no text is changed by 'loanword'"):
        perturb.perturbed(retrieval(), "loanword")
    with pytest.raises(UsageError, match="'upper' is not known"):
        perturb.parse("nfd,upper")
    with pytest.raises(UsageError, match="is not known"):
        perturb.parse(" ,")
    assert perturb.parse("nfd, typo,nfd") == ["nfd", "typo"]
    with pytest.raises(NotSupported, match="Summaries"):
        perturb.user_texts(object.__new__(SummaryData))
