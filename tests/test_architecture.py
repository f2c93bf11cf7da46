"""DESIGN section 2 as a test: who may import whom, how large things may be, what is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kemb

SRC = Path(kemb.__file__).parent
MODULES = sorted(SRC.rglob("*.py"))

# A module may import from its own layer and from those before it.
LAYERS = [
    ["errors", "types"],
    ["perturb_tables", "perturb"],
    ["hub", "trec", "tasks", "models", "documents", "results", "demo"],
    ["benchmarks", "claims", "rows"],
    ["shards", "store"],
    ["groups", "workers", "encode"],
    ["score"],
    ["views", "gather", "retrieve"],
    ["stats", "recompute", "provenance", "lengths", "merge"],
    ["items", "flips", "adapters"],
    ["run", "paired"],
    ["board", "compare", "verify", "audit"],
    ["study"],
    ["train"],
    ["publish"],
    ["pipeline"],
    ["submission"],
    ["submit"],
    [
        "cli_options",
        "cli_lists",
        "cli_compare",
        "cli_audit",
        "cli_card",
        "cli_import",
        "cli_run",
        "cli_site",
        "cli_study",
        "cli_submit",
        "cli_train",
        "cli",
    ],
]
MAY_IMPORT_TORCH = {
    "models/dense.py",
    "models/heads.py",
    "models/runtime.py",
    "models/onnx_export.py",
    "score/search.py",
    "provenance.py",
    "pipeline.py",
}
"""And train/. provenance asks for the name of the GPU a model ran on, pipeline for the number of
threads.
"""
HEAVY = set(
    "torch transformers sentence_transformers datasets sklearn scipy pandas kiwipiepy rich".split()
)
MAY_IMPORT_AT_TOP = {"rich": {"publish/terminal.py", "publish/findings.py"}}


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def layer_of(module: str) -> int:
    top = module.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if top in names)


def imports_of(tree: ast.Module, top_level_only: bool = False) -> Iterator[str]:
    """Names of imported modules; not those under TYPE_CHECKING."""
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in tree.body if top_level_only else ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_layers_sizes_and_heavy_imports(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    name = name_of(path)
    assert text.count("\n") <= 400, f"{name} is over 400 lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert n_lines <= 60, f"{name}: {node.name} has {n_lines} lines"
    if name != "__init__.py":
        own = layer_of("kemb." + name.removesuffix(".py").replace("/", "."))
        for imported in imports_of(tree):
            if imported.startswith("kemb."):
                assert layer_of(imported) <= own, f"{name} imports {imported} from a layer above"
    for imported in imports_of(tree, top_level_only=True):
        package = imported.split(".")[0]
        assert package not in HEAVY or name in MAY_IMPORT_AT_TOP.get(package, ()), (
            f"{name} imports {package} at once"
        )
    if any(imported.split(".")[0] == "torch" for imported in imports_of(tree)):
        assert name in MAY_IMPORT_TORCH or name.startswith("train/"), f"{name} imports torch"


def test_inheritance_is_one_level_deep() -> None:
    own: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                own[node.name] = [
                    ast.unparse(base).split(".")[-1].split("[")[0] for base in node.bases
                ]
    allowed = {"Protocol", "NamedTuple", "Group"}  # click's

    def is_free(name: str) -> bool:
        """Exceptions and pydantic models may be trees."""
        if name in ("Exception", "BaseModel"):
            return True
        return any(is_free(base) for base in own.get(name, []))

    for name, bases in own.items():
        if is_free(name):
            continue
        for base in bases:
            grand = [b for b in own.get(base, []) if b not in allowed]
            assert not grand, f"{name} inherits {base}, which inherits {grand}"


def test_public_names_are_those_promised() -> None:
    assert kemb.__all__ == sorted(kemb.__all__)
    for name in kemb.__all__:
        assert getattr(kemb, name) is not None
    assert kemb.__all__ == [
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


def test_importing_kemb_or_its_command_line_loads_nothing_heavy() -> None:
    script = (
        f"import sys, kemb, kemb.cli; print(sorted({HEAVY | {'pyarrow', 'pydantic', 'numpy'}} "
        "& set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
