"""kemb: evaluate, rank, train and publish text-embedding models, Korean first.

    >>> import kemb
    >>> task = kemb.load_task("KorSTS")
    >>> model = kemb.resolve("kiwi-static")
    >>> outcomes = kemb.evaluate([task], [model], kemb.RunOptions(Path("results"),
        kemb.Store(Path("store"))))

Names are loaded when they are first used, so that `import kemb` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemb.adapters.mteb_models import to_mteb
    from kemb.boards import build_board
    from kemb.boards.benchmark import load_benchmark
    from kemb.encoding.store import Store
    from kemb.errors import KembError
    from kemb.evaluation.evaluate import RunOptions, Task, evaluate, load_task
    from kemb.models.model import Model, ModelOptions
    from kemb.models.resolve import resolve
    from kemb.results.files import read_results
    from kemb.tasks import load_spec
    from kemb.tasks.own import load_folder
    from kemb.tasks.spec import TaskSpec

__version__ = "0.1.0"

_HOME = {
    "KembError": "errors",
    "Model": "models.model",
    "ModelOptions": "models.model",
    "RunOptions": "evaluation.evaluate",
    "Store": "encoding.store",
    "Task": "evaluation.evaluate",
    "TaskSpec": "tasks.spec",
    "build_board": "boards",
    "evaluate": "evaluation.evaluate",
    "load_benchmark": "boards.benchmark",
    "load_folder": "tasks.own",
    "load_spec": "tasks",
    "load_task": "evaluation.evaluate",
    "read_results": "results.files",
    "resolve": "models.resolve",
    "to_mteb": "adapters.mteb_models",
}

__all__ = [
    "KembError",
    "Model",
    "ModelOptions",
    "RunOptions",
    "Store",
    "Task",
    "TaskSpec",
    "__version__",
    "build_board",
    "evaluate",
    "load_benchmark",
    "load_folder",
    "load_spec",
    "load_task",
    "read_results",
    "resolve",
    "to_mteb",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  any public name
    if name in _HOME:
        return getattr(importlib.import_module(f"kemb.{_HOME[name]}"), name)
    raise AttributeError(f"module 'kemb' has no attribute {name!r}")
