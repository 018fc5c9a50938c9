"""YAML 1.2 for params.yaml, presets and `--set`, read as DVC reads it.

`no` is text, `1e-05` is a number, `010` is ten, and a key that stands twice is an error. Unlike in
DVC, a date stays text: no setting is a date.
"""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from amtss.errors import ParamsError, first_line

FAILURES = (YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
            RecursionError)
"""What ruamel.yaml raises. All but the first come from tags that do not suit their values, such as
`!!bool x`, from an unknown version of YAML, or from thousands of nested brackets."""


def load(text: str, where: str = "YAML") -> Any:
    """The value of a YAML text: dicts, lists and scalars, never an object of another class.

    Args:
        where: what the error message begins with: the file or the option that `text` comes from.

    Raises:
        ParamsError: not YAML, or a key that stands twice.
    """
    yaml = YAML(typ="safe", pure=True)  # the C parser accepts more, and may not be installed
    yaml.Constructor = _Values
    return _load(yaml, text, where)


def load_document(text: str, where: str) -> Any:
    """Like `load`, but the value remembers comments, order, anchors and quotes for `dump`."""
    return _load(_round_trip(), text, where)


def dump(document: Any) -> str:
    """The YAML text of a value of `load` or `load_document`; ambiguous text is put in quotes."""
    stream = io.StringIO()
    _round_trip().dump(document, stream)
    return stream.getvalue()


class _Values(SafeConstructor):
    """Plain Python values; a date stays text."""


class _Document(RoundTripConstructor):
    """Values that remember how they were written; a date stays text."""


for _class in (_Values, _Document):
    _class.add_constructor("tag:yaml.org,2002:timestamp", _class.construct_yaml_str)


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.Constructor = _Document
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(yaml: YAML, text: str, where: str) -> Any:
    try:
        return yaml.load(text)
    except FAILURES as error:
        line = _line(error, text) if "\n" in text else ""
        problem = getattr(error, "problem", None) or first_line(error)
        problem = problem.partition(" with value ")[0]  # the whole section under a duplicate key
        problem = re.sub("^(but )?found ", "", problem)
        raise ParamsError(f"{where}{line}: expected YAML, found: {problem}; "
                          f"fix {'that line' if line else 'it'}") from error


def _line(error: Exception, text: str) -> str:
    """`:` and the number of the line with the error, or nothing where it is unknown."""
    if (mark := getattr(error, "problem_mark", None)) is not None:
        return f":{mark.line + 1}"
    if isinstance(error, ReaderError):  # a control character
        return f":{text.count(chr(10), 0, error.position) + 1}"
    return ""
