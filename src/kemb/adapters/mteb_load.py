"""Any text task of mteb's through our engine: the task object loads and changes its data, we score them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kemb.adapters.mteb_specs import spec_of_task
from kemb.errors import FetchError, NotSupported
from kemb.tasks.columns import Rows
from kemb.tasks.layouts import Request
from kemb.tasks.load import build
from kemb.tasks.parts import make_part
from kemb.tasks.spec import TaskSpec
from kemb.types import TaskData

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask


def spec_of_loaded(task: AbsTask) -> TaskSpec:
    """What the task is once it has loaded its data; its own code for loading is no obstacle.

    Raises:
        NotSupported: kemb cannot score the task as mteb does; one sentence says why.
    """
    spec = spec_of_task(task, loads_itself=True)
    plain = spec.source.model_copy(update={"config": "default", "group_column": "", "instructions": False})
    return spec.model_copy(update={"source": plain})


def load_mteb_task(task: AbsTask) -> tuple[TaskSpec, TaskData]:
    """The specification and data of a task object, loaded by itself if it is not loaded yet.

    Use as `kemb.Task(spec, lambda: data)`. The data's revision is that of mteb's metadata.

    Raises:
        NotSupported: kemb cannot score the task as mteb does.
        FetchError: mteb could not load the data.
        DataError: the data break a rule (see `kemb.tasks.parts`).
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
    is_ranking = spec.type in ("retrieval", "reranking")

    def read(request: Request, split: str) -> Rows:
        origin = f"mteb's {spec.name}, split {split}, subset {subset}"
        if is_ranking:
            return Rows(_ranking_table(task.dataset[subset][split], request.configs[-1], spec), origin)
        found = task.dataset[subset] if task.metadata.is_multilingual else task.dataset
        return Rows(_table(found[split]), origin)

    return read


def _ranking_table(found: Any, config: str, spec: TaskSpec) -> pa.Table:  # noqa: ANN401  as above
    """A table of mteb's retrieval data under the name that the layout asks for."""
    import pyarrow as pa

    top_ranked = found["top_ranked"]
    if bool(top_ranked) != (spec.type == "reranking"):
        has = "" if top_ranked else "no "
        raise NotSupported(f"{spec.name} is a {spec.type} task, but its data have {has}candidates.")
    match config.rpartition("-")[2]:
        case "corpus":
            return _table(found["corpus"])
        case "queries" | "query":
            return _table(found["queries"])
        case "top_ranked":
            return pa.table({"query-id": list(top_ranked), "corpus-ids": [list(ids) for ids in top_ranked.values()]})
        case _:
            qrels = found["relevant_docs"]
            rows = [(query, doc, grade) for query, own in qrels.items() for doc, grade in own.items()]
            names = ("query-id", "corpus-id", "score")
            return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def _table(dataset: Any) -> pa.Table:  # noqa: ANN401  as above
    """A `datasets.Dataset`, or a list of records of which each value may be a column."""
    import pyarrow as pa

    if hasattr(dataset, "with_format"):
        table: pa.Table = dataset.with_format("arrow")[:]
        return table
    plain = (str, int, float, type(None))
    return pa.Table.from_pylist(
        [{name: value if isinstance(value, plain) else list(value) for name, value in row.items()} for row in dataset]
    )
