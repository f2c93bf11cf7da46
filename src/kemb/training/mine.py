"""Hard negatives from a teacher's ranking, and how many of them are false.

`rank` counts places of the teacher's whole ranking, positives included, as FlagEmbedding's hn_mine
    does;
sentence-transformers' `range_min` counts after positives and filtered documents are gone.
docs/mining.md has the differences. Nothing depends on the order of rows: ties go by text, samples
are drawn per row.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kemb.arrays import FloatArray, IntArray
from kemb.errors import DataError
from kemb.training.data import negative_columns
from kemb.training.sections import MarginSection, MineSection
from kemb.training.shingles import normal_form
from kemb.training.teachers import Ranked, Ranker, Scorer

FILTERS = (
    "positive",
    "same text",
    "other positive of the query",
    "same group",
    "above max_score",
    "below min_score",
    "within absolute margin",
    "within relative margin",
    "repeated text",
)
"""Why a candidate is none, in the order in which it is asked; each candidate counts under the
first.
"""
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MiningReport:
    """What mining found, and what it left out."""

    teacher: str
    rerank: str
    n_rows: int
    n_queries: int
    n_documents: int
    n_candidates: int
    """Documents in the rank range, over all rows."""
    dropped: dict[str, int]
    """Filter -> candidates."""
    n_left: int
    n_negatives: int
    found: dict[int, int]
    """Negatives -> rows that got so many."""
    n_kept_rows: int
    mean_positive_score: float
    mean_negative_score: float | None
    mean_rank: float | None
    """Of the negatives, from 0; None where there is none."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Probe:
    """How mining does where the truth is known."""

    n_queries: int
    n_negatives: int
    n_false: int
    report: MiningReport

    @property
    def rate(self) -> float:
        """Share of the negatives that are positives."""
        return self.n_false / self.n_negatives if self.n_negatives else 0.0


@dataclass(frozen=True, slots=True)
class _Corpus:
    """The documents and rows as numbers."""

    texts: list[str]
    forms: IntArray
    """[n_documents]: number of the normal form."""
    form_of: dict[str, int]
    queries: list[str]
    query: IntArray
    """[n_rows]."""
    positive: IntArray
    """[n_rows]: number of the document."""
    group_members: list[IntArray | None]
    """[n_rows]: documents of the row's group, ascending."""
    positive_forms: list[frozenset[int]]
    """[n_queries]: normal forms of all positives of the query."""


def mine(
    table: pa.Table,
    section: MineSection,
    ranker: Ranker,
    corpus: Sequence[str] | None = None,
    *,
    scorer: Scorer | None = None,
    seed: int = 42,
) -> tuple[pa.Table, MiningReport]:
    """Add negatives to the rows of a table of pairs.

    :param table: as `data.load_pairs`; negatives it has stay, the new ones come after them.
    :param ranker: the teacher (`rankers.ranker_of`).
    :param corpus: documents beside the table's own; with None only those.
    :param scorer: a cross-encoder that scores the rank range and the positives again; ranks stay
        the teacher's.
    :return: the table with negative_n columns, null where fewer were found (`on_few = "keep"`),
        and, if asked for, positive_score and negative_n_score of the new ones; rows in their order.
    :raises DataError: when there is no row, or no row gets its negatives.
    """
    if not table.num_rows:
        raise DataError("There is no row to mine negatives for.")
    documents = _corpus(table, corpus or ())
    pairs = np.unique(np.stack([documents.query, documents.positive], axis=1), axis=0)
    ranked = ranker(
        documents.queries, documents.texts, min(section.rank.max, len(documents.texts)), pairs
    )
    ranked = _window(ranked, section.rank.min)
    if scorer is not None:
        ranked = _rescored(ranked, pairs, documents, scorer)
    choice = _Choice(section, documents, ranked, pairs, seed)
    rows = [choice.of_row(row) for row in range(table.num_rows)]
    enough = np.array(
        [section.on_few == "keep" or len(negatives) == section.negatives for negatives, _ in rows],
        dtype=bool,
    )
    report = _report(section, documents, choice, rows, enough)
    if not enough.any():
        raise _no_negatives(section, report)
    return _with_negatives(table, section, documents, choice, rows).filter(pa.array(enough)), report


