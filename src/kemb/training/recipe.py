"""The recipe: one TOML file that says everything about a training run; docs/train.md explains every
key.

Its keys are ours, not those of a library's training arguments, a quarter of which went away between
two versions;
`arguments.py` maps them to the version that is installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kemb.errors import UnknownName, UsageError, nearest
from kemb.files import disk
from kemb.hub import COMMIT
from kemb.models.families import by_recipe_name
from kemb.tasks.spec import one_of
from kemb.training.sections import (
    DataSection,
    DevSection,
    ExportSection,
    FiltersSection,
    MineSection,
)

SHIPPED = Path(__file__).parent / "recipes"


def _known_family(name: str) -> str:
    return one_of(name, by_recipe_name())


Family = Annotated[str, AfterValidator(_known_family)]
"""The name of a family in recipes (`kemb.models.families`)."""
BaseKind = Literal["hub", "local", "static", "kiwi-static"]
Location = tuple[str | int, ...]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerSection(Section):
    """The tokenizer of a model from scratch, trained on the texts of the recipe."""

    type: Literal["bpe", "unigram", "wordpiece"] = "bpe"
    vocab: int = Field(default=24_000, ge=100, le=1_000_000)


class LoraSection(Section):
    """Low-rank adapters (peft); merged into the weights before they are saved."""

    r: int = Field(default=32, ge=1)
    alpha: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: list[str] = Field(min_length=1)


class BaseSection(Section):
    """What training starts from."""

    kind: BaseKind
    family: Family = "dense"
    id: str = ""
    """`org/name` on the hub, or a folder, seen from the recipe."""
    revision: str | None = Field(default=None, pattern=rf"^{COMMIT.pattern}$")
    max_tokens: int | None = Field(default=None, ge=1)
    pooling: Literal["keep", "mean", "cls", "last"] = "keep"
    dim: int = Field(default=256, ge=2)
    """Of a static model."""
    tokenizer: TokenizerSection = TokenizerSection()
    lora: LoraSection | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.is_static:
            if self.id or self.revision or self.lora or self.max_tokens or self.family != "dense":
                raise ValueError(
                    f"a base of kind {self.kind!r} is made from scratch; it has no id, revision, "
                    "lora, max_tokens or family"
                )
            if self.kind == "kiwi-static" and self.dim != 256:
                raise ValueError(f"Kiwi's vectors have 256 dimensions, given dim = {self.dim}")
        elif not self.id:
            raise ValueError(
                f"a base of kind {self.kind!r} needs an id: "
                f"{'org/name' if self.kind == 'hub' else 'DIR'}"
            )
        if self.revision and self.kind != "hub":
            raise ValueError("only a base of kind 'hub' has a revision")
        return self

    @property
    def is_static(self) -> bool:
        return self.kind in ("static", "kiwi-static")


class PromptsSection(Section):
    """What stands before a text, in training and ever after; `text` is for texts without a role
    (similarity).
    """

    query: str = ""
    document: str = ""
    text: str = ""


class LossSection(Section):
    """The loss by name, and what it takes; `losses.py` knows which."""

    name: str = "mnrl"
    similarity: str = "cosent"
    """The loss of data with scores (role "similarity")."""
    scale: float | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, gt=0)
    mini_batch: int | None = Field(default=None, ge=1)
    gather: bool | None = None
    directions: (
        list[Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]] | None
    ) = None
    guide: str | None = None
    teacher: str | None = None
    margin: float | None = None
    margin_strategy: Literal["absolute", "relative"] | None = None
    distance: Literal["mse", "l2", "cosine"] | None = None
    document_weight: float | None = Field(default=None, ge=0)
    query_weight: float | None = Field(default=None, ge=0)
    n_random_negatives: int | None = Field(default=None, ge=0)


class MatryoshkaSection(Section):
    """Dimensions at which the loss is taken as well, largest first."""

    dims: list[int] = Field(min_length=1)
    weights: list[float] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (
            sorted(self.dims, reverse=True) != self.dims
            or len(set(self.dims)) != len(self.dims)
            or self.dims[-1] < 1
        ):
            raise ValueError(f"dims must fall, given {self.dims}")
        if self.weights is not None and len(self.weights) != len(self.dims):
            raise ValueError(
                f"{len(self.dims)} dims need as many weights, given {len(self.weights)}"
            )
        return self


class TrainSection(Section):
    """How it is trained."""

    batch: int = Field(default=32, ge=1)
    """Rows per process and step."""
    processes: int = Field(default=1, ge=1)
    """Copies of the model that train together, one on each GPU; a step has batch * processes rows.
    """
    epochs: float = Field(default=1.0, gt=0, le=10_000, allow_inf_nan=False)
    max_steps: int | None = Field(default=None, ge=1)
    lr: float = Field(default=2e-5, gt=0)
    lr_by_parameter: dict[str, float] = {}
    """Learning rates for parameters whose name fits a regular expression."""
    warmup: float = Field(default=0.1, ge=0)
    """A share of all steps below 1, else a number of steps."""
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    sampler: Literal["no-duplicates", "plain"] = "no-duplicates"
    mixing: Literal["proportional", "round-robin"] = "proportional"
    accumulate: int = Field(default=1, ge=1)
    drop_last: bool = False
    grad_checkpointing: bool = False
    negatives: int | None = Field(default=None, ge=1)
    """Hard negatives of a row; by default as many as the widest row has. Rows with fewer repeat
    theirs, and what is lost is counted.
    """
    save_every: int = Field(default=500, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1)
    log_every: int = Field(default=50, ge=1)
    device: str = "auto"

    @property
    def rows_per_step(self) -> int:
        return self.batch * self.processes


class GuardSection(Section):
    """The forget-check: on no task may the tuned model be worse than its base by more than the
    tolerance.
    """

    tolerance: float = Field(default=0.5, ge=0)
    """Points."""
    by_task: dict[str, float] = {}
    decision: Literal["ci-lower", "verdict", "none"] = "ci-lower"
    """ci-lower: the 95 % interval must lie above -tolerance (non-inferiority); verdict: "worse"
    fails.
    """


class EvaluateSection(Section):
    """What proves the training."""

    tasks: list[str] = Field(min_length=1)
    """Names, benchmarks, or folders seen from the recipe."""
    lexical: list[str] = ["bm25:bigram"]
    """Rows without training that always stand beside the model."""
    first_stage: str = "bm25:bigram"
    """What a cross-encoder reranks, and is compared with."""
    depth: int = Field(default=100, ge=1, le=1000)
    guard: GuardSection = GuardSection()
    selected_on: str = ""
    """On what data the values of this recipe were chosen; printed on the card."""


class MergeSection(Section):
    """Weighted mean of base and tuned weights (LM-Cocktail, Xiao et al. 2023), kept if it passes
    the forget-check.
    """

    weight: float = Field(default=0.5, gt=0, lt=1)
    """Of the tuned model."""
    on: Literal["always", "forget-fail"] = "forget-fail"


class CardSection(Section):
    """What the model card says that nobody can compute."""

    name: str = ""
    """`org/name` under which the model is published."""
    license: str = ""
    language: list[str] = ["ko"]
    limitations: str = ""
    contacts: list[str] = []
    own_data: bool = False
    """Whether scores on data of one's own may stand on the card."""


