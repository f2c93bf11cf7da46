"""What is broken: a file, the ways to break it, and the commands that read it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import case_checks
import foreign
import run_cases

CPU_SECONDS = 10
KILOBYTES = 1_500_000
SHARED = run_cases.SHARED / "cases"
ITEMS = "r/kemb__toy/597ceae6317b/KorSTS.items.parquet"
META = "r/kemb__toy/597ceae6317b/model_meta.json"
RECORD = "r/kemb__toy/597ceae6317b/KorSTS.json"
RUN = "run d -m m --store s --results out --json"
OF_RESULTS = (
    "board --results r --format json",
    "verify toy --items-only --results r",
    "card toy --results r -o C.md",
)
BENCHMARK_TOML = b"""name = "mine"
title = "Mine"
cells = [
  { task = "KorSTS", group = "pairs", metric = "cosine_spearman" },
  { task = "SIB200Classification", group = "classes", subsets = ["kor_Hang"] },
]
[formulas.default]
title = "Half"
weights = { pairs = "1/2", classes = "1/2" }
[formulas.other]
weights = "cells"
"""
CARD = b"""---
language: [ko]
license: apache-2.0
model-index:
- name: mine
  results:
  - task:
      type: STS
    dataset:
      type: dkoterwa/kor-sts
      name: MTEB KorSTS
      config: default
      split: test
      revision: None
    metrics:
    - type: cosine_spearman
      value: 71.5
    - type: main_score
      value: 71.5
---
# Mine

| Model | KorSTS | KLUE-STS |
|---|---|---|
| mine | 71.50 | 80.10 |
"""
PROMPTS = b'{"prompts": {"query": "query: ", "document": "passage: "}, "name": "org/x"}'
Make = Callable[[Path, run_cases.Runner], bytes]


@dataclass(frozen=True)
class Target:
    """A file, how it is broken, and the commands that read it.

    :param folder: with what the commands need, below the shared cases.
    :param file: the one that is broken.
    :param make: gives the sound file where the folder has none.
    :param mend: makes a copy of the folder sound, where a file of it is not.
    """

    folder: str
    file: str
    breaker: foreign.Breaker
    commands: tuple[str, ...]
    server: str = "light"
    make: Make | None = None
    mend: Callable[[Path], None] | None = None

    def seed(self, folder: Path, runner: run_cases.Runner) -> bytes:
        """The file as it is sound.

        :param folder: an empty one, to make it in.
        """
        self.copy_to(folder)
        return self.make(folder, runner) if self.make else (folder / self.file).read_bytes()

    def copy_to(self, folder: Path) -> None:
        """Put what the commands need into a folder."""
        shutil.copytree(SHARED / self.folder, folder, dirs_exist_ok=True)
        run_cases.make_writable(folder)
        if self.mend:
            self.mend(folder)


def _submission(folder: Path, runner: run_cases.Runner) -> bytes:
    call = runner.ask("light", "submit tfidf:char -o z.zip --results r".split(), folder)
    assert call.exit == 0, call.err
    return (folder / "z.zip").read_bytes()


def _run_file(folder: Path, _: run_cases.Runner) -> bytes:
    """A TREC run of the folder's own queries and documents."""
    texts = [(folder / f"d/{name}.jsonl").read_text("utf-8") for name in ("queries", "corpus")]
    ids = [[json.loads(line)["_id"] for line in text.splitlines()] for text in texts]
    lines = [
        f"{query} Q0 {document} {rank} {1 / rank:.6f} mine"
        for query in ids[0]
        for rank, document in enumerate(ids[1][:20], 1)
    ]
    return "\n".join(lines).encode()


def _claims(folder: Path, runner: run_cases.Runner) -> bytes:
    (folder / "d.md").write_bytes(CARD)
    call = runner.ask("light", "import card d.md --model lab/mine --results r".split(), folder)
    path = next((folder / "r/claims").glob("*.parquet"), None)
    assert path is not None, call.err
    return path.read_bytes()


def _task_file(folder: Path, runner: run_cases.Runner) -> bytes:
    call = runner.ask("light", "check d --toml".split(), folder)
    assert call.exit == 0, call.err
    return call.out.encode()


def _constant(content: bytes) -> Make:
    return lambda folder, runner: content


def _recipe(file: str, breaker: foreign.Breaker) -> Target:
    commands, folder = ("train t.toml --dry-run",), "hostile/R-10-mine-none/in"
    return Target(folder, file, breaker, commands, "torch", mend=_known_teacher)


def _known_teacher(folder: Path) -> None:
    recipe = folder / "t.toml"
    recipe.write_bytes(recipe.read_bytes().replace(b'"nope"', b'"bm25:bigram"'))


def _model(file: str, breaker: foreign.Breaker = foreign.broken_json) -> Target:
    return Target("hostile/M-50-unreadable/in", f"m/{file}", breaker, (RUN,), "torch")


def _data(file: str, breaker: foreign.Breaker, make: Make | None = None) -> Target:
    commands = ("check d", "run d -m toy --store s --results out --json")
    return Target("hostile/E-01-06/in", f"d/{file}", breaker, commands, make=make)


