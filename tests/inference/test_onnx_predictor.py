import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from support.predictions import answers
from support.training import LABELS, LANGUAGES, Project, distilled

from amtss.config.schema import Architecture, Columns, Data, Student
from amtss.data import corpus, sources
from amtss.errors import AmtssError, CheckpointError, DataError
from amtss.files import seal
from amtss.inference import export
from amtss.inference.jsonl import BATCH, Question
from amtss.inference.load import load_folder
from amtss.inference.onnx_predictor import OnnxPredictor
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.paths import Layout
from amtss.student.model import build_student
from amtss.tokenization.tokenizer import train_tokenizer

LONG = " ".join(["enpay1 enchat2"] * 40)

CHILD = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx", "pyarrow"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
from amtss.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A student and its exports, each in a folder of its format's name."""
    made = distilled(tmp_path_factory.mktemp("exported"))
    for name in export.BITS:
        export.export_onnx(made.layout.student, made.layout.root / name, name)
    return made


@pytest.fixture(scope="module")
def onnx(project: Project) -> Path:
    return project.layout.root / "onnx"


def texts_of(project: Project, code: str) -> list[str]:
    texts: list[str] = corpus.load(project.layout, code)["test"]["text"].to_pylist()
    return texts


class TestOnnxPredictor:
    @pytest.mark.parametrize("code", LANGUAGES)
    def test_answers_as_the_student(self, project: Project, onnx: Path, code: str) -> None:
        texts = [*texts_of(project, code), LONG, "", "<pad> <s> </s>", "\u3042\u0645"]
        pairs = [*reversed(texts[1:]), ""]
        student = PytorchPredictor(project.layout.student)
        for second in (None, pairs):
            np.testing.assert_allclose(
                OnnxPredictor(onnx).probabilities(texts, second, code),
                student.probabilities(texts, second, code), atol=1e-5)

    @pytest.mark.parametrize("name", ["onnx-int8", "onnx-int4"])
    def test_of_whole_numbers_names_the_same_labels(self, project: Project, name: str) -> None:
        student = PytorchPredictor(project.layout.student)
        small = OnnxPredictor(project.layout.root / name)
        same = [small.probabilities(texts, None, code).argmax(1)
                == student.probabilities(texts, None, code).argmax(1)
                for code in LANGUAGES for texts in [texts_of(project, code)]]
        assert np.concatenate(same).mean() > 0.97

    @pytest.mark.parametrize("kind", ["onnx", "student"])
    def test_languages_may_be_mixed(self, project: Project, onnx: Path, kind: str) -> None:
        predictor = load_folder(onnx if kind == "onnx" else project.layout.student)
        asked = [(text, code) for code in LANGUAGES for text in texts_of(project, code)[:5]]
        texts, codes = zip(*random.Random(0).sample(asked, len(asked)), strict=True)
        mixed = predictor.probabilities(list(texts), None, codes)
        for text, code, row in zip(texts, codes, mixed, strict=True):
            np.testing.assert_allclose(predictor.probabilities([text], None, code)[0], row,
                                       atol=1e-5)

    def test_labels_and_languages(self, onnx: Path) -> None:
        predictor = OnnxPredictor(onnx)
        assert (predictor.labels, predictor.languages) == (list(LABELS), list(LANGUAGES))

    def test_no_texts(self, onnx: Path) -> None:
        assert OnnxPredictor(onnx).probabilities([], None, "en").shape == (0, 3)

    def test_more_than_a_batch_in_order(self, project: Project, onnx: Path) -> None:
        asked = [Question(text, code) for code in LANGUAGES for text in texts_of(project, code)] * 3
        assert len(asked) > BATCH
        found = answers(onnx, asked, OnnxPredictor)
        for one, other in zip(found, answers(project.layout.student, asked), strict=True):
            assert (one["text"], one["label"]) == (other["text"], other["label"])
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)

    def test_without_layers_more_texts_at_once(self, project: Project, onnx: Path,
                                               tmp_path: Path) -> None:
        folder, tokenizer = tmp_path / "student", PytorchPredictor(project.layout.student).tokenizer
        build_student(Student(architecture=Architecture(layers=0, width=32, pairs=90)),
                      list(LANGUAGES), list(LABELS), len(tokenizer), 1).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        seal(folder)
        export.export_onnx(folder, tmp_path / "to", "onnx")
        static = OnnxPredictor(tmp_path / "to")
        assert (OnnxPredictor(onnx).batch_size, static.batch_size) == (8, 32)
        texts = [*texts_of(project, "en"), LONG, ""] * 3
        np.testing.assert_allclose(static.probabilities(texts, None, "en"), PytorchPredictor(
            folder).probabilities(texts, None, "en"), atol=1e-5)

    def test_an_export_from_before_it_said_how_many(self, onnx: Path, tmp_path: Path) -> None:
        old = Path(shutil.copytree(onnx, tmp_path / "old"))
        config = json.loads((old / "config.json").read_text())
        del config["batch_size"]
        (old / "config.json").write_text(json.dumps(config))
        seal(old)
        assert OnnxPredictor(old).batch_size == 8

    def test_many_threads(self, project: Project, onnx: Path) -> None:
        predictor, texts = OnnxPredictor(onnx), texts_of(project, "en")
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(
                lambda _: predictor.probabilities(texts, None, "en"), range(16)))
        assert all((each == found[0]).all() for each in found)

    def test_x_lm_tiny(self, project: Project, tmp_path: Path) -> None:
        export.export_onnx(project.layout.baseline, tmp_path / "to", "onnx")
        for code in (*LANGUAGES, "ko"):
            np.testing.assert_allclose(
                OnnxPredictor(tmp_path / "to").probabilities(["enpay1"], None, code),
                PytorchPredictor(project.layout.baseline).probabilities(["enpay1"], None, code),
                atol=1e-5)

    def test_another_language(self, onnx: Path) -> None:
        with pytest.raises(DataError, match="lang: expected one of en, fr, ru, found 'ko'"):
            OnnxPredictor(onnx).probabilities(["x"], None, "ko")


