import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from support.project import full_disk
from tokenizers import Tokenizer, models

from amtss.errors import AmtssError
from amtss.files import (
    contents,
    fingerprint,
    is_full,
    read_json,
    replacing,
    seal,
    verify,
    write_bytes,
    write_json,
    write_text,
)
from amtss.paths import Layout

BIG = 100_000
"""More bytes than the tests' full disk takes."""


def save_tensors(path: Path) -> None:
    save_file({"a": np.zeros(BIG, dtype=np.float32)}, path)


def save_model(path: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaModel

    XLMRobertaModel(XLMRobertaConfig(
        vocab_size=BIG // 10, hidden_size=4, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=4)).save_pretrained(path)


def save_torch(path: Path) -> None:
    torch.save(torch.zeros(BIG), path)


def save_tokenizer(path: Path) -> None:
    Tokenizer(models.WordLevel({f"word{i}": i for i in range(BIG // 10)}, "word0")).save(str(path))


WRITERS: list[Callable[[Path], Any]] = [
    lambda path: path.write_bytes(b"x" * BIG), save_tensors, save_tokenizer, save_model]


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "deep/a.txt", "été")
    assert (tmp_path / "deep/a.txt").read_text(encoding="utf-8") == "été"
    write_json(tmp_path / "deep/b.json", {"b": 1, "a": "é"})
    assert (tmp_path / "deep/b.json").read_text() == (
        '{\n  "b": 1,\n  "a": "é",\n  "checksum": "9d5df31df2744dd5"\n}\n')
    assert sorted(os.listdir(tmp_path / "deep")) == ["a.txt", "b.json"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing(tmp_path / "made") as folder:
            folder.mkdir()
            write_text(folder / name, name)
    assert os.listdir(tmp_path) == ["made"]
    assert os.listdir(tmp_path / "made") == ["new"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    code = ("import os, signal; from pathlib import Path; from amtss.files import replacing\n"
            "with replacing(Path('made')) as folder: os.kill(os.getpid(), signal.SIGKILL)")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    (tmp_path / ".made-other-12345678").mkdir()
    assert len(os.listdir(tmp_path)) == 2
    write_text(tmp_path / "made", "new")
    assert sorted(os.listdir(tmp_path)) == [".made-other-12345678", "made"]


def test_a_secret_stays_its_owner_s(tmp_path: Path) -> None:
    with replacing(tmp_path / "secret", private=True) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text("secret")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize(("umask", "file", "folder"), [
    (0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        for write in WRITERS:  # safetensors and transformers are among them
            with replacing(tmp_path / "file") as temporary:
                write(temporary)
            kept = tmp_path / "file"
            found = {path.stat().st_mode & 0o777 for path in [kept, *kept.rglob("*")]}
            assert found == ({folder, file} if kept.is_dir() else {file})
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        with replacing(tmp_path / "folder") as temporary:
            shutil.copytree(tempfile.mkdtemp(dir=tmp_path), temporary / "private")
            (temporary / "script").touch(0o700)
            (temporary / "link").symlink_to("/")
        modes = {path.name: path.lstat().st_mode & 0o777
                 for path in (tmp_path / "folder").iterdir()}
        assert modes == {"private": folder, "script": file | 0o100, "link": 0o777}
    finally:
        os.umask(before)


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not os.listdir(tmp_path)


def half_way(path: Path, error: BaseException) -> None:
    """Write half a folder over `path`, then fail."""
    with replacing(path) as folder:
        folder.mkdir()
        (folder / "half").write_text("ha")
        raise error


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt("x"), AmtssError("x")])
def test_an_error_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    write_text(tmp_path / "made/old", "old")
    with pytest.raises(type(error), match="x"):
        half_way(tmp_path / "made", error)
    assert os.listdir(tmp_path) == ["made"]
    assert (tmp_path / "made/old").read_text() == "old"


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_leaves_the_old_one(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    write_bytes(tmp_path / "made", b"old")
    with (pytest.raises(AmtssError, match=r"made: expected .*File too large.*; free space"),
          full_disk(4000), replacing(tmp_path / "made") as temporary):
        write(temporary)
    assert os.listdir(tmp_path) == ["made"]
    assert (tmp_path / "made").read_bytes() == b"old"


def test_a_folder_without_a_replacement_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "made/old", "old")
    with pytest.raises(AmtssError, match="No such file"), replacing(tmp_path / "made"):
        pass
    assert (tmp_path / "made/old").read_text() == "old"


def test_a_folder_comes_back_when_the_last_step_fails(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    write_text(tmp_path / "made/old", "old")
    monkeypatch.setattr(os, "replace", refuse)
    with (pytest.raises(AmtssError, match="not permitted"),
          replacing(tmp_path / "made") as temporary):
        temporary.mkdir()
    assert (tmp_path / "made/old").read_text() == "old"
    assert os.listdir(tmp_path) == ["made"]


def test_a_file_is_in_the_folder_s_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AmtssError, match="file/a: expected to be able to write"):
        write_text(tmp_path / "file/a", "a")


def test_errors_of_a_full_disk_are_recognised(tmp_path: Path) -> None:
    results = []
    for at, write in enumerate([*WRITERS, save_torch]):
        with full_disk(4000):
            try:
                write(tmp_path / str(at))
            except Exception as error:  # noqa: BLE001 - each library has its own
                results.append(is_full(error))
    assert results == [True] * (len(WRITERS) + 1)
    assert not is_full(ValueError("nothing like it"))
    assert not is_full(FileNotFoundError(2, "No such file"))


def test_read_json_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(AmtssError, match=r"gone\.json: expected a file, found none; run `amtss x`"):
        read_json(tmp_path / "gone.json", dict[str, Any], "amtss x")
    (tmp_path / "bad.json").write_bytes(b"{\xff")
    with pytest.raises(AmtssError, match=r"bad\.json: .* JSON, .*remove it and run `amtss x`"):
        read_json(tmp_path / "bad.json", dict[str, Any], "amtss x")


def test_paths_lie_below_the_root() -> None:
    layout = Layout(Path("/project"))
    assert layout.params == Path("/project/params.yaml")
    assert layout.logits("en", "fr") == Path("/project/artifacts/logits/en/fr.safetensors")
    paths = [layout.corpus("en"), layout.validation("en"), layout.gate, layout.gate_keys,
            layout.teacher("en"), layout.tokenizer, layout.student, layout.baseline,
            layout.training("distil"), layout.checkpoints("distil"), layout.metrics,
            layout.evaluation, layout.report]
    assert all(path.is_relative_to(layout.artifacts) for path in paths)
    assert len(set(paths)) == len(paths)


class TestFingerprint:
    def test_is_sha256_of_a_single_part(self) -> None:
        assert fingerprint(b"abc") == hashlib.sha256(b"abc").hexdigest()[:16]

    def test_depends_on_the_parts_and_not_on_the_order_of_keys(self) -> None:
        parts = [("a", "b"), ("ab",), (b"ab",), (["a", "b"],), ("b", "a"), ({"a": 1},), (1,),
                 ("1",), (None,), ()]
        assert len({fingerprint(*values) for values in parts}) == len(parts)
        assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        assert fingerprint((1, 2)) == fingerprint([1, 2])

    def test_of_files_depends_on_names_and_contents(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        one.write_text("text")
        two.write_text("text")
        before = fingerprint(contents([one]))
        assert before != fingerprint(contents([two]))
        one.write_text("other")
        assert before != fingerprint(contents([one]))


@dataclass
class Shape:
    """What the tests' JSON is expected to be."""

    labels: list[str]
    errors: int = 0


@pytest.mark.parametrize(("text", "found"), [
    ("{}", "labels: Field required"), ("[]", "the whole: "), ("null", "the whole: "),
    ('{"labels": "pay"}', "labels: Input should be a valid "),
    ('{"labels": [1]}', r"labels\.0: Input should be a valid string"),
    ('{"labels": [], "errors": "0"}', "errors: Input should be a valid integer"),
    ("[" * 100_000, "maximum recursion|recursion limit"), ('{"labels": []}', "checksum differs")])
def test_json_of_another_shape_is_one_line(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "gate.json").write_text(text)
    with pytest.raises(AmtssError, match=rf"gate\.json: .*({found}).*; remove it and run `x`$"
                       ) as raised:
        read_json(tmp_path / "gate.json", Shape, "x")
    assert "\n" not in str(raised.value)


def test_json_that_was_changed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    write_json(path, {"labels": ["pay", "ship"], "errors": 1})
    assert read_json(path, Shape, "x") == Shape(["pay", "ship"], 1)
    text = path.read_text()
    for change in (('"pay",', '"ship",'), ('"errors": 1', '"errors": 0')):
        path.write_text(text.replace(*change))
        with pytest.raises(AmtssError, match=r"gate\.json: .*checksum differs"):
            read_json(path, Shape, "x")


@given(st.data())
def test_any_flipped_bit_of_a_sealed_folder_is_seen(tmp_path_factory: pytest.TempPathFactory,
                                                    data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("sealed")
    write_text(folder / "a.bin", "some bytes")
    write_text(folder / "start" / "b.bin", "others")
    seal(folder)
    verify(folder, "x")
    (folder / ".ipynb_checkpoints").mkdir()
    write_text(folder / ".ipynb_checkpoints" / "a", "what an editor leaves does not count")
    verify(folder, "x")
    path = folder / data.draw(st.sampled_from(["a.bin", "start/b.bin", "checksums.json"]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(AmtssError, match=f"{path.name}: .*; remove it and run `x`$"):
        verify(folder, "x")


def test_a_file_of_a_sealed_folder_is_missing(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "a")
    seal(tmp_path)
    (tmp_path / "a").unlink()
    with pytest.raises(AmtssError, match=r"a: expected a file, found: No such file.*; run `x`"):
        verify(tmp_path, "x")
