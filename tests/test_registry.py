import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from registered import database, evaluated, retrained
from training import LABELS, LANGUAGES, Project

from amtss import checkpoint, corpus, registry, tracking
from amtss.errors import AmtssError, CheckpointError, RegistryError
from amtss.layout import read_json, write_json, write_text
from amtss.registry import Version


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An evaluated student, and a registry that holds nothing of it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database())
    return evaluated(tmp_path, project=f"p-{uuid.uuid4().hex}")


def register(project: Project) -> tuple[Version, bool]:
    return registry.register(project.params, project.layout)


def place(project: Project, number: int = 1) -> Path:
    """The folder that holds a version."""
    client = tracking.connect(project.params, project.layout)
    found = client.get_model_version_download_uri(registry.name(project.params), str(number))
    return Path(found.removeprefix("file://"))


def entity(project: Project, number: int = 1) -> Any:
    client = tracking.connect(project.params, project.layout)
    return client.get_model_version(registry.name(project.params), str(number))


class TestRegister:
    def test_tells_what_was_measured(self, project: Project) -> None:
        (project.layout.root / "dvc.lock").write_text("schema: '2.0'\n")
        write_json(project.layout.validation("fr") / "validation.json", {"errors": 2})
        version, new = register(project)
        accuracy = read_json(project.layout.metrics, "")["student"]["accuracy"]
        average = accuracy.pop("average")
        assert new
        assert version == Version(
            1, checkpoint.fingerprint(project.layout.student), None, LANGUAGES, LABELS, accuracy,
            {code: corpus.test_fingerprint(project.layout, code) for code in LANGUAGES},
            {"en": 0, "fr": 2, "ru": 0}, "", tracking.lock(project.layout), ("challenger",))
        assert version.average == pytest.approx(average)
        assert len(version.lock) == 64
        assert entity(project).tags["average"] == f"{average:.2f}".rstrip("0")
        assert f"| fr | {accuracy['fr']:.2f} |" in entity(project).description
        assert "parent" not in entity(project).tags

    def test_twice(self, project: Project) -> None:
        first, _ = register(project)
        registry.point(project.params, project.layout, "challenger", None)
        assert register(project) == (first, False)
        assert registry.versions(project.params, project.layout) == [first]

    def test_a_champion_challenges_nobody(self, project: Project) -> None:
        register(project)
        registry.point(project.params, project.layout, "champion", 1)
        registry.point(project.params, project.layout, "challenger", None)
        version, new = register(project)
        assert (version.aliases, new) == (("champion",), False)

    def test_another_student(self, project: Project) -> None:
        first, _ = register(project)
        metrics = read_json(retrained(project).layout.metrics, "")
        write_json(project.layout.metrics, metrics | {"onboarded": {"version": 1}})
        second, new = register(project)
        assert (second.number, second.parent, second.aliases, new) == (2, 1, ("challenger",), True)
        assert second.fingerprint != first.fingerprint
        assert [each.aliases for each in registry.versions(project.params, project.layout)] == [
            (), ("challenger",)]

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
        assert folder / "code" / "amtss" / "predicting.py" in files
        assert not {path.suffix for path in files} & {".pkl", ".pickle", ".bin", ".pt", ".pth"}
        assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]  # pickle's first
        wanted = (folder / "requirements.txt").read_text().split()
        assert [each.partition("==")[0] for each in wanted] == list(registry.REQUIREMENTS)
        assert not [each for each in wanted if "/" in each or "+" in each or "==" not in each]

    def test_figures_of_another_student(self, project: Project) -> None:
        config = project.layout.student / "config.json"
        config.write_text(config.read_text() + " ")
        with pytest.raises(RegistryError, match=r"metrics.json: expected figures of the student "
                           r"\w{16}, found \w{16}; run `dvc repro`$"):
            register(project)
        assert registry.versions(project.params, project.layout) == []

    def test_no_figures(self, project: Project) -> None:
        project.layout.metrics.unlink()
        with pytest.raises(RegistryError, match="found none; run `dvc repro`"):
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
        assert max(map(len, registry._tags(version).values())) < 5000
        assert len(registry._description(version)) < 5000


@pytest.mark.slow
class TestCommand:
    def amtss(self, project: Project) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-m", "amtss.cli", "register"], text=True,
                                cwd=project.layout.root, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def test_two_at_once(self, project: Project) -> None:
        both = [self.amtss(project) for _ in range(2)]
        told = sorted(each.communicate()[0] for each in both)
        assert [each.returncode for each in both] == [0, 0]
        name = registry.name(project.params)
        assert told[0].startswith(f"{name} version 1, new: ")
        assert told[1].startswith(f"{name} version 1, registered before: ")
        assert told[1].endswith("on average over en, fr, ru; now challenger\n")
        assert len(registry.versions(project.params, project.layout)) == 1

    def test_a_mistake_is_one_line(self, project: Project) -> None:
        project.layout.metrics.unlink()
        out, error = self.amtss(project).communicate()
        assert out == ""
        assert error.startswith("amtss: artifacts/metrics.json: expected figures of the student ")
        assert error.count("\n") == 1


