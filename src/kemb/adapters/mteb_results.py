"""mteb's result folders: read as claimed numbers, and our results written so that mteb loads them.

    <cache>/results/<org>__<model>/<revision>/<Task>.json                     what mteb ran here
    <cache>/results/<org>__<model>/<revision>/experiments/<kwargs>/<Task>.json
    <cache>/remote/results/...                            a clone of the public results

Formats: mteb 1.11 and later (`scores`: split -> entries), and before that (splits at the top level,
    similarities as
nested tables). Names are ours afterwards: `ndcg@10`, `cosine_ap`. Nothing here imports mteb but
`main_revisions`.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemb import tasks
from kemb.boards.benchmark import MAIN_SCORE, known_metrics
from kemb.errors import MissingExtra, ResultError, UsageError
from kemb.files import disk
from kemb.models.families import FAMILIES
from kemb.models.model import Model
from kemb.results.claims import ClaimRow, Source
from kemb.results.files import EXPERIMENTS, META, TaskResult, our_metric, read_result

UNKNOWN_DATA = "unknown"
"""The dataset revision of a file that does not say which data it used."""

_SIMILARITIES = {
    "cos_sim": "cosine",
    "manhattan": "manhattan",
    "euclidean": "euclidean",
    "dot": "dot",
} | {name: name for name in ("cosine", "max", "similarity")}
_OLD_NAME = re.compile(r"cos_sim_")
RENAMED_TASKS = {
    "CMedQAv1": "CMedQAv1-reranking",
    "CMedQAv2": "CMedQAv2-reranking",
    "8TagsClustering": "EightTagsClustering",
    "PPC": "PpcPC",
    "NorwegianParliament": "NorwegianParliamentClassification",
}
"""As mteb reads them."""

Entries = dict[str, dict[str, dict[str, Any]]]
"""split -> subset -> metric as written -> value."""


Track = Callable[[Sequence[tuple[Path, str]]], Iterable[tuple[Path, str]]]


@dataclass(frozen=True, slots=True)
class Read:
    """What a results folder holds."""

    rows: list[ClaimRow]
    n_files: int
    """Result files that gave numbers."""
    problems: list[str]
    """Files, or parts of files, that gave none: path and reason."""


class NotAResult(ValueError):
    """Why a file gives no numbers."""


def read_results_folder(path: Path, task_names: Collection[str] = (), track: Track = iter) -> Read:
    """All numbers of a results folder, of a clone of mteb's results, of an mteb cache, or of one
    model's folder in it.

    Kept are the metrics that kemb knows and `main_score`; numbers that are null or not finite are
    left out. A file that cannot be read, or a part without a main score, is a problem and gives no
    numbers; the others are read.

    :param task_names: names of tasks; all by default.
    :param track: gets the files and gives them back one by one; shows how far the reading is.
    :raises UsageError: where no file lies as mteb lays them out.
    """
    rows: list[ClaimRow] = []
    problems: list[str] = []
    n_files = 0
    result_files = list(_result_files(path))
    if not result_files:
        raise UsageError(
            f"{path} holds no results in mteb's layout. Name a folder with "
            "results/<model>/<revision>/<Task>.json, or one model's folder in it."
        )
    identities: set[tuple[str, ...]] = set()
    for file, variant in track(
        [
            (file, variant)
            for file, variant in result_files
            if not task_names or file.stem in task_names
        ]
    ):
        try:
            of_file, of_parts = _read_file(file, variant)
        except NotAResult as error:
            problems.append(f"{file}: {error}")
            continue
        problems += [f"{file}: {problem}" for problem in of_parts]
        identity = of_file[0][:4] if of_file else ()
        if (
            of_file and identity not in identities
        ):  # the same cell in results/ and in remote/: the former counts
            identities.add(identity)
            rows += of_file
            n_files += 1
    return Read(rows, n_files, problems)


def source_of(path: Path, name: str = "") -> Source:
    """Where a results folder comes from: its `manifest.json` (source, commit, licence), else its
    git clone.

    :param name: the name for readers; by default that of the repository or the folder.
    """
    manifest = _json_object(path / "manifest.json")
    url, commit = (str(manifest.get(key, "")) for key in ("source", "commit"))
    if not manifest and (path / ".git").exists():
        url, commit = _git(path, "remote", "get-url", "origin"), _git(path, "rev-parse", "HEAD")
    default = re.sub(r"^.*github\.com[/:]|\.git$", "", url) or path.resolve().name
    return Source(name or default, url, commit, str(manifest.get("licence", "")))


def main_revisions() -> dict[str, str]:
    """By model, the revision that mteb's registry names; for `kemb.results.claims.join_revisions`.

    :raises MissingExtra: when mteb is not installed.
    """
    try:
        from mteb.models.get_model_meta import get_model_metas
    except ImportError as error:
        raise MissingExtra("Joining revisions as mteb does", "mteb") from error
    return {meta.name: meta.revision for meta in get_model_metas() if meta.name and meta.revision}


def metric_name(name: str) -> str:
    """Our name of a metric as mteb or a model card writes it: `ndcg_at_10`, `cos_sim_ap`."""
    return our_metric(_OLD_NAME.sub("cosine_", name))


def finite(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _result_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Result files with their variants, in order; files that mteb ran itself before those of the
    clone.
    """
    roots = [root for root in (path / "results", path / "remote" / "results") if root.is_dir()] or [
        path
    ]
    for root in roots:
        pattern = "*/*/"
        if "__" in root.name:
            pattern = "*/"  # one model
        elif "__" in root.resolve().parent.name:
            pattern = ""  # one revision
        files = set(root.glob(f"{pattern}*.json"))
        if pattern == "*/*/":  # mteb run with a folder per model has them deeper
            files |= set(root.glob("**/*__*/*/*.json"))
        for file in sorted(files):
            if file.name != META and file.parent.parent.name != EXPERIMENTS:
                yield file, ""
        experiments = set(root.glob(f"{pattern}{EXPERIMENTS}/*/*.json"))
        if pattern == "*/*/":
            experiments |= set(root.glob(f"**/*__*/*/{EXPERIMENTS}/*/*.json"))
        for file in sorted(experiments):
            if file.name != META:
                yield file, file.parent.name


