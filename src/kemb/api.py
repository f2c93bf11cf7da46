"""The verbs of kemb for Python. Names, paths and objects become what the packages work on here, and
nowhere else; a value of a wrong type is one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from kemb import scoring, tasks
from kemb.adapters.mteb_models import KembEncoder
from kemb.arrays import ArrayVectors
from kemb.audit import Audit
from kemb.audit import audit as audit_documents
from kemb.boards import BoardOptions, build_board
from kemb.boards import benchmark as benchmarks
from kemb.boards.benchmark import Benchmark
from kemb.boards.compare import CompareOptions
from kemb.boards.compare import compare as compare_rows
from kemb.encoding.store import Store, default_root
from kemb.errors import RunError, UnknownName, UsageError, nearest
from kemb.evaluation.evaluate import Outcome, RunOptions, Silent, Task
from kemb.evaluation.evaluate import evaluate as evaluate_models
from kemb.evaluation.progress import LineReporter, is_interactive
from kemb.evaluation.targets import benchmark_of, compared_cells, load_tasks, refuse_unknown
from kemb.frames import BoardTable, ComparisonTable, Results, results_on_disk
from kemb.models import catalogue
from kemb.models.doors import Door, name_of
from kemb.models.encoders.python import to_rows
from kemb.models.model import Model, ModelOptions
from kemb.models.resolve import resolve, resolve_object
from kemb.results import claims, files
from kemb.results.files import TaskResult
from kemb.results.rows import ResultRow, find_row, rows_of
from kemb.scoring.ranking import query_metrics
from kemb.scoring.search.runs import read_run
from kemb.tasks.kinds import KINDS, columns
from kemb.tasks.spec import TaskSpec
from kemb.types import SIMILARITIES, PartData, RetrievalData, TaskType

PathLike = str | os.PathLike[str]
Qrels = Mapping[str, Mapping[str, int]]
Scores = Mapping[str, Mapping[str, float]]
RESULTS = "results"


@dataclass(frozen=True, slots=True)
class Run:
    """Scores by query id and document id, as a retriever gave them; a model like any other."""

    scores: dict[str, dict[str, float]]
    name: str = "run"

    @classmethod
    def from_dict(cls, scores: Scores, name: str = "run") -> Run:
        """A run from `{query id: {document id: score}}`.

        :raises UsageError: for anything else.
        """
        return cls(_table_of_numbers(scores, "run", float), _text_of(name, "name"))

    @classmethod
    def from_file(cls, path: PathLike, name: str = "") -> Run:
        """A run from a TREC run file: `query Q0 document rank score tag`.

        :param name: of its row; by default the file's name without its ending.
        :raises UsageError: there is no such file. DataError: a line that is none, with its number.
        """
        file = _path(path, "path")
        return cls(read_run(file), _text_of(name or file.stem, "name"))


def evaluate(
    tasks: Any,  # noqa: ANN401  one or a list of names, paths, tasks
    models: Any,  # noqa: ANN401  one or a list of names, paths, objects
    *,
    results: PathLike | None = None,
    store: PathLike | Store | None = None,
    data: PathLike | None = None,
    device: str = "auto",
    progress: bool | None = None,
    overwrite: bool = False,
) -> Results:
    """Evaluate models on tasks; every text is encoded once, every score keeps its items.

    What went wrong with single tasks and models stands in `.failed` of what is returned.

    :param tasks: names of tasks and benchmarks, folders and files of one's own data, `load_task`'s
        tasks; one or a list.
    :param models: names, folders, functions, objects with `encode`, SentenceTransformer,
        SparseEncoder, CrossEncoder, encoders of mteb, `kemb.encoder`, `kemb.retriever`,
        `kemb.reranker`, `kemb.Run`; one or a list.
    :param results: folder of result files; `results` by default.
    :param store: folder of the vector store; `$KEMB_STORE` or the user's cache by default.
    :param data: folder with local copies of data sets; `$KEMB_DATA` by default.
    :param device: where models are loaded that are given by name; objects stay where they are.
    :param progress: a line on stderr; by default where somebody is looking.
    :param overwrite: score again even where a comparable result is there.
    :raises UsageError: a name, path or object that cannot be what it should be.
    :raises StoreError, ResultError: the store or the results cannot be written.
    """
    loaded = _tasks(tasks, data)
    names = [task.spec.name for task in loaded]
    options = RunOptions(
        results_dir=_path(results or RESULTS, "results"),
        store=_store(store),
        overwrite=overwrite,
        command="kemb.evaluate",
    )
    resolved: list[Model] = []
    outcomes: list[Outcome] = []
    for model in _listed(models, "models"):
        try:
            resolved.append(load_model(model, device=device, own_tasks=names))
        except RunError as error:
            row = model if isinstance(model, str) else getattr(model, "name", name_of(model))
            outcomes += [Outcome(row, name, "failed", None, str(error)) for name in names]
    _refuse_twins(resolved)
    show = is_interactive() if progress is None else progress
    with LineReporter() if show else nullcontext(Silent()) as reporter:
        outcomes += evaluate_models(loaded, resolved, options, reporter)
    fine = {outcome.row for outcome in outcomes if outcome.status != "failed"}
    rows = [ResultRow(m.name, m.revision, m.variant, "", {}) for m in resolved if m.row in fine]
    subsets = {task.spec.name: task.spec.subsets for task in loaded}
    return Results(outcomes, subsets, tuple(rows))


def board(
    *targets: str | os.PathLike[str],
    results: PathLike | None = None,
    formula: str = "",
    only: Literal["measured", "claimed"] | None = None,
    mixed: bool = False,
) -> BoardTable:
    """Rank results: those of a folder, and for a benchmark the published ones that kemb brings.

    :param targets: one benchmark (name or TOML file), or tasks; none: every task of the folder.
    :param formula: one of the benchmark's; its first by default.
    :param only: leave out the others.
    :param mixed: rank different data revisions together, as mteb does.
    :raises UsageError: unknown names, or nothing to be ranked.
    """
    names = [os.fspath(target) for target in targets]
    folder = _path(results or RESULTS, "results")
    if only not in (None, "measured", "claimed"):
        raise UsageError(f"only={only!r} is not known; type 'measured' or 'claimed'.")
    benchmark, is_public = benchmark_of(names)
    rows: list[TaskResult] = claims.read_all(folder)
    if only == "claimed" or (is_public and only is None):
        rows += claims.shipped()
    rows = [row for row in rows if only in (None, "claimed" if row.claim else "measured")]
    built = None
    if rows:
        options = BoardOptions(allow_mixed_revisions=mixed)
        built = build_board(rows, benchmark, formula, options)
    if built is None or not built.rows:
        refuse_unknown(names, [row.task for row in rows])
        of = f" of {', '.join(names)}" if names else ""
        raise UsageError(f"There are no results{of} in {folder}. Make some with kemb.evaluate.")
    return BoardTable(built)


def compare(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    on: Any = None,  # noqa: ANN401  one or a list of names and paths
    results: PathLike | None = None,
    data: PathLike | None = None,
    zone: float = 0.5,
    items: int = 3,
) -> ComparisonTable:
    """Is B better than A, how surely, and which items changed?

    :param a: a row of results: MODEL, MODEL@REVISION, 'MODEL [VARIANT]', or the folder of a row.
    :param on: a benchmark, or tasks and data folders; by default all tasks that both rows have.
    :param data: folder with local copies of data sets, for the texts of items.
    :param zone: points within which both are practically equal.
    :param items: shown per task, each way.
    :raises UsageError: rows that are not there, are the same, or have nothing in common.
    """
    folder = _path(results or RESULTS, "results")
    rows = rows_of([*claims.read_all(folder), *claims.shipped()])
    row_a, row_b = find_row(_text_of(a, "a"), rows), find_row(_text_of(b, "b"), rows)
    targets = [_text_of(target, "on") for target in _listed(on, "on")] if on is not None else []
    common = [task for task in row_a.results if task in row_b.results and items]
    cells, texts = compared_cells(targets, _data(data), common)
    options = CompareOptions(zone / 100, items, texts)
    return ComparisonTable(compare_rows(row_a, row_b, cells, options))


def score_run(
    qrels: Qrels | PathLike, run: Run | Scores | PathLike, metrics: str | Sequence[str]
) -> dict[str, float]:
    """Mean metrics of a run over all judged queries; as trec_eval with `-c`: a judged query without
    retrieved documents counts as 0, queries without judgments do not count.

    :param qrels: `{query id: {document id: grade}}`, or a file of `query 0 document grade` lines.
    :param run: `{query id: {document id: score}}`, a `kemb.Run`, or a TREC run file.
    :param metrics: such as `ndcg@10`; cut-offs are 1, 3, 5, 10, 20, 100, 1000.
    :raises UsageError: unknown metrics, or a wrong type.
    :raises DataError: a file that is none, or no query in common.
    """
    grades = _qrels(qrels)
    scores = _scores(run)
    documents = {doc for judged in grades.values() for doc in judged}
    documents |= {doc for retrieved in scores.values() for doc in retrieved}
    doc_ids = sorted(documents)
    query_ids = list(grades)
    data = RetrievalData(doc_ids, [""] * len(doc_ids), query_ids, [""] * len(query_ids), grades)
    values = query_metrics(scoring.run_from_scores(scores, query_ids, doc_ids), data)
    return {name: float(np.mean(values[name])) for name in _metrics(metrics, values)}


def score_vectors(
    data: Any,  # noqa: ANN401  a name, a path, a task or data
    vectors: Mapping[str, Any],
    *,
    similarity: str = "cosine",
    type: TaskType | None = None,
    split: str = "",
    subset: str = "",
) -> dict[str, float]:
    """Every metric of a task, from vectors that were made elsewhere.

    :param data: a task by name, path or `load_task`; or the data of one part (`kemb.types`), then
        with `type`.
    :param vectors: by column ([n, dim] each, in the order of the data): queries and documents,
        sentence1 and sentence2, texts and train_texts, machine and human.
    :param split: of a task with several parts; `subset` alike.
    :raises UsageError: a part that is not there, columns that are missing, a wrong type.
    :raises ModelError: vectors that do not fit the data.
    """
    if similarity not in SIMILARITIES:
        raise UsageError(f"similarity={similarity!r} is not known; type one of {SIMILARITIES}.")
    if isinstance(data, tuple(kind.shape.data for kind in KINDS.values())):
        if type not in KINDS:
            raise UsageError(f"type={type!r} is no task type; type one of {', '.join(KINDS)}.")
        spec = TaskSpec.model_validate(
            {"name": "data", "type": type, "splits": ["test"], "source": {}}
        )
        part_data = cast(PartData, data)
    else:
        task = load_task(data)
        spec, part_data = task.spec, _part(task, split, subset)
    expected = columns(part_data)
    if not isinstance(vectors, Mapping) or set(vectors) != set(expected):
        stated = ", ".join(vectors) if isinstance(vectors, Mapping) else f"{vectors!r:.60}"
        raise UsageError(
            f"vectors= takes a table with {' and '.join(expected)}; it has {stated or 'nothing'}."
        )
    arrays = {
        name: ArrayVectors(to_rows(vectors[name], len(column.texts), name))
        for name, column in expected.items()
    }
    return scoring.score(spec, part_data, arrays, similarity=similarity).metrics


def load_task(
    target: Any,  # noqa: ANN401  a name, a path, or a task
    *,
    data: PathLike | None = None,
) -> Task:
    """A task by name, `mteb:NAME`, TOML file, or folder or file of one's own data.

    :raises UnknownName: with the nearest names. DataError: data that are not understood.
    """
    return _tasks(target, data)[0]


def load_model(
    model: Any,  # noqa: ANN401  a name, a path, or an object
    *,
    device: str = "auto",
    own_tasks: Sequence[str] = (),
) -> Model:
    """A model by name, folder or object, not loaded yet.

    :param own_tasks: names of one's own tasks, which may be keys of prompts.
    :raises UsageError: what is no model. RunError: files that cannot be fetched or used.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, KembEncoder):
        return model.model
    options = ModelOptions(device=device)
    if isinstance(model, Run):
        return resolve_object(Door("run", model.scores, f"run/{model.name}"), options, own_tasks)
    if isinstance(model, str | os.PathLike):
        return resolve(os.fspath(model), options, own_tasks)
    return resolve_object(model, options, own_tasks)


