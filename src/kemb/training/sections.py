"""The sections of a recipe that say what is read, kept and mined; docs/data.md and docs/mining.md
explain every key.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kemb.hub import COMMIT

DataRole = Literal["retrieval", "similarity", "nli", "distill"]
Action = Literal["ignore", "report", "drop"]
ACTIONS: tuple[Action, ...] = ("ignore", "report", "drop")
"""From mild to strict."""
REGISTRY = "registry"
"""Among the names of [filters.contamination] against: the hashes of evaluation texts that kemb
ships.
"""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Files, or a split of a hub dataset."""

    file: str | None = None
    """A file or a pattern such as `data/*.parquet`, seen from the recipe's root: Parquet, JSONL,
    CSV, TSV.
    """
    hub: str | None = None
    """`org/name` of a dataset."""
    config: str = ""
    split: str = "train"
    revision: str = Field(default="main", pattern=rf"^(main|{COMMIT.pattern})$")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.file) == bool(self.hub):
            raise ValueError("a source has either `file` or `hub`")
        if self.file and self.model_fields_set & {"config", "split", "revision"}:
            raise ValueError("config, split and revision belong to a source with `hub`")
        return self


class Columns(Section):
    """Names of the columns in the source."""

    anchor: str = "anchor"
    positive: str = "positive"
    """Texts, or lists of texts: then every one makes a row."""
    negatives: list[str] = []
    """Columns of texts, or of lists of texts."""
    score: str | None = None
    group: str | None = None
    """Rows of one group are never negatives of each other, and are dropped together when one is
    contaminated.
    """


class DataSection(Section):
    """One source of pairs."""

    id: str = Field(min_length=1)
    source: Source
    columns: Columns = Columns()
    where: dict[str, str | int | float | bool] = {}
    """Only rows that have these values, for example {label = 1}."""
    role: DataRole = "retrieval"
    in_batch_negatives: bool = True
    license: str = Field(min_length=1)
    """An SPDX id, or `custom: <text>`."""
    limit: int | None = Field(default=None, ge=1)
    """The first rows only."""


class NormalizeSection(Section):
    unicode: Literal["nfc", "nfkc", "keep"] = "nfc"
    whitespace: Literal["squeeze", "keep"] = "squeeze"


class LengthSection(Section):
    """Least and greatest length of a text, both included."""

    unit: Literal["token", "char"] = "token"
    anchor: tuple[int, int] = (1, 512)
    positive: tuple[int, int] = (1, 512)
    """Of negatives, too."""
    on_long: Literal["truncate", "drop"] = "truncate"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (least, most) in (("anchor", self.anchor), ("positive", self.positive)):
            if not 0 <= least <= most or most < 1:
                raise ValueError(f"{name} must be [least, greatest], given [{least}, {most}]")
        return self


class NearDedupSection(Section):
    shingle: int = Field(default=5, ge=1, le=100)
    jaccard: float = Field(default=0.85, gt=0, le=1)


class DedupSection(Section):
    exact: bool = True
    near: NearDedupSection | None = None
    across: Literal["datasets", "source"] = "datasets"
    """Whether two sources may hold the same pair."""


class LanguageSection(Section):
    min_hangul: float = Field(ge=0, le=1)
    """Least share of Hangul among the letters of a text."""
    columns: list[Literal["anchor", "positive"]] = ["anchor", "positive"]


class NearLevel(Section):
    shingle: int = Field(default=5, ge=1, le=100)
    jaccard: float = Field(default=0.7, gt=0, le=1)
    action: Action = "drop"


class ContainmentLevel(Section):
    ngram_chars: int = Field(default=30, ge=10)
    action: Action = "report"


class LevelsSection(Section):
    """What is done about a text that an evaluation has, too, by how much of it is the same."""

    exact: Action = "drop"
    near: NearLevel = NearLevel()
    containment: ContainmentLevel = ContainmentLevel()
    lineage: Literal["ignore", "report"] = "report"


class SidesSection(Section):
    """The strictest that is done, by what the text is in the evaluation."""

    query: Action = "drop"
    """And texts of tasks without roles."""
    document: Action = "report"
    pair: Action = "drop"
    """Two texts of one row that stand together in an evaluation."""


