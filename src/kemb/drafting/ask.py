"""Questions that a language model writes about passages: what it costs, what it did, what may be
used of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.drafting.bill import after, announce, bill_of
from kemb.drafting.calls import Journal
from kemb.drafting.candidates import MIN_ANSWER, Candidate, Omission, has_letters
from kemb.drafting.chunks import Chunk
from kemb.drafting.llm import Chat, LlmSettings, todo_of
from kemb.drafting.prompts import messages, read_answer, read_prompts
from kemb.errors import UsageError


@dataclass(frozen=True, slots=True)
class Writing:
    """What came of asking."""

    questions: list[Candidate]
    omissions: list[Omission]
    made_by: dict[str, Any]
    """Who was asked, what, and what it cost; as `drafted.json` keeps it."""


def ask(chunks: Sequence[Chunk], settings: LlmSettings, source: str, journal: Path) -> Writing:
    """Let a language model write questions about passages, or some of them.

    :param chunks: the passages.
    :param settings: who is asked, and how.
    :param source: the name of the folder of documents, for the question of consent.
    :param journal: the file that keeps every call; what stands in it is not asked again.
    :raises UsageError: a style that the prompts do not have, or nobody consented that text leaves
        this machine.
    :raises ModelError: the endpoint refuses, or does not answer as one.
    """
    prompts = read_prompts(settings.prompts)
    styles = settings.styles or tuple(prompts.styles)
    unknown = [style for style in styles if style not in prompts.styles]
    if unknown:
        raise UsageError(
            f"The prompts describe the styles {', '.join(prompts.styles)}, not "
            f"{', '.join(unknown)}. Name others with --styles, or describe them in --prompts."
        )
    passages = draw(chunks, settings.n_passages)
    calls = Journal(journal)
    todos = [
        todo_of(settings, prompts.body, chunk.id, messages(prompts, styles, chunk))
        for chunk in passages
    ]
    new = [todo for todo in todos if calls.get(todo.key) is None]
    chat = Chat(settings, calls)
    if new:
        announce(new, len(todos) - len(new), settings, source, len(styles))
        chat.ask(new)
    answers = [calls.get(todo.key) for todo in todos]
    questions: list[Candidate] = []
    omissions = [
        Omission("", "llm", passage, "the endpoint refused the passage")
        for passage in chat.refusals
    ]
    for chunk, call in zip(passages, answers, strict=True):
        if call is not None:
            is_cut = call.finish == "length"
            usable, unusable = read_answer(call.content, is_cut, chunk, prompts, styles)
            questions += usable
            omissions += unusable
    new_keys = {todo.key for todo in new}
    paid = [call for call in answers if call is not None and call.key in new_keys]
    made_by = bill_of(settings, prompts.sha256, answers, paid) | {
        "styles": list(styles),
        "n_passages": len(chunks),
        "n_passages_drawn": len(answers),
    }
    if paid:
        settings.on_note(after(paid, settings.price))
    return Writing(questions, omissions, made_by)


def draw(chunks: Sequence[Chunk], n: int) -> list[Chunk]:
    """At most n passages that have enough text, drawn by their hash, in their own order."""
    enough = [chunk for chunk in chunks if has_letters(chunk.text, MIN_ANSWER)]
    by_hash = sorted(
        range(len(enough)),
        key=lambda row: hashlib.sha256(f"{enough[row].id}\0{enough[row].text}".encode()).digest(),
    )
    return [enough[row] for row in sorted(by_hash[:n])]