class PublishSection(Section):
    """Where `kemb train --push` uploads the model to."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """`org/name` on the hub; made when it is not there."""
    private: bool = True
    """Of a repository that is made; one that is there stays as it is."""


class Recipe(Section):
    """A whole recipe."""

    recipe: Literal[1]
    """Version of this format."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    description: str = ""
    seed: int = Field(default=42, ge=0, lt=2**32)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = []
    """To be trained with each; the model is that of the first, the others show the spread of the
    scores.
    """
    base: BaseSection
    prompts: PromptsSection = PromptsSection()
    data: list[DataSection] = Field(min_length=1)
    filters: FiltersSection = FiltersSection()
    mine: MineSection | None = None
    loss: LossSection = LossSection()
    matryoshka: MatryoshkaSection | None = None
    train: TrainSection = TrainSection()
    dev: DevSection | None = None
    evaluate: EvaluateSection
    merge: MergeSection | None = None
    export: ExportSection = ExportSection()
    card: CardSection = CardSection()
    publish: PublishSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _first_seed(cls, table: Any) -> Any:  # noqa: ANN401  whatever was written
        seeds = table.get("seeds") if isinstance(table, dict) else None
        if isinstance(seeds, list) and seeds:
            if table.get("seed", seeds[0]) != seeds[0] or len(set(map(repr, seeds))) < len(seeds):
                raise ValueError(
                    f"seeds must differ and begin with seed, given seed {table.get('seed')}, seeds "
                    f"{seeds}"
                )
            return {**table, "seed": seeds[0]}
        return table


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe, and where it was read from."""

    path: Path
    text: str
    recipe: Recipe

    def error(self, at: Location, message: str) -> UsageError:
        """An error that names the line of `at`, for example ("train", "batch")."""
        return UsageError(f"{self.path}, line {line_of(self.text, at)}: {message}")


def shipped_names() -> list[str]:
    """Names of the recipes that come with kemb."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def read_recipe(name: str | Path) -> RecipeFile:
    """Read a recipe: a file, or the name of a shipped one.

    :raises UnknownName: when there is neither; UsageError, with the line, when it is not a recipe.
    """
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file():
        if str(name) not in shipped_names():
            shipped = ", ".join(shipped_names())
            hint = f"Type the path of a .toml file, or a shipped recipe's name: {shipped}."
            raise UnknownName("recipe", str(name), shipped_names(), hint)
        path = SHIPPED / f"{name}.toml"
    if not path.is_file():
        what = disk.what_is(path) if path.exists() else "does not exist"
        raise UsageError(
            f"The recipe {path} {what.removeprefix('it ')}. Type the path of a .toml file, or a "
            f"shipped recipe's name: {', '.join(shipped_names())}."
        )
    try:
        text = disk.read_text(path)
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The recipe {path} is no UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error
    except OSError as error:
        raise UsageError(f"The recipe {path} cannot be read: {error.strerror or error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        lines = text.splitlines()
        longest = max(range(len(lines)), key=lambda number: len(lines[number]))
        raise UsageError(
            f"{path} cannot be read ({str(error)[:80]}), probably for line {longest + 1}: "
            f"{lines[longest][:60]!r}. Write a number, or a list, of a usual size."
        ) from error
    try:
        return RecipeFile(path, text, Recipe.model_validate(table))
    except ValidationError as error:
        problems = [_explain(path, text, dict(entry)) for entry in error.errors()]
        raise UsageError(" ".join(problems)) from error


def _explain(path: Path, text: str, error: dict[str, Any]) -> str:
    """One sentence for one finding of pydantic."""
    at: Location = error["loc"]
    name = _written(at)
    line = f"{path}, line {line_of(text, at)}:"
    if error["type"] == "extra_forbidden":
        field_names = _fields_at(at[:-1])
        near = nearest(str(at[-1]), field_names, 1)
        offer = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(field_names)}."
        return f"{line} unknown key {name}. {offer}"
    if error["type"] == "missing":
        return f"{line} {name} is missing; it must be given."
    value_text = "" if isinstance(error["input"], dict) else f", given {error['input']!r}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{line} {name} {message}{value_text}." if name else f"{line} {message}{value_text}."


