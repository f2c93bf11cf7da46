"""What we load from the data packs is what mteb's own task objects make of the same folders, row
for row.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import mteb
import numpy as np
import pyarrow as pa
import pytest
from mteb._create_dataloaders import _retrieval_texts
from mteb.abstasks.retrieval_dataset_loaders import RetrievalDatasetLoader
from mteb.types import PromptType

from kemb.tasks import load_spec, sources
from kemb.tasks.load import load
from kemb.tasks.sampling import encoded, few_shot_rows, stratified_rows
from kemb.tasks.spec import ClassificationProtocol, Subsample
from kemb.types import BitextData, ClusterData, LabelData, PairData, RetrievalData

pytestmark = pytest.mark.torch

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

PACKS = {
    "KorSTS": ("KorSTS", "default"),
    "STS17": ("STS17-ko-ko", "ko-ko"),
    "KLUE-NLI": ("KLUE-NLI", "nli"),
    "KorNLI": ("KorNLI", "xnli"),
    "SIB200Classification": ("SIB200", "kor_Hang"),
    "SIB200ClusteringS2S": ("SIB200", "kor_Hang"),
    "KorSarcasmClassification": ("KorSarcasm", "mteb2048"),
    "Tatoeba": ("Tatoeba-kor-eng", "kor-eng"),
}


@pytest.fixture(autouse=True)
def own_datasets_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets"
    )


def mteb_task(name: str, packs: Path) -> AbsTask:
    """A fresh task of mteb whose data is a pack, after its own transform."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = mteb.get_task(
            name, hf_subsets=load_spec(name).subsets if is_multilingual(name) else None
        )
        folder, config = PACKS[name]
        loaded = datasets.load_dataset(str(packs / folder), config)
        task.dataset = {task.hf_subsets[0]: loaded} if task.metadata.is_multilingual else loaded
        task.dataset_transform()
    return task


def is_multilingual(name: str) -> bool:
    return bool(mteb.get_task(name).metadata.is_multilingual)


def of_subset(task: AbsTask) -> dict[str, Any]:
    subset: dict[str, Any] = (
        task.dataset[task.hf_subsets[0]] if task.metadata.is_multilingual else task.dataset
    )
    return subset


@pytest.mark.shared
@pytest.mark.parametrize(("name", "split"), [("KorSTS", "test"), ("STS17", "test")])
def test_sts(shared_data: Path, name: str, split: str) -> None:
    (part,) = load(load_spec(name), shared_data / "packs").parts
    expected = of_subset(mteb_task(name, shared_data / "packs"))[split]
    assert isinstance(part.data, PairData)
    assert part.data.sentence1 == expected["sentence1"][:]
    assert part.data.sentence2 == expected["sentence2"][:]
    assert part.data.gold.tolist() == expected["score"][:]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "split"), [("KLUE-NLI", "validation"), ("KorNLI", "test")])
def test_pair_classification(shared_data: Path, name: str, split: str) -> None:
    (part,) = load(load_spec(name), shared_data / "packs").parts
    (expected,) = mteb_task(name, shared_data / "packs").dataset[split]
    assert isinstance(part.data, PairData)
    assert part.data.sentence1 == expected["sentence1"][:]
    assert part.data.sentence2 == expected["sentence2"][:]
    assert part.data.gold.tolist() == expected["labels"][:]


@pytest.mark.shared
def test_retrieval(shared_data: Path) -> None:
    (part,) = load(load_spec("AutoRAGRetrieval"), shared_data / "packs").parts
    folder = str(shared_data / "packs" / "AutoRAGRetrieval")
    expected = RetrievalDatasetLoader(hf_repo=folder, revision=None, split="test").load()
    assert isinstance(part.data, RetrievalData)
    assert part.data.doc_ids == expected["corpus"]["id"][:]
    assert part.data.query_ids == expected["queries"]["id"][:]
    assert part.data.documents == _retrieval_texts(expected["corpus"], PromptType.document)
    assert part.data.queries == _retrieval_texts(expected["queries"], PromptType.query)
    assert part.data.qrels == expected["relevant_docs"]
    assert list(part.data.qrels) == part.data.query_ids


@pytest.mark.shared
@pytest.mark.parametrize("name", ["SIB200Classification", "KorSarcasmClassification"])
def test_classification_and_its_few_shot_rows(shared_data: Path, name: str) -> None:
    task = mteb_task(name, shared_data / "packs")
    expected = of_subset(task)
    parts = load(load_spec(name), shared_data / "packs").parts
    assert [part.split for part in parts] == list(task.metadata.eval_splits)
    for part in parts:
        ours, theirs = part.data, expected[part.split]
        assert isinstance(ours, LabelData)
        assert ours.texts == theirs["text"][:]
        assert ours.labels == theirs["label"][:]
        assert ours.train_is_evaluated == (part.split == task.train_split)
        shuffled: list[int] | None = None
        assert len(ours.experiments) == task.n_experiments
        for number, rows in enumerate(ours.experiments):
            chosen, shuffled, _ = task._undersample_data(
                expected[task.train_split], number, shuffled
            )
            assert [ours.train_texts[i] for i in rows] == chosen["text"][:]
            assert [ours.train_labels[i] for i in rows] == chosen["label"][:]


