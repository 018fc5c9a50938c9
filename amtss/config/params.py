"""params.yaml -> `Params`, or one line that says what is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from amtss.config import yaml
from amtss.config.schema import Params
from amtss.errors import ParamsError
from amtss.files import write_bytes
from amtss.paths import Layout

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: no such file, not YAML, an unknown key, a wrong type or value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: expected a file, found none; run in the project's folder, or "
                          "write one with `amtss init FOLDER` or `amtss preset demo`") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: expected UTF-8, found {error.reason} at byte "
                          f"{error.start}; save it as UTF-8") from error
    except OSError as error:
        raise ParamsError(f"{path}: expected a file, found: {error.strerror}; write one with "
                          "`amtss preset demo`") from error
    values = yaml.load(text, str(path))
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected keys and values, found {_kind(values)}; write one "
                          "with `amtss preset demo`")
    try:
        return Params.model_validate(_tuples(values))
    except RecursionError:
        raise ParamsError(f"{path}: expected lists and sections, found one that contains itself; "
                          "remove its alias") from None
    except ValidationError as error:
        lines = [line for details in error.errors() for line in _lines(path, details)]
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        what, fix = lines[0].rsplit("; ", 1)
        raise ParamsError(f"{what}{more}; {fix}", lines) from error


def _tuples(value: Any) -> Any:
    """YAML's lists as tuples, because the settings are frozen and strict."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _kind(value: Any) -> str:
    """The type of `value` in YAML's words."""
    name = type(value).__name__
    return {"tuple": "list", "dict": "keys and values", "NoneType": "null"}.get(name, name)


def _lines(path: Path, error: "ErrorDetails") -> Iterator[str]:
    """One of pydantic's errors in this project's form; a line for each that it stands for."""
    parts = [str(part) for part in error["loc"]]
    if parts[:1] == ["teachers"]:
        del parts[2:3]  # the kind, which is no key
    key = ".".join(parts)
    where = f"{path}: {key + ': ' if key else ''}"
    if error["type"] == "extra_forbidden":
        yield f"{where}unknown key; remove it or correct its spelling"
    elif error["type"] == "missing":
        yield f"{where}expected a value, found none; add the key"
    elif error["type"] == "value_error":
        for message in error["ctx"]["error"].args:
            yield f"{where}{message}; edit {path.name}"
    else:
        yield f"{where}{_expected(error)}; edit {path.name}"


def _expected(error: "ErrorDetails") -> str:
    """What was expected and found where a value is of a wrong type or beyond its limits."""
    value = error["input"]
    message = re.sub("^(Input|Keys) should be", "expected", error["msg"])
    message = re.sub("^String should match", "expected text that matches", message)
    message = re.sub("a valid dictionary.*", "keys and values", message).replace("tuple", "list")
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
    return f"{message}, found {shown} ({_kind(value)})"


def load_project() -> tuple[Params, Layout]:
    """The settings and the paths of the working directory's project."""
    layout = Layout(Path())
    return load_params(layout.params), layout


def preset_names(layout: Layout) -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in (layout.root / "params").glob("*.yaml"))


def check_unedited(layout: Layout, command: str, force: bool) -> None:
    """Check that `command` may write params.yaml.

    Raises:
        ParamsError: it is no preset as it was, and `force` is not set.
    """
    presets = [(layout.root / "params" / f"{name}.yaml").read_bytes()
               for name in preset_names(layout)]
    if not force and layout.params.exists() and layout.params.read_bytes() not in presets:
        raise ParamsError(f"{layout.params}: expected an unedited preset, found your own "
                          f"settings; keep a copy, then `{command} --force`")


def activate_preset(layout: Layout, name: str, *, force: bool = False) -> None:
    """Write preset `name` over params.yaml.

    Raises:
        ParamsError: no such preset, the preset is wrong, or params.yaml was edited by hand and
            `force` is not set.
    """
    folder = layout.root / "params"
    names = preset_names(layout)
    if name not in names:
        raise ParamsError(f"preset: expected one of {', '.join(names) or 'none'} "
                          f"({folder}/), found {name!r}; name one of them")
    check_unedited(layout, f"amtss preset {name}", force)
    load_params(folder / f"{name}.yaml")
    write_bytes(layout.params, (folder / f"{name}.yaml").read_bytes())
