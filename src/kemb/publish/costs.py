"""What a row costs beside its scores: family, parameters, index size, speed of encoding. As recorded, never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from kemb.board import Row
from kemb.models.facts import facts_of

MIN_TEXTS = 200
"""A rate of fewer encoded texts says little."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of one row; None or '' where nothing is recorded."""

    family: str
    """dense, sparse, lexical, late-interaction, cross-encoder, fusion, pipeline or run."""
    n_parameters: int | None
    index_bytes_per_vector: int | None
    texts_per_second: float | None
    """Encoded, on the hardware of the record."""


def cost_of(row: Row) -> Cost:
    """The costs of a row: of measured ones from their records, of claimed ones what is known of the model."""
    facts = facts_of(row.model)
    records = [result.kemb for result in row.results.values() if result.kemb]
    families = [str(record["family"]) for record in records if record.get("family")]
    sizes = [int(record["index_bytes_per_vector"]) for record in records if record.get("index_bytes_per_vector")]
    rates = []
    for record in records:
        n, seconds = record.get("encoded", {}).get("n_encoded", 0), record.get("seconds", {}).get("encode", 0)
        if n >= MIN_TEXTS and seconds:
            rates.append(n / seconds)
    return Cost(
        families[0] if families else facts.kind,
        facts.n_parameters,
        max(sizes, default=None),
        max(rates, default=None),
    )
