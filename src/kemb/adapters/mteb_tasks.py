"""mteb's tasks as specifications of ours: what a TOML file needs, read off the task object; no data
is loaded.

What kemb's protocols cannot express is refused, never approximated. A task's `dataset_transform` is
run on a stand-in that notes renamed columns and stratified samples; whatever else it does makes the
task one with code of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kemb.errors import FetchError, NotSupported
from kemb.tasks.layouts import Request, Rows
from kemb.tasks.load import build
from kemb.tasks.parts import make_part
from kemb.tasks.spec import TaskSpec
from kemb.types import TaskData

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kemb.boards.benchmark import known_metrics
from kemb.errors import MissingExtra, UnknownName
from kemb.results.files import our_metric
from kemb.tasks.kinds import KINDS
from kemb.types import TaskType

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_DATASET_KEYS = {"path", "revision", "name"}
SEED = 42


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the tasks that were asked for."""

    specs: list[TaskSpec]
    refused: dict[str, str]
    """Task -> why, one sentence."""


def import_tasks(
    names: Sequence[str], benchmarks: Sequence[str] = (), subsets: Sequence[str] = ()
) -> Imported:
    """Specifications of mteb's tasks by name, and of those of its benchmarks; an aggregate becomes
    its members.

    A task that is asked for twice, by two benchmarks, has the subsets of both.

    :param names: mteb's names of tasks.
    :param benchmarks: mteb's names of benchmarks, such as "MTEB(eng, v1)".
    :param subsets: keep only these subsets of tasks that have them; benchmarks bring their own.
    :raises MissingExtra: mteb is not installed.
    :raises UnknownName: there is no such task, benchmark or subset.
    """
    specs: dict[str, TaskSpec] = {}
    refusals: dict[str, str] = {}
    tasks = [task_of(name, subsets) for name in names]
    tasks += [task for benchmark in benchmarks for task in _benchmark(benchmark)]
    for task in _expanded(tasks):
        try:
            spec = spec_of_task(task)
        except NotSupported as error:
            refusals[task.metadata.name] = str(error)
            continue
        specs[spec.name] = _joined(specs[spec.name], spec) if spec.name in specs else spec
    return Imported(list(specs.values()), refusals)


def spec_of_task(task: AbsTask, *, loads_itself: bool = False) -> TaskSpec:
    """The specification of one of mteb's tasks, with the subsets and splits that the object is
    limited to.

    :param task: limited to the subsets and splits that are wanted.
    :param loads_itself: the task object will load its data, by whatever code it has
        (`kemb.adapters.mteb_tasks`).
    :raises NotSupported: kemb cannot express the task; one sentence says why.
    """
    metadata = task.metadata
    task_type = _checked_type(task)
    if not loads_itself:
        _refuse_other_data(task)
    trace = _Trace() if loads_itself else _traced(task)
    names = {
        ours: trace.names.get(theirs, theirs) for ours, theirs in _columns(task, task_type).items()
    }
    by_subset = metadata.hf_subsets_to_langscripts
    subsets = list(task.hf_subsets)
    first = list(by_subset[subsets[0]])
    values: dict[str, Any] = {
        "name": metadata.name,
        "type": task_type,
        "description": " ".join(metadata.description.split()),
        "main_score": _main_score(task, task_type),
        "languages": first,
        "license": metadata.license or "",
        "reference": metadata.reference or "",
        "instruction": instruction_of(metadata.prompt),
        "splits": list(task.eval_splits),
        "subsets": subsets,
        "subset_languages": {
            name: list(by_subset[name]) for name in subsets if list(by_subset[name]) != first
        },
        "source": _source(task, task_type),
        "columns": {ours: theirs for ours, theirs in names.items() if ours != theirs},
        "subsample": trace.sample,
        "encode_labels": trace.sample is not None and task_type == "classification",
        "ignore_identical_ids": bool(getattr(task, "ignore_identical_ids", False)),
        **_protocol(task, task_type),
    }
    spec = TaskSpec.model_validate(
        {key: value for key, value in values.items() if value not in (None, "", {}, [])}
    )
    return (
        spec.model_copy(update={"main_score": ""})
        if spec.main_score == KINDS[task_type].main_metric
        else spec
    )


