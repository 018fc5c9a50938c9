"""Load a student from a folder, whichever runtime the folder is for. A runtime is imported when it
is needed: onnxruntime answers before torch would be there."""

from collections.abc import Callable, Mapping
from pathlib import Path

from amtss.errors import CheckpointError
from amtss.inference.predictor import Predictor

Load = Callable[[Path], Predictor]


def load_onnx(folder: Path) -> Predictor:
    """An ONNX export."""
    from amtss.inference.onnx_predictor import OnnxPredictor

    return OnnxPredictor(folder)


def load_pytorch(folder: Path) -> Predictor:
    """A trained student. Transformers are imported only where they are needed, as on a GPU."""
    from amtss.inference import plain_predictor

    if plain_predictor.fits(folder):
        return plain_predictor.PlainPredictor(folder)
    from amtss.inference.pytorch_predictor import PytorchPredictor

    return PytorchPredictor(folder)


LOADERS: Mapping[str, Load] = {"onnx": load_onnx, "pytorch": load_pytorch}
"""By runtime. They raise what the predictors raise."""


def load_folder(folder: Path) -> Predictor:
    """A trained student, or an ONNX export of one, recognised by its files.

    Raises:
        CheckpointError: neither is in `folder`, or it cannot be read.
        AmtssError: its files are altered.
    """
    if (folder / "model.onnx").is_file():
        return load_onnx(folder)
    if (folder / "model.safetensors").is_file():
        return load_pytorch(folder)
    raise CheckpointError(f"{folder}: expected a student's model.safetensors or an export's "
                          "model.onnx, found neither; run `dvc repro` or name another folder")
