"""Every way between mteb and kemb gives one score: imported specification, task object, model of
ours, model of mteb's.

Small data sets lie in the layout of the hub, one for each type and layout; mteb's own task objects
load the same files.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mteb")

import datasets
import mteb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kemb.adapters.mteb_models import to_mteb
from kemb.adapters.mteb_tasks import import_tasks, load_mteb_task, spec_of_task
from kemb.encoding.store import Store
from kemb.errors import ModelError, NotSupported, UnknownName, UsageError
from kemb.evaluation.evaluate import RunOptions, Task, evaluate
from kemb.models.open import open_model
from kemb.models.resolve import resolve
from kemb.results.files import mteb_metric
from kemb.tasks.load import load
from kemb.tasks.spec import TaskSpec

pytestmark = pytest.mark.torch

Tables = Mapping[str, Mapping[str, Mapping[str, Sequence[object]]]]
"""Config -> split -> column -> values."""

RNG = np.random.default_rng(0)
NOUNS = "rain snow wind cloud sun fog hail frost dew rainbow 비 눈 바람 구름 雨 雪 风 云".split()
VERBS = "falls stops blows spreads melts rises returns 온다 그친다 下了 停了".split()


def sentences(n: int) -> list[str]:
    """Random sentences, so long that hardly any two pairs are equally similar: float32 orders those
    as it likes.
    """
    return [
        " ".join([*RNG.choice(NOUNS, 6), RNG.choice(VERBS), *map(str, RNG.integers(0, 999, 2))])
        for _ in range(n)
    ]


def ids(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


def labels(n: int, n_labels: int) -> list[int]:
    return RNG.integers(0, n_labels, n).tolist()


def pairs(
    n: int, first: str = "sentence1", second: str = "sentence2", **gold: Sequence[object]
) -> dict[str, Any]:
    return {first: sentences(n), second: sentences(n), **gold}


def beir(
    split: str, *, own_ids: bool = False, candidates: bool = False, instructions: bool = False
) -> dict[str, Any]:
    docs, queries = (
        ids("d", 80),
        ids("d", 12) if own_ids else [f"q{i // 2}_{i % 2}" for i in range(12)],
    )
    judged = [
        (query, doc, 1)
        for i, query in enumerate(queries)
        for doc in docs[i // 2 * 5 : i // 2 * 5 + 3]
    ]
    columns = dict(
        zip(("query-id", "corpus-id", "score"), map(list, zip(*judged, strict=True)), strict=True)
    )
    made = {
        "corpus": {split: {"_id": docs, "title": ["", "title"] * 40, "text": sentences(80)}},
        "queries": {split: {"_id": queries, "text": sentences(12)}},
        "default": {split: columns},
    }
    if candidates:
        lists = [docs[i // 2 * 5 : i // 2 * 5 + 20] for i in range(12)]
        made["top_ranked"] = {split: {"query-id": queries, "corpus-ids": lists}}
    if instructions:
        made["instruction"] = {split: {"query-id": queries, "instruction": sentences(12)}}
    return made


def rows_of(
    n: int, n_labels: int, text: str = "text", label: str = "label", **more: list[object]
) -> dict[str, Any]:
    return {text: sentences(n), label: labels(n, n_labels), **more}


SETS: dict[str, Tables] = {
    # one config, subsets told apart by a column
    "STS22": {"default": {"test": pairs(60, score=labels(60, 5), lang=["en", "zh"] * 30)}},
    # a config for each subset
    "AmazonReviewsClassification": {
        lang: {"train": rows_of(90, 5), "validation": rows_of(40, 5), "test": rows_of(40, 5)}
        for lang in ("en", "zh")
    },
    # a stratified sample of many rows, 16 rows for each label
    "ToxicConversationsClassification": {
        "default": {"train": rows_of(80, 2), "test": rows_of(2100, 2)}
    },
    # other names of columns, one row that holds lists
    "Ocnli": {
        "default": {
            "validation": {
                name: [column]
                for name, column in pairs(50, "sent1", "sent2", labels=labels(50, 2)).items()
            }
        }
    },
    # a row is a clustering problem
    "ArxivClusteringS2S": {
        "default": {
            "test": {
                "sentences": [sentences(60), sentences(50)],
                "labels": [ids("a", 4) * 15, ids("b", 5) * 10],
            }
        }
    },
    # clusters of clusters
    "SNLHierarchicalClusteringP2P": {
        "default": {
            "test": {
                "sentences": sentences(90),
                "labels": [[f"a{i % 2}", f"b{i % 6}"] for i in range(90)],
            }
        }
    },
    "SummEval": {
        "default": {
            "test": {
                "text": sentences(9),
                "human_summaries": [sentences(3) for _ in range(9)],
                "machine_summaries": [sentences(6) for _ in range(9)],
                "relevance": [RNG.random(6).tolist() for _ in range(9)],
            }
        }
    },
    "KorHateSpeechMLClassification": {
        "default": {
            split: {"text": sentences(n), "label": [sorted({i % 3, i % 4}) for i in range(n)]}
            for split, n in (("train", 80), ("test", 60))
        }
    },
    "Tatoeba": {"default": {"test": pairs(40, lang=["kor-eng"] * 40)}},
    "T2Reranking": beir("dev", candidates=True),
    "MindSmallReranking": beir("test", candidates=True),
    "ArguAna": beir("test", own_ids=True),
    "IFIRNFCorpus": beir("test", instructions=True),
}
SUBSETS = {
    "STS22": ["en", "zh"],
    "AmazonReviewsClassification": ["en", "zh"],
    "Tatoeba": ["kor-eng"],
}


@pytest.fixture(autouse=True)
def own_datasets_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets"
    )


def write_set(root: Path, name: str, spec: TaskSpec) -> Path:
    """A mirror whose only folder is a data set that `datasets` can load as well."""
    folder = root / f"set-{name}"
    folder.mkdir(parents=True)
    header = ["---", "configs:"]
    for config, splits in SETS[name].items():
        header += [f"- config_name: {config}", "  data_files:"]
        for split, columns in splits.items():
            pq.write_table(pa.table(dict(columns)), folder / f"{config}-{split}.parquet")
            header += [f"  - split: {split}", f"    path: {config}-{split}.parquet"]
    (folder / "README.md").write_text("\n".join([*header, "---", ""]))
    (folder / "manifest.json").write_text(
        json.dumps({"hub": spec.source.hub, "revision": spec.source.revision})
    )
    entries = {config: {"folder": folder.name, "config": config} for config in SETS[name]}
    (root / "index.json").write_text(json.dumps({spec.source.hub: entries}))
    return folder


def task_on(name: str, folder: Path) -> Any:  # noqa: ANN401  an mteb task
    """mteb's task object, whose data set is the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = mteb.get_task(name, hf_subsets=SUBSETS.get(name))
    task.metadata = task.metadata.model_copy(
        update={"dataset": {"path": str(folder), "revision": "0" * 40}}
    )
    return task


