"""docs/architecture.md as a test: who may import whom, how large things may be, what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kemb
from source import FILES, SRC, dotted, name_of, nodes_of, tree_of

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
HEAVY = set(
    "torch transformers sentence_transformers datasets sklearn scipy pandas kiwipiepy rich bs4 "
    "markdownify markitdown pdfminer unhwp".split()
)
MAY_IMPORT_AT_TOP = {"rich": {"publishing/terminal.py", "publishing/findings.py"}}
PLAIN_DATA = {"errors.py", "tasks/kinds.py", "models/families.py", "publishing/site/words.py"}
"""Registries of plain data, which may be short or long."""
DIALECT = set(
    "asked chosen counted counting done drawn favoured found given gone held kept known made named "
    "needed own refused said seen shown taken there told used wanted written".split()
)
"""What a variable is not named: it says what was done to a thing, not what the thing is."""
NOT_YET_SPHINX: tuple[str, ...] = ()
"""Where docstrings may still have Google's sections."""


def module_of(path: Path) -> str:
    parts = ("kemb", *path.relative_to(SRC).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def layers() -> dict[str, int]:
    """The layer of every entry at the top, from the page's table."""
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+` ?)+)\|", PAGE, re.MULTILINE)
    return {name: int(number) for number, names in rows for name in re.findall(r"`(\w+)`", names)}


@cache
def imports_of(path: Path, top_level_only: bool = False) -> tuple[str, ...]:
    """Names of imported modules and of what they give; not those under TYPE_CHECKING."""
    typing_only = {
        child
        for node in nodes_of(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    names: list[str] = []
    for node in tree_of(path).body if top_level_only else nodes_of(path):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


@cache
def modules_imported_by(path: Path) -> set[str]:
    """Modules of kemb, lazily imported ones included."""
    names = [name for name in imports_of(path) if name.split(".")[0] == "kemb"]
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def test_every_entry_at_the_top_has_a_layer_and_there_are_at_most_28() -> None:
    tops = {name.split(".")[1] for name in MODULES if "." in name} - {"__main__"}
    assert tops <= set(layers())
    entries = [path.name for path in SRC.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 28, sorted(entries)
    assert len(set(layers().values())) == 8


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_module_imports_from_a_layer_above(path: Path) -> None:
    module = module_of(path)
    if module in ("kemb", "kemb.__main__"):
        return
    layer = layers()[module.split(".")[1]]
    for imported in modules_imported_by(path):
        if imported != "kemb":
            above = layers()[imported.split(".")[1]] > layer
            assert not above, f"{name_of(path)} imports {imported} from a layer above"


def test_there_is_no_cycle_of_modules() -> None:
    graph = {
        module: modules_imported_by(path) & set(MODULES) - {"kemb", module}
        for module, path in MODULES.items()
        if module != "kemb"
    }
    while leaves := [module for module, imported in graph.items() if not imported & set(graph)]:
        for module in leaves:
            del graph[module]
    assert not graph, f"a cycle among {sorted(graph)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sizes_and_heavy_imports(path: Path) -> None:
    name = name_of(path)
    n_lines = path.read_text(encoding="utf-8").count("\n")
    assert n_lines <= 600 or name in PLAIN_DATA, f"{name} has {n_lines} lines"
    small = path.stem in ("__init__", "__main__") or name in PLAIN_DATA
    assert n_lines >= 40 or small, f"{name} has {n_lines} lines"
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert n_lines <= 60, f"{name}: {node.name} has {n_lines} lines"
    for imported in imports_of(path, top_level_only=True):
        package = imported.split(".")[0]
        assert package not in HEAVY or name in MAY_IMPORT_AT_TOP.get(package, ()), (
            f"{name} imports {package} at once"
        )
    if any(imported.split(".")[0] == "torch" for imported in imports_of(path)):
        allowed = PAGE[PAGE.index("`torch` is imported only") :].partition("\n\n")[0]
        in_folder = f"`{name.split('/')[0]}/`" in allowed
        assert f"`{name}`" in allowed or in_folder, f"{name} imports torch"


def test_inheritance_is_one_level_deep() -> None:
    bases_of: dict[str, list[str]] = {}
    for path in FILES:
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).split(".")[-1].split("[")[0] for base in node.bases]
                bases_of[node.name] = bases
    allowed = {"Protocol", "NamedTuple", "Group"}  # click's

    def is_free(name: str) -> bool:
        """Exceptions and pydantic models may be trees."""
        if name in ("Exception", "BaseModel"):
            return True
        return any(is_free(base) for base in bases_of.get(name, []))

    for name, bases in bases_of.items():
        if is_free(name):
            continue
        for base in bases:
            grand = [b for b in bases_of.get(base, []) if b not in allowed]
            assert not grand, f"{name} inherits {base}, which inherits {grand}"


def test_public_names_are_sorted_and_each_is_there() -> None:
    assert kemb.__all__ == sorted(kemb.__all__)
    for name in kemb.__all__:
        assert getattr(kemb, name) is not None


def test_importing_kemb_or_its_command_line_loads_nothing_heavy() -> None:
    heavy = HEAVY | {"pyarrow", "pydantic", "numpy"}
    script = f"import sys, kemb, kemb.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def assigned_names(path: Path) -> Iterator[str]:
    """Names of variables, arguments, loop variables and captures; not of fields of a class."""
    fields = {
        statement.target
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in nodes_of(path):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
            yield node.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_variables_are_named_for_what_they_hold(path: Path) -> None:
    vague = sorted(DIALECT & set(assigned_names(path)))
    assert not vague, f"{name_of(path)} has variables named {', '.join(vague)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_have_one_style_and_name_real_parameters(path: Path) -> None:
    if any(re.match(pattern, name_of(path)) for pattern in NOT_YET_SPHINX):
        return
    text = path.read_text(encoding="utf-8")
    google = re.findall(r"^ +(?:Args|Raises|Returns|Yields):$|:returns:", text, re.MULTILINE)
    assert not google, f"{name_of(path)} has {google[0].strip()}"
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            described = set(re.findall(r":param (\w+):", ast.get_docstring(node) or ""))
            parameters = {child.arg for child in ast.walk(node.args) if isinstance(child, ast.arg)}
            assert described <= parameters, f"{name_of(path)}: {node.name} {described - parameters}"


MAY_READ_WORDS = {("models/device.py", "is_out_of_memory")}
"""The one function that may decide by what an error says: torch's CPU allocator, onnxruntime and
OpenVINO have no class for it.
"""
MAY_RENAME_FOLDERS = {
    "training/stages.py": "a stage keeps its unfinished folder, so that --resume finds checkpoints",
    "training/export.py": "ONNX files that another tool wrote beside move into the export",
}


def functions_of(path: Path) -> Iterator[ast.AST]:
    """The functions of a module, or a module without functions as a whole."""
    functions = [
        node for node in nodes_of(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    yield from functions or [tree_of(path)]


def names_of_errors(function: ast.AST) -> set[str]:
    """Names that hold exceptions: of `except ... as`, of parameters, and what walks their chain."""
    names = {
        node.name
        for node in ast.walk(function)
        if isinstance(node, ast.ExceptHandler) and node.name is not None
    }
    if isinstance(function, ast.FunctionDef):
        for argument in function.args.args:
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            if re.search(r"Error\b|Exception\b", kind):
                names.add(argument.arg)
    for node in ast.walk(function):
        if isinstance(node, ast.comprehension | ast.For) and names & names_in(node.iter):
            names |= names_in(node.target)
    return names


def names_in(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def reads_words(node: ast.AST, errors: set[str]) -> bool:
    """Whether a condition looks into str(error) or error.args."""
    says = any(
        (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Name)
            and child.func.id in ("str", "repr")
            and names_in(child) & errors
        )
        or (isinstance(child, ast.Attribute) and child.attr == "args" and names_in(child) & errors)
        for child in ast.walk(node)
    )
    compares = isinstance(node, ast.Compare) and any(
        isinstance(operator, ast.In | ast.NotIn | ast.Eq | ast.NotEq) for operator in node.ops
    )
    searches = (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("search", "match", "fullmatch", "startswith", "endswith", "find")
    )
    return says and (compares or searches)


def readers_of_words(path: Path) -> set[tuple[str, str]]:
    return {
        (name_of(path), getattr(function, "name", ""))
        for function in functions_of(path)
        for errors in [names_of_errors(function)]
        if errors
        for node in ast.walk(function)
        if reads_words(node, errors)
    }


def test_errors_are_told_apart_by_type_and_never_by_words() -> None:
    assert set().union(*map(readers_of_words, FILES)) == MAY_READ_WORDS


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    f()\nexcept OSError as e:\n    if 'full' in str(e): pass",
        "try:\n    f()\nexcept OSError as e:\n    g(str(e).lower().startswith('full'))",
        "def f(error: Exception):\n    return error.args[0] == 'full'",
        "def f(error: Exception):\n    return any('full' in str(link) for link in chain(error))",
    ],
)
def test_the_check_of_words_finds_them(code: str) -> None:
    tree = ast.parse(code)
    function = next((node for node in tree.body if isinstance(node, ast.FunctionDef)), tree)
    errors = names_of_errors(function)
    assert any(reads_words(node, errors) for node in ast.walk(function))


def renames(path: Path) -> Iterator[str]:
    """Calls that give a file another name: of `os` and `shutil`, and `path.replace(target)`, which
    has one argument where that of a text has two.
    """
    for node in nodes_of(path):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        written = dotted(node.func)
        if written in ("os.replace", "os.rename", "os.renames", "shutil.move"):
            yield written
        elif written != "dataclasses.replace" and node.func.attr in ("rename", "replace"):
            if len(node.args) == 1 and not node.keywords:
                yield node.func.attr


def test_only_disk_renames_and_writes_beside() -> None:
    renaming = {name_of(path) for path in FILES if any(renames(path))}
    assert renaming - {"files/disk.py"} == set(MAY_RENAME_FOLDERS)
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "NamedTemporaryFile" not in text, name_of(path)
        assert '.tmp"' not in text or path.name == "disk.py", name_of(path)
