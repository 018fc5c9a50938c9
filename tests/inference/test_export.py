import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.project import Project, full_disk, run, unfolded
from support.training import LABELS, begun, table, write_checkpoint
from tokenizers import Tokenizer
from transformers import AutoConfig

from amtss.errors import AmtssError, CheckpointError, DataError
from amtss.files import read_json, seal
from amtss.inference import export
from amtss.inference.load import load_folder
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.models import checkpoint
from amtss.student.model import StudentConfig, StudentModel
from amtss.tokenization import encoding, tokenizer

CODES = ["en", "fr", "ko"]
LENGTH = 12
TEXTS = [*table("fr", "test", 12)["text"].to_pylist(), " ".join(["frpay1 enship2"] * 30)]
PAIRS = [" ".join(text.split()[:3]) for text in reversed(TEXTS)]

CHILD = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "amtss":
            raise ModuleNotFoundError("amtss is blocked")

sys.meta_path.insert(0, Blocker())
from transformers import pipeline

for line in sys.stdin:
    asked = json.loads(line)
    pipe = pipeline("text-classification", model=asked["folder"], device="cpu")
    told = pipe(asked["questions"], top_k=None, function_to_apply="none", truncation=True,
                batch_size=asked["batch"])
    assert not [name for name in sys.modules if name.partition(".")[0] == "amtss"]
    print(json.dumps([{each["label"]: each["score"] for each in row} for row in told]), flush=True)
"""


def make(root: Path, kind: str, heads: str, codes: list[str] | None = None) -> Path:
    """A student's folder, its heads all different."""
    source = write_checkpoint(root / "checkpoint", kind)
    torch.manual_seed(0)
    model = begun(source, root / "start", codes or CODES, heads=heads, max_length=LENGTH)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder.") or "token_type" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(root / "student")
    tokenizer.load_tokenizer(str(source)).save_pretrained(root / "student")
    seal(root / "student")
    return root / "student"


def logits(folder: Path, language: str, texts: list[str], pairs: list[str] | None = None
           ) -> np.ndarray:
    """The student's own, a text at a time. *Shape:* (N, C)"""
    predictor = PytorchPredictor(folder)
    table = pa.table({"text": texts} | ({"pair": pairs} if pairs else {}))
    encoded = encoding.tokenise(predictor.tokenizer, table, LENGTH)
    head = torch.tensor([predictor.languages.index(language)])
    rows = [encoded.padded(np.array([at]), predictor.tokenizer.pad_token_id)
            for at in range(len(texts))]
    with torch.inference_mode():
        return np.concatenate([
            predictor.model.cpu()(torch.from_numpy(ids), torch.from_numpy(mask), head).numpy()
            for ids, mask in rows])


@pytest.fixture(scope="module")
def child() -> Iterator["subprocess.Popen[str]"]:
    """A process that cannot import amtss, and answers by transformers' pipeline."""
    with subprocess.Popen([sys.executable, "-I", "-c", CHILD], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE) as process:
        yield process


def piped(child: "subprocess.Popen[str]", folder: Path, questions: list[object],
          batch: int = 1) -> np.ndarray:
    """The logits that the child answers."""
    assert child.stdin
    assert child.stdout
    print(json.dumps({"folder": str(folder), "questions": questions, "batch": batch}),
          file=child.stdin, flush=True)
    told = child.stdout.readline()
    assert told, "the child has failed: see stderr"
    return np.array([[row[label] for label in LABELS] for row in json.loads(told)])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("own"), "xlm-roberta", "own")


def answers(folder: Path, language: str) -> list[float]:
    """The first label's probability for each text, from a student or from its ONNX export."""
    return [answer.probabilities[LABELS[0]]
            for answer in load_folder(folder).predict(TEXTS, [language] * len(TEXTS))]