_TABLE = "import table README.md --benchmark ko-leaderboard-v2 --results out --name x"
_OF_RESULTS = "hostile/J-07-broken-symlink/in"
_CARD = "hostile/I-03-card-bad-date-value/in"
TARGETS = {
    "table-import": Target(
        "field/10-import-leaderboard-v2-header", "README.md", foreign.broken_text, (_TABLE,)
    ),
    "table-audit": Target(
        "field/11-import-header-one-name-too-many",
        "README.md",
        foreign.broken_text,
        ("audit README.md", "audit README.md --json"),
    ),
    "card": Target(
        _CARD,
        "d.md",
        foreign.broken_text,
        ("audit d.md", "import card d.md --model lab/mine --results r"),
        make=_constant(CARD),
    ),
    "csv": Target("hostile/A-2-401loc/in", "d/test.csv", foreign.broken_text, ("check d",)),
    "corpus": _data("corpus.jsonl", foreign.broken_text),
    "qrels": _data("qrels/test.tsv", foreign.broken_lines),
    "task": _data("task.toml", foreign.broken_toml, _task_file),
    "run": Target(
        "hostile/E-01-06/in",
        "mine.trec",
        foreign.broken_lines,
        ("run d -m run:mine.trec --store s --results out --json",),
        make=_run_file,
    ),
    "claims": Target(
        "hostile/E-01-06/in",
        "r/claims/x.parquet",
        foreign.broken_bytes,
        ("board KorSTS --claimed --only claimed --results r --format csv",),
        make=_claims,
    ),
    "prompts": Target(
        "hostile/M-50-unreadable/in",
        "p.json",
        foreign.broken_json,
        ("run d -m m --prompts p.json --store s --results out --json",),
        "torch",
        make=_constant(PROMPTS),
    ),
    "recipe": _recipe("t.toml", foreign.broken_toml),
    "pairs": _recipe("p.csv", foreign.broken_lines),
    "record": Target(_OF_RESULTS, RECORD, foreign.broken_json, OF_RESULTS),
    "items": Target(_OF_RESULTS, ITEMS, foreign.broken_bytes, OF_RESULTS),
    "meta": Target(
        _OF_RESULTS,
        META,
        foreign.broken_json,
        (
            "verify r/kemb__toy/597ceae6317b/model_meta.json",
            "site -o site --only measured --results r",
        ),
    ),
    "benchmark": Target(
        _OF_RESULTS,
        "b.toml",
        foreign.broken_toml,
        ("board b.toml --results r",),
        make=_constant(BENCHMARK_TOML),
    ),
    "submission": Target(
        _OF_RESULTS,
        "z.zip",
        foreign.broken_zip,
        ("verify z.zip", "import submission z.zip --results out"),
        make=_submission,
    ),
    "model-config": _model("config.json"),
    "modules": _model("modules.json"),
    "pooling": _model("1_Pooling/config.json"),
    "tokenizer": _model("tokenizer.json"),
    "tensors": _model("model.safetensors", foreign.broken_tensors),
}


@cache
def seed_of(name: str, runner: run_cases.Runner) -> bytes:
    """The sound file of a target, made once."""
    folder = runner.folder / f"seed-{name}"
    folder.mkdir()
    return TARGETS[name].seed(folder, runner)


def calls_of(
    target: Target, content: bytes, runner: run_cases.Runner, folder: Path
) -> Iterator[tuple[run_cases.Call, list[str]]]:
    """Break the file, type the commands, and give each with what is wrong about its end."""
    target.copy_to(folder)
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    yield from ends_of(target.commands, target.server, runner, folder)


def ends_of(
    commands: tuple[str, ...], server: str, runner: run_cases.Runner, folder: Path
) -> Iterator[tuple[run_cases.Call, list[str]]]:
    """Type commands in a folder, and give each with what is wrong about its end."""
    for command in commands:
        before = _files(folder)
        call = runner.ask(server, command.split(), folder, CPU_SECONDS)
        faults = list(case_checks.sound_call(call))
        if call.peak_kilobytes > KILOBYTES:
            faults.append(f"took {call.peak_kilobytes} kB")
        is_partial = "import" in command and " numbers, " in call.out  # and says what is not in it
        if call.exit and not is_partial and _files(folder) != before:
            new = sorted(set(_files(folder).items()) ^ set(before.items()))
            faults.append(f"was refused and wrote {new[:3]}")
        yield call, [*faults, *_numbers(call)]


def _numbers(call: run_cases.Call) -> Iterator[str]:
    """Numbers that no score can be, in what a program reads."""
    if call.exit or not call.out.startswith(("{", "[")):
        return
    try:
        report = json.loads(call.out)
    except ValueError:
        yield "prints JSON that is none"
        return
    stack = [report]
    while stack:
        value = stack.pop()
        if isinstance(value, (dict, list)):
            stack += value.values() if isinstance(value, dict) else value
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"prints {value}"


def _files(folder: Path) -> dict[str, int]:
    """The files with their sizes; the store of vectors may grow."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in paths}
    return {name: size for name, size in sizes.items() if not name.startswith(("s/", "home/"))}
