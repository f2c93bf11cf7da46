"""What watches a fit: numbers that are not, losses that are nothing, vectors that fall together;
and what a checkpoint lacks to go on from.

sentence-transformers trains; these hear its events. A NaN is caught before the optimizer's step,
while the weights are
whole: by default it is logged as 0, destroys every row, and the run goes on (docs/train.md).
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kemb.arrays import FloatArray
from kemb.errors import ModelError, RunError
from kemb.files import disk
from kemb.training.arguments import DEV_KEY

MARK = "kemb.json"
"""The last file of a checkpoint; without it the checkpoint is torn."""
LOSS_STATE = "loss_state.safetensors"
COLLAPSED = 0.99
NOTHING = 1e-6
N_PROBE = 512
N_NAMED = 5
MOST_SKIPPED = 20
"""The scale of fp16 begins at 2 to the 16th; halved more often than this, it is not the scale that
overflows.
"""
N_REMEMBERED = 16
"""Columns of text that may be prepared ahead of the step that uses them, with some to spare."""
OnStep = Callable[[int, int, float | None], None]
"""Hears of each step: number, total, loss where it is known."""


def read_mark(checkpoint: Path) -> dict[str, Any] | None:
    """What the mark of a checkpoint says; None for one that is torn: without a mark, or without
    files of the sizes that the mark lists.
    """
    try:
        record = disk.read_json(checkpoint / MARK)
        sizes = record.get("files", {})
        if any((checkpoint / name).stat().st_size != size for name, size in sizes.items()):
            return None
        return {"step": int(record["step"]), "fit": record["fit"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(slots=True)
class Watch:
    """The state of the guards during one fit."""

    model: Any
    loss: Any
    """The loss, or losses by data set."""
    probe: Sequence[str]
    """Training texts whose vectors are looked at now and then."""
    events_path: Path
    resumed_from: Path | None = None
    on_step: OnStep | None = None
    on_note: Callable[[str], None] = lambda text: None
    patience: int | None = None
    """Dev scores that may not be better than the best before the fit ends."""
    rank: int = 0
    several: bool = False
    """Whether other processes train with this one; what it does then, all do, or none hears of it.
    """
    recent: deque[list[str]] = field(default_factory=lambda: deque(maxlen=N_REMEMBERED))
    last_loss: float | None = None
    is_scaled: bool = False
    """Whether losses are scaled for fp16: then a step that overflows is left out, and the scale is
    halved.
    """
    n_skipped: int = 0
    """Such steps in a row."""
    geometry: dict[str, float] = field(default_factory=dict)
    spread: float | None = None
    """1 - mean cosine of the probe before training."""

    def remember(self, preprocess: Callable[..., Any]) -> Callable[..., Any]:
        """`preprocess` of a model, with the texts it is given kept for a while."""

        def remembering(texts: list[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  passed on
            self.recent.append(
                [text if isinstance(text, str) else "\n".join(map(str, text)) for text in texts]
            )
            return preprocess(texts, *args, **kwargs)

        return remembering

    def train_begin(self) -> None:
        """Give losses with parameters of their own what they had learned; the trainer
        forgets them.
        """
        path = self.resumed_from / LOSS_STATE if self.resumed_from else None
        if path is None or not path.is_file():
            return
        import torch
        from safetensors.torch import load_file

        saved = load_file(str(path))
        with torch.no_grad():
            for name, parameter in self._loss_parameters().items():
                parameter.copy_(saved[name])

    def average(self) -> None:
        """Give all processes the mean gradient of the losses' own parameters; the model's is
        averaged by torch.
        """
        if not self.several:
            return
        import torch

        for parameter in self._loss_parameters().values():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= torch.distributed.get_world_size()

    def before_step(self, step: int) -> None:
        """Refuse gradients that are not numbers, before they reach the weights."""
        import torch

        modules = [*_losses(self.loss).values()]
        gradients = [
            p.grad for module in modules for p in module.parameters() if p.grad is not None
        ]
        for gradient in gradients:
            values = gradient.coalesce().values() if gradient.is_sparse else gradient
            if not bool(torch.isfinite(values.sum())):
                self.n_skipped += 1
                if not self.is_scaled or self.n_skipped > MOST_SKIPPED:
                    raise ModelError(self._not_a_number(step + 1))
                return
        self.n_skipped = 0

    def logged(self, step: int, logs: dict[str, Any]) -> None:
        """Write one line of events; look at the first loss."""
        self._event(
            {
                "step": step,
                **{key: value for key, value in logs.items() if isinstance(value, int | float)},
            }
        )
        if "loss" not in logs:
            return
        self.last_loss = float(logs["loss"])
        if not math.isfinite(self.last_loss):
            raise ModelError(self._not_a_number(step))
        if step == 1 and abs(self.last_loss) < NOTHING:
            raise ModelError(
                f"The loss of the first step is {self.last_loss:g}: there is nothing to learn. A "
                "batch needs rows with different positives, or negatives; look at the data and at "
                "train.batch."
            )

    def is_done(self, history: Sequence[dict[str, Any]]) -> bool:
        """Whether the last `patience` dev scores were no better than the best before them."""
        scores = [score for _, score in dev_curve(history)]
        if self.patience is None or not scores:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= self.patience

    def saved(self, checkpoint: Path, step: int, key: str) -> None:
        """Complete a checkpoint; look at the geometry."""
        from safetensors.torch import save_file

        loss_parameters = self._loss_parameters()
        if loss_parameters and self.rank == 0:
            save_file(
                {name: p.detach().cpu().contiguous() for name, p in loss_parameters.items()},
                str(checkpoint / LOSS_STATE),
            )
        self.look(step)
        if self.several:
            import torch

            torch.distributed.barrier()  # each has written its state of random numbers
        if self.rank > 0:
            return
        sizes = {
            path.relative_to(checkpoint).as_posix(): path.stat().st_size
            for path in sorted(checkpoint.rglob("*"))
            if path.is_file()
        }
        record = {"step": step, "fit": key, "files": sizes}
        with disk.replacing(checkpoint / MARK) as unfinished:
            unfinished.write_text(json.dumps(record), encoding="utf-8")

    def look(self, step: int) -> None:
        """Mean cosine and effective rank of the probe's vectors.

        :raises ModelError: when all vectors point the same way.
        """
        vectors = _encode(self.model, list(self.probe)) if self.probe and self.rank == 0 else None
        if vectors is None:
            return
        self.geometry = geometry(vectors)
        self._event({"step": step, **self.geometry})
        spread = 1 - self.geometry["mean_cosine"]
        if self.spread is None:
            self.spread = spread
        elif (
            spread < 1 - COLLAPSED and spread < self.spread / 2
        ):  # untrained networks start close together
            raise ModelError(
                f"After {step} steps the model has collapsed: the mean cosine of {len(vectors)} "
                f"different training texts is {self.geometry['mean_cosine']:.3f}. Lower train.lr, "
                "or take a loss with negatives (mnrl)."
            )

    def _loss_parameters(self) -> dict[str, Any]:
        """Trained parameters of the losses that are not the model's."""
        model_parameters = {id(parameter) for parameter in self.model.parameters()}
        return {
            f"{name}/{inner}": parameter
            for name, module in _losses(self.loss).items()
            for inner, parameter in module.named_parameters()
            if parameter.requires_grad and id(parameter) not in model_parameters
        }

    def _not_a_number(self, step: int) -> str:
        texts = list(dict.fromkeys(text for column in self.recent for text in column))
        guilty = self._of_all(self._without_direction(texts))
        start = (
            f"Step {step} gave numbers that are not finite (NaN); the weights were not touched "
            "by it."
        )
        if guilty:
            examples = ", ".join(repr(text[:80]) for text in guilty[:N_NAMED])
            more = f" and {len(guilty) - N_NAMED} more" if len(guilty) > N_NAMED else ""
            return (
                f"{start} The model gives these training texts no vector, or one of zeros: "
                f"{examples}{more}. "
                'Take them out: [filters] empty_vector = "drop".'
            )
        return (
            f"{start} The texts of the batch have proper vectors, so the cause is arithmetic: type "
            "precision = "
            '"fp32" or "bf16" instead of "fp16", or a smaller train.lr. '
            f"A text of the batch: {texts[-1][:80]!r}"
            if texts
            else start
        )

    def _without_direction(self, texts: list[str]) -> list[str]:
        vectors = _encode(self.model, texts) if texts else None
        if vectors is None:
            return []
        norms = np.linalg.norm(vectors, axis=1)
        return [
            text
            for text, norm in zip(texts, norms.tolist(), strict=True)
            if not norm > 0 or math.isinf(norm)
        ]

    def _of_all(self, texts: list[str]) -> list[str]:
        """Texts that any process found; all have found the same gradients, so all ask."""
        if not self.several:
            return texts
        import torch

        texts_by_rank: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(texts_by_rank, texts)
        return list(dict.fromkeys(text for part in texts_by_rank for text in part))

    def _event(self, event: dict[str, Any]) -> None:
        if self.rank > 0:
            return
        with self.events_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def dev_curve(history: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """Steps and their dev scores, out of the trainer's log."""
    return [(int(entry["step"]), float(entry[DEV_KEY])) for entry in history if DEV_KEY in entry]


def geometry(vectors: FloatArray) -> dict[str, float]:
    """How a cloud of vectors [n, dim] lies.

    mean_cosine: of all pairs; 1 when all are the same. effective_rank: exp of the entropy of the
        normalised singular
    values (Roy and Vetterli 2007), 1 to dim.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    total = unit.sum(axis=0)
    mean = (float(total @ total) - float((unit * unit).sum())) / max(n * (n - 1), 1)
    singular = np.linalg.svd(unit.astype(np.float64), compute_uv=False)
    share = singular[singular > 0] / singular.sum()
    return {"mean_cosine": mean, "effective_rank": float(np.exp(-(share * np.log(share)).sum()))}


def callback_of(watch: Watch, key: str) -> Any:  # noqa: ANN401  a transformers callback
    """The watch as a callback of the trainer."""
    from transformers import TrainerCallback

    class Guard(TrainerCallback):  # type: ignore[misc]  # transformers is not followed
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            watch.train_begin()
            control.should_training_stop |= watch.is_done(
                state.log_history
            )  # killed after its last checkpoint

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            watch.before_step(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            if watch.on_step:
                watch.on_step(state.global_step, state.max_steps, watch.last_loss)

        def on_log(
            self,
            args: object,
            state: Any,  # noqa: ANN401  as the trainer's other hooks
            control: object,
            logs: dict[str, Any] | None = None,
            **kwargs: object,
        ) -> None:
            watch.logged(state.global_step, logs or {})

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            step, score = dev_curve(state.log_history)[-1]
            watch.on_note(f"Step {step:,}: dev score {score:.4f}")
            control.should_training_stop |= watch.is_done(state.log_history)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
            watch.saved(
                Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step, key
            )

    return Guard()


def _losses(loss: Any) -> dict[str, Any]:  # noqa: ANN401  torch modules
    return loss if isinstance(loss, dict) else {"": loss}


@contextmanager
def full_precision(model: Any) -> Iterator[None]:  # noqa: ANN401  as above
    """Without the half precision that accelerate puts around the forward pass: as the saved model
    is.
    """
    wrapped, original = model.__dict__.get("forward"), model.__dict__.get("_original_forward")
    if wrapped is not None and original is not None:
        model.forward = original
    try:
        yield
    finally:
        if wrapped is not None:
            model.forward = wrapped


def _encode(model: Any, texts: list[str]) -> FloatArray | None:  # noqa: ANN401  as above
    """Vectors as they are, without prompts; None for models that make none of fixed length."""
    if type(model).__name__ != "SentenceTransformer":
        return None
    was_training = model.training
    with full_precision(model):
        vectors = model.encode(
            texts, prompt="", batch_size=256, show_progress_bar=False, convert_to_numpy=True
        )
    model.train(was_training)
    return np.asarray(vectors, dtype=np.float32)


def check_saved(model: Any, loaded: Any, prompts: dict[str, str]) -> None:  # noqa: ANN401  as above
    """Whether what was saved is what was trained: same vectors, same prompts, under the names
    people call.

    :raises RunError: when it is not.
    """
    text = "대한민국의 수도는 서울이다."
    if dict(loaded.prompts) != prompts:
        raise RunError(
            f"The saved model has the prompts {dict(loaded.prompts)!r}, it was trained with "
            f"{prompts!r}."
        )
    encode = {"query": loaded.encode_query, "document": loaded.encode_document}
    for role, call in encode.items():
        with full_precision(model):
            expected = model.encode([prompts[role] + text], prompt="", show_progress_bar=False)
        if not np.allclose(call([text], show_progress_bar=False), expected, rtol=0, atol=1e-5):
            raise RunError(
                f"The saved model gives a {role} another vector than in training, where the prompt "
                f"{prompts[role]!r} stood before it. Report this with the recipe; do not publish "
                "the model."
            )
