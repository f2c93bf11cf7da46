"""The head of a README as YAML 1.2 reads it; every byte that kemb does not write stays."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemb.adapters.front_matter import read_head, read_yaml, split, with_fields
from kemb.errors import DataError

HEAD = """\
license: apache-2.0
language:
- ko
- no

# values that YAML 1.1 reads as something else
tags:
  - on
version: 1.10
training_time: 12:30:00
co2_eq_emissions: {emissions: 1_000}   # a comment
thumbnail: null
revision: 0123456
text: |
  tags: not a key
  # not a comment
model-index:
- name: a
  results: []
# last
"""


def test_a_scalar_is_the_text_that_stands_there() -> None:
    fields = read_head(HEAD)
    assert fields["language"] == ["ko", "no"]
    assert [fields[key] for key in ("version", "training_time", "revision", "thumbnail")] == [
        "1.10",
        "12:30:00",
        "0123456",
        None,
    ]
    assert fields["co2_eq_emissions"] == {"emissions": "1_000"}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_the_lines_of_the_given_keys_change(end: str) -> None:
    head = HEAD.replace("\n", end)
    index = read_head(head)["model-index"]
    new = with_fields(
        head, {"tags": ["on", "kemb"], "model-index": [*index, {"name": "b"}]}, (), end
    )
    expected = head.replace(f"  - on{end}", f"  - on{end}  - kemb{end}").replace(
        f"  results: []{end}", f"  results: []{end}- name: b{end}"
    )
    assert new == expected
    assert with_fields(head, {}) == head
    assert with_fields(head, {"base_model": "no"}, (), end) == f"{head}base_model: 'no'{end}"


def test_what_is_written_anew_goes_to_the_end() -> None:
    assert with_fields(
        "license: mit\nx: 1.10\nlicense_link: y", {"license": "other"}, ("license", "license_link")
    ) == ("x: 1.10\nlicense: other\n")


def test_values_inside_a_key_that_is_written_keep_their_text() -> None:
    head = "model-index:\n    - {name: a, v: 1.10, b: no, c: 'no', d: ~, e: \"1.0\"}\n"
    (entry,) = read_head(head)["model-index"]
    assert with_fields(head, {"model-index": [{**entry, "w": 0.5}]}) == (
        "model-index:\n- name: a\n  v: 1.10\n  b: no\n  c: 'no'\n  d: null\n  e: '1.0'\n  w: 0.5\n"
    )


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("a: &x 1\nb: *x\n", r"line 3: \*x repeats another place"),
        ("a: {<<: [*m]}\n", r"line 2: \*m repeats another place"),
        ("a: " + "[" * 40 + "]" * 40, "line 2: more than 32 levels"),
        ("- a\n", "it holds no keys"),
        ("a: 1\na: 2\n", "line 3: the key 'a' stands twice"),
        ("? [a]\n: 1\n", "line 2: a key that is no text"),
        ("a: !!python/object:os.system x\n", "line 2: the tag .* is not read"),
        ("a: b: c\n", "line 2: it is no YAML"),
        ("a: \x01\n", "it is no YAML"),
    ],
)
def test_what_is_no_head_is_refused_with_its_line(head: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_head(head)


def test_keys_in_braces_are_not_written_into() -> None:
    with pytest.raises(DataError, match="its keys stand in braces"):
        with_fields("{a: 1}\n", {"b": 2})


def test_a_head_ends_at_its_second_fence() -> None:
    assert split("---\na: 1\n---\ntext\n---\n") == ("a: 1\n", "text\n---\n")
    assert split("---\na: 1\n") == (None, "---\na: 1\n")
    assert split("text\n---\na\n---\n")[0] is None
    assert split("---\r\n---\r\nx") == ("", "x")


@given(
    st.text(max_size=300),
    st.lists(st.sampled_from("[]{}*&:,-\n \"'|>!%#?ab"), max_size=60).map("".join),
)
def test_any_text_is_read_or_refused_with_a_reason(text: str, marks: str) -> None:
    for content in (text, marks):
        with contextlib.suppress(ValueError):
            read_yaml(content)