@pytest.mark.slow
class TestThePipeline:
    @pytest.mark.parametrize(("kind", "heads"), [
        ("xlm-roberta", "own"), ("xlm-roberta", "residual"), ("bert", "own"),
        ("bert", "residual")])
    def test_gives_the_students_logits(self, child: "subprocess.Popen[str]", tmp_path: Path,
                                       kind: str, heads: str) -> None:
        folder = make(tmp_path, kind, heads)
        export.export(folder, "fr", tmp_path / "to")
        expected = logits(folder, "fr", TEXTS)
        assert np.abs(expected - logits(folder, "ko", TEXTS)).max() > 0.1
        assert np.ptp(expected, axis=0).min() > 0.1
        np.testing.assert_allclose(piped(child, tmp_path / "to", list(TEXTS), batch=4),
                                   expected, rtol=0, atol=1e-5)

    def test_reads_pairs_as_the_student_does(self, child: "subprocess.Popen[str]",
                                             tmp_path: Path) -> None:
        folder = make(tmp_path, "bert", "own")
        export.export(folder, "ko", tmp_path / "to")
        questions: list[object] = [{"text": text, "text_pair": pair}
                                   for text, pair in zip(TEXTS, PAIRS, strict=True)]
        np.testing.assert_allclose(piped(child, tmp_path / "to", questions),
                                   logits(folder, "ko", TEXTS, PAIRS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "camembert"])
