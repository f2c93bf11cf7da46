"""`kemb check`: what kemb understands of a folder of a user's own, and everything that is wrong
with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from kemb.errors import DataError
from kemb.messages import Lang, Note, Text, Value, language, note, say
from kemb.tasks.kinds import KINDS
from kemb.tasks.own import decisions, judges
from kemb.tasks.own.content import check_content
from kemb.tasks.own.findings import MAX_EXAMPLES, Finding, Findings, title_of
from kemb.tasks.own.hub_sets import source_of
from kemb.tasks.own.judgments import Clean
from kemb.tasks.own.proposals import propose
from kemb.tasks.own.understand import Folder, Understood, read_folder, understand
from kemb.tasks.spec import TaskSpec
from kemb.types import JudgeUse

_SCRIPTS = {
    "Hangul": re.compile(r"[가-힣ㄱ-ㆎᄀ-ᇿ]"),
    "Latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
    "Han": re.compile(r"[\u3400-\u9fff\uf900-\ufaff]"),
    "Kana": re.compile(r"[\u3040-\u30ff]"),
    "digits": re.compile(r"[0-9]"),
}
_SCRIPT_NAMES = {
    "Hangul": note("check.hangul"),
    "Latin": note("check.latin"),
    "Han": note("check.han"),
    "Kana": note("check.kana"),
    "digits": note("check.digits"),
}
_N_SHOWN = 3
"""Errors in the message of a refusal."""
_SAMPLE = 1000
"""Texts, evenly spaced, that the shares of scripts are counted on."""
_FEW_HANGUL = 0.1
_MUCH_HANGUL = 0.5
"""Shares of letters and digits."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file that the task uses."""

    file: str
    role: str
    """`corpus`, `queries`, `qrels/<split>`, or the split."""
    n_rows: int
    columns: dict[str, str]
    """Our column -> the file's own."""


@dataclass(frozen=True, slots=True)
class TextReport:
    """One column of texts: lengths in characters, and how much of its letters and digits is in
    which script.
    """

    role: str
    column: str
    n_texts: int
    min_chars: int
    median_chars: int
    max_chars: int
    scripts: dict[str, float]


@dataclass(frozen=True, slots=True)
class ScoredReport:
    """What of one split is scored."""

    split: str
    n_rows: int
    """Questions, pairs or texts of the split."""
    n_scored: int
    """Of these, the ones that have a right answer."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was understood (nothing, if `spec` is None) and what was found."""

    path: str
    findings: list[Finding]
    """At most five of a kind."""
    n_findings: dict[str, int]
    """All of them, by kind."""
    n_errors: int
    spec: TaskSpec | None = None
    layout: str = ""
    rules: list[Text] = field(default_factory=list)
    revision: str = ""
    source: str = ""
    """`ORG/NAME@COMMIT`, of a data set of the hub."""
    files: list[FileReport] = field(default_factory=list)
    texts: list[TextReport] = field(default_factory=list)
    scored: list[ScoredReport] = field(default_factory=list)
    proposal: str = ""
    """Where the folder is not understood: the smallest task.toml with which it would be."""

    @property
    def has_errors(self) -> bool:
        """Whether `kemb run` refuses the folder."""
        return self.n_errors > 0


class Examined(NamedTuple):
    """A folder, read and checked; `clean` is whole if there are no errors."""

    understood: Understood | None
    clean: Clean
    findings: Findings
    texts: list[TextReport]
    reviewed: dict[str, int]
    """What reviewers and judges changed: counts for the notes of every part."""
    folder: Folder | None
    """Nothing where no file could be read."""
    judges: tuple[JudgeUse, ...] = ()


def examine(path: Path, with_reviews: bool = True) -> Examined:
    """Read a folder or a file, decide what it is, and check every value.

    :param with_reviews: apply what reviewers decided, and judges who were checked, if nothing else
        is wrong.
    :raises UsageError: if there is nothing at the path, or no data file.
    """
    findings = Findings()
    folder = read_folder(path, findings)
    understood = None if folder is None else understand(folder, findings)
    if understood is None:
        return Examined(None, {}, findings, [], {}, folder)
    clean = check_content(understood.spec, understood.draft.tables, findings)
    reviewed: dict[str, int] = {}
    uses: list[JudgeUse] = []
    is_reviewed = with_reviews and bool(decisions.review_files(path) or judges.judge_files(path))
    if is_reviewed and understood.draft.groups is not None:
        message = note("finding.review_of_groups", path=str(path))
        findings.error("review of groups", decisions.FOLDER, message)
    if is_reviewed and KINDS[understood.spec.type].is_ranking and not findings.n_errors:
        merged = decisions.read_decisions(path, findings).merged()
        reviewed = decisions.apply(merged, clean, findings)
        of_models = judges.read_judges(path, findings)
        uses, added = judges.apply(of_models, merged.judgments, clean, findings)
        reviewed |= added
    texts = [
        _describe(role, ours, values)
        for role, columns in clean.items()
        for ours, values in columns.items()
        if ours in ("title", "text", "sentence1", "sentence2") and any(values)
    ]
    if understood.spec.languages == ["kor-Hang"] and all(map(_not_korean, texts)):
        message = note("finding.language")
        findings.warn("language", "task.toml", message, column="languages")
    _note_two_languages(understood, texts, findings)
    return Examined(understood, clean, findings, texts, reviewed, folder, tuple(uses))


