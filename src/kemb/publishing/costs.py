"""What a row costs beside its scores: size, index, tokens, speed, money. As recorded, never
guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kemb.boards import Row
from kemb.encoding.lengths import TRUNCATED, korean_tokens, truncated
from kemb.models.facts import facts_of
from kemb.models.families import FAMILIES
from kemb.results.record import JudgedRecord, Record
from kemb.scoring.ties import TIES

MIN_TEXTS = 200
"""A rate of fewer encoded texts says little."""
CUT = "✂"
"""Behind a score that stands on truncated texts."""
DOUBT = "⚠"
"""Behind a score of data that `kemb check` warns of, or of ties, and behind a model of whose files
something must be known.
"""
DRAFTED = "✎"
"""Behind a score of questions that were drafted from the documents."""
JUDGE = "⚖"
"""Behind a score of data that a language model has judged, whether its labels count or not."""


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
    records = [result.kemb for result in row.results.values() if result.kemb is not None]
    commands = _commands(records)
    families = [record.family for record in records if record.family]
    sizes = [
        record.index_bytes_per_document for record in records if record.index_bytes_per_document
    ]
    n_loaded = [record.loaded.n_parameters for record in records if record.loaded]
    fast = max((record for record in commands if _rate(record)), key=_rate, default=None)
    shares = [share for record in records if (share := truncated(record)) is not None]
    encoded = [record.encoded for record in commands if record.encoded is not None]
    on = fast or (records[0] if records else None)
    return Cost(
        family=facts.kind or next((FAMILIES[name].kind or name for name in families), ""),
        n_parameters=facts.n_parameters or next(iter(n_loaded), None),
        index_bytes_per_document=round(fmean(sizes), 1) if sizes else None,
        tokens_per_1000_korean=korean_tokens(records) or _billed(commands),
        truncated=max(shares, default=None),
        texts_per_second=_rate(fast) if fast else None,
        tokens_per_second=_tokens_per_second(fast) if fast else None,
        encode_seconds=_seconds(commands),
        hardware=hardware(on) if on else "",
        from_store=bool(encoded) and not any(texts.n_encoded for texts in encoded),
        usd=_paid(commands),
        price=_price(commands),
    )


def _commands(records: Sequence[Record]) -> list[Record]:
    """One record of each command, which encodes for all its tasks at once; a reranker works task by
    task.
    """
    if any(record.family == "cross-encoder" for record in records):
        return list(records)
    return list({(record.started, record.command): record for record in records}.values())


def _seconds(commands: Sequence[Record]) -> float | None:
    """Spent on encoding; None of a reranked stage, whose records do not tell the two models
    apart.
    """
    if any(record.family == "pipeline" for record in commands):
        return None
    return round(sum(record.seconds.encode or 0 for record in commands), 3) or None


def _tokens_per_second(record: Record) -> float | None:
    """None where the record's tokens are not those of a tokenizer or of an API, but characters or
    a guess.
    """
    is_counted = record.lengths or (record.api and record.api.n_tokens_guessed == 0)
    if not is_counted or record.encoded is None or not record.seconds.encode:
        return None
    return record.encoded.n_tokens / record.seconds.encode


def hardware(record: Record) -> str:
    """Processor or accelerator of a measured result, in one line."""
    place = record.hardware
    if place is None:
        return ""
    return place.gpu or f"{place.cpu} x {'?' if place.n_cores is None else place.n_cores}"


def is_cut(record: Record | None) -> bool:
    """Whether so many texts of a task were truncated that its score is marked."""
    share = truncated(record) if record else None
    return share is not None and share > TRUNCATED


def judged_of(row: Row) -> JudgedRecord | None:
    """What of a row's rankings was judged, mean over the parts of drafted tasks; None where it has
    none.
    """
    records = [result.kemb for result in row.results.values() if result.kemb is not None]
    parts = [part for record in records for part in record.judged.values()]
    if not parts:
        return None
    scores = [part.condensed for part in parts if part.condensed is not None]
    return JudgedRecord(
        at_10=fmean(part.at_10 for part in parts),
        condensed=fmean(scores) if len(scores) == len(parts) else None,
    )


def n_tied(record: Record) -> int:
    """Different texts, or queries, that a model could not tell apart, where they are so many that
    they are recorded.
    """
    counts = [note.get(name, 0) for note in record.score_notes.values() for name in TIES]
    return max(counts, default=0)


def _rate(record: Record) -> float:
    """Texts per second; 0 where too few were encoded."""
    n = record.encoded.n_encoded if record.encoded else 0
    seconds = record.seconds.encode
    return n / seconds if n >= MIN_TEXTS and seconds else 0.0


def _billed(commands: Sequence[Record]) -> float | None:
    """Of an API: the tokens that it billed, where all that it was sent was Korean."""
    billed = [record.api.korean for record in commands if record.api and record.api.korean]
    n_chars = sum(korean.n_chars for korean in billed)
    return 1000 * sum(korean.n_tokens for korean in billed) / n_chars if n_chars else None


def _paid(commands: Sequence[Record]) -> float | None:
    """By the commands that encoded; those that found every vector in the store paid nothing."""
    prices = [
        record.api.usd
        for record in commands
        if record.api and record.encoded and record.encoded.n_encoded
    ]
    known_prices = [usd for usd in prices if usd is not None]
    return (
        round(sum(known_prices), 6) if known_prices and len(known_prices) == len(prices) else None
    )


def _price(commands: Sequence[Record]) -> str:
    priced = [
        record.api
        for record in commands
        if record.api and record.api.usd_per_million_tokens is not None
    ]
    if not priced:
        return ""
    last = priced[-1]
    where = ", ".join(filter(None, [last.price_date, last.price_source]))
    return f"${last.usd_per_million_tokens:g} per million tokens{f' ({where})' if where else ''}"