def load_benchmark(name: PathLike) -> Benchmark:
    """A shipped benchmark by name, or one's own by the path of its TOML.

    :raises UnknownName: with the nearest names. UsageError: a file that is no benchmark.
    """
    return benchmarks.load_benchmark(_text_of(name, "name"))


def read_results(folder: PathLike = RESULTS) -> Results:
    """Everything that was measured in a results folder.

    :raises ResultError: a file that cannot be read. UsageError: there is no such folder.
    """
    path = _path(folder, "folder")
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}. Give the folder of your results.")
    return results_on_disk(files.read_results(path))


def audit_files(
    paths: PathLike | Sequence[PathLike], *, against: PathLike | Sequence[PathLike] = ()
) -> Audit:
    """Check the tables and the metadata of READMEs and model cards.

    It is not named `audit`: `kemb.audit` is a package, and importing it would take the name.

    :param against: results of other sources to compare with, JSON tables or folders.
    :raises DataError: a file that is no text, or no results.
    """
    documents = [_path(path, "paths") for path in _listed(paths, "paths")]
    others = [_path(path, "against") for path in _listed(against, "against", may_be_empty=True)]
    return audit_documents(documents, others)


def verify(
    record: TaskResult | PathLike,
    *,
    task: Any = None,  # noqa: ANN401  a name, a path, or a task
    data: PathLike | None = None,
    model: str = "",
    sample: float = 1.0,
    device: str = "auto",
    items_only: bool = False,
) -> Any:  # noqa: ANN401  a kemb.evaluation.verify.Verification
    """Run a recorded result again, with nothing reused, and compare it with the record.

    :param record: a result, or the path of its JSON.
    :param task: needed for data of one's own; by default the recorded name.
    :param items_only: compute the scores again from the recorded items; run nothing.
    :raises UsageError, RunError: as `kemb.evaluation.verify`.
    """
    from kemb.evaluation.verify import VerifyOptions, verify_items, verify_result

    result = record
    if not isinstance(result, TaskResult):
        result = files.read_result(_path(result, "record"))
    options = VerifyOptions(model=model, device=device, fraction=sample)
    if items_only:
        return verify_items(result, options.tolerance)
    return verify_result(result, load_task(task or result.task, data=data), options)


