from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.training import KINDS, fill, write_checkpoint
from transformers import AutoModel

from amtss.errors import CheckpointError
from amtss.models import checkpoint


def write(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_fingerprint_is_of_names_and_bytes(tmp_path: Path) -> None:
    first = checkpoint.fingerprint(write(tmp_path / "1", config=b"{}", model=b"weights"))
    assert len(first) == 16
    assert int(first, 16) >= 0
    same = write(tmp_path / "elsewhere" / "2", model=b"weights", config=b"{}")
    assert checkpoint.fingerprint(same) == first


@pytest.mark.parametrize("files", [
    {"config": b"{}", "model": b"Weights"}, {"config": b"{}", "model": b""}, {"config": b"{}"},
    {"config": b"{}", "model.bin": b"weights"}, {"config": b"weights", "model": b"{}"},
    {"config": b"{}", "model": b"weights", "more": b""}], ids=str)
def test_other_files_have_another_one(tmp_path: Path, files: dict[str, bytes]) -> None:
    first = checkpoint.fingerprint(write(tmp_path / "1", config=b"{}", model=b"weights"))
    assert checkpoint.fingerprint(write(tmp_path / "2", **files)) != first


def test_no_folder_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="student: expected a model's folder, found none"):
        checkpoint.fingerprint(tmp_path / "student")


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_as_many_as_the_model_reads(tmp_path: Path, kind: str) -> None:
    source = write_checkpoint(tmp_path / "big", kind, positions=20)
    model = AutoModel.from_pretrained(source)
    most = 20 if kind != "bert" else 20 + model.config.pad_token_id + 1
    for tokens in (most, most + 1):
        ids = torch.full((1, tokens), 7)
        if tokens == most:
            model(ids)
            checkpoint.check_length(model, tokens, "big", "lower it")
        else:
            with pytest.raises((IndexError, RuntimeError), match=r"out of bounds|must match"):
                model(ids)
            with pytest.raises(CheckpointError, match=f"^big: expected positions for texts of "
                               f"{tokens} tokens, found {most}; lower it$"):
                checkpoint.check_length(model, tokens, "big", "lower it")


def test_weights_of_ours_that_nobody_knows(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "big", "bert")
    weights = load_file(source / "model.safetensors")
    save_file(weights | {"encoder.gate.weight": torch.ones(3)}, source / "model.safetensors",
              {"format": "pt"})
    checkpoint.load(AutoModel, str(source), "choose another", head=False)
    with pytest.raises(CheckpointError, match=r"big: expected weights that this version of amtss "
                       r"knows, found .*encoder\.gate\.weight.*; use the version that has written "
                       r"it, or choose another$"):
        checkpoint.load(AutoModel, str(source), "choose another", head=False, ours=True)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    source = write_checkpoint(tmp_path / "big", "bert")
    checkpoint.load(AutoModel, str(source), "choose another", head=False)
    fill(source, value, "layer.1.output.dense.bias")
    with pytest.raises(CheckpointError, match=r"big: expected finite weights, found NaN or infinite"
                       r" ones in encoder\.layer\.1\.output\.dense\.bias; choose another$"):
        checkpoint.load(AutoModel, str(source), "choose another", head=False)
