"""The table and the code that uses it: no key is missing or unused, no placeholder differs."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, nodes

import kemb
from kemb.messages import LANGS, say
from kemb.messages.particles import PARTICLES
from kemb.tasks.own.findings import title_of

SRC = Path(kemb.__file__).parent
AREAS = sorted((SRC / "messages" / "table").glob("*.toml"))
TABLE = {
    f"{path.stem}.{name}": forms
    for path in AREAS
    for name, forms in tomllib.loads(path.read_text(encoding="utf-8")).items()
}
HANGUL = re.compile("[가-힣]")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def is_call_of_a_sentence(node: ast.AST, source: str) -> bool:
    """`note(...)` of `kemb.messages`, and the functions that pass on a key: `t`, `_said`,
    `_named`.
    """
    if not isinstance(node, ast.Call) or not node.args or isinstance(node.args[0], ast.Name):
        return False
    name = ast.unparse(node.func)
    if name == "note":
        return re.search(r"from kemb\.messages import .*\bnote\b", source) is not None
    return name in ("messages.note", "context.t", "self.t", "_said", "_named")


def calls_in_python() -> Iterator[tuple[str, ast.expr, set[str] | None]]:
    """(where, key, names of values; None where they are not spelled out) of every call."""
    for path in sorted(SRC.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if is_call_of_a_sentence(node, source):
                assert isinstance(node, ast.Call)
                keywords = [keyword.arg for keyword in node.keywords]
                values = None if None in keywords else {word for word in keywords if word}
                yield f"{path.relative_to(SRC)}:{node.lineno}", node.args[0], values


def constants() -> Iterator[tuple[str, str]]:
    """(where, text) of every string of the program that reads like a key of a known area, but for
    names of pages.
    """
    areas = "|".join(path.stem for path in AREAS)
    like_a_key = re.compile(rf"({areas})\.[a-z0-9_]*[a-z0-9]")
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = getattr(node, "value", None)
            if isinstance(node, ast.Constant) and isinstance(text, str):
                if like_a_key.fullmatch(text) and not text.endswith(".html"):
                    yield f"{path.relative_to(SRC)}:{node.lineno}", text


def keys_of(expression: ast.expr) -> set[str]:
    """The keys that a call can mean: one, one of two, or all that begin like an f-string."""
    match expression:
        case ast.Constant(value=str(key)):
            return {key}
        case ast.IfExp(body=body, orelse=orelse):
            return keys_of(body) | keys_of(orelse)
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
            return {key for key in TABLE if key.startswith(start)}
    raise AssertionError(f"the key {ast.unparse(expression)} cannot be read without running it")


def calls_in_templates() -> Iterator[tuple[str, str, set[str]]]:
    environment = Environment()
    for path in sorted((SRC / "publishing" / "templates").glob("*.j2")):
        tree = environment.parse(path.read_text(encoding="utf-8"))
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                assert isinstance(call.args[0], nodes.Const), f"{path.name}:{call.lineno}"
                yield (
                    f"{path.name}:{call.lineno}",
                    call.args[0].value,
                    {keyword.key for keyword in call.kwargs},
                )


CALLS = [
    (where, key, values)
    for where, expression, values in calls_in_python()
    for key in sorted(keys_of(expression))
] + list(calls_in_templates())


def test_the_calls_are_found() -> None:
    assert len(CALLS) > 200
    assert any(where.startswith("board.html.j2") for where, _, _ in CALLS)


def test_no_key_is_missing() -> None:
    assert {f"{where}: {key}" for where, key, _ in CALLS if key not in TABLE} == set()
    assert {f"{where}: {text}" for where, text in constants() if text not in TABLE} == set()
    for where, expression, _ in calls_in_python():
        assert keys_of(expression), f"{where}: no key begins like {ast.unparse(expression)}"


def test_no_key_is_unused() -> None:
    assert set(TABLE) - {key for _, key, _ in CALLS} - {text for _, text in constants()} == set()


@pytest.mark.parametrize(("where", "key", "values"), CALLS)
def test_a_call_gives_the_values_of_its_sentence(
    where: str, key: str, values: set[str] | None
) -> None:
    if values is not None:
        assert values == placeholders(TABLE[key]["en"]), f"{where}: {key}"


@pytest.mark.parametrize("key", TABLE)
def test_a_sentence_is_whole_in_both_languages(key: str) -> None:
    forms: dict[str, Any] = TABLE[key]
    assert set(forms) == set(LANGS)
    assert placeholders(forms["en"]) == placeholders(forms["ko"])
    assert not HANGUL.search(re.sub(r"\{.*?\}", "", forms["en"]))
    for text in forms.values():
        for _, name, spec, conversion in string.Formatter().parse(text):
            if name is None:
                continue
            assert name.isidentifier(), f"{key}: {name!r}"
            assert conversion is None
            assert "/" not in (spec or "") or spec in PARTICLES, f"{key}: {spec!r}"


def test_particles_before_placeholders_are_written_by_hand_nowhere() -> None:
    by_hand = re.compile(r"\}(은|는|이|가|을|를|과|와|으로|로)(?=[ .,])")
    wrong = {key for key, forms in TABLE.items() if by_hand.search(forms["ko"])}
    assert wrong == set()


def test_templates_hold_no_sentence_of_their_own() -> None:
    for path in (SRC / "publishing" / "templates").glob("*.j2"):
        text = path.read_text(encoding="utf-8").replace("한국어", "")  # the name of the language
        assert not HANGUL.search(text), path.name


def kinds_of_findings() -> Iterator[tuple[str, str]]:
    """(where, kind) of every finding that the code notes and whose kind is spelled out."""
    for path in sorted((SRC / "tasks" / "own").glob("*.py")) + sorted(
        (SRC / "drafting").glob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            kind = node.args[0]
            name = ast.unparse(node.func)
            if name in ("findings.error", "findings.warn", "tell") and isinstance(
                kind, ast.Constant
            ):
                yield f"{path.name}:{node.lineno}", kind.value


def test_every_kind_of_finding_has_a_name_in_both_languages() -> None:
    kinds = list(kinds_of_findings())
    assert len(kinds) > 100
    for where, kind in kinds:
        assert title_of(kind).key in TABLE, f"{where}: {kind}"
        assert TABLE[title_of(kind).key]["en"] == kind
    assert say(title_of("other file (.jpg)"), "ko") == "다른 파일(.jpg)"
