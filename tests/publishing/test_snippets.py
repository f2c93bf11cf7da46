"""Snippets give kemb's own vectors, hold the literal prompts, and nothing breaks out of their
strings.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kemb.models import catalogue
from kemb.models.encoders.torch import Loading, open_torch
from kemb.publishing.site.schema import Snippet
from kemb.publishing.usage import DOCUMENT, QUERY, Usage, code_for, snippets, usage_of
from kemb.results.files import Claim, TaskResult
from kemb.results.record import Record
from kemb.types import Input
from records import changed, record

PYTHON = ("sentence-transformers", "transformers", "LangChain", "vLLM")
HOSTILE = [
    '"; import os; os.abort(); "',
    "'''\n\"\"\"\\",
    "$(id)`id`'; id; '",
    "\u202etxt.exe\u2028x",
    "a\nb# c",
    "\\",
]


def by_name(found: list[Snippet]) -> dict[str, str]:
    return {snippet.name: snippet.code for snippet in found}


def run(code: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "snippet", "exec"), space)
    return space


def result(prompts: dict[str, str], kind: str = "retrieval", task: str = "mine") -> TaskResult:
    said = {
        role: {"prompt": prompt, "route": "", "key": role, "source": "x"}
        for role, prompt in prompts.items()
    }
    described = record(
        task={"type": kind}, prompts=said, model={"revision": "c" * 40, "max_tokens": 64}
    )
    return TaskResult(Path("x.json"), "org/mine", "c" * 40, "", task, "d", {}, described)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_transformers_snippet_gives_kembs_vectors(
    tiny_transformer: Path, pooling: str, normalize: bool
) -> None:
    usage = Usage(
        "org/tiny",
        str(tiny_transformer),
        "dense",
        query="가: ",
        document="나\n",
        pooling=pooling,
        normalize=normalize,
        is_plain=True,
        is_simple=True,
        max_tokens=64,
    )
    own = open_torch(
        tiny_transformer, Loading("cpu", max_tokens=64, pooling=pooling, normalize=normalize)
    )
    space = run(by_name(code_for(usage))["transformers"])
    for name, prompt, text in (("queries", "가: ", QUERY), ("documents", "나\n", DOCUMENT)):
        np.testing.assert_allclose(
            space[name].numpy(), own.encode([Input("", prompt, text)]), atol=1e-6
        )
    # Texts of different lengths, padded on the right as this tokenizer does.
    texts = ["가나다", "가" * 90, "나"]
    expected = [own.encode([Input("", "가: ", text)])[0] for text in texts]
    np.testing.assert_allclose(space["encode"](texts, "가: ").numpy(), expected, atol=1e-6)
    if (
        pooling == "last"
    ):  # with the padding on the left the last token is the last place of every row
        space["tokenizer"].padding_side = "left"
        batch = space["tokenizer"](
            ["나 " + text for text in texts], padding=True, truncation=True, return_tensors="pt"
        )
        last = space["model"](**batch).last_hidden_state[:, -1].detach().numpy()
        last = last / np.linalg.norm(last, axis=1, keepdims=True) if normalize else last
        np.testing.assert_allclose(space["encode"](texts, "나 ").numpy(), last, atol=1e-6)


def test_the_sentence_transformers_snippet_gives_kembs_vectors(tiny_st: Path) -> None:
    usage = usage_of("org/mine", [result({"query": "가: ", "document": ""})], str(tiny_st))
    own = open_torch(tiny_st, Loading("cpu", max_tokens=64))
    space = run(by_name(code_for(usage))["sentence-transformers"])
    np.testing.assert_allclose(space["queries"], own.encode([Input("", "가: ", QUERY)]), atol=1e-6)
    np.testing.assert_allclose(space["documents"], own.encode([Input("", "", DOCUMENT)]), atol=1e-6)
    # Nobody recorded prompts: the model's own configuration has them.
    unknown = run(
        by_name(code_for(usage_of("org/mine", (), str(tiny_st))))["sentence-transformers"]
    )
    np.testing.assert_allclose(unknown["queries"], space["queries"], atol=1e-6)


def test_both_snippets_of_a_known_model_agree_on_its_files(minilm: Path) -> None:
    found = by_name(snippets("sentence-transformers/all-MiniLM-L6-v2", source=str(minilm)))
    own = open_torch(minilm, Loading("cpu"))
    for library in ("sentence-transformers", "transformers"):
        space = run(found[library])
        np.testing.assert_allclose(space["queries"], own.encode([Input("", "", QUERY)]), atol=1e-5)
        np.testing.assert_allclose(
            space["documents"], own.encode([Input("", "", DOCUMENT)]), atol=1e-5
        )


@pytest.mark.parametrize("name", catalogue.names())
def test_every_known_model_has_code_that_parses_and_holds_its_prompts(name: str) -> None:
    usage = usage_of(name)
    found = by_name(snippets(name))
    assert found
    for library, code in found.items():
        literals = strings_of(library, code)
        if usage.query is None or usage.document is None:
            assert usage.how != "dense" or library in ("sentence-transformers", "kemb")
        elif library != "kemb":
            if library == "TEI":
                assert f"{usage.query}{QUERY}" in literals
                assert f"{usage.document}{DOCUMENT}" in literals
            else:
                assert {usage.query, usage.document} <= set(literals)
            assert usage.revision in code
            assert ("remote_code" in code) == (usage.remote_code and library != "TEI")
    if usage.how == "dense":
        assert {"sentence-transformers", "kemb"} <= set(found) or usage.is_plain


def strings_of(library: str, code: str) -> list[str]:
    """The string literals of a snippet: of Python by its own parser, of a shell command by JSON in
    its words.
    """
    if library in PYTHON:
        return [
            node.value
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    words = shlex.split(code, comments=True)
    bodies = [
        json.loads(words[place + 1])["inputs"] for place, word in enumerate(words) if word == "-d"
    ]
    return [text for body in bodies for text in body] or words


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_and_prompts_stay_in_their_strings(hostile: str) -> None:
    usage = Usage(
        "org/x",
        hostile,
        "dense",
        revision=hostile,
        query=hostile,
        document=hostile,
        text=hostile,
        pooling="mean",
        normalize=True,
        is_simple=True,
        dtype=hostile,
        query_route="",
    )
    plain = by_name(
        code_for(
            replace(usage, source="a/b", revision="c", query="q", document="d", text="t", dtype="e")
        )
    )
    for library, code in by_name(code_for(usage)).items():
        if library in PYTHON:
            assert hostile in strings_of(library, code)
            assert shape(code) == shape(plain[library])
        else:
            words = shlex.split(code, comments=True)
            assert len(words) == len(shlex.split(plain[library], comments=True))
            assert any(hostile in word for word in words)


def shape(code: str) -> list[str]:
    """The kinds of the nodes of a program: what it does, whatever its strings say."""
    return [type(node).__name__ for node in ast.walk(ast.parse(code))]


@pytest.mark.parametrize(
    "name", ["x\nimport os", "`id`", "a/b; rm -rf", "../../etc", "한" * 200, "", "<script>/x"]
)
def test_a_name_that_is_no_hub_id_gets_one_comment(name: str) -> None:
    (only,) = snippets(name)
    assert only.code.startswith("# ")
    assert only.code.count("\n") == 1
    assert "`" not in only.code


def with_variant(variant: str) -> Record:
    return changed(result({"query": "Q: ", "document": "D: "}).kemb, model={"variant": variant})


def test_who_says_the_prompts() -> None:
    # The TOML of a known model, whatever a task's own instruction was.
    usage = usage_of(
        "intfloat/multilingual-e5-large", [result({"query": "Q: ", "document": "D: "})]
    )
    assert (usage.query, usage.document, usage.text) == ("query: ", "passage: ", "query: ")
    other = replace(
        result({"query": "Q: ", "document": "D: "}), kemb=with_variant("prompts_mine-0a1b2c3d")
    )
    assert usage_of("intfloat/multilingual-e5-large", [other]).query == "Q: "
    # Records that agree; a role on which they do not is unknown, and the code says so.
    agree = [
        result({"query": "Q: ", "document": ""}),
        result({"query": "Q: ", "document": ""}, task="other"),
    ]
    assert usage_of("org/mine", agree).query == "Q: "
    assert usage_of("org/mine", agree).revision == "c" * 40
    differ = [*agree, result({"query": "Task: ", "document": ""}, task="third")]
    assert usage_of("org/mine", differ).query is None
    found = by_name(snippets("org/mine", differ))
    assert set(found) == {"sentence-transformers", "kemb"}
    assert "kemb does not know one prompt" in found["sentence-transformers"]
    # Published numbers say nothing of prompts.
    claimed = replace(agree[0], claim=Claim("a paper"))
    assert usage_of("org/mine", [claimed]).query is None


def test_models_that_nothing_can_load_get_a_note() -> None:
    for name, said in (
        ("openai/text-embedding-3-large", "served by its provider only"),
        ("nlpai-lab/KURE-v2", "one vector per token"),
        ("local/mine", "no model of the hub"),
    ):
        (only,) = snippets(name)
        assert said in only.code
        assert only.code.startswith("# ")
    (only,) = snippets("bm25:kiwi")
    assert only.name == "kemb"
    assert "kemb run ./mydata -m bm25:kiwi" in only.code
    assert "kemb[kiwi]" in only.code
    assert "CrossEncoder" in snippets("BAAI/bge-reranker-large")[0].code


def test_dense_layers_and_remote_code_are_not_rebuilt_by_hand() -> None:
    for name in (
        "google/embeddinggemma-300m",
        "kakaocorp/kanana-nano-2.1b-embedding",
        "jinaai/jina-embeddings-v3",
    ):
        assert "transformers" not in by_name(snippets(name))
