"""Weights that the files of a model lack, or hold in another shape: whether they reach a vector.

transformers fills what is missing with random numbers and says so in a log. That is right where no
vector depends on them (a pooler that nobody reads, a head of pre-training), and a wrong number
everywhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kemb.arrays import FloatArray, Ragged, Rows, Together

REPORT = "log_state_dict_report"
"""What transformers calls when it has loaded weights: with the network, and what did not fit."""
_MOST_ALONE = 48
"""So many tensors are tried one by one; more are tried together."""
_NAMED = 6


@dataclass(slots=True)
class Report:
    """What transformers reported of the weights of one model."""

    missing: list[tuple[Any, str]] = field(default_factory=list)
    """Networks, and the names of their tensors that were filled with other numbers."""
    mismatched: list[str] = field(default_factory=list)
    """Tensors whose stored shape is not the network's, and both shapes."""
    n_unread: int = 0
    """Stored tensors that the network has no place for."""

    def hear(self, network: Any, info: Any) -> None:  # noqa: ANN401  of transformers
        """Take what is said of one file of weights."""
        self.missing += [(network, name) for name in sorted(info.missing_keys)]
        for name, stored, shape in sorted(info.mismatched_keys):
            self.missing.append((network, name))
            self.mismatched.append(f"{name} is {list(stored)}, and should be {list(shape)}")
        self.n_unread += len(info.unexpected_keys)


@contextlib.contextmanager
def reported() -> Iterator[Report]:
    """While models are loaded, hear what transformers reports of their weights."""
    from transformers import modeling_utils
    from transformers.integrations import peft

    report = Report()
    originals = {module: getattr(module, REPORT) for module in (modeling_utils, peft)}

    def hearing(original: Callable[..., Any]) -> Callable[..., Any]:
        def hear(*values: Any, **options: Any) -> Any:  # noqa: ANN401  as the original
            report.hear(options["model"], options["loading_info"])
            return original(*values, **options)

        return hear

    for module, original in originals.items():
        setattr(module, REPORT, hearing(original))
    try:
        yield report
    finally:
        for module, original in originals.items():
            setattr(module, REPORT, original)


def reaching(report: Report, encode: Callable[[], Rows | Together]) -> list[str]:
    """The names of those missing tensors that a vector depends on.

    :param encode: a text, always the same one.
    """
    if not report.missing:
        return []
    before = _arrays(encode())
    groups = [[one] for one in report.missing]
    if len(groups) > _MOST_ALONE:
        groups = [report.missing]
    names = []
    for group in groups:
        with _changed([_tensor(network, name) for network, name in group]):
            after = _arrays(encode())
        if not _are_equal(before, after):
            names += [name for _, name in group]
    return names


def named(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _tensor(network: Any, name: str) -> Any:  # noqa: ANN401  of torch
    """A tensor by its name in the report, which leaves out the name of an adapter."""
    every = dict(network.named_parameters(remove_duplicate=False))
    every |= dict(network.named_buffers(remove_duplicate=False))
    if name in every:
        return every[name]
    return next(
        (tensor for key, tensor in every.items() if key.replace(".default.", ".") == name), None
    )


@contextlib.contextmanager
def _changed(tensors: Sequence[Any]) -> Iterator[None]:
    """Other numbers in some tensors, for a while."""
    present = [tensor for tensor in tensors if tensor is not None]
    saved = [tensor.data.clone() for tensor in present]
    for tensor in present:
        if tensor.is_floating_point():
            tensor.data.normal_()
        else:
            tensor.data.zero_()
    try:
        yield
    finally:
        for tensor, values in zip(present, saved, strict=True):
            tensor.data.copy_(values)


def _arrays(rows: Rows | Together) -> list[FloatArray]:
    kinds = rows.kinds if isinstance(rows, Together) else (rows,)
    return [
        np.asarray(kind.values if isinstance(kind, Ragged) else kind, dtype=np.float32)
        for kind in kinds
    ]


def _are_equal(before: Sequence[FloatArray], after: Sequence[FloatArray]) -> bool:
    return all(
        one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-5)
        for one, other in zip(before, after, strict=True)
    )
