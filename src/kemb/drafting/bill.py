"""What the calls of a language model will cost, and did: said before the first of them and after
the last, and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from kemb.drafting.calls import Call
from kemb.drafting.llm import LlmSettings, Todo, guessed_cost, is_this_machine
from kemb.errors import UsageError
from kemb.messages import Note, note

_MILLION = 1_000_000


def announce(
    todos: Sequence[Todo], n_kept: int, settings: LlmSettings, source: str, n_answers: int = 1
) -> None:
    """Say what will be sent and what it will cost; to another machine only with consent.

    :param todos: the calls that are to be made.
    :param n_kept: calls that were answered before.
    :param source: the name of the folder whose text is sent.
    :param n_answers: questions or verdicts that a call asks for.
    :raises UsageError: nobody consented that text leaves this machine.
    """
    n_characters, n_read, n_written = guessed_cost(todos, n_answers)
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


def bill_of(
    settings: LlmSettings,
    prompts_sha256: str,
    answers: Sequence[Call | None],
    paid: Sequence[Call],
) -> dict[str, Any]:
    """Who was asked, by which prompts, and what that cost, as a record keeps it.

    :param answers: to all that was wanted; None where there is none.
    :param paid: those of this command.
    """
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
        "prompts_sha256": prompts_sha256,
        "n_calls": len(calls),
        "n_calls_of_this_command": len(paid),
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


def after(paid: Sequence[Call], price: tuple[float, float] | None) -> Note:
    """What this command asked and what that cost; answers of earlier ones are not in it."""
    n_read, n_written = _tokens(paid, "n_tokens_read"), _tokens(paid, "n_tokens_written")
    if n_read is None or n_written is None:
        tokens, cost = note("draft.no_tokens"), note("draft.no_price")
    else:
        tokens = note("draft.tokens", n_read=n_read, n_written=n_written)
        cost = _cost(price, n_read, n_written)
    return note("draft.after", n_calls=len(paid), tokens=tokens, cost=cost)
