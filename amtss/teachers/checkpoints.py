"""Checkpoints of a teacher's training: transformers' own, with a mark that each is whole.

The mark, `MARK`, holds the training's fingerprint. The seal is written last; a training resumes
only from a checkpoint whose seal holds and whose mark is its own.
"""

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amtss import files, processes, records
from amtss.config.schema import Teaching
from amtss.data.corpus import Corpus
from amtss.errors import AmtssError
from amtss.files import permit, read_json, seal, verify, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback, TrainerState

MARK = "amtss.json"
COMMAND = "dvc repro"
"""Trains again, without the checkpoint."""


def find_last(folder: Path, fingerprint: str) -> Path | None:
    """The last whole checkpoint of this very training whose best epoch's is whole too.

    All other checkpoints are removed.
    """
    marked = [mark.parent for mark in folder.glob(f"checkpoint-*/{MARK}")]
    for checkpoint in sorted(marked, key=_step, reverse=True):
        if _is_whole(checkpoint, fingerprint):
            best = best_of(folder, read_state(checkpoint))
            if _is_whole(best, fingerprint):
                _remove_all_but(folder, (checkpoint, best))
                return checkpoint
    _remove_all_but(folder, ())
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _is_whole(checkpoint: Path, fingerprint: str) -> bool:
    try:
        verify(checkpoint, COMMAND)
        return _read_mark(checkpoint)["fingerprint"] == fingerprint
    except AmtssError:
        return False


def _read_mark(checkpoint: Path) -> records.TeacherCheckpoint:
    return read_json(checkpoint / MARK, records.TeacherCheckpoint, COMMAND)


def seconds_of(checkpoint: Path) -> float:
    """How long the training had taken when the checkpoint was written."""
    return _read_mark(checkpoint)["seconds"]


def read_state(checkpoint: Path) -> "TrainerState":
    """The Trainer's own account of the training."""
    from transformers import TrainerState

    state: TrainerState = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state


def best_of(folder: Path, state: "TrainerState") -> Path:
    """The best epoch's checkpoint."""
    return folder / f"checkpoint-{state.best_global_step}"


def _remove_all_but(folder: Path, kept: Iterable[Path]) -> None:
    for path in set(folder.glob("*")) - set(kept):
        shutil.rmtree(path)


def marker(folder: Path, fingerprint: str, started: float) -> "TrainerCallback":
    """A callback that marks each checkpoint and removes all others but the best epoch's.

    Args:
        started: when the training began, by `time.perf_counter`, with earlier runs' time before it.
    """
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marker(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            PartialState().wait_for_everyone()  # each process writes a file of its own
            if processes.first():
                checkpoint = folder / f"checkpoint-{state.global_step}"
                write_json(checkpoint / MARK, {
                    "fingerprint": fingerprint,
                    "seconds": round(time.perf_counter() - started, 3)})
                permit(checkpoint, folder / "mode")
                seal(checkpoint)
                _remove_all_but(folder, (checkpoint, best_of(folder, state)))

    return Marker()


def fingerprint_of(model: "PreTrainedModel", settings: Teaching, corpora: Sequence[Corpus],
                   labels: Sequence[str]) -> str:
    """Hash of everything the training depends on; it resumes only from a checkpoint with the same.

    16 hexadecimal digits.
    """
    weights = [files.fingerprint(name, tensor.cpu().contiguous().numpy().tobytes())
               for name, tensor in model.state_dict().items()]
    return files.fingerprint(settings.model_dump(), [corpus.fingerprint for corpus in corpora],
                             list(labels), weights)