def train(
    recipe: PathLike,
    *,
    out: PathLike | None = None,
    results: PathLike | None = None,
    store: PathLike | Store | None = None,
    data: PathLike | None = None,
    resume: bool = False,
) -> Any:  # noqa: ANN401  a kemb.pipeline.Outcome
    """Carry a recipe out: data, training, proof against the base, card.

    :param recipe: a TOML file, or the name of a shipped one.
    :param out: folder of the run; `runs/<name>` by default.
    :raises UsageError: what cannot work, with the line of the recipe. RunError: a stage failed.
    """
    from kemb import pipeline
    from kemb.training.job import TrainOptions
    from kemb.training.recipe import read_recipe

    file = read_recipe(_text_of(recipe, "recipe"))
    options = TrainOptions(
        run_dir=_path(out, "out") if out is not None else Path("runs") / file.recipe.name,
        store=_store(store),
        data_dir=_data(data),
        results_dir=_path(results, "results") if results is not None else None,
        resume=resume,
        command="kemb.train",
    )
    return pipeline.train(file, options)


def site(
    out: PathLike,
    *targets: str,
    results: PathLike | None = None,
    data: PathLike | None = None,
    **settings: Any,  # noqa: ANN401  those of SiteOptions
) -> Path:
    """Write a static leaderboard; its start page.

    :param out: a new folder, or an earlier site.
    :param targets: benchmarks, as on the command line; none: what was measured.
    :param settings: title, only, private_dirs, public, snapshot, base_url.
    :raises UsageError: nothing to be shown, or a folder that is no site.
    """
    from kemb.publishing.site.build import SiteOptions, publish_site

    fields = SiteOptions.__dataclass_fields__.keys() - {"results_dir", "targets", "data"}
    if unknown := sorted(settings.keys() - fields):
        raise UsageError(f"{unknown[0]}= is not known; there are {', '.join(sorted(fields))}.")
    folder = _path(results or RESULTS, "results")
    options = SiteOptions(folder, targets=targets, data=_data(data), **settings)
    return publish_site(_path(out, "out"), options).start_page.resolve()


