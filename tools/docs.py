"""What `cog` writes into docs/: the help of every verb, tables of tasks and models, the tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click

from kemb import tasks
from kemb.boards import benchmark
from kemb.cli import cli
from kemb.models import catalogue
from kemb.training.arguments import LIBRARY_DEFAULT, PUBLISHED
from kemb.training.losses import KINDS

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "kemb"


def cli_help() -> str:
    """The help of every verb, in Markdown."""
    sections = []

    def add(command: click.Command, path: str) -> None:
        context = click.Context(command, info_name=path, terminal_width=100)
        sections.append(f"## `{path}`\n\n```\n{command.get_help(context).rstrip()}\n```\n")
        if isinstance(command, click.Group):
            for name in sorted(command.commands):
                add(command.commands[name], f"{path} {name}")

    add(cli, "kemb")
    return "\n".join(sections)


def task_table() -> str:
    """Every task, with its data and where it stands."""
    lists = {name: set(benchmark.load_benchmark(name).tasks) for name in benchmark.names()}
    lines = [
        "| task | type | subsets | splits | main score | data set @ revision | licence | in |",
        "|---|" * 1 + "---|" * 7,
    ]
    for name in tasks.names():
        spec = tasks.load_spec(name)
        source = f"{spec.source.hub} @ {spec.source.revision[:8]}"
        member = ", ".join(bench for bench, names in lists.items() if name in names)
        cells = [
            name,
            spec.type,
            " ".join(spec.subsets),
            " ".join(spec.splits),
            spec.main_metric,
            source,
        ]
        lines.append("| " + " | ".join([*cells, spec.license, member]) + " |")
    return "\n".join(lines) + "\n"


def model_table() -> str:
    """Every known model."""
    lines = ["| model | loader | dim | max tokens | licence |", "|---|---|---:|---:|---|"]
    for name in catalogue.names():
        spec = catalogue.load_spec(name)
        assert spec is not None
        lines.append(
            f"| {spec.name} | {spec.loader} | {spec.dim or ''} | {spec.max_tokens or ''} | "
            f"{spec.license} |"
        )
    return "\n".join(lines) + "\n"


def loss_table() -> str:
    """Every loss by family."""
    lines = [
        "| family | name | class of sentence-transformers | data | settings |",
        "|---|---|---|---|---|",
    ]
    for family, kinds in KINDS.items():
        for name, kind in kinds.items():
            options = ", ".join(sorted(kind.options)) + (", guide" if kind.guided else "")
            lines.append(f"| {family} | `{name}` | {kind.cls} | {kind.shape} | {options} |")
    return "\n".join(lines) + "\n"


def argument_table() -> str:
    """The arguments of a published card that are not simply kept as the library has them."""
    lines = ["| argument | | now |", "|---|---|---|"]
    for name, entry in PUBLISHED.items():
        if entry.now != LIBRARY_DEFAULT:
            lines.append(f"| `{name}` | {entry.fate} | {entry.now} |")
    kept = [name for name, entry in PUBLISHED.items() if entry.now == LIBRARY_DEFAULT]
    return (
        "\n".join(lines) + f"\n\nKept with the library's default ({len(kept)}): "
        f"{', '.join(f'`{name}`' for name in kept)}.\n"
    )


def module_tree() -> str:
    """Every package and module with the first sentence of its docstring, in the order of the layers
    that docs/architecture.md lists.
    """
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| ((?:`\w+` ?)+)\|", page, re.MULTILINE)
    tops = [name for names in rows for name in re.findall(r"`(\w+)`", names)]
    entries = [SRC / name for name in tops if (SRC / name).is_dir()]
    modules = [SRC / f"{name}.py" for name in tops if (SRC / f"{name}.py").is_file()]
    lines = [_entry(path, path.stem) for path in [SRC / "__main__.py", *modules]]
    for folder in entries:
        lines += ["", f"**`{folder.name}/`**: {_first_sentence(folder / '__init__.py')}", ""]
        for path in sorted(set(folder.rglob("*.py")) - {folder / "__init__.py"}):
            name = path.relative_to(folder).with_suffix("").as_posix()
            lines.append(_entry(path, name.removesuffix("__init__")))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _entry(path: Path, name: str) -> str:
    return f"- `{name}`: {_first_sentence(path)}"


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s(?=[A-Z`])", paragraph)[0]
