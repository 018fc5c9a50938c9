"""Where answers come from if nobody names a folder: the project's student, or its ONNX export."""

from datetime import datetime
from pathlib import Path

from amtss import records
from amtss.errors import CheckpointError
from amtss.files import read_json
from amtss.inference.onnx_predictor import COMMAND, OnnxPredictor
from amtss.inference.predictor import Predictor
from amtss.models import checkpoint
from amtss.paths import Layout

STUDENT, EXPORT = Layout().student, Path("artifacts/export/onnx")


def load_export(folder: Path) -> Predictor:
    """The project's export, which has to be of its student.

    Raises:
        CheckpointError: as `check_export` and `OnnxPredictor`.
        AmtssError: its files are missing or altered.
    """
    check_export(folder)
    return OnnxPredictor(folder)


def check_export(folder: Path = EXPORT, student: Path = STUDENT) -> None:
    """Check that an export is of the student in another folder, if both are there.

    Raises:
        CheckpointError: it is of another one, as after a retraining.
        AmtssError: the export is altered.
    """
    if not (student / "model.safetensors").is_file() or not (folder / "config.json").is_file():
        return
    config = read_json(folder / "config.json", records.Export, COMMAND, ours=False)
    made, found = config.get("amtss"), checkpoint.fingerprint(student)
    if made is not None and made["student"] != found:
        raise CheckpointError(
            f"{folder}: expected an export of the student in {student}, {found}, found one of "
            f"{made['student']}, as after a retraining; run `amtss export --format "
            f"{made['format']}`, or add --model {folder} to use it all the same")


def written(folder: Path) -> str:
    """Which folder answers, and when it was written to this disk, in a few words."""
    when = datetime.fromtimestamp((folder / "config.json").stat().st_mtime)
    return f"{folder} answers, written on {when:%Y-%m-%d} at {when:%H:%M}"