def card(
    model: PathLike,
    *,
    out: PathLike | None = None,
    results: PathLike | None = None,
    name: str = "",
    license: str = "",
    private: bool = False,
) -> str:
    """A model card from measured results; text of yours in an existing README is kept.

    :param model: a row of results, or the folder of a local model.
    :param out: README.md to write or to bring up to date; nothing is written by default.
    :raises UsageError: a model without results.
    """
    from kemb.publishing.card.card import README, CardOptions, make_card, read_existing, write_card

    folder = _path(results or RESULTS, "results")
    options = CardOptions(folder, (), name, license, private)
    path = _path(out, "out") if out is not None else None
    page = make_card(_text_of(model, "model"), options, read_existing(path) if path else "")
    if path is not None:
        write_card(page.files, path)
    return page.files[README]


def list_tasks(*, type: TaskType | None = None, language: str = "") -> list[str]:
    """Names of the known tasks, one's own and plug-ins' among them.

    It is not named `tasks`: `kemb.tasks` is a package.

    :param type: only this task type.
    :param language: only tasks in it, as `kor-Hang` or `kor`.
    :raises UsageError: an unknown task type.
    """
    if type is not None and type not in KINDS:
        near = nearest(str(type), KINDS) or KINDS
        raise UsageError(f"type={type!r} is no task type; type {' or '.join(near)}.")
    specs = [tasks.load_spec(name) for name in tasks.names()]
    return [
        spec.name
        for spec in specs
        if type in (None, spec.type) and (not language or _speaks(spec, language))
    ]


