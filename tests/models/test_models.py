from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from hub import HubStandIn
from kemb.errors import ModelError, NotSupported, UnknownName, UsageError
from kemb.models import files
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import prompts_of, resolve
from kemb.results.files import result_dir
from kemb.types import Input

CPU = ModelOptions(device="cpu")
WORDS = ["가나다", "라마바사아", "자", "차카타파하 거너더"]
COMMIT = "a" * 40


def encode(model: Model, texts: list[str], prompt: str = "") -> np.ndarray:
    return open_model(model).encode([Input("", prompt, text) for text in texts])


@pytest.fixture
def copy_of_st(tiny_st: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_st, tmp_path / "my model"))


def test_vectors_are_those_of_sentence_transformers(tiny_st: Path) -> None:
    from sentence_transformers import SentenceTransformer

    oracle = SentenceTransformer(str(tiny_st), device="cpu")
    ours = encode(resolve(str(tiny_st), CPU), WORDS, "가: ")
    assert np.allclose(ours, oracle.encode(WORDS, prompt_name="query"), atol=1e-6)
    assert not np.allclose(ours, oracle.encode(WORDS), atol=1e-3)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_plain_transformer_is_pooled_as_asked(tiny_transformer: Path, pooling: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_transformer)
    network = AutoModel.from_pretrained(tiny_transformer)
    with torch.no_grad():
        states = [
            network(**tokenizer(word, return_tensors="pt")).last_hidden_state[0] for word in WORDS
        ]
    pooled = {"mean": lambda s: s.mean(0), "cls": lambda s: s[0], "last": lambda s: s[-1]}[pooling]
    oracle = np.stack([pooled(state).numpy() for state in states])
    model = resolve(str(tiny_transformer), ModelOptions(device="cpu", pooling=pooling))  # type: ignore[arg-type]
    assert np.allclose(encode(model, WORDS), oracle, atol=1e-5)


def test_pooling_is_never_guessed(tiny_transformer: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"plain transformers model.*--pooling mean, --pooling cls or --pooling last",
    ):
        resolve(str(tiny_transformer), CPU)


def test_pooling_that_contradicts_the_files_is_refused(tiny_st: Path) -> None:
    with pytest.raises(UsageError, match="declares pooling 'mean'"):
        resolve(str(tiny_st), ModelOptions(device="cpu", pooling="cls"))


def test_token_counts_are_the_tokenizers_and_cut_at_max_tokens(tiny_st: Path) -> None:
    encoder = open_model(resolve(str(tiny_st), ModelOptions(device="cpu", max_tokens=5)))
    inputs = [Input("", "", "가나"), Input("", "가", "나"), Input("", "", "가" * 50)]
    assert encoder.token_counts(inputs).tolist() == [4, 4, 5]


def test_max_tokens_cuts_what_the_model_sees_and_names_the_row(tiny_st: Path) -> None:
    cut = resolve(str(tiny_st), ModelOptions(device="cpu", max_tokens=5))
    whole = resolve(str(tiny_st), CPU)
    assert np.allclose(encode(cut, ["가나다라마바"]), encode(whole, ["가나다"]), atol=1e-6)
    assert (cut.variant, whole.variant) == ("max_tokens_5", "")
    assert cut.fingerprint() != whole.fingerprint()


def test_half_precision_is_its_own_row_and_its_own_vectors(tiny_st: Path) -> None:
    half = resolve(str(tiny_st), ModelOptions(device="cpu", dtype="bfloat16"))
    assert half.row.endswith("[dtype_bfloat16]")
    difference = np.abs(encode(half, WORDS) - encode(resolve(str(tiny_st), CPU), WORDS)).max()
    assert 1e-5 < difference < 0.05


def test_identity_of_a_local_model_follows_its_weights_and_tokenizer_not_its_readme(
    copy_of_st: Path,
) -> None:
    before = resolve(str(copy_of_st), CPU)
    assert before.name == f"local/my-model-{hashlib.sha256(b'my model').hexdigest()[:6]}"
    assert len(before.revision) == 12
    (copy_of_st / "README.md").write_text("changed")
    assert resolve(str(copy_of_st), CPU).revision == before.revision
    weights = copy_of_st / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert resolve(str(copy_of_st), CPU).revision != before.revision