def test_the_other_families_give_the_same_logits(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path, kind, "residual")
    predictor = PytorchPredictor(folder)
    model = export.classifier(predictor.model.cpu(), "en")
    made = predictor.tokenizer(TEXTS, truncation=True, max_length=LENGTH, padding=True,
                               return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(model(**made).logits.numpy(), logits(folder, "en", TEXTS),
                                   rtol=0, atol=1e-5)


def test_a_student_without_languages_has_the_head_all(tmp_path: Path) -> None:
    folder = make(tmp_path, "xlm-roberta", "residual", codes=["all"])
    export.export(folder, "all", tmp_path / "to")
    with pytest.raises(CheckpointError, match="head for one of all, found none for 'en'; name one"):
        export.export(folder, "en", tmp_path / "other")
    assert not (tmp_path / "other").exists()


class TestTheFolder:
    def test_is_a_plain_checkpoint(self, own: Path, tmp_path: Path) -> None:
        export.export(own, "ko", tmp_path / "to")
        names = {path.name for path in (tmp_path / "to").iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
        assert not [name for name in names if name.endswith((".bin", ".pt", ".py", ".pkl"))]
        config = AutoConfig.from_pretrained(tmp_path / "to")
        assert config.architectures == ["XLMRobertaForSequenceClassification"]
        assert config.id2label == dict(enumerate(LABELS))
        assert config.label2id == {label: index for index, label in enumerate(LABELS)}
        assert config.amtss == {"language": "ko", "student": checkpoint.fingerprint(own)}
        assert tokenizer.load_tokenizer(str(tmp_path / "to")).model_max_length == LENGTH

    def test_is_the_same_every_time(self, own: Path, tmp_path: Path) -> None:
        for name in ("one", "two"):
            export.export(own, "ko", tmp_path / name)
        assert checkpoint.fingerprint(tmp_path / "one") == checkpoint.fingerprint(tmp_path / "two")

    def test_replaces_an_earlier_export_and_an_empty_folder(self, own: Path,
                                                            tmp_path: Path) -> None:
        (tmp_path / "to").mkdir()
        for language in ("ko", "fr"):
            export.export(own, language, tmp_path / "to")
        assert AutoConfig.from_pretrained(tmp_path / "to").amtss["language"] == "fr"
        assert [path.name for path in tmp_path.iterdir()] == ["to"]

    @pytest.mark.parametrize("content", ["", "[1]", "5", "{\"model_type\": \"bert\"}"])
    def test_is_nothing_elses(self, own: Path, tmp_path: Path, content: str) -> None:
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(AmtssError, match=r"an earlier export, found something else; name ano"):
            export.export(own, "ko", tmp_path)
        with pytest.raises(AmtssError, match=r"an earlier export, found something else; name ano"):
            export.export(own, "ko", tmp_path / "config.json")
        assert (tmp_path / "config.json").read_text() == content

    def test_is_not_the_students_own(self, own: Path) -> None:
        before = checkpoint.fingerprint(own)
        with pytest.raises(AmtssError, match="an earlier export, found something else"):
            export.export(own, "ko", own)
        assert checkpoint.fingerprint(own) == before

    def test_is_whole_or_as_it_was(self, own: Path, tmp_path: Path) -> None:
        export.export(own, "ko", tmp_path / "to")
        before = checkpoint.fingerprint(tmp_path / "to")
        with full_disk(1000), pytest.raises(AmtssError, match=r"expected to be able to write"):
            export.export(own, "fr", tmp_path / "to")
        assert checkpoint.fingerprint(tmp_path / "to") == before
        assert [path.name for path in tmp_path.iterdir()] == ["to"]


class TestRefused:
    def test_unknown_language(self, own: Path, tmp_path: Path) -> None:
        message = "one of en, fr, ko, found none for 'pl'; name"
        with pytest.raises(CheckpointError, match=message):
            export.export(own, "pl", tmp_path / "to")
        with pytest.raises(CheckpointError, match=message):
            export.export_onnx(own, tmp_path / "to", "onnx", "pl")
        assert not (tmp_path / "to").exists()

    def test_no_student(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"expected a student with model.safetensors"):
            export.export(tmp_path / "none", "ko", tmp_path / "to")

    def test_another_family(self) -> None:
        config = StudentConfig(encoder=AutoConfig.for_model("xlm-roberta-xl", hidden_size=16,
                                                            num_hidden_layers=1, vocab_size=40,
                                                            num_attention_heads=2,
                                                            intermediate_size=32),
                               languages=["ko"], id2label=dict(enumerate(LABELS)))
        with pytest.raises(CheckpointError, match=r"expected an encoder of bert, .*, xlm-roberta, "
                           r"the families that can be .*, found xlm-roberta-xl; run it in PyTorch"):
            export.classifier(StudentModel(config), "ko")

    def test_pooling_by_mean(self, own: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(own, tmp_path / "student"))
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"first"', '"mean"'))
        seal(folder)
        with pytest.raises(CheckpointError, match=r"pooling: first, as transformers' classifiers fo"
                           r"r xlm-roberta read the first token's state alone, found mean; export i"
                           r"t with --lang ko --format onnx, or train one with student\.pooling: "):
            export.export(folder, "ko", tmp_path / "to")
        assert not (tmp_path / "to").exists()
        export.export_onnx(folder, tmp_path / "to", "onnx", "ko")
        assert answers(tmp_path / "to", "ko") == pytest.approx(answers(folder, "ko"), abs=1e-5)


class TestOnnx:
    def test_the_folder(self, own: Path, tmp_path: Path) -> None:
        export.export_onnx(own, tmp_path / "to", "onnx-int8")
        assert {path.name for path in (tmp_path / "to").iterdir()} == {
            "README.md", "checksums.json", "config.json", "model.onnx", "tokenizer.json",
            "tokenizer_config.json"}
        config = read_json(tmp_path / "to" / "config.json", dict[str, Any], "amtss export")
        del config["checksum"]
        assert config == {
            "amtss": {"format": "onnx-int8", "student": checkpoint.fingerprint(own)},
            "labels": list(LABELS), "languages": CODES, "max_tokens": LENGTH, "pad_token_id": 1,
            "batch_size": 8, "temperatures": {}, "thresholds": {}}

    @pytest.mark.parametrize("heads", ["own", "residual"])
    def test_of_one_language_alone(self, tmp_path: Path, heads: str) -> None:
        folder = make(tmp_path, "xlm-roberta", heads)
        export.export_onnx(folder, tmp_path / "to", "onnx", "fr")
        assert json.loads((tmp_path / "to" / "config.json").read_text())["languages"] == ["fr"]
        assert answers(tmp_path / "to", "fr") == pytest.approx(answers(folder, "fr"), abs=1e-5)
        assert answers(folder, "fr") != pytest.approx(answers(folder, "ko"), abs=0.05)
        with pytest.raises(DataError, match=r"expected one of fr, found 'ko'"):
            answers(tmp_path / "to", "ko")

    def test_the_tokenizer_cuts_and_pads_by_itself(self, own: Path, tmp_path: Path) -> None:
        export.export_onnx(own, tmp_path / "to", "onnx")
        made = Tokenizer.from_file(str(tmp_path / "to" / "tokenizer.json")).encode_batch(TEXTS)
        expected = PytorchPredictor(own).tokenizer(TEXTS, truncation=True, max_length=LENGTH,
                                                   padding=True)
        assert [each.ids for each in made] == expected["input_ids"]
        assert [each.attention_mask for each in made] == expected["attention_mask"]
        assert tokenizer.load_tokenizer(str(tmp_path / "to"))(TEXTS[-1], truncation=True)[
            "input_ids"] == expected["input_ids"][-1]

    def test_is_the_same_every_time_and_replaces_an_earlier_one(self, own: Path,
                                                                tmp_path: Path) -> None:
        export.export(own, "ko", tmp_path / "one")
        for name in ("one", "two"):
            export.export_onnx(own, tmp_path / name, "onnx")
        assert checkpoint.fingerprint(tmp_path / "one") == checkpoint.fingerprint(tmp_path / "two")

    def test_is_nothing_elses(self, own: Path) -> None:
        before = checkpoint.fingerprint(own)
        with pytest.raises(AmtssError, match="an earlier export, found something else"):
            export.export_onnx(own, own, "onnx")
        assert checkpoint.fingerprint(own) == before

    def test_is_whole_or_as_it_was(self, own: Path, tmp_path: Path) -> None:
        export.export_onnx(own, tmp_path / "to", "onnx")
        before = checkpoint.fingerprint(tmp_path / "to")
        with full_disk(20_000), pytest.raises(AmtssError, match=r"expected to be able to write"):
            export.export_onnx(own, tmp_path / "to", "onnx-int8")
        assert checkpoint.fingerprint(tmp_path / "to") == before
        assert [path.name for path in tmp_path.iterdir()] == ["to"]

    def test_another_activation(self, own: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(own, tmp_path / "student"))
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"gelu"', '"relu"'))
        seal(folder)
        with pytest.raises(CheckpointError, match=r"hidden_act gelu, the only one that the ONNX ex"
                           r"port can write, found relu; export it with --format transformers$"):
            export.export_onnx(folder, tmp_path / "to", "onnx")
        assert not (tmp_path / "to").exists()


class TestTheCommand:
    def test_onnx_from_a_folder_and_from_the_registry(
            self, ready: Project, capsys: pytest.CaptureFixture[str]) -> None:
        ready.params(lambda values: values.update(project="exporting-onnx"))
        assert run("register") == 0
        capsys.readouterr()
        assert run("export", "--format", "onnx", "--version", "challenger") == 0
        out = unfolded(capsys.readouterr().out)
        assert out.startswith("artifacts/export/onnx: 0.0 MB; `amtss predict ")
        assert run("export", "--format", "onnx", "--output", "other") == 0
        assert checkpoint.fingerprint(ready.root / "other") == checkpoint.fingerprint(
            ready.root / "artifacts/export/onnx")
        capsys.readouterr()
        told = []
        for more in ([], ["--runtime", "onnx"], ["--runtime", "onnx", "--model", "other"]):
            assert run("predict", "--lang", "fr", "bonjour", *more) == 0
            told.append(json.loads(capsys.readouterr().out)["probabilities"])
        assert told[0] == pytest.approx(told[1], abs=2e-6)
        assert told[1] == told[2]

    def test_onnx_without_an_export(self, ready: Project,
                                    capsys: pytest.CaptureFixture[str]) -> None:
        assert run("predict", "--runtime", "onnx", "--lang", "fr", "bonjour") == 1
        assert capsys.readouterr().err == (
            "amtss: artifacts/export/onnx: expected an export with model.onnx, found none; run "
            "`amtss export --format onnx`\n")

    def test_from_a_folder_and_from_the_registry(self, ready: Project,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
        ready.params(lambda values: values.update(project="exporting"))
        assert run("register") == 0
        capsys.readouterr()
        assert run("export", "--lang", "fr") == 0
        out = unfolded(capsys.readouterr().out)
        assert out.startswith("artifacts/export/fr: load it with `pipeline(")
        assert run("export", "--lang", "fr", "--version", "challenger", "--output", "other") == 0
        assert checkpoint.fingerprint(ready.root / "other") == checkpoint.fingerprint(
            ready.root / "artifacts/export/fr")
        assert run("export", "--lang", "all", "--model", "artifacts/baseline") == 0
        capsys.readouterr()
        assert run("export", "--lang", "fr", "--format", "onnx-int8") == 0
        out = unfolded(capsys.readouterr().out)
        assert out.startswith("artifacts/export/fr: 0.0 MB; `amtss predict ")

    @pytest.mark.parametrize(("arguments", "message"), [
        (["--lang", "../../x"], "expected a head for one of en, fr, ko, found none for '../../x'"),
        (["--lang", "ko", "--format", "tf"], "'tf' is not one of 'transformers', 'onnx'"),
        (["--lang", "pl", "--format", "onnx-int8"], "for one of en, fr, ko, found none for 'pl'"),
        (["--lang", "ko", "--int8"], "No such option: --int8"),
        (["--format", "transformers"], "--format transformers: expected --lang with it, as a c"),
        ([], "holds one language, found none; name one, or take --format onnx for all"),
    ])
    def test_mistakes_are_one_line(self, own: Path, capsys: pytest.CaptureFixture[str],
                                   arguments: list[str], message: str) -> None:
        assert run("export", "--model", str(own), *arguments) == 1
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
