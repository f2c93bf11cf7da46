"""What can be asked of a case: a check takes its outcome and yields what is wrong, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run_cases import Call, Outcome

Check = Callable[["Outcome"], Iterator[str]]
REFUSED = (1, 2)
ENDED = (0, 1, 2)
TRACEBACK = "Traceback (most recent call last)"
LONGEST_LINE = 2000  # characters: a refusal is a paragraph, not the input once more
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def sound_call(call: Call) -> Iterator[str]:
    """What holds of every call of kemb, whatever it was given."""
    text = call.out + call.err
    if TRACEBACK in text:
        yield f"traceback: {call.verb}: {text.strip().splitlines()[-1][:150]}"
    elif call.lost or call.exit not in ENDED:
        yield f"ended by {call.exit} after {call.cpu_seconds:.0f} s of computing: {call.verb}"
    elif call.exit and not text.strip():
        yield f"refused without a word: {call.verb}"
    if CONTROL.search(text):
        yield f"raw control characters: {call.verb}"


# Checks ---------------------------------------------------------------------------------------


def exits(words: str, *codes: int, last: bool = False) -> Check:
    """The calls that begin with these words end with one of these codes."""

    def check(outcome: Outcome) -> Iterator[str]:
        calls = outcome.call(*words.split())
        if not calls:
            yield f"kemb {words} was not called"
        for call in calls[-1:] if last else calls:
            if call.exit not in codes:
                yield f"kemb {call.verb} ended with {call.exit}, not {' or '.join(map(str, codes))}"

    return check


def says(words: str, pattern: str, last: bool = False) -> Check:
    """Each of these calls says something that matches."""

    def check(outcome: Outcome) -> Iterator[str]:
        calls = outcome.call(*words.split())
        for call in calls[-1:] if last else calls:
            if not re.search(pattern, call.out + call.err, re.MULTILINE):
                yield f"kemb {call.verb} does not say {pattern}, but {call.err[-200:]!r}"

    return check


def does_not_say(words: str, pattern: str) -> Check:
    """None of these calls says something that matches."""

    def check(outcome: Outcome) -> Iterator[str]:
        for call in outcome.call(*words.split()):
            match = re.search(pattern, call.out + call.err, re.MULTILINE)
            if match:
                yield f"kemb {call.verb} says {match.group()[:80]!r}"

    return check


def refuses(words: str, names: str) -> Check:
    """These calls are refused, in a paragraph that names what is wrong."""

    def check(outcome: Outcome) -> Iterator[str]:
        yield from exits(words, *REFUSED)(outcome)
        yield from says(words, names)(outcome)
        for call in outcome.call(*words.split()):
            longest = max(map(len, call.err.splitlines()), default=0)
            if longest > LONGEST_LINE:
                yield f"kemb {call.verb}: a line of {longest} characters on stderr"

    return check


def prints(pattern: str) -> Check:
    """The script's output, which prints what kemb did and wrote, matches."""

    def check(outcome: Outcome) -> Iterator[str]:
        if not re.search(pattern, outcome.out + outcome.err, re.MULTILINE):
            yield f"the script does not print {pattern}"

    return check


def does_not_print(pattern: str) -> Check:
    """The script's output does not match."""

    def check(outcome: Outcome) -> Iterator[str]:
        match = re.search(pattern, outcome.out + outcome.err, re.MULTILINE)
        if match:
            yield f"the script prints {match.group()[:100]!r}"

    return check


def leaves_no(*patterns: str) -> Check:
    """No file of these patterns lies where kemb was called."""

    def check(outcome: Outcome) -> Iterator[str]:
        for folder in {call.folder for call in outcome.calls}:
            for pattern in patterns:
                for path in list(Path(folder).glob(pattern))[:1]:
                    yield f"{path.relative_to(folder)} was written"

    return check


def leaves(*patterns: str) -> Check:
    """A file of each pattern lies where kemb was called."""

    def check(outcome: Outcome) -> Iterator[str]:
        for pattern in patterns:
            if not any(list(Path(call.folder).glob(pattern)) for call in outcome.calls):
                yield f"{pattern} is not there"

    return check


def either(*ways: Check) -> Check:
    """At least one of the checks finds nothing."""

    def check(outcome: Outcome) -> Iterator[str]:
        faults_by_way = [list(way(outcome)) for way in ways]
        if all(faults_by_way):
            yield " / ".join("; ".join(faults) for faults in faults_by_way)

    return check


def together(*checks: Check) -> Check:
    """All of the checks, as one way of `either`."""

    def check(outcome: Outcome) -> Iterator[str]:
        for one in checks:
            yield from one(outcome)

    return check


def within(words: str, seconds: float = 0, kilobytes: int = 0) -> Check:
    """These calls take at most this time on the clock, and memory."""

    def check(outcome: Outcome) -> Iterator[str]:
        for call in outcome.call(*words.split()):
            if seconds and call.seconds > seconds:
                yield f"kemb {call.verb} took {call.seconds:.0f} s"
            if kilobytes and call.peak_kilobytes > kilobytes:
                yield f"kemb {call.verb} took {call.peak_kilobytes} kB"

    return check


def warnings_recorded(pattern: str, about: str) -> Check:
    """The records that match a pattern of files have warnings that match."""

    def check(outcome: Outcome) -> Iterator[str]:
        folder = Path(outcome.calls[0].folder)
        paths = list(folder.glob(pattern))
        if not paths:
            yield f"no record {pattern}"
        for path in paths:
            record = json.loads(path.read_text("utf-8"))["kemb"]
            warnings = record["warnings"] + list(record.get("data_warnings", {}))
            if not warnings or not re.search(about, json.dumps(warnings, ensure_ascii=False)):
                yield f"{path.name} records the warnings {warnings}"

    return check


