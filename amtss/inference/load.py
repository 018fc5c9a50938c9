"""Load a student from a folder, whichever runtime the folder is for."""

from pathlib import Path

from amtss.errors import CheckpointError
from amtss.inference.onnx_predictor import OnnxPredictor
from amtss.inference.predictor import Predictor
from amtss.inference.pytorch_predictor import PytorchPredictor


def load_folder(folder: Path) -> Predictor:
    """A trained student, or an ONNX export of one, recognised by its files.

    Raises:
        CheckpointError: neither is in `folder`, or it cannot be read.
        AmtssError: its files are altered.
    """
    if (folder / "model.onnx").is_file():
        return OnnxPredictor(folder)
    if (folder / "model.safetensors").is_file():
        return PytorchPredictor(folder)
    raise CheckpointError(f"{folder}: expected a student's model.safetensors or an export's "
                          "model.onnx, found neither; run `dvc repro` or name another folder")
