import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from safetensors.torch import load_file, save_file
from support import hub
from support.training import (
    LABELS,
    LANGUAGES,
    ROWS,
    Project,
    fill,
    onboarding,
    prepared,
    scored,
    table,
    write_checkpoint,
    write_corpus,
)
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedTokenizerBase,
)

from amtss.config.schema import Architecture, Student
from amtss.data.corpus import Corpus
from amtss.errors import AmtssError, CheckpointError, ParamsError
from amtss.files import seal
from amtss.student import embeddings
from amtss.student import start as student_start
from amtss.tokenization.tokenizer import load_tokenizer, training_texts

OWN = Architecture(layers=2, width=32, heads=2, feed_forward=64)
"""The sizes of the checkpoints that the tests write."""


def pca(source: Path, width: int = 8) -> Student:
    return Student(checkpoint=str(source), start="pca",
                   architecture=Architecture(layers=4, width=width, heads=2))


def write(settings: Student, folder: Path) -> Path:
    """What the student of `settings` starts with, in `folder`."""
    assert settings.checkpoint is not None
    tokenizer = load_tokenizer(settings.checkpoint)
    student_start.write_weights(settings, settings.checkpoint, np.arange(len(tokenizer)),
                                tokenizer.pad_token_id, folder)
    return folder


def read(source: Path, tokens: int) -> torch.Tensor:
    return embeddings.read(str(source), None, np.arange(tokens))