def _read_file(file: Path, variant: str) -> tuple[list[ClaimRow], list[str]]:
    record = _load(file)
    if "scores" in record:
        task, entries = record.get("task_name"), _entries(record["scores"])
    elif "mteb_dataset_name" in record:
        task, entries = record["mteb_dataset_name"], _old_entries(record)
    else:
        raise NotAResult("is not a result of mteb: it has neither scores nor mteb_dataset_name")
    if not isinstance(task, str) or not task:
        raise NotAResult("does not name its task")
    task = RENAMED_TASKS.get(task, task)
    model, revision = _identity(file, variant)
    version = record.get("mteb_version")
    data = record.get("dataset_revision")
    rest = (task, data if isinstance(data, str) and data else UNKNOWN_DATA)
    rows: list[ClaimRow] = []
    problems: list[str] = []
    for split, subsets in entries.items():
        for subset, entry in subsets.items():
            try:
                numbers = entry_numbers(task, entry)
            except NotAResult as error:
                problems.append(f"{task}, {split}, {subset}: {error}")
                continue
            for metric, value in numbers.items():
                row = ClaimRow(model, revision, variant, *rest, split, subset, metric, value)
                rows.append(row._replace(mteb_version=version if isinstance(version, str) else ""))
    if not rows and not problems:
        raise NotAResult("holds no scores")
    if not all(text.isprintable() for row in rows for text in row if isinstance(text, str)):
        raise NotAResult("a name in it has characters that cannot be printed")
    return rows, problems


def _load(file: Path) -> dict[str, Any]:
    try:
        record = disk.read_json(file)
    except (OSError, ValueError) as error:
        raise NotAResult(f"cannot be read; it is cut off or no JSON ({error})") from error
    if not isinstance(record, dict):
        raise NotAResult(
            f"is not a result of mteb: it holds a {type(record).__name__}, not an object"
        )
    return record


def _entries(scores: object) -> Entries:
    """The entries of mteb 1.11 and later."""
    entries_by_split: Entries = {}
    if not isinstance(scores, dict):
        raise NotAResult("its scores are no object")
    for split, entries in scores.items():
        if not isinstance(entries, list):
            raise NotAResult(f"its scores of {split} are no list")
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("hf_subset"), str):
                raise NotAResult(f"an entry of {split} does not name its hf_subset")
            if entry["hf_subset"] in entries_by_split.setdefault(split, {}):
                raise NotAResult(f"{split}, {entry['hf_subset']} has two entries")
            entries_by_split[split][entry["hf_subset"]] = entry
    return entries_by_split


