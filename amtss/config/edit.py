"""params.yaml with new languages in it: its text changed, its comments kept."""

import io
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import yaml

from amtss.config.schema import ALL, Onboarding, Params
from amtss.errors import ParamsError


def pinned(text: str, params: Params, origin: Onboarding, data: str | None,
           checkpoint: str | None) -> str:
    """params.yaml's text with the new languages, their teachers and where to go on from.

    Comments stay. `all` becomes the languages it has meant, so that no old teacher starts again.

    Args:
        params: what `text` says.
        data: the new language's config or folder in the source, where that is not its code.
        checkpoint: of its teacher, where that is not as most teachers'.
    """
    document = _read(text)
    old = list(params.languages)
    for section in document["teachers"].values():
        for key in ("languages", "scores"):
            if ALL in (section.get(key) or ()):
                section[key] = _flow(old)
    document["languages"] = _flow([*old, *(c for c in origin.languages if c not in old)])
    for code in origin.languages:
        name = teacher_name(code)
        if name not in document["teachers"]:
            document["teachers"][_quoted(name)] = _teacher(document, params, code, checkpoint)
            if params.distil.teachers is not None:
                document["distil"]["teachers"].append(_quoted(name))
        if data is not None:
            document.setdefault("data", {}).setdefault("configs", {})[_quoted(code)] = data
    document["onboarding"] = {"version": origin.version,
                              "fingerprint": _quoted(origin.fingerprint),
                              "languages": _flow(origin.languages)}
    return _written(document)


def _teacher(document: Any, params: Params, code: str, checkpoint: str | None) -> Any:
    """A teacher like most of those of one language."""
    single = [name for name in params.teachers if len(params.taught_on(name)) == 1]
    like = Counter(params.teachers[name].model_dump_json(exclude={"languages", "scores"})
                   for name in single or params.teachers).most_common(1)[0][0]
    name = next(name for name in single or params.teachers if like == params.teachers[
        name].model_dump_json(exclude={"languages", "scores"}))
    made = {"languages": _flow([code])}
    made |= {key: deepcopy(value) for key, value in document["teachers"][name].items()
             if key not in ("languages", "scores")}
    if checkpoint is not None:
        made.pop("architecture", None)
        made.pop("revision", None)
        made["checkpoint"] = checkpoint
    return made


def changed(text: str, changes: Sequence[str]) -> str:
    """params.yaml's text after `key=value` changes.

    Raises:
        ParamsError: a change is not of that form, or its key leads nowhere.
    """
    if not changes:
        return text
    document = _read(text)
    for change in changes:
        key, found, value = change.partition("=")
        if not found or not key:
            raise ParamsError(f"--set: expected KEY=VALUE, found {change!r}; write for example "
                              "--set continuation.max_epochs=3")
        section = document
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParamsError(f"--set: {key}: expected a section of params.yaml before the last "
                              "dot, found none; mend the key")
        section[last] = yaml.safe_load(value)
    return _written(document)

def teacher_name(code: str) -> str:
    """Of a language's own teacher; DVC and Params take no hyphen in it."""
    return code.replace("-", "_")


def _read(text: str) -> Any:
    return _yaml().load(text)


def _written(document: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _yaml() -> Any:
    """A reader and writer that keeps comments, order and quotes."""
    from ruamel.yaml import YAML

    made = YAML()
    made.preserve_quotes = True
    made.width = 4096
    made.indent(mapping=2, sequence=4, offset=2)
    return made


def _flow(codes: Sequence[str]) -> Any:
    """`[ar, no]` in one line."""
    from ruamel.yaml.comments import CommentedSeq

    made = CommentedSeq(_quoted(code) for code in codes)
    made.fa.set_flow_style()
    return made


def _quoted(text: str) -> str:
    """In quotes where YAML would read something else than text: `no`, `1e10`."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return text if yaml.safe_load(text) == text else DoubleQuotedScalarString(text)
