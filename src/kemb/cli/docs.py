"""The verb `docs`: the pages of the documentation, as they are installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

_PACKAGE = Path(__file__).parents[1]
_LIST = "README"
_ROW = re.compile(r"^\| \[([\w.-]+)\.md\]\(\1\.md\) \| (.+) \|$", re.MULTILINE)


def docs_dir() -> Path:
    """The folder of the pages: inside the package where kemb was installed from a wheel, else the
    repository's.

    :raises RunError: where neither is there.
    """
    folders = (_PACKAGE / "docs", _PACKAGE.parents[1] / "docs")
    for folder in folders:
        if (folder / f"{_LIST}.md").is_file():
            return folder
    from kemb.errors import RunError

    raise RunError(
        f"The pages of the documentation are missing: neither {folders[0]} nor {folders[1]} has "
        "them. Install kemb again."
    )


def pages() -> dict[str, str]:
    """The name of every page and what it is about: in reading order, as docs/README.md lists them;
    pages that it does not list come last.
    """
    folder = docs_dir()
    listed = dict(_ROW.findall((folder / f"{_LIST}.md").read_text(encoding="utf-8")))
    names = sorted(path.stem for path in folder.glob("*.md") if path.stem != _LIST)
    return listed | {name: "" for name in names if name not in listed}


def page(name: str) -> str:
    """The text of a page.

    :param name: as `pages` has it; also with `.md` behind it and `docs/` before it.
    :raises UnknownName: when there is no such page.
    """
    about = pages()
    bare = name.removeprefix("docs/").removesuffix(".md").lower()
    if bare not in about:
        from kemb.errors import UnknownName

        raise UnknownName("page", name, about, "Type `kemb docs` for all.")
    return (docs_dir() / f"{bare}.md").read_text(encoding="utf-8")


@click.command()
@click.argument("name", metavar="[PAGE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def docs(name: str | None, as_json: bool) -> None:
    """List the pages of the documentation, or show one; in a pager where stdout is a terminal.

    \b
    Examples:
      kemb docs
      kemb docs own-data
      kemb docs own-data > own-data.md
    """
    if name is None and as_json:
        rows = [{"page": each, "about": about} for each, about in pages().items()]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    elif name is None:
        about = pages()
        width = max(map(len, about))
        for each, line in about.items():
            click.echo(f"{each:<{width}}  {line}".rstrip())
    elif as_json:
        click.echo(json.dumps({"page": name, "text": page(name)}, ensure_ascii=False, indent=1))
    else:
        click.echo_via_pager(page(name))
