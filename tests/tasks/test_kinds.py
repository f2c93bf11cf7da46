"""The registry of task types: every row resolves, nothing else lists the types, and a row alone
adds one.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from kemb.arrays import DoubleArray, Vectors
from kemb.boards import build_board
from kemb.boards.benchmark import known_metrics, of_tasks
from kemb.boards.items import part_measures
from kemb.boards.paired import PartItems, goodness
from kemb.encoding.store import Store
from kemb.errors import NotSupported
from kemb.evaluation.evaluate import RunOptions, Task, evaluate
from kemb.models.families import FAMILIES, LOADERS
from kemb.models.families import KINDS as MODEL_KINDS
from kemb.models.prompts import PromptRules, build_prompts
from kemb.models.resolve import resolve
from kemb.publishing.site.evidence import _item_texts
from kemb.publishing.site.words import group_title
from kemb.results.files import read_items
from kemb.scoring.items import metrics_from_items
from kemb.scoring.similarity import of_pairs
from kemb.tasks.kinds import KINDS, Kind, Shape, columns, ids_of, item_ids, kind_of
from kemb.tasks.layouts import ReadRows, Request, Rows, rows_request, texts
from kemb.tasks.load import build
from kemb.tasks.parts import make_part
from kemb.tasks.perturb import perturbed, user_texts
from kemb.tasks.spec import TaskSpec
from kemb.training.overlap import texts_of
from kemb.types import (
    ItemBlock,
    MultilabelData,
    Part,
    PartScore,
    RetrievalData,
    SummaryData,
    TaskData,
)
from source import FILES, name_of, nodes_of

MAY_LIST = {
    "tasks/kinds.py",
    "models/families.py",
    "training/losses.py",  # the losses of sentence-transformers for each family it trains
    "adapters/mteb_tasks.py",  # how mteb's classes name their columns
}
"""Modules that may have something to say of most task types, or most kinds of models."""


# The rows


def parameters_of(dotted: str) -> list[str]:
    return list(inspect.signature(resolve_name(dotted)).parameters)


@pytest.mark.parametrize("name", KINDS)
def test_every_row_names_functions_that_take_what_they_are_given(name: str) -> None:
    kind = KINDS[name]
    extra = ["train"] if kind.shape.has_training_rows else []
    assert parameters_of(kind.builder) == ["spec", "subset", "split", "read", *extra]
    expected = {"run", "data"} if kind.is_ranking else {"data", "vectors"}
    expected |= {"similarity"} if kind.compares else set()
    expected |= {"protocol"} if kind.protocol else set()
    assert set(parameters_of(kind.scorer)) == expected
    if kind.recompute:
        assert parameters_of(kind.recompute) == ["items"]
    else:
        assert kind.items == "values"


@pytest.mark.parametrize("name", KINDS)
def test_every_row_is_whole(name: str) -> None:
    kind, fields = KINDS[name], set(KINDS[name].shape.data.__annotations__)
    assert kind.main_metric in kind.metrics
    assert TaskSpec.model_validate({"name": "t", "type": name, "splits": [], "source": {}})
    assert not kind.protocol or kind.protocol in TaskSpec.model_fields
    assert set(kind.shape.columns) <= fields
    named = {*kind.shape.ids.values(), *kind.shape.counts.values(), kind.shape.items}
    assert all(hasattr(kind.shape.data, attribute) for attribute in named)
    assert bool(kind.item_ko) == bool(kind.item_en) == (kind.items != "clusters")
    assert "" not in (kind.title_ko, kind.title_en, kind.mteb, kind.hub_task)


def test_data_of_one_class_look_alike_in_every_row() -> None:
    for kind in KINDS.values():
        others = [other.shape for other in KINDS.values() if other.shape.data is kind.shape.data]
        assert all(other is kind.shape for other in others)


def test_columns_and_ids_by_hand() -> None:
    ranking = RetrievalData(["d"], ["문서"], ["q"], ["질의"], {"q": {"d": 1}})
    assert {name: tuple(column) for name, column in columns(ranking).items()} == {
        "queries": ("query", ["질의"]),
        "documents": ("document", ["문서"]),
    }
    assert (ids_of(ranking, "documents"), item_ids(ranking)) == (["d"], ["q"])
    two, three = np.array([0, 0, 1]), np.array([0, 1, 1, 1])
    summaries = SummaryData(["x", "y"], [*"abc"], two, [*"efgh"], three, np.zeros(3))
    assert ids_of(summaries, "machine") == ["x/0", "x/1", "y/0"]
    assert ids_of(summaries, "human") == ["x/0", "y/0", "y/1", "y/2"]
    assert item_ids(summaries) == ["x", "y"]
    labelled = MultilabelData(["i"], ["글"], [("a",)], ["학습"], [("a",)], [], False)
    assert ids_of(labelled, "train_texts") is None


def test_items_of_every_type_have_texts_on_a_page_or_none() -> None:
    labelled = MultilabelData(["i"], ["글"], [("a",)], ["학습"], [("a",)], [], False)
    assert _item_texts(labelled) == {"i": "글"}
    one = np.array([0])
    assert _item_texts(SummaryData(["x"], ["a"], one, ["b"], one, np.zeros(1))) == {}


def test_an_unknown_type_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotSupported, match=r"no task type 'chess'; it knows retrieval, .*release"):
        kind_of("chess")
    with pytest.raises(ValidationError, match=r"'retrieval', .* or 'summarization'"):
        TaskSpec.model_validate({"name": "t", "type": "chess", "splits": [], "source": {}})


# Nothing else lists them


def keys_listed(node: ast.AST) -> set[object]:
    """The constants that a dict literal has as keys, or that a match statement tells apart."""
    if isinstance(node, ast.Dict):
        return {key.value for key in node.keys if isinstance(key, ast.Constant)}
    if isinstance(node, ast.Match):
        values = [
            part.value
            for case in node.cases
            for part in ast.walk(case.pattern)
            if isinstance(part, ast.MatchValue)
        ]
        return {value.value for value in values if isinstance(value, ast.Constant)}
    return set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_other_module_has_a_table_of_all_types_or_kinds_of_models(path: Path) -> None:
    if name_of(path) in MAY_LIST:
        return
    recipes = {family.recipe for family in FAMILIES.values()}
    vocabularies = {
        "task types": set(KINDS),
        "mteb's task types": {kind.mteb for kind in KINDS.values()},
        "models": {*LOADERS, *FAMILIES, *MODEL_KINDS, *recipes} - {""},
    }
    for node in nodes_of(path):
        keys = keys_listed(node)
        for what, names in vocabularies.items():
            listed = keys & names
            assert len(listed) < 4, (
                f"{name_of(path)}, line {getattr(node, 'lineno', 0)} lists {what}: {listed}"
            )


# A row alone adds a type


@dataclass(frozen=True, slots=True)
class TripletData:
    """Texts, each with one that is alike and one that is not."""

    item_ids: list[str]
    anchors: list[str]
    alike: list[str]
    unlike: list[str]

    def content(self) -> Iterator[Iterable[str]]:
        yield from (self.anchors, self.alike, self.unlike)


def read_triplets(
    spec: TaskSpec, subset: str, split: str, read: ReadRows
) -> tuple[TripletData, dict[str, int]]:
    rows = read(rows_request(spec, subset), split)
    anchors, alike, unlike = (texts(rows, name) for name in ("anchors", "alike", "unlike"))
    return TripletData([f"t{row}" for row in range(len(anchors))], anchors, alike, unlike), {}


def score_triplets(
    data: TripletData, vectors: Mapping[str, Vectors], *, similarity: str
) -> PartScore:
    """The share of texts that are nearer to the one that is alike."""

    def near(column: str) -> DoubleArray:
        first, second = (
            vectors[name].block(0, len(data.anchors)).astype(np.float64)
            for name in ("anchors", column)
        )
        return of_pairs(first, second, similarity)

    right = (near("alike") > near("unlike")).astype(np.float64)
    items = [ItemBlock("accuracy", data.item_ids, right)]
    return PartScore({"accuracy": float(right.mean())}, {}, items)


TRIPLETS = Kind(
    shape=Shape(
        data=TripletData,
        columns={"anchors": "text", "alike": "text", "unlike": "text"},
        ids={"anchors": "item_ids", "alike": "item_ids", "unlike": "item_ids"},
        counts={"rows": "item_ids"},
        items="item_ids",
        user_column="anchors",
    ),
    builder=f"{__name__}:read_triplets",
    scorer=f"{__name__}:score_triplets",
    metrics=frozenset({"accuracy"}),
    main_metric="accuracy",
    items="values",
    compares=True,
    title_ko="세 글",
    title_en="Triplets",
    item_ko="맞음",
    item_en="right",
)
ROWS = {
    "anchors": ["오늘 비가 온다", "고양이가 잔다", "경제가 어렵다"],
    "alike": ["오늘 비가 많이 온다", "고양이가 낮잠을 잔다", "꽃이 피었다"],
    "unlike": ["책을 읽었다", "기차가 늦었다", "경제가 매우 어렵다"],
}


@pytest.fixture
def triplets(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of a type that this test invents."""
    monkeypatch.setitem(KINDS, "triplets", TRIPLETS)
    spec = TaskSpec.model_validate(
        {"name": "my-triplets", "type": "triplets", "splits": ["test"], "source": {}}
    )

    def read(_request: Request, split: str) -> Rows:
        return Rows(pa.table(ROWS), split)

    data, notes = build(spec, "default", "test", read, train=True)
    part = make_part(spec, "test", "default", data, notes)
    data_of_task = TaskData(spec.name, spec.type, "r1", [part])
    return Task(spec, lambda: data_of_task)


