"""Fresh hostile inputs, which stand in no case: what becomes of each, counted.

    python tests/fuzz/run_fresh.py [--seed 0] [--of-each 12] [--folders 48] [--out FILE] [KIND...]

Every target of `targets.py` is broken in new ways by chance from a seed, and folders of data are
made wrong in one or two of the ways that people's data are. Each input has one outcome: the worst
of its commands.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cases"))

import folders  # noqa: E402  its own imports are in the folder of cases
import run_cases  # noqa: E402
import targets  # noqa: E402

SLOW_SECONDS = 20
OUTCOMES = ("taken", "refused", "unclear", "wrong", "wrote", "slow", "traceback")
"""From good to bad: a result; a paragraph that names the file; one that names nothing; numbers that
are none; files left by what was refused; more than 20 seconds, or too much memory; a traceback.
"""
FOLDER_COMMANDS = ("check d", "run ./d -m toy --store s --results out --json")


@dataclass(frozen=True)
class Tried:
    """One input and what became of it."""

    kind: str
    number: int
    outcome: str
    command: str
    words: str
    """The fault, or the end of what was said."""
    seconds: float


def of_target(kind: str, number: int, seed: int, runner: run_cases.Runner) -> Tried:
    """Break a target's file and see."""
    chance = random.Random(f"{seed} {kind} {number}")
    target = targets.TARGETS[kind]
    content = target.breaker(chance, targets.seed_of(kind, runner))
    folder = runner.folder / f"{kind}-{number}"
    ends = list(targets.calls_of(target, content, runner, folder))
    tried = _worst(kind, number, ends, rf"{re.escape(Path(target.file).name)}|line \d|prompts file")
    shutil.rmtree(folder, ignore_errors=True)
    return tried


def of_folder(number: int, seed: int, runner: run_cases.Runner) -> Tried:
    """Make a folder of data that is wrong in some way and see."""
    chance = random.Random(f"{seed} folder {number}")
    folder = runner.folder / f"folder-{number}"
    folder.mkdir()
    ways = folders.make_folder(chance, folder / "d")
    ends = list(targets.ends_of(FOLDER_COMMANDS, "light", runner, folder))
    names = r"\bd\b|test|train|corpus|queries|qrels|task\.toml"
    tried = _worst(f"folder: {' + '.join(ways)}", number, ends, names)
    shutil.rmtree(folder, ignore_errors=True)
    return tried


def _worst(
    kind: str, number: int, ends: list[tuple[run_cases.Call, list[str]]], names: str
) -> Tried:
    tries = [
        Tried(
            kind,
            number,
            _outcome(call, faults, names),
            call.verb,
            _words(call, faults),
            call.seconds,
        )
        for call, faults in ends
    ]
    return max(tries, key=lambda tried: OUTCOMES.index(tried.outcome))


def _outcome(call: run_cases.Call, faults: list[str], names: str) -> str:
    text = " ".join(faults)
    if "traceback" in text or call.exit not in (0, 1, 2):
        return "slow" if call.cpu_seconds > targets.CPU_SECONDS - 1 else "traceback"
    if call.seconds > SLOW_SECONDS or "kB" in text:
        return "slow"
    if "wrote" in text:
        return "wrote"
    if "prints" in text:
        return "wrong"
    if faults:
        return "unclear"
    if call.exit == 0:
        return "taken"
    return "refused" if re.search(names, call.out + call.err) else "unclear"


def _words(call: run_cases.Call, faults: list[str]) -> str:
    said = (call.err or call.out).strip()[-400:]
    return f"{faults}: {said}" if faults else said


def try_all(options: argparse.Namespace, runner: run_cases.Runner) -> Iterator[Tried]:
    """Every input, in order."""
    for kind in options.kinds or targets.TARGETS:
        if kind in targets.TARGETS:
            for number in range(options.of_each):
                yield of_target(kind, number, options.seed, runner)
    for number in range(options.folders if not options.kinds or "folder" in options.kinds else 0):
        yield of_folder(number, options.seed, runner)


def main() -> None:
    """A line per input that is not right, then the counts; exit 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--of-each", type=int, default=12, help="inputs of each target")
    parser.add_argument("--folders", type=int, default=48, help="folders of data")
    parser.add_argument("--out", type=Path, help="file for all outcomes, as JSON lines")
    parser.add_argument("kinds", nargs="*", help=f"of folder, {', '.join(targets.TARGETS)}")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kemb-fresh-"))
    runner = run_cases.Runner(folder)
    start = time.monotonic()
    counts: Counter[str] = Counter()
    try:
        for tried in try_all(options, runner):
            counts[tried.outcome] += 1
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(tried), ensure_ascii=False) + "\n")
            if tried.outcome not in ("taken", "refused"):
                print(
                    f"{tried.outcome}  {tried.kind} {tried.number}: {tried.command}: {tried.words}"
                )
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)
    listed = ", ".join(f"{outcome} {counts[outcome]}" for outcome in OUTCOMES)
    print(f"{sum(counts.values())} inputs in {time.monotonic() - start:.0f} s: {listed}")
    sys.exit(any(counts[outcome] for outcome in OUTCOMES[2:]))


if __name__ == "__main__":
    main()
