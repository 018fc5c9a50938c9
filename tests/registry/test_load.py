from pathlib import Path

import pytest
from support.predictions import questions
from support.registered import place, register, unregistered
from support.training import Project

from amtss.errors import CheckpointError, RegistryError
from amtss.inference.onnx_predictor import OnnxPredictor
from amtss.inference.plain_predictor import PlainPredictor
from amtss.registry import versions
from amtss.registry.load import load_student

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return unregistered(tmp_path, monkeypatch)


class TestLoadStudent:
    def test_from_a_folder(self, project: Project) -> None:
        for source in (project.layout.student, str(project.layout.student)):
            assert isinstance(load_student(source), PlainPredictor)

    def test_by_alias_and_number(self, project: Project) -> None:
        register(project)
        texts, languages, *_ = zip(*questions(project), strict=True)
        expected = load_student(project.layout.student).predict(texts, languages)
        name = versions.name(project.params)
        for source in (f"models:/{name}@challenger", f"models:/{name}/1"):
            assert load_student(source).predict(texts, languages) == expected

    def test_a_version_of_another_runtime(self, project: Project) -> None:
        project.set(serving={"runtime": "onnx-int8"})
        register(project)
        predictor = load_student(f"models:/{versions.name(project.params)}/1")
        assert isinstance(predictor, OnnxPredictor)
        assert predictor.predict(["enpay1"], "en")[0].score > 0

    @pytest.mark.parametrize(("reference", "message"), [
        ("@champion", "expected the model registry to answer, found: .*champion"),
        ("/7", "expected the model registry to answer, found: .*7"),
        ("", "expected models:/NAME@ALIAS or models:/NAME/NUMBER, found neither"),
        ("/1/2", "expected models:/NAME@ALIAS or models:/NAME/NUMBER, found neither")])
    def test_no_such_version(self, project: Project, reference: str, message: str) -> None:
        register(project)
        with pytest.raises(RegistryError, match=message) as found:
            load_student(f"models:/{versions.name(project.params)}{reference}")
        assert "\n" not in str(found.value)

    def test_altered_files(self, project: Project) -> None:
        version, _ = register(project)
        path = place(project) / "artifacts" / "student" / "config.json"
        path.write_text(path.read_text() + " ")
        with pytest.raises(RegistryError, match=rf"/1: expected the student {version.fingerprint}, "
                           r"found \w{16}; restore its files in .*, or name another version"):
            load_student(f"models:/{versions.name(project.params)}/1")

    def test_no_student(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="found neither; run `dvc repro` or name another"):
            load_student(tmp_path)

    def test_no_registry(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RegistryError, match=r"mlflow.db: expected MLflow's database, found no"):
            load_student("models:/amtss-demo@champion")
        assert list(tmp_path.iterdir()) == []