# Special checks of single cases ----------------------------------------------------------------


def passage_prompt(outcome: Outcome) -> Iterator[str]:
    """The document prompt of the record is the one that the author calls passage."""
    record = next(Path(outcome.calls[0].folder).glob("out/*/*/data.json"), None)
    prompts = json.loads(record.read_text("utf-8"))["kemb"]["prompts"] if record else {}
    if not any(entry.get("prompt") == "passage: " for entry in prompts.values()):
        yield f"no column has the prompt 'passage: ': {prompts}"


def board_says(pattern: str) -> Check:
    """The board that a run prints says it, not only a line that is gone afterwards."""

    def check(outcome: Outcome) -> Iterator[str]:
        if not any(re.search(pattern, call.out) for call in outcome.call("run")):
            yield f"the board does not say {pattern}"

    return check


def same_after_the_base_changed(outcome: Outcome) -> Iterator[str]:
    """An adapter whose base was changed has another revision, and its number needs no new store."""
    rows = re.findall(r"^.*│ local/tuned.*$", outcome.out, re.MULTILINE)
    scores = [re.findall(r"\d+\.\d\d\b", row) for row in rows]
    if len(rows) != 3 or not all(scores):
        yield f"expected three rows, got {rows}"
    elif scores[1][0] != scores[2][0]:
        yield f"{scores[1][0]} with the store, {scores[2][0]} without it"
    folder = Path(outcome.calls[0].folder)
    names = [{path.name for path in folder.glob(f"out{n}/local__tuned/*")} for n in (1, 3)]
    if names[0] == names[1]:
        yield f"both bases are recorded as {sorted(names[0])}"


def board_of_two(outcome: Outcome) -> Iterator[str]:
    """The first board of case 10 has both rows, with score and rank."""
    boards = outcome.call(*"board ko-leaderboard-v2".split())
    for pattern in (r"^1,1,1,lab/one,.*\b82\.0000\b", r"^2,2,2,lab/two,.*\b81\.0000\b"):
        if not re.search(pattern, boards[0].out if boards else "", re.MULTILINE):
            yield f"no row {pattern}"


def shard_is_missed(outcome: Outcome) -> Iterator[str]:
    """Half of a corpus does not score 100.00 without a word."""
    for call in outcome.call(*"run ./shards".split())[:1]:
        if call.exit == 0 and "100.00" in call.out and "00001-of-00002" not in call.err:
            yield "half of the corpus was scored as if it were whole"


def first_check_of_the_shards(outcome: Outcome) -> Iterator[str]:
    """The two files of a corpus are one table."""
    for call in outcome.call(*"check shards".split())[:1]:
        if call.exit:
            yield f"kemb check shards ended with {call.exit}"


def store_is_as_before(outcome: Outcome) -> Iterator[str]:
    """`gc --model ""` removes nothing."""
    spaces = len(outcome.out.split("\n", 2)[:2])
    match = re.search(r"spaces left: (\d+)", outcome.err)
    if not match or int(match.group(1)) != spaces:
        yield f"{spaces} spaces before, {match and match.group(1)} after"


def short_of_memory(outcome: Outcome) -> Iterator[str]:
    """What fails for lack of memory says so."""
    for call in outcome.call("run"):
        if call.exit not in ENDED:
            yield f"kemb {call.verb} ended with {call.exit}"
        elif call.exit and not re.search("(?i)memory", call.err):
            yield f"kemb {call.verb} failed and does not speak of memory: {call.err[-150:]}"


def nothing_outside(outcome: Outcome) -> Iterator[str]:
    """No file with the hub's name lies outside the caches, and what was there is still there."""
    folder = Path(outcome.calls[0].folder)
    for path in outcome.folder.rglob("*PWNED*"):
        if not path.is_relative_to(folder / "hf") and not path.is_relative_to(folder / "cache"):
            yield f"{path.relative_to(outcome.folder)} was written"


def no_shard_is_lost(outcome: Outcome) -> Iterator[str]:
    """The shard that this user must not read is still there, and as it was."""
    shards = list(Path(outcome.calls[0].folder).glob("s/*/*.arrow"))
    if not any(path.stat().st_mode & 0o777 == 0 for path in shards):
        yield "the shard that cannot be read was deleted"


def rerun_goes_on(outcome: Outcome) -> Iterator[str]:
    """The second run begins at the last checkpoint, and says so."""
    if outcome.exit != 0:
        yield f"the second run ended with {outcome.exit}"
    last = max(outcome.facts["checkpoints"])
    if not re.search(rf"(?i)(goes on|going on|resum|continu)[^\n]*\b{last}\b", outcome.out):
        yield f"the second run does not say that it goes on from step {last}"


def second_is_refused(outcome: Outcome) -> Iterator[str]:
    """The first run ends well, the second is refused and says which run holds the folder."""
    facts = outcome.facts
    if outcome.exit != 0:
        yield f"the first run ended with {outcome.exit}"
    if facts["second"] not in REFUSED or not re.search(r"runs/r", facts["second_says"]):
        yield f"the second run ended with {facts['second']}: {facts['second_says'][-200:]}"
    if facts["lost"]:
        yield f"the second run deleted the checkpoints {facts['lost']}"
