import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.training import LABELS, begun, write_checkpoint
from transformers import AutoModel

from amtss.config.schema import Architecture, Student
from amtss.errors import CheckpointError
from amtss.student import embeddings
from amtss.student.model import StudentModel, build_student

CODES = ["en", "fr", "ru"]
SMALL = Architecture(layers=2, width=16, heads=2, feed_forward=32, vocabulary=300)


def small(heads: str = "own", seed: int = 0, pooling: str = "first") -> StudentModel:
    torch.manual_seed(seed)
    settings = Student.model_validate({"architecture": SMALL, "heads": heads, "max_length": 16,
                                       "pooling": pooling})
    return build_student(settings, CODES, list(LABELS), vocabulary=50, pad=1).eval()


def batch(codes: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts of lengths 4 to 9, padded, in the languages `codes`."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 40, (len(codes), 9), generator=draw)
    mask = (torch.arange(9) < torch.randint(4, 10, (len(codes), 1), generator=draw)).long()
    return ids.masked_fill(mask == 0, 1), mask, torch.tensor(codes)


class TestSize:
    def test_table_3(self) -> None:
        # 250,002 tokens x 200, four layers of feed-forward 800, five heads of three labels
        with torch.device("meta"):
            model = build_student(Student(), ["ar", "en", "es", "fr", "ru"], list(LABELS),
                                  vocabulary=250_002, pad=1)
        assert model.num_parameters() == 52_238_215

    def test_a_language_costs_one_head(self) -> None:
        sizes = [build_student(Student(architecture=SMALL), codes, list(LABELS), 50, 1)
                 .num_parameters() for codes in (CODES, [*CODES, "ko"])]
        assert sizes[1] - sizes[0] == 16 * 16 + 16 + 16 * 3 + 3


def assert_same_weights(one: StudentModel, other: StudentModel) -> None:
    """Bit by bit; their logits may differ by rounding, as memory is aligned otherwise."""
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


class TestSaved:
    @pytest.mark.parametrize("heads", ["own", "residual"])
    def test_gives_the_same_logits(self, tmp_path: Path, heads: str) -> None:
        model, texts = small(heads), batch([0, 1, 2, 1, 0])
        with torch.no_grad():
            for parameter in model.parameters():  # residual heads are 0 as they begin
                parameter.add_(0.01 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path)
        read = StudentModel.from_pretrained(tmp_path, use_safetensors=True).eval()
        assert_same_weights(read, model)
        torch.testing.assert_close(read(*texts), model(*texts), rtol=0, atol=1e-7)
        assert read.config.languages == CODES
        assert read.config.heads == heads
        assert [read.config.id2label[i] for i in range(3)] == list(LABELS)
        assert read.config.max_tokens == 16

    def test_is_safetensors_only(self, tmp_path: Path) -> None:
        small().save_pretrained(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}

    def test_opens_by_its_type(self, tmp_path: Path) -> None:
        small().save_pretrained(tmp_path)
        assert isinstance(AutoModel.from_pretrained(tmp_path), StudentModel)


class TestHeads:
    @pytest.mark.parametrize("heads", ["own", "residual"])
    def test_a_mixed_batch_is_its_languages_one_by_one(self, heads: str) -> None:
        model = small(heads)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        ids, mask, language = batch([2, 0, 1, 0, 2, 2, 1])
        mixed = model(ids, mask, language)
        for index in range(3):
            rows = language == index
            torch.testing.assert_close(mixed[rows], model(ids[rows], mask[rows], language[rows]))

    def test_languages_differ_by_their_head_alone(self) -> None:
        ids, mask, _ = batch([0, 0])
        model = small()
        assert not torch.allclose(model(ids, mask, torch.tensor([0, 0])),
                                  model(ids, mask, torch.tensor([1, 1])))
        model.heads["fr"].load_state_dict(model.heads["en"].state_dict())
        torch.testing.assert_close(model(ids, mask, torch.tensor([0, 0])),
                                   model(ids, mask, torch.tensor([1, 1])))

    def test_residual_ones_begin_as_the_shared_one(self) -> None:
        model = small("residual")
        ids, mask, _ = batch([0, 0])
        logits = [model(ids, mask, torch.tensor([index, index])) for index in range(3)]
        torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
        torch.testing.assert_close(logits[0], logits[2], rtol=0, atol=0)
        assert logits[0].abs().max() > 0

    def test_a_residual_adds_to_the_shared_weights(self) -> None:
        model = small("residual")
        ids, mask, language = batch([1, 1])
        shared = model(ids, mask, language)
        with torch.no_grad():
            model.heads["fr"].out_proj.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        torch.testing.assert_close(model(ids, mask, language) - shared,
                                   torch.tensor([[1.0, 2.0, 3.0]] * 2))

    @pytest.mark.parametrize("heads", ["own", "residual"])
    def test_gradients_reach_only_those_of_the_batch(self, heads: str) -> None:
        model = small(heads)
        model(*batch([0, 2, 0])).square().sum().backward()
        reached = {code for code in CODES
                   if any(p.grad is not None for p in model.heads[code].parameters())}
        assert reached == {"en", "ru"}
        assert all(p.grad is not None for p in model.encoder.parameters())
        if model.shared is not None:
            assert all(p.grad is not None for p in model.shared.parameters())


class TestPooling:
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 6),
           st.sampled_from(["first", "mean"]))
    def test_padding_does_not_matter(self, lengths: list[int], more: int, pooling: str) -> None:
        model, draw = small(pooling=pooling), torch.Generator().manual_seed(len(lengths))
        mask = (torch.arange(9 + more) < torch.tensor(lengths)[:, None]).long()
        ids = torch.randint(5, 40, mask.shape, generator=draw)
        language = torch.arange(len(lengths)) % 3
        logits = model(ids.masked_fill(mask == 0, 1), mask, language)
        for row, length in enumerate(lengths):
            alone = model(ids[row:row + 1, :length], mask[row:row + 1, :length],
                          language[row:row + 1])
            torch.testing.assert_close(logits[row:row + 1], alone)

    def test_the_mean_is_of_all_hidden_states(self) -> None:
        (ids, mask, _), mean = batch([0, 1, 2]), small(pooling="mean")
        hidden_states = mean.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = [hidden_states[row, :length].mean(dim=0)
                    for row, length in enumerate(mask.sum(dim=1).tolist())]
        torch.testing.assert_close(mean.states(ids, mask), torch.stack(expected))
        torch.testing.assert_close(small().states(ids, mask), hidden_states[:, 0])

    def test_is_saved(self, tmp_path: Path) -> None:
        model, texts = small(pooling="mean"), batch([0, 1, 2])
        model.save_pretrained(tmp_path)
        read = StudentModel.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(read(*texts), model(*texts))

    def test_a_student_saved_without_the_key_takes_the_first_token(self, tmp_path: Path) -> None:
        small().save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config.pop("pooling") == "first"
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert StudentModel.from_pretrained(tmp_path).config.pooling == "first"


