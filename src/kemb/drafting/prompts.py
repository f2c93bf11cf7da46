"""What a language model is told, and what may be believed of its answer."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kemb.drafting.candidates import Candidate, Omission
from kemb.drafting.chunks import Chunk, sentences
from kemb.errors import UsageError
from kemb.files import disk
from kemb.scoring.spans import Span
from kemb.training.shingles import normal_form

_SHIPPED = "ko.toml"
_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
_SAME = 20
"""Letters that a question and its passage may share in a row; more is a quotation."""
_SAME_INSTRUCTION = 8
_MOST_LETTERS = 500
_MOST_QUESTIONS = 32

File = TypeVar("File", bound="PromptFile")


class PromptFile(BaseModel):
    """A file of prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    places: ClassVar[tuple[str, ...]] = ("{mark}", "{passage}")
    """What `user` must hold."""

    system: str
    user: str
    instructions: list[str] = []
    """Regular expressions: signs of an instruction to whoever reads a passage."""
    body: dict[str, Any] = {}
    """More fields of every request."""

    @field_validator("user")
    @classmethod
    def _holds_its_places(cls, value: str) -> str:
        missing = [place for place in cls.places if place not in value]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return value

    @field_validator("instructions")
    @classmethod
    def _are_expressions(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
        return value

    @cached_property
    def instruction(self) -> re.Pattern[str]:
        """What says that a sentence is an instruction; matches nothing where none is listed."""
        return re.compile("|".join(self.instructions) or r"(?!)", re.IGNORECASE)

    @property
    def sha256(self) -> str:
        """Of what it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Prompts(PromptFile):
    """Those of questions."""

    places: ClassVar[tuple[str, ...]] = ("{mark}", "{styles}", "{passage}")

    styles: dict[str, str] = Field(min_length=1)
    """Style -> how it is described to the model."""


class Written(BaseModel):
    """One question of an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    style: str
    question: str = Field(min_length=1, max_length=_MOST_LETTERS)
    answer: str = Field(min_length=1)


class Answer(BaseModel):
    """The JSON that a model must answer with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    questions: list[Written] = Field(max_length=_MOST_QUESTIONS)


def read_prompts(path: Path | None) -> Prompts:
    """The prompts of a file, else those that come with kemb.

    :raises UsageError: the file cannot be read, or is no file of prompts.
    """
    return read_file(
        Prompts, path, _SHIPPED, "and a table [styles]; `kemb docs drafting` shows one"
    )


def read_file(kind: type[File], path: Path | None, shipped: str, more: str) -> File:
    """A file of prompts, else the one of that name that comes with kemb.

    :param more: what such a file has beside `system` and `user`, and where one is shown.
    :raises UsageError: the file cannot be read, or is no file of prompts.
    """
    default = resources.files("kemb.drafting") / "prompts" / shipped
    try:
        text = default.read_text(encoding="utf-8") if path is None else disk.read_text(path)
        return kind.model_validate(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = disk.reason_of(error) if isinstance(error, OSError) else str(error)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise UsageError(
        f"{path} is no file of prompts ({why}). It has system, user with {', '.join(kind.places)}, "
        f"{more}."
    )


def messages(prompts: Prompts, styles: Sequence[str], chunk: Chunk) -> list[dict[str, str]]:
    """What is sent for a passage.

    The passage stands between marks that it cannot hold: a hash of itself.
    """
    mark = hashlib.sha256(chunk.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    listed = "\n".join(f"- {style}: {prompts.styles[style]}" for style in styles)
    user = prompts.user.replace("{mark}", mark).replace("{styles}", listed)
    before, _, after = user.partition("{passage}")
    user = "".join(
        [before.replace("{title}", chunk.title), chunk.text, after.replace("{title}", chunk.title)]
    )
    system = prompts.system.replace("{mark}", mark)
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def read_answer(
    content: str, is_cut: bool, chunk: Chunk, prompts: Prompts, styles: Sequence[str]
) -> tuple[list[Candidate], list[Omission]]:
    """The questions of an answer that may be used, and those that may not.

    :param content: what the model wrote.
    :param is_cut: whether it was stopped before its end.
    :param chunk: the passage that it was shown.
    :param prompts: what it was told.
    :param styles: that were asked for.
    """
    if is_cut:
        return [], [Omission("", "llm", chunk.id, "the answer was cut off")]
    try:
        answer = Answer.model_validate_json(bare(content))
    except ValidationError:
        return [], [Omission("", "llm", chunk.id, "the answer is not the JSON that was asked for")]
    if not answer.questions:
        return [], [Omission("", "llm", chunk.id, "the model saw nothing to ask")]
    questions: list[Candidate] = []
    omissions: list[Omission] = []
    open_styles = list(styles)
    for question in answer.questions:
        text = " ".join(question.question.split())
        span = _place_of(question.answer, chunk)
        reason = _why_not(text, question, open_styles, span, chunk, prompts)
        if reason or span is None:
            omissions.append(Omission(text, "llm", chunk.id, reason))
            continue
        open_styles.remove(question.style)
        questions.append(Candidate("llm", text, span, style=question.style))
    return questions, omissions


def bare(content: str) -> str:
    """An answer without the fence that models like to put around JSON."""
    fenced = _FENCE.fullmatch(content)
    return fenced[1] if fenced else content


def _why_not(
    text: str,
    question: Written,
    open_styles: Sequence[str],
    span: Span | None,
    chunk: Chunk,
    prompts: Prompts,
) -> str:
    if repeats_instruction(f"{text} {question.answer}", chunk.text, prompts):
        return "it repeats an instruction of the passage"
    if question.style not in open_styles:
        return "a style that was not asked for"
    if span is None:
        return "its answer does not stand in the passage"
    return "it quotes the passage" if _share_a_run(text, chunk.text, _SAME) else ""


def repeats_instruction(text: str, passage: str, prompts: PromptFile) -> bool:
    """Whether a text gives an instruction itself, or takes words of one from the passage."""
    if prompts.instruction.search(text):
        return True
    if not text.strip():
        return False
    texts = (passage[start:end] for start, end in sentences(passage))
    instructions = [sentence for sentence in texts if prompts.instruction.search(sentence)]
    return any(_share_a_run(text, sentence, _SAME_INSTRUCTION) for sentence in instructions)


def _share_a_run(one: str, other: str, n: int) -> bool:
    """Whether two texts share so many letters in a row."""
    first, second = normal_form(one), normal_form(other)
    return any(first[place : place + n] in second for place in range(len(first) - n + 1))


def find_quote(quote: str, passage: str) -> re.Match[str] | None:
    """Where a quotation stands in a passage; white space may differ."""
    words = quote.split()
    return re.search(r"\s+".join(map(re.escape, words)), passage) if words else None


def _place_of(quote: str, chunk: Chunk) -> Span | None:
    match = find_quote(quote, chunk.text)
    if match is None:
        return None
    return Span(chunk.source, chunk.start + match.start(), chunk.start + match.end())
