"""What a row costs beside its scores: size, index, tokens, speed, money. As recorded, never
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kemb.boards import Row
from kemb.encoding.lengths import TRUNCATED, korean_tokens, truncated
from kemb.models.facts import facts_of
from kemb.models.families import FAMILIES

MIN_TEXTS = 200
"""A rate of fewer encoded texts says little."""
CUT = "✂"
"""Behind a score that stands on truncated texts."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of one row; None or '' where nothing is recorded."""

    family: str
    """What a reader is told that the model is: a key of `kemb.models.families.KINDS`, or `run`."""
    n_parameters: int | None
    index_bytes_per_document: float | None
    """Mean over the tasks."""
    tokens_per_1000_korean: float | None
    """Tokens per 1,000 characters of Korean text."""
    truncated: float | None
    """Share of texts that were cut, of the column (queries, documents, ...) of the task where it is
    greatest.
    """
    texts_per_second: float | None
    """Encoded, on `hardware`."""
    tokens_per_second: float | None
    encode_seconds: float | None
    """Of all commands together."""
    hardware: str
    from_store: bool
    """Whether all vectors were there already, so that no command measured how long encoding takes.
    """
    usd: float | None
    """What an API was paid, by the endpoint's own count of tokens and the declared price."""
    price: str
    """Of a million tokens, with its date and source."""


def cost_of(row: Row) -> Cost:
    """The costs of a row: of measured ones from their records, of claimed ones what is known of the
    model.
    """
    facts = facts_of(row.model)
    records = [result.kemb for result in row.results.values() if result.kemb]
    commands = _commands(records)
    families = [str(record["family"]) for record in records if record.get("family")]
    sizes = [
        float(record["index_bytes_per_document"])
        for record in records
        if record.get("index_bytes_per_document")
    ]
    loaded: Mapping[str, int] = next(
        (record["loaded"] for record in records if record.get("loaded")), {}
    )
    fast = max((record for record in commands if _rate(record)), key=_rate, default={})
    tokens = fast.get("encoded", {}).get("n_tokens", 0)
    shares = [share for record in records if (share := truncated(record)) is not None]
    encoded = [record["encoded"] for record in commands if record.get("encoded")]
    return Cost(
        family=facts.kind or next((FAMILIES[name].kind or name for name in families), ""),
        n_parameters=facts.n_parameters or loaded.get("n_parameters"),
        index_bytes_per_document=round(fmean(sizes), 1) if sizes else None,
        tokens_per_1000_korean=korean_tokens(records) or _billed(commands),
        truncated=max(shares, default=None),
        texts_per_second=_rate(fast) or None,
        tokens_per_second=tokens / fast["seconds"]["encode"] if _counts_tokens(fast) else None,
        encode_seconds=_seconds(commands),
        hardware=hardware(fast or (records[0] if records else {})),
        from_store=bool(encoded) and not any(found.get("n_encoded") for found in encoded),
        usd=_paid(commands),
        price=_price(commands),
    )


def _commands(records: Sequence[Record]) -> list[Record]:
    """One record of each command, which encodes for all its tasks at once; a reranker works task by
    task.
    """
    if any(record.get("family") == "cross-encoder" for record in records):
        return list(records)
    return list(
        {(record.get("started"), record.get("command")): record for record in records}.values()
    )


def _seconds(commands: Sequence[Record]) -> float | None:
    """Spent on encoding; None of a reranked stage, whose records do not tell the two models
    apart.
    """
    if any(record.get("family") == "pipeline" for record in commands):
        return None
    return round(sum(record.get("seconds", {}).get("encode", 0) for record in commands), 3) or None


def _counts_tokens(record: Record) -> bool:
    """Whether the record's tokens are those of a tokenizer or of an API, not characters or
    a guess.
    """
    return bool(record.get("lengths")) or record.get("api", {}).get("n_tokens_guessed") == 0


def hardware(record: Record) -> str:
    """Processor or accelerator of a measured result, in one line."""
    found = record.get("hardware", {})
    if not found:
        return ""
    return str(found.get("gpu") or f"{found.get('cpu', '')} x {found.get('n_cores', '?')}")


def is_cut(record: Record) -> bool:
    """Whether so many texts of a task were truncated that its score is marked."""
    share = truncated(record)
    return share is not None and share > TRUNCATED


def _rate(record: Record) -> float:
    """Texts per second; 0 where too few were encoded."""
    n, seconds = (
        record.get("encoded", {}).get("n_encoded", 0),
        record.get("seconds", {}).get("encode", 0),
    )
    return n / seconds if n >= MIN_TEXTS and seconds else 0.0


def _billed(commands: Sequence[Record]) -> float | None:
    """Of an API: the tokens that it billed, where all that it was sent was Korean."""
    found = [record["api"]["korean"] for record in commands if record.get("api", {}).get("korean")]
    n_chars = sum(korean["n_chars"] for korean in found)
    return 1000 * sum(korean["n_tokens"] for korean in found) / n_chars if n_chars else None


def _paid(commands: Sequence[Record]) -> float | None:
    """By the commands that encoded; those that found every vector in the store paid nothing."""
    found = [
        record["api"].get("usd")
        for record in commands
        if record.get("api") and record.get("encoded", {}).get("n_encoded")
    ]
    return None if not found or None in found else round(sum(found), 6)


def _price(commands: Sequence[Record]) -> str:
    known = [
        record["api"]
        for record in commands
        if record.get("api", {}).get("usd_per_million_tokens") is not None
    ]
    if not known:
        return ""
    last = known[-1]
    where = ", ".join(filter(None, [last.get("price_date"), last.get("price_source")]))
    return f"${last['usd_per_million_tokens']:g} per million tokens{f' ({where})' if where else ''}"
