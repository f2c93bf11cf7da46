"""The executor of a model: this process, a process for each of its devices, or the actors of a
cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kemb.encoding.executors import Executor
from kemb.encoding.executors.cluster import Cluster
from kemb.encoding.executors.processes import Workers
from kemb.encoding.executors.session import Session
from kemb.models.encoders import Encoder
from kemb.models.model import Model
from kemb.models.open import open_model


@contextlib.contextmanager
def opened(
    model: Model, beside: Sequence[Model] = (), session: Session | None = None
) -> Iterator[Encoder | Executor]:
    """The model's encoder, or, where it has several devices, a worker for each.

    :param beside: as `Model.open`.
    :param session: the cluster to use; objects of Python stay in this process all the same.
    """
    if session is not None and model.door is None:
        with contextlib.closing(Cluster(session, model, beside)) as cluster:
            yield cluster
        return
    n = len(model.devices)
    if n < 2:
        yield open_model(model, beside)
        return
    openers = [
        (device, _Open(replace(model, device=device), tuple(beside), n)) for device in model.devices
    ]
    with contextlib.closing(Workers(openers)) as workers:
        yield workers


class Opened:
    """Encoders that are kept open for one use after the other."""

    def __init__(
        self, encoders: Mapping[str, Encoder] | None = None, session: Session | None = None
    ) -> None:
        """:param encoders: encoders that are open already, by identity of their model.
        :param session: as of `opened`.
        """
        self.session = session
        self._stack = contextlib.ExitStack()
        self._encoders: dict[str, Encoder | Executor] = dict(encoders or {})

    def open(self, model: Model) -> Encoder | Executor:
        """The encoder of a model, opened at its first use."""
        if model.identity not in self._encoders:
            self._encoders[model.identity] = self._stack.enter_context(
                opened(model, session=self.session)
            )
        return self._encoders[model.identity]

    def close(self) -> None:
        """End all workers."""
        self._encoders.clear()
        self._stack.close()


@dataclass(frozen=True, slots=True)
class _Open:
    """Opens a model beside others on the same machine."""

    model: Model
    beside: tuple[Model, ...]
    n_workers: int

    def __call__(self) -> Encoder:
        if self.model.device == "cpu":
            from kemb.models.encoders.torch import share_threads

            share_threads(self.n_workers)
        return open_model(self.model, self.beside)
