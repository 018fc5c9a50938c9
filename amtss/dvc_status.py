"""What DVC says has changed since the stages ran."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amtss.errors import AmtssError

Differences = Sequence[Any]
"""What `dvc status` says of a stage: words, or dicts of a kind of files, then of their changes."""
MISSING = ("deleted", "not in cache")
"""What it says of a file that is not here, which does not make the results wrong."""


def status(root: Path, *arguments: str, wait: bool = False) -> dict[str, Differences]:
    """Stage -> its differences, for the stages that have any.

    Args:
        arguments: of `dvc status`.
        wait: until no other DVC command is running in this folder.

    Raises:
        AmtssError: DVC refuses.
    """
    options = ["--wait-for-lock"] if wait else []
    done = subprocess.run([sys.executable, "-m", "dvc", *options, "status", "--json", *arguments],
                          cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AmtssError(f"dvc.lock: expected `dvc status` to succeed, found: "
                         f"{done.stderr.strip().partition(chr(10))[0]}; fix that, then run the "
                         "same command again")
    found: dict[str, Differences] = json.loads(done.stdout)
    return found


def changes(differences: Differences) -> Iterator[str]:
    """What makes a stage stale: paths of files that are here and differ from what it has read or
    written, or the words of DVC."""
    for difference in differences:
        if isinstance(difference, dict):
            for files in difference.values():
                yield from (path for path, change in files.items() if change not in MISSING)
        else:
            yield str(difference)