def _note_two_languages(
    understood: Understood, texts: list[TextReport], findings: Findings
) -> None:
    """Questions in Hangul over documents without any, or the other way round."""
    shares = {one.role: one.scripts.get("Hangul", 0.0) for one in texts if one.column == "text"}
    if not {"corpus", "queries"} <= shares.keys():
        return
    low, high = sorted((shares["corpus"], shares["queries"]))
    if low < _FEW_HANGUL and high > _MUCH_HANGUL:
        message = note(
            "finding.two_languages", of_queries=shares["queries"], of_corpus=shares["corpus"]
        )
        file = understood.draft.tables["queries"].file
        findings.warn("two languages", file, message)


def refuse_errors(path: Path, examined: Examined) -> Understood:
    """What was understood.

    :raises DataError: the files are not understood, or hold errors; the message shows the first of
        them.
    """
    understood, findings = examined.understood, examined.findings
    if understood is not None and not findings.n_errors:
        return understood
    errors = [finding for finding in findings.kept if finding.level == "error"][:_N_SHOWN]
    rest = findings.n_errors - len(errors)
    more = note("check.more_errors", n=rest) if rest else ""
    refusal = note("check.cannot_be_used", path=str(path), errors=errors, more=more)
    raise DataError(say(refusal, language()))


def check_folder(path: Path) -> CheckReport:
    """What kemb understands of a folder or a file, and all that is wrong with it.

    :raises UsageError: if there is nothing at the path, or no data file.
    """
    understood, clean, findings, texts, _, folder, _ = examine(path)
    proposal = propose(folder) if understood is None and folder is not None else None
    if proposal is not None:  # what is wrong with the values, as it reads them, is shown, too
        check_content(proposal.understood.spec, proposal.understood.draft.tables, findings)
    counts = {kind: n for (_, kind), n in findings.counts.items()}
    report = CheckReport(str(path), findings.kept, counts, findings.n_errors)
    if understood is None:
        return replace(report, proposal=to_toml_of(proposal.settings) if proposal else "")
    draft = understood.draft
    return replace(
        report,
        spec=understood.spec,
        layout=draft.layout,
        rules=draft.rules,
        revision=understood.revision,
        source=source_of(path),
        files=[
            FileReport(table.file, role, len(table), table.names)
            for role, table in draft.tables.items()
        ],
        texts=texts,
        scored=[_scored(understood.spec, clean, split) for split in understood.spec.splits],
    )


def _scored(spec: TaskSpec, clean: Clean, split: str) -> ScoredReport:
    if not KINDS[spec.type].is_ranking:
        labels = clean[split].get("label", [])
        n_rows = len(next(iter(clean[split].values())))
        n_scored = sum(str(label) in spec.labels for label in labels) if spec.labels else n_rows
        return ScoredReport(split, n_rows, n_scored)
    judged = clean[f"qrels/{split}"]
    answered = {
        query_id
        for query_id, grade in zip(judged["query-id"], judged["score"], strict=True)
        if grade > 0
    }
    query_ids = clean["queries"]["id"]
    return ScoredReport(split, len(query_ids), sum(one in answered for one in query_ids))


def _not_korean(text: TextReport) -> bool:
    return text.scripts.get("Hangul", 0.0) < _FEW_HANGUL


