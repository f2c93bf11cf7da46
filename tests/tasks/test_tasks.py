"""The known tasks: every TOML file says what mteb 2.26 says, and a broken one is refused in one
paragraph.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kemb.tasks
from kemb.boards import benchmark
from kemb.errors import DataError, UnknownName
from kemb.tasks import load_spec, names, read_spec

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.abstasks import AbsTask

FILES = sorted(Path(kemb.tasks.__file__).parent.glob("known/*.toml"))
PROMISED = (
    """
    KLUE-TC KLUE-TC.v2 KLUE-NLI KLUE-STS KorSTS KorNLI KorFin KorHateClassification
    KorHateClassification.v2 KorSarcasmClassification KorSarcasmClassification.v2
    SIB200Classification SIB200ClusteringS2S STS17 Tatoeba KlueMrcDomainClustering
    KlueYnatMrcCategoryClustering PawsXPairClassification AutoRAGRetrieval BelebeleRetrieval
    Ko-StrategyQA LawIRKo SQuADKorV1Retrieval PublicHealthQA MIRACLRetrieval MIRACLReranking
    MrTidyRetrieval MIRACLRetrievalHardNegatives MultiLongDocRetrieval XPQARetrieval WebFAQRetrieval
    """.split()
    + [
        f"MultilingualNano{name}Retrieval"
        for name in "ArguAna ClimateFever DBPedia FEVER FiQA2018 HotpotQA MSMARCO NFCorpus NQ "
        "Quora SCIDOCS SciFact "
        "Touche2020".split()
    ]
)
MTEB_TYPES = {"STS": "sts"}


def mteb_task(name: str) -> AbsTask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mteb = pytest.importorskip("mteb")
        return mteb.get_task(name)


def shipped_subsets(metadata: TaskMetadata) -> dict[str, list[str]]:
    """The Korean subsets of a task, all of them; of one that has none those in English and
    Chinese.
    """
    if not isinstance(metadata.eval_langs, dict):
        return {"default": metadata.eval_langs}
    of_language = {
        prefix: {
            subset: languages
            for subset, languages in metadata.eval_langs.items()
            if any(language.startswith(prefix) for language in languages)
        }
        for prefix in ("kor-", "eng-", "cmn-")
    }
    return of_language["kor-"] or {
        subset: languages
        for prefix in ("eng-", "cmn-")
        for subset, languages in of_language[prefix].items()
    }


def metric(mteb_name: str) -> str:
    return re.sub(r"(ndcg|map|mrr|recall|precision)_at_(\d+)$", r"\1@\2", mteb_name)


def test_names_are_those_of_the_files_and_differ_in_more_than_case() -> None:
    assert (
        [load_spec(name).name for name in names()] == names() == sorted(path.stem for path in FILES)
    )
    for name in names():
        path = next(path for path in FILES if path.stem == name)
        assert path.name == f"{name}.toml"
    assert len({name.lower() for name in names()}) == len(names())


def test_every_promised_task_is_there() -> None:
    assert sorted(set(PROMISED) - set(names())) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_facts_are_those_of_mteb(name: str) -> None:
    spec, task = load_spec(name), mteb_task(name)
    metadata = task.metadata
    assert spec.source.hub == metadata.dataset["path"]
    assert spec.source.revision == metadata.dataset["revision"]
    assert spec.type == MTEB_TYPES.get(
        metadata.type, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metadata.type).lower()
    )
    assert [split for split in metadata.eval_splits if split in spec.splits] == spec.splits
    assert spec.splits == list(metadata.eval_splits) or not any(
        lang.startswith("kor-") for lang in spec.languages
    )
    assert spec.main_metric == metric(metadata.main_score)
    assert spec.license == metadata.license
    assert spec.reference == metadata.reference
    assert (spec.instruction or None) == metadata.prompt
    subsets = shipped_subsets(metadata)
    assert set(spec.subsets) <= set(subsets)
    assert len(spec.subsets) == len(subsets) or not any(
        lang.startswith("kor-") for lang in spec.languages
    )
    for subset in {*spec.subsets, *spec.subset_languages}:
        assert (
            spec.subset_languages.get(subset, spec.languages)
            == metadata.hf_subsets_to_langscripts[subset]
        )
    assert "name" not in metadata.dataset or spec.source.config == metadata.dataset["name"]
    assert bool(spec.source.group_column) == bool(getattr(task, "fast_loading", False))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in names() if load_spec(name).type == "classification"]
)
def test_classification_protocols_are_those_of_mteb(name: str) -> None:
    spec, task = load_spec(name), mteb_task(name)
    ours = spec.classification
    assert (ours.n_experiments, ours.samples_per_label) == (
        task.n_experiments,
        task.samples_per_label,
    )
    assert ours.train_split == task.train_split


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if load_spec(name).type == "clustering"])
def test_clustering_protocols_are_those_of_mteb(name: str) -> None:
    from mteb.abstasks.clustering import AbsTaskClustering

    spec, task = load_spec(name), mteb_task(name)
    fast = isinstance(task, AbsTaskClustering)
    assert spec.clustering.kind == ("bootstrap" if fast else "rows")
    if fast:
        ours = spec.clustering
        assert ours.n_experiments == task.n_clusters
        assert ours.documents_per_experiment == task.max_documents_per_cluster
        assert ours.max_documents == task.max_document_to_embed
        assert (ours.fraction, ours.max_depth) == (
            task.max_fraction_of_documents_to_embed,
            task.max_depth,
        )


def counts(statistics: dict[str, Any]) -> dict[str, int]:
    """What mteb published about a part, under the names of our contracts."""
    if "num_documents" in statistics:
        return {"documents": statistics["num_documents"], "queries": statistics["num_queries"]}
    if "documents_text_statistics" in statistics:  # no document and no query twice in these two
        documents = statistics["documents_text_statistics"]["unique_texts"]
        return {"documents": documents, "queries": statistics["num_samples"] - documents}
    return {"rows": statistics["num_samples"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if load_spec(name).contract])
def test_contracts_are_the_counts_that_mteb_published(name: str) -> None:
    spec = load_spec(name)
    published = mteb_task(name).metadata.descriptive_stats
    if published is None:
        pytest.skip("mteb publishes no counts of this task")
    for part, contract in spec.contract.items():
        split, subset = part.split("/")
        assert split in spec.splits
        assert subset in spec.subsets
        statistics = published[split]
        statistics = statistics.get("hf_subset_descriptive_stats", {}).get(subset, statistics)
        expected = counts(statistics)
        for kind, count in contract.model_dump(exclude_none=True).items():
            assert count == expected[kind], part


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"), [("mteb-kor-v1", "MTEB(kor, v1)"), ("mteb-kor-v2", "MTEB(kor, v2)")]
)
def test_benchmarks_have_the_tasks_splits_and_subsets_of_mteb(ours: str, theirs: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mteb = pytest.importorskip("mteb")
        expected = {
            task.metadata.name: (sorted(task.hf_subsets), sorted(task.eval_splits))
            for task in mteb.get_benchmark(theirs).tasks
        }
    tasks = benchmark.load_benchmark(ours).tasks
    assert len(set(tasks)) == len(tasks)
    specs = [load_spec(name) for name in tasks]
    assert {spec.name: (sorted(spec.subsets), sorted(spec.splits)) for spec in specs} == expected


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match=r"Unknown task 'klue-nly'. Did you mean KLUE-NLI.*kemb tasks"
    ):
        load_spec("klue-nly")
    with pytest.raises(UnknownName, match="KorSTS"):
        load_spec("../KorSTS")


GOOD = 'name = "a"\ntype = "sts"\nsplits = ["test"]\n'


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('name = "a', r"cannot be read as a task's TOML file"),
        (b"name = '\xff'", r"cannot be read as a task's TOML file"),
        (GOOD + "[source]\nhubb = 'x/y'", r"key 'source\.hubb'.*not permitted.*'x/y'"),
        (GOOD.replace("sts", "stss") + "[source]", r"key 'type'.*'retrieval'.*'stss'"),
        (GOOD, r"key 'source': Field required"),
        (
            GOOD + "[source]\n[contract]\n'test/default' = { rows = 'many' }",
            r"key 'contract\.test/default\.rows'",
        ),
        (
            GOOD + "instruction = { querry = 'x' }\n[source]",
            r"key 'instruction'.*query or document, not querry",
        ),
        (None, r"cannot be read as a task's TOML file"),
    ],
)
def test_broken_files_are_refused_in_one_paragraph_with_file_and_key(
    tmp_path: Path, toml: str | bytes | None, says: str
) -> None:
    path = tmp_path / "mine.toml"
    if toml is not None:
        path.write_bytes(toml.encode() if isinstance(toml, str) else toml)
    with pytest.raises(DataError, match=says) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# What the importer of mteb's tasks cannot express was written by hand; of the rest these differ for
# a reason.
BY_HAND = """KLUE-NLI KLUE-STS KLUE-TC KorNLI BelebeleRetrieval MrTidyRetrieval PublicHealthQA
    SIB200Classification SIB200Classification.v3 SIB200ClusteringS2S""".split()
DIFFERENT = {
    "KLUE-TC.v2": {"encode_labels"},  # its labels are numbers already
    "XPQARetrieval": {"languages", "subset_languages"},  # the same by subset
}


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_importer_gives_the_shipped_specification(name: str) -> None:
    pytest.importorskip("mteb")
    from kemb.adapters.mteb_tasks import import_tasks

    shipped = load_spec(name)
    found = import_tasks([name], subsets=shipped.subsets)
    if name in BY_HAND:
        assert name in found.refused
        return
    (spec,) = found.specs
    ours, theirs = shipped.model_dump(), spec.model_dump()
    ours["subset_languages"] = {
        k: v for k, v in ours["subset_languages"].items() if k in shipped.subsets
    }
    # Benchmarks take some of the splits; Korean descriptions and counts are our own.
    assert set(ours.pop("splits")) <= set(theirs.pop("splits"))
    left_out = {"description", "contract"} | DIFFERENT.get(name, set())
    assert {key: value for key, value in ours.items() if key not in left_out} == {
        key: value for key, value in theirs.items() if key not in left_out
    }
