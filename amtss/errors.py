"""Errors that a user can fix. Every message is one line: where, expected, found, and what fixes it.

    AmtssError            also a file that is missing or altered, whatever it holds
    ├── ParamsError       params.yaml or a preset does not say what it must
    ├── DataError         a source, a corpus or its validation
    ├── CheckpointError   a model folder or hub checkpoint that cannot be used
    ├── CacheError        a logits cache that is missing, incomplete or stale
    ├── RegistryError     the model registry, a version in it, or a promotion that is refused
    └── AlteredError      a file of an earlier stage that is not what it has written
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AmtssError(Exception):
    """An error whose message says how to fix it; the CLI prints it without a traceback."""


class ParamsError(AmtssError):
    """params.yaml or a preset does not say what it must.

    Its message is about the first mistake; `lines` is one about each, where there are several.
    """

    def __init__(self, message: str, lines: "Sequence[str]" = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines) or (message,)


class DataError(AmtssError):
    """A source, a corpus or its validation."""


class CheckpointError(AmtssError):
    """A model folder or hub checkpoint that cannot be used."""


class CacheError(AmtssError):
    """A logits cache that is missing, incomplete or stale."""


class RegistryError(AmtssError):
    """The model registry, a version in it, or a promotion that is refused."""


class AlteredError(AmtssError):
    """A file of an earlier stage that is not what it has written."""

    def __init__(self, path: "Path", message: str) -> None:
        super().__init__(message)
        self.path = path


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not blank, or else the name of its class."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__
