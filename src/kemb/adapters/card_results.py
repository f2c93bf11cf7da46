"""The results in the metadata of a model card: `model-index`, also flattened to one line, and
`.eval_results`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kemb.adapters.front_matter import Fields, number_of, read_yaml
from kemb.adapters.tables import Budget

_INDEX = re.compile(r"model-index:")
_FLAT_RESULT = "- task: type: "
_FLAT_MODEL = re.compile(r"model-index: - name: (\S++)")
_FLAT_METRIC = re.compile(r"- type: (?P<type>\S++) value: (?P<value>\S++)")
_FIELDS = ("type", "name", "config", "split", "revision")
_FLAT_FIELD = re.compile(rf"(?:^|\s)({'|'.join(_FIELDS)}): ")
_MOST_EVAL_RESULTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """Metrics of one model on one dataset, as a card states them."""

    model: str
    task_type: str
    dataset: str
    name: str
    config: str
    split: str
    revision: str
    metrics: dict[str, float]
    line: int


@dataclass(frozen=True, slots=True)
class CardResults:
    """The entries of a card, and what of its metadata is none."""

    entries: list[Entry]
    problems: list[str]
    """With line and reason."""


def read_results(text: str, budget: Budget) -> CardResults:
    """All entries; none, and no problem, where a text has no such metadata."""
    problems: list[str] = []
    match = _INDEX.search(text)
    if match is None:
        return CardResults(list(_eval_results(text, problems)), problems)
    line = text.count("\n", 0, match.start()) + 1
    own_line = text[match.start() :].split("\n", 1)[0]
    if _FLAT_RESULT in own_line:
        return CardResults(list(_flat(own_line, line, budget)), problems)
    is_at_start = match.start() == 0 or text[match.start() - 1] == "\n"
    entries = list(_block(text[match.start() :], line, problems, is_at_start))
    return CardResults(entries, problems)


def _block(text: str, line: int, problems: list[str], is_at_start: bool) -> Iterator[Entry]:
    """The entries of a `model-index`; `problems` gets what is none.

    :param is_at_start: whether it stands at the start of its line; where it does not, a text may
        only speak of it.
    """
    lines = text.split("\n")
    end = next(
        (i for i, row in enumerate(lines[1:], 1) if row.strip() and not row.startswith((" ", "-"))),
        len(lines),
    )
    end = next((i for i, row in enumerate(lines[:end]) if row.startswith("---")), end)
    try:
        content = read_yaml("\n".join(lines[:end]), line)
    except ValueError as error:
        if is_at_start:
            problems.append(f"{error}; the model-index was left out")
        return
    models = content.get("model-index") if isinstance(content, Fields) else None
    if models is None:
        return
    for model in models if isinstance(models, list) else [models]:
        results = model.get("results") if isinstance(model, Fields) else None
        if results is None and isinstance(model, Fields):
            continue
        if not isinstance(results, list):
            problems.append(f"line {line}: a model of the model-index has no list of results")
            continue
        for result in results:
            entry = _entry_of(str(model.get("name") or ""), result)
            if isinstance(entry, Entry):
                yield entry
            else:
                at = result.line if isinstance(result, Fields) else line
                problems.append(f"line {at}: a result of the model-index {entry}; it was left out")


def _entry_of(model: str, result: object) -> Entry | str:
    """The entry of a result; the reason where it is none."""
    if not isinstance(result, Fields):
        return "is no mapping"
    task, dataset, metrics = (result.get(key) for key in ("task", "dataset", "metrics"))
    if not isinstance(task, Fields) or not isinstance(dataset, Fields):
        return "has no task or no dataset"
    if not isinstance(metrics, list) or not all(
        isinstance(metric, Fields) and isinstance(metric.get("type"), str) for metric in metrics
    ):
        return "has no list of metrics, each with its type"
    values = {str(metric["type"]): metric.get("value") for metric in metrics}
    return _entry(model, str(task.get("type") or ""), dataset, values, result.line)


def _flat(text: str, line: int, budget: Budget) -> Iterator[Entry]:
    name = _FLAT_MODEL.search(text)
    for result in text.split(_FLAT_RESULT)[1:]:
        budget.check()
        task_type, has_dataset, rest = result.partition(" dataset: ")
        dataset_text, has_metrics, metrics_text = rest.partition(" metrics: ")
        if not has_dataset or not has_metrics:
            continue
        fields = _FLAT_FIELD.split(dataset_text)
        dataset = dict(zip(fields[1::2], (value.strip() for value in fields[2::2]), strict=False))
        metrics = {
            metric["type"]: metric["value"] for metric in _FLAT_METRIC.finditer(metrics_text)
        }
        yield _entry(name[1] if name else "", task_type.strip(), dataset, metrics, line)


def _eval_results(text: str, problems: list[str]) -> Iterator[Entry]:
    if "dataset:" not in text or "value:" not in text or len(text) > _MOST_EVAL_RESULTS:
        return
    try:
        results = read_yaml(text)
    except ValueError as error:
        if text.lstrip().startswith("- dataset:"):
            problems.append(f"{error}; the results were left out")
        return
    for result in results if isinstance(results, list) else []:
        if (
            isinstance(result, Fields)
            and isinstance(result.get("dataset"), Fields)
            and "value" in result
        ):
            dataset = result["dataset"]
            place = {
                "type": dataset.get("id", ""),
                "name": dataset.get("task_id", ""),
                "revision": dataset.get("revision"),
            }
            yield _entry("", "", place, {"main_score": result["value"]}, result.line)


def _entry(
    model: str,
    task_type: str,
    dataset: Mapping[str, object],
    metrics: Mapping[str, object],
    line: int,
) -> Entry:
    numbers = {
        name: number for name, value in metrics.items() if (number := number_of(value)) is not None
    }
    fields = {name: "" if dataset.get(name) is None else str(dataset[name]) for name in _FIELDS}
    return Entry(
        model,
        task_type,
        fields["type"],
        fields["name"],
        fields["config"],
        fields["split"],
        fields["revision"],
        numbers,
        line,
    )