@pytest.mark.shared
def test_clustering(shared_data: Path) -> None:
    (part,) = load(load_spec("SIB200ClusteringS2S"), shared_data / "packs").parts
    expected = of_subset(mteb_task("SIB200ClusteringS2S", shared_data / "packs"))["test"]
    assert isinstance(part.data, ClusterData)
    assert part.data.texts == expected["sentences"][:]
    assert [label for (label,) in part.data.labels] == expected["labels"][:]
    assert not part.data.problems.any()


@pytest.mark.shared
def test_bitext(shared_data: Path) -> None:
    (part,) = load(load_spec("Tatoeba"), shared_data / "packs").parts
    expected = of_subset(mteb_task("Tatoeba", shared_data / "packs"))["test"]
    assert isinstance(part.data, BitextData)
    assert part.data.sentence1 == expected["sentence1"][:]
    assert part.data.sentence2 == expected["sentence2"][:]


def skewed_labels(n: int, n_labels: int) -> list[int]:
    rng = np.random.default_rng(5)
    return rng.choice(
        n_labels, size=n, p=(weights := np.arange(1, n_labels + 1)) / weights.sum()
    ).tolist()


@pytest.mark.parametrize("kind", ["class", "whole", "text"])
@pytest.mark.parametrize(("n", "n_labels"), [(500, 7), (130, 2), (100, 3)])
def test_stratified_samples_are_those_of_mteb(kind: str, n: int, n_labels: int) -> None:
    topics = ["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"][:n_labels]
    numbers = skewed_labels(n, n_labels)
    values: list[Any] = [topics[i] for i in numbers] if kind == "text" else numbers
    whole = datasets.Dataset.from_dict({"row": list(range(n)), "label": values})
    if kind == "class":
        whole = whole.cast_column("label", datasets.ClassLabel(names=topics))
    task = mteb.get_task("KLUE-TC")
    sampled = task.stratified_subsampling(
        datasets.DatasetDict(validation=whole), seed=task.seed, splits=["validation"], n_samples=100
    )["validation"]
    rows = stratified_rows(values, Subsample(splits=["validation"], rows=100))
    assert rows.tolist() == sampled["row"][:]
    if kind == "text":
        assert encoded([values[i] for i in rows], values) == sampled["label"][:]


def test_few_shot_rows_are_those_of_mteb_where_a_label_is_rare() -> None:
    labels = skewed_labels(60, 7)
    train = datasets.Dataset.from_dict({"text": list(map(str, range(60))), "label": labels})
    task = mteb.get_task("KLUE-TC")
    shuffled: list[int] | None = None
    for number, rows in enumerate(few_shot_rows(labels, ClassificationProtocol())):
        chosen, shuffled, _ = task._undersample_data(train, number, shuffled)
        assert rows.tolist() == [int(text) for text in chosen["text"][:]]


def test_a_task_that_samples_and_names_its_labels(tmp_path: Path) -> None:
    """KLUE-TC from rows as the hub has them: mteb's whole transform, sample, names and few-shot
    rows included.
    """
    topics = ["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"]
    table = {
        split: {
            "guid": [f"{split}-{i}" for i in range(n)],
            "title": [f"{split} 제목 {i}" for i in range(n)],
            "label": skewed_labels(n, 7),
            "url": [""] * n,
            "date": [""] * n,
        }
        for split, n in (("train", 300), ("validation", 2500))
    }
    tables = {split: pa.table(columns) for split, columns in table.items()}
    spec = load_spec("KLUE-TC")
    sources.write(tmp_path, str(spec.source.hub), spec.source.revision, "ynat", tables, "")
    (part,) = load(spec, tmp_path).parts
    task = mteb.get_task("KLUE-TC")
    whole = {split: datasets.Dataset.from_dict(columns) for split, columns in table.items()}
    task.dataset = datasets.DatasetDict(whole).cast_column(
        "label", datasets.ClassLabel(names=topics)
    )
    task.dataset_transform()
    assert isinstance(part.data, LabelData)
    assert part.data.texts == task.dataset["validation"]["text"][:]
    assert part.data.labels == task.dataset["validation"]["label"][:]
    chosen, _, _ = task._undersample_data(task.dataset["train"], 0, None)
    assert [part.data.train_texts[i] for i in part.data.experiments[0]] == chosen["text"][:]
    assert [part.data.train_labels[i] for i in part.data.experiments[0]] == chosen["label"][:]
