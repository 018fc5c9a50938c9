"""A damaged object in DVC's cache is named, so that it is not restored again."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.project import run

from amtss.dvc_cache import damaged_object
from amtss.errors import AlteredError
from amtss.files import seal, verify, write_text

pytestmark = pytest.mark.slow


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True,
                   capture_output=True)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A folder that DVC tracks in a real project."""
    dvc(tmp_path, "init", "-q", "--no-scm")
    write_text(tmp_path / "student/model.safetensors", "weights")
    write_text(tmp_path / "student/config.json", '{"model_type": "amtss-student"}')
    seal(tmp_path / "student")
    dvc(tmp_path, "add", "-q", "student")
    verify(tmp_path / "student", "x")
    return tmp_path / "student"


def test_the_object_that_a_file_was_restored_from(student: Path, monkeypatch: pytest.MonkeyPatch,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
    """DVC restores the damaged object, and what reads it refuses it."""
    damaged, = (path for path in (student.parent / ".dvc/cache/files/md5").rglob("*")
                if path.is_file() and path.read_bytes() == b"weights")
    damaged.chmod(0o644)
    damaged.write_bytes(b"weightz")
    (student / "model.safetensors").unlink()
    dvc(student.parent, "checkout", "-q")
    with pytest.raises(AlteredError, match=r"checksum differs\); remove it and run `x`$") as caught:
        verify(student, "x")
    assert damaged_object(caught.value.path) == damaged
    monkeypatch.chdir(student.parent)
    assert run("predict", "--model", "student", "--lang", "en", "a text") == 1
    assert capfd.readouterr().err.endswith(
        f"; remove first {damaged}, the damaged object of DVC's cache that it came from\n")


def test_no_object_is_damaged(student: Path) -> None:
    (student / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(AlteredError, match="checksum differs") as caught:
        verify(student, "x")
    assert damaged_object(caught.value.path) is None