class TestRefused:
    @pytest.fixture
    def spoilt(self, onnx: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(onnx, tmp_path / "spoilt"))

    def test_no_export(self, project: Project) -> None:
        with pytest.raises(CheckpointError, match=r"student: expected an export with model.onnx, "
                           r"found none; run `amtss export --format onnx`"):
            OnnxPredictor(project.layout.student)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
    def test_a_file_is_missing(self, spoilt: Path, name: str) -> None:
        (spoilt / name).unlink()
        with pytest.raises(AmtssError, match=rf"{name}: expected a file, found.*; run `amtss"):
            OnnxPredictor(spoilt)

    @pytest.mark.parametrize("kept", [0, 999, -9])
    def test_a_truncated_file(self, spoilt: Path, kept: int) -> None:
        path = spoilt / "model.onnx"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(AmtssError, match=r"model.onnx: .* checksum differs.*run `amtss ex"):
            OnnxPredictor(spoilt)

    @pytest.mark.parametrize("content", ["[]", "{}", "5"])
    def test_another_config(self, spoilt: Path, content: str) -> None:
        (spoilt / "config.json").write_text(content)
        with pytest.raises(AmtssError, match=r"config\.json: .*; remove it and run `amtss e"):
            OnnxPredictor(spoilt)

    def test_a_truncated_tokenizer(self, spoilt: Path) -> None:
        path = spoilt / "tokenizer.json"
        path.write_bytes(path.read_bytes()[:999])
        with pytest.raises(AmtssError, match=r"tokenizer.json: .* checksum differs"):
            OnnxPredictor(spoilt)

    def test_weights_that_are_no_numbers(self, spoilt: Path) -> None:
        import onnx

        model = onnx.load(spoilt / "model.onnx")
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                weights = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights * np.float32("nan"),
                                                             tensor.name))
        onnx.save(model, spoilt / "model.onnx")
        seal(spoilt)
        with pytest.raises(CheckpointError, match=r"^model: expected finite logits, found NaN or "
                           r"infinite ones; its weights are damaged.*`dvc repro -f distil`"):
            OnnxPredictor(spoilt).predict(["enpay1"], "en")


class TestTheCommand:
    def test_needs_no_torch(self, project: Project, onnx: Path) -> None:
        asked = [Question("enpay1 enpay2", "en"), Question(LONG, "en")]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, "predict", "--runtime", "onnx", "--model", str(onnx),
             "--lang", "en", *(each.text for each in asked)],
            capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        expected = answers(project.layout.student, asked)
        for one, other in zip(map(json.loads, done.stdout.splitlines()), expected, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)


@pytest.fixture(scope="module")
def real(massive: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """MASSIVE in three scripts, with a random student of XLM-R's shape."""
    layout = Layout(tmp_path_factory.mktemp("real"))
    data = Data(source="dataset", path=str(massive), columns=Columns(label=("scenario",)))
    codes = ("ar", "fr", "ko")
    for code in codes:
        source = sources.read(data, code)
        corpus.write(layout, code, {split: table.slice(0, 400) for split, table
                                    in source.tables.items()}, source.labels)
    tokenizer = train_tokenizer([corpus.load(layout, code) for code in codes], 2000)
    torch.manual_seed(0)
    model = build_student(
        Student(architecture=Architecture(layers=2, width=64, heads=4, feed_forward=128),
                heads="residual", max_length=32), list(codes), list(LABELS), len(tokenizer), 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(layout.student)
    tokenizer.save_pretrained(layout.student)
    seal(layout.student)
    return layout


@pytest.mark.parametrize("code", ["ar", "fr", "ko"])
def test_parity_on_real_texts(real: Layout, tmp_path: Path, code: str) -> None:
    texts = corpus.load(real, code)["test"]["text"].to_pylist()
    right = PytorchPredictor(real.student).probabilities(texts, None, code)
    assert right.std(axis=0).min() > 0.01
    export.export_onnx(real.student, tmp_path / "to", "onnx")
    np.testing.assert_allclose(OnnxPredictor(tmp_path / "to").probabilities(texts, None, code),
                               right, atol=1e-4)
    export.export_onnx(real.student, tmp_path / "to", "onnx-int8")
    found = OnnxPredictor(tmp_path / "to").probabilities(texts, None, code)
    assert abs(found - right).mean() < 0.02
    assert (found.argmax(1) == right.argmax(1)).mean() > 0.95
