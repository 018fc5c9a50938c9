import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.training import KINDS, LABELS, LANGUAGES, begun, distilled, fill, write_checkpoint

from amtss.config.schema import Architecture, Student
from amtss.errors import AmtssError, CheckpointError
from amtss.files import seal
from amtss.inference.load import load_folder
from amtss.inference.plain_predictor import PlainPredictor, fits
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.student.model import build_student
from amtss.tokenization.tokenizer import load_tokenizer

TEXTS = ["enpay1 enchat2", " ".join(["enpay1 frchat2"] * 40), "", "<pad> <s> [SEP] </s>",
         "あم", "frship3"]
CHILD = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
del sys.argv[1]
from amtss.cli.main import main
main()
"""


def student(root: Path, kind: str, **changed: Any) -> Path:
    """A student's folder, its heads all different; `kind` may be static, pairs or two texts."""
    static = kind in ("static", "pairs", "two texts")
    source = write_checkpoint(root / "checkpoint", "xlm-roberta" if static else kind)
    tokenizer, codes = load_tokenizer(str(source)), list(LANGUAGES)
    torch.manual_seed(0)
    model = begun(source, root / "start", codes, max_length=16, **changed) if not static else (
        build_student(Student(
            architecture=Architecture(layers=0, width=32, pairs=90 * (kind != "static")),
            max_length=16, **changed), codes, list(LABELS), len(tokenizer), 1,
            separator=tokenizer.sep_token_id if kind == "two texts" else None))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(root / "student")
    tokenizer.save_pretrained(root / "student")
    seal(root / "student")
    return root / "student"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return student(tmp_path_factory.mktemp("plain"), "xlm-roberta")


@pytest.mark.parametrize(("kind", "pooling", "heads"), [
    ("static", "mean", "residual"), ("pairs", "mean", "residual"),
    ("two texts", "mean", "own"),
    *((kind, pooling, heads) for kind, pooling, heads in zip(
        KINDS, ("first", "mean", "first", "mean"), ("own", "residual", "residual", "own"),
        strict=True))])
def test_answers_as_transformers_do(tmp_path: Path, kind: str, pooling: str, heads: str) -> None:
    folder = student(tmp_path, kind, pooling=pooling, heads=heads)
    assert fits(folder)
    plain, other = PlainPredictor(folder), PytorchPredictor(folder)
    assert (plain.labels, plain.languages, plain.pad) == (other.labels, other.languages, other.pad)
    codes = [LANGUAGES[at % len(LANGUAGES)] for at in range(len(TEXTS))]
    for pairs in (None, TEXTS[::-1]):
        expected = other.probabilities(TEXTS, pairs, codes)
        assert expected.std(axis=0).min() > 0.01
        np.testing.assert_allclose(plain.probabilities(TEXTS, pairs, codes), expected, atol=1e-5)
        for one, same in zip(plain.tokenise(TEXTS, pairs).lengths,
                             other.tokenise(TEXTS, pairs).lengths, strict=True):
            assert one == same
    assert plain.probabilities([], None, "en").shape == (0, 3)


def test_trained_ones(tmp_path: Path) -> None:
    layout = distilled(tmp_path).layout
    for folder in (layout.student, layout.baseline):
        plain, other = PlainPredictor(folder), PytorchPredictor(folder)
        for one, same in zip(plain.predict(TEXTS), other.predict(TEXTS), strict=True):
            assert (one.label, one.language) == (same.label, same.language)
            assert one.probabilities == pytest.approx(same.probabilities, abs=2e-6)
        assert (plain.temperatures, plain.thresholds) == (other.temperatures, other.thresholds)


@pytest.mark.parametrize(("old", "new"), [('"gelu"', '"relu"'), ('"xlm-roberta"', '"electra"'),
                                          ('"amtss-student"', '"bert"')])
def test_others_are_left_to_transformers(made: Path, tmp_path: Path, old: str, new: str) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "student"))
    config = folder / "config.json"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    assert not fits(folder)
    (folder / "tokenizer.json").unlink()
    config.write_text(text)
    assert not fits(folder)


def test_damaged_ones(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "student"))
    fill(folder, float("nan"), "LayerNorm.bias")
    with pytest.raises(CheckpointError, match=r"expected finite weights, found NaN or infinite ones"
                                              r" in encoder\..*LayerNorm.bias; run `dvc repro`$"):
        load_folder(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(AmtssError, match=r"tokenizer.json: .* checksum differs.*`dvc repro`"):
        load_folder(folder)
    seal(folder)
    fill(folder, 0.1, "LayerNorm.bias")
    with pytest.raises(CheckpointError, match=r"tokenizer.json: expected a tokenizer, found: .*"):
        load_folder(folder)


def test_one_of_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = student(tmp_path, "pairs")
    file = folder / "model.safetensors"
    save_file({**load_file(file), "encoder.triples.weight": torch.ones(2)}, file,
              metadata={"format": "pt"})
    seal(folder)
    with pytest.raises(CheckpointError, match=r"expected weights that this version of amtss knows, "
                       r"found encoder\.triples\.weight; use the version that has written it, or"):
        load_folder(folder)


@pytest.mark.parametrize(("runtime", "blocked"), [
    ("pytorch", "transformers mlflow sklearn scipy"), ("onnx", "torch transformers onnx mlflow")])
def test_the_command_starts_without_them(made: Path, tmp_path: Path, runtime: str, blocked: str
                                         ) -> None:
    from amtss.inference.export import export_onnx

    shutil.copytree(made, tmp_path / "artifacts/student")
    export_onnx(made, tmp_path / "artifacts/export/onnx", "onnx")
    done = subprocess.run([sys.executable, "-c", CHILD, blocked, "predict", "--runtime", runtime,
                           "--lang", "en", "enpay1"], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"text": "enpay1", "lang": "en", "label": ')