def _no_negatives(section: MineSection, report: MiningReport) -> DataError:
    if not report.n_candidates:
        return DataError(
            f"No row gets {section.negatives} negatives: among {report.n_documents:,} documents "
            f"{report.teacher} has none at the places {section.rank.min} to "
            f"{section.rank.max - 1} of any query's ranking. Lower mine.rank.min, or name more "
            'documents under mine.corpus; on_few = "keep" keeps rows without.'
        )
    most = max(report.dropped, key=lambda name: report.dropped[name], default="")
    return DataError(
        f"No row gets {section.negatives} negatives: of {report.n_candidates:,} candidates "
        f"{report.n_left:,} are left{f', most went as {most}' if most else ''}. Widen mine.rank or "
        'loosen mine.margin, or type on_few = "keep".'
    )


def probe(
    groups: Mapping[str, Sequence[str]],
    section: MineSection,
    ranker: Ranker,
    *,
    scorer: Scorer | None = None,
) -> Probe:
    """The share of false negatives where every text of a group is a positive of every other one.

    The first text of a group asks, the second is its only known positive, and the others are hidden
    in the corpus of all texts, as positives that nobody labelled are.

    :param groups: texts by group, two or more each (ParaKQC has 1000 groups of 10).
    """
    small = [name for name, texts in groups.items() if len(set(texts)) < 2]
    if small or not groups:
        raise DataError(
            "A probe needs groups of at least two texts; "
            f"{', '.join(small[:3]) or 'there is none'} has not."
        )
    table = pa.table(
        {
            "anchor": [texts[0] for texts in groups.values()],
            "positive": [
                next(text for text in texts if text != texts[0]) for texts in groups.values()
            ],
            "group": pa.nulls(len(groups), pa.string()),
            "source": ["probe"] * len(groups),
        }
    )
    probe_section = section.model_copy(update={"on_few": "keep", "scores": False})
    corpus = sorted({text for texts in groups.values() for text in texts})
    mined, report = mine(table, probe_section, ranker, corpus, scorer=scorer)
    n_false = n_negatives = 0
    columns = [mined[name].to_pylist() for name in negative_columns(mined)]
    for texts, negatives in zip(groups.values(), zip(*columns, strict=True), strict=True):
        row_negatives = [negative for negative in negatives if negative is not None]
        n_negatives += len(row_negatives)
        n_false += len([negative for negative in row_negatives if negative in set(texts)])
    return Probe(len(groups), n_negatives, n_false, report)


def _corpus(table: pa.Table, more: Sequence[str]) -> _Corpus:
    anchors, positives = table["anchor"].to_pylist(), table["positive"].to_pylist()
    negatives = {
        text
        for name in negative_columns(table)
        for text in table[name].to_pylist()
        if text is not None
    }
    texts = sorted({*positives, *negatives, *more})
    place = {text: number for number, text in enumerate(texts)}
    queries = sorted(set(anchors))
    query_place = {text: number for number, text in enumerate(queries)}
    form_of: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for text in (*texts, *queries):
        form_of[text] = numbers.setdefault(normal_form(text) or text, len(numbers))
    by_form: dict[int, set[int]] = {}
    for anchor, positive in zip(anchors, positives, strict=True):
        by_form.setdefault(form_of[anchor], set()).add(form_of[positive])
    groups: dict[tuple[str, str], set[int]] = {}
    places = list(zip(table["source"].to_pylist(), table["group"].to_pylist(), strict=True))
    for name, anchor, positive in zip(places, anchors, positives, strict=True):
        if name[1] is not None:
            groups.setdefault(name, set()).update(
                place[text] for text in (anchor, positive) if text in place
            )
    members = {
        name: np.array(sorted(member_places), dtype=np.int64)
        for name, member_places in groups.items()
    }
    return _Corpus(
        texts,
        np.array([form_of[text] for text in texts], dtype=np.int64),
        form_of,
        queries,
        np.array([query_place[text] for text in anchors], dtype=np.int64),
        np.array([place[text] for text in positives], dtype=np.int64),
        [members.get(name) for name in places],
        [frozenset(by_form[form_of[text]]) for text in queries],
    )


