"""Cases whose script is written anew here because it sleeps for a fixed time, and inputs that a
case asks to be made by hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIT = "runs/r/stages/fit-*/checkpoints/checkpoint-*"
Parts = tuple[int, str, str, float, bool, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where a copied case lies: its root, the folder of its group, its own, temporary, records."""

    root: Path
    group: Path
    case: Path
    temporary: Path
    calls: Path


def give_the_hub_files(place: Place, _: Mapping[str, str]) -> None:
    """The stub of the hub serves the folder mini-st of where it starts."""
    shutil.copytree(place.group / "data/mini-st", place.case / "in/mini-st")


def small_base(place: Place, _: Mapping[str, str]) -> None:
    """Four fits by a model of 22 million parameters take a minute; what counts is the rows."""
    with (place.group.parent / "env.sh").open("a", encoding="utf-8") as file:
        file.write('MINILM="$BASE"\n')


def text_for_a_score(place: Place, environment: Mapping[str, str]) -> None:
    """A submission whose main score is a text."""

    def change(record: dict[str, Any]) -> None:
        record["scores"]["test"][0]["main_score"] = "x"

    _submission(place, environment, change_record=change)


def versions_as_a_list(place: Place, environment: Mapping[str, str]) -> None:
    """A submission whose provenance has a list for a table."""

    def change(record: dict[str, Any]) -> None:
        record["kemb"]["versions"] = [1]

    _submission(place, environment, change_record=change)


def parquet_bomb(place: Place, environment: Mapping[str, str]) -> None:
    """A submission whose items unpack to 1 GB: a page of a thousand texts of a megabyte."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def change(path: Path) -> None:
        schema = pq.read_schema(path)
        rows = pq.read_table(path).slice(0, 1)
        texts = pa.array([f"{number:07}".ljust(1_000_000, "x") for number in range(1000)])
        columns = [pa.concat_arrays([rows[name].combine_chunks()] * 1000) for name in schema.names]
        columns[schema.names.index("item_id")] = texts.cast(schema.field("item_id").type)
        table = pa.table(columns, schema=schema)
        with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
            writer.write_table(table, row_group_size=1000)

    _submission(place, environment, change_items=change)


def _submission(
    place: Place,
    environment: Mapping[str, str],
    change_record: Callable[[dict[str, Any]], None] | None = None,
    change_items: Callable[[Path], None] | None = None,
) -> None:
    """Pack the results of bm25:bigram with kemb, change a file, and set its size and hash right."""
    made = place.root / "made"
    made.mkdir()
    results = place.group / "data/results"
    arguments = ["submit", "bm25:bigram", "-o", "made.zip", "--results", str(results)]
    subprocess.run(
        [environment["KEMB"], *arguments],
        cwd=made,
        env={**environment, "KEMB_CASE_CALLS": str(made)},
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(made / "made.zip") as archive:
        archive.extractall(made / "parts")
    manifest = json.loads((made / "parts/manifest.json").read_text("utf-8"))
    for name, entry in manifest["files"].items():
        path = made / "parts" / name
        if name.endswith("AutoRAGRetrieval.json") and change_record:
            record = json.loads(path.read_text("utf-8"))
            change_record(record)
            path.write_text(json.dumps(record), "utf-8")
        if name.endswith(".parquet") and change_items:
            change_items(path)
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        entry["size"] = path.stat().st_size
    (made / "parts/manifest.json").write_text(json.dumps(manifest), "utf-8")
    with zipfile.ZipFile(place.case / "in/z.zip", "w") as archive:
        for name in ["manifest.json", *manifest["files"]]:
            archive.write(made / "parts" / name, name)


def rerun_without_resume(place: Place, environment: Mapping[str, str]) -> Parts:
    """Training case 16 with the second run to its end in place of 35 seconds of it."""
    start = time.monotonic()
    _make_recipe(place, environment)
    first = _train(place, environment, "first.txt")
    _wait_for(place, "checkpoint-6/kemb.json", first)
    first.kill()
    first.wait()
    time.sleep(0.5)
    before = _checkpoints(place)
    second = _train(place, environment, "second.txt")
    second.wait(100)
    text = (place.case / "second.txt").read_text("utf-8")
    seconds = time.monotonic() - start
    return second.returncode, text, "", seconds, False, {"checkpoints": before}


def two_runs_one_folder(place: Place, environment: Mapping[str, str]) -> Parts:
    """Training case 35 with the first run halted while the second is there."""
    start = time.monotonic()
    _make_recipe(place, environment)
    first = _train(place, environment, "one.txt")
    _wait_for(place, "checkpoint-3/kemb.json", first)
    workers = _children_that_train(place)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    before = _checkpoints(place)
    second = _train(place, environment, "two.txt")
    try:
        second.wait(60)
    except subprocess.TimeoutExpired:
        second.kill()
        second.wait()
    after = _checkpoints(place)
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    first.wait(60)
    facts = {
        "halted": len(workers),
        "lost": sorted(set(before) - set(after)),
        "second": second.returncode,
        "second_says": (place.case / "two.txt").read_text("utf-8"),
    }
    text = (place.case / "one.txt").read_text("utf-8")
    return first.returncode, text, "", time.monotonic() - start, False, facts


SYLLABLES = """
import sys, torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

