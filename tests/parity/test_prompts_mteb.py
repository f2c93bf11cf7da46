"""Prompts against mteb: the key order, sentence-transformers' own rules, and the strings of
registered models.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kemb.tasks
from kemb.models.catalogue import load_spec, names, profiles, read_table
from kemb.models.prompts import PromptTable, build_prompts, read_prompts_file, resolve, rules_for
from kemb.tasks.kinds import by_mteb_name, roles
from kemb.types import Role, TaskType

mteb = pytest.importorskip("mteb")
sentence_transformers = pytest.importorskip("sentence_transformers")

pytestmark = pytest.mark.torch

SHIPPED: dict[str, str | dict[str, str]] = {
    str(table["name"]): table.get("instruction", "")
    for table in map(read_table, sorted(Path(kemb.tasks.__file__).parent.glob("known/*.toml")))
}
"""kemb's tasks and their instructions, as the run hands them to `resolve`."""
TASKS = [*SHIPPED, "SummEval", "EmitClassification"]
"""Two more, for the task types kemb has no task of."""
SYMMETRIC = {str(kind) for kind in by_mteb_name().values()} - {"retrieval", "reranking"}
E5_DIFFERENCE = SYMMETRIC
INSTRUCTION_DIFFERENCE = {"retrieval"}
DIFFERENCES: dict[str, set[str]] = {
    **dict.fromkeys(
        [
            "intfloat/multilingual-e5-small",
            "intfloat/multilingual-e5-base",
            "intfloat/multilingual-e5-large",
            "intfloat/e5-small-v2",
            "intfloat/e5-base-v2",
            "intfloat/e5-large-v2",
            "nlpai-lab/KoE5",
            "dragonkue/multilingual-e5-small-ko",
            "dragonkue/multilingual-e5-small-ko-v2",
        ],
        E5_DIFFERENCE,
    ),
    **dict.fromkeys(
        [
            "intfloat/multilingual-e5-large-instruct",
            "intfloat/e5-mistral-7b-instruct",
            "Salesforce/SFR-Embedding-2_R",
            "Alibaba-NLP/gte-Qwen2-7B-instruct",
            "Qwen/Qwen3-Embedding-0.6B",
            "Qwen/Qwen3-Embedding-4B",
            "Qwen/Qwen3-Embedding-8B",
        ],
        INSTRUCTION_DIFFERENCE,
    ),
    "BAAI/bge-multilingual-gemma2": {*SYMMETRIC, "retrieval", "reranking"},
}
"""Task types on which the declared prompts differ from mteb's on purpose (docs/prompts.md says
why).
"""

COMPARED = list(read_prompts_file(profiles()["mteb"]).models)


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: mteb.get_task(name).metadata for name in TASKS}


def our_type(task: Any) -> TaskType:  # noqa: ANN401
    return by_mteb_name()[task.type]


def prompt_type(role: Role) -> Any:  # noqa: ANN401
    return None if role == "text" else mteb.types.PromptType(role)


def instruction(task: Any) -> str | dict[str, str]:  # noqa: ANN401
    return SHIPPED.get(task.name, task.prompt or "")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_key_order_is_mtebs(data: st.DataObject, metadata: dict[str, Any]) -> None:
    """The oracle is mteb's own lookup over the same dictionary, in mteb's spelling."""
    from mteb.models.abs_encoder import get_prompt

    name = data.draw(st.sampled_from(TASKS))
    task = metadata[name]
    words = [name, task.type, "Retrieval", "KorSTS"]
    keys = [
        *words,
        "query",
        "document",
        *(f"{word}-{role}" for word in words for role in ("query", "document")),
    ]
    prompts = {key: f"<{key}> " for key in data.draw(st.lists(st.sampled_from(keys), max_size=6))}
    table = build_prompts(None, None, {"prompts": prompts}, TASKS)
    for role in roles(our_type(task)):
        assert resolve(table, name, our_type(task), "", role).prompt == (
            get_prompt(prompts, task, prompt_type(role)) or ""
        )


