"""What a judging language model is told of a question and a passage, and what may be believed of
its verdict.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kemb.drafting.prompts import PromptFile, bare, find_quote, read_file, repeats_instruction

_SHIPPED = "judge.ko.toml"
_PLACE = re.compile(r"\{(mark|question|title|passage)\}")
_MOST_LETTERS = 4000

GIVES_INSTRUCTION = "the passage gives an instruction"
"""A flag: whatever the verdict, a person should look at it."""
CUT = "the answer was cut off"
NO_JSON = "the answer is not the JSON that was asked for"
REPEATS = "it repeats an instruction of the passage"
NO_QUOTE = "its answer does not stand in the passage"
REFUSED = "the endpoint refused the passage"


class JudgePrompts(PromptFile):
    """Those of verdicts."""

    places: ClassVar[tuple[str, ...]] = ("{mark}", "{question}", "{passage}")


class _Answer(BaseModel):
    """The JSON that a judge must answer with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Literal["right", "wrong"]
    quote: str = Field(max_length=_MOST_LETTERS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be used of an answer: a label, or the reason why there is none."""

    label: Literal["right", "wrong"] | None
    quote: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()


def read_judge_prompts(path: Path | None) -> JudgePrompts:
    """The prompts of a file, else those that come with kemb.

    :raises UsageError: the file cannot be read, or is no file of prompts of a judge.
    """
    return read_file(JudgePrompts, path, _SHIPPED, "and no [styles]; `kemb docs judging` shows one")


def judge_messages(
    prompts: JudgePrompts, question: str, title: str, passage: str
) -> list[dict[str, str]]:
    """What is sent of a question and a passage.

    Both stand between marks that they cannot hold: a hash of them.
    """
    together = "\0".join((question, title, passage)).encode("utf-8", "surrogatepass")
    mark = hashlib.sha256(together).hexdigest()[:16]
    texts = {"mark": mark, "question": question, "title": title, "passage": passage}
    return [
        {"role": role, "content": _PLACE.sub(lambda place: texts[place[1]], text)}
        for role, text in (("system", prompts.system), ("user", prompts.user))
    ]


def read_verdict(content: str, is_cut: bool, passage: str, prompts: JudgePrompts) -> Verdict:
    """The verdict of an answer, if it may be used.

    :param content: what the model wrote.
    :param is_cut: whether it was stopped before its end.
    :param passage: what it was shown.
    :param prompts: what it was told.
    """
    if is_cut:
        return Verdict(None, reason=CUT)
    try:
        answer = _Answer.model_validate_json(bare(content))
    except ValidationError:
        return Verdict(None, reason=NO_JSON)
    if repeats_instruction(answer.quote, passage, prompts):
        return Verdict(None, answer.quote, REPEATS)
    if answer.verdict == "right" and find_quote(answer.quote, passage) is None:
        return Verdict(None, answer.quote, NO_QUOTE)
    is_doubtful = prompts.instruction.search(passage) is not None
    return Verdict(answer.verdict, answer.quote, flags=(GIVES_INSTRUCTION,) if is_doubtful else ())
