"""Clustering: k-means against gold labels, by both protocols of mteb."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from kemb.arrays import IntArray, Vectors
from kemb.errors import DataError
from kemb.scoring.items import of_metric
from kemb.scoring.similarity import read_all
from kemb.tasks.spec import ClusteringProtocol
from kemb.types import ClusterData, ItemBlock, Label, PartScore

SEED = 42
ROWS_BATCH = 500
BOOTSTRAP_BATCH = 512


def clustering(
    protocol: ClusteringProtocol, data: ClusterData, vectors: Mapping[str, Vectors]
) -> PartScore:
    """V-measure of k-means clusters, with as many clusters as there are labels, over several
    experiments.

    V-measure (Rosenberg and Hirschberg 2007) is 2hc / (h + c) of homogeneity h and completeness c.
    Metrics:
    `v_measure`, its standard deviation over experiments `v_measure_std`, and for `bootstrap` also
        `ami` and `ami_std`
    (adjusted mutual information, Vinh et al. 2010). All random states are made new for each part,
    as in a newly created mteb task.

    Items: `gold` with the label as target; for each experiment `assignment`, whose value is the
        number of the
    cluster, and for `bootstrap` `n_draws`, how often the document was drawn, in the same order.
    With several levels of labels the names end in `_level_<i>`, and experiments are numbered level
    after level.

    :raises ModelError: vectors that are not finite.
    :raises DataError: `bootstrap` draws no documents, or fewer than there are labels.
    """
    return (_rows if protocol.kind == "rows" else _bootstrap)(protocol, data, vectors)


def _rows(
    _protocol: ClusteringProtocol, data: ClusterData, vectors: Mapping[str, Vectors]
) -> PartScore:
    """The legacy protocol: one k-means for every problem; one that has a single label scores 1."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    array = read_all(vectors["texts"], "texts", data.item_ids)
    labels = [label[0] for label in data.labels]
    items = [_gold(data, range(len(labels)), labels, "")]
    scores = []
    for problem in range(int(data.problems.max()) + 1):
        rows = np.flatnonzero(data.problems == problem)
        gold = [labels[row] for row in rows]
        n_clusters = len(set(gold))
        if n_clusters <= 1:
            assignment = np.zeros(len(rows))
        else:
            model = MiniBatchKMeans(
                n_clusters=n_clusters, batch_size=ROWS_BATCH, n_init="auto", random_state=SEED
            )
            assignment = model.fit(array[rows]).labels_
        scores.append(1.0 if n_clusters <= 1 else float(v_measure_score(gold, assignment)))
        ids = [data.item_ids[row] for row in rows]
        items.append(
            ItemBlock("assignment", ids, assignment.astype(np.float64), experiment=problem)
        )
    return _part_score({"v_measure": scores}, items)


