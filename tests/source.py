"""kemb's source, parsed once for all tests that read it (they share a process: conftest.py)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import kemb

SRC = Path(kemb.__file__).parent
FILES = sorted(SRC.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def dotted(node: ast.expr) -> str:
    """`name` or `object.name`; nothing for any other expression."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
    return ""