class TestEmbeddings:
    @pytest.mark.parametrize("kind", ["bert", "camembert", "roberta", "xlm-roberta"])
    @pytest.mark.parametrize("labels", [None, LABELS], ids=["language-model", "classifier"])
    def test_are_the_checkpoint_s(self, tmp_path: Path, kind: str,
                                  labels: tuple[str, ...] | None) -> None:
        source = write_checkpoint(tmp_path / "big", kind, labels=labels)
        table = AutoModel.from_pretrained(source).get_input_embeddings().weight
        torch.testing.assert_close(read(source, len(table)), table.detach(), rtol=0, atol=0)
        made = load_file(write(pca(source), tmp_path / "start") / "model.safetensors")
        tokenizer = load_tokenizer(str(source))
        expected = embeddings.reduce(table.detach(), 8)
        expected[tokenizer.pad_token_id] = 0
        assert made.keys() == {embeddings.NAME}
        torch.testing.assert_close(made[embeddings.NAME], expected, rtol=0, atol=0)

    def test_of_a_checkpoint_in_several_files(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        model = AutoModelForMaskedLM.from_pretrained(source)
        (source / "model.safetensors").unlink()
        model.save_pretrained(source, max_shard_size="20KB")
        assert len(list(source.glob("*.safetensors"))) > 1
        table = model.get_input_embeddings().weight.detach()
        torch.testing.assert_close(read(source, len(table)), table, rtol=0, atol=0)

    def test_of_the_hub_s_cache_at_a_revision(self) -> None:
        hub.fill(Path(HF_HUB_CACHE))
        name = "FacebookAI/xlm-roberta-large"
        found = embeddings.read(name, hub.pinned()[name], np.arange(40))
        assert found.equal(read(hub.repositories() / name, 40))
        with pytest.raises(CheckpointError, match=f"{name}: expected a checkpoint with safetensor"):
            embeddings.read(name, "0" * 40, np.arange(40))

    def test_in_half_precision(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta")
        AutoModel.from_pretrained(source, dtype=torch.bfloat16).save_pretrained(source)
        assert read(source, 5).dtype == torch.float32

    def test_rows_beyond_the_tokenizer_s_are_left_out(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta")
        model, tokens = AutoModel.from_pretrained(source), len(load_tokenizer(str(source)))
        table = model.get_input_embeddings().weight.detach().clone()
        model.resize_token_embeddings(tokens + 6)
        model.save_pretrained(source)
        made = load_file(write(pca(source, 32), tmp_path / "start") / "model.safetensors")
        assert made[embeddings.NAME].shape == (tokens, 32)
        mean, directions = embeddings.principal(table, 32)
        again = (mean + made[embeddings.NAME].double() @ directions.T).float()
        pad = load_tokenizer(str(source)).pad_token_id
        rows = [row for row in range(tokens) if row != pad]
        torch.testing.assert_close(again[rows], table[rows], rtol=1e-4, atol=1e-4)

    def test_too_few_of_them(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta")
        model = AutoModel.from_pretrained(source)
        model.resize_token_embeddings(40)
        model.save_pretrained(source)
        with pytest.raises(CheckpointError, match=r"big: expected embeddings for its tokenizer's "
                           r"tokens, \d+ or more, found 40; start from another encoder"):
            write(pca(source), tmp_path / "start")
        settings = pca(source).model_copy(update={
            "start": "layers", "architecture": OWN})
        with pytest.raises(CheckpointError, match="big: expected embeddings for its tokenizer's"):
            write(settings, tmp_path / "start")

    def test_that_are_no_numbers(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta")
        fill(source, float("nan"), "word_embeddings.weight")
        layers = pca(source).model_copy(update={"start": "layers", "architecture": OWN})
        for settings in (pca(source), layers):
            with pytest.raises(CheckpointError, match="big: expected finite weights, found NaN or "
                               r"infinite ones in embeddings\.word_embeddings\.weight; c"):
                write(settings, tmp_path / "start")

    def test_too_narrow(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        with pytest.raises(CheckpointError, match="big: expected embeddings of width 64 or more, "
                           r"found 32; lower student\.architecture\.width"):
            write(pca(source, 64), tmp_path / "start")

    def test_none(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        save_file({"wte.weight": torch.zeros(40, 32)}, source / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"big: expected word embeddings \(embeddings"
                           r"\.word_embeddings\.weight\), found none .*BERT's family"):
            write(pca(source), tmp_path / "start")

    def test_no_weights(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        (source / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match="big: expected a checkpoint with safetensors"):
            write(pca(source), tmp_path / "start")

    def test_cut_weights(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        (source / "model.safetensors").write_bytes(
            (source / "model.safetensors").read_bytes()[:3000])
        with pytest.raises(CheckpointError, match="big: expected a checkpoint with safetensors"):
            write(pca(source), tmp_path / "start")

    def test_nowhere(self) -> None:
        with pytest.raises(CheckpointError, match="nobody/nothing: expected a checkpoint with"):
            read(Path("nobody/nothing"), 5)


class TestLayers:
    def settings(self, source: Path, **changed: Any) -> Student:
        return Student(checkpoint=str(source), start="layers", dropout=0.01,
                       architecture=OWN.model_copy(update=changed))

    @pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
    def test_are_the_checkpoint_s(self, tmp_path: Path, kind: str) -> None:
        source = write_checkpoint(tmp_path / "big", kind, layers=3)
        whole = AutoModelForMaskedLM.from_pretrained(source).base_model.state_dict()
        model = AutoModel.from_pretrained(write(self.settings(source), tmp_path / "start"),
                                          add_pooling_layer=False)
        own = model.state_dict()
        assert {name for name in own if "layer.2." in name} == set()
        assert any("layer.1." in name for name in own)
        for name, weight in own.items():
            torch.testing.assert_close(weight, whole[name], rtol=0, atol=0)
        assert model.config.num_hidden_layers == 2
        assert (model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob) == (
            0.01, 0.0)

    @pytest.mark.parametrize("chosen", [(0, 3), (1, 2)], ids=str)
    def test_chosen_ones_keep_their_order(self, tmp_path: Path, chosen: tuple[int, int]) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta", layers=4)
        whole = AutoModelForMaskedLM.from_pretrained(source).base_model.state_dict()
        settings = self.settings(source).model_copy(update={"layers": chosen})
        own = AutoModel.from_pretrained(write(settings, tmp_path / "start"),
                                        add_pooling_layer=False).state_dict()
        assert not [name for name in own if "layer.2." in name]
        for name, weight in own.items():
            for index, layer in enumerate(chosen):
                if f"layer.{index}." in name:
                    name = name.replace(f"layer.{index}.", f"layer.{layer}.")
                    break
            torch.testing.assert_close(weight, whole[name], rtol=0, atol=0)

    def test_a_chosen_one_that_is_not_there(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        settings = self.settings(source).model_copy(update={"layers": (0, 2)})
        with pytest.raises(CheckpointError, match="big: expected at least 3 layers, found 2; lower "
                           r"student\.layers$"):
            write(settings, tmp_path / "start")

    def test_too_few(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        with pytest.raises(CheckpointError, match="expected at least 3 layers, found 2; lower"):
            write(self.settings(source, layers=3), tmp_path / "start")

    def test_too_short(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "xlm-roberta", positions=40)
        settings = self.settings(source)
        write(settings.model_copy(update={"max_length": 40}), tmp_path / "start")
        with pytest.raises(CheckpointError, match=r"big: expected positions for texts of 41 "
                           r"tokens, found 40; lower student\.max_length in params\.yaml"):
            write(settings.model_copy(update={"max_length": 41}), tmp_path / "another")

    def test_the_checkpoint_s_own_sizes(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        for name, sizes in (("same", {}), ("other", {"width": 16, "heads": 1, "feed_forward": 24})):
            write(self.settings(source, **sizes), tmp_path / name)
        assert (tmp_path / "same/config.json").read_bytes() == (
            tmp_path / "other/config.json").read_bytes()

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"expected a checkpoint, found.*student.check"):
            student_start.chosen_layers(self.settings(tmp_path / "none"), str(tmp_path / "none"))

    def test_no_weights(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        (source / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"big: expected a checkpoint.*student.checkpoin"):
            write(self.settings(source), tmp_path / "start")

    def test_cut_weights(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        weights = (source / "model.safetensors").read_bytes()
        (source / "model.safetensors").write_bytes(weights[:len(weights) // 2])
        with pytest.raises(CheckpointError, match=r"big: expected a checkpoint.*student.checkpoin"):
            write(self.settings(source), tmp_path / "start")

    def test_weights_of_another_architecture(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        other = write_checkpoint(tmp_path / "other", "xlm-roberta", width=64)
        (source / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        with pytest.raises(CheckpointError, match=r"big: expected a checkpoint.*student.checkpoin"):
            write(self.settings(source), tmp_path / "start")

    def test_pickled_weights_are_not_read(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        model = AutoModel.from_pretrained(source)
        (source / "model.safetensors").unlink()
        torch.save(model.state_dict(), source / "pytorch_model.bin")
        for settings in (self.settings(source), pca(source)):
            with pytest.raises(CheckpointError, match=r"big: expected a checkpoint.*safetensors"):
                write(settings, tmp_path / "start")

    def test_of_another_family(self, tmp_path: Path) -> None:
        config = DistilBertConfig(vocab_size=40, dim=16, hidden_dim=32, n_layers=2, n_heads=2)
        DistilBertModel(config).save_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match=r"encoder of BERT's family .*found distilbert"):
            student_start.chosen_layers(self.settings(tmp_path), str(tmp_path))


TEACHER = {"teacher": "multilingual"}


def ids(tokenizer: PreTrainedTokenizerBase, corpus: Corpus) -> list[list[int]]:
    found: list[list[int]] = tokenizer(list(training_texts([corpus])))["input_ids"]
    return found


@pytest.mark.slow
class TestStage:
    @pytest.mark.parametrize(("settings", "layers"), [
        ({"start": "pca", "architecture": {"layers": 2, "width": 16}}, 2),
        ({"start": "layers"}, 1)], ids=["pca", "layers"])
    def test_student_and_x_lm_tiny_start_with_a_teacher_s(
            self, tmp_path: Path, settings: dict[str, Any], layers: int) -> None:
        project = scored(tmp_path, student=TEACHER | settings)
        project.start()
        theirs = load_tokenizer(str(project.layout.teacher("multilingual")))
        assert load_tokenizer(str(project.layout.tokenizer)).get_vocab() == theirs.get_vocab()
        start = load_file(project.layout.start / "model.safetensors")
        table = load_file(project.layout.teacher("multilingual") / "model.safetensors")[
            f"roberta.{embeddings.NAME}"]
        if settings["start"] == "pca":
            table = embeddings.reduce(table, 16)
            table[theirs.pad_token_id] = 0
        torch.testing.assert_close(start[embeddings.NAME], table, rtol=0, atol=0)
        for heads in (LANGUAGES, ["all"]):
            learner = prepared(project, heads).learner
            read = learner.weights()
            torch.testing.assert_close(read[f"encoder.{embeddings.NAME}"], table)
            bias = read[f"encoder.encoder.layer.{layers - 1}.output.dense.bias"]
            at_random = settings["start"] == "pca"
            assert (bias.abs().max() < 1e-9) == at_random  # where it is initialised to 0
            assert learner.model.config.encoder.num_hidden_layers == layers

    def test_a_student_of_another_start_is_another_training(self, tmp_path: Path) -> None:
        from support.training import stopping_after

        from amtss.distillation import algorithm1

        project = scored(tmp_path, student=TEACHER | {"start": "layers"})
        project.start()
        with stopping_after(2) as stop:
            algorithm1.distil(project.params, project.layout, stop)
        table = load_file(project.layout.start / "model.safetensors")
        save_file({name: 2 * weight for name, weight in table.items()},
                  project.layout.start / "model.safetensors", metadata={"format": "pt"})
        seal(project.layout.tokenizer)
        told: list[int] = []
        algorithm1.distil(project.params, project.layout, lambda row: told.append(row["epoch"]))
        assert told[0] == 1

    def test_without_it_nothing_is_left_of_one(self, tmp_path: Path) -> None:
        project = scored(tmp_path, student=TEACHER | {"start": "layers"})
        project.start()
        assert project.layout.start.is_dir()
        project.set(student={"teacher": None, "start": None})
        project.start()
        assert not project.layout.start.exists()

    def test_a_checkpoint_s_tokenizer(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "big", "bert")
        project = scored(tmp_path / "project", student={
            "checkpoint": str(source), "start": "pca", "architecture": {"width": 16}})
        project.start()
        project.distil(max_epochs=4)
        own, theirs = (load_tokenizer(str(folder)) for folder in (project.layout.student, source))
        assert own.get_vocab() == theirs.get_vocab()

    def test_its_length_follows_from_the_texts_and_reaches_the_student(
            self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        project = scored(tmp_path, student={"max_length": None},
                         validation={"warn_truncated": 0.01})
        project.start()
        read = json.loads(project.layout.lengths.read_text())
        assert read["max_length"] % 8 == 0
        assert read["cut"] == dict.fromkeys(LANGUAGES, 0.0)
        assert capsys.readouterr().err == ""
        assert prepared(project).learner.model.config.max_tokens == read["max_length"]

    def test_an_onboarding_s_length_is_the_registered_one(
            self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        project = onboarding(tmp_path, "ko")
        capsys.readouterr()
        registered = json.loads((project.layout.registered / "student/config.json").read_text())
        project.set(student={"max_length": None}, validation={"warn_truncated": 0.01})
        project.start()
        read = json.loads(project.layout.lengths.read_text())
        assert read["max_length"] == registered["max_tokens"]
        assert ("ko: " in capsys.readouterr().err) == (read["cut"]["ko"] > 0.01)

    def test_an_onboarding_s_is_the_registered_one_and_more(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", "pl", vocabulary=30)
        before, after = (load_tokenizer(str(folder)) for folder in (
            project.layout.registered / "student", project.layout.tokenizer))
        assert len(before) < len(after) <= len(before) + 2 * 30
        for each in project.corpora():
            assert all(after.unk_token_id not in row for row in ids(after, each))
            if each.language not in ("ko", "pl"):
                assert ids(after, each) == ids(before, each)

    def test_an_onboarding_starts_with_the_registered_student(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        project.set(student=TEACHER | {"start": "layers"})
        project.start()
        assert not project.layout.start.exists()
        project.distil()

    @pytest.mark.parametrize("student", [
        {"start": "layers", "architecture": {"layers": 1}},
        {"start": "pca", "architecture": {"layers": 0, "width": 16}}], ids=str)
    def test_an_onboarding_takes_pieces_and_rows_of_what_the_student_started_from(
            self, tmp_path: Path, student: dict[str, Any]) -> None:
        texts = [text for code in (*LANGUAGES, "ko")
                 for text in table(code, "train", 200)["text"].to_pylist()]
        source = write_checkpoint(tmp_path / "big", "xlm-roberta", texts=texts)
        project = scored(tmp_path / "project", student=student | {
            "checkpoint": str(source), "vocabulary": "trimmed", "trimming": {"at_least": 0}})
        project.start()
        rate = 5e-3 if student["architecture"]["layers"] else 2e-2
        project.distil(max_epochs=8, learning_rate=rate)
        project.register()
        write_corpus(project.layout, "ko", ROWS)
        project.onboard("ko")
        project.teach("ko")
        project.score("ko")
        project.start()
        before, after, full = (load_tokenizer(str(folder)) for folder in (
            project.layout.registered / "student", project.layout.tokenizer, source))
        pieces = after.convert_ids_to_tokens(list(range(len(after))))
        new = pieces[len(before):]
        assert new
        assert all(after.unk_token_id not in row for row in ids(after, project.corpora()[-1]))
        vocabulary, theirs = full.get_vocab(), read(source, len(full)).double().numpy()
        shared = [index for index, piece in enumerate(pieces[:len(before)])
                  if piece in vocabulary and piece not in full.all_special_tokens]
        own = read(project.layout.registered / "student", len(before)).double().numpy()
        one = np.ones((len(full), 1))
        affine = np.linalg.lstsq(np.hstack([theirs, one])[[vocabulary[pieces[i]] for i in shared]],
                                 own[shared], rcond=1e-8)[0]
        expected = np.hstack([theirs, one])[[vocabulary[piece] for piece in new]] @ affine
        written = load_file(project.layout.start / "model.safetensors")[embeddings.NAME]
        np.testing.assert_allclose(written.numpy(), expected, rtol=1e-2, atol=1e-3)
        project.distil()

    def test_needs_the_registered_one(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        (project.layout.registered / "student" / "tokenizer.json").unlink()
        with pytest.raises(AmtssError, match=r"registered/student/tokenizer\.json: expected a "
                           r"file, found.*; run `dvc repro fetch`"):
            project.start()

    def test_needs_the_teacher(self, tmp_path: Path) -> None:
        project = Project(tmp_path, student=TEACHER | {"start": "layers"}).write()
        with pytest.raises(AmtssError, match=r"teachers/multilingual/.* expected a file, found "
                           r"none; run `dvc repro teach@multilingual`"):
            project.start()


@pytest.mark.parametrize(("student", "match"), [
    ({"start": "pca"}, "together with a `checkpoint` or a `teacher`, found one without"),
    ({"start": "layers", "tokenizer": "a/b"}, "expected `start: pca` or `start: layers"),
    ({"checkpoint": "a/b"}, "expected `start: pca` or `start: layers` together with"),
    ({"teacher": "en", "start": "pca", "revision": "main"}, "expected `revision` beside a"),
    ({"teacher": "nobody", "start": "pca"}, r"student\.teacher: expected one of en, fr, ru, "
                                                 "multilingual, found 'nobody'"),
    ({"checkpoint": "a/b", "teacher": "en", "start": "pca"},
     "expected one of checkpoint, teacher and tokenizer, found checkpoint and teacher"),
    ({"checkpoint": "a/b", "embeddings": "pca"}, r"student\.embeddings: unknown key; remove it"),
    ({"checkpoint": "a/b", "encoder": "first-layers"}, r"student\.encoder: unknown key; remove"),
    ({"layers": (0,)}, "expected `layers` together with `start: layers`, found `start: random`"),
    ({"checkpoint": "a/b", "start": "layers", "layers": (0, 1)},
     r"layers: expected as many as architecture\.layers, 1, found 2; edit"),
    ({"checkpoint": "a/b", "start": "layers", "layers": (3, 0)},
     r"layers: expected numbers from 0 in ascending order, each once, found \[3, 0\]; edit"),
    ({"checkpoint": "a/b", "start": "layers", "layers": (0, 0)}, r"each once, found \[0, 0\]"),
    ({"checkpoint": "a/b", "start": "layers", "layers": (-1,)}, r"numbers from 0 .*found \[-1\]"),
    ({"checkpoint": "a/b", "start": "layers", "layers": ()}, "expected as many .*found 0"),
    ({"checkpoint": "a/b", "start": "last-layers"}, r"student\.start: expected 'random', 'pca'")],
    ids=str)
def test_settings_that_do_not_fit(tmp_path: Path, student: dict[str, Any], match: str) -> None:
    with pytest.raises(ParamsError, match=match):
        Project(tmp_path, student=student)


def test_a_student_starts_with_the_layers_of_a_mean_pooled_teacher(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "hub", "bert")
    project = Project(tmp_path, student=TEACHER | {"start": "layers", "architecture": {
        "layers": 1, "width": 32, "heads": 2, "feed_forward": 64}}, teachers={"multilingual": {
            "checkpoint": str(source), "pooling": "mean", "training": {"epochs": 1}}}).write()
    project.teach("multilingual")
    project.start()
    teacher = load_file(project.layout.teacher("multilingual") / "model.safetensors")
    start = load_file(project.layout.start / "model.safetensors")
    assert "encoder.layer.0.output.dense.weight" in start
    for name, tensor in start.items():
        assert torch.equal(tensor, teacher[f"bert.{name}"]), name
