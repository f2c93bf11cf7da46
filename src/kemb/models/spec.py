"""What a model is: a TOML file with its prompts, pooling and limits. Data, no code."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from kemb.types import TaskType

Loader = Literal["sentence-transformers", "transformers", "kiwi-static", "tfidf", "toy", "bm25", "api"]
Pooling = Literal["mean", "cls", "last"]
Similarity = Literal["cosine", "dot"]
Dtype = Literal["float32", "float16", "bfloat16"]


class ModelSpec(BaseModel):
    """One known model. What a hub model's own files say needs no entry here, except prompts (precedence 2)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """`org/name` on the hub, or kemb's own name (`bm25:kiwi`)."""
    loader: Loader = "sentence-transformers"
    hub: str | None = None
    """Hub id when `name` is a row variant of it (`kakaocorp/kanana-nano-2.1b-embedding-fp16`)."""
    revision: str | None = None
    """The commit kemb declares for the model; None resolves the hub's main branch to a commit at run time."""
    description: str = ""
    pooling: Pooling | None = None
    """Needed by the loader `transformers`; a check against the model's own files otherwise."""
    normalize: bool | None = None
    similarity: Similarity = "cosine"
    max_tokens: int | None = None
    dim: int | None = None
    truncate_dims: list[int] = []
    dtype: Dtype | None = None
    """The declared dtype; another one makes a variant row."""
    n_parameters: int | None = None
    license: str = ""
    languages: list[str] = []
    open_weights: bool = True
    needs_remote_code: bool = False
    base_model: str | None = None
    reference: str = ""
    append_eos: bool = False
    """Whether the tokenizer must add an end-of-sequence token that its own configuration leaves out."""

    prompts: dict[str, str] = {}
    """Literal text put before, by key. Keys, most specific first: `<Task>-<role>`, `<Task>`, `<task type>-<role>`,
    `<task type>`, `<role>` (query, document). An empty string means: nothing, and do not look further."""
    instruction_template: str = ""
    """For instruction models: the prompt made from an instruction, with `{instruction}`."""
    instructions: dict[str, str] = {}
    """Instructions by the same keys; each becomes a prompt through the template. `prompts` win on the same key."""
    use_task_instructions: bool = False
    """Use the task's own instruction (TaskSpec.instruction) at the level of the task's name."""
    routes: dict[str, str] = {}
    """Opaque route (adapter, API input type) by the same keys; '' by default."""
    not_for: list[TaskType] = []
    """Task types the model makes no sense for; the cell is 'not applicable'."""
    prompt_source: str = ""
    """Where the prompts were read (model card, mteb registry), for people who check."""
