"""params.yaml -> `Params`, or one line that says what is wrong."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from amtss.config.schema import Params
from amtss.errors import ParamsError
from amtss.files import write_bytes
from amtss.paths import Layout


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: no such file, not YAML, an unknown key, a wrong type or value.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except FileNotFoundError:
        raise ParamsError(f"{path}: expected a file, found none; run in the project's folder, or "
                          "write one with `amtss preset demo`") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: expected UTF-8, found {error.reason} at byte "
                          f"{error.start}; save it as UTF-8") from error
    except OSError as error:
        raise ParamsError(f"{path}: expected a file, found: {error.strerror}; write one with "
                          "`amtss preset demo`") from error
    except ValueError as error:  # a date such as 2024-13-01
        raise ParamsError(f"{path}: expected YAML, found: {error}; put what looks like a date in "
                          "quotes") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "a syntax error"
        raise ParamsError(f"{path}{line}: expected YAML, found: {problem}; "
                          "mend that line") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected keys and values, found {_kind(raw)}; write one with "
                          "`amtss preset demo`")
    try:
        return Params.model_validate(_tuples(raw))
    except ValidationError as error:
        raise ParamsError(_one_line(path, error)) from error


class _Loader(yaml.SafeLoader):
    """YAML where a key that stands twice is an error: PyYAML takes the last in silence."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} a second time", problem_mark=key.start_mark)
            seen.add(str(key.value))
        super().flatten_mapping(node)


def _tuples(value: Any) -> Any:
    """YAML's lists as tuples: strict pydantic takes nothing else for a frozen sequence."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(each) for each in value)
    return value


def _kind(value: Any) -> str:
    """The type of `value` as YAML has it."""
    name = type(value).__name__
    return {"tuple": "list", "dict": "keys and values", "NoneType": "null"}.get(name, name)


def _one_line(path: Path, error: ValidationError) -> str:
    """The first of pydantic's complaints in this project's form."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    found = first["input"]
    more = len(error.errors()) - 1
    others = f" (and {more} more)" if more else ""
    where = f"{path}: {key + ': ' if key else ''}"
    if first["type"] == "extra_forbidden":
        return f"{where}unknown key{others}; remove it or mend its spelling"
    if first["type"] == "missing":
        return f"{where}expected a value, found none{others}; add the key"
    if first["type"] == "value_error":
        return f"{where}{first['msg'].removeprefix('Value error, ')}{others}; edit {path.name}"
    hint = f"edit {path.name}"
    if isinstance(found, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?e[+-]?\d+", found, re.I):
        mantissa, exponent = found.lower().split("e")
        hint = f"YAML reads {found} as text: write {float(mantissa)}e{int(exponent):+d}"
    elif isinstance(found, bool) and "string" in first["type"]:
        hint = "YAML reads no, yes, on and off as booleans: put it in quotes"
    message = re.sub("^(Input|Keys) should be", "expected", first["msg"])
    message = re.sub("^String should match", "expected text that matches", message)
    message = re.sub("a valid dictionary.*", "keys and values", message).replace("tuple", "list")
    shown = repr(found) if len(repr(found)) <= 60 else f"{repr(found)[:60]}…"
    return f"{where}{message}, found {shown} ({_kind(found)}){others}; {hint}"


def load_project() -> tuple[Params, Layout]:
    """The settings and the paths of the working directory's project."""
    layout = Layout(Path())
    return load_params(layout.params), layout


def preset_names(layout: Layout) -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in (layout.root / "params").glob("*.yaml"))


def activate_preset(layout: Layout, name: str, *, force: bool = False) -> None:
    """Write preset `name` over params.yaml.

    Raises:
        ParamsError: no such preset, the preset is wrong, or params.yaml is somebody's own work.
    """
    folder = layout.root / "params"
    if name not in preset_names(layout):
        raise ParamsError(f"preset: expected one of {', '.join(preset_names(layout)) or 'none'} "
                          f"({folder}/), found {name!r}; name one of them")
    known = [(folder / f"{each}.yaml").read_bytes() for each in preset_names(layout)]
    if not force and layout.params.exists() and layout.params.read_bytes() not in known:
        raise ParamsError(f"{layout.params}: expected an unedited preset, found your own "
                          f"settings; keep a copy, then `amtss preset {name} --force`")
    load_params(folder / f"{name}.yaml")
    write_bytes(layout.params, (folder / f"{name}.yaml").read_bytes())