def test_folders_that_are_no_models_are_refused_in_one_paragraph(
    copy_of_st: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"neither modules.json .* nor config.json"):
        resolve(str(empty), CPU)
    weights = copy_of_st / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors are damaged or incomplete"):
        resolve(str(copy_of_st), CPU)
    weights.rename(copy_of_st / "model.ckpt")
    with pytest.raises(
        ModelError, match=r"only pickle weights \(model.ckpt\).*safetensors and pytorch_model"
    ):
        resolve(str(copy_of_st), CPU)
    (copy_of_st / "modules.json").write_text("[{")
    with pytest.raises(ModelError, match=r"modules\.json is not valid JSON"):
        resolve(str(copy_of_st), CPU)


def as_torch_saves(
    folder: Path, also: dict[str, object] | None = None, as_zip: bool = True
) -> None:
    """The same weights in pytorch_model.bin, as BAAI/bge-m3 has them."""
    import torch
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    content = load_file(weights) | (also or {})
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=as_zip)
    weights.unlink()


def test_weights_that_torch_saved_give_the_same_vectors_and_are_the_models_identity(
    tiny_st: Path, copy_of_st: Path
) -> None:
    as_torch_saves(copy_of_st)
    model = resolve(str(copy_of_st), CPU)
    assert np.array_equal(encode(model, WORDS), encode(resolve(str(tiny_st), CPU), WORDS))
    weights = copy_of_st / "pytorch_model.bin"
    whole = weights.read_bytes()
    at = len(whole) // 2
    weights.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert resolve(str(copy_of_st), CPU).revision != model.revision
    weights.write_bytes(whole[:at])
    with pytest.raises(ModelError, match=r"pytorch_model\.bin are damaged or incomplete"):
        resolve(str(copy_of_st), CPU)


def test_weights_of_an_old_torch_are_read(tiny_st: Path, copy_of_st: Path) -> None:
    as_torch_saves(copy_of_st, as_zip=False)
    assert np.array_equal(
        encode(resolve(str(copy_of_st), CPU), WORDS), encode(resolve(str(tiny_st), CPU), WORDS)
    )


class Payload:
    """Unpickled by an ordinary reader, it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.made,)


def test_code_in_weights_that_torch_saved_does_not_run(copy_of_st: Path, tmp_path: Path) -> None:
    import torch

    as_torch_saves(copy_of_st, {"payload": Payload(tmp_path / "ran")})
    with pytest.raises(
        ModelError,
        match=r"pytorch_model\.bin cannot be read as tensors.*code, which kemb does not run",
    ):
        encode(resolve(str(copy_of_st), CPU), WORDS)
    assert not (tmp_path / "ran").exists()
    torch.load(copy_of_st / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()  # so the payload is one


def test_code_from_the_repository_runs_only_when_asked_for(copy_of_st: Path) -> None:
    modules = json.loads((copy_of_st / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (copy_of_st / "modules.json").write_text(json.dumps(modules))
    (copy_of_st / "custom_st.py").write_text("raise SystemExit('this code ran')")
    with pytest.raises(ModelError, match=r"custom_st\.Transformer.*--trust-remote-code"):
        open_model(resolve(str(copy_of_st), CPU))


def test_own_code_for_a_class_that_transformers_has_needs_trust(copy_of_st: Path) -> None:
    """Code with the model type `bert` may compute other positions than transformers' BERT."""
    config = json.loads((copy_of_st / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "somewhere--model.BertLMHeadModel"}
    (copy_of_st / "config.json").write_text(json.dumps(config))
    assert encode(resolve(str(copy_of_st), CPU), ["가"]).shape == (1, 32)
    config["auto_map"] = {"AutoModel": "somewhere--model.BertModel"}
    (copy_of_st / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"'bert'.*--trust-remote-code"):
        open_model(resolve(str(copy_of_st), CPU))
    config["model_type"] = "no_such_type"
    (copy_of_st / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"'no_such_type'.*--trust-remote-code"):
        open_model(resolve(str(copy_of_st), CPU))


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean .*bm25:kiwi"):
        resolve("bm25:kiwy")


def test_kinds_that_cannot_run_yet_are_refused_in_one_sentence() -> None:
    with pytest.raises(NotSupported, match="its author's own program"):
        resolve("hkunlp/instructor-xl")


def test_settings_a_built_in_model_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dtype cannot be used with bm25:bigram"):
        resolve("bm25:bigram", ModelOptions(dtype="float16"))
    prompts, run = tmp_path / "prompts.toml", tmp_path / "some.trec"
    prompts.write_text('[prompts]\nquery = "질문: "\n')
    run.write_text("q1 Q0 d1 1 2.0 x\n")
    options = ModelOptions(prompts_file=prompts)
    for name in ("toy", "kiwi-static", "bm25:bigram", f"run:{run}"):
        with pytest.raises(UsageError, match=f"^--prompts cannot be used with {name}, which has"):
            resolve(name, options)
    with pytest.raises(UsageError, match="--prompts cannot be used with toy"):
        prompts_of("toy", options)
    # Parts that have no such setting stand beside parts that have it.
    parts = resolve(f"rrf(toy, run:{run}, bm25:bigram)", options).parts
    assert [part.variant for part in parts] == ["", "", ""]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./does-not-exist", "There is no folder ./does-not-exist; a model is a folder with its"),
        ("../x/y", "There is no folder ../x/y; "),
        ("~/models/mine", "There is no folder ~/models/mine; "),
        ("/tmp/absent/model", "There is no folder /tmp/absent/model; "),
        ("models/org/name", "There is no folder models/org/name; "),
        ("C:\\models\\mine", "There is no folder C:"),
        ("./absent#sparse", "There is no folder ./absent; "),
        ("rrf(toy, ./absent)", "There is no folder ./absent; "),
        (__file__, "test_models.py is not a folder; a model is a folder"),
    ],
)
def test_a_folder_that_is_not_there_is_one_sentence(name: str, says: str) -> None:
    with pytest.raises(UsageError) as refusal:
        resolve(name)
    assert says in str(refusal.value)
    assert "hub id `org/name`" in str(refusal.value)
    assert not isinstance(refusal.value, UnknownName)


