"""Which literal text (and route) goes before which input. Pure; docs/prompts.md says it in users'
words.

Sources are asked in order: a `--prompts` file, then the model TOML, or, where that says nothing of
prompts, the model's own `config_sentence_transformers.json`. The first source with an answer wins,
and within a source the most specific key, in the order of mteb
(`mteb/models/abs_encoder.py::get_prompt_name`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from kemb.errors import UsageError, nearest
from kemb.models.catalogue import parse, read_table
from kemb.models.spec import ModelSpec, PromptRules
from kemb.tasks.kinds import KINDS, by_mteb_name, roles, with_roles
from kemb.types import Input, Role, TaskType

PromptSource = Literal["file", "model TOML", "config_sentence_transformers.json", "python", "none"]

ROLES = ("query", "document")
DEFAULT_KEY = "default_prompt_name"
"""Key of sentence-transformers' default prompt. It has "query" and "document" prompts of its own,
empty ones if need be, so the default reaches only texts without a role.
"""
INSTRUCTION_KEY = "task instruction"


class PromptsFile(PromptRules):
    """A `--prompts` file: rules for every model of the command, or under `[models."<name>"]` for
    each.
    """

    name: str = ""
    description: str = ""
    models: dict[str, PromptRules] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """One source: literal prompts and routes by key."""

    source: PromptSource
    prompts: Mapping[str, str]
    routes: Mapping[str, str]
    template: str = ""
    """Where the task's own instruction is used, the template that makes it a prompt."""


@dataclass(frozen=True, slots=True)
class PromptTable:
    """All prompts of one model, most important source first, and what was found wrong in a foreign
    configuration.
    """

    layers: tuple[Layer, ...] = ()
    warnings: tuple[str, ...] = ()
    by_role: bool = False
    """Whether the role is the route where no layer names one: of models that treat queries and
    documents apart.
    """


NO_PROMPTS = PromptTable()


class Resolved(NamedTuple):
    """What goes before the texts of one role of one task, and why."""

    prompt: str
    route: str
    key: str
    source: PromptSource


class Explained(NamedTuple):
    """One line of `kemb prompts MODEL TASK`; `shown` is the final string of an example with visible
    line ends.
    """

    role: Role
    prompt: str
    route: str
    key: str
    source: PromptSource
    shown: str


def declares_prompts(spec: PromptRules) -> bool:
    """Whether a model's TOML says anything of prompts; if so, its own configuration file is not
    needed.
    """
    return bool(spec.model_fields_set & set(PromptRules.model_fields))


def build_prompts(
    spec: PromptRules | None,
    file: PromptRules | None,
    st_config: Mapping[str, Any] | None,
    tasks: Collection[str],
) -> PromptTable:
    """Gather the prompts of a model.

    :param spec: the model's TOML; if it sets any prompt field, be it to nothing, `st_config` is not
        looked at.
    :param file: the rules of a `--prompts` file for this model. What they leave out comes from the
        sources below.
    :param st_config: the content of the model's `config_sentence_transformers.json`.
    :param tasks: the names of all tasks known here; other words are no keys.
    :raises UsageError: for a key of `spec` or `file` that no task can reach, and for a missing
        template.
    """
    layers: list[Layer] = []
    warnings: list[str] = []
    template = spec.instruction_template if spec else ""
    if file is not None:
        layers.append(_own_layer("file", file, file.instruction_template or template, tasks))
    if spec is not None and declares_prompts(spec):
        layers.append(_own_layer("model TOML", spec, template, tasks))
    elif st_config is not None:
        layers.append(_foreign_layer(st_config, tasks, warnings))
    return PromptTable(tuple(layers), tuple(warnings))


def resolve(
    table: PromptTable,
    task: str,
    task_type: TaskType,
    instruction: str | Mapping[str, str],
    role: Role,
) -> Resolved:
    """The prompt and route of a role.

    :param instruction: the task's own instruction (TaskSpec.instruction).
    """
    if role == "text":
        order = [task, task_type, DEFAULT_KEY]
    else:
        order = [f"{task}-{role}", task, f"{task_type}-{role}", task_type, role]
    own_instruction = (
        ""
        if role == "document"
        else instruction
        if isinstance(instruction, str)
        else instruction.get(role, "")
    )
    route = next(
        (layer.routes[key] for layer in table.layers for key in order if key in layer.routes), None
    )
    if route is None:
        route = role if table.by_role and role != "text" else ""
    for layer in table.layers:
        for key in order:
            if key in layer.prompts:
                return Resolved(layer.prompts[key], route, key, layer.source)
            if key == task and own_instruction and layer.template:
                return Resolved(
                    _fill(layer.template, own_instruction), route, INSTRUCTION_KEY, layer.source
                )
    return Resolved("", route, "", "none")


def prompted(
    table: PromptTable,
    task: str,
    task_type: TaskType,
    instruction: str | Mapping[str, str],
    role: Role,
    text: str,
) -> Input:
    """A text as the encoder sees it (for many texts of one column, call `resolve` once)."""
    resolved = resolve(table, task, task_type, instruction, role)
    return Input(resolved.route, resolved.prompt, text)


