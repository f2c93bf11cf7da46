"""Options that several verbs share, and what their values mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click

from kemb.messages import LANGS, Text, language, printable, say, use_language

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class PathOr(click.Path):
    """A path, or an address that is none: what a test says is one is taken as it was typed."""

    def __init__(self, name: str, is_address: str, **options: Any) -> None:  # noqa: ANN401  click's
        """:param is_address: dotted name of the test; imported when a value is there."""
        super().__init__(path_type=Path, **options)
        self.name, self._is_address = name, is_address

    def convert(
        self,
        value: Any,  # noqa: ANN401  as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401  as click has it
        is_address = resolve_name(self._is_address)(value)
        return value if is_address else super().convert(value, param, ctx)


OWN_DATA = PathOr("DIR|ORG/NAME", "kemb.tasks.own.hub_sets:parse", exists=True)
"""A folder or a file that is here, or a data set of the hub."""


def hear(text: Text) -> None:
    """Say what a verb does, on stderr."""
    click.echo(printable(say(text, language())), err=True)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="KEMB_DATA",
    help="Folder with local copies of data sets (kemb tasks fetch).",
)
results_option = click.option(
    "--results",
    "results_dir",
    type=FOLDER,
    default=Path("results"),
    show_default=True,
    help="Folder of result files.",
)
store_option = click.option(
    "--store",
    "store_dir",
    type=PathOr("DIR|URL", "kemb.encoding.objects:is_address", file_okay=False),
    help="Folder of the vector store, or s3://BUCKET/PREFIX, gs://...  [$KEMB_STORE]",
)


lang_option = click.Option(
    ["--lang"],
    type=click.Choice(LANGS),
    expose_value=False,
    is_eager=True,
    callback=lambda ctx, option, lang: use_language(lang),
    help="Language of sentences.  [that of the locale]",
)
"""On every verb (`add_lang`); a verb without it speaks the language of the locale."""


def add_lang(command: click.Command) -> None:
    """Give a verb, or every verb of a group, `--lang`."""
    if isinstance(command, click.Group):
        for verb in command.commands.values():
            add_lang(verb)
    elif lang_option not in command.params:
        command.params.append(lang_option)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a model is loaded."""
    for option in (
        click.option(
            "--api-base",
            default="",
            envvar="KEMB_API_BASE",
            help="Address of an API, for -m api:NAME.",
        ),
        click.option(
            "--trust-remote-code", is_flag=True, help="Run code from the model's repository."
        ),
        click.option(
            "--as",
            "known_as",
            metavar="ORG/NAME|none",
            help="Known model whose settings a folder gets.  [what its content is]",
        ),
        click.option("--prompts", "prompts_file", help="Prompts file, or a shipped profile."),
        click.option(
            "--pooling",
            type=click.Choice(["mean", "cls", "last"]),
            help="For plain transformers models.",
        ),
        click.option(
            "--max-tokens", type=click.IntRange(1), help="Cut inputs after so many tokens."
        ),
        click.option(
            "--backend-file", default="", help="File for --backend.  [onnx/model.onnx or the like]"
        ),
        click.option(
            "--backend",
            type=click.Choice(["onnx", "openvino"]),
            help="Compute such a file of the model.",
        ),
        click.option(
            "--dtype",
            help="float32, float16 (fp16) or bfloat16 (bf16).  [on a CPU float32, else as "
            "published]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            help="Processes that encode side by side on the CPU.",
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            help="cpu, cuda, cuda:1, mps; cuda:0,cuda:1 both.",
        ),
    ):
        command = option(command)
    return command


def in_one(
    name: str, *options: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options whose values reach the command together, as a table `name`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def call(**values: Any) -> Any:  # noqa: ANN401  of any command
            table = {option.name: values.pop(option.name) for option in table_options}
            return command(**values, **{name: table})

        wrapped = functools.wraps(command)(call)
        n_before = len(getattr(command, "__click_params__", []))
        for option in reversed(options):
            wrapped = option(wrapped)
        table_options: list[click.Parameter] = wrapped.__click_params__[n_before:]  # type: ignore[attr-defined]
        return wrapped

    return decorate


llm_address = (
    click.option(
        "--llm-base",
        "base_url",
        default="",
        help="Address of its endpoint, of OpenAI's dialect; the key is in KEMB_LLM_KEY.",
    ),
    click.option(
        "--llm-price",
        "price",
        default="",
        metavar="IN,OUT",
        help="US dollars for a million tokens that it reads, and that it writes.",
    ),
)
"""Where a language model is, and what it costs; after the option that names it."""
llm_consent = (
    click.option("--prompts", type=FILE, help="A file of prompts in place of kemb's own."),
    click.option("--yes", "is_agreed", is_flag=True, help="Text may go to another machine."),
)
"""What it is told, and whether it may be told at all."""

view_options = in_one(
    "views",
    click.option("--dims", default="", help="Rows with fewer dimensions too: 1024,512."),
    click.option(
        "--quantize",
        "levels",
        default="",
        help="Rows with coarser numbers too: int8,binary,binary@100.",
    ),
    click.option(
        "--similarity",
        "similarities",
        default="",
        help="Rows by dot, euclidean, manhattan or cosine too.",
    ),
)


def task_names(targets: tuple[str, ...]) -> list[str]:
    """Task names, with benchmarks replaced by their tasks."""
    from kemb.evaluation.targets import task_targets

    return [name for name, _ in task_targets(targets)]
