"""kemb: evaluate, rank, train and publish text-embedding models, Korean first.

    >>> import kemb
    >>> results = kemb.evaluate(["KLUE-STS", "./my-rag"], ["BAAI/bge-m3", "bm25:kiwi", my_function])
    >>> results                       # a board; results.frame(), results.items("KLUE-STS")
    >>> kemb.board("mteb-kor-v2").frame()

Names are loaded when they are first used, so that `import kemb` costs nothing. No public name is
that of a package in here (`kemb.tasks`, `kemb.audit`): importing the package would take its place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemb.adapters.mteb_models import to_mteb
    from kemb.api import (
        Run,
        audit_files,
        board,
        card,
        compare,
        evaluate,
        list_benchmarks,
        list_models,
        list_tasks,
        load_benchmark,
        load_model,
        load_task,
        read_results,
        score_run,
        score_vectors,
        site,
        train,
        verify,
    )
    from kemb.choosing.verb import choose
    from kemb.errors import KembError, RunError, UsageError
    from kemb.frames import Results
    from kemb.models.doors import encoder, reranker, retriever

__version__ = "0.1.0"

_HOME = {
    "KembError": "errors",
    "Results": "frames",
    "Run": "api",
    "RunError": "errors",
    "UsageError": "errors",
    "audit_files": "api",
    "board": "api",
    "card": "api",
    "choose": "choosing.verb",
    "compare": "api",
    "encoder": "models.doors",
    "evaluate": "api",
    "list_benchmarks": "api",
    "list_models": "api",
    "list_tasks": "api",
    "load_benchmark": "api",
    "load_model": "api",
    "load_task": "api",
    "read_results": "api",
    "reranker": "models.doors",
    "retriever": "models.doors",
    "score_run": "api",
    "score_vectors": "api",
    "site": "api",
    "to_mteb": "adapters.mteb_models",
    "train": "api",
    "verify": "api",
}

__all__ = [
    "KembError",
    "Results",
    "Run",
    "RunError",
    "UsageError",
    "__version__",
    "audit_files",
    "board",
    "card",
    "choose",
    "compare",
    "encoder",
    "evaluate",
    "list_benchmarks",
    "list_models",
    "list_tasks",
    "load_benchmark",
    "load_model",
    "load_task",
    "read_results",
    "reranker",
    "retriever",
    "score_run",
    "score_vectors",
    "site",
    "to_mteb",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  any public name
    if name in _HOME:
        return getattr(importlib.import_module(f"kemb.{_HOME[name]}"), name)
    raise AttributeError(f"module 'kemb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