def list_models() -> list[str]:
    """Names of the known models; any hub id, folder or object works too."""
    return catalogue.names()


def list_benchmarks() -> list[str]:
    """Names of the benchmarks that come with kemb."""
    return benchmarks.names()


def _speaks(spec: TaskSpec, language: str) -> bool:
    codes = {*spec.languages, *(code for codes in spec.subset_languages.values() for code in codes)}
    return any(code == language or code.partition("-")[0] == language for code in codes)


def _tasks(value: Any, data: PathLike | None) -> list[Task]:  # noqa: ANN401  see evaluate
    folder = _data(data)
    loaded: dict[str, Task] = {}
    for target in _listed(value, "tasks"):
        if isinstance(target, Task):
            more = [target]
        elif isinstance(target, Benchmark):
            more = load_tasks(target.tasks, folder)
        elif isinstance(target, str | os.PathLike):
            more = load_tasks([os.fspath(target)], folder)
        else:
            raise UsageError(
                f"A {type(target).__name__} is no task: {target!r:.60}. Give names, paths of data, "
                "or what kemb.load_task returns."
            )
        loaded |= {task.spec.name: task for task in more}
    return list(loaded.values())


def _listed(value: Any, argument: str, may_be_empty: bool = False) -> list[Any]:  # noqa: ANN401
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values and not may_be_empty:
        raise UsageError(f"{argument}= is an empty list; give at least one.")
    return values


