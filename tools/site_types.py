"""Writes frontend/src/schema.ts: TypeScript types of the site's data, from
kemb.publishing.site.schema.

Run by hand (`python tools/site_types.py`) when the schema changes; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kemb.publishing.site import schema

OUT = Path(__file__).parent.parent / "frontend" / "src" / "schema.ts"
_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def main() -> None:
    OUT.write_text(render(), encoding="utf-8")
    print(OUT)


def render() -> str:
    """The whole file: one interface per model, in the order of their names."""
    found: dict[str, dict[str, Any]] = {}
    for model in schema.ALL:
        definition = model.model_json_schema()
        found |= definition.pop("$defs", {})
        found[model.__name__] = definition
    head = [
        "// Written by tools/site_types.py from src/kemb/publishing/site/schema.py; do not edit.",
        f"export const SCHEMA_VERSION = {schema.SCHEMA_VERSION};",
    ]
    return (
        "\n\n".join(["\n".join(head), *(_interface(name, found[name]) for name in sorted(found))])
        + "\n"
    )


def _interface(name: str, definition: dict[str, Any]) -> str:
    about = " ".join(definition["description"].split("\n\n")[0].split())
    fields = [f"  {key}: {_type(value)};" for key, value in definition["properties"].items()]
    return "\n".join([f"/** {about} */", f"export interface {name} {{", *fields, "}"])


def _type(value: dict[str, Any]) -> str:
    """:raises KeyError: for what the schema has not used so far."""
    if "$ref" in value:
        return str(value["$ref"]).rsplit("/", 1)[-1]
    if "enum" in value:
        return " | ".join(json.dumps(choice) for choice in value["enum"])
    if "anyOf" in value:
        return " | ".join(_type(choice) for choice in value["anyOf"])
    if value["type"] == "array":
        item = _type(value["items"])
        return f"({item})[]" if " | " in item else f"{item}[]"
    if value["type"] == "object":
        return f"Record<string, {_type(value['additionalProperties'])}>"
    return _PLAIN[value["type"]]


if __name__ == "__main__":
    main()
