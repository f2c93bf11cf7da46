"""From a recipe to the training arguments of the sentence-transformers that is installed.

`PUBLISHED` says what became of the 108 arguments printed on the BGE-m3-ko card
    (sentence-transformers 3, transformers
4): libraries come and go, a recipe should not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from kemb.errors import UsageError
from kemb.models.families import by_recipe_name
from kemb.training.recipe import Family, Recipe, TrainSection

DEV_KEY = "eval_dev"
"""What the trainer calls the score on dev data."""
HASHED_FROM_ROWS = 200_000
"""From here on the no-duplicates sampler compares hashes: slower to start, faster per batch, the
same batches.
"""
Fate = Literal["kept", "renamed", "gone"]


class Published(NamedTuple):
    """One argument of the card."""

    fate: Fate
    now: str
    """The key of a recipe, the argument it became, or why it is not needed."""


def values(recipe: Recipe, out_dir: Path, device: str, n_rows: int, prompts: Any) -> dict[str, Any]:  # noqa: ANN401
    """Arguments by name; `training_arguments` gives them to the installed class.

    :param n_rows: rows of all data sets together.
    :param prompts: by data set and column.
    """
    train = recipe.train
    hashed = n_rows >= HASHED_FROM_ROWS
    sampler = {
        "plain": "batch_sampler",
        "no-duplicates": "no_duplicates_hashed" if hashed else "no_duplicates",
    }
    return {
        "output_dir": str(out_dir),
        "per_device_train_batch_size": train.rows_per_step,
        # Processes share one batch, so that what no-duplicates promises holds between them as well.
        "accelerator_config": {"split_batches": train.processes > 1},
        "num_train_epochs": train.epochs,
        "max_steps": train.max_steps or -1,
        "learning_rate": train.lr,
        "learning_rate_mapping": dict(train.lr_by_parameter),
        "warmup_steps": train.warmup,  # a share below 1, in this version
        "lr_scheduler_type": train.scheduler,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "gradient_accumulation_steps": train.accumulate,
        "activation_checkpointing": train.grad_checkpointing,
        "dataloader_drop_last": train.drop_last
        or train.processes > 1,  # one that lacks a row would be waited for
        # torch does not see into what a cross-encoder returns, and would take all its parameters
        # for unused.
        "ddp_find_unused_parameters": recipe.base.family != "cross-encoder",
        "batch_sampler": sampler[train.sampler],
        "multi_dataset_batch_sampler": train.mixing.replace("-", "_"),
        "prompts": prompts,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "full_determinism": device.startswith(
            "cuda"
        ),  # on the CPU seeds are enough (measured: bit-equal)
        "use_cpu": device == "cpu",
        "save_strategy": "steps",
        "save_steps": train.save_every,
        "save_total_limit": train.keep,
        "logging_strategy": "steps",
        "logging_steps": train.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it hides the step that destroys the weights
        "eval_strategy": "no",
        **_watched(recipe),
        "disable_tqdm": True,
        "report_to": "none",
        **_precision(train, device),
    }


def _watched(recipe: Recipe) -> dict[str, Any]:
    """With dev data: a score at every checkpoint, the best of which is kept."""
    if recipe.dev is None:
        return {}
    return {
        "eval_strategy": "steps",
        "eval_steps": recipe.dev.every,
        "save_steps": recipe.dev.every,
        "metric_for_best_model": DEV_KEY,
        "greater_is_better": True,
    }


def _precision(train: TrainSection, device: str) -> dict[str, bool]:
    """Weights stay in float32; half precision is for the forward pass only."""
    if train.precision in ("bf16", "fp16"):
        return {train.precision: True}
    if train.precision == "fp32" or not device.startswith("cuda"):
        return {}
    import torch

    return {"bf16": bool(torch.cuda.is_bf16_supported())}


def training_arguments(family: Family, values: dict[str, Any]) -> Any:  # noqa: ANN401  sentence-transformers has no types
    """The installed class of training arguments, filled.

    :raises UsageError: when the installed version lacks one of them; says which.
    """
    import dataclasses

    import sentence_transformers

    cls = getattr(sentence_transformers, f"{by_recipe_name()[family].st_class}TrainingArguments")
    names = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - names):
        raise UsageError(
            f"The installed sentence-transformers {sentence_transformers.__version__} has no "
            f"training argument {', '.join(unknown)}. kemb needs 6.2: pip install -U 'kemb[train]'"
        )
    return cls(**values)


LIBRARY_DEFAULT = "the library's default"
_NO_NEED = "not needed: "
_BY_DEVICE = _NO_NEED + "the device is found, or named by train.device"
_OUTSIDE = _NO_NEED + "set with accelerate"
_OURS = {
    "eval_strategy": (
        "kept",
        "steps with [dev], else no: base and tuned model are evaluated by kemb afterwards",
    ),
    "load_best_model_at_end": ("kept", "[dev]: the checkpoint with the best dev score"),
    "per_device_train_batch_size": ("kept", "train.batch"),
    "gradient_accumulation_steps": ("kept", "train.accumulate; refused with contrastive losses"),
    "learning_rate": ("kept", "train.lr"),
    "weight_decay": ("kept", "train.weight_decay"),
    "max_grad_norm": ("kept", "train.max_grad_norm"),
    "num_train_epochs": ("kept", "train.epochs"),
    "max_steps": ("kept", "train.max_steps"),
    "lr_scheduler_type": ("kept", "train.scheduler"),
    "warmup_ratio": ("renamed", "train.warmup; passed as warmup_steps, a share below 1"),
    "warmup_steps": ("kept", "train.warmup"),
    "logging_nan_inf_filter": ("kept", "always off: it hides the step that destroys the weights"),
    "seed": ("kept", "seed"),
    "data_seed": ("kept", "seed"),
    "bf16": ("kept", "train.precision"),
    "fp16": ("kept", "train.precision; refused without a GPU"),
    "use_cpu": ("kept", "train.device"),
    "dataloader_drop_last": ("kept", "train.drop_last"),
    "gradient_checkpointing": (
        "kept",
        "train.grad_checkpointing; passed as activation_checkpointing",
    ),
    "full_determinism": ("kept", "always on with CUDA"),
    "resume_from_checkpoint": ("kept", "the same command again; --fresh begins anew"),
    "batch_sampler": ("kept", "train.sampler"),
    "multi_dataset_batch_sampler": ("kept", "train.mixing"),
    "disable_tqdm": ("kept", "always on: kemb shows its own progress"),
    "push_to_hub": ("kept", "always off: kemb card --push"),
    "overwrite_output_dir": ("gone", _NO_NEED + "every change of a recipe has a folder of its own"),
    "per_gpu_train_batch_size": ("gone", "train.batch"),
    "per_gpu_eval_batch_size": ("gone", _NO_NEED + "kemb evaluates"),
    "save_safetensors": ("gone", "always safetensors"),
    "no_cuda": ("gone", "train.device"),
    "use_mps_device": ("gone", _BY_DEVICE),
    "jit_mode_eval": ("gone", "nothing replaces it"),
    "use_ipex": ("gone", "nothing replaces it"),
    "fp16_opt_level": ("gone", "train.precision"),
    "half_precision_backend": ("gone", "train.precision"),
    "fp16_backend": ("gone", "train.precision"),
    "tpu_num_cores": ("gone", "nothing replaces it"),
    "tpu_metrics_debug": ("gone", "nothing replaces it"),
    "past_index": ("gone", "nothing replaces it"),
    "fsdp_min_num_params": ("gone", "fsdp_config; " + _OUTSIDE.removeprefix(_NO_NEED)),
    "fsdp_transformer_layer_cls_to_wrap": (
        "gone",
        "fsdp_config; " + _OUTSIDE.removeprefix(_NO_NEED),
    ),
    "adafactor": ("gone", "optim"),
    "group_by_length": ("renamed", "train_sampling_strategy"),
    "use_legacy_prediction_loop": ("gone", "nothing replaces it"),
    "include_inputs_for_metrics": ("renamed", "include_for_metrics"),
    "push_to_hub_model_id": ("renamed", "hub_model_id"),
    "push_to_hub_organization": ("renamed", "hub_model_id"),
    "mp_parameters": ("gone", "nothing replaces it"),
    "torchdynamo": ("renamed", "torch_compile_backend"),
    "ray_scope": ("gone", "nothing replaces it"),
    "dispatch_batches": ("renamed", "accelerator_config"),
    "split_batches": ("renamed", "accelerator_config"),
    "include_tokens_per_second": ("renamed", "include_num_input_tokens_seen"),
}
_KEPT = """
 do_predict prediction_loss_only per_device_eval_batch_size eval_accumulation_steps adam_beta1
adam_beta2 adam_epsilon lr_scheduler_kwargs log_level log_level_replica log_on_each_node
save_on_each_node save_only_model restore_callback_states_from_checkpoint bf16_full_eval
fp16_full_eval tf32 local_rank ddp_backend debug dataloader_num_workers
dataloader_prefetch_factor remove_unused_columns label_names ignore_data_skip fsdp fsdp_config
accelerator_config deepspeed label_smoothing_factor optim optim_args length_column_name
ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers dataloader_pin_memory
dataloader_persistent_workers skip_memory_metrics hub_model_id hub_strategy hub_private_repo
hub_always_push gradient_checkpointing_kwargs eval_do_concat_batches auto_find_batch_size
ddp_timeout torch_compile torch_compile_backend torch_compile_mode include_num_input_tokens_seen
neftune_noise_alpha optim_target_modules batch_eval_metrics
"""
PUBLISHED: dict[str, Published] = {
    **{name: Published(*entry) for name, entry in _OURS.items()},  # type: ignore[arg-type]
    **{name: Published("kept", LIBRARY_DEFAULT) for name in _KEPT.split()},
}
