"""Questions that a language model writes about passages: what it costs, what it did, what may be
used of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb.drafting.calls import Call, Journal
from kemb.drafting.candidates import MIN_ANSWER, Candidate, Omission, has_letters
from kemb.drafting.chunks import Chunk
from kemb.drafting.llm import (
    Chat,
    LlmSettings,
    Todo,
    guessed_cost,
    is_this_machine,
    todo_of,
)
from kemb.drafting.prompts import Prompts, messages, read_answer, read_prompts
from kemb.errors import UsageError
from kemb.messages import Note, note

_MILLION = 1_000_000


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
        _announce(new, len(todos) - len(new), settings, source, len(styles))
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
    new_calls = [call for call in answers if call is not None and call.key in new_keys]
    made_by = _made_by(settings, prompts, styles, len(chunks), answers, new_calls)
    if new_calls:
        settings.on_note(_after(new_calls, settings.price))
    return Writing(questions, omissions, made_by)


def draw(chunks: Sequence[Chunk], n: int) -> list[Chunk]:
    """At most n passages that have enough text, drawn by their hash, in their own order."""
    enough = [chunk for chunk in chunks if has_letters(chunk.text, MIN_ANSWER)]
    by_hash = sorted(
        range(len(enough)),
        key=lambda row: hashlib.sha256(f"{enough[row].id}\0{enough[row].text}".encode()).digest(),
    )
    return [enough[row] for row in sorted(by_hash[:n])]


def _announce(
    todos: Sequence[Todo], n_kept: int, settings: LlmSettings, source: str, n_styles: int
) -> None:
    """Say what will be sent and what it will cost; to another machine only with consent."""
    n_characters, n_read, n_written = guessed_cost(todos, n_styles)
    before = note(
        "draft.before",
        n_calls=len(todos),
        model=settings.name,
        host=settings.host,
        n_characters=n_characters,
        folder=source,
        n_kept=n_kept,
        n_read=n_read,
        n_written=n_written,
        cost=_cost(settings.price, n_read, n_written),
    )
    settings.on_note(before)
    if is_this_machine(settings.host):
        return
    if settings.consent is None or not settings.consent(before):
        raise UsageError(
            f"{n_characters:,} characters of {source} would go to {settings.host}, and nobody "
            "agreed. Nothing was sent. Type the same command with --yes to agree."
        )


def _cost(price: tuple[float, float] | None, n_read: int, n_written: int) -> Note:
    if price is None:
        return note("draft.no_price")
    return note("draft.usd", usd=_usd(price, n_read, n_written))


def _usd(price: tuple[float, float], n_read: int, n_written: int) -> float:
    return round((price[0] * n_read + price[1] * n_written) / _MILLION, 4)


def _made_by(
    settings: LlmSettings,
    prompts: Prompts,
    styles: Sequence[str],
    n_passages: int,
    answers: Sequence[Call | None],
    new_calls: Sequence[Call],
) -> dict[str, Any]:
    calls = [call for call in answers if call is not None]
    n_read = _tokens(calls, "n_tokens_read")
    n_written = _tokens(calls, "n_tokens_written")
    usd = None
    if settings.price is not None and n_read is not None and n_written is not None:
        usd = _usd(settings.price, n_read, n_written)
    return {
        "model": settings.name,
        "served": sorted({call.served for call in calls}),
        "address_sha256": hashlib.sha256(settings.base_url.encode()).hexdigest(),
        "prompts": settings.prompts.name if settings.prompts else "kemb's own",
        "prompts_sha256": prompts.sha256,
        "styles": list(styles),
        "n_passages": n_passages,
        "n_passages_drawn": len(answers),
        "n_calls": len(calls),
        "n_calls_of_this_command": len(new_calls),
        "n_tokens_read": n_read,
        "n_tokens_written": n_written,
        "price_per_million_tokens": list(settings.price) if settings.price else None,
        "usd": usd,
    }


def _tokens(calls: Sequence[Call], name: str) -> int | None:
    """Tokens as the endpoint counts them; None where it did not count them all: a cost from guessed
    tokens is no cost.
    """
    counts = [getattr(call, name) for call in calls]
    return None if None in counts else sum(counts)


def _after(new_calls: Sequence[Call], price: tuple[float, float] | None) -> Note:
    """What this command asked and what that cost; answers of earlier ones are not in it."""
    n_read, n_written = _tokens(new_calls, "n_tokens_read"), _tokens(new_calls, "n_tokens_written")
    if n_read is None or n_written is None:
        tokens, cost = note("draft.no_tokens"), note("draft.no_price")
    else:
        tokens = note("draft.tokens", n_read=n_read, n_written=n_written)
        cost = _cost(price, n_read, n_written)
    return note("draft.after", n_calls=len(new_calls), tokens=tokens, cost=cost)