def task_of(name: str, subsets: Sequence[str] = ()) -> AbsTask:
    """One of mteb's tasks, limited to the subsets, if any are given.

    :raises MissingExtra: mteb is not installed.
    :raises UnknownName: there is no such task or subset.
    """
    mteb = _mteb()
    try:
        task: AbsTask = mteb.get_task(name)
    except KeyError:
        task_names = [each.metadata.name for each in mteb.get_tasks(exclude_superseded=False)]
        raise UnknownName("task of mteb", name, task_names, "Type: mteb available-tasks") from None
    if subsets and (task_subsets := [subset for subset in task.hf_subsets if subset in subsets]):
        task.filter_languages(None, hf_subsets=task_subsets)
    elif subsets and len(task.hf_subsets) > 1:
        raise UnknownName(
            f"subset of {name}", subsets[0], task.hf_subsets, "Leave --subset out for all of them."
        )
    return task


def _benchmark(name: str) -> list[AbsTask]:
    mteb = _mteb()
    try:
        return list(mteb.get_benchmark(name).tasks)
    except KeyError:
        benchmark_names = [each.name for each in mteb.get_benchmarks()]
        raise UnknownName(
            "benchmark of mteb", name, benchmark_names, "Type: mteb available-benchmarks"
        ) from None


def _mteb() -> Any:  # noqa: ANN401  a module
    try:
        import mteb
    except ImportError:
        raise MissingExtra("Importing tasks of mteb", "mteb") from None
    return mteb


def _expanded(tasks: Iterable[AbsTask]) -> Iterator[AbsTask]:
    for task in tasks:
        if task.is_aggregate:
            yield from _expanded(task.tasks)
        else:
            yield task


def _joined(first: TaskSpec, second: TaskSpec) -> TaskSpec:
    """One specification with the subsets and splits of two."""
    languages = {
        subset: spec.subset_languages.get(subset, spec.languages)
        for spec in (first, second)
        for subset in spec.subsets
    }
    return first.model_copy(
        update={
            "subsets": list(languages),
            "splits": list(dict.fromkeys([*first.splits, *second.splits])),
            "subset_languages": {
                name: subset_languages
                for name, subset_languages in languages.items()
                if subset_languages != first.languages
            },
        }
    )


def our_types() -> dict[str, TaskType]:
    """Our types by all of mteb's names that mean them."""
    return {name: ours for ours, kind in KINDS.items() for name in (kind.mteb, *kind.mteb_also)}


def _checked_type(task: AbsTask) -> TaskType:
    """The task type, after everything that kemb has no way to express is refused."""
    metadata = task.metadata
    if metadata.modalities != ["text"]:
        raise NotSupported(
            f"{metadata.name} is a task of {', '.join(metadata.modalities)}; kemb scores text."
        )
    types = our_types()
    if metadata.type not in types:
        raise NotSupported(f"kemb has no task type for mteb's {metadata.type}.")
    if overrides := [
        name for name in ("_evaluate_subset", "_undersample_data") if _own(task, name)
    ]:
        raise NotSupported(f"it scores by code of its own ({overrides[0]}).")
    settings = (
        "is_cross_validation",
        "skip_first_result",
        "parallel_subsets",
        "input1_prompt_type",
        "input2_prompt_type",
    )
    if wrong := [name for name in settings if getattr(task, name, None)]:
        raise NotSupported(f"its protocol says {wrong[0]}, which kemb does not know.")
    return types[metadata.type]


def _refuse_other_data(task: AbsTask) -> None:
    if unknown := task.metadata.dataset.keys() - _DATASET_KEYS:
        raise NotSupported(
            f"its data set is chosen by {', '.join(sorted(unknown))}, which kemb does not know."
        )
    if _own(task, "load_data"):
        raise NotSupported("it loads its data by code of its own.")