def _old_entries(record: Mapping[str, Any]) -> Entries:
    """The entries of a file before mteb 1.11: splits at the top level, subsets below them where
    there are any.
    """
    splits = {split: value for split, value in record.items() if isinstance(value, dict)}
    has_subsets = any(
        isinstance(value, dict) and name not in _SIMILARITIES and name != "v_measures"
        for numbers in splits.values()
        for name, value in numbers.items()
    )
    if not has_subsets:
        return {split: {"default": numbers} for split, numbers in splits.items()}
    return {
        split: {subset: value for subset, value in subsets.items() if isinstance(value, dict)}
        for split, subsets in splits.items()
    }


def entry_numbers(task: str, entry: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one entry under our names, with `main_score` where the entry or the task tells
    it.

    :raises NotAResult: without a main score, or with a number that is no fraction.
    """
    flat = _flat(entry)
    metric_names = known_metrics(None)
    numbers = {
        name: number
        for name, value in flat.items()
        if name in metric_names and (number := finite(value)) is not None
    }
    if MAIN_SCORE not in numbers and (main := _main_score(task, flat, numbers)) is not None:
        numbers[MAIN_SCORE] = main
    if MAIN_SCORE not in numbers and (MAIN_SCORE in entry or not numbers):
        raise NotAResult(f"has no main score ({entry.get(MAIN_SCORE, 'missing')})")
    for name, number in numbers.items():
        if abs(number) > 1:
            raise NotAResult(f"{name} is {number}; expected a fraction between -1 and 1")
    return numbers


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Values by our names; a name of today comes before an old one for the same metric."""
    flat: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, dict) and name in _SIMILARITIES:
            flat |= {f"{_SIMILARITIES[name]}_{inner}": number for inner, number in value.items()}
    for name, value in entry.items():
        if not isinstance(value, dict):
            ours = metric_name(name)
            flat[ours] = entry.get(ours, value)
    for name, value in flat.items():
        if isinstance(value, list) and len(value) == 2 and name.endswith(("pearson", "spearman")):
            flat[name] = value[0]  # old files hold a correlation with its p-value
    return flat


def _main_score(task: str, flat: Mapping[str, Any], numbers: Mapping[str, float]) -> float | None:
    """The main score of an entry without one; of unknown tasks only that of reranking is certain,
    which was `map`.
    """
    if MAIN_SCORE in flat:
        return None  # null or not finite: mteb could not compute it
    if task in tasks.names():
        main = tasks.load_spec(task).main_metric
        if main in numbers or not main.endswith("map@1000"):
            return numbers.get(main)
    return finite(flat.get("map"))


def _identity(file: Path, variant: str) -> tuple[str, str]:
    """Name and revision as `model_meta.json` says, else as the folders do."""
    folder = file.parent.parent.parent if variant else file.parent
    meta = _json_object(file.parent / META) or _json_object(folder / META)
    name, revision = meta.get("name"), meta.get("revision")
    return (
        name if isinstance(name, str) and name else folder.resolve().parent.name.replace("__", "/"),
        revision if isinstance(revision, str) and revision else folder.resolve().name,
    )