def _bootstrap(
    protocol: ClusteringProtocol, data: ClusterData, vectors: Mapping[str, Vectors]
) -> PartScore:
    """The fast protocol: k-means over documents drawn with replacement, again for each level of
    labels.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import adjusted_mutual_info_score, v_measure_score

    rng = random.Random(SEED)
    sample = _sample(protocol, len(data.item_ids), rng)
    if not len(sample):
        raise DataError(
            f"A fraction of {protocol.fraction} of {len(data.item_ids)} documents is none at all; "
            "expected at least one. Raise fraction in the task's TOML, or leave it out."
        )
    array = read_all(vectors["texts"], "texts", data.item_ids)
    labels = [data.labels[row] for row in sample]
    n_levels = max(map(len, labels))
    n_levels = min(n_levels, protocol.max_depth or n_levels)
    scores: dict[str, list[float]] = {"v_measure": [], "ami": []}
    items = []
    for level in range(n_levels):
        suffix = f"_level_{level}" if n_levels > 1 else ""
        # As in mteb: documents without this level get -1 and are dropped, unless -1 becomes text
        # among text labels.
        gold = np.array([label[level] if len(label) > level else -1 for label in labels])
        valid = np.array([label != -1 for label in gold])
        rows, gold = sample[valid], gold[valid]
        items.append(_gold(data, rows, gold.tolist(), suffix))
        n_clusters = len(np.unique(gold))
        if protocol.documents_per_experiment < n_clusters:
            raise DataError(
                f"An experiment draws {protocol.documents_per_experiment} documents for "
                f"{n_clusters} labels; expected at least one for each label. Raise "
                "documents_per_experiment in the task's TOML."
            )
        model = MiniBatchKMeans(
            n_clusters=n_clusters, batch_size=BOOTSTRAP_BATCH, n_init=1, random_state=SEED
        )
        for experiment in range(protocol.n_experiments):
            draws = np.array(rng.choices(range(len(rows)), k=protocol.documents_per_experiment))
            assignment = model.fit_predict(array[rows[draws]])
            scores["v_measure"].append(float(v_measure_score(gold[draws], assignment)))
            scores["ami"].append(float(adjusted_mutual_info_score(gold[draws], assignment)))
            number = level * protocol.n_experiments + experiment
            items += _assignment(data, rows[draws], assignment, number, suffix)
    return _part_score(scores, items)


def _sample(protocol: ClusteringProtocol, n: int, rng: random.Random) -> IntArray:
    """Rows of the documents to cluster, in the order mteb draws them."""
    if protocol.fraction is not None:
        return np.array(rng.sample(range(n), k=min(n, int(protocol.fraction * n))), dtype=np.int64)
    if protocol.max_documents is not None:
        return np.array(rng.sample(range(n), k=min(n, protocol.max_documents)), dtype=np.int64)
    return np.arange(n)


def _gold(
    data: ClusterData, rows: Sequence[int] | IntArray, labels: Sequence[Label], suffix: str
) -> ItemBlock:
    numbers = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    ids, targets = [data.item_ids[row] for row in rows], [str(label) for label in labels]
    return ItemBlock(f"gold{suffix}", ids, numbers.astype(np.float64), targets=targets)


def _assignment(
    data: ClusterData, rows: IntArray, assignment: IntArray, experiment: int, suffix: str
) -> list[ItemBlock]:
    pairs, n_draws = np.unique(np.column_stack([rows, assignment]), axis=0, return_counts=True)
    ids = [data.item_ids[row] for row in pairs[:, 0]]
    return [
        ItemBlock(
            f"assignment{suffix}", ids, pairs[:, 1].astype(np.float64), experiment=experiment
        ),
        ItemBlock(f"n_draws{suffix}", ids, n_draws.astype(np.float64), experiment=experiment),
    ]


def _part_score(scores: dict[str, list[float]], items: list[ItemBlock]) -> PartScore:
    metrics = {name: float(np.mean(values)) for name, values in scores.items()}
    metrics |= {f"{name}_std": float(np.std(values)) for name, values in scores.items()}
    return PartScore(metrics=metrics, experiments=scores, items=items)


def v_measures_of_items(items: pa.Table) -> dict[str, float]:
    """The v-measures of `clustering`, out of its items."""
    scores = []
    for name in items["metric"].unique().to_pylist():
        if name.startswith("gold"):
            level = name.removeprefix("gold")
            gold = of_metric(items, name)
            labels = dict(zip(gold["item_id"].to_pylist(), gold["target"].to_pylist(), strict=True))
            scores += _v_measures(
                of_metric(items, f"assignment{level}"), of_metric(items, f"n_draws{level}"), labels
            )
    return {"v_measure": float(np.mean(scores)), "v_measure_std": float(np.std(scores))}


def _v_measures(assignments: pa.Table, draws: pa.Table, labels: Mapping[str, str]) -> list[float]:
    """The v-measure of every experiment; a document that was drawn n times counts n times."""
    from sklearn.metrics import v_measure_score

    # Assignments and draws are written in the same order.
    n_draws = (
        draws["value"].to_numpy().astype(int)
        if draws.num_rows
        else np.ones(assignments.num_rows, dtype=int)
    )
    experiments = assignments["experiment"].to_numpy()
    gold = np.array([labels[item_id] for item_id in assignments["item_id"].to_pylist()])
    clusters = assignments["value"].to_numpy()
    return [
        float(
            v_measure_score(
                np.repeat(gold[of_experiment], n_draws[of_experiment]),
                np.repeat(clusters[of_experiment], n_draws[of_experiment]),
            )
        )
        for of_experiment in (experiments == number for number in np.unique(experiments))
    ]