class TestStarted:
    """With initial weights from another encoder."""

    @pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
    def test_saves_and_loads(self, tmp_path: Path, kind: str) -> None:
        source = write_checkpoint(tmp_path / "big", kind, layers=3)
        model = begun(source, tmp_path / "start", CODES).eval()
        model.save_pretrained(tmp_path / "own")
        read = StudentModel.from_pretrained(tmp_path / "own").eval()
        texts = batch([0, 1, 2])
        assert_same_weights(read, model)
        torch.testing.assert_close(read(*texts), model(*texts), rtol=0, atol=1e-7)
        assert model(*texts).shape == (3, 3)

    def given(self, folder: Path, **changed: Any) -> StudentModel:
        torch.manual_seed(0)
        settings = Student.model_validate({"checkpoint": "a/b", "start": "pca",
                                           "architecture": SMALL, **changed})
        return build_student(settings, CODES, list(LABELS), 50, 1, folder)

    def test_all_else_is_as_without(self, tmp_path: Path) -> None:
        table = torch.randn(50, 16)
        save_file({embeddings.NAME: table}, tmp_path / "model.safetensors")
        own, other = self.given(tmp_path).state_dict(), small().state_dict()
        name = f"encoder.{embeddings.NAME}"
        torch.testing.assert_close(own.pop(name), table, rtol=0, atol=0)
        other.pop(name)
        torch.testing.assert_close(own, other, rtol=0, atol=0)

    @pytest.mark.parametrize("shape", [(50, 12), (51, 16)], ids=str)
    def test_another_student_s(self, tmp_path: Path, shape: tuple[int, int]) -> None:
        save_file({embeddings.NAME: torch.zeros(shape)}, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match="expected weights to start the student of "
                           r"params.yaml with, found: size mismatch.*; run `dvc repro start`"):
            self.given(tmp_path)

    @pytest.mark.parametrize("changed", [{}, {"start": "layers"}],
                             ids=["pca", "layers"])
    def test_none(self, tmp_path: Path, changed: dict[str, str]) -> None:
        with pytest.raises(CheckpointError, match="nowhere: expected weights to start"):
            self.given(tmp_path / "nowhere", **changed)

    def test_cut(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"cut")
        with pytest.raises(CheckpointError, match=r"expected weights to start .*dvc repro"):
            self.given(tmp_path)