@pytest.mark.parametrize("name", list(SETS))
@pytest.mark.filterwarnings("ignore")
def test_every_way_gives_the_scores_of_mteb(name: str, tmp_path: Path) -> None:
    imported = import_tasks([name], subsets=SUBSETS.get(name, ()))
    assert imported.refused == {}
    (spec,) = imported.specs
    folder = write_set(tmp_path / "mirror", name, spec)
    # Not `toy`: its whole-numbered vectors give many products that differ in the last bit only.
    model, store = resolve("tfidf:char"), Store(tmp_path / "store")

    foreign = task_on(name, folder)
    foreign.load_data()
    data = load_mteb_task(foreign)[1]
    by_specification = load(spec, tmp_path / "mirror")
    assert [part.sha256 for part in data.parts] == [part.sha256 for part in by_specification.parts]
    assert [(part.split, part.subset) for part in data.parts] == [
        (s, t) for s in spec.splits for t in spec.subsets
    ]

    options = RunOptions(tmp_path / "results", store)
    (outcome,) = evaluate([Task(spec, lambda: data)], [model], options)
    assert outcome.result is not None, outcome.message
    for split in spec.splits:
        for subset in spec.subsets:
            fresh = task_on(name, folder)  # its random state is that of a new object
            fresh.load_data()
            theirs = fresh.evaluate(
                to_mteb(model, store), split, [subset], encode_kwargs={"batch_size": 32}
            )[subset]
            ours = next(
                entry for entry in outcome.result.scores[split] if entry["hf_subset"] == subset
            )
            assert ours["main_score"] == pytest.approx(theirs["main_score"], abs=1.1e-5)
            compared = [
                key for key in ours if isinstance(ours[key], float) and mteb_metric(key) in theirs
            ]
            assert len(compared) >= 3
            for key in compared:
                if not np.isnan(theirs[mteb_metric(key)]):
                    assert ours[key] == pytest.approx(theirs[mteb_metric(key)], abs=1.1e-5), key


