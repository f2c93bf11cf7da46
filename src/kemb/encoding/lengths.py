"""How long the texts of a task are for a model's tokenizer: what is cut off, and what Korean costs.

Both come from the numbers of tokens that stand beside the vectors in the store, so they are the
same whether the vectors were made now or long ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from kemb.arrays import IntArray
from kemb.encoding import views
from kemb.encoding.collection import Texts
from kemb.encoding.plan import Encoded, Sources
from kemb.models.encoders.torch import split_pair
from kemb.models.model import Model
from kemb.results.record import BilledKorean, ColumnLengths, KoreanTexts, PartLengths, Record
from kemb.scoring.search.retrieve import Pairs

N_KOREAN = 2000
"""Unique texts of a column that the cost of Korean is taken from: those whose keys come first."""
TRUNCATED = 0.05
"""Share of a column's texts from which on a score is marked: a cut text is judged by its beginning.
"""
_NEARLY = 0.95

_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def is_korean(text: str) -> bool:
    """Whether at least half of a text's letters are Hangul."""
    n_hangul = sum(map(len, _HANGUL.findall(text)))
    return n_hangul > 0 and 2 * n_hangul >= sum(map(len, _LETTERS.findall(text)))


def measure(model: Model, encoded: Encoded, task: str) -> dict[str, PartLengths]:
    """Lengths of a task's texts by "<split>/<subset>", for the record; empty where the model shows
    no tokens.

    Each part holds by column `n_texts`, `n_truncated` (those of more tokens, with prompt and
    special tokens, than the model reads; None where it has no limit, or several) and `longest`; and
    as `korean` the number of unique Korean texts, their characters, and the tokens that they add to
    the prompt.
    """
    # Late interaction reads queries and documents up to different lengths.
    limit = None if model.family == "late-interaction" else encoded.space.facts().get("max_tokens")
    by_part: dict[str, dict[str, Texts]] = {}
    for (column_task, split, subset, name), texts in encoded.columns.items():
        if column_task == task and len(texts.keys):
            by_part.setdefault(f"{split}/{subset}", {})[name] = texts
    lengths_by_part: dict[str, PartLengths] = {}
    for part, columns in by_part.items():
        counts = {name: encoded.space.counts(texts.keys) for name, texts in columns.items()}
        if all((of_column >= 0).all() for of_column in counts.values()):
            korean = np.sum(
                [_korean(texts, counts[name][:, 1]) for name, texts in columns.items()], axis=0
            ).tolist()
            lengths_by_part[part] = PartLengths(
                columns={name: _lengths(tokens[:, 0], limit) for name, tokens in counts.items()},
                korean=KoreanTexts(n_texts=korean[0], n_chars=korean[1], n_tokens=korean[2]),
            )
    return lengths_by_part


def _lengths(counts: IntArray, limit: int | None) -> ColumnLengths:
    n_truncated = None if limit is None else int((counts > limit).sum())
    return ColumnLengths(n_texts=len(counts), n_truncated=n_truncated, longest=int(counts.max()))


def _korean(column: Texts, tokens: IntArray) -> tuple[int, int, int]:
    """Unique Korean texts of a column, their characters and tokens."""
    is_pair = isinstance(column.texts, Pairs)
    n_texts = n_chars = n_tokens = 0
    for row in np.unique(column.keys, return_index=True)[1][:N_KOREAN].tolist():
        text = "".join(split_pair(column.texts[row])) if is_pair else column.texts[row]
        if is_korean(text):
            n_texts, n_chars, n_tokens = (
                n_texts + 1,
                n_chars + len(text),
                n_tokens + int(tokens[row]),
            )
    return n_texts, n_chars, n_tokens


