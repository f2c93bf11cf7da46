"""The shipped Korean mini benchmark: complete, balanced, without repetitions, and not solved by
shared letters.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from kemb import demo
from kemb.arrays import FloatArray
from kemb.models.encoders.hashed import open_toy
from kemb.scoring.search import lexical
from kemb.tasks.kinds import columns
from kemb.tasks.own import load_folder
from kemb.tasks.own.check import check_folder
from kemb.types import ClusterData, Input, PairData, RetrievalData

pytrec_eval = pytest.importorskip("pytrec_eval")

FOLDERS = demo.task_folders()
TYPES = {
    "KoMiniNLI": "pair_classification",
    "KoMiniRetrieval": "retrieval",
    "KoMiniSTS": "sts",
    "KoMiniTopics": "clustering",
}
DATA = {folder.name: load_folder(folder)[1].parts[0].data for folder in FOLDERS}


def retrieval() -> RetrievalData:
    data = DATA["ko-mini-retrieval"]
    assert isinstance(data, RetrievalData)
    return data


def pairs(name: str) -> PairData:
    data = DATA[name]
    assert isinstance(data, PairData)
    return data


def topics() -> ClusterData:
    data = DATA["ko-mini-topics"]
    assert isinstance(data, ClusterData)
    return data


def letter_pairs(text: str) -> set[str]:
    letters = "".join(filter(str.isalnum, text))
    return {letters[i : i + 2] for i in range(len(letters) - 1)}


def overlap(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right)


def pair_overlaps(data: PairData) -> list[float]:
    both = zip(data.sentence1, data.sentence2, strict=True)
    return [overlap(letter_pairs(left), letter_pairs(right)) for left, right in both]


def all_texts() -> Iterator[tuple[str, str]]:
    """Every text with the name of its group; the two sentences of a pair are one group."""
    for name, data in DATA.items():
        for column in columns(data).values():
            pair = isinstance(data, PairData)
            yield from (
                (f"{name} {row}" if pair else "", text) for row, text in enumerate(column.texts)
            )


def ndcg_10(data: RetrievalData, scores: dict[str, dict[str, float]]) -> float:
    per_query = pytrec_eval.RelevanceEvaluator(data.qrels, {"ndcg_cut.10"}).evaluate(scores)
    return float(np.mean([value["ndcg_cut_10"] for value in per_query.values()]))


# ---- all four


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_folder_is_a_clean_task_with_a_description_and_a_licence(folder: Path) -> None:
    report = check_folder(folder)
    assert report.findings == []
    spec = report.spec
    assert spec is not None
    assert spec.type == TYPES[spec.name]
    assert spec.license == "CC0-1.0"
    assert spec.description
    assert spec.splits == ["test"]


def test_there_are_four_tasks() -> None:
    assert {load_folder(folder)[0].name for folder in FOLDERS} == TYPES.keys()


def test_texts_are_composed_hangul_in_tidy_white_space() -> None:
    for _, text in all_texts():
        assert unicodedata.is_normalized("NFC", text)
        assert text == re.sub(r"\s+", " ", text).strip(), text
        assert re.fullmatch(r"[가-힣A-Za-z0-9 .,?!~'_:\-]+", text), text


def test_no_text_stands_twice_or_nearly_twice() -> None:
    """Apart from the two sentences of a pair, which are meant to be alike, no two texts share 40 %
    of their bigrams.
    """
    texts = [(group, text, letter_pairs(text)) for group, text in all_texts()]
    assert len({text for _, text, _ in texts}) == len(texts)
    for (group1, text1, left), (group2, text2, right) in itertools.combinations(texts, 2):
        if not group1 or group1 != group2:
            assert overlap(left, right) < 0.4, (text1, text2)


# ---- retrieval


def test_retrieval_is_large_enough_and_fully_judged() -> None:
    data = retrieval()
    assert len(data.documents) >= 64
    assert len(data.queries) >= 64
    assert data.qrels.keys() == set(data.query_ids)
    assert all(judged and min(judged.values()) >= 1 for judged in data.qrels.values())
    assert {doc for judged in data.qrels.values() for doc in judged} < set(data.doc_ids), (
        "no document is a distractor"
    )
    grades = [sorted(judged.values()) for judged in data.qrels.values()]
    assert grades.count([1, 1]) >= 5
    assert grades.count([1, 2]) >= 5


def test_documents_are_of_passage_length() -> None:
    """Title and text, 80 to 300 characters, two to five sentences."""
    for text in retrieval().documents:
        assert 80 <= len(text) <= 300, text
        assert 2 <= len(re.findall(r"[다요오고][.]( |$)", text)) <= 5, text


def test_character_bigrams_neither_solve_nor_miss_the_retrieval_task() -> None:
    data = retrieval()
    run = lexical.search("bigram", data, 10)
    scores = {
        query: {data.doc_ids[row]: float(score) for row, score in zip(rows, values, strict=True)}
        for query, rows, values in zip(data.query_ids, run.indices, run.scores, strict=True)
    }
    assert 0.45 < ndcg_10(data, scores) < 0.75


def test_even_the_toy_encoder_is_better_than_chance() -> None:
    """A random order has an expected DCG of mean grade times the sum of the discounts."""
    data = retrieval()

    def encode(texts: list[str]) -> FloatArray:
        return open_toy().encode([Input("", "", text) for text in texts])

    similarity = encode(data.queries) @ encode(data.documents).T
    scores = {
        query: dict(zip(data.doc_ids, row, strict=True))
        for query, row in zip(data.query_ids, similarity.astype(float).tolist(), strict=True)
    }
    discounts = [1 / math.log2(rank + 1) for rank in range(1, 11)]
    chance = []
    for judged in data.qrels.values():
        ideal = sum(
            grade * d
            for grade, d in zip(sorted(judged.values(), reverse=True), discounts, strict=False)
        )
        chance.append(sum(judged.values()) / len(data.doc_ids) * sum(discounts) / ideal)
    assert ndcg_10(data, scores) > 3 * float(np.mean(chance))


# ---- pairs


def test_every_sts_score_has_as_many_pairs() -> None:
    counts = Counter(pairs("ko-mini-sts").gold.tolist())
    assert counts == {step / 2: 10 for step in range(11)}


def test_shared_letters_say_little_about_sts_scores() -> None:
    data = pairs("ko-mini-sts")
    shared = np.array(pair_overlaps(data))
    assert 0 < spearmanr(shared, data.gold)[0] < 0.4
    far, near = data.gold <= 2, data.gold >= 4
    assert (shared[far] > 0.25).sum() >= 5, "words shared, meaning not"
    assert (shared[near] < 0.1).sum() >= 10, "meaning shared, words not"


def test_nli_labels_are_balanced_and_nothing_on_the_surface_gives_them_away() -> None:
    data = pairs("ko-mini-nli")
    assert Counter(data.gold.tolist()) == {0.0: 55, 1.0: 55}
    negation = re.compile("않|못|없|아니|말고|안 ")
    surface = {
        "shared letters": pair_overlaps(data),
        "length of the premise": [len(text) for text in data.sentence1],
        "length of the hypothesis": [len(text) for text in data.sentence2],
        "negation in the premise": [bool(negation.search(text)) for text in data.sentence1],
        "negation in the hypothesis": [bool(negation.search(text)) for text in data.sentence2],
    }
    for name, values in surface.items():
        assert 0.4 < roc_auc_score(data.gold, values) < 0.6, name


# ---- clustering


def test_topics_are_even_and_no_text_names_its_topic() -> None:
    data = topics()
    labels = [str(label[0]) for label in data.labels]
    assert Counter(labels) == dict.fromkeys(("건강", "경제", "기술", "문화", "스포츠", "환경"), 22)
    assert all(25 <= len(text) <= 80 for text in data.texts)
    assert sum(label in text for label, text in zip(labels, data.texts, strict=True)) == 0
