"""Results in a model card's metadata: `model-index`, also scraped or flattened to one line, and `.eval_results`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

_FLAT_RESULT = re.compile(
    r"- task: type: (?P<type>.*?) dataset: (?P<dataset>.*?) metrics: (?P<metrics>.*?)(?=- task: type:|$)"
)
_FLAT_METRIC = re.compile(r"- type: (?P<type>\S+) value: (?P<value>\S+)")
_FIELDS = ("type", "name", "config", "split", "revision")


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


def read_entries(text: str) -> list[Entry]:
    """All entries; empty where there are none or the YAML is broken."""
    match = re.search(r"model-index:", text)
    if match is None:
        return list(_eval_results(text))
    line = text.count("\n", 0, match.start()) + 1
    own_line = text[match.start() :].split("\n", 1)[0]
    return list(_flat(own_line, line)) if "- task: type:" in own_line else list(_block(text[match.start() :], line))


def _block(text: str, line: int) -> Iterator[Entry]:
    lines = text.split("\n")
    end = next((i for i, row in enumerate(lines[1:], 1) if row.strip() and not row.startswith((" ", "-"))), len(lines))
    end = next((i for i, row in enumerate(lines[:end]) if row.startswith("---")), end)
    try:
        models = yaml.safe_load("\n".join(lines[:end]))["model-index"]
        for model in models:
            for result in model["results"]:
                dataset = result["dataset"]
                metrics = {str(metric["type"]): metric["value"] for metric in result["metrics"]}
                yield _entry(str(model.get("name", "")), str(result["task"]["type"]), dataset, metrics, line)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return


def _flat(text: str, line: int) -> Iterator[Entry]:
    name = re.search(r"model-index: - name: (\S+)", text)
    for result in _FLAT_RESULT.finditer(text):
        fields = re.split(rf"(?:^|\s)({'|'.join(_FIELDS)}): ", result["dataset"])
        dataset = dict(zip(fields[1::2], (value.strip() for value in fields[2::2]), strict=False))
        metrics = {metric["type"]: metric["value"] for metric in _FLAT_METRIC.finditer(result["metrics"])}
        yield _entry(name[1] if name else "", result["type"].strip(), dataset, metrics, line)


def _eval_results(text: str) -> Iterator[Entry]:
    if "dataset:" not in text or "value:" not in text or len(text) > 1 << 20:
        return
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    for result in found if isinstance(found, list) else []:
        if isinstance(result, dict) and isinstance(result.get("dataset"), dict) and "value" in result:
            dataset = result["dataset"]
            named = {
                "type": dataset.get("id", ""),
                "name": dataset.get("task_id", ""),
                "revision": dataset.get("revision"),
            }
            yield _entry("", "", named, {"main_score": result["value"]}, 1)


def _entry(model: str, task_type: str, dataset: dict[str, object], metrics: dict[str, object], line: int) -> Entry:
    numbers = {}
    for name, value in metrics.items():
        try:
            numbers[name] = float(str(value))
        except ValueError:
            continue
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
