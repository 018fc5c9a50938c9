"""Checkpoints of a student's training: a folder per epoch, of which the last and the best are kept.

A folder `epoch-N` holds the student's weights, the optimiser's moments and the `Progress`, and is
sealed.
"""

import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from amtss.errors import AmtssError
from amtss.files import read_json, replacing, seal, verify, write_json

WEIGHTS = "model.safetensors"
MOMENTS = "optimizer.safetensors"
PROGRESS = "progress.json"


@dataclass
class Progress:
    """What a checkpoint remembers besides tensors; JSON."""

    fingerprint: str
    """Hash of everything the training depends on; it resumes only from a checkpoint with the same.
    """
    epoch: int = 0
    examples: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    """Whose weights the training ends with; see `results.record`."""
    best_accuracy: float = -1.0
    """The highest of any epoch, in points."""
    history: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    """The stage's own: for Algorithm 1 the fields of its `State`."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """The gradient scaler's state, where precision is fp16."""


class Checkpoint(NamedTuple):
    """An epoch's end, from which a training resumes."""

    progress: Progress
    weights: dict[str, Tensor]
    """Of the student."""
    moments: dict[str, Tensor]
    """Of the optimiser."""


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the whole of `folder/epoch-N`, then remove all others but the best epoch's."""
    progress = checkpoint.progress
    with replacing(_epoch(folder, progress.epoch)) as temporary:
        temporary.mkdir()
        save_file(checkpoint.weights, temporary / WEIGHTS)
        save_file(checkpoint.moments, temporary / MOMENTS)
        write_json(temporary / PROGRESS, asdict(progress))
        seal(temporary)
    kept = [_epoch(folder, progress.epoch), _epoch(folder, progress.best_epoch)]
    for path in _epochs(folder):
        if path not in kept:
            shutil.rmtree(path)


def read_last(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The last readable checkpoint of the training with this fingerprint, if there is one."""
    for path in reversed(_epochs(folder)):
        try:
            progress = read_json(path / PROGRESS, Progress, "dvc repro")
            if progress.fingerprint != fingerprint:
                return None
            verify(path, "dvc repro")
            checkpoint = Checkpoint(progress, load_file(path / WEIGHTS), load_file(path / MOMENTS))
            if progress.best_epoch != progress.epoch:
                read_best(folder, progress)  # the training will end with these weights
        except AmtssError as error:
            print(f"{path}: unreadable ({error}); resuming without it", file=sys.stderr)
            continue
        return checkpoint
    return None


def read_best(folder: Path, progress: Progress) -> dict[str, Tensor]:
    """The best epoch's weights.

    Raises:
        AmtssError: its checkpoint is missing or altered.
    """
    best = _epoch(folder, progress.best_epoch)
    verify(best, "dvc repro")
    return load_file(best / WEIGHTS)


def _epoch(folder: Path, number: int) -> Path:
    return folder / f"epoch-{number:04}"


def _epochs(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*")) if folder.is_dir() else []
