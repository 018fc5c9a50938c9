"""A damaged object in DVC's cache is named, so that it is not restored again."""

import subprocess
import sys
from pathlib import Path

import pytest

from amtss.errors import AmtssError
from amtss.files import seal, verify, write_text


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True,
                   capture_output=True)


def test_the_object_that_a_file_was_restored_from(tmp_path: Path) -> None:
    """In a real project: DVC restores the damaged object, and the stage that follows refuses it."""
    dvc(tmp_path, "init", "-q", "--no-scm")
    student = tmp_path / "student"
    write_text(student / "model.safetensors", "weights")
    seal(student)
    dvc(tmp_path, "add", "-q", "student")
    verify(student, "x")
    damaged, = (path for path in (tmp_path / ".dvc/cache/files/md5").rglob("*")
                if path.is_file() and path.read_bytes() == b"weights")
    damaged.chmod(0o644)
    damaged.write_bytes(b"weightz")
    (student / "model.safetensors").unlink()
    dvc(tmp_path, "checkout", "-q")
    with pytest.raises(AmtssError, match=rf"model\.safetensors: .* remove it and .*{damaged.name}, "
                       "the damaged object of DVC's cache that it came from, and run `x`$"):
        verify(student, "x")


def test_no_object_is_damaged(tmp_path: Path) -> None:
    dvc(tmp_path, "init", "-q", "--no-scm")
    write_text(tmp_path / "student/model.safetensors", "weights")
    seal(tmp_path / "student")
    dvc(tmp_path, "add", "-q", "student")
    (tmp_path / "student/model.safetensors").write_bytes(b"weightz")
    with pytest.raises(AmtssError, match=r"checksum differs\); remove it and run `x`$"):
        verify(tmp_path / "student", "x")