def _own(task: AbsTask, name: str) -> bool:
    """Whether a task, or a base it shares with others that is no abstract task, has this method of
    its own.
    """
    return any(
        name in base.__dict__ and ".abstasks." not in base.__module__ for base in type(task).__mro__
    )


def _main_score(task: AbsTask, task_type: TaskType) -> str:
    name = our_metric(task.metadata.main_score)
    if name not in known_metrics(task_type):
        raise NotSupported(f"its main score {task.metadata.main_score} is none that kemb computes.")
    return name


def instruction_of(prompt: object) -> str | dict[str, str]:
    """The prompt of a task's metadata, by role where it has one for each."""
    if isinstance(prompt, Mapping):
        return {str(getattr(role, "value", role)): str(text) for role, text in prompt.items()}
    return str(prompt or "")


def _source(task: AbsTask, task_type: TaskType) -> dict[str, Any]:
    metadata = task.metadata
    source: dict[str, Any] = {
        "hub": metadata.dataset["path"],
        "revision": metadata.dataset["revision"],
    }
    if KINDS[task_type].is_ranking:
        return source | {"layout": "beir", "instructions": metadata.type.startswith("Instruction")}
    if not metadata.is_multilingual:
        return source | {"config": metadata.dataset.get("name", "default")}
    return source | ({"group_column": "lang"} if task.fast_loading else {"config": "{subset}"})


def _columns(task: Any, task_type: TaskType) -> dict[str, str]:  # noqa: ANN401  attributes differ by type
    """Our names of columns and those of the task."""
    match task_type:
        case "sts":
            first, second = task.column_names
            columns = {"sentence1": first, "sentence2": second, "score": "score"}
        case "pair_classification":
            names = {"sentence1": "input1", "sentence2": "input2", "labels": "label"}
            columns = {
                ours: getattr(task, f"{theirs}_column_name") for ours, theirs in names.items()
            }
        case "classification" | "multilabel_classification":
            columns = {"text": task.input_column_name, "label": task.label_column_name}
        case "clustering":
            columns = {"sentences": task.input_column_name, "labels": task.label_column_name}
        case "bitext_mining":
            columns = {"sentence1": "sentence1", "sentence2": "sentence2"}
        case "summarization":
            names = {name: name for name in ("human_summaries", "machine_summaries")} | {
                "relevance": "relevancy"
            }
            columns = {
                ours: getattr(task, f"{theirs}_column_name") for ours, theirs in names.items()
            }
        case _:
            return {}
    if wrong := [name for name in columns.values() if not isinstance(name, str)]:
        raise NotSupported(f"its texts are several columns ({wrong[0]}); kemb takes one.")
    return columns


def _protocol(task: Any, task_type: TaskType) -> dict[str, Any]:  # noqa: ANN401  as above
    """The protocol of a type, without what is the default."""
    match task_type:
        case "classification" | "multilabel_classification":
            return {"classification": _classification(task, task_type)}
        case "clustering":
            return {"clustering": _clustering(task)}
        case "summarization":
            from mteb._evaluators.text import summarization_evaluator as known

            deprecated = task.evaluator is known.DeprecatedSummarizationEvaluator
            if not deprecated and task.evaluator is not known.SummarizationEvaluator:
                raise NotSupported(
                    f"it is scored by {task.evaluator.__name__}, which kemb does not know."
                )
            return {"summarization": {"average_p_values": True}} if deprecated else {}
        case _:
            return {}