def test_an_invented_type_is_evaluated_compared_and_shown(triplets: Task, tmp_path: Path) -> None:
    options = RunOptions(tmp_path / "results", Store(tmp_path / "store"))
    outcomes = evaluate([triplets], [resolve("toy"), resolve("tfidf:char")], options)
    assert [outcome.status for outcome in outcomes] == ["scored", "scored"], outcomes
    results: list[Any] = [outcome.result for outcome in outcomes]
    for result in results:  # the third row is wrong on purpose
        assert result.main_score == pytest.approx(2 / 3)
        assert metrics_from_items(read_items(result), "triplets") == {
            "accuracy": pytest.approx(2 / 3)
        }
    tables = tuple(map(read_items, results))
    found = goodness(
        PartItems("test", "default", "triplets", "accuracy", "", (tables[0], tables[1]))
    )
    assert found is not None
    assert (found[0], found[1].tolist()) == (["t0", "t1", "t2"], [[1, 1, 0], [1, 1, 0]])
    measures = part_measures(results, tables, ("test", "default"), "main_score")
    assert measures.point().tolist() == pytest.approx([2 / 3, 2 / 3])
    board = build_board(results, of_tasks(["my-triplets"]))
    assert sorted(row.name for row in board.rows) == ["tfidf:char", "toy"]
    assert known_metrics("triplets") == {"accuracy", "main_score"}
    assert group_title("triplets").ko == "세 글"


def test_the_rest_of_kemb_knows_an_invented_type(triplets: Task) -> None:
    data = triplets.load()
    (part,) = data.parts
    assert isinstance(part, Part)
    assert user_texts(part.data)[:2] == ("anchors", ["t0", "t1", "t2"])
    assert perturbed(data, "spacing").parts[0].notes["n_perturbed"] == 3
    assert sorted(texts_of(part.data)) == sorted(
        text for column in ROWS.values() for text in column
    )
    assert _item_texts(part.data)["t1"] == "고양이가 잔다"
    table = build_prompts(PromptRules(prompts={"triplets": "글: "}), None, None, ["my-triplets"])
    assert table.layers[0].prompts == {"triplets": "글: "}