def _describe(role: str, column: str, texts: Sequence[str]) -> TextReport:
    lengths = sorted(map(len, texts))
    sample = "".join(texts[:: max(1, len(texts) // _SAMPLE)])
    counts = {script: len(pattern.findall(sample)) for script, pattern in _SCRIPTS.items()}
    total = max(1, sum(counts.values()))
    scripts = {script: n / total for script, n in counts.items() if n}
    return TextReport(
        role, column, len(texts), lengths[0], int(median(lengths)), lengths[-1], scripts
    )


def format_report(report: CheckReport, lang: Lang = "en") -> str:
    """A report for a terminal: what was understood, what is scored and by which metric, the TOML
    that says the same, and the findings.
    """
    lines = [report.path]
    if report.source:
        lines.append(say(note("check.source", source=report.source), lang))
    if report.spec is not None:
        lines += _understood_lines(report, report.spec, lang)
    else:
        lines += ["", say(note("check.not_understood"), lang)]
        if report.proposal:
            lines += ["", say(note("check.proposal"), lang)]
            lines += [f"  {line}".rstrip() for line in report.proposal.splitlines()]
    lines += _finding_lines(report, lang)
    n_warnings = sum(report.n_findings.values()) - report.n_errors
    verdict = "check.refused" if report.n_errors else "check.accepted"
    counts = note(verdict, n_errors=report.n_errors, n_warnings=n_warnings)
    return "\n".join([*lines, "", say(counts, lang)])


def _understood_lines(report: CheckReport, spec: TaskSpec, lang: Lang) -> list[str]:
    kind = note("check.understood", type=spec.type, layout=report.layout, revision=report.revision)
    return [
        "",
        say(kind, lang),
        *(f"  {say(rule, lang)}" for rule in report.rules),
        "",
        say(note("check.files"), lang),
        *_grid([_file_cells(file, lang) for file in report.files]),
        "",
        say(note("check.texts"), lang),
        *_grid([_text_cells(text, lang) for text in report.texts]),
        "",
        say(note("check.metric", metric=spec.main_metric), lang),
        *(say(_scored_note(spec, scored), lang) for scored in report.scored),
        "",
        say(note("check.as_toml"), lang),
        *(f"  {line}".rstrip() for line in to_toml(spec).splitlines()),
    ]


def _finding_lines(report: CheckReport, lang: Lang) -> list[str]:
    headings = {"error": "check.errors", "warning": "check.warnings"}
    lines: list[str] = []
    for level, heading in headings.items():
        kinds = [finding.kind for finding in report.findings if finding.level == level]
        for kind in dict.fromkeys(kinds):
            n = report.n_findings[kind]
            lines += ["", say(note(heading, kind=title_of(kind), n=n), lang)]
            lines += [
                f"  {say(finding, lang)}" for finding in report.findings if finding.kind == kind
            ]
            if n > MAX_EXAMPLES:
                lines.append(f"  {say(note('check.more', n=n - MAX_EXAMPLES), lang)}")
    return lines


def _scored_note(spec: TaskSpec, scored: ScoredReport) -> Note:
    """What of a split is scored; questions without a right chunk are counted."""
    values: dict[str, Value] = {
        "split": scored.split,
        "n_scored": scored.n_scored,
        "n": scored.n_rows,
        "n_left": scored.n_rows - scored.n_scored,
    }
    if not KINDS[spec.type].is_ranking:
        return note("check.rows", **values)
    if scored.n_scored < scored.n_rows:
        return note("check.some_questions", **values)
    return note("check.questions", split=scored.split, n_scored=scored.n_scored, n=scored.n_rows)


def _file_cells(file: FileReport, lang: Lang) -> list[str]:
    columns = ", ".join(
        ours if ours == name else f"{ours} = {name}" for ours, name in file.columns.items()
    )
    return [file.file, say(note("check.n_rows", n=file.n_rows), lang), file.role, columns]


def _text_cells(text: TextReport, lang: Lang) -> list[str]:
    scripts = ", ".join(
        f"{say(_SCRIPT_NAMES[script], lang)} {share:.0%}" for script, share in text.scripts.items()
    )
    numbers = (text.n_texts, text.min_chars, text.median_chars, text.max_chars)
    return [f"{text.role} {text.column}", *(f"{number:,}" for number in numbers), scripts]


def _grid(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def report_as_json(report: CheckReport) -> dict[str, Any]:
    """A report for programs, in English whatever the language."""
    record = {
        entry.name: getattr(report, entry.name) for entry in fields(report) if entry.name != "spec"
    }
    for name in ("files", "texts", "scored"):
        record[name] = [asdict(entry) for entry in record[name]]
    record["findings"] = [finding.as_json() for finding in report.findings]
    record["rules"] = [say(rule, "en") for rule in report.rules]
    record["spec"] = report.spec.model_dump(exclude_defaults=True) if report.spec else None
    return record


def to_toml(spec: TaskSpec) -> str:
    """The TOML file of a task: `TaskSpec.model_validate(tomllib.loads(to_toml(spec))) == spec`."""
    data = spec.model_dump(exclude_defaults=True, exclude_none=True)
    data["source"] = {"layout": spec.source.layout} | data["source"]
    return to_toml_of(data)


def to_toml_of(data: Mapping[str, object]) -> str:
    """Settings of a task as a TOML file; tables of them come last."""
    lines = [
        f"{_key(key)} = {_toml(value)}"
        for key, value in data.items()
        if not isinstance(value, dict)
    ]
    for key, table in data.items():
        if isinstance(table, dict):
            lines += [
                "",
                f"[{_key(key)}]",
                *(f"{_key(name)} = {_toml(value)}" for name, value in table.items()),
            ]
    return "\n".join(lines).strip() + "\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: object) -> str:
    """A value in TOML; a JSON string is a TOML string, but for DEL, which TOML wants escaped."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case dict():
            return (
                "{ "
                + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items())
                + " }"
            )
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return str(value)