def _json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds; empty where there is none, or none that can be read."""
    try:
        content = disk.read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _git(folder: Path, *command: str) -> str:
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def mteb_meta(model: Model, facts: Mapping[str, int]) -> dict[str, Any]:
    """`model_meta.json` in mteb's format (`ModelMeta.to_dict`).

    :param facts: as `loaded`; it fills in what nobody declares.
    """
    spec = model.spec
    return {
        "name": model.name,
        "revision": model.revision,
        "release_date": None,
        "languages": spec.languages or None,
        "loader": None,
        "n_parameters": spec.n_parameters or facts.get("n_parameters"),
        "memory_usage_mb": None,
        "max_tokens": model.max_tokens or facts.get("max_tokens"),
        "embed_dim": spec.dim or facts.get("dim"),
        "license": spec.license or None,
        "open_weights": spec.open_weights,
        "public_training_code": None,
        "public_training_data": None,
        "framework": [],
        "reference": spec.reference or None,
        "similarity_fn_name": "MaxSim" if model.similarity.endswith("maxsim") else model.similarity,
        "use_instructions": bool(spec.instruction_template),
        "training_datasets": None,
        "adapted_from": spec.base_model,
        "superseded_by": None,
        "modalities": ["text"],
        "model_type": [FAMILIES[model.family].mteb] if FAMILIES[model.family].mteb else [],
        "experiment_kwargs": {"variant": model.variant} if model.variant else None,
    }


PRIVATE = "kemb"
"""The key of a result file that stays at home."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    n_results: int
    n_rows: int
    """Models, revisions and variants."""
    left_out: list[str]
    """Results that mteb cannot have, with the reason."""
    problems: list[str]
    """Results that could not be read, or would take the place of another file."""


def export_mteb(results_dir: Path, out: Path) -> Exported:
    """Write every measured result of a task that mteb knows to `out/results`;
    `mteb.ResultCache(out)` reads it.

    Variants (another dtype, prompt profile, dimension) go to mteb's experiments, with `variant` as
    the only keyword: its tables leave them out unless asked for. A file that is there already and
    differs is not overwritten.

    :raises UsageError: when there is nothing to read.
    :raises ResultError: when the folder cannot be written.
    """
    paths = [
        path
        for pattern in ("*/*", f"*/*/{EXPERIMENTS}/*")
        for path in results_dir.glob(f"{pattern}/*.json")
    ]
    paths = sorted(path for path in paths if path.name != META)
    if not paths:
        raise UsageError(
            f"There are no results in {results_dir}. Make some with `kemb run`, or name --results "
            "DIR."
        )
    if out.resolve() == results_dir.resolve().parent and results_dir.name == "results":
        raise UsageError(
            f"{out}/results is the results folder itself; name another folder to export to."
        )
    folders: set[Path] = set()
    left_out: list[str] = []
    problems: list[str] = []
    n_results = 0
    for path in paths:
        try:
            result = read_result(path)
            if reason := _unfit(result):
                left_out.append(f"{path}: {reason}")
                continue
            folder = _target(out, path, result)
            _write(result, folder)
        except ResultError as error:
            problems.append(str(error))
            continue
        n_results += 1
        folders.add(folder)
    return Exported(n_results, len(folders), left_out, problems)


def _unfit(result: TaskResult) -> str:
    """Why mteb cannot have a result; empty where it can."""
    if not result.kemb:
        return "not measured by kemb"
    if result.task not in tasks.names():
        return f"mteb has no task {result.task}"
    return ""


def _target(out: Path, path: Path, result: TaskResult) -> Path:
    """The folder as mteb names it: experiments by their keywords."""
    if not result.variant:
        return out / "results" / path.parent.parent.name / path.parent.name
    row = path.parent.parent.parent
    return out / "results" / row.parent.name / row.name / EXPERIMENTS / f"variant_{result.variant}"


def _write(result: TaskResult, folder: Path) -> None:
    record = {key: value for key, value in _read(result.path).items() if key != PRIVATE}
    target = folder / result.path.name
    if target.exists() and _read(target) != record:
        raise ResultError(
            f"{target} is there already and holds other numbers. Delete it, or name another folder."
        )
    meta = _read(result.path.with_name(META))
    _write_json(
        folder / META,
        _meta(meta, folder if not result.variant else folder.parent.parent, result.variant),
    )
    _write_json(target, record)


def _meta(meta: Mapping[str, Any], row: Path, variant: str) -> dict[str, Any]:
    """The model's card with the name as mteb wants it, `org/name`: that of the folder."""
    experiment = {"variant": variant} if variant else None
    return {
        **meta,
        "name": row.parent.name.replace("__", "/", 1),
        "revision": row.name,
        "experiment_kwargs": experiment,
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    disk.write(path, disk.json_text(content), "Free space, or name another folder.")


def _read(path: Path) -> dict[str, Any]:
    try:
        record = disk.read_json(path)
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}). Run the task again.") from error
    if not isinstance(record, dict):
        raise ResultError(f"{path} holds no JSON object. Run the task again.")
    return record
