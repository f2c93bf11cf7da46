"""Kill kemb at random times, type the same command again, and see that nothing was lost or left.

    python tests/cases/run_kills.py [--kills 40] [--seed 0] [VERB...]

Every kill is a SIGKILL at a seeded share of the time that the command takes when nobody disturbs
it. After it the command is typed again; the files must then be those of the undisturbed command,
byte for byte, no file more and no file less. What says when and how long something was done is
left out of the comparison, nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import case_scripts
import run_cases

ENDED_BY_KILL = -9
DATA = run_cases.SHARED / "cases/hostile/data"
OF_TIME = {
    *("timestamp", "date", "started", "seconds", "evaluation_time", "encoded", "reads"),
    *("events.jsonl", "resumed_at"),
}
"""Keys whose values say when something was done, how long it took, how often it was looked at, and
what was in the store before; of an interrupted fit, where it went on and which steps it made twice.
"""
WORDS = (
    "서울 부산 대구 인천 광주 대전 울산 세종 학교 병원 도서관 시장 공원 극장 은행 우체국".split()
)
RECIPE = """recipe = 1
name = "k"
seed = 1
[base]
kind = "static"
dim = 16
tokenizer = { type = "bpe", vocab = 200 }
[[data]]
id = "qa"
source = { file = "qa.jsonl" }
license = "MIT"
[filters.contamination]
against = []
[mine]
teacher = { id = "bm25:bigram" }
rank = { min = 1, max = 30 }
negatives = 2
on_few = "keep"
[loss]
name = "mnrl"
[train]
batch = 8
max_steps = 12
save_every = 3
[evaluate]
tasks = ["./r1"]
lexical = []
[evaluate.guard]
decision = "none"
[card]
license = "MIT"
"""
Prepare = Callable[[Path, run_cases.Runner], None]


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    :param prepare: makes its inputs in a folder.
    :param unlike: files below it are compared by name alone: they show times, or count commands.
    """

    command: str
    prepare: Prepare
    server: str = "light"
    unlike: tuple[str, ...] = ()
    ends: tuple[int, ...] = (0,)


@dataclass
class Tally:
    """What became of the kills of a verb."""

    verb: str
    seconds: float = 0.0
    """Of the undisturbed command."""
    n_kills: int = 0
    n_too_late: int = 0
    """Tries in which the command had ended before."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.verb:12} {self.n_kills} kills, {self.n_kills - len(self.faults)} with equal "
            f"bytes and nothing left; {self.n_too_late} came too late; {self.seconds:.1f} s alone"
        )


def _small_data(folder: Path, _: run_cases.Runner) -> None:
    for name in ("c1", "r1", "s1"):
        shutil.copytree(DATA / "small" / name, folder / name)


def _many_texts(folder: Path, _: run_cases.Runner) -> None:
    """Data of one's own that is stored in several shards, and a small network."""
    draw = random.Random(7)
    texts = [" ".join(draw.choices(WORDS, k=8)) + f" {number}" for number in range(1500)]
    (folder / "d/qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    _write_lines(folder / "d/corpus.jsonl", documents)
    queries = [{"_id": f"q{n}", "text": texts[n * 9][:20]} for n in range(150)]
    _write_lines(folder / "d/queries.jsonl", queries)
    rows = "".join(f"q{number}\td{number * 9}\t1\n" for number in range(150))
    (folder / "d/qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")


def _with_network(folder: Path, runner: run_cases.Runner) -> None:
    _many_texts(folder, runner)
    case_scripts.make_syllable_model(folder / "m", runner.environment_of("torch", folder))


def _write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), "utf-8")


def _training(folder: Path, runner: run_cases.Runner) -> None:
    _small_data(folder, runner)
    draw = random.Random(8)
    rows = [
        {"anchor": f"{draw.choice(WORDS)} {n}은 어디?", "positive": " ".join(draw.sample(WORDS, 6))}
        for n in range(60)
    ]
    _write_lines(folder / "qa.jsonl", rows)
    (folder / "k.toml").write_text(RECIPE, "utf-8")


def _results(folder: Path, _: run_cases.Runner) -> None:
    shutil.copytree(DATA / "results", folder / "r")


def _page(folder: Path, _: run_cases.Runner) -> None:
    shutil.copy(run_cases.SHARED / "cases/field/10-import-leaderboard-v2-header/README.md", folder)


def _submission(folder: Path, runner: run_cases.Runner) -> None:
    _results(folder, runner)
    _must(runner.ask("light", "submit tfidf:char -o z.zip --results r".split(), folder))
    shutil.rmtree(folder / "r")


def _store(folder: Path, runner: run_cases.Runner) -> None:
    """A store of many small shards, two of them with repeated rows."""
    _small_data(folder, runner)
    for task in ("c1", "r1", "s1"):
        for model in ("toy", "tfidf:char"):
            command = f"run ./{task} -m {model} --store s --results out-{task}"
            _must(runner.ask("light", command.split(), folder))
    for name in ("out-c1", "out-r1", "out-s1"):
        shutil.rmtree(folder / name)


