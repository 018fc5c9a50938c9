"""Which splits a language must have, and what to do where one is missing."""

from collections.abc import Collection, Mapping
from pathlib import Path

from amtss.config.schema import Data
from amtss.errors import DataError
from amtss.paths import SPLITS

CUT = ("test", "validation")
"""Splits that `cutting` can make of train."""


def optional(data: Data, present: Collection[str]) -> Collection[str]:
    """Splits that a language may lack: the unlabelled one, of which the gate warns; those that are
    cut off train; and if it has no train but unlabelled texts, all others, because it is a language
    without labels."""
    if "unlabelled" in present and "train" not in present:
        return SPLITS
    return ("unlabelled", *(CUT if data.splits.missing == "cut" else ()))


def check(data: Data, language: str, paths: Mapping[str, Path], present: Collection[str],
          found: str) -> None:
    """Check that a language has the splits that it must have.

    Args:
        paths: where each split should be.
        present: splits that it has.
        found: what there is in place of one that it lacks.

    Raises:
        DataError: one is missing.
    """
    for split, path in paths.items():
        if split not in present and split not in optional(data, present):
            fix = cure(split) if present else (
                "correct data.path or data.files in params.yaml, or say in data.configs what "
                f"{language} is called there")
            raise DataError(f"{path}: expected {language}'s split {split!r}, found {found}; {fix}")


def cure(split: str) -> str:
    """What to do where a language has other splits, but not this one."""
    name = f"set data.splits.{split} to its name in the source"
    if split in CUT:
        return f"{name}, or data.splits.missing: cut to cut it off train"
    return f"{name}, or name texts without labels in data.splits.unlabelled"


def beside(paths: Mapping[str, Path]) -> str:
    """What lies in the folder where a language's files should be, or in the first above it."""
    folder = next(iter(paths.values()))
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f", but {shown} in {folder}" if names else ""