def explain(
    table: PromptTable,
    task: str,
    task_type: TaskType,
    instruction: str | Mapping[str, str],
    text: str = "예시 문장",
) -> list[Explained]:
    """For each role of the task, the exact string an example text becomes, and where it
    comes from.
    """
    rows = []
    for role in roles(task_type):
        resolved = resolve(table, task, task_type, instruction, role)
        rows.append(Explained(role, *resolved, shown=repr(resolved.prompt + text)))
    return rows


def read_prompts_file(path: Path) -> PromptsFile:
    """Read a `--prompts` file, TOML or JSON.

    :raises UsageError: when it cannot be read, has unknown keys, or has rules both at the top and
        per model.
    """
    file = parse(PromptsFile, read_table(path), path)
    if file.models and declares_prompts(file):
        raise UsageError(
            f"{path} has prompts at the top, for every model, and under [models]. Keep one of the "
            "two: move the "
            'rules at the top under [models."<model name>"].'
        )
    return file


def rules_of_file(path: Path | None, spec: ModelSpec) -> PromptRules | None:
    """What a `--prompts` file says of a model; None without a file.

    :raises UsageError: as `read_prompts_file` and `rules_for`.
    """
    return rules_for(read_prompts_file(path), spec.name, spec.hub) if path else None


def prompts_label(path: Path) -> str:
    """What a prompts file adds to the name of a variant: its name and a hash of its content."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-")
    return f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def rules_for(file: PromptsFile, model: str, hub: str | None = None) -> PromptRules:
    """The rules of a prompts file for one model: under its name, else under the hub id it is a
    variant of.

    :raises UsageError: when the file has rules per model and none for this one.
    """
    if not file.models:
        return file
    by_lower = {name.lower(): rules for name, rules in file.models.items()}
    for name in (model, hub or ""):
        if name.lower() in by_lower:
            return by_lower[name.lower()]
    raise UsageError(
        f"The prompts file {file.name or 'given'} has nothing for the model {model}; it has "
        f"{', '.join(file.models)}. "
        f'Leave the model out, or add [models."{model}"], empty if its own prompts are meant.'
    )


def _own_layer(
    source: PromptSource, rules: PromptRules, template: str, tasks: Collection[str]
) -> Layer:
    where = "the prompts file" if source == "file" else source
    for key in (*rules.prompts, *rules.instructions, *rules.routes):
        if not _reachable(key, tasks):
            keys = [
                *ROLES,
                *KINDS,
                *(f"{kind}-{role}" for kind in with_roles() for role in ROLES),
                *tasks,
            ]
            near = nearest(by_mteb_name().get(key, key), keys)
            raise UsageError(
                f"Prompt key {key!r} ({where}) is reached by no "
                f"task.{f' Did you mean {near[0]}?' if near else ''} "
                f"Keys are query, document, a task type ({', '.join(KINDS)}), a task name, and, "
                "where texts have roles, either of the last two with -query or -document."
            )
    needs_template = bool(rules.instructions) or rules.use_task_instructions
    if needs_template and "{instruction}" not in template:
        raise UsageError(
            f"The instructions ({where}) need an instruction_template that contains "
            f"{{instruction}}, given {template!r}. Type for example: "
            'instruction_template = "Instruct: {instruction}\\nQuery: "'
        )
    instructed = {
        key: _fill(template, text) if text else "" for key, text in rules.instructions.items()
    }
    return Layer(
        source,
        {**instructed, **rules.prompts},
        rules.routes,
        template if rules.use_task_instructions else "",
    )


def _foreign_layer(config: Mapping[str, Any], tasks: Collection[str], warnings: list[str]) -> Layer:
    """The prompts of `config_sentence_transformers.json`, with mteb's names of task types made
    ours.
    """
    source: PromptSource = "config_sentence_transformers.json"
    saved = {str(key): str(text or "") for key, text in dict(config.get("prompts") or {}).items()}
    prompts: dict[str, str] = {}
    types = by_mteb_name()
    for name, text in saved.items():
        base, dash, role = name.rpartition("-")
        is_of_type = dash and base in types
        key = f"{types[base]}-{role}" if is_of_type else types.get(name, name)
        if _reachable(key, tasks):
            prompts[key] = text
        elif text and name != config.get(DEFAULT_KEY):
            warnings.append(
                f"{source}: no task reaches the prompt key {name!r}; its text {text!r} is not used."
            )
    default = config.get(DEFAULT_KEY)
    if default in saved:
        prompts[DEFAULT_KEY] = saved[default]
    elif default:
        warnings.append(
            f"{source}: {DEFAULT_KEY} is {default!r}, which is not among its prompts; none is used."
        )
    return Layer(source, prompts, {})


def _reachable(key: str, tasks: Collection[str]) -> bool:
    if key in ROLES or key in KINDS or key in tasks:
        return True
    base, dash, role = key.rpartition("-")
    return bool(dash) and role in ROLES and (base in with_roles() or base in tasks)


def _fill(template: str, instruction: str) -> str:
    return template.replace("{instruction}", instruction)
