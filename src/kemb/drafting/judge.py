"""A model's labels of passages beside people's: they are never taken for a person's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kemb.files import disk
from kemb.messages import Note, note
from kemb.statistics.agreement import Agreement, agreement
from kemb.tasks.own.decisions import Pair, read_decisions
from kemb.tasks.own.findings import Findings
from kemb.tasks.own.judges import ENOUGH


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """How far a model's labels are those of people."""

    judge: str
    agreement: Agreement
    """Over the pairs that people have judged, too."""
    wrote_questions: bool
    """Whether the same model wrote the questions: it may find right what it had in mind."""

    @property
    def is_enough(self) -> bool:
        """Whether enough pairs were judged by both."""
        return self.agreement.n >= ENOUGH

    def notes(self) -> list[Note]:
        """What is to be said of the judge."""
        of = self.agreement
        if self.is_enough and math.isfinite(of.low):
            sentence = note(
                "judged.judge",
                judge=self.judge,
                n=of.n,
                share=of.share_equal,
                kappa=of.kappa,
                low=of.low,
                high=of.high,
            )
        else:
            sentence = note("judged.judge_unknown", judge=self.judge, n=of.n, enough=ENOUGH)
        same = note("judged.judge_wrote_questions", judge=self.judge)
        return [sentence, same] if self.wrote_questions else [sentence]


def check_judge(
    folder: Path, judge: str, labels: Mapping[Pair, int], served: Sequence[str] = ()
) -> JudgeReport:
    """Compare a model's labels with what people judged in a folder (`kemb review`).

    :param folder: of the task; `drafted.json` says who wrote its questions.
    :param judge: the model's name.
    :param labels: by question and passage, above 0 for right.
    :param served: what its endpoint calls the model.
    """
    by_people = read_decisions(folder, Findings()).merged().judgments
    both = [pair for pair in labels if pair in by_people]
    of_people = [by_people[pair] > 0 for pair in both]
    of_model = [labels[pair] > 0 for pair in both]
    of_pairs = agreement(of_people, of_model, clusters=[query for query, _ in both])
    return JudgeReport(judge, of_pairs, bool({judge, *served} & _writers(folder)))


def _writers(folder: Path) -> set[str]:
    """The names of the model that wrote the questions, as asked for and as its endpoint calls it;
    none where no model did.
    """
    try:
        record = disk.read_json(folder / "drafted.json")
    except (OSError, ValueError):
        return set()
    writer = record.get("llm") if isinstance(record, dict) else None
    if not isinstance(writer, dict):
        return set()
    return {str(writer.get("model")), *map(str, writer.get("served") or ())} - {""}
