from pathlib import Path

import pytest
from support.training import distilled

from amtss.errors import CheckpointError
from amtss.inference.export import export, export_onnx
from amtss.inference.load import load_folder
from amtss.inference.onnx_predictor import OnnxPredictor
from amtss.inference.plain_predictor import PlainPredictor


class TestLoadFolder:
    def test_a_student(self, tmp_path: Path) -> None:
        layout = distilled(tmp_path).layout
        assert isinstance(load_folder(layout.student), PlainPredictor)
        assert load_folder(layout.baseline).languages == ["all"]

    def test_an_onnx_export(self, tmp_path: Path) -> None:
        export_onnx(distilled(tmp_path / "project").layout.student, tmp_path / "to", "onnx-int4")
        assert isinstance(load_folder(tmp_path / "to"), OnnxPredictor)

    def test_neither(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"expected a student's model.safetensors or an "
                           r"export's model.onnx, found neither; run `dvc repro` or name another"):
            load_folder(tmp_path)

    def test_an_export_for_transformers(self, tmp_path: Path) -> None:
        export(distilled(tmp_path / "project").layout.student, "fr", tmp_path / "to")
        with pytest.raises(CheckpointError, match="expected a student, found a model of type"):
            load_folder(tmp_path / "to")
