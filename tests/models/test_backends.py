"""ONNX and OpenVINO files of a model, beside torch."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hub import HubStandIn
from kemb.adapters import onnx_export
from kemb.encoding.store import Store
from kemb.errors import MissingExtra, ModelError, UsageError
from kemb.evaluation.evaluate import RunOptions, evaluate, load_task
from kemb.evaluation.verify import VerifyOptions, recorded_model
from kemb.models import backends
from kemb.models.model import Model, ModelOptions
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.publishing.card.body import _flags
from kemb.types import Input

pytest.importorskip("onnx", reason='ONNX files need pip install "kemb[onnx]"')
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
from kemb.adapters.onnx_export import INT8, MODEL, export_folder
from kemb.cli import cli

pytestmark = pytest.mark.torch

ONNX = ModelOptions(backend="onnx")
CPU = ModelOptions(device="cpu")
WORDS = ["가나다", "라마바사아", "자", "차카타파하 거너더" * 3, "가" * 200]
RUNTIMES = [
    "onnx",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("openvino") is None,
            reason='OpenVINO needs pip install "kemb[openvino]"',
        ),
    ),
]


def encode(model: Model, texts: list[str], prompt: str = "") -> np.ndarray:
    return np.asarray(open_model(model).encode([Input("", prompt, text) for text in texts]))


@pytest.fixture(scope="module")
def exported(tiny_st: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with onnx/model.onnx and onnx/model_int8.onnx."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    whole, int8 = export_folder(resolve(str(tiny_st), CPU), folder, int8=True)
    assert (whole.path, int8.path) == (folder / MODEL, folder / INT8)
    assert whole.parity.max_difference < 1e-6 < int8.parity.max_difference
    assert int8.n_bytes == int8.path.stat().st_size < whole.n_bytes
    return folder


@pytest.fixture
def own(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "my model"))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_vectors_are_those_of_torch(exported: Path, runtime: backends.Runtime) -> None:
    torch = resolve(str(exported), CPU)
    model = resolve(str(exported), ModelOptions(backend=runtime))
    assert np.abs(encode(model, WORDS, "가: ") - encode(torch, WORDS, "가: ")).max() < 1e-5
    assert open_model(model).dim == 32


def test_a_plain_transformer_is_pooled_as_asked(
    exported: Path, tiny_transformer: Path, tmp_path: Path
) -> None:
    plain = Path(shutil.copytree(tiny_transformer, tmp_path / "plain"))
    shutil.copytree(exported / "onnx", plain / "onnx")
    of_torch = encode(resolve(str(plain), ModelOptions(device="cpu", pooling="last")), WORDS)
    ours = encode(resolve(str(plain), ModelOptions(backend="onnx", pooling="last")), WORDS)
    assert np.abs(ours - of_torch).max() < 1e-5


def test_int8_vectors_do_not_depend_on_the_batch(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = resolve(str(exported), ModelOptions(backend="onnx", backend_file="model_int8.onnx"))
    alone = np.concatenate([encode(model, [word]) for word in WORDS])
    assert np.abs(encode(model, WORDS) - alone).max() < 1e-6
    exact = encode(resolve(str(exported), ONNX), WORDS)
    assert 1e-5 < np.abs(alone - exact).max() < 0.1
    monkeypatch.setattr(backends, "_DYNAMIC", re.compile(b"never"))  # as one batch they would
    together = resolve(str(exported), ModelOptions(backend="onnx", backend_file="model_int8.onnx"))
    assert np.abs(encode(together, WORDS) - alone).max() > 1e-5


def test_the_file_is_in_the_fingerprint_and_names_the_row(own: Path) -> None:
    torch, before = resolve(str(own), CPU), resolve(str(own), ONNX)
    int8 = resolve(str(own), ModelOptions(backend="onnx", backend_file="onnx/model_int8.onnx"))
    assert re.fullmatch(
        r"local/my-model-[0-9a-f]{6} \[backend_onnx-model\.onnx-[0-9a-f]{8}\]", before.row
    )
    assert re.search(r"backend_onnx-model_int8\.onnx-[0-9a-f]{8}$", int8.variant)
    assert torch.fingerprint()["backend"] == "torch"
    assert len({str(model.fingerprint()) for model in (torch, before, int8)}) == 3
    with (own / "onnx" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    after = resolve(str(own), ONNX)
    assert after.revision == before.revision
    assert after.variant != before.variant
    assert after.fingerprint() != before.fingerprint()


def test_weights_beside_the_file_belong_to_it(own: Path) -> None:
    import onnx

    path = own / "onnx" / "model.onnx"
    network = onnx.load(path)
    onnx.save(
        network, path, save_as_external_data=True, location="weights.data", size_threshold=1024
    )
    before = resolve(str(own), ONNX)
    torch = resolve(str(own), CPU)
    assert np.abs(encode(before, WORDS) - encode(torch, WORDS)).max() < 1e-5
    weights = path.with_name("weights.data")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert resolve(str(own), ONNX).fingerprint() != before.fingerprint()
    weights.unlink()
    with pytest.raises(ModelError, match=r"keeps weights in weights\.data, which is not beside it"):
        resolve(str(own), ONNX)


def test_token_vectors_of_another_name_and_smaller_ids_are_read(own: Path) -> None:
    """As optimum writes them of a sentence-transformers folder, and others with 32-bit ids."""
    import onnx
    from onnx import TensorProto, helper

    path = own / "onnx" / "model.onnx"
    network = onnx.load(path)
    graph = network.graph
    for node in graph.node:
        for i, name in enumerate(node.output):
            node.output[i] = name.replace("last_hidden_state", "token_embeddings")
        for i, name in enumerate(node.input):
            node.input[i] = {"input_ids": "wide_ids", "last_hidden_state": "token_embeddings"}.get(
                name, name
            )
    graph.output[0].name = "token_embeddings"
    graph.node.insert(
        0, helper.make_node("Cast", ["input_ids"], ["wide_ids"], to=TensorProto.INT64)
    )
    (ids,) = (entry for entry in graph.input if entry.name == "input_ids")
    ids.type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(network, path)
    assert (
        np.abs(encode(resolve(str(own), ONNX), WORDS) - encode(resolve(str(own), CPU), WORDS)).max()
        < 1e-5
    )


def test_openvinos_own_format_is_read_and_linked_weights_are_refused(own: Path) -> None:
    openvino = pytest.importorskip("openvino", reason='OpenVINO needs pip install "kemb[openvino]"')
    import onnx

    path, wanted = own / "onnx" / "model.onnx", ModelOptions(backend="openvino")
    (own / "openvino").mkdir()
    network = openvino.Core().read_model(path)
    openvino.save_model(network, own / "openvino" / "openvino_model.xml", compress_to_fp16=False)
    of_torch, own_format = encode(resolve(str(own), CPU), WORDS), resolve(str(own), wanted)
    assert own_format.variant.startswith("backend_openvino-openvino_model.xml-")
    assert np.abs(encode(own_format, WORDS) - of_torch).max() < 1e-5
    weights = own / "openvino" / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert resolve(str(own), wanted).variant != own_format.variant
    weights.unlink()
    with pytest.raises(ModelError, match=r"keeps weights in openvino_model\.bin"):
        resolve(str(own), wanted)
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=1024,
    )
    (own / "blob").write_bytes((own / "onnx" / "model.onnx_data").read_bytes())
    (own / "onnx" / "model.onnx_data").unlink()
    (own / "onnx" / "model.onnx_data").symlink_to(own / "blob")
    linked = resolve(str(own), ModelOptions(backend="openvino", backend_file="model.onnx"))
    with pytest.raises(
        ModelError, match=r"no weights of an ONNX file through links.*--local-dir DIR"
    ):
        open_model(linked)


def test_weights_from_elsewhere_are_not_read(own: Path) -> None:
    import onnx

    path = own / "onnx" / "model.onnx"
    network = onnx.load(path)
    onnx.save(
        network, path, save_as_external_data=True, location="weights.data", size_threshold=1024
    )
    path.write_bytes(path.read_bytes().replace(b"weights.data", b"../../secret"))
    with pytest.raises(
        ModelError, match=r"wants weights from '\.\./\.\./secret', outside of its folder"
    ):
        resolve(str(own), ONNX)


def test_no_weights_of_torch_are_needed(own: Path) -> None:
    expected = encode(resolve(str(own), ONNX), WORDS)
    (own / "model.safetensors").unlink()
    assert np.array_equal(encode(resolve(str(own), ONNX), WORDS), expected)
    with pytest.raises(ModelError, match="no weights"):
        resolve(str(own), CPU)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ModelOptions(backend_file="model.onnx"), "without its runtime. Add --backend onnx"),
        (
            ModelOptions(backend="onnx", backend_file="/etc/model.onnx"),
            r"inside the model's folder.*onnx/model\.onnx",
        ),
        (ModelOptions(backend="onnx", backend_file="../model.onnx"), "inside the model's folder"),
        (ModelOptions(backend="onnx", backend_file="model.safetensors"), r"no \.onnx file"),
        (ModelOptions(backend="onnx", dtype="float16"), "--dtype cannot be used with --backend"),
    ],
)
def test_what_cannot_be_meant_is_refused(exported: Path, options: ModelOptions, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        resolve(str(exported), options)


def test_models_without_a_network_are_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    table = StaticEmbedding(Tokenizer(models.WordLevel({"가": 0}, unk_token="가")), embedding_dim=4)
    SentenceTransformer(modules=[table], device="cpu").save_pretrained(str(tmp_path / "static"))
    with pytest.raises(
        UsageError, match="dense models with a network, and local/static is not one"
    ):
        resolve(str(tmp_path / "static"), ONNX)
    with pytest.raises(UsageError, match="--backend cannot be used with bm25:bigram"):
        resolve("bm25:bigram", ONNX)
    static = resolve(str(tmp_path / "static"), CPU)
    with pytest.raises(ModelError, match="no network that could be written as ONNX"):
        export_folder(static, tmp_path / "out", int8=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["static"]


def test_a_missing_file_is_named_with_those_that_are_there(own: Path, tiny_st: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no q\.onnx in .*; there are onnx/model\.onnx, onnx/model_int8\.onnx"
    ):
        resolve(str(own), ModelOptions(backend="onnx", backend_file="q.onnx"))
    with pytest.raises(
        ModelError, match=r"no ONNX file \(onnx/model\.onnx or model\.onnx\).*kemb export onnx"
    ):
        resolve(str(tiny_st), ONNX)


@pytest.mark.parametrize(
    ("runtime", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")]
)
def test_a_missing_package_is_one_sentence(
    exported: Path, monkeypatch: pytest.MonkeyPatch, runtime: backends.Runtime, package: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(
        MissingExtra, match=rf'--backend {runtime} needs .*pip install "kemb\[{runtime}\]"'
    ):
        resolve(str(exported), ModelOptions(backend=runtime))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_damaged_file_is_refused_when_it_is_opened(own: Path, runtime: backends.Runtime) -> None:
    path = own / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"model\.onnx cannot be opened by .*Fetch or export"):
        open_model(resolve(str(own), ModelOptions(backend=runtime)))
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        resolve(str(own), ModelOptions(backend=runtime))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            b"attention_mask",
            b"attention_musk",
            r"wants the inputs .*attention_musk.*kemb gives attention_mask",
        ),
        (
            b"last_hidden_state",
            b"past_hidden_state",
            r"gives past_hidden_state; kemb reads a vector per token",
        ),
    ],
)
def test_networks_of_another_kind_are_refused(own: Path, old: bytes, new: bytes, says: str) -> None:
    path = own / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ModelError, match=says):
        open_model(resolve(str(own), ONNX))


def test_devices_that_are_not_there_are_refused(exported: Path) -> None:
    with pytest.raises(ModelError, match=r"needs onnxruntime for CUDA.*--device cpu"):
        open_model(resolve(str(exported), ModelOptions(backend="onnx", device="cuda")))
    with pytest.raises(ModelError, match=r"on the CPU here, not on mps"):
        open_model(resolve(str(exported), ModelOptions(backend="onnx", device="mps")))


def test_a_result_says_by_which_file_it_was_made_and_is_verified_by_it(
    own: Path, tmp_path: Path
) -> None:
    words = "가 나다 라마바 사 아자차 카 타파하거너".split()
    rows = [
        f'{{"sentence1": "{a} 위", "sentence2": "{b} 위", "score": {i * j % 6}}}'
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "test.jsonl").write_text("\n".join(rows))
    task, store = load_task(str(tmp_path / "pairs")), Store(tmp_path / "store")
    models = [resolve(str(own), CPU), resolve(str(own), ONNX)]
    of_torch, of_onnx = (
        outcome.result or pytest.fail(outcome.message)
        for outcome in evaluate([task], models, RunOptions(tmp_path / "results", store))
    )
    assert of_torch.record.model.backend is None
    assert "backend" not in of_torch.record.model.as_json()
    recorded = of_onnx.record.model.backend
    assert (recorded.runtime, recorded.file) == ("onnx", "onnx/model.onnx")
    assert of_onnx.record.versions["onnxruntime"]
    assert of_onnx.main_score == pytest.approx(of_torch.main_score, abs=1e-3)
    assert _flags(models[1].variant) == ["--backend", "onnx", "--backend-file", "model.onnx"]
    options = VerifyOptions(model=str(own))
    assert recorded_model(of_onnx, options).fingerprint() == models[1].fingerprint()
    with (own / "onnx" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="the file of that name is now another one"):
        recorded_model(of_onnx, options)


def test_of_a_hub_model_only_the_file_and_no_weights_of_torch_are_fetched(
    own: Path, tmp_path: Path
) -> None:
    import onnx

    path = own / "onnx" / "model.onnx"
    # As BAAI/bge-m3 has it: weights in files beside it, one of which does not have its name.
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="Constant_7_value",
        size_threshold=1024,
    )
    (own / "onnx" / "Constant_8_value").write_bytes(b"of another file")
    script = (
        "import sys; from kemb.models.model import ModelOptions\n"
        "from kemb.models.resolve import resolve\n"
        "from kemb.models.open import open_model\n"
        "m = resolve(sys.argv[1], ModelOptions(backend='onnx')); print(m.revision, m.backend.path, "
        "open_model(m).dim)\n"
    )
    with HubStandIn() as hub:
        hub.add_repo("model", "someone/tiny", own, "a" * 40)
        home = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", script, "someone/tiny"],
            env=os.environ | home | {"HF_HUB_OFFLINE": "0"},
            capture_output=True,
            text=True,
            timeout=100,
        )
        asked = "\n".join(request for request in hub.requests if "/resolve/" in request)
    assert done.stdout.split() == ["a" * 40, "onnx/model.onnx", "32"], done.stderr
    assert "onnx/model.onnx" in asked
    assert "onnx/Constant_7_value" in asked
    assert not any(name in asked for name in ("safetensors", "int8", "Constant_8"))


def test_an_export_replaces_nothing_and_keeps_nothing_that_differs_from_torch(
    exported: Path, tiny_st: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"is there already.*-o DIR"):
        export_folder(resolve(str(tiny_st), CPU), exported, int8=False)
    monkeypatch.setattr(
        onnx_export, "write_onnx", lambda encoder, path: write_int8_as(path, exported)
    )
    with pytest.raises(
        ModelError,
        match=r"gives other vectors than torch: numbers differ by up to .*more than 0.0001",
    ):
        export_folder(resolve(str(tiny_st), CPU), tmp_path / "out", int8=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r'Writing ONNX files needs .*pip install "kemb\[onnx\]"'
    ):
        export_folder(resolve(str(tiny_st), CPU), tmp_path / "out", int8=False)


def write_int8_as(path: Path, exported: Path) -> None:
    path.parent.mkdir()
    shutil.copyfile(exported / INT8, path)


@pytest.mark.shared
@pytest.mark.slow
def test_minilm_in_onnx_has_torchs_vectors_and_its_published_score(
    minilm: Path, shared_data: Path, shared_store: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["export", "onnx", str(minilm), "-o", str(tmp_path / "minilm")])
    assert done.exit_code == 0, done.output
    model = resolve(str(tmp_path / "minilm"), ONNX)
    task = load_task("KorSTS", shared_data / "packs")
    (outcome,) = evaluate([task], [model], RunOptions(tmp_path / "results", Store(shared_store)))
    assert outcome.result is not None, outcome.message
    ((entry,),) = outcome.result.scores.values()
    assert entry["cosine_spearman"] == pytest.approx(0.4230110, abs=1e-6)
    texts = [text for part in task.load().parts for text in part.data.sentence1[:200]]  # type: ignore[union-attr]
    of_torch = encode(resolve(str(minilm), CPU), texts)
    assert np.abs(encode(model, texts) - of_torch).max() < 1e-5