def _classification(task: Any, task_type: TaskType) -> dict[str, Any]:  # noqa: ANN401  as above
    class_name = "LogisticRegression" if task_type == "classification" else "KNeighborsClassifier"
    model = task.evaluator_model
    parameters = {"max_iter": 100} if task_type == "classification" else {"n_neighbors": 5}
    plain = type(model)(**parameters) if type(model).__name__ == class_name else None
    ignored = {"random_state", "n_jobs"}
    actual = {key: value for key, value in model.get_params().items() if key not in ignored}
    if plain is None or actual != {
        key: value for key, value in plain.get_params().items() if key not in ignored
    }:
        raise NotSupported(f"its classifier is {model!r}; kemb has mteb's usual one.")
    defaults = {"n_experiments": 10, "samples_per_label": 8, "train_split": "train"}
    protocol = {
        name: getattr(task, name)
        for name, usual in defaults.items()
        if getattr(task, name) != usual
    }
    if task_type == "multilabel_classification" and task.max_eval_samples != 3000:
        protocol["max_rows"] = task.max_eval_samples or 2**31  # TOML has no null
    return protocol


def _clustering(task: Any) -> dict[str, Any]:  # noqa: ANN401  as above
    from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy

    if isinstance(task, AbsTaskClusteringLegacy):
        return {"kind": "rows"}
    if task.k_mean_batch_size != 512:
        raise NotSupported(f"its k-means has batches of {task.k_mean_batch_size}; kemb's have 512.")
    values = {
        "kind": "bootstrap",
        "fraction": task.max_fraction_of_documents_to_embed,
        "max_documents": task.max_document_to_embed,
        "n_experiments": task.n_clusters,
        "documents_per_experiment": task.max_documents_per_cluster,
        "max_depth": task.max_depth,
    }
    return {key: value for key, value in values.items() if value is not None}


class _NotTraced(Exception):
    """A transformation did something that a specification cannot say."""


@dataclass
class _Trace:
    """Stands in for a data set: takes names of columns and samples down, has no rows."""

    names: dict[str, str] = field(default_factory=dict)
    """Name after all renaming -> name in the data."""
    sample: dict[str, Any] | None = None

    def rename_columns(self, mapping: Mapping[str, str]) -> _Trace:
        names = {new: old for new, old in self.names.items() if new not in mapping}
        return replace(
            self, names=names | {new: self.names.get(old, old) for old, new in mapping.items()}
        )

    def rename_column(self, original_column_name: str, new_column_name: str) -> _Trace:
        return self.rename_columns({original_column_name: new_column_name})

    def remove_columns(self, _names: object) -> _Trace:
        return self

    select_columns = remove_columns

    def __getattr__(self, name: str) -> object:
        raise _NotTraced(name)

    def __getitem__(self, _key: object) -> _Trace:
        raise _NotTraced("its rows")

    def __iter__(self) -> Iterator[str]:
        raise _NotTraced("its splits")


def _traced(task: AbsTask) -> _Trace:
    """What a task does to its data sets after they are loaded: renaming and sampling,
    nothing else.
    """
    if not _own(task, "dataset_transform"):
        return _Trace()
    saved = task.dataset
    task.stratified_subsampling = _sampling(task)
    try:
        multilingual = task.metadata.is_multilingual
        task.dataset = (
            {subset: _Trace() for subset in task.hf_subsets} if multilingual else _Trace()
        )
        task.dataset_transform()
        traces = list(task.dataset.values()) if multilingual else [task.dataset]
    except Exception as error:
        why = f" ({error})" if isinstance(error, _NotTraced) else ""
        raise NotSupported(f"it changes its data by code of its own{why}.") from None
    finally:
        task.dataset = saved
        del task.stratified_subsampling
    if not all(isinstance(trace, _Trace) and trace == traces[0] for trace in traces):
        raise NotSupported("it changes its data by code of its own.")
    if traces[0].sample and task.metadata.type != "Classification":
        raise NotSupported("it takes a sample of its data; kemb does so for classification only.")
    trace: _Trace = traces[0]
    return trace


def _sampling(task: AbsTask) -> Callable[..., _Trace]:
    if task.seed != SEED:
        raise NotSupported(f"its seed is {task.seed}; kemb's is {SEED}.")

    def sample(
        dataset_dict: _Trace,
        seed: int,
        splits: Sequence[str] = ("test",),
        label: str = "label",
        n_samples: int = 2048,
    ) -> _Trace:
        label_column = getattr(task, "label_column_name", "label")
        if label != label_column or dataset_dict.sample is not None:
            raise _NotTraced(f"a sample by {label}")
        return replace(
            dataset_dict, sample={"splits": list(splits), "rows": n_samples, "seed": seed}
        )

    return sample