def _window(ranked: Ranked, start: int) -> Ranked:
    return Ranked(ranked.indices[:, start:], ranked.scores[:, start:], ranked.pair_scores)


def _rescored(ranked: Ranked, pairs: IntArray, corpus: _Corpus, scorer: Scorer) -> Ranked:
    """With a cross-encoder's scores; documents stay at their places."""
    query, place = np.nonzero(ranked.indices >= 0)
    text_pairs = [
        *zip(query.tolist(), ranked.indices[query, place].tolist(), strict=True),
        *map(tuple, pairs.tolist()),
    ]
    pair_scores = scorer([(corpus.queries[q], corpus.texts[d]) for q, d in text_pairs])
    scores = np.full(ranked.scores.shape, -np.inf, dtype=np.float32)
    scores[query, place] = pair_scores[: len(query)]
    return Ranked(ranked.indices, scores, np.asarray(pair_scores[len(query) :], dtype=np.float32))


class _Choice:
    """Picks the negatives of one row after the other, and counts."""

    def __init__(
        self, section: MineSection, corpus: _Corpus, ranked: Ranked, pairs: IntArray, seed: int
    ) -> None:
        self.section, self.corpus, self.ranked, self.seed = section, corpus, ranked, seed
        self.dropped: Counter[str] = Counter()
        self.n_candidates = 0
        least = np.full(len(corpus.queries), np.inf, dtype=np.float32)
        np.minimum.at(least, pairs[:, 0], ranked.pair_scores)
        self.least_positive = least
        """Score [n_queries] of the least similar positive, the one a margin is counted from."""
        self.positive_scores = dict(
            zip(map(tuple, pairs.tolist()), ranked.pair_scores.tolist(), strict=True)
        )

    def positive_score(self, row: int) -> float:
        """The score of the row's own positive."""
        return float(
            self.positive_scores[int(self.corpus.query[row]), int(self.corpus.positive[row])]
        )

    def of_row(self, row: int) -> tuple[IntArray, FloatArray]:
        """Places [n] in the window of ranks, best first, and scores [n] of the row's negatives."""
        query = int(self.corpus.query[row])
        places = np.flatnonzero(self.ranked.indices[query] >= 0)
        documents, scores = self.ranked.indices[query, places], self.ranked.scores[query, places]
        self.n_candidates += len(places)
        is_eligible = np.ones(len(places), dtype=bool)
        for name, bad in self._masks(row, query, documents, scores):
            self.dropped[name] += int((is_eligible & bad).sum())
            is_eligible &= ~bad
        is_eligible = self._first_of_each_text(documents, is_eligible)
        order = np.flatnonzero(is_eligible)
        order = order[np.argsort(-scores[order], kind="stable")]
        order = self._pick(row, order)
        return places[order], scores[order]

    def _masks(
        self, row: int, query: int, documents: IntArray, scores: FloatArray
    ) -> list[tuple[str, Bools]]:
        flags, corpus = self.section.false_negatives, self.corpus
        forms = corpus.forms[documents]
        none = np.zeros(len(documents), dtype=bool)
        query_forms = [corpus.form_of[corpus.queries[query]], corpus.forms[corpus.positive[row]]]
        group = corpus.group_members[row]
        masks = {
            "positive": documents == corpus.positive[row],
            "same text": np.isin(forms, query_forms) if flags.same_normalized_text else none,
            "other positive of the query": np.isin(forms, list(corpus.positive_forms[query]))
            if flags.other_positives_of_query
            else none,
            "same group": np.isin(documents, group)
            if flags.same_group and group is not None
            else none,
            **_margins(scores, float(self.least_positive[query]), self.section.margin),
        }
        return list(masks.items())

    def _first_of_each_text(self, documents: IntArray, is_eligible: Bools) -> Bools:
        if not self.section.false_negatives.same_normalized_text:
            return is_eligible
        places = np.flatnonzero(is_eligible)
        _, first = np.unique(self.corpus.forms[documents[places]], return_index=True)
        is_first = np.zeros(len(is_eligible), dtype=bool)
        is_first[places[first]] = True
        self.dropped["repeated text"] += len(places) - len(first)
        return is_first

    def _pick(self, row: int, order: IntArray) -> IntArray:
        n = self.section.negatives
        if self.section.sampling == "top" or len(order) <= n:
            return order[:n]
        texts = (
            self.corpus.queries[self.corpus.query[row]],
            self.corpus.texts[self.corpus.positive[row]],
        )
        seed = hashlib.blake2b(
            repr((self.seed, *texts)).encode("utf-8", "backslashreplace"), digest_size=16
        ).digest()
        random = np.random.default_rng(int.from_bytes(seed, "little"))
        return order[np.sort(random.choice(len(order), size=n, replace=False))]


