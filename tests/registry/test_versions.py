import json
from pathlib import Path

import pytest
from support.registered import place, register, retrained, unregistered
from support.training import Project

from amtss.errors import RegistryError
from amtss.files import write_text
from amtss.models import checkpoint
from amtss.registry import store, versions

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return unregistered(tmp_path, monkeypatch)


class TestFind:
    def test_by_alias_and_by_number(self, project: Project) -> None:
        version, _ = register(project)
        for reference in ("challenger", 1, "1"):
            assert versions.find(project.params, project.layout, reference) == version

    def test_nothing_is_registered(self, project: Project) -> None:
        assert versions.versions(project.params, project.layout) == []
        assert versions.aliases(project.params, project.layout) == {}
        for reference in ("champion", 1):
            with pytest.raises(RegistryError, match=rf"expected \w+ {reference}, found none; run "
                               "`amtss register`$"):
                versions.find(project.params, project.layout, reference)

    def test_what_is_not_there(self, project: Project) -> None:
        register(project)
        with pytest.raises(RegistryError, match=r"alias champion, found challenger \(1\); run "
                           "`amtss promote`$"):
            versions.find(project.params, project.layout, "champion")
        with pytest.raises(RegistryError, match=r"version 7, found 1; name one of them$"):
            versions.find(project.params, project.layout, 7)

    def test_a_version_of_somebody_else(self, project: Project) -> None:
        register(project)
        client = store.connect(project.params, project.layout)
        client.create_model_version(versions.name(project.params), "file:///elsewhere")
        assert [each.number for each in versions.versions(project.params, project.layout)] == [1]
        with pytest.raises(RegistryError, match="version 2: expected the tags of `amtss register`"):
            versions.find(project.params, project.layout, 2)


class TestAliases:
    def test_set_move_and_delete(self, project: Project) -> None:
        register(project)
        register(retrained(project))
        params, layout = project.params, project.layout
        versions.point(params, layout, "champion", 1)
        assert versions.aliases(params, layout) == {"champion": 1, "challenger": 2}
        versions.point(params, layout, "champion", 2)
        versions.point(params, layout, "challenger", None)
        assert versions.aliases(params, layout) == {"champion": 2}
        assert versions.find(params, layout, 2).aliases == ("champion",)

    def test_no_such_version(self, project: Project) -> None:
        register(project)
        with pytest.raises(RegistryError, match=r"expected the model registry to answer.*9"):
            versions.point(project.params, project.layout, "champion", 9)

    def test_mark(self, project: Project) -> None:
        assert versions.marked(project.params, project.layout) is None
        register(project)
        assert versions.marked(project.params, project.layout) is None
        versions.mark(project.params, project.layout, 1)
        versions.point(project.params, project.layout, "champion", None)
        assert versions.marked(project.params, project.layout) == 1


class TestFetch:
    def fetch(self, project: Project, fingerprint: str | None = None) -> Path:
        to = project.layout.registered / "student"
        versions.fetch(project.params, project.layout, 1, fingerprint, to)
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
                           r"version 1, found: \w{16}; restore its files there, or delete"):
            self.fetch(project)
        assert self.left(project) == []

    @pytest.mark.parametrize("gone", ["artifacts/student/model.safetensors", "artifacts/student",
                                      ""])
    def test_files_that_are_gone(self, project: Project, gone: str) -> None:
        register(project)
        path = place(project) / gone
        path.rename(project.layout.root / "away")
        with pytest.raises(RegistryError, match=r"of version 1, found: .*; restore its files the"
                           r"re, or delete version 1 in MLflow and run `amtss register` again for "
                           r"a new one$"):
            self.fetch(project)
        assert self.left(project) == []

    def test_a_new_one_for_files_that_are_gone(self, project: Project) -> None:
        version, _ = register(project)
        versions.point(project.params, project.layout, "champion", 1)
        place(project).rename(project.layout.root / "away")
        client = store.connect(project.params, project.layout)
        client.delete_model_version(versions.name(project.params), "1")
        assert versions.aliases(project.params, project.layout) == {}
        again, new = register(project)
        assert (again.number, again.fingerprint, again.aliases, new) == (
            2, version.fingerprint, ("challenger",), True)
        to = project.layout.registered / "student"
        versions.fetch(project.params, project.layout, 2, version.fingerprint, to)
        assert checkpoint.fingerprint(to) == version.fingerprint

    def test_needs_no_student_here(self, project: Project) -> None:
        version, _ = register(project)
        project.layout.student.rename(project.layout.root / "away")
        assert json.loads((self.fetch(project) / "config.json").read_text())["languages"] == list(
            version.languages)
