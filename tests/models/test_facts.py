"""Facts of models: what is known comes from data, in the order TOML, registry, model_meta.json."""

from __future__ import annotations

import json

import pytest

from kemb.models import catalogue
from kemb.models.facts import ModelFacts, facts_of
from kemb.results.claims import shipped


@pytest.mark.slow
def test_facts_agree_with_mtebs_registry() -> None:
    """The shipped table against the registry it was made from; a TOML of kemb's own may correct it
    (m3e-large).
    """
    mteb = pytest.importorskip("mteb")
    metas = {meta.name.lower(): meta for meta in mteb.get_model_metas() if meta.name}
    n_checked = 0
    for name in sorted({result.model for result in shipped()}):
        meta = metas.get(name.lower())
        if (
            meta is None
            or catalogue.load_spec(name)
            or not meta.n_parameters
            or isinstance(meta.embed_dim, list)
        ):
            continue
        found = facts_of(name)
        assert found.open_weights == meta.open_weights, name
        assert found.dim == meta.embed_dim, name
        assert found.n_parameters == meta.n_parameters, name
        n_checked += 1
    assert n_checked > 150


@pytest.mark.parametrize(
    ("licence", "is_open", "expected"),
    [
        ("mit", True, "commercial"),
        ("apache-2.0", None, "commercial"),
        ("cc-by-nc-4.0", True, "noncommercial"),
        ("cc-by-nc-sa-4.0", True, "noncommercial"),
        ("gemma", True, "conditional"),
        ("https://example.org/licence", True, "conditional"),
        ("", True, ""),
        ("", None, ""),
        ("apache-2.0", False, "closed"),
    ],
)
def test_licences_are_classed_coarsely(licence: str, is_open: bool | None, expected: str) -> None:
    assert ModelFacts("m", license=licence, open_weights=is_open).license_class == expected


def test_what_a_file_beside_results_says_fills_gaps_only() -> None:
    meta = {
        "n_parameters": 5,
        "embed_dim": 3,
        "max_tokens": 1e9,
        "license": "mit",
        "open_weights": False,
    }
    own = facts_of("nobody/own", meta)
    assert (own.n_parameters, own.dim, own.license, own.license_class) == (5, 3, "mit", "closed")
    known = facts_of("nlpai-lab/KURE-v1", meta)
    assert (known.n_parameters, known.dim, known.open_weights, known.base_model) == (
        567_754_752, 1024, True, "BAAI/bge-m3",
    )  # fmt: skip
    broken = facts_of(
        "nobody/own",
        json.loads('{"n_parameters": "many", "embed_dim": [1], "license": 7, "max_tokens": -1}'),
    )
    assert broken == ModelFacts("nobody/own")


def test_prompts_are_needed_where_the_declared_ones_send_something() -> None:
    assert facts_of("intfloat/multilingual-e5-large").needs_prompt is True
    assert facts_of("nlpai-lab/KURE-v1").needs_prompt is False
    assert facts_of("nobody/own").needs_prompt is None
    assert facts_of("rrf(bm25:kiwi,toy)", {"model_type": ["hybrid"]}).kind == "hybrid"
    assert facts_of("bm25:kiwi").kind == "lexical"
