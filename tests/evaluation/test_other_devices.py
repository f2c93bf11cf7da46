"""Vectors that another device made, scored where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kemb.encoding.plan import of_other_devices
from kemb.encoding.store import Store, input_keys

FINGERPRINT = {"model": "m", "revision": "1", "dtype": "float32", "device": "cpu"}


def _filled(store: Store, **changes: str) -> None:
    keys = input_keys("", "", ["가", "나"])
    store.space(FINGERPRINT | changes).add(keys, np.eye(2, dtype=np.float32))


def test_only_the_device_may_differ(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _filled(store)
    _filled(store, device="mps")
    _filled(store, device="cuda")
    _filled(store, device="cuda", dtype="bfloat16")
    _filled(store, device="cuda", revision="2")
    devices = [space.fingerprint["device"] for space in of_other_devices(store, FINGERPRINT)]
    assert devices == ["cuda", "mps"]
    assert of_other_devices(store, {"model": "toy", "revision": "1"}) == []


@pytest.mark.torch
def test_a_run_takes_them_where_no_device_is_asked_for(tiny_st: Path, tmp_path: Path) -> None:
    """The command says so, the record names the device of the vectors, and nothing is encoded."""
    from kemb.evaluation.evaluate import RunOptions, Silent, evaluate, load_task
    from kemb.messages import Text, say
    from kemb.models.resolve import ModelOptions, resolve

    data = tmp_path / "pairs.csv"
    rows = [f"책 {i}을 읽는다,책 {i * 2}을 읽는다,{i % 6}" for i in range(12)]
    data.write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n", encoding="utf-8")
    said: list[str] = []

    class Hearing(Silent):
        def noted(self, text: Text) -> None:
            said.append(say(text, "en"))

    store = Store(tmp_path / "store")

    def run(device: str, results: str) -> dict[str, str]:
        model = resolve(str(tiny_st), ModelOptions(device=device))
        [outcome] = evaluate(
            [load_task(data)], [model], RunOptions(tmp_path / results, store), Hearing()
        )
        assert outcome.result is not None, outcome.message
        assert outcome.result.kemb is not None
        return dict(outcome.result.kemb.fingerprint or {})

    run("cpu", "first")
    [space] = store.spaces()
    of_gpu = space.fingerprint | {"device": "cuda"}
    other = store.space(of_gpu)
    space.folder.rename(other.folder)
    (other.folder / "fingerprint.json").write_text(json.dumps(of_gpu))
    assert run("auto", "second")["device"] == "cuda"
    assert said == ["local/tiny-st: vectors that were made on cuda are in the store and are used"]
    assert not space.folder.exists()
    assert run("cpu", "third")["device"] == "cpu"
    assert len(said) == 1