class TestFind:
    def test_by_alias_and_by_number(self, project: Project) -> None:
        version, _ = register(project)
        for reference in ("challenger", 1, "1"):
            assert registry.find(project.params, project.layout, reference) == version

    def test_nothing_is_registered(self, project: Project) -> None:
        assert registry.versions(project.params, project.layout) == []
        assert registry.aliases(project.params, project.layout) == {}
        for reference in ("champion", 1):
            with pytest.raises(RegistryError, match=rf"expected \w+ {reference}, found none; run "
                               "`amtss register`$"):
                registry.find(project.params, project.layout, reference)

    def test_what_is_not_there(self, project: Project) -> None:
        register(project)
        with pytest.raises(RegistryError, match=r"alias champion, found challenger \(1\); run "
                           "`amtss promote`$"):
            registry.find(project.params, project.layout, "champion")
        with pytest.raises(RegistryError, match=r"version 7, found 1; name one of them$"):
            registry.find(project.params, project.layout, 7)

    def test_a_version_of_somebody_else(self, project: Project) -> None:
        register(project)
        client = tracking.connect(project.params, project.layout)
        client.create_model_version(registry.name(project.params), "file:///elsewhere")
        assert [each.number for each in registry.versions(project.params, project.layout)] == [1]
        with pytest.raises(RegistryError, match="version 2: expected the tags of `amtss register`"):
            registry.find(project.params, project.layout, 2)


class TestAliases:
    def test_set_move_and_delete(self, project: Project) -> None:
        register(project)
        register(retrained(project))
        params, layout = project.params, project.layout
        registry.point(params, layout, "champion", 1)
        assert registry.aliases(params, layout) == {"champion": 1, "challenger": 2}
        registry.point(params, layout, "champion", 2)
        registry.point(params, layout, "challenger", None)
        assert registry.aliases(params, layout) == {"champion": 2}
        assert registry.find(params, layout, 2).aliases == ("champion",)

    def test_no_such_version(self, project: Project) -> None:
        register(project)
        with pytest.raises(RegistryError, match=r"expected the model registry to answer.*9"):
            registry.point(project.params, project.layout, "champion", 9)

    def test_mark(self, project: Project) -> None:
        assert registry.marked(project.params, project.layout) is None
        register(project)
        assert registry.marked(project.params, project.layout) is None
        registry.mark(project.params, project.layout, 1)
        registry.point(project.params, project.layout, "champion", None)
        assert registry.marked(project.params, project.layout) == 1


class TestFetch:
    def fetch(self, project: Project, fingerprint: str | None = None) -> Path:
        to = project.layout.registered / "student"
        registry.fetch(project.params, project.layout, 1, fingerprint, to)
        return to

    def left(self, project: Project) -> list[Path]:
        return [path for path in project.layout.registered.rglob("*") if path.is_file()]

    def test_the_same_files(self, project: Project) -> None:
        version, _ = register(project)
        old = project.layout.registered / "student" / "old.txt"
        write_text(old, "of another student")
        to = self.fetch(project, version.fingerprint)
        assert checkpoint.fingerprint(to) == version.fingerprint
        assert not old.exists()
        assert list(project.layout.registered.iterdir()) == [to]

    def test_another_student(self, project: Project) -> None:
        register(project)
        with pytest.raises(RegistryError, match=f"version 1: expected the student {'0' * 16}, f"):
            self.fetch(project, "0" * 16)
        assert self.left(project) == []

    def test_an_altered_file(self, project: Project) -> None:
        version, _ = register(project)
        path = place(project) / "artifacts" / "student" / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(RegistryError, match=rf"expected the student {version.fingerprint} of "
                           r"version 1, found: \w{16}; put its files back"):
            self.fetch(project)
        assert self.left(project) == []

    @pytest.mark.parametrize("gone", ["artifacts/student/model.safetensors", "artifacts/student",
                                      ""])
    def test_files_that_are_gone(self, project: Project, gone: str) -> None:
        register(project)
        path = place(project) / gone
        path.rename(project.layout.root / "away")
        with pytest.raises(RegistryError, match=r"of version 1, found: .*; put its files b.*$"):
            self.fetch(project)
        assert self.left(project) == []

    def test_needs_no_student_here(self, project: Project) -> None:
        version, _ = register(project)
        project.layout.student.rename(project.layout.root / "away")
        assert json.loads((self.fetch(project) / "config.json").read_text())["languages"] == list(
            version.languages)
