"""Korean as it is really typed: deterministic variants of the texts that users write.
docs/robustness.md.

Only what users write is changed: queries, first sentences of pairs, texts to be classified or
clustered. Documents, training texts and gold answers stay, and so do item ids: every changed item
is paired with its original.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kemb.errors import DataError, NotSupported, UsageError
from kemb.tasks.kinds import KINDS, ids_of, shape_of
from kemb.types import Part, PartData, TaskData

VERSION = "1"
"""Of the rules and tables below; part of the hash of perturbed data."""
SYLLABLES_PER_TYPO = 20
_LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_KEYS = ("ㅂㅈㄷㄱㅅ", "ㅁㄴㅇㄹㅎ", "ㅋㅌㅊㅍ", "ㅛㅕㅑㅐㅔ", "ㅗㅓㅏㅣ", "ㅠㅜㅡ")
"""Rows of the two-set keyboard, consonants and vowels apart; a slip lands on a key beside."""
_FIRST, _N, _D, _B, _HARD = 0xAC00, 4, 0, 17, (18, 20, 25, 27)
"""The first syllable; finals none, ㄴ and ㅂ; and the finals ㅄ ㅆ ㅌ ㅎ, after which a
polite ending is 습니다.
"""


def spacing(text: str) -> str:
    """Without the spaces between Hangul: 한국 어 -> 한국어."""
    return re.sub(r"(?<=[가-힣])[ \t]+(?=[가-힣])", "", text)


def nfd(text: str) -> str:
    """Syllables taken apart (NFD), as file names of macOS are."""
    return unicodedata.normalize("NFD", text)


def typo(text: str) -> str:
    """One slip to a key beside for every 20 syllables, at least one: 한국 -> 한눅 or 헌국.

    Which syllables and which keys follows from the hash of the text.
    """
    places = [
        place for place, letter in enumerate(text) if "가" <= letter <= "힣" and _slips(letter)
    ]
    n_typos = max(1, len(places) // SYLLABLES_PER_TYPO)
    typo_places = sorted(places, key=partial(_hash, text))[:n_typos]
    letters = list(text)
    for place in typo_places:
        slips = _slips(letters[place])
        letters[place] = slips[_hash(text, -1 - place) % len(slips)]
    return "".join(letters)


def hanja(text: str) -> str:
    """Common Sino-Korean words in Chinese characters: 경제 -> 經濟."""
    return _replaced(text, HANJA)


def loanword(text: str) -> str:
    """Loanwords as they are often misspelt: 콘텐츠 -> 컨텐츠."""
    return _replaced(text, LOANWORDS)


def honorific(text: str) -> str:
    """Plain endings of sentences made polite: 했다. -> 했습니다., 무엇인가? -> 무엇입니까?"""
    return re.sub(r"([가-힣])(다|는가|가)(?=[.?!]*(?:\s|$))", _polite, text)


PERTURBATIONS: dict[str, Callable[[str], str]] = {
    "spacing": spacing,
    "nfd": nfd,
    "typo": typo,
    "hanja": hanja,
    "honorific": honorific,
    "loanword": loanword,
}


def parse(option: str) -> list[str]:
    """Names of perturbations as on the command line: `spacing,nfd`.

    :raises UsageError: for an unknown or no name.
    """
    names = list(dict.fromkeys(name.strip() for name in option.split(",") if name.strip()))
    if unknown := [name for name in names if name not in PERTURBATIONS] or (
        [] if names else [option]
    ):
        raise UsageError(
            f"--perturb {unknown[0]!r} is not known. Type one or more of {','.join(PERTURBATIONS)}."
        )
    return names


def perturbed(data: TaskData, name: str) -> TaskData:
    """The task with what users write changed; the notes of a part count the texts that are other.

    :raises NotSupported: for a task type without such texts.
    :raises DataError: when no text changes, so that there is nothing to measure.
    """
    parts = [_part(part, name) for part in data.parts]
    if not any(part.notes["n_perturbed"] for part in parts):
        raise DataError(
            f"{data.task}: no text is changed by {name!r}, so there is no drop to measure. Leave "
            f"{name} out of --perturb for this task."
        )
    return replace(data, revision=f"{data.revision}+{name}", parts=parts)


def user_texts(data: PartData) -> tuple[str, list[str], list[str]]:
    """The column that users write, its item ids and its texts.

    :raises NotSupported: there is none.
    """
    shape = shape_of(data)
    column = shape.user_column
    if not column:
        names = [name for name, kind in KINDS.items() if kind.shape.data is type(data)]
        raise NotSupported(
            f"{shape.called} are not written by users; --perturb leaves {' and '.join(names)} "
            "tasks out."
        )
    return column, ids_of(data, column) or [], getattr(data, column)


def _part(part: Part, name: str) -> Part:
    column, _, texts = user_texts(part.data)
    changed = [PERTURBATIONS[name](text) for text in texts]
    n = sum(before != after for before, after in zip(texts, changed, strict=True))
    digest = hashlib.sha256(f"{part.sha256} {name} {VERSION}".encode()).hexdigest()
    other: PartData = replace(part.data, **{column: changed})  # type: ignore[type-var]
    return replace(
        part,
        data=other,
        sha256=digest,
        notes={**part.notes, "n_perturbed": n, "n_user_texts": len(texts)},
    )


def _hash(text: str, number: int) -> int:
    digest = hashlib.sha256(f"{VERSION} {number} {text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def _slips(syllable: str) -> list[str]:
    """The syllable with its initial consonant or its vowel struck on a key beside."""
    number = ord(syllable) - _FIRST
    lead, vowel, final = number // 588, number % 588 // 28, number % 28
    leads = [_syllable(_LEADS.index(key), vowel, final) for key in _beside(_LEADS[lead])]
    return leads + [_syllable(lead, _VOWELS.index(key), final) for key in _beside(_VOWELS[vowel])]


def _beside(key: str) -> list[str]:
    for row in _KEYS:
        if (place := row.find(key)) >= 0:
            return [row[near] for near in (place - 1, place + 1) if 0 <= near < len(row)]
    return []


def _syllable(lead: int, vowel: int, final: int) -> str:
    return chr(_FIRST + lead * 588 + vowel * 28 + final)


def _polite(match: re.Match[str]) -> str:
    stem, ending = match[1], match[2]
    final = (ord(stem) - _FIRST) % 28
    closed = stem + "습니" if final in _HARD else ""
    if final == _D and (ending == "는가" or (stem == "이" and ending == "다")):
        closed = chr(ord(stem) + _B) + "니"  # 하는가 -> 합니까, 이다 -> 입니다
    if final == _N and (ending == "다" or (stem == "인" and ending == "가")):
        closed = chr(ord(stem) + _B - _N) + "니"  # 한다 -> 합니다, 인가 -> 입니까
    if not closed or (ending == "가" and stem != "인"):
        return match[0]
    return closed + ("다" if ending == "다" else "까")


def _replaced(text: str, table: dict[str, str]) -> str:
    words = sorted(table, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, words)), lambda match: table[match[0]], text)


HANJA: dict[str, str] = {
    "경제": "經濟",
    "정치": "政治",
    "사회": "社會",
    "문화": "文化",
    "역사": "歷史",
    "과학": "科學",
    "기술": "技術",
    "교육": "敎育",
    "학교": "學校",
    "대학": "大學",
    "학생": "學生",
    "정부": "政府",
    "국가": "國家",
    "국민": "國民",
    "법률": "法律",
    "헌법": "憲法",
    "전쟁": "戰爭",
    "평화": "平和",
    "세계": "世界",
    "지역": "地域",
    "도시": "都市",
    "환경": "環境",
    "자연": "自然",
    "건강": "健康",
    "의료": "醫療",
    "병원": "病院",
    "은행": "銀行",
    "기업": "企業",
    "산업": "産業",
    "생산": "生産",
    "소비": "消費",
    "가격": "價格",
    "무역": "貿易",
    "수출": "輸出",
    "투자": "投資",
    "금융": "金融",
    "노동": "勞動",
    "회사": "會社",
    "영화": "映畵",
    "음악": "音樂",
    "미술": "美術",
    "문학": "文學",
    "언어": "言語",
    "한국": "韓國",
    "중국": "中國",
    "일본": "日本",
    "미국": "美國",
    "대통령": "大統領",
    "선거": "選擧",
    "국회": "國會",
    "경찰": "警察",
    "시간": "時間",
    "방법": "方法",
    "문제": "問題",
    "연구": "硏究",
    "결과": "結果",
    "자료": "資料",
    "인간": "人間",
    "여성": "女性",
    "남성": "男性",
    "가족": "家族",
    "부모": "父母",
    "친구": "親舊",
    "전화": "電話",
    "철도": "鐵道",
    "자동차": "自動車",
    "비행기": "飛行機",
    "음식": "飮食",
    "운동": "運動",
    "신문": "新聞",
    "방송": "放送",
    "도서관": "圖書館",
    "박물관": "博物館",
}
"""Sino-Korean words with one reading each: 시장 (市場, 市長) and the like are left out."""


LOANWORDS: dict[str, str] = {
    "콘텐츠": "컨텐츠",
    "메시지": "메세지",
    "액세서리": "악세사리",
    "주스": "쥬스",
    "초콜릿": "초콜렛",
    "케이크": "케익",
    "카페": "까페",
    "서비스": "써비스",
    "리더십": "리더쉽",
    "워크숍": "워크샵",
    "심포지엄": "심포지움",
    "프러포즈": "프로포즈",
    "디지털": "디지탈",
    "카탈로그": "카달로그",
    "컬러": "칼라",
    "로켓": "로케트",
    "소시지": "소세지",
    "소파": "쇼파",
    "슈퍼마켓": "수퍼마켓",
    "텔레비전": "텔레비젼",
    "비전": "비젼",
    "데이터": "데이타",
    "애플리케이션": "어플리케이션",
    "알코올": "알콜",
    "배터리": "밧데리",
    "스태프": "스탭",
    "타깃": "타겟",
    "캐럴": "캐롤",
    "플래카드": "플랭카드",
    "앙케트": "앙케이트",
    "파이팅": "화이팅",
    "프라이팬": "후라이팬",
    "렌터카": "렌트카",
    "밸런타인데이": "발렌타인데이",
    "팸플릿": "팜플렛",
    "난센스": "넌센스",
    "매뉴얼": "메뉴얼",
    "뷔페": "부페",
    "바비큐": "바베큐",
    "로봇": "로보트",
    "아웃렛": "아울렛",
    "내비게이션": "네비게이션",
    "가톨릭": "카톨릭",
    "레퍼토리": "레파토리",
    "마사지": "맛사지",
    "모차르트": "모짜르트",
    "스펀지": "스폰지",
    "플루트": "플룻",
    "헬멧": "헬맷",
    "휘슬": "휫슬",
}
"""Standard spelling to a frequent other one."""
