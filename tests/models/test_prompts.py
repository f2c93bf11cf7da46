"""Prompt resolution: precedence, key order, literal strings, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemb.errors import UsageError
from kemb.models.catalogue import load_spec, profiles
from kemb.models.prompts import (
    PromptTable,
    build_prompts,
    explain,
    prompted,
    read_prompts_file,
    resolve,
    roles,
    rules_for,
)
from kemb.models.spec import ModelSpec, PromptRules
from kemb.types import Input, Role, TaskType

TASKS = ["Ko-StrategyQA", "KLUE-STS", "KLUE-TC"]


def rules(**fields: Any) -> PromptRules:  # noqa: ANN401
    return PromptRules(**fields)


def known(name: str) -> PromptTable:
    spec = load_spec(name)
    assert spec is not None
    return build_prompts(spec, None, None, [*TASKS, *task_keys(spec)])


def task_keys(spec: ModelSpec) -> list[str]:
    return [key.removesuffix("-query") for key in spec.instructions if key[0].isupper()]


def prompt(
    table: PromptTable,
    task: str,
    task_type: TaskType,
    role: Role,
    instruction: Any = "",  # noqa: ANN401
) -> str:
    return resolve(table, task, task_type, instruction, role).prompt


def test_most_specific_key_wins_and_the_next_follows() -> None:
    order = ["Ko-StrategyQA-query", "Ko-StrategyQA", "retrieval-query", "retrieval", "query"]
    left = {key: key for key in reversed(order)}
    for key in order:
        assert (
            prompt(
                build_prompts(rules(prompts=left), None, None, TASKS),
                "Ko-StrategyQA",
                "retrieval",
                "query",
            )
            == key
        )
        del left[key]
    assert (
        prompt(
            build_prompts(rules(prompts=left), None, None, TASKS),
            "Ko-StrategyQA",
            "retrieval",
            "query",
        )
        == ""
    )


def test_symmetric_texts_have_no_role_key() -> None:
    table = build_prompts(rules(prompts={"query": "q: ", "document": "d: "}), None, None, TASKS)
    assert roles("sts") == ("text",)
    assert resolve(table, "KLUE-STS", "sts", "", "text") == ("", "", "", "none")
    table = build_prompts(rules(prompts={"query": "q: ", "sts": "s: "}), None, None, TASKS)
    assert prompt(table, "KLUE-STS", "sts", "text") == "s: "
    assert prompt(table, "KLUE-TC", "classification", "text") == ""


def test_text_is_not_touched() -> None:
    table = build_prompts(
        rules(prompts={"query": "query: "}, routes={"query": "r"}), None, None, TASKS
    )
    assert prompted(table, "X", "retrieval", "", "query", "  질문\n") == Input(
        "r", "query: ", "  질문\n"
    )
    assert prompted(table, "X", "retrieval", "", "document", "문서") == Input("", "", "문서")


def test_empty_string_ends_the_search() -> None:
    table = build_prompts(
        rules(prompts={"query": "q: "}), rules(prompts={"retrieval": ""}), None, TASKS
    )
    assert resolve(table, "Ko-StrategyQA", "retrieval", "", "query")[:1] == ("",)
    assert resolve(table, "Ko-StrategyQA", "retrieval", "", "query").source == "file"
    assert prompt(table, "X", "reranking", "query") == "q: "


def test_a_file_answers_first_whatever_its_key_and_leaves_the_rest() -> None:
    spec = rules(prompts={"Ko-StrategyQA-query": "special: ", "query": "q: ", "document": "d: "})
    table = build_prompts(
        spec, rules(prompts={"query": "질문: "}), {"prompts": {"STS": "never"}}, TASKS
    )
    assert resolve(table, "Ko-StrategyQA", "retrieval", "", "query") == (
        "질문: ",
        "",
        "query",
        "file",
    )
    assert resolve(table, "Ko-StrategyQA", "retrieval", "", "document") == (
        "d: ",
        "",
        "document",
        "model TOML",
    )
    assert resolve(table, "KLUE-STS", "sts", "", "text").source == "none"


def test_a_toml_that_says_nothing_of_prompts_leaves_the_models_own_in_force() -> None:
    config = {"prompts": {"query": "own: ", "STS": "sim: "}, "default_prompt_name": None}
    silent = ModelSpec(name="a/b", dim=3)
    for spec in (None, silent):
        table = build_prompts(spec, None, config, TASKS)
        assert resolve(table, "X", "retrieval", "", "query") == (
            "own: ",
            "",
            "query",
            "config_sentence_transformers.json",
        )
        assert prompt(table, "KLUE-STS", "sts", "text") == "sim: "
    explicit = ModelSpec(name="a/b", prompts={})
    assert build_prompts(explicit, None, config, TASKS).layers[0].source == "model TOML"
    assert prompt(build_prompts(explicit, None, config, TASKS), "X", "retrieval", "query") == ""


def test_default_prompt_reaches_only_texts_without_a_role() -> None:
    """sentence-transformers 6.2: `encode_query` and `encode_document` never fall back to the
    default prompt.
    """
    config = {"prompts": {"web": "w: ", "Clustering": "c: "}, "default_prompt_name": "web"}
    table = build_prompts(None, None, config, TASKS)
    assert table.warnings == ()
    assert prompt(table, "KLUE-STS", "sts", "text") == "w: "
    assert prompt(table, "X", "clustering", "text") == "c: "
    assert prompt(table, "X", "retrieval", "query") == ""


def test_foreign_keys_without_effect_are_recorded() -> None:
    config = {
        "prompts": {"passage": "p: ", "s2p": None, "KLUE-TC": "t: ", "query": None},
        "default_prompt_name": "gone",
    }
    table = build_prompts(None, None, config, TASKS)
    assert len(table.warnings) == 2
    assert "'passage'" in table.warnings[0]
    assert "'p: '" in table.warnings[0]
    assert "'gone'" in table.warnings[1]
    assert prompt(table, "KLUE-TC", "classification", "text") == "t: "
    assert prompt(table, "X", "retrieval", "query") == ""


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("passage", None),
        ("STS", "sts"),
        ("text", None),
        ("sts-query", None),
        ("KLUE-ST", "KLUE-STS"),
        ("qury", "query"),
    ],
)
@pytest.mark.parametrize("field", ["prompts", "instructions", "routes"])
def test_unreachable_key_of_ours_is_an_error(key: str, meant: str | None, field: str) -> None:
    wrong = rules(**{field: {key: "x"}}, instruction_template="{instruction}")
    with pytest.raises(
        UsageError, match=f"'{key}' \\(the prompts file\\) is reached by no task"
    ) as caught:
        build_prompts(None, wrong, None, TASKS)
    if meant:
        assert f"Did you mean {meant}?" in str(caught.value)
    with pytest.raises(UsageError, match="model TOML"):
        build_prompts(wrong, None, None, TASKS)


def test_task_instruction_stands_at_the_level_of_the_task() -> None:
    spec = rules(
        instruction_template="Instruct: {instruction}\nQuery: ",
        use_task_instructions=True,
        instructions={"query": "default", "clustering": "topics", "KLUE-TC": "news"},
        prompts={"document": ""},
    )
    table = build_prompts(spec, None, None, TASKS)
    assert prompt(table, "X", "retrieval", "query", "own {x}") == "Instruct: own {x}\nQuery: "
    assert (
        prompt(table, "X", "retrieval", "query", {"query": "of query"})
        == "Instruct: of query\nQuery: "
    )
    assert prompt(table, "X", "retrieval", "query") == "Instruct: default\nQuery: "
    assert prompt(table, "X", "retrieval", "document", "own") == ""
    assert prompt(table, "X", "retrieval", "document", {"document": "own"}) == ""
    assert prompt(table, "X", "clustering", "text", "own") == "Instruct: own\nQuery: "
    assert prompt(table, "X", "clustering", "text", {"query": "own"}) == "Instruct: topics\nQuery: "
    assert prompt(table, "KLUE-TC", "classification", "text", "own") == "Instruct: news\nQuery: "
    without = build_prompts(
        spec.model_copy(update={"use_task_instructions": False}), None, None, TASKS
    )
    assert prompt(without, "X", "clustering", "text", "own") == "Instruct: topics\nQuery: "


def test_prompts_win_over_instructions_and_an_empty_instruction_is_no_prompt() -> None:
    spec = rules(
        instruction_template="I: {instruction} ",
        instructions={"sts": "a", "clustering": ""},
        prompts={"sts": "literal: "},
    )
    table = build_prompts(spec, None, None, TASKS)
    assert prompt(table, "X", "sts", "text") == "literal: "
    assert prompt(table, "X", "clustering", "text") == ""


def test_a_file_may_use_the_models_template() -> None:
    spec = rules(instruction_template="<{instruction}>", instructions={"query": "a"})
    assert (
        prompt(
            build_prompts(spec, rules(instructions={"query": "b"}), None, []),
            "X",
            "retrieval",
            "query",
        )
        == "<b>"
    )
    for lone in (rules(instructions={"query": "b"}), rules(use_task_instructions=True)):
        with pytest.raises(UsageError, match="instruction_template"):
            build_prompts(None, lone, None, [])


def test_routes_follow_the_same_keys() -> None:
    spec = rules(routes={"retrieval-query": "rq", "sts": "match"})
    table = build_prompts(spec, rules(routes={"query": "other"}), None, [])
    assert resolve(table, "X", "retrieval", "", "query").route == "other"
    assert resolve(table, "X", "sts", "", "text").route == "match"
    assert resolve(table, "X", "retrieval", "", "document").route == ""


WEB = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.mark.parametrize(
    ("model", "task_type", "role", "route", "expected"),
    [
        ("intfloat/multilingual-e5-large", "retrieval", "query", "", "query: "),
        ("intfloat/multilingual-e5-large", "retrieval", "document", "", "passage: "),
        ("intfloat/multilingual-e5-large", "sts", "text", "", "query: "),
        ("nlpai-lab/KoE5", "clustering", "text", "", "query: "),
        ("BAAI/bge-m3", "retrieval", "query", "", ""),
        (
            "BAAI/bge-large-zh-v1.5",
            "retrieval",
            "query",
            "",
            "为这个句子生成表示以用于检索相关文章：",
        ),
        (
            "BAAI/bge-small-en",
            "reranking",
            "query",
            "",
            "Represent this sentence for searching relevant passages: ",
        ),
        ("Qwen/Qwen3-Embedding-8B", "retrieval", "query", "", f"Instruct: {WEB}\nQuery:"),
        ("Qwen/Qwen3-Embedding-8B", "retrieval", "document", "", ""),
        (
            "Alibaba-NLP/gte-Qwen2-7B-instruct-fp16",
            "retrieval",
            "query",
            "",
            f"Instruct: {WEB}\nQuery: ",
        ),
        ("BAAI/bge-multilingual-gemma2", "retrieval", "query", "", f"<instruct>{WEB}.\n<query>"),
        (
            "intfloat/multilingual-e5-large-instruct",
            "sts",
            "text",
            "",
            "Instruct: Retrieve semantically similar text.\nQuery: ",
        ),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "retrieval", "query", "", "query: "),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "sts", "text", "", ""),
        ("FronyAI/frony-embed-medium-ko-v1", "retrieval", "query", "", "<Q>"),
        ("facebook/drama-1b-fp16", "retrieval", "query", "", "Query: "),
        (
            "jinaai/jina-embeddings-v3",
            "retrieval",
            "query",
            "retrieval.query",
            "Represent the query for retrieving evidence documents: ",
        ),
        (
            "jinaai/jina-embeddings-v3",
            "retrieval",
            "document",
            "retrieval.passage",
            "Represent the document for retrieval: ",
        ),
        ("jinaai/jina-embeddings-v3", "sts", "text", "text-matching", ""),
        ("google/embeddinggemma-300m", "retrieval", "document", "", "title: none | text: "),
        ("google/embeddinggemma-300m", "clustering", "text", "", "task: clustering | query: "),
        ("upstage/solar-embedding-1-large", "retrieval", "query", "query", ""),
    ],
)
def test_declared_strings(
    model: str, task_type: TaskType, role: Role, route: str, expected: str
) -> None:
    """Typed from the model cards; the white space is part of them."""
    found = resolve(known(model), "X", task_type, "", role)
    assert (found.route, found.prompt) == (route, expected)


def test_explain_shows_every_role_with_visible_white_space() -> None:
    query, document = explain(
        known("Qwen/Qwen3-Embedding-0.6B"), "Ko-StrategyQA", "retrieval", "", "예시"
    )
    assert query.shown == f"'Instruct: {WEB}\\nQuery:예시'"
    assert (query.role, query.key, query.source) == ("query", "query", "model TOML")
    assert (document.shown, document.key) == ("'예시'", "document")
    (text,) = explain(known("KURE-v1"), "KLUE-STS", "sts", "")
    assert (text.role, text.source, text.prompt) == ("text", "none", "")


def test_prompts_files(tmp_path: Path) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text('[prompts]\nsts = "s: "\n[models."A/b".prompts]\n', encoding="utf-8")
    with pytest.raises(UsageError, match="at the top"):
        read_prompts_file(toml)
    toml.write_text('[models."A/b".prompts]\nsts = "s: "\n', encoding="utf-8")
    file = read_prompts_file(toml)
    assert (
        rules_for(file, "a/B").prompts
        == rules_for(file, "A/b-fp16", "A/b").prompts
        == {"sts": "s: "}
    )
    with pytest.raises(UsageError, match="nothing for the model c; it has A/b"):
        rules_for(file, "c", "d/e")
    both = tmp_path / "b.json"
    both.write_text(json.dumps({"prompts": {"query": "질문: "}}), encoding="utf-8")
    assert rules_for(read_prompts_file(both), "any").prompts == {"query": "질문: "}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('query = "q: "', "key 'query'.*Known keys: prompts"),
        ("[prompts]\nsts = 3", "key 'prompts.sts'.*given 3"),
        ("[models.x]\npromts = {}", "key 'models.x.promts'"),
        ("[prompts", "is not valid TOML"),
    ],
)
def test_broken_prompts_files_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"broken\.toml.*{message}"):
        read_prompts_file(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_prompts_file(tmp_path / "missing.toml")


COLUMNS: list[tuple[str, TaskType]] = [
    ("STS", "sts"),
    ("NLI", "pair_classification"),
    ("Clustering", "clustering"),
]


@pytest.mark.shared
def test_korean_leaderboard_profile_is_its_published_table(shared_data: Path) -> None:
    """Cell by cell; white space at the end of a cell does not survive in the published table."""
    table = json.loads(
        (shared_data / "published" / "seed000_query_fix.json").read_text(encoding="utf-8")
    )
    file = read_prompts_file(profiles()["ko-leaderboard"])
    assert len(file.models) == len(table["rows"])
    for row in table["rows"]:
        cells = dict(zip(table["columns"], row, strict=True))
        spec = load_spec(cells["Model"])
        assert spec is not None
        ours = build_prompts(spec, rules_for(file, spec.name, spec.hub), None, TASKS)
        for column, task_type in COLUMNS:
            cell = cells[column].removeprefix("(큰 차이는 없었음)None or ").replace("<br>", "\n")
            assert prompt(ours, "X", task_type, "text").rstrip(" ") == cell, (spec.name, column)
        declared = build_prompts(spec, None, None, TASKS)
        for role in roles("retrieval"):
            as_declared = prompt(declared, "X", "retrieval", role)
            assert prompt(ours, "X", "retrieval", role) == (as_declared if cells["IR"] else ""), (
                spec.name,
                role,
            )
