"""How a lite version is drawn: the part it is made of, its documents, its name, its folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kemb.choosing.sub_corpus import N_POOLED, cut, right_documents
from kemb.errors import DataError, UsageError
from kemb.scoring.ranking import N_RETRIEVED
from kemb.tasks.kinds import KINDS
from kemb.tasks.own import load_folder
from kemb.tasks.own.convert import refuse_unwritable, write_beir
from kemb.tasks.own.decisions import Clean
from kemb.tasks.spec import Lite, TaskSpec
from kemb.types import Part, RetrievalData, TaskData

SEED = 42
SHARE = 0.1
"""Of the documents, where nobody says how many."""
_N_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many documents, and which."""

    n_documents: int | None = None
    share: float | None = None
    """Of all documents; one of the two at most, else a tenth."""
    depth: int = N_POOLED
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.n_documents is not None and self.share is not None:
            raise UsageError("--documents and --share say the same in two ways; give one of them.")
        if self.n_documents is not None and self.n_documents < 1:
            raise UsageError(f"--documents {self.n_documents} are none; expected 1 or more.")
        if self.share is not None and not 0 < self.share < 1:
            raise UsageError(f"--share {self.share:g} is no part; expected above 0 and below 1.")
        if not 1 <= self.depth <= N_RETRIEVED:
            raise UsageError(
                f"--depth {self.depth} cannot be: results keep the first {N_RETRIEVED} documents "
                f"of a question; expected 1 to {N_RETRIEVED}."
            )

    def size(self, n_full: int) -> int:
        """Documents of the lite version.

        :raises UsageError: as many as there are.
        """
        share = SHARE if self.share is None else self.share
        n_documents = self.n_documents or math.ceil(share * n_full)
        if n_documents >= n_full:
            raise UsageError(
                f"A lite version of {n_documents:,} documents is no smaller than the task, which "
                f"has {n_full:,}. Ask for fewer with --documents or --share."
            )
        return n_documents


def part_of(spec: TaskSpec, data: TaskData, split: str, subset: str) -> Part:
    """The part of a task that a lite version is made of.

    :param split: '' where the task has one.
    :raises UsageError: there are several, or none of this name; no task that can be made smaller.
    """
    kind = KINDS[spec.type]
    if not kind.is_ranking or kind.has_candidates:
        raise UsageError(
            f"{spec.name} is {spec.type}: only retrieval over a whole corpus has a lite version."
        )
    if spec.lite is not None:
        raise UsageError(
            f"{spec.name} is a lite version already; make another one of {spec.lite.of}."
        )
    if spec.drafted:
        raise UsageError(
            f"{spec.name} is a drafted test set: its reviews and places belong to all of its "
            "passages. Draft of fewer documents instead."
        )
    parts = [
        part for part in data.parts if split in ("", part.split) and subset in ("", part.subset)
    ]
    if len(parts) != 1:
        names = ", ".join(f"{part.split}/{part.subset}" for part in data.parts)
        raise UsageError(
            f"A lite version is of one part, and {spec.name} has {names}. Name one with --split "
            "and --subset."
        )
    return parts[0]


def retrieval_of(part: Part) -> RetrievalData:
    """The data of a part that `part_of` gave."""
    assert isinstance(part.data, RetrievalData)
    return part.data


def lite_part(part: Part, pool: set[str], n_documents: int, seed: int) -> Part:
    """The documents that are drawn; groups of right chunks are lost, as BEIR's layout has none."""
    plain = replace(part, data=replace(retrieval_of(part), groups=None))
    return cut(plain, pool, n_documents, seed)


def lite_of(
    data: TaskData,
    part: Part,
    smaller: Part,
    pool: set[str],
    members: Sequence[str],
    recipe: Recipe,
) -> Lite:
    """The record of how it was drawn.

    :param part: of the full task; `smaller` is what was drawn of it.
    :param pool: ids; `members` are the rows that found them, as `<row>@<revision>`.
    """
    full, documents = retrieval_of(part), set(retrieval_of(smaller).doc_ids)
    judged = right_documents(full)
    return Lite(
        of=data.task,
        revision=data.revision,
        sha256=part.sha256,
        n_full=len(full.doc_ids),
        n_documents=len(documents),
        n_judged=len(judged & documents),
        n_pooled=len((pool - judged) & documents),
        seed=recipe.seed,
        depth=recipe.depth,
        pool=sorted(members),
    )


def lite_spec(spec: TaskSpec, part: Part, lite: Lite) -> TaskSpec:
    """The specification of the lite version: what the full task says, for one part, under a name
    of its own.
    """
    how = lite.model_dump(exclude={"shares"}) | {"part": f"{part.split}/{part.subset}"}
    digest = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()
    changes = {
        "name": f"{spec.name}.lite-{digest[:_N_DIGITS]}",
        "lite": lite,
        "splits": [part.split],
        "subsets": [part.subset],
        "languages": spec.subset_languages.get(part.subset, spec.languages),
        "subset_languages": {},
        "contract": {},
    }
    return spec.model_copy(update=changes)


def write_lite(folder: Path, spec: TaskSpec, part: Part) -> tuple[TaskSpec, TaskData]:
    """Write the folder in BEIR's layout and read it again.

    :return: the task as everybody reads it from the folder.
    :raises DataError: something of the data does not stand in such a folder unchanged.
    """
    data = retrieval_of(part)
    pairs = [
        (query, document, grade)
        for query in data.query_ids
        for document, grade in data.qrels[query].items()
    ]
    clean: Clean = {
        "corpus": {
            "id": list(data.doc_ids),
            "title": [""] * len(data.doc_ids),
            "text": list(data.documents),
        },
        "queries": {"id": list(data.query_ids), "text": list(data.queries)},
        f"qrels/{part.split}": {
            "query-id": [query for query, _, _ in pairs],
            "corpus-id": [document for _, document, _ in pairs],
            "score": [grade for _, _, grade in pairs],
        },
    }
    refuse_unwritable(spec.name, clean)
    write_beir(folder, spec, clean)
    written_spec, written_data = load_folder(folder)
    if written_data.parts[0].sha256 != part.sha256:
        raise DataError(
            f"{spec.name} cannot be written: read again, its questions, documents or judgments are "
            "others. Texts with blanks around them, or empty ones, do not stand in a folder as "
            f"they are. Clean the data of {spec.lite.of if spec.lite else spec.name} first."
        )
    return written_spec, written_data