class ContaminationSection(Section):
    against: list[str] = [REGISTRY]
    """Names of tasks, folders of own data, `registry`; the tasks the recipe evaluates on are added.
    """
    levels: LevelsSection = LevelsSection()
    sides: SidesSection = SidesSection()
    propagate: Literal["group", "none"] = "group"
    max_dropped: float = Field(default=0.2, ge=0, le=1)
    """Share of the rows; more ends the run, as the data is then the wrong data."""


class FiltersSection(Section):
    """Which rows are kept, and as what."""

    normalize: NormalizeSection = NormalizeSection()
    length: LengthSection | None = None
    dedup: DedupSection = DedupSection()
    empty_vector: Literal["drop", "keep"] = "drop"
    """Texts whose vector is zero: they make every weight NaN under some losses."""
    language: LanguageSection | None = None
    contamination: ContaminationSection = ContaminationSection()


class ExportSection(Section):
    """What is written of the model besides safetensors, and what a file must hold to be kept."""

    formats: list[Literal["safetensors", "onnx", "int8"]] = ["safetensors"]
    max_difference: float = Field(default=1e-4, gt=0)
    """Of ONNX to torch: between two numbers of vectors of length 1."""
    min_cosine: float = Field(default=0.9, ge=-1, le=1)
    """Of any file to torch: between the two vectors of one text."""
    tolerance: float = Field(default=1.0, ge=0)
    """Points by which int8 may be worse than torch on a task; the 95 % interval must lie above
    -tolerance.
    """

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if "safetensors" not in self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(
                'formats must hold "safetensors", the model itself, and every format once'
            )
        return self


class RankSection(Section):
    """The places of a teacher's ranking that negatives come from, counted from 0 with positives:
    [min, max).
    """

    min: int = Field(default=10, ge=0)
    max: int = Field(default=210, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"rank.min must be below rank.max, given {self.min} and {self.max}")
        return self


class MarginSection(Section):
    """How far below the least similar positive of its query a negative must be."""

    relative: float | None = Field(default=None, ge=0, lt=1)
    absolute: float | None = Field(default=None, ge=0)
    max_score: float | None = None
    min_score: float | None = None


class FalseNegativesSection(Section):
    """Which documents can not be negatives of a row, whatever their score."""

    same_group: bool = True
    same_normalized_text: bool = True
    other_positives_of_query: bool = True


class TeacherSection(Section):
    id: str = Field(min_length=1)
    """Any model of kemb that ranks by vectors or BM25: a name, a folder, `org/name`."""


class MineSection(Section):
    """Negatives from a teacher's ranking."""

    teacher: TeacherSection
    rerank: TeacherSection | None = None
    """A cross-encoder that scores the candidates of the rank range, and the positives, again."""
    corpus: list[str] = ["data"]
    """`data` (all positives and negatives of the rows), and files with a column `text`."""
    rank: RankSection = RankSection()
    margin: MarginSection = MarginSection(relative=0.05)
    negatives: int = Field(default=5, ge=1)
    sampling: Literal["random", "top"] = "random"
    on_few: Literal["drop", "keep"] = "drop"
    """Rows for which fewer negatives were found."""
    scores: bool = False
    """Whether the teacher's scores become columns positive_score, negative_1_score ..."""
    false_negatives: FalseNegativesSection = FalseNegativesSection()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.rank.max - self.rank.min < self.negatives:
            raise ValueError(
                f"rank [{self.rank.min}, {self.rank.max}) holds fewer than {self.negatives} "
                "negatives"
            )
        return self


class DevSection(Section):
    """What is looked at during the fit, to keep the best of its checkpoints; never what proves the
    training.
    """

    tasks: list[str] = []
    """Names (`KorSTS:validation` is another split of a known task), benchmarks, or folders seen
    from the recipe.
    """
    share: float = Field(default=0.0, ge=0, le=0.5)
    """Of the rows of each source: held out of training, in whole groups."""
    every: int = Field(default=500, ge=1)
    """Steps between scores; each has a checkpoint, so train.save_every does not count."""
    metric: str = ""
    """One that every dev task has; by default the main metric of each."""
    patience: int | None = Field(default=None, ge=1)
    """Scores in a row that are not better than the best before they end the fit; by default none
    do.
    """

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.tasks and not self.share:
            raise ValueError("needs tasks = [...] or share = 0.02, or both")
        return self
