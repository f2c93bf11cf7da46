"""Commands that messages propose: the verbs and options exist, and what is typed in full is parsed
by the command line.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kemb.cli import cli
from kemb.errors import ResultError
from kemb.results.files import TaskResult, again, items_path, read_items, read_results
from records import record
from source import FILES, SRC, name_of, nodes_of

OF_OTHERS = {"--force-reinstall", "--local-dir", "--gpus"}
"""Options of pip, hf and docker."""
_COMMAND = re.compile(r"(?<![\w./-])kemb (?=[a-z])([^`\"\n]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_STOP = re.compile(r"[.,;:)](?=\s|$)| \(|(?<=\s)(?:and|or|for|to|of|does|with|by|it|on|in|is) ")


@cache
def sentences() -> list[tuple[str, str]]:
    """(place, text) of everything that may reach a user: strings of the code but docstrings, with X
    where a value is filled in, and the tables of sentences.
    """
    texts = []
    for path in FILES:
        docstrings = {
            id(node.body[0].value)
            for node in nodes_of(path)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        docstrings |= {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}
        inner = {
            id(part)
            for node in nodes_of(path)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in nodes_of(path):
            if id(node) in docstrings or id(node) in inner:
                continue
            text = text_of(node)
            if text:
                texts.append((f"{name_of(path)}:{node.lineno}", text))  # type: ignore[attr-defined]
    for path in sorted((SRC / "messages" / "table").glob("*.toml")):
        for name, forms in tomllib.loads(path.read_text(encoding="utf-8")).items():
            texts += [(f"{path.stem}.{name}", re.sub(r"\{[^}]*\}", "X", str(forms["en"])))]
            texts += [(f"{path.stem}.{name}", re.sub(r"\{[^}]*\}", "X", str(forms["ko"])))]
    return texts


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
        )
    return ""


def commands() -> Iterator[tuple[str, str]]:
    """(place, command) of what may be typed; prose after an unquoted one is cut off."""
    for place, text in sentences():
        quoted = re.findall(r"`(kemb [^`]*)`", text)
        yield from ((place, command) for command in quoted)
        for match in _COMMAND.finditer(re.sub(r"`[^`]*`", "", text)):
            rest = _STOP.split(match[1])[0].strip()
            yield place, f"kemb {rest}"


def words_of(command: str) -> list[str]:
    try:
        return shlex.split(command)[1:]
    except ValueError:  # a quotation mark of the sentence
        return command.split()[1:]


def verb_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that words name, and the words after its name; None for none of kemb's."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    return (None if command is cli else command), rest


@cache
def options_of(command: click.Command) -> set[str]:
    names = {"--help", "-h"}
    for parameter in command.params:
        names |= {*parameter.opts, *parameter.secondary_opts}
    if isinstance(command, click.Group):  # `kemb prompts MODEL TASK` is `kemb prompts show ...`
        names |= {name for verb in command.commands.values() for name in options_of(verb)}
    return names


def test_commands_in_messages_are_commands_with_options_that_they_have() -> None:
    seen, wrong = set(), []
    for place, text in commands():
        words = words_of(text)
        command, rest = verb_of(words)
        if command is None:
            continue  # prose: "kemb does not know ..."
        seen.add(words[0])
        unknown = {word for word in rest if re.match(r"-{1,2}[a-z]", word)} - options_of(command)
        wrong += [(place, text, name) for name in unknown]
    assert wrong == []
    assert {"run", "board", "check", "verify", "submit", "site", "store", "tasks"} <= seen


def test_quoted_commands_have_a_verb() -> None:
    texts = " ".join(text for _, text in sentences() if text.count("`") % 2 == 0)
    quoted = re.findall("`(kemb [^`]*)`", texts)
    assert len(quoted) > 20
    assert [text for text in quoted if verb_of(words_of(text))[0] is None] == []


def test_options_in_messages_are_options_of_some_verb() -> None:
    known = options_of(cli) | {"--debug", "--version"}
    others = re.compile(r"`?\b(?:pip|qpdf|hf|iconv|docker|curl|git|mteb|npm|ray)\b[^`.;]*")
    wrong = [
        (place, name)
        for place, text in sentences()
        if " " in text
        for name in _OPTION.findall(others.sub("", text))
        if name not in known | OF_OTHERS
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("results/files.py", ["run", "X", "-m", "X", "--rescore"]),
        ("publishing/card/card.py", ["run", "TASK", "-m", "X"]),
        ("site.no_older_state", ["site", "-o", "DIR", "--snapshot"]),
        ("cli.demo_results", ["run", "./mydata", "-m", "bm25:bigram", "-m", "tfidf:char"]),
        ("tasks/sources.py", ["tasks", "fetch", "TASK", "-o", "DIR"]),
        ("publishing/submission.py", ["submit", "MODEL", "-o", "FILE.zip"]),
    ],
)
def test_what_is_proposed_in_full_is_taken_by_the_command_line(
    place: str, arguments: list[str]
) -> None:
    said = " ".join(text for where, text in sentences() if where.startswith(place))
    assert all(word in said for word in arguments if word not in ("X", "run")), said
    command, rest = verb_of(arguments)
    assert command is not None
    command.make_context(arguments[0], list(rest))  # raises where an argument or option lacks


@pytest.mark.parametrize(
    ("command", "proposed"),
    [
        ("kemb run 'my data' -m toy", "kemb run 'my data' -m toy --rescore"),
        ("kemb run x -m toy --rescore", "kemb run x -m toy --rescore"),
        ("kemb run x; rm -r y", "kemb run 'x;' rm -r y --rescore"),
        ("kemb run $(touch y) -m toy", "kemb run '$(touch' 'y)' -m toy --rescore"),
        ("kemb run \x1b[31m", "kemb run T -m 'org/my model' --rescore"),
        ("kemb run 'x", "kemb run T -m 'org/my model' --rescore"),
        ("rm -r y", "kemb run T -m 'org/my model' --rescore"),
        ("", "kemb run T -m 'org/my model' --rescore"),
    ],
)
def test_the_command_of_a_strangers_record_is_quoted(command: str, proposed: str) -> None:
    made = record(command=command)
    result = TaskResult(Path("T.json"), "org/my model", "1", "", "T", "d1", {}, made)
    assert again(result, "--rescore") == proposed
    hostile = replace(result, model="\x1b[31m", task="a\nb", kemb=None)
    assert again(hostile, "--rescore") == "kemb run TASK -m MODEL --rescore"


def test_items_that_are_lost_come_back_by_the_command_that_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my data").mkdir()
    rows = [f"글 {number} 하나,글 {number % 3} 둘,{number % 5}" for number in range(12)]
    Path("my data/test.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n")
    Path("my data/task.toml").write_text('name = "mine"\n')

    def type_in(words: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", words)
        outcome = CliRunner().invoke(cli, words[1:])
        assert outcome.exit_code == 0, outcome.output

    where = ["--results", "r", "--store", "s"]
    type_in(["kemb", "run", "my data", "-m", "toy", "--quantize", "int8", *where])
    results = {result.variant: result for result in read_results(Path("r"))}
    (variant,) = (name for name in results if name)
    items = read_items(results[variant])
    items_path(results[variant]).unlink()
    with pytest.raises(ResultError) as refusal:
        read_items(results[variant])
    command = str(refusal.value).partition("Make them again with: ")[2]
    type_in(shlex.split(command))
    remade = {result.variant: result for result in read_results(Path("r"))}[variant]
    assert read_items(remade).equals(items)
    assert remade.main_score == results[variant].main_score