@pytest.mark.filterwarnings("ignore")
def test_mteb_evaluates_a_model_of_ours_and_files_it_under_its_name(tmp_path: Path) -> None:
    (spec,) = import_tasks(["KorHateSpeechMLClassification"]).specs
    task = task_on(spec.name, write_set(tmp_path / "mirror", spec.name, spec))
    model = to_mteb(resolve("toy"), Store(tmp_path / "store"))
    found = mteb.evaluate(
        model, [task], cache=mteb.ResultCache(tmp_path / "mteb"), show_progress_bar=False
    )
    (file,) = (tmp_path / "mteb").rglob("KorHateSpeechMLClassification.json")
    assert file.relative_to(tmp_path / "mteb" / "results").parts[:2] == (
        "kemb__toy",
        resolve("toy").revision,
    )
    assert 0 < found.task_results[0].get_score() < 1


@pytest.mark.filterwarnings("ignore")
def test_a_model_of_mtebs_gives_its_own_vectors(tmp_path: Path) -> None:
    (spec,) = import_tasks(["ArguAna"]).specs
    folder = write_set(tmp_path / "mirror", "ArguAna", spec)
    model = resolve("mteb:mteb/baseline-random-encoder")
    assert (model.name, model.variant) == ("mteb/baseline-random-encoder", "loader_mteb")
    assert model.fingerprint()["backend"] == f"mteb {mteb.__version__}"
    data = load(spec, tmp_path / "mirror")
    (outcome,) = evaluate(
        [Task(spec, lambda: data)], [model], RunOptions(tmp_path / "r", Store(tmp_path / "s"))
    )
    assert outcome.result is not None, outcome.message
    assert outcome.result.path.parent.name == "loader_mteb"
    assert outcome.result.record.prompts["query"].route == "ArguAna|query"
    task = task_on("ArguAna", folder)
    task.load_data()
    theirs = task.evaluate(
        mteb.get_model(model.name), "test", None, encode_kwargs={"batch_size": 32}
    )["default"]
    (ours,) = outcome.result.scores["test"]
    for name in ("ndcg@10", "map@100", "recall@20"):
        assert ours[name] == pytest.approx(theirs[mteb_metric(name)], abs=1.1e-5), name


def test_models_of_mtebs_that_cannot_be_used_are_refused_in_one_sentence() -> None:
    from kemb.models.model import ModelOptions

    with pytest.raises(UnknownName, match="baseline-random-encoder"):
        resolve("mteb:mteb/baseline-random-encodr")
    with pytest.raises(NotSupported, match="late-interaction"):
        resolve("mteb:mteb/baseline-random-colbert")
    with pytest.raises(UsageError, match="--dtype cannot be used with mteb:"):
        resolve("mteb:mteb/baseline-random-encoder", ModelOptions(dtype="float16"))
    model = resolve("mteb:mteb/baseline-random-encoder", own_tasks=["my-task"])
    from kemb.types import Input

    with pytest.raises(ModelError, match="no task 'my-task'"):
        open_model(model).encode([Input("my-task", "", "text")])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CIFAR10", "task of image"),
        ("BelebeleRetrieval", "loads its data by code of its own"),
        ("KLUE-NLI", "changes its data by code of its own"),
        ("Core17InstructionRetrieval", "main score p-MRR"),
        ("SciRepEvalDRSMClassification", "is_cross_validation"),
        ("RuSciBenchYearPublRegression", "no task type for mteb's Regression"),
    ],
)
def test_what_cannot_be_expressed_is_refused_and_the_others_go_on(name: str, says: str) -> None:
    found = import_tasks([name, "KorSTS"])
    assert [spec.name for spec in found.specs] == ["KorSTS"]
    assert says in found.refused[name]
    with pytest.raises(NotSupported):
        spec_of_task(mteb.get_task(name))


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="KorSTS"):
        import_tasks(["KorST"])
    with pytest.raises(UnknownName, match=r"MTEB\(kor, v1\)"):
        import_tasks([], ["MTEB(kor,v1)"])
    with pytest.raises(UnknownName, match="zh"):
        import_tasks(["STS22"], subsets=["zhh"])
