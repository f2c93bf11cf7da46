"""What is right in every case, from its expected.md: exit codes, words, numbers, files.

Where expected.md allows several right ways, so do the checks. A case that is not right yet has its
reason in `case_unmended.py`; the suite turns red when it is mended and the reason is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import case_scripts
from case_checks import (
    ENDED,
    REFUSED,
    Check,
    board_of_two,
    board_says,
    does_not_print,
    does_not_say,
    either,
    exits,
    first_check_of_the_shards,
    leaves,
    leaves_no,
    no_shard_is_lost,
    nothing_outside,
    passage_prompt,
    prints,
    refuses,
    rerun_goes_on,
    same_after_the_base_changed,
    says,
    second_is_refused,
    shard_is_missed,
    short_of_memory,
    sound_call,
    store_is_as_before,
    together,
    warnings_recorded,
    within,
)
from case_unmended import UNMENDED

if TYPE_CHECKING:
    from run_cases import Outcome


@dataclass(frozen=True)
class Right:
    """How a case is run, and what must hold of it.

    :param server: `light`, `torch` or, for a process of its own per call of kemb, `none`.
    :param seconds: after which the case is stopped; that is wrong in itself.
    :param cpu_seconds: that one call of kemb may compute; 0: as many as it likes.
    :param prepare: makes an input that the shared folder cannot hold.
    :param script: stands for run.sh.
    """

    checks: tuple[Check, ...]
    server: str = "light"
    seconds: float = 120
    cpu_seconds: int = 0
    prepare: Callable[[case_scripts.Place, Mapping[str, str]], None] | None = None
    script: Callable[[case_scripts.Place, Mapping[str, str]], case_scripts.Parts] | None = None


def faults(outcome: Outcome) -> list[str]:
    """Everything that is wrong with a case; empty where it is right."""
    right = RIGHTS[outcome.name]
    return [fault for check in (_sound, *right.checks) for fault in check(outcome)]


def slowest_first(names: Iterable[str]) -> list[str]:
    """The order in which to start cases, so that none of the long ones is left over."""

    def rank(name: str) -> int:
        return 0 if name in WAITING else 1 if RIGHTS[name].server == "light" else 2

    return sorted(names, key=rank)


def _sound(outcome: Outcome) -> Iterator[str]:
    """What holds of every case."""
    if outcome.stopped:
        yield f"stopped after {outcome.seconds:.0f} s"
    if not outcome.calls:
        yield "kemb was not called"
    for call in outcome.calls:
        yield from sound_call(call)


# The cases -------------------------------------------------------------------------------------

_FIELD: dict[str, Right] = {
    "01-passage-key": Right(
        (
            exits("run", 0),
            either(
                passage_prompt,
                together(
                    warnings_recorded("out/*/*/data.json", "passage"), board_says("passage|prompt")
                ),
            ),
        ),
        server="torch",
    ),
    "02-truncate-dim-config": Right(
        (
            prints(
                r"kemb, q1: \[\('d1', 0\.892\d\), \('d4', 0\.343\d\), "
                r"\('d3', -0\.174\d\), \('d2', -0\.406\d\)\]"
            ),
            prints(r"kemb, bytes per document in the index: 64(\.0)?$"),
        ),
        server="torch",
    ),
    "04-api-llamacpp-500-too-large": Right(
        (
            either(
                together(exits("run", 0), says("run", r"(?i)\b1\b.*\b(cut|truncated)|\bcut\b")),
                together(exits("run", 1), says("run", "increase the physical batch size")),
            ),
            within("run", seconds=30),
        ),
        seconds=40,
    ),
    "06-train-uneven-negatives": Right(
        (
            exits("train", *ENDED),
            says("train one-short.toml", r"\b234\b|\b31 negatives\b|\b18\b"),
            says("train mine.toml", r"\b180\b"),
        ),
        server="torch",
        prepare=case_scripts.small_base,
    ),
    "07-mine-corpus-null-text": Right(
        (
            says("mine", r"pool\.jsonl"),
            either(
                exits("mine", *REFUSED),
                prints(r"negatives that are no text, of \d+ : \{\}"),
            ),
        ),
        server="torch",
    ),
    "09-peft-base-not-in-identity": Right((same_after_the_base_changed,), server="torch"),
    "10-import-leaderboard-v2-header": Right(
        (either(board_of_two, refuses("import table README.md", "MIRACLRetrievalHardNegative")),),
    ),
    "11-import-header-one-name-too-many": Right(
        (
            refuses("import table", r"(?s)^(?=.*\bline [35]\b)(?=.*\b9\b)(?=.*\b8\b)"),
            says("audit", r"(?s)^(?=.*\bline [35]\b|.*:[35]\b)(?=.*\b9\b)(?=.*\b8\b)"),
            leaves_no("out/claims/*.parquet"),
        ),
    ),
    "13-autorag-or-groups-recall": Right(
        (
            either(
                prints(r"kemb +\{.*'recall@3': 1\.0, .*'f1@3': 0\.8, .*'mrr@10': 0\.75\}"),
                exits("run", *REFUSED),
                says("check", r"(?i)^warning.*(group|alternative)"),
            ),
        ),
    ),
    "15-data-warnings-not-in-run": Right(
        (
            *(
                either(
                    refuses(f"run ./{name}", pattern),
                    together(
                        says(f"run ./{name}", pattern),
                        warnings_recorded(f"out/*/*/{name}.json", "."),
                    ),
                )
                for name, pattern in (
                    ("case", "(?i)label"),
                    ("leak", "(?i)warn|kemb check"),
                    ("nfd", "(?i)label|normal form|NFC|NFD"),
                )
            ),
            exits("check", *ENDED),
        ),
    ),
    "16-card-front-matter-values": Right(
        (
            prints(r"^rc 0$"),
            does_not_print(r"^< "),
            does_not_print(r"^> (version|train|thumb|  emissions)"),
            prints(r"recorded \{'0123456'\}"),
        ),
    ),
    "17-parquet-shards-and-hub-layout": Right(
        (
            first_check_of_the_shards,
            shard_is_missed,
            exits("check hub", 0),
            does_not_say("check", "(?i)move the other"),
        ),
    ),
    "19-autorag-two-qa-files": Right((exits("check", 0),)),
    "21-nsmc-txt-empty-text": Right(
        (exits("check", 0), exits("run", 0), says("check", "(?i)empty")),
    ),
    "23-flag-empty-neg-list": Right(
        (
            # The rows are read; of so few documents the default ranks then leave no negative.
            leaves("runs/r/stages/filter-*/stage.json"),
            does_not_say("mine", "empty list"),
            either(exits("mine", 0), refuses("mine", r"mine\.rank")),
        ),
        server="torch",
    ),
    "24-lstm-module-traceback": Right((refuses("run", "LSTM"),), server="torch"),
    "26-table-cells-with-decoration": Right(
        (
            exits("import table", 0),
            says("import table", r"\b14 numbers\b"),
            prints(r"\['lab/one', 'lab/two'\]"),
        ),
    ),
    "27-kure-results-layout": Right(
        (exits("import mteb", 0), says("import mteb results", r"\b2 results\b")),
    ),
    "29-model2vec-native-folder": Right(
        (
            either(
                exits("run ../01-passage-key/data -m ./m --results", 0),
                together(
                    refuses("run ../01-passage-key/data -m ./m --results", "(?i)model2vec"),
                    does_not_say("run ../01-passage-key/data -m ./m --results", "--pooling"),
                ),
            ),
        ),
        server="torch",
    ),
    "31-local-copy-of-known-model": Right(
        (
            says("run", r"intfloat/multilingual-e5-small"),
            says("run", r"--as\b"),
            says("prompts ./multilingual-e5-small", r"intfloat/multilingual-e5-small"),
            either(
                together(exits("run", 0), warnings_recorded("out/*/*/data.json", "e5-small")),
                exits("run", *REFUSED),
            ),
        ),
        server="torch",
    ),
}

_NO_RESULT = ("r/**/*.json", "r/**/*.parquet")
_ENDPOINT = r"127\.0\.0\.1|\[::1|m\.toml|--api-base|endpoint"


def _api(*checks: Check, seconds: float = 60) -> Right:
    secrets = does_not_print(r"KEY-SENT-TO-OTHER-HOST|KEY-STORED|SECRET")
    return Right((*checks, secrets), seconds=seconds, cpu_seconds=10)


_API_REFUSED = (refuses("run", _ENDPOINT), leaves_no(*_NO_RESULT, "s/*/*.arrow"))
_API = {
    "A-2-401loc": _api(*_API_REFUSED),
    "A-4-drip": _api(*_API_REFUSED, within("run", seconds=45)),
    "A-4-endless": _api(*_API_REFUSED, within("run", seconds=45, kilobytes=1_000_000)),
    "A-5-base-00": _api(*_API_REFUSED),
    "A-5-base-13": _api(*_API_REFUSED),
    "A-6-key-in-body": _api(exits("run", *ENDED)),
    "A-7-toml-key_env-path": _api(*_API_REFUSED, says("run", "PATH|key_env")),
    "A-8-memory-evil": _api(exits("run", *ENDED)),
}


def _hub(*checks: Check) -> Right:
    return Right(
        (
            refuses("run", r"org/x"),
            says("run", r"127\.0\.0\.1|HF_ENDPOINT|\bhub\b"),
            does_not_say("run", r"\b(KeyError|AssertionError|JSONDecodeError)\b"),
            leaves_no(*_NO_RESULT),
            does_not_print("TOKEN-SENT-TO-OTHER-HOST|TOKEN-STORED|VICTIM-DELETED|SECRET"),
            nothing_outside,
            *checks,
        ),
        seconds=100,
        prepare=case_scripts.give_the_hub_files,
    )


_HUB = {
    name: _hub(*checks)
    for name, checks in (
        ("H-model-api-empty", ()),
        ("H-model-api-nosha", ()),
        ("H-model-drip", (within("run", seconds=55),)),
        ("H-model-html", ()),
        ("H-model-sha-evil", ()),
    )
}

_DATA = {
    "D-60-parquet-invalid-utf8": Right(
        (
            refuses("check", r"test\.parquet"),
            refuses("run", r"test\.parquet"),
            leaves_no(*_NO_RESULT),
        ),
        cpu_seconds=20,
    ),
    "D-61-fifo": Right(
        (
            refuses("check", r"test\.csv"),
            does_not_say("check", r"no data file: expected"),
            within("check", seconds=20),
        ),
        seconds=30,
    ),
    "D-64-symlink-loop": Right(
        (refuses("check", r"test\.csv"), does_not_say("check", r"no data file: expected")),
        cpu_seconds=20,
    ),
    "E-01-06": Right((refuses("run", r"fuse|weight"), leaves_no(*_NO_RESULT)), cpu_seconds=20),
}

_STORE = {
    "F-02-enospc-stdout": Right(
        (exits("board", 1), says("board", "(?i)space|write|written")), server="none"
    ),
    "F-04-readonly-store-damaged": Right(
        (
            exits("run", *REFUSED, last=True),
            says("run", r"\.arrow|\bs/|shard", last=True),
        ),
        cpu_seconds=20,
    ),
    "F-04-unreadable-shard": Right(
        (
            exits("run", *REFUSED, last=True),
            says("run", r"\.arrow|\bs/|shard", last=True),
            no_shard_is_lost,
        ),
        cpu_seconds=20,
    ),
    "F-05-shard-dir-arrow": Right(
        (
            either(
                together(exits("run", 0), prints(r"^.*\bSAME \d")),
                together(exits("run", *REFUSED, last=True), says("run", r"d\.arrow", last=True)),
            ),
        ),
        cpu_seconds=20,
    ),
    "F-07-as-600m": Right(
        (
            short_of_memory,
            exits("run", 0, last=True),
            does_not_print(r"TORN|\.tmp$|Traceback \(most"),
        ),
        server="none",
        seconds=150,
    ),
    "F-11-gc-model-empty": Right((exits("store gc", *ENDED), store_is_as_before), cpu_seconds=20),
}

_RESUME = {
    "K-02-resume-torn-checkpoint": Right(
        (prints(r"killed: 137"), exits("train", *ENDED), prints(r"resume rc=[01]$")),
        server="torch",
    ),
}


def _document(*checks: Check, cpu_seconds: int = 5) -> Right:
    return Right((does_not_print("BROKEN-JSON|PWNED"), *checks), cpu_seconds=cpu_seconds)


_NOTHING_IMPORTED = either(exits("import card", 0), leaves_no("r/**/*"))
_DOCUMENTS = {
    "I-01-metric-tiny-precision": _document(exits("audit", *ENDED)),
    "I-01-weird-links": _document(exits("audit", *ENDED)),
    "I-02-yaml-bad-date": _document(exits("audit", *ENDED)),
    "I-02-yaml-bigint": _document(exits("audit", *ENDED)),
    "I-02-yaml-merge-bomb": _document(exits("audit", *ENDED)),
    "I-03-card-bad-date-value": _document(exits("import card", *ENDED), _NOTHING_IMPORTED),
    "I-03-card-merge-bomb": _document(exits("import card", *ENDED), _NOTHING_IMPORTED),
    "I-20-slow-many-md-tables": _document(exits("audit", *ENDED), cpu_seconds=2),
    "I-20-slow-retrieval-tables-many": _document(exits("audit", *ENDED), cpu_seconds=2),
}

_SIX = ("board", "compare", "verify", "submit", "card", "site")


def _record(file: str, *checks: Check) -> Right:
    """A damaged result of `toy`; that of tfidf:char is whole."""
    named = tuple(says(verb, file) for verb in _SIX)
    of_toy = tuple(refuses(verb, file) for verb in ("compare", "verify", "submit", "card"))
    usual = (*named, *of_toy, leaves_no("z.zip", "C.md"), does_not_print("PRINTS-NAN|RAW-ESC"))
    return Right((*usual, *checks), cpu_seconds=20)


_JSON = r"KorSTS\.json"
_RECORDS = {
    **{
        f"J-03-{name}": _record(_JSON)
        for name in (
            *("data-sha-list", "kemb-str", "main-1e308", "main-bigint", "main-list", "main-null"),
            *("model-name-int", "no-main", "prompts-list", "rev-list", "schema-99"),
            *("scores-empty", "split-empty", "task-dotdot", "task-int", "ts-str"),
        )
    },
    **{
        name: Right(
            (
                says("board", r"KorSTS\.items\.parquet"),
                refuses("verify", r"KorSTS\.items\.parquet"),
                refuses("submit", r"KorSTS\.(items\.parquet|json)"),
                refuses("compare", r"KorSTS\.items\.parquet"),
                refuses("card", r"KorSTS\.items\.parquet"),
                says("site", r"KorSTS\.items\.parquet"),
                leaves_no("z.zip", "C.md"),
            ),
            cpu_seconds=20,
        )
        for name in ("J-05-items-cols", "J-05-items-strvalue")
    },
    "J-07-broken-symlink": Right(
        (
            *(says(verb, r"X\.json") for verb in _SIX),
            *(does_not_say(verb, r"FileNotFoundError|Errno") for verb in _SIX),
        ),
        cpu_seconds=20,
    ),
    "J-07-symlink-devzero": Right((says("board", r"X\.json"),), cpu_seconds=5, seconds=30),
    "J-11-unreadable": Right(
        (
            says("board", r"KorSTS\.json"),
            does_not_say("board", r"PermissionError|Errno|Delete it"),
        ),
        cpu_seconds=20,
    ),
}


def _folder(file: str) -> Right:
    """A model folder with a broken file."""
    return Right(
        (
            refuses("run", file),
            leaves_no(*_NO_RESULT),
            does_not_print("PWNED-CODE-RAN|SILENTLY-SCORED"),
        ),
        server="torch",
        cpu_seconds=10,
    )


_FOLDERS = {
    name: _folder(file)
    for name, file in (
        ("M-10-1_Pooling_config.json-list", r"1_Pooling/config\.json"),
        ("M-10-1_Pooling_config.json-number", r"1_Pooling/config\.json"),
        ("M-10-config.json-null", r"\bconfig\.json"),
        ("M-10-config.json-string", r"\bconfig\.json"),
        ("M-10-config_sentence_transformers.json-list", r"config_sentence_transformers\.json"),
        ("M-10-config_sentence_transformers.json-number", r"config_sentence_transformers\.json"),
        ("M-10-modules.json-null", r"modules\.json"),
        ("M-10-modules.json-string", r"modules\.json"),
        ("M-10-sentence_bert_config.json-list", r"sentence_bert_config\.json"),
        ("M-10-sentence_bert_config.json-number", r"sentence_bert_config\.json"),
        ("M-10-tokenizer_config.json-null", r"tokenizer_config\.json"),
        ("M-10-tokenizer_config.json-string", r"tokenizer_config\.json"),
        ("M-20-modules-strings", r"modules\.json"),
        ("M-23-config-hidden-big", r"\bconfig\.json|hidden_size|model\.safetensors"),
        ("M-23-config-layers-huge", r"\bconfig\.json|num_hidden_layers|model\.safetensors"),
        ("M-23-config-vocab-str", r"\bconfig\.json"),
        ("M-31-st-header-list", r"model\.safetensors"),
        ("M-31-st-header-offsets-short", r"model\.safetensors"),
        ("M-31-st-header-str-entry", r"model\.safetensors"),
        ("M-32-st-bad-shape", r"model\.safetensors"),
        ("M-50-unreadable", r"model\.safetensors"),
        ("M-60-stconfig-prompts-list", r"config_sentence_transformers\.json"),
        ("M-60-stconfig-sim-dict", r"config_sentence_transformers\.json"),
        ("M-60-stconfig-sim-nonsense", r"config_sentence_transformers\.json"),
        ("M-61-maxseq-neg", r"sentence_bert_config\.json|max_seq_length"),
        ("M-61-maxseq-zero", r"sentence_bert_config\.json|max_seq_length"),
        ("M-71-random-weights", r"model\.safetensors"),
    )
}

_PROMPTS = {
    name: Right(
        (refuses("run", r"p\.json"), leaves_no(*_NO_RESULT)), server="torch", cpu_seconds=20
    )
    for name in ("P-02-json-dup", "P-02-json-sur")
}

_RECIPES = {
    f"R-10-{name}": Right(
        (refuses("train", key), leaves_no("runs/**/*")), server="torch", cpu_seconds=10
    )
    for name, key in (
        ("batch-hugeint", r"\bbatch\b"),
        ("contam-shingle", r"\bshingle\b"),
        ("epochs-inf", r"\bepochs\b"),
        ("lexical-unknown", r"\blexical\b|\bnope\b"),
        ("mine-none", r"\bnope\b"),
        ("seed-huge", r"\bseed\b"),
    )
}

_SUBMISSIONS = {
    "Z-08-rec-main-str": Right(
        (
            refuses("verify", r"z\.zip"),
            refuses("import submission", r"z\.zip"),
            leaves_no("r/**/*"),
            does_not_print("PWNED"),
        ),
        cpu_seconds=20,
        prepare=case_scripts.text_for_a_score,
    ),
    "Z-11-parquet-bomb": Right(
        (refuses("verify", r"z\.zip"), within("verify", kilobytes=600_000)),
        cpu_seconds=20,
        prepare=case_scripts.parquet_bomb,
    ),
    "Z-13-poisoned-submission": Right(
        (either(refuses("verify", r"z\.zip"), exits("site", 0)),),
        cpu_seconds=30,
        prepare=case_scripts.versions_as_a_list,
    ),
}

_HOSTILE = {
    **_API,
    **_HUB,
    **_DATA,
    **_STORE,
    **_RESUME,
    **_DOCUMENTS,
    **_RECORDS,
    **_FOLDERS,
    **_PROMPTS,
    **_RECIPES,
    **_SUBMISSIONS,
}

_TRAINING = {
    "16-rerun-without-resume": Right(
        (rerun_goes_on,), server="torch", script=case_scripts.rerun_without_resume
    ),
    "35-two-runs-one-folder": Right(
        (second_is_refused,), server="torch", script=case_scripts.two_runs_one_folder
    ),
    "61-name-of-a-folder-of-mine": Right(
        (
            refuses("train", r"\beval\b"),
            leaves("eval/corpus.jsonl", "eval/queries.jsonl", "eval/qrels.tsv"),
        ),
        server="torch",
    ),
}

RIGHTS: dict[str, Right] = {
    f"{group}/{name}": right
    for group, rights in (("field", _FIELD), ("hostile", _HOSTILE), ("training", _TRAINING))
    for name, right in rights.items()
}

WAITING = {
    "field/04-api-llamacpp-500-too-large",
    "hostile/A-4-drip",
    "hostile/A-4-endless",
    "hostile/F-07-as-600m",
    "hostile/H-model-drip",
    "hostile/K-02-resume-torn-checkpoint",
    "hostile/M-23-config-layers-huge",
    "hostile/R-10-contam-shingle",
}
"""Long cases, started before the others."""


NEEDS_ROOT = {
    "hostile/F-04-readonly-store-damaged",
    "hostile/F-04-unreadable-shard",
    "hostile/J-11-unreadable",
    "hostile/M-50-unreadable",
}
"""Cases that run kemb as another user."""


def reason(name: str) -> str:
    """Why a case is not right yet; empty for one that is."""
    return UNMENDED.get(name, "")