out = sys.argv[1]
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
letters = [*map(chr, range(0xAC00, 0xD7A4)), *map(chr, range(33, 127))]
tokens = {token: number for number, token in enumerate(special + letters)}
tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special))
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(tokens), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64,
)
BertModel(config).save_pretrained(out + "-network")
fast.save_pretrained(out + "-network")
modules = [Transformer(out + "-network"), Pooling(32, "mean")]
SentenceTransformer(modules=modules, device="cpu").save_pretrained(out)
"""
"""Makes a small random network that reads Korean by syllables: the one of the shared folder knows
70 of them, so that most documents have one vector, which the proof of a training refuses.
"""


def make_syllable_model(folder: Path, environment: Mapping[str, str]) -> None:
    """Save the network as a sentence-transformers folder, in a fork of the server with torch."""
    command = ["python", "-c", SYLLABLES, str(folder)]
    subprocess.run(command, env=dict(environment), check=True, capture_output=True)


def _make_recipe(place: Place, environment: Mapping[str, str]) -> None:
    make_syllable_model(place.case / "base", environment)
    command = [environment["PY"], "make.py"]
    subprocess.run(command, cwd=place.case, env=dict(environment), check=True)


def _train(place: Place, environment: Mapping[str, str], log: str) -> subprocess.Popen[bytes]:
    with (place.case / log).open("wb") as to_log:
        return subprocess.Popen(
            [environment["KEMB"], "train", "r.toml"],
            cwd=place.case,
            env={**environment, "KEMB_STORE": str(place.root / "store"), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=to_log,
            stderr=to_log,
        )


def _wait_for(place: Place, checkpoint: str, process: subprocess.Popen[bytes]) -> None:
    pattern = f"runs/r/stages/fit-*.partial/checkpoints/{checkpoint}"
    deadline = time.monotonic() + 90
    while not list(place.case.glob(pattern)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{checkpoint} was not reached in {place.case}")
        time.sleep(0.01)


def _checkpoints(place: Place) -> list[int]:
    numbers = (re.search(r"\d+$", path.name) for path in place.case.glob(FIT))
    return sorted(int(number.group()) for number in numbers if number)


def _children_that_train(place: Place) -> list[int]:
    """The processes whose current folder is the case's, without the clients and shells."""
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            same = (entry / "cwd").resolve() == place.case.resolve()
            if same and b"case_server" in (entry / "cmdline").read_bytes():
                processes.append(int(entry.name))
    return processes
