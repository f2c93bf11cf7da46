"""What a model is: a TOML file with its prompts, pooling and limits. Data, no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kemb.models.families import LOADERS, Similarity
from kemb.tasks.spec import KnownType, one_of

Pooling = Literal["mean", "cls", "last"]
Level = Literal["int8", "binary"]
Dtype = Literal["float32", "float16", "bfloat16"]
Attention = Literal["causal", "bidirectional"]


def _known_loader(name: str) -> str:
    """A loader of the registry, refused in pydantic's words for one of several values."""
    return one_of(name, LOADERS)


KnownLoader = Annotated[str, AfterValidator(_known_loader)]
"""A field that holds a loader."""


class PromptRules(BaseModel):
    """What is put before a text, by key: of a model, or of a `--prompts` file.

    Keys, most specific first: `<Task>-<role>`, `<Task>`, `<task type>-<role>`, `<task type>`,
    `<role>`; the role is query or document. The texts of symmetric tasks have no role: only a task
    or task type key reaches them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: dict[str, str] = {}
    """Literal text put before. An empty string means: nothing, and do not look further."""
    instruction_template: str = ""
    """For instruction models: the prompt made from an instruction, with `{instruction}`."""
    instructions: dict[str, str] = {}
    """Instructions by the same keys; each becomes a prompt through the template. `prompts` win on
    the same key.
    """
    use_task_instructions: bool = False
    """Use the task's own instruction (TaskSpec.instruction) at the level of the task's name, never
    for documents.
    """
    routes: dict[str, str] = {}
    """Opaque route (adapter, API input type) by the same keys; '' by default."""


class ApiSpec(BaseModel):
    """How a model is reached over HTTP: where, in which dialect, with which limits, at what
    price.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["openai", "cohere"] = "openai"
    """The dialect: `POST /embeddings` (OpenAI, Upstage, vLLM, TEI, Ollama, infinity) or `POST
    /v2/embed`.
    """
    base_url: str = ""
    """What stands before the path: `https://api.openai.com/v1`. No key and no query in it."""
    model: str = ""
    """The name to send; `{route}` in it is replaced by the input's route. The model's own name
    where it is empty.
    """
    key_env: str = ""
    """The environment variable that holds the key; '' where none is needed."""
    body: dict[str, Any] = {}
    """More fields for every request (`dimensions`, `truncate_prompt_tokens`); they are part of the
    fingerprint.
    """
    encoding: Literal["float", "base64"] = "float"
    max_batch_texts: int = Field(default=96, ge=1)
    max_batch_tokens: int = Field(default=100_000, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout_seconds: float = Field(default=60, gt=0)
    attempts: int = Field(default=8, ge=1)
    price_per_million_tokens: float | None = Field(default=None, ge=0)
    """In US dollars, as of `price_date` (YYYY-MM-DD)."""
    price_date: str = ""
    price_source: str = ""
    """Where the price was read."""


@dataclass(frozen=True, slots=True)
class View:
    """What is made of stored vectors before they are compared, and how they are compared; None: as
    they are.
    """

    dims: int | None = None
    level: Level | None = None
    candidates: int | None = None
    """Of binary codes: so many nearest documents are put in order by the query's full vector."""
    similarity: Similarity | None = None


class ModelSpec(PromptRules):
    """One known model. What a hub model's own files say needs no entry here, except prompts
    (precedence 2).

    A specification that sets any of the prompt fields, be it to `prompts = {}`, replaces the
    prompts of the model's own `config_sentence_transformers.json`; one that sets none leaves them
    in force.
    """

    name: str
    """`org/name` on the hub, or kemb's own name (`bm25:kiwi`)."""
    loader: KnownLoader = "sentence-transformers"
    api: ApiSpec | None = None
    """Of the loader `api`."""
    hub: str | None = None
    """Hub id when `name` is a row variant of it (`kakaocorp/kanana-nano-2.1b-embedding-fp16`)."""
    revision: str | None = None
    """The commit kemb declares for the model; None resolves the hub's main branch to a commit at
    run time.
    """
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
    """As in mteb (`kor-Hang`); `mul` for models of many languages."""
    weights: dict[str, str] = {}
    """sha256 of the files of its weights, by name, where somebody has read them on the hub."""
    open_weights: bool = True
    needs_remote_code: bool = False
    attention: Attention | None = None
    """Which tokens a token sees, as its authors compute it: those before it (causal) or all. A
    model that declares it is tried after loading (`kemb.models.encoders.attention`), and may have
    code of its own for a class that transformers knows.
    """
    base_model: str | None = None
    reference: str = ""
    append_eos: bool = False
    """Whether the tokenizer must add an end-of-sequence token that its own configuration leaves
    out.
    """
    not_for: list[KnownType] = []
    """Task types the model makes no sense for; the cell is 'not applicable'."""
    prompt_source: str = ""
    """Where the prompts were read (model card, mteb registry), for people who check."""
