"""The data that the site's script reads: written as `kembData("<name>", {...})` scripts, typed for
TypeScript.

    data/site.js             SiteData        every page
    data/board-<slug>.js     BoardData       the board's page, compare and choose
    data/draws-<slug>.js     ReplicateData   on demand: weight sliders, differences of two rows
    data/cards-<slug>.js     CardData        on demand: what lies behind every number
    data/items-<slug>.js     ItemData        on demand: items that two rows answer differently
    data/snippets.js         SnippetData     on demand: code for every model

`tools/site_types.py` writes `frontend/src/schema.ts` from these models. Scores are fractions at
    full precision.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Data):
    """A text that readers see."""

    ko: str
    en: str


class ModelData(_Data):
    """Facts of a model; null or '' where nothing is known."""

    slug: str
    """`model/<slug>.html`."""
    name: str
    kind: str
    n_parameters: int | None
    dim: int | None
    truncate_dims: list[int]
    max_tokens: int | None
    license: str
    license_class: str
    """commercial, conditional, noncommercial, closed or ''."""
    open_weights: bool | None
    needs_prompt: bool | None
    released: str
    texts_per_second: float | None
    """Best measured rate of encoding, on `hardware`."""
    hardware: str


class BoardRef(_Data):
    """A board of the site."""

    slug: str
    title: Named
    href: str
    """From the root of one language: `index.html` or `board/<slug>.html`."""
    n_ranked: int
    n_rows: int


class SiteData(_Data):
    """What every page needs."""

    schema_version: int
    title: Named
    boards: list[BoardRef]
    models: list[ModelData]
    snapshots: list[SnapshotRef]


class SnapshotRef(_Data):
    """An older state of the boards, readable at `at/<id>/<board slug>.html`."""

    id: str
    date: str
    boards: list[str]
    """Slugs of the boards that it holds."""


class GroupData(_Data):
    """A group of tasks."""

    key: str
    title: Named
    weight: float
    """Its share in the formula; all together sum to what the formula's weights sum to."""


class CellData(_Data):
    """A column: one task under one metric."""

    title: str
    task: str
    slug: str
    """`task/<slug>.html`, `data/items-<slug>.js`."""
    group: int
    """Place in `groups`."""
    weight: float
    metric: str
    has_items: bool


class CostData(_Data):
    """What a measured row costs beside its scores; null or '' where nothing is recorded."""

    family: str
    n_parameters: int | None
    index_bytes_per_document: float | None
    tokens_per_1000_korean: float | None
    """Tokens per 1,000 characters of Korean text."""
    truncated: float | None
    """The greatest share of truncated texts of any task's column."""
    texts_per_second: float | None
    tokens_per_second: float | None
    encode_seconds: float | None
    hardware: str
    from_store: bool
    """Whether no command of the row measured its speed, as all vectors were stored."""
    usd: float | None
    price: str


class RowData(_Data):
    """A row of a board; `tr[data-row]` holds its place in `rows`."""

    id: str
    """Stable and unique on the site; used in URLs and in element ids."""
    model: int
    """Place in `SiteData.models`."""
    label: str
    """Name with variant, and revision where needed."""
    mark: str
    """Of a claimed row, explained below its board."""
    source: str
    """Who claims the numbers; '' for measured ones."""
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    score: float | None
    low: float | None
    high: float | None
    win_rate: float | None
    """Of rows below the line, on the tasks they have."""
    cells: list[float | None]
    groups: list[float | None]
    cut: list[int]
    """Places of the cells whose texts were truncated so often that the score is marked."""
    cost: CostData | None
    """None of claimed rows."""


class BoardData(_Data):
    """One board: complete rows in order, then those below the line."""

    schema_version: int
    slug: str
    title: Named
    groups: list[GroupData]
    cells: list[CellData]
    rows: list[RowData]
    n_ranked: int
    """The first so many rows are complete."""
    mode: Literal["items", "tasks", "none"]
    level: float
    zone: float
    """Differences inside +-zone are practically equal."""
    better: str
    """Which ranked row (row) is certainly better than which (column), jointly over all pairs:
    base64 of bits [n_ranked, n_ranked], the lowest bit of a byte first; '' without intervals.
    """


class ReplicateData(_Data):
    """Resamples of a board: of items, or of tasks.

    `items`: base64 of little-endian int16 [n_replicates, n_cells, n_ranked], scores times `scale`.
    `tasks`: base64 of uint8 [n_replicates, n_cells], how often each task was drawn inside its
        stratum; with weights w
    a replicate weighs the tasks of a stratum by counts x w, scaled so that the stratum keeps its
    sum of w.
    """

    slug: str
    mode: Literal["items", "tasks"]
    n_replicates: int
    scale: float
    strata: list[int]
    """Stratum of every cell; only of `tasks`."""
    values: str


class PromptData(_Data):
    """What is put before the texts of one role."""

    role: str
    prompt: str
    route: str
    source: str


class OtherValue(_Data):
    """The same cell by another source."""

    source: str
    value: float
    href: str


class LengthData(_Data):
    """The lengths of one column of a task's texts (queries, documents, ...), in tokens."""

    column: str
    n_texts: int
    n_truncated: int | None
    """Those that are longer than the model reads; null where it has no limit."""
    longest: int


class Card(_Data):
    """What lies behind a number."""

    row: int
    cell: int
    value: float
    low: float | None
    high: float | None
    metric: str
    model_revision: str
    dataset_revision: str
    data_sha256: list[str]
    n_items: int | None
    prompts: list[PromptData] | None
    """None where nobody recorded them."""
    max_tokens: int | None
    lengths: list[LengthData]
    dtype: str
    similarity: str
    versions: dict[str, str]
    hardware: str
    encode_seconds: float | None
    """Of the command, for all its tasks; null where every vector was stored."""
    from_store: bool
    score_seconds: float | None
    date: str
    command: str
    source: str
    url: str
    commit: str
    others: list[OtherValue]


class CardData(_Data):
    """The cards of a board."""

    slug: str
    cards: list[Card]


class ItemPart(_Data):
    """Items of one (split, subset): how well each measured row does on each."""

    split: str
    subset: str
    ids: list[str]
    texts: list[str]
    """Beginning of the query or text, where the licence allows to show it; else empty."""
    values: dict[str, list[float]]
    """Row id -> one value per item, 0 to 1, two decimals."""


class ItemData(_Data):
    """Items of one task."""

    slug: str
    task: str
    meaning: Named
    """What a value is."""
    parts: list[ItemPart]
    n_left_out: int
    """Items beyond the limit of a page."""


class Snippet(_Data):
    """Code to copy."""

    name: str
    """sentence-transformers, transformers, LangChain, TEI, vLLM, kemb."""
    code: str


class SnippetData(_Data):
    """Model slug -> snippets."""

    models: dict[str, list[Snippet]]


SiteData.model_rebuild()
ALL: list[type[BaseModel]] = [SiteData, BoardData, ReplicateData, CardData, ItemData, SnippetData]
"""The scripts' contents, for the generator of the TypeScript types."""
