"""docs/params.md, made from the settings: `python -m amtss.config.reference > docs/params.md`."""

import json
from collections.abc import Iterator
from typing import Any

from amtss.config.schema import Params

HEAD = """\
# params.yaml

Every key of `params.yaml`, made from `amtss/config/` by
`python -m amtss.config.reference > docs/params.md`. Keys with a default may be left out, and so may
sections all of whose keys have one. The file is YAML 1.2; `params/` has ready ones."""
COLUMNS = "| key | values | default | meaning |\n| --- | --- | --- | --- |"
REPEATED = {"TeachingOverrides"}
"""Sections whose keys another section describes."""
Schema = dict[str, Any]


def reference() -> str:
    """The Markdown text: a table for each section of params.yaml."""
    schema = Params.model_json_schema()
    sections: Schema = {}
    single: Schema = {}
    for key, value in schema["properties"].items():
        kinds = value.get("additionalProperties", {}).get("oneOf", ())
        for kind in kinds:
            name = schema["$defs"][_named(kind)]["properties"]["kind"]["const"]
            sections[f"{key}.NAME, kind: {name}"] = kind
        if not kinds:
            (sections if _named(value) else single)[key] = value
    parts = [HEAD, "## Keys without a section", _table(single, schema["$defs"])]
    for key, value in sections.items():
        section = schema["$defs"][_named(value)]
        parts += [f"## {key}", " ".join(section["description"].split()),
                  _table(section["properties"], schema["$defs"], value.get("default"))]
    return "\n\n".join(parts) + "\n"


def _table(keys: Schema, definitions: Schema, default: Schema | None = None) -> str:
    return "\n".join([COLUMNS, *_rows(keys, definitions, default or {})])


def _rows(keys: Schema, definitions: Schema, defaults: Schema, prefix: str = "") -> Iterator[str]:
    """A row per key; a section's keys follow it.

    Args:
        keys: the properties of a section in its JSON schema.
        defaults: values of the section where it is left out, which win over the keys' own.
    """
    for key, value in keys.items():
        name = _named(value)
        section = definitions.get(name, {})
        default = defaults.get(key, value.get("default", ...))
        shown = "required" if default is ... else "" if section else f"`{json.dumps(default)}`"
        text = " ".join((value.get("description") or section["description"]).split())
        yield f"| `{prefix}{key}` | {_values(value)} | {shown} | {text} |".replace("|  |", "| |")
        if section and name not in REPEATED:
            yield from _rows(section["properties"], definitions, default, f"{prefix}{key}.")


def _named(value: Schema) -> str:
    """The name of the section that a key, or each of its entries, holds; empty for others."""
    for part in (value, value.get("additionalProperties", {}), *value.get("anyOf", ())):
        if "$ref" in part:
            return str(part["$ref"].rpartition("/")[2])
    return ""


def _values(value: Schema) -> str:
    """Which values a key takes, in words."""
    if "anyOf" in value:
        return " or ".join(map(_values, value["anyOf"]))
    if "enum" in value or "const" in value:
        return " or ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    if "$ref" in value:
        return "section"
    if value["type"] == "array":
        return f"list of {_values(value['items'])}"
    words = {"string": "text", "boolean": "`true` or `false`", "object": "text -> text",
             "integer": "whole number", "number": "number", "null": "null"}[value["type"]]
    limits = [f"{word} {value[key]}" for key, word in (
        ("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"),
        ("exclusiveMaximum", "below")) if key in value]
    pattern = f" that matches `{value['pattern']}`" if "pattern" in value else ""
    return " ".join([words, *limits]) + pattern


if __name__ == "__main__":
    print(reference(), end="")