def billed_korean(encoded: Encoded) -> BilledKorean | None:
    """Characters sent to an API, and the tokens that it billed for them, where nearly all was
    Korean text.

    None unless this command sent every text, whole and without a prompt, and the endpoint counted
    every token.
    """
    progress = encoded.progress
    columns = encoded.columns.values()
    not_whole = progress.calls.get("n_cut") or progress.calls.get("n_tokens_guessed")
    if not progress.n_encoded or progress.n_encoded != progress.n_unique or not_whole:
        return None
    if any(column.prompt for column in columns):
        return None
    texts = {text for column in columns for text in column.texts}
    n_chars, n_korean = sum(map(len, texts)), sum(len(text) for text in texts if is_korean(text))
    if n_korean < _NEARLY * n_chars:
        return None
    return BilledKorean(n_chars=n_chars, n_tokens=progress.calls["n_tokens"])


def index_bytes(model: Model, sources: Sources, task: str) -> float | None:
    """Bytes of an index per document of a task; None where something of it is not known.

    A dense vector has 4 bytes per dimension, less in a view; a sparse one 8 per entry (int32,
    float32); late interaction 2 per dimension of a token (float16); an inverted index 8 per posting
    (int32, float32). Ids and whatever else an engine adds are not counted. Of a fusion it is the
    sum of its parts, of a reranked stage that stage's.
    """
    parts = _indexed(model)
    if not parts or any(part.family in ("run", "cross-encoder") for part in parts):
        return None
    is_inverted = any(part.family == "lexical" for part in parts)
    if is_inverted and not sources.n_postings:
        return None
    total = 8 * sources.n_postings / sources.n_documents if is_inverted else 0.0
    for part in parts:
        if part.family != "lexical":
            part_bytes = _stored_bytes(part, sources.encoded[part.identity], task)
            if part_bytes is None:
                return None
            total += part_bytes
    return round(total, 1)


def _indexed(model: Model) -> list[Model]:
    """The models whose documents are in an index."""
    match model.family:
        case "fusion":
            return [leaf for part in model.parts for leaf in _indexed(part)]
        case "pipeline":
            return _indexed(model.parts[0])
        case _:
            return [model]


def _stored_bytes(model: Model, encoded: Encoded, task: str) -> float | None:
    dim = encoded.space.dim()
    if dim is None:
        return None
    if model.family == "dense":
        return views.index_bytes(model.view, dim)
    document_lengths = [
        encoded.space.ragged(texts.keys).lengths()
        for (column_task, *_, name), texts in encoded.columns.items()
        if column_task == task and name == "documents"
    ]
    n_values = np.concatenate(document_lengths).mean() if document_lengths else np.nan
    return (
        None
        if np.isnan(n_values)
        else float(n_values) * (8 if model.family == "sparse" else 2 * dim)
    )


def lengths_of(record: Record) -> dict[str, ColumnLengths]:
    """The lengths of a result by column, over its splits and subsets."""
    by_column: dict[str, list[ColumnLengths]] = {}
    for part in record.lengths.values():
        for name, lengths in part.columns.items():
            by_column.setdefault(name, []).append(lengths)
    return {name: _total(parts) for name, parts in by_column.items()}


def _total(parts: Sequence[ColumnLengths]) -> ColumnLengths:
    n_truncated = [part.n_truncated for part in parts if part.n_truncated is not None]
    return ColumnLengths(
        n_texts=sum(part.n_texts for part in parts),
        n_truncated=sum(n_truncated) if len(n_truncated) == len(parts) else None,
        longest=max(part.longest for part in parts),
    )


def truncated(record: Record) -> float | None:
    """Of the columns of a result the greatest share of truncated texts, or the share of texts that
    an endpoint refused as too long and that were cut; None where neither is known.
    """
    shares = [
        column.n_truncated / column.n_texts
        for column in lengths_of(record).values()
        if column.n_truncated is not None and column.n_texts
    ]
    if record.api and record.api.n_cut and record.encoded and record.encoded.n_encoded:
        shares.append(record.api.n_cut / record.encoded.n_encoded)
    return max(shares, default=None)


def korean_tokens(records: Iterable[Record]) -> float | None:
    """Tokens per 1,000 characters of Korean over some results; None where nothing is known."""
    parts = [part.korean for record in records for part in record.lengths.values()]
    n_chars = sum(part.n_chars for part in parts)
    return 1000 * sum(part.n_tokens for part in parts) / n_chars if n_chars else None