class Recorder(sentence_transformers.SentenceTransformer):  # type: ignore[misc,name-defined]
    """sentence-transformers' own choice of prompt, without weights: `encode` notes what it would
    put before.
    """

    max_seq_length = None

    def __init__(self, *_: object, **options: Any) -> None:  # noqa: ANN401
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel

        tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
        kept = {key: options[key] for key in ("prompts", "default_prompt_name") if key in options}
        super().__init__(
            modules=[StaticEmbedding(tokenizer, embedding_dim=2)], device="cpu", **kept
        )
        self.sent: list[tuple[str, str]] = []

    def _first_module(self) -> Any:  # noqa: ANN401
        module = super()._first_module()
        module.auto_model = type(
            "Weights", (), {"config": type("Config", (), {"_attn_implementation": "sdpa"})}
        )
        return module

    def encode(
        self,
        inputs: list[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> np.ndarray[Any, Any]:
        route = options.get("task") or ""
        route = (
            "" if route in ("query", "document") else route
        )  # set by encode_query and encode_document themselves
        self.sent.append((self._resolve_prompt(prompt, prompt_name) or "", route))
        return np.zeros((len(inputs), 2), dtype=np.float32)


def sent_by(wrapper: Any, recorder: Recorder, task: Any, role: Role) -> tuple[str, str]:  # noqa: ANN401
    """Prompt and route mteb's wrapper gives a text of this role."""
    from datasets import Dataset
    from torch.utils.data import DataLoader

    loader = DataLoader(Dataset.from_dict({"text": ["a"]}), batch_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapper.encode(
            loader,
            task_metadata=task,
            hf_split="test",
            hf_subset="default",
            prompt_type=prompt_type(role),
        )
    return recorder.sent[-1]


@pytest.mark.parametrize(
    "config",
    [
        {"prompts": {"query": "q: ", "document": "d: "}, "default_prompt_name": None},
        {"prompts": {"query": "q: "}, "default_prompt_name": "query"},
        {"prompts": {"passage": "p: ", "s2p_query": "s: "}, "default_prompt_name": None},
        {
            "prompts": {"web": "w: ", "STS": "s: ", "Retrieval-query": "r: "},
            "default_prompt_name": "web",
        },
        {"prompts": {"Reranking": "both: ", "Clustering": ""}, "default_prompt_name": "Reranking"},
        {"prompts": {}, "default_prompt_name": None},
    ],
)
def test_foreign_configuration_is_read_as_sentence_transformers_and_mteb_do(
    config: dict[str, Any], metadata: dict[str, Any]
) -> None:
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    recorder = Recorder(
        prompts=dict(config["prompts"]), default_prompt_name=config["default_prompt_name"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapper = SentenceTransformerEncoderWrapper(recorder)
    table = build_prompts(None, None, config, TASKS)
    for name, task in metadata.items():
        for role in roles(our_type(task)):
            ours = resolve(table, name, our_type(task), "", role).prompt
            assert ours == sent_by(wrapper, recorder, task, role)[0], (name, role)


@pytest.fixture(scope="module")
def mteb_sends(
    metadata: dict[str, Any],
) -> Callable[[str], dict[tuple[str, Role], tuple[str, str]]]:
    """Prompt and route per task and role, from the loader and the options in mteb's registry."""

    def sends(model: str) -> dict[tuple[str, Role], tuple[str, str]]:
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")
            patch.setattr(sentence_transformers, "SentenceTransformer", Recorder)
            meta = mteb.get_model_meta(model)
            wrapper = meta.loader(model, meta.revision, **meta.loader_kwargs)
        return {
            (name, role): sent_by(wrapper, wrapper.model, task, role)
            for name, task in metadata.items()
            for role in roles(our_type(task))
        }

    return sends


def ours(table: PromptTable, metadata: dict[str, Any]) -> dict[tuple[str, Role], tuple[str, str]]:
    found = {}
    for name, task in metadata.items():
        for role in roles(our_type(task)):
            answer = resolve(table, name, our_type(task), instruction(task), role)
            found[name, role] = (answer.prompt, answer.route)
    return found


@pytest.mark.parametrize("model", COMPARED)
def test_declared_and_mteb_prompts(
    model: str,
    metadata: dict[str, Any],
    mteb_sends: Callable[[str], dict[tuple[str, Role], tuple[str, str]]],
) -> None:
    """Equal except on the listed task types; and equal everywhere with the prompts file `mteb`."""
    spec = load_spec(model)
    assert spec is not None
    theirs = mteb_sends(model)
    declared = ours(build_prompts(spec, None, None, TASKS), metadata)
    different = {
        our_type(metadata[name])
        for name, role in theirs
        if theirs[name, role] != declared[name, role]
    }
    assert different == DIFFERENCES.get(model, set())
    rules = rules_for(read_prompts_file(profiles()["mteb"]), model)
    assert ours(build_prompts(spec, rules, None, TASKS), metadata) == theirs


def test_cohere_input_types_are_mtebs(metadata: dict[str, Any]) -> None:
    from mteb.models.abs_encoder import get_prompt

    model = "Cohere/Cohere-embed-multilingual-v3.0"
    spec = load_spec(model)
    table = build_prompts(spec, None, None, TASKS)
    types = mteb.get_model_meta(model).loader_kwargs["model_prompts"]
    for name, task in metadata.items():
        for role in roles(our_type(task)):
            # mteb's wrapper: "search_document is recommended if unknown"
            theirs = get_prompt(types, task, prompt_type(role)) or "search_document"
            assert resolve(table, name, our_type(task), instruction(task), role).route == theirs


def test_every_listed_difference_is_compared() -> None:
    assert set(DIFFERENCES) <= set(COMPARED)


def test_revisions_come_from_the_registry() -> None:
    """A registered model has mteb's commit; a model mteb does not know has none."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    for name in names():
        spec = load_spec(name)
        assert spec is not None
        if spec.loader == "api":
            assert spec.revision is None
        else:
            meta = MODEL_REGISTRY.get(spec.hub or name)
            assert spec.revision == (meta.revision if meta else None), name