@pytest.mark.parametrize(
    ("device", "instead"),
    [
        ("gpu", "cuda"),
        ("GPU", "cuda"),
        ("gpu:1", "cuda:1"),
        ("0", "cuda:0"),
        ("cuda0", "cuda:0"),
        ("nvidia", "cuda"),
        ("tpu", "auto"),
        ("cpu,gpu", "cuda"),
    ],
)
def test_a_device_that_nobody_knows_is_one_sentence_for_every_model(
    device: str, instead: str
) -> None:
    for name in ("toy", "bm25:bigram", "some/model-on-the-hub"):
        with pytest.raises(UsageError, match=f"is not known: .*; type --device {instead}.$"):
            resolve(name, ModelOptions(device=device))


def test_names_of_folders_stay_in_every_script_and_differ_where_the_folders_do() -> None:
    names = {
        "내모델": "local/내모델",
        unicodedata.normalize("NFD", "내모델"): "local/내모델",
        "一番いいモデル-v2.1": "local/一番いいモデル-v2.1",
        "модель_α": "local/модель_α",
        "my-model": "local/my-model",
    }
    assert {name: files.local_name(Path(name)) for name in names} == names
    torn = [
        "my model",
        "my/../my+model",
        "-my-model",
        "한 글",
        "한+글",
        "한-글",
        "★",
        "★★",
        "हिन्दी",
    ]
    torn += ["가" * 84, "가" * 85]
    ids = {files.local_name(Path("/somewhere", name)) for name in torn} | set(names.values())
    assert len(ids) == len(torn) + len(set(names.values()))
    for name in ids:
        folder = result_dir(Path("results"), name, "0" * 12)  # refuses what is no safe path
        assert len(folder.parent.name.encode()) <= 255
        assert folder.parent.name == unicodedata.normalize("NFC", folder.parent.name)


def test_weights_are_not_fetched_where_nothing_could_load_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is asked what it has, and for no byte of it."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", folder, "a" * 40)
        script = (
            "import importlib.util, sys\n"
            "find = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, package=None: (\n"
            "    None if name == 'sentence_transformers' else find(name, package))\n"
            "from kemb.errors import KembError\n"
            "from kemb.models.resolve import resolve\n"
            "try: resolve('someone/tiny')\n"
            "except KembError as error: sys.exit(str(error))\n"
        )
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | environment | {"HF_HUB_OFFLINE": "0"},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.stderr.strip() == (
        'The model someone/tiny needs packages that are not installed. Type: pip install "kemb[st]"'
    )
    assert [request for request in hub.requests if "/resolve/" in request] == []


def test_the_limit_of_a_folder_without_its_own_is_the_smaller_of_positions_and_tokenizer(
    tiny_transformer: Path,
) -> None:
    assert files.read_folder(tiny_transformer).max_tokens == 64