VERBS = {
    "run": Verb(
        "run ./d -m ./m -m toy --store s --results out --json", _with_network, server="torch"
    ),
    "run-light": Verb("run ./r1 ./s1 -m toy -m tfidf:char --store s --results o", _small_data),
    "train": Verb(
        "train k.toml -o run --store s",
        _training,
        server="torch",
        unlike=("run/site/", "run/k/README.md", "run/stages/fit-*/events.jsonl"),
    ),
    "site": Verb("site -o site --only measured --results r", _results),
    "table": Verb(
        "import table README.md --benchmark ko-leaderboard-v2 --results out --name x", _page
    ),
    "submission": Verb("import submission z.zip --results out", _submission),
    "gc": Verb("store gc --yes --store s", _store),
    "gc-model": Verb("store gc --model toy --yes --store s", _store, ends=(0, 2)),
}
"""By name; `train` is the one with a fit, `table` and `submission` are imports."""


def kill_and_repeat(
    name: str, n_kills: int, seed: int, runner: run_cases.Runner, on_kill: Callable[[str], None]
) -> Tally:
    """Kill a verb so often; after each kill it is typed again, and its files are compared.

    :param on_kill: hears of each kill, as one line.
    """
    verb, tally = VERBS[name], Tally(name)
    root = runner.folder / name
    template, place = root / "template", root / "place"
    template.mkdir(parents=True)
    runner.wait_for(verb.server)
    verb.prepare(template, runner)
    run_cases.make_writable(template)
    _fresh(template, place)
    alone = _must(runner.ask(verb.server, verb.command.split(), place))
    tally.seconds = alone.seconds
    files = files_of(place, verb)
    draw = random.Random(f"{seed} {name}")
    while tally.n_kills < n_kills and tally.n_too_late < 3 * n_kills + 5:
        _fresh(template, place)
        delay = draw.uniform(0.0, alone.seconds)
        killed = runner.ask(verb.server, verb.command.split(), place, kill_after=delay)
        if killed.exit != ENDED_BY_KILL:
            tally.n_too_late += 1
            continue
        tally.n_kills += 1
        again = runner.ask(verb.server, verb.command.split(), place)
        faults = list(_faults(verb, again, files, files_of(place, verb)))
        tally.faults += [f"{name} after {delay:.3f} s: {'; '.join(faults)}"] if faults else []
        on_kill(f"{name} {tally.n_kills}: {delay:.3f} s: {'; '.join(faults) or 'equal'}")
    return tally


def files_of(folder: Path, verb: Verb) -> dict[str, str]:
    """The files below a folder with the hash of what must be equal in them."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            hashes[f"{name}/"] = ""
            continue
        is_unlike = any(Path(name).match(p) or name.startswith(p) for p in verb.unlike)
        hashes[name] = "" if is_unlike else hashlib.sha256(_comparable(path)).hexdigest()
    return hashes


def _comparable(path: Path) -> bytes:
    """The bytes of a file; of JSON without what speaks of time."""
    content = path.read_bytes()
    if path.suffix != ".json":
        return content
    try:
        return json.dumps(_timeless(json.loads(content)), sort_keys=True).encode()
    except ValueError:
        return content


def _timeless(value: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in OF_TIME}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _faults(
    verb: Verb, again: run_cases.Call, before: dict[str, str], after: dict[str, str]
) -> Iterator[str]:
    if again.exit not in verb.ends:
        yield f"the same command ended with {again.exit}: {again.err.strip()[-300:]}"
    for word, names in (
        ("left over", sorted(after.keys() - before.keys())),
        ("missing", sorted(before.keys() - after.keys())),
        ("other", [name for name in before.keys() & after.keys() if before[name] != after[name]]),
    ):
        if names:
            yield f"{word}: {', '.join(names[:5])}"


def _fresh(template: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)


def _must(call: run_cases.Call) -> run_cases.Call:
    if call.exit:
        raise RuntimeError(f"kemb {call.verb} ended with {call.exit}: {call.err[-2000:]}")
    return call


def main() -> None:
    """A line per kill and per verb; exit 1 where one left anything behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="of each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("verbs", nargs="*", help=f"of {', '.join(VERBS)}")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kemb-kills-"))
    runner = run_cases.Runner(folder)
    start = time.monotonic()
    tallies = []
    try:
        for name in options.verbs or VERBS:
            tallies.append(kill_and_repeat(name, options.kills, options.seed, runner, _say))
    finally:
        runner.close()
    faults = [fault for tally in tallies for fault in tally.faults]
    for line in [*tallies, *faults]:
        print(line)
    n_kills = sum(tally.n_kills for tally in tallies)
    print(f"{n_kills} kills in {time.monotonic() - start:.0f} s, {len(faults)} with a fault")
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(faults))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
