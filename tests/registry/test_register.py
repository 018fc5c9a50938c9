import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from support.project import ROOT, run, unfolded
from support.registered import place, register, retrained, unregistered
from support.training import LABELS, LANGUAGES, Project

from amtss.data import corpus
from amtss.errors import AmtssError, CheckpointError, RegistryError
from amtss.files import read_json, write_json, write_text
from amtss.locks import alone
from amtss.models import checkpoint
from amtss.registry import store, tracking, versions
from amtss.registry.register import REQUIREMENTS, _description
from amtss.registry.versions import Version

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return unregistered(tmp_path, monkeypatch)


def entity(project: Project, number: int = 1) -> Any:
    client = store.connect(project.params, project.layout)
    return client.get_model_version(versions.name(project.params), str(number))


class TestRegister:
    def test_tells_what_was_measured(self, project: Project) -> None:
        write_json(project.layout.validation("fr") / "validation.json", {
            "fingerprint": "", "errors": 2, "warnings": 0})
        version, new = register(project)
        metrics = read_json(project.layout.metrics, dict[str, Any], "")
        accuracy, floor = (metrics[model]["accuracy"] for model in ("student", "floor"))
        average = accuracy.pop("average")
        del floor["average"]
        assert new
        assert version == Version(
            1, checkpoint.fingerprint(project.layout.student), None, LANGUAGES, LABELS, accuracy,
            {code: corpus.test_fingerprint(project.layout, code) for code in LANGUAGES},
            {"en": 0, "fr": 2, "ru": 0}, "", tracking.lock(project.layout), None,
            ("challenger",), floor=floor, majority=metrics["majority"])
        assert version.average == pytest.approx(average)
        assert version.lock == ""
        assert entity(project).tags["average"] == str(round(average, 2))
        assert f"| fr | {accuracy['fr']:.2f} |" in entity(project).description
        assert "parent" not in entity(project).tags

    def test_twice(self, project: Project) -> None:
        first, _ = register(project)
        versions.point(project.params, project.layout, "challenger", None)
        assert register(project) == (first, False)
        assert versions.versions(project.params, project.layout) == [first]

    def test_a_champion_challenges_nobody(self, project: Project) -> None:
        register(project)
        versions.point(project.params, project.layout, "champion", 1)
        versions.point(project.params, project.layout, "challenger", None)
        version, new = register(project)
        assert (version.aliases, new) == (("champion",), False)

    def test_another_student(self, project: Project) -> None:
        first, _ = register(project)
        metrics = read_json(retrained(project).layout.metrics, dict[str, Any], "")
        write_json(project.layout.metrics, metrics | {"onboarded": {
            "version": 1, "languages": []}})
        second, new = register(project)
        assert (second.number, second.parent, second.aliases, new) == (2, 1, ("challenger",), True)
        assert second.fingerprint != first.fingerprint
        assert [each.aliases for each in versions.versions(project.params, project.layout)] == [
            (), ("challenger",)]

    def test_another_runtime_is_another_version(self, project: Project) -> None:
        first, _ = register(project)
        project.set(serving={"runtime": "onnx-int8"})
        second, new = register(project)
        assert (second.number, second.runtime, new) == (2, "onnx-int8", True)
        assert second.fingerprint == first.fingerprint
        assert register(project) == (second, False)
        assert {path.name for path in (place(project, 2) / "artifacts").iterdir()} == {
            "card", "student", "onnx"}
        assert "torch" not in (place(project, 2) / "requirements.txt").read_text()
        assert "Its runtime is onnx-int8" in entity(project, 2).description
        project.set(serving=None)
        assert register(project)[0].number == 1
        project.set(serving={"min_accuracy": 0.9})
        third, _ = register(project)
        assert (third.number, third.runtime, third.min_accuracy) == (3, "pytorch", 0.9)

    def test_keeps_the_report(self, project: Project) -> None:
        from mlflow.artifacts import load_text

        write_text(project.layout.report / "report.html", "<p>Good.</p>")
        register(project)
        assert load_text(entity(project).tags["report"]) == "<p>Good.</p>"

    def test_writes_no_pickle_and_no_paths(self, project: Project) -> None:
        register(project)
        folder = place(project)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert folder / "artifacts" / "student" / "model.safetensors" in files
        shipped = {path.relative_to(folder / "code") for path in files
                   if path.is_relative_to(folder / "code")}
        assert shipped == {path.relative_to(ROOT) for path in (ROOT / "amtss").rglob("*")
                           if path.is_file() and "__pycache__" not in path.parts}
        assert not {path.suffix for path in files} & {".pkl", ".pickle", ".bin", ".pt", ".pth"}
        assert not [path for path in files if path.read_bytes()[:1] == b"\x80"  # pickle's first,
                    and path.suffix != ".safetensors"]  # and a header's of 128 bytes
        wanted = (folder / "requirements.txt").read_text().split()
        assert {each.partition("==")[0] for each in wanted} == {
            *REQUIREMENTS, "safetensors", "torch", "transformers"}
        assert not [each for each in wanted if "/" in each or "+" in each or "==" not in each]

    def test_waits_for_a_promotion(self, project: Project) -> None:
        register(project)  # so that the next one is a matter of milliseconds
        with ThreadPoolExecutor(1) as threads:
            with alone(project.layout.registry_lock):
                waiting = threads.submit(register, project)
                assert wait([waiting], timeout=1).not_done
            assert not waiting.result()[1]

    def test_figures_of_another_student(self, project: Project) -> None:
        config = project.layout.student / "config.json"
        config.write_text(config.read_text() + " ")
        with pytest.raises(RegistryError, match=r"metrics.json: expected figures of the student "
                           r"\w{16}, found \w{16}; run `dvc repro`$"):
            register(project)
        assert versions.versions(project.params, project.layout) == []

    def test_no_figures(self, project: Project) -> None:
        project.layout.metrics.unlink()
        with pytest.raises(AmtssError, match=r"metrics\.json: .*none; run `dvc repro ev"):
            register(project)

    def test_no_student(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="found none; run `dvc repro`"):
            register(Project(tmp_path))

    def test_not_validated(self, project: Project) -> None:
        (project.layout.validation("ru") / "validation.json").unlink()
        with pytest.raises(AmtssError, match="found none; run `dvc repro validate@ru`"):
            register(project)

    def test_the_registry_does_not_answer(self, project: Project,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9.*run the same command again$"):
            register(project)

    def test_many_languages_and_labels(self) -> None:
        languages = tuple(f"l{index}-Latn" for index in range(20))
        labels = tuple(f"a label that says what it is of {index}" for index in range(60))
        version = Version(1, "0" * 16, 7, languages, labels, dict.fromkeys(languages, 100 / 3),
                          dict.fromkeys(languages, "0" * 16), dict.fromkeys(languages, 100),
                          "0" * 40, "0" * 64)
        assert max(map(len, versions.tags(version).values())) < 5000
        assert len(_description(version)) < 5000


@pytest.fixture
def committed(project: Project) -> Project:
    """The same under git, with its dvc.lock; nothing has changed since."""
    write_text(project.layout.root / "dvc.lock", "schema: '2.0'\n")
    write_text(project.layout.root / "dvc.yaml", "stages: {evaluate: {cmd: amtss evaluate}}\n")
    git(project, "init", "-q")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=project.layout.root, check=True)
    git(project, "add", "params.yaml", "dvc.yaml", "dvc.lock")
    git(project, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "state")
    return project