def _path(value: object, argument: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise UsageError(
            f"{argument}= takes a path as text or pathlib.Path, not a {type(value).__name__}: "
            f"{value!r:.60}."
        )
    return Path(os.fspath(value))


def _text_of(value: object, argument: str) -> str:
    return value if isinstance(value, str) else str(_path(value, argument))


def _data(value: PathLike | None) -> Path | None:
    configured = value if value is not None else os.environ.get("KEMB_DATA") or None
    return None if configured is None else _path(configured, "data")


def _store(value: PathLike | Store | None) -> Store:
    if isinstance(value, Store):
        return value
    return Store(default_root() if value is None else _text_of(value, "store"))


def _refuse_twins(models: Sequence[Model]) -> None:
    """Two objects under one name and revision would write the same files."""
    by_identity: dict[str, Model] = {}
    for model in models:
        twin = by_identity.setdefault(model.identity, model)
        if (
            twin is not model
            and twin.door is not None
            and twin.fingerprint() != model.fingerprint()
        ):
            raise UsageError(
                f"Two models are {model.row} at the revision {model.revision}, and are not the "
                "same. Give each a name: kemb.encoder(f, name='...')."
            )


def _part(task: Task, split: str, subset: str) -> PartData:
    parts = {(part.split, part.subset): part.data for part in task.load().parts}
    fitting = [key for key in parts if split in ("", key[0]) and subset in ("", key[1])]
    if len(fitting) != 1:
        names = ", ".join("/".join(key) for key in parts)
        raise UsageError(
            f"{task.spec.name} has the parts {names}; name one with split= and subset=."
        )
    return parts[fitting[0]]


def _qrels(value: Qrels | PathLike) -> dict[str, dict[str, int]]:
    if isinstance(value, str | os.PathLike):
        from kemb.scoring.search.runs import read_qrels

        return read_qrels(Path(os.fspath(value)))
    return _table_of_numbers(value, "qrels", int)


def _scores(value: Run | Scores | PathLike) -> dict[str, dict[str, float]]:
    if isinstance(value, Run):
        return value.scores
    if isinstance(value, str | os.PathLike):
        return read_run(Path(os.fspath(value)))
    return _table_of_numbers(value, "run", float)


def _metrics(value: str | Sequence[str], values: Mapping[str, object]) -> list[str]:
    names = [value] if isinstance(value, str) else list(value)
    for name in names:
        if name not in values:
            raise UnknownName(
                "metric", str(name), values, "Cut-offs are 1, 3, 5, 10, 20, 100, 1000."
            )
    return names


def _table_of_numbers(value: Any, argument: str, kind: type) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """`{query id: {document id: number}}`, copied."""
    expected = f"{argument} takes {{query id: {{document id: number}}}} or a file"
    if not isinstance(value, Mapping):
        raise UsageError(f"{expected}, not a {type(value).__name__}: {value!r:.60}.")
    table: dict[str, dict[str, Any]] = {}
    for query, documents in value.items():
        if not isinstance(query, str) or not isinstance(documents, Mapping):
            raise UsageError(f"{expected}; of {query!r:.40} it has {documents!r:.60}.")
        for document, number in documents.items():
            is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
            if not isinstance(document, str) or not is_number or kind(number) != number:
                raise UsageError(f"{expected}; of {query!r:.40} it has {document!r}: {number!r}.")
        table[query] = {document: kind(number) for document, number in documents.items()}
    return table
