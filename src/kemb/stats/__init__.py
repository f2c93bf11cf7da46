"""Intervals, tests and rank sets from item scores; numpy only, seeded, vectorised over models."""

from kemb.stats.inference import (
    LEVEL,
    N_REPLICATES,
    ZONE,
    Verdict,
    draw_counts,
    generator,
    holm,
    interval,
    max_t,
    minimum_detectable,
    resample_tasks,
    sign_flip,
    verdict,
)
from kemb.stats.measures import CorrelationMeasure, MeanMeasure, Measure, PrecisionMeasure, VMeasure
from kemb.stats.ranks import borda, certainly_better, mean_ranks, rank_intervals, rank_probability, standardised_mean

__all__ = [
    "LEVEL",
    "N_REPLICATES",
    "ZONE",
    "CorrelationMeasure",
    "MeanMeasure",
    "Measure",
    "PrecisionMeasure",
    "VMeasure",
    "Verdict",
    "borda",
    "certainly_better",
    "draw_counts",
    "generator",
    "holm",
    "interval",
    "max_t",
    "mean_ranks",
    "minimum_detectable",
    "rank_intervals",
    "rank_probability",
    "resample_tasks",
    "sign_flip",
    "standardised_mean",
    "verdict",
]