def fetch(
    hub: HubStandIn, home: Path, name: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys, time; pause = time.sleep\n"
        "time.sleep = lambda seconds: pause(min(seconds, 0.01))\n"  # kemb's and the client's
        "from kemb.models.resolve import resolve, ModelOptions\n"
        "from kemb.errors import KembError\n"
        "try: m = resolve(sys.argv[1], ModelOptions(device='cpu')); print(m.name, m.revision, "
        "m.pooling)\n"
        "except KembError as error: sys.exit(str(error))\n"
    )
    wanted = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    env = (
        os.environ
        | wanted
        | {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
        | environment
    )
    return subprocess.run(
        [sys.executable, "-c", script, name], env=env, capture_output=True, text=True, timeout=100
    )


def test_a_hub_model_is_pinned_to_its_commit_and_loads_again_offline(
    tiny_st: Path, tmp_path: Path
) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        online = fetch(hub, tmp_path, "someone/tiny")
        assert online.stdout.split() == ["someone/tiny", COMMIT, "mean"], online.stderr
        hub.requests.clear()
        offline = fetch(hub, tmp_path, f"someone/tiny@{COMMIT}", HF_HUB_OFFLINE="1")
        assert offline.stdout.split() == ["someone/tiny", COMMIT, "mean"], offline.stderr
        assert hub.requests == []


@pytest.mark.parametrize(
    ("fault", "name", "says"),
    [
        (None, "someone/nothing", "the hub has no such model, or it is private"),
        (None, "someone/tiny@" + "b" * 40, "no such revision"),
        ("gated", "someone/tiny", "which is gated.*hf auth login"),
        ("error500", "someone/tiny", "the hub answered 500, 3 times.*hf download someone/tiny"),
        ("hang", "someone/tiny", "did not answer in time, 3 times"),
        ("hang-weights", "someone/tiny", "did not answer in time, 3 times"),
        (
            "truncate",
            "someone/tiny",
            "cut short, 3 times|could not be downloaded|cannot be reached",
        ),
    ],
)
def test_what_goes_wrong_at_the_hub_is_one_paragraph(
    tiny_st: Path, tmp_path: Path, fault: str | None, name: str, says: str
) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        if fault:
            what, _, where = fault.partition("-")
            hub.fault(what, match=where and "safetensors")  # type: ignore[arg-type]
        done = fetch(hub, tmp_path, name)
    assert done.returncode == 1
    assert re.search(says, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_passing_failure_of_the_hub_is_tried_again(tiny_st: Path, tmp_path: Path) -> None:
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", tiny_st, COMMIT)
        hub.fault("error503", times=2)
        assert fetch(hub, tmp_path, "someone/tiny").stdout.split()[1:2] == [COMMIT]


def test_pickle_only_repositories_are_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.pt").write_bytes(b"x")
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/pickled", folder, COMMIT)
        done = fetch(hub, tmp_path, "someone/pickled")
        assert "only pickle weights (weights.pt)" in done.stderr
        assert not [request for request in hub.requests if "/resolve/" in request]


def test_weights_that_torch_saved_are_fetched_where_there_are_no_others(
    copy_of_st: Path, tmp_path: Path
) -> None:
    with HubStandIn() as hub:
        shutil.copy(copy_of_st / "model.safetensors", copy_of_st / "pytorch_model.bin")
        hub.add_repo("model", "someone/both", copy_of_st, COMMIT)
        assert fetch(hub, tmp_path, "someone/both").stdout.split()[1:2] == [COMMIT]
        assert not [request for request in hub.requests if "pytorch_model.bin" in request]
        (copy_of_st / "pytorch_model.bin").unlink()
        as_torch_saves(copy_of_st)
        hub.add_repo("model", "someone/torch", copy_of_st, COMMIT)
        done = fetch(hub, tmp_path, "someone/torch")
        assert done.stdout.split()[1:2] == [COMMIT], done.stderr
        assert [request for request in hub.requests if "pytorch_model.bin" in request]


def test_a_forward_pass_that_fails_is_one_paragraph_that_names_the_limit(tiny_st: Path) -> None:
    encoder = open_model(resolve(str(tiny_st), ModelOptions(max_tokens=100_000)))
    with pytest.raises(ModelError, match=r"tokens long.*--max-tokens"):
        encoder.encode([Input("", "", "가나다라" * 2000)])