def _margins(scores: FloatArray, positive: float, margin: MarginSection) -> dict[str, Bools]:
    """Which candidates are too near to the positive, or out of bounds.

    The relative margin is counted from |positive|: a share of the score itself would raise the
    bound of a negative one.
    """
    none = np.zeros(len(scores), dtype=bool)
    absolute, relative = margin.absolute, margin.relative
    return {
        "above max_score": scores > margin.max_score if margin.max_score is not None else none,
        "below min_score": scores < margin.min_score if margin.min_score is not None else none,
        "within absolute margin": scores > positive - absolute if absolute is not None else none,
        "within relative margin": scores > positive - abs(positive) * relative
        if relative is not None
        else none,
    }


def _report(
    section: MineSection,
    corpus: _Corpus,
    choice: _Choice,
    rows: Sequence[tuple[IntArray, FloatArray]],
    enough: Bools,
) -> MiningReport:
    places = np.concatenate([row_places for row_places, _ in rows])
    scores = np.concatenate([row_scores for _, row_scores in rows])
    positives = [choice.positive_score(row) for row in range(len(rows))]
    return MiningReport(
        section.teacher.id,
        section.rerank.id if section.rerank else "",
        len(rows),
        len(corpus.queries),
        len(corpus.texts),
        choice.n_candidates,
        {name: choice.dropped[name] for name in FILTERS if choice.dropped[name]},
        choice.n_candidates - choice.dropped.total(),
        len(places),
        dict(sorted(Counter(len(row_places) for row_places, _ in rows).items())),
        int(enough.sum()),
        float(np.mean(positives)),
        float(scores.mean()) if len(scores) else None,
        float(places.mean()) + section.rank.min if len(places) else None,
    )


def _with_negatives(
    table: pa.Table,
    section: MineSection,
    corpus: _Corpus,
    choice: _Choice,
    rows: Sequence[tuple[IntArray, FloatArray]],
) -> pa.Table:
    before = len(negative_columns(table))
    indices = choice.ranked.indices
    for n in range(section.negatives):
        texts = [
            corpus.texts[indices[corpus.query[row], row_places[n]]] if n < len(row_places) else None
            for row, (row_places, _) in enumerate(rows)
        ]
        table = table.append_column(f"negative_{before + n + 1}", pa.array(texts, pa.string()))
    if section.scores:
        positive = [choice.positive_score(row) for row in range(len(rows))]
        table = table.append_column("positive_score", pa.array(positive, pa.float64()))
        for n in range(section.negatives):
            scores = [
                float(row_scores[n]) if n < len(row_scores) else None for _, row_scores in rows
            ]
            table = table.append_column(
                f"negative_{before + n + 1}_score", pa.array(scores, pa.float64())
            )
    return table