def git(project: Project, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=project.layout.root, check=True, text=True,
                          capture_output=True).stdout.strip()


def test_what_dvc_calls_changed_is_refused_and_what_is_missing_is_not(committed: Project) -> None:
    layout = committed.layout
    write_text(layout.root / "dvc.yaml", """stages:
  evaluate:
    cmd: amtss evaluate
    deps: [artifacts/logits]
    metrics: [artifacts/metrics.json: {cache: false}]
""")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-q", "-f"], cwd=layout.root, check=True)
    evaluated = layout.metrics.read_bytes()
    metrics = read_json(layout.metrics, dict[str, Any], "")
    metrics["student"]["accuracy"]["en"] += 40
    write_json(layout.metrics, metrics)  # with a checksum that fits
    with pytest.raises(RegistryError, match=r"changed: artifacts/metrics\.json of evaluate; .*run "
                       "`dvc repro`"):
        register(committed)
    assert versions.versions(committed.params, layout) == []
    layout.metrics.write_bytes(evaluated)
    shutil.rmtree(layout.artifacts / "logits")
    assert register(committed)[1]


class TestDirty:
    def test_is_told_and_no_refusal(self, committed: Project, monkeypatch: pytest.MonkeyPatch,
                                    capfd: pytest.CaptureFixture[str]) -> None:
        monkeypatch.chdir(committed.layout.root)
        with open("params.yaml", "a") as file:
            file.write("# another\n")
        write_text(committed.layout.corrections("en"), "split,id,key,old,new\n")
        assert run("register") == 0
        assert unfolded(capfd.readouterr().out).splitlines()[1] == (
            "params.yaml, corrections: not committed; `git add params.yaml corrections && git "
            "commit`, so that a later onboarding or `dvc repro` can repeat this run")
        found = versions.find(committed.params, committed.layout, 1)
        assert (found.commit, found.dirty) == (git(committed, "rev-parse", "HEAD"),
                                               "params.yaml, corrections")
        assert entity(committed).tags["dirty"] == "params.yaml, corrections"
        assert run("register") == 0
        assert "not committed" not in capfd.readouterr().out

    def test_clean(self, committed: Project) -> None:
        version, _ = register(committed)
        assert (version.commit, version.dirty) == (git(committed, "rev-parse", "HEAD"), None)
        assert "dirty" not in entity(committed).tags


class TestCommand:
    def amtss(self, project: Project) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-m", "amtss", "register"], text=True,
                                cwd=project.layout.root, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def test_two_at_once(self, project: Project) -> None:
        both = [self.amtss(project) for _ in range(2)]
        told = sorted(each.communicate()[0] for each in both)
        assert [each.returncode for each in both] == [0, 0]
        name = versions.name(project.params)
        assert told[0].startswith(f"{name} version 1, new: ")
        assert told[1].startswith(f"{name} version 1, registered before: ")
        assert told[1].endswith("on average over en, fr, ru; now challenger\n")
        assert len(versions.versions(project.params, project.layout)) == 1

    def test_a_mistake_is_one_line(self, project: Project) -> None:
        project.layout.metrics.unlink()
        out, error = self.amtss(project).communicate()
        assert out == ""
        assert error.startswith("amtss: artifacts/metrics.json: expected a file, found none; run ")
        assert error.count("\n") == 1
