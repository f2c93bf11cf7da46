"""The sections of a recipe that say what is read, kept and mined."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DataRole = Literal["retrieval", "similarity", "nli", "distill"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    file: str | None = None
    hub: str | None = None


class Columns(Section):
    anchor: str = "anchor"
    positive: str = "positive"
    negatives: list[str] = []
    score: str | None = None
    group: str | None = None


class DataSection(Section):
    id: str
    source: Source
    columns: Columns = Columns()
    role: DataRole = "retrieval"
    in_batch_negatives: bool = True
    license: str
    limit: int | None = Field(default=None, ge=1)


class FiltersSection(Section):
    pass


class MineSection(Section):
    negatives: int = 5