def _written(at: Location) -> str:
    return "".join(
        f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in at
    ).removeprefix(".")


def _fields_at(at: Sequence[str | int]) -> list[str]:
    """The keys that a section knows."""
    model: type[BaseModel] = Recipe
    for part in at:
        if isinstance(part, str) and part in model.model_fields:
            inner = [
                kind
                for kind in _types(model.model_fields[part].annotation)
                if issubclass(kind, BaseModel)
            ]
            model = inner[0] if inner else model
    return list(model.model_fields)


def _types(annotation: Any) -> list[type]:  # noqa: ANN401  whatever was annotated
    """All classes in an annotation, however deep."""
    inner = get_args(annotation)
    if not inner:
        return [annotation] if isinstance(annotation, type) else []
    return [kind for part in inner for kind in _types(part)]


_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\"'-]+)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([\w.\"'-]+)\s*=")


def line_of(text: str, at: Location) -> int:
    """The line, from 1, where a key stands, or else the closest section around it."""
    lines = _lines(text)
    return next((lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in lines), 1)


def _lines(text: str) -> dict[Location, int]:
    """Line of every section and key; tomllib keeps none."""
    line_of_location: dict[Location, int] = {}
    section: Location = ()
    in_string = False
    for number, line in enumerate(text.splitlines(), start=1):
        quoted = (line.count('"""') + line.count("'''")) % 2 == 1
        if not in_string:
            if header := _HEADER.match(line):
                section = _section(line_of_location, _parts(header[2]), is_array=header[1] == "[[")
                line_of_location.setdefault(section, number)
            elif key := _KEY.match(line):
                at = (*section, *_parts(key[1]))
                for n in range(len(section) + 1, len(at) + 1):
                    line_of_location.setdefault(at[:n], number)
        in_string ^= quoted
    return line_of_location


def _parts(dotted: str) -> Location:
    return tuple(part.strip("\"'") for part in dotted.split("."))


def _section(line_of_location: dict[Location, int], name: Location, is_array: bool) -> Location:
    """The location that a header opens; below `[[data]]`, `[data.source]` belongs to the last
    entry.
    """
    at: Location = ()
    for position, part in enumerate(name):
        at = (*at, part)
        items = [location for location in line_of_location if location[:-1] == at]
        n = sum(isinstance(location[-1], int) for location in items)
        if position == len(name) - 1 and is_array:
            return (*at, n)
        if n:
            at = (*at, n - 1)
    return at