def spec_of_loaded(task: AbsTask) -> TaskSpec:
    """What the task is once it has loaded its data; its own code for loading is no obstacle.

    :raises NotSupported: kemb cannot score the task as mteb does; one sentence says why.
    """
    spec = spec_of_task(task, loads_itself=True)
    plain = spec.source.model_copy(
        update={"config": "default", "group_column": "", "instructions": False}
    )
    return spec.model_copy(update={"source": plain})


def load_mteb_task(task: AbsTask) -> tuple[TaskSpec, TaskData]:
    """The specification and data of a task object, loaded by itself if it is not loaded yet.

    Use as `kemb.Task(spec, lambda: data)`. The data's revision is that of mteb's metadata.

    :raises NotSupported: kemb cannot score the task as mteb does.
    :raises FetchError: mteb could not load the data.
    :raises DataError: the data break a rule (see `kemb.tasks.parts`).
    """
    spec = spec_of_loaded(task)
    if not task.data_loaded:
        try:
            task.load_data()
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise FetchError(
                f"mteb could not load the data of {spec.name}: {type(error).__name__}: {reason}"
            ) from error
    if hasattr(task, "convert_v1_dataset_format_to_v2"):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    parts = []
    for split in spec.splits:
        for subset in spec.subsets:
            data, notes = build(spec, subset, split, _reader(task, spec, subset), train=True)
            parts.append(make_part(spec, split, subset, data, notes))
    return spec, TaskData(spec.name, spec.type, spec.source.revision, parts)


def _reader(task: Any, spec: TaskSpec, subset: str) -> Any:  # noqa: ANN401  mteb's tasks have no common type of data
    is_ranking = KINDS[spec.type].is_ranking

    def read(request: Request, split: str) -> Rows:
        origin = f"mteb's {spec.name}, split {split}, subset {subset}"
        if is_ranking:
            return Rows(
                _ranking_table(task.dataset[subset][split], request.configs[-1], spec), origin
            )
        dataset = task.dataset[subset] if task.metadata.is_multilingual else task.dataset
        return Rows(_table(dataset[split]), origin)

    return read


def _ranking_table(data: Any, config: str, spec: TaskSpec) -> pa.Table:  # noqa: ANN401  as above
    """A table of mteb's retrieval data under the name that the layout asks for."""
    import pyarrow as pa

    top_ranked = data["top_ranked"]
    if bool(top_ranked) != KINDS[spec.type].has_candidates:
        has = "" if top_ranked else "no "
        raise NotSupported(f"{spec.name} is a {spec.type} task, but its data have {has}candidates.")
    match config.rpartition("-")[2]:
        case "corpus":
            return _table(data["corpus"])
        case "queries" | "query":
            return _table(data["queries"])
        case "top_ranked":
            return pa.table(
                {
                    "query-id": list(top_ranked),
                    "corpus-ids": [list(ids) for ids in top_ranked.values()],
                }
            )
        case _:
            qrels = data["relevant_docs"]
            rows = [
                (query, doc, grade)
                for query, grades in qrels.items()
                for doc, grade in grades.items()
            ]
            names = ("query-id", "corpus-id", "score")
            return pa.table(
                {name: [row[place] for row in rows] for place, name in enumerate(names)}
            )


def _table(dataset: Any) -> pa.Table:  # noqa: ANN401  as above
    """A `datasets.Dataset`, or a list of records of which each value may be a column."""
    import pyarrow as pa

    if hasattr(dataset, "with_format"):
        table: pa.Table = dataset.with_format("arrow")[:]
        return table
    plain = (str, int, float, type(None))
    return pa.Table.from_pylist(
        [
            {
                name: value if isinstance(value, plain) else list(value)
                for name, value in row.items()
            }
            for row in dataset
        ]
    )
