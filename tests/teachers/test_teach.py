import pickle
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from support.project import unfolded
from support.training import (
    KINDS,
    LABELS,
    LANGUAGES,
    ROWS,
    SMALL,
    Project,
    StoppedError,
    gpt2,
    scored,
    table,
    write_checkpoint,
    write_corpus,
)
from support.warm import programs
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from amtss.data import corpus
from amtss.errors import AmtssError, CheckpointError, DataError, ParamsError
from amtss.files import seal, write_json
from amtss.paths import Layout
from amtss.teachers import teach
from amtss.teachers.transformer import align

pytestmark = pytest.mark.slow


def accuracy(layout: Layout, name: str, codes: tuple[str, ...]) -> float:
    """Of a teacher's folder on validation, one text at a time, in points."""
    model = AutoModelForSequenceClassification.from_pretrained(layout.teacher(name)).eval()
    tokenizer = AutoTokenizer.from_pretrained(layout.teacher(name))
    right = []
    for code in codes:
        rows = corpus.load(layout, code)["validation"]
        for text, label in zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True):
            with torch.inference_mode():
                logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
            right.append(model.config.id2label[int(logits.argmax())] == label)
    return 100.0 * float(np.mean(right))


def leftovers(root: Path) -> set[str]:
    """Kinds of files below `root` that no artifact of ours is."""
    kinds = {path.suffix for path in root.rglob("*") if path.is_file()}
    return kinds - {".safetensors", ".json", ".arrow", ".jsonl", ".csv", ".yaml"}


def one(tmp_path: Path, **teacher: Any) -> Project:
    """A project with a teacher `en` of these settings beside the multilingual one."""
    own = {"languages": ["en"], "architecture": SMALL} | teacher
    teachers = {"fr": None, "ru": None, "en": own}
    return Project(tmp_path, teachers=teachers).write()


def killed_and_run_again(project: Project) -> "subprocess.CompletedProcess[str]":
    """Kill `amtss teach en` in its third epoch, then run it to its end."""
    command = [programs() / "amtss", "teach", "en"]
    killed = subprocess.Popen(command, cwd=project.layout.root, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith("en epoch 2:"):
            killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    return subprocess.run(command, cwd=project.layout.root, capture_output=True, text=True,
                          check=False)


def wide_script(project: Project) -> Project:
    """`project`, whose English is written in 700 different characters, each once in a text."""
    rows = table("en", "train", 48)
    texts = [" ".join(chr(0x4E00 + 14 * row + i) for i in range(14)) for row in range(48)]
    write_corpus(project.layout, "en", train=rows.set_column(1, "text", pa.array(texts)))
    return project


class TestLength:
    def test_follows_from_the_texts(self, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
        project = one(tmp_path, training={"epochs": 1})
        project.set(teaching={"max_length": None}, validation={"warn_truncated": 0.01})
        project.teach("en")
        assert capsys.readouterr().err == ""
        read = project.about("en")["lengths"]
        assert read == {"max_length": read["max_length"], "cut": {"en": 0.0}}
        saved = AutoTokenizer.from_pretrained(project.layout.teacher("en"))
        train = corpus.load(project.layout, "en")["train"]
        longest = max(map(len, saved(train["text"].to_pylist())["input_ids"]))
        assert longest <= read["max_length"] == saved.model_max_length < max(16, longest) + 8
        project.score("en")
        cached = (project.layout.tokens("en") / "en" / "test.json").read_text()
        assert f'"max_length": {saved.model_max_length}' in cached

    def test_that_cuts_texts_is_a_warning(self, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
        project = one(tmp_path, training={"epochs": 1, "max_length": 8})
        project.set(validation={"warn_truncated": 0.01})
        project.teach("en")
        cut = project.about("en")["lengths"]["cut"]["en"]
        assert 0.01 < cut < 1
        assert unfolded(capsys.readouterr().err) == (
            f"amtss: warning: en: {96 * cut:.0f} of 96 rows ({cut:.1%}) are longer than 8 tokens, "
            "the max_length of en, and are cut there; raise it to read them whole\n")


class TestUnknownCharacters:
    def test_a_vocabulary_smaller_than_the_script_is_refused(self, tmp_path: Path) -> None:
        project = wide_script(one(tmp_path))
        with pytest.raises(CheckpointError, match=r"^en: expected a tokenizer that reads it, found "
                           r"\d\d\.\d% unknown tokens with teacher en's tokenizer of 300 tokens; "
                           r"raise teachers\.en\.architecture\.vocabulary, or allow them by "
                           r"validation\.max_unknown$"):
            project.teach("en")
        with pytest.raises(CheckpointError, match=r"^en: .* with the student's tokenizer of 300 "
                           r"tokens; raise student\.architecture\.vocabulary, or allow"):
            project.start()
        assert not project.layout.teacher("en").exists()
        assert not project.layout.tokenizer.exists()

    def test_a_teacher_that_only_scores_them_is_warned_of(
            self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        project = scored(tmp_path, teachers={"fr": {"scores": ["en", "fr"]}})
        wide_script(project).score("fr")
        (warning,) = unfolded(capsys.readouterr().err).splitlines()
        assert re.fullmatch(r"amtss: warning: en: \d\d\.\d% of its tokens are unknown to teacher "
                            r"fr's tokenizer of \d+ tokens; leave the language out of "
                            r"teachers\.fr\.scores, or add it to its languages", warning)


class TestFromScratch:
    def test_the_saved_model_is_the_best_epoch(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"epochs": 12, "patience": 2, "learning_rate": 0.02})
        reported = project.teach("en")
        figures = [figures["accuracy"] for _, figures in reported]
        about = project.about("en")
        assert [epoch for epoch, _ in reported] == list(range(1, about["epochs"] + 1))
        assert about["best_epoch"] == 1 + figures.index(max(figures))
        assert accuracy(project.layout, "en", ("en",)) == pytest.approx(max(figures))

    def test_stops_when_validation_gets_no_better(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"epochs": 40, "patience": 2})
        project.teach("en")
        about = project.about("en")
        assert about["epochs"] == about["best_epoch"] + 2 < 40
        assert about["examples"] == about["epochs"] * 48

    def test_knows_its_labels_and_its_size(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        model = AutoModelForSequenceClassification.from_pretrained(project.layout.teacher("en"))
        about = project.about("en")
        assert tuple(model.config.id2label.values()) == LABELS == tuple(about["labels"])
        assert about["parameters"] == model.num_parameters()
        assert about["columns"] == [0, 1, 2]
        assert about["layers"] == 1

    def test_a_multilingual_one_reads_all_its_languages(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        about = project.about("multilingual")
        assert about["languages"] == list(LANGUAGES)
        assert about["examples"] == about["epochs"] * 3 * 48
        tokenizer = AutoTokenizer.from_pretrained(project.layout.teacher("multilingual"))
        for code in LANGUAGES:
            text = corpus.load(project.layout, code)["train"]["text"][0].as_py()
            assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]

    def test_leaves_safetensors_and_nothing_else(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        assert leftovers(tmp_path) == set()
        assert not list(project.layout.checkpoints("teach-en").glob("**/*"))
        assert {path.name for path in project.layout.teacher("en").iterdir()} == {
            "checksums.json", "config.json", "model.safetensors", "teacher.json", "tokenizer.json",
            "tokenizer_config.json"}

    def test_same_seed_same_teacher(self, tmp_path: Path) -> None:
        fingerprints = {}
        for name, seed in (("one", 0), ("again", 0), ("other", 1)):
            project = one(tmp_path / name, training={"epochs": 2, "seed": seed})
            project.teach("en")
            fingerprints[name] = project.about("en")["fingerprint"]
        assert fingerprints["one"] == fingerprints["again"] != fingerprints["other"]

    def test_what_a_killed_run_left_does_not_matter(self, tmp_path: Path) -> None:
        clean, after = one(tmp_path / "clean"), one(tmp_path / "after")
        left = after.layout.checkpoints("teach-en") / "checkpoint-9999"
        left.mkdir(parents=True)
        (left / "training_args.bin").write_bytes(b"cut")
        clean.teach("en")
        after.teach("en")
        assert clean.about("en")["fingerprint"] == after.about("en")["fingerprint"]
        assert leftovers(tmp_path) == set()

    def test_bf16(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"epochs": 1, "precision": "bf16"})
        project.teach("en")
        model = AutoModelForSequenceClassification.from_pretrained(project.layout.teacher("en"))
        assert model.dtype == torch.float32  # mixed precision keeps fp32 weights

    def test_a_label_of_no_list_is_an_error(self, tmp_path: Path) -> None:
        project = one(tmp_path)
        write_json(project.layout.gate_keys, {"labels": ["chat", "pay"]})
        with pytest.raises((AmtssError, KeyError), match="ship"):
            project.teach("en")
        assert not project.layout.teacher("en").exists()

    def test_a_loss_that_is_no_number_stops_the_training(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"learning_rate": 1e30})
        with pytest.raises(CheckpointError, match=(
                r"^teacher: expected a finite loss, found NaN or infinity in epoch 1; lower "
                r"teaching\.learning_rate \(now 1e\+30\) or set teaching\.precision: fp32")):
            project.teach("en")
        assert not project.layout.teacher("en").exists()

    def test_a_failed_run_leaves_the_old_teacher(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        before = project.about("en")
        project.set(teachers={"en": {"checkpoint": "none/such"}})
        with pytest.raises(CheckpointError, match="none/such"):
            project.teach("en")
        assert project.about("en") == before


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of a teacher without settings of its own but one epoch."""
    project = one(tmp_path_factory.mktemp("plain"), training={"epochs": 1})
    project.teach("en")
    return str(project.about("en")["fingerprint"])


class TestOverrides:
    def test_each_teacher_has_its_own(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"epochs": 1})
        project.set(teaching={"epochs": 2, "patience": 2})
        project.teach("en", "multilingual")
        assert project.about("en")["epochs"] == 1
        assert project.about("multilingual")["epochs"] == 2

    @pytest.mark.parametrize("changed", [
        {"learning_rate": 1.0e-5}, {"batch_size": 24}, {"weight_decay": 0.9}, {"warmup": 0.9},
        {"dropout": 0.5}, {"label_smoothing": 0.3}, {"max_length": 8}, {"seed": 7},
        {"precision": "bf16"}], ids=lambda changed: next(iter(changed)))
    def test_any_setting(self, tmp_path: Path, plain: str, changed: dict[str, Any]) -> None:
        project = one(tmp_path, training={"epochs": 1} | changed)
        project.teach("en")
        assert project.about("en")["fingerprint"] != plain


class TestInParts:
    def test_steps_are_the_same(self, tmp_path: Path) -> None:
        weights = []
        for name, changed in (("whole", {}), ("parts", {"accumulate": 4}),
                              ("recomputed", {"gradient_checkpointing": True})):
            project = one(tmp_path / name, training={
                "epochs": 2, "dropout": 0.0, "learning_rate": 1.0e-3} | changed)
            project.teach("en")
            weights.append(load_file(project.layout.teacher("en") / "model.safetensors"))
        for other in weights[1:]:
            for key, value in weights[0].items():
                torch.testing.assert_close(other[key], value, atol=1e-5, rtol=0, msg=key)

    def test_a_batch_that_cannot_be_divided(self, tmp_path: Path) -> None:
        project = one(tmp_path, training={"accumulate": 3})
        with pytest.raises(ParamsError, match=r"batch_size: expected a multiple of 3.* found 8; "):
            project.teach("en")


LONG = {"epochs": 12, "patience": 3, "learning_rate": 0.01}


def until(project: Project, epochs: int) -> Path:
    """Teach `en`, but stop when it reports the epoch after `epochs`; the folder of checkpoints."""
    def stop(epoch: int, figures: dict[str, float]) -> None:
        if epoch > epochs:
            raise StoppedError(f"after {epochs}")

    with pytest.raises(StoppedError, match="after"):
        teach.teach(project.params, project.layout, "en", stop)
    return project.layout.checkpoints("teach-en")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One whose teacher was not interrupted; not to be changed."""
    project = one(tmp_path_factory.mktemp("whole"), training=LONG)
    project.teach("en")
    return project


UNTIMED = {"seconds": 0, "checksum": ""}


class TestInterrupted:
    @pytest.mark.parametrize("epochs", [1, 4])
    def test_resumes_from_its_last_epoch(self, tmp_path: Path, whole: Project,
                                         epochs: int) -> None:
        project = one(tmp_path, training=LONG)
        until(project, epochs)
        reported = project.teach("en")
        expected = whole.about("en")
        assert [epoch for epoch, _ in reported] == list(range(epochs + 1, expected["epochs"] + 1))
        about = project.about("en")
        assert about | UNTIMED == expected | UNTIMED
        assert about["seconds"] > 0
        assert not project.layout.checkpoints("teach-en").exists()

    def test_after_it_had_stopped_early(self, tmp_path: Path, whole: Project) -> None:
        # a kill in the moment before the teacher's folder is written
        project = one(tmp_path, training=LONG)
        folder, before = project.layout.checkpoints("teach-en"), whole.about("en")
        assert before["epochs"] < LONG["epochs"]
        blocked = project.layout.teacher("en").parent
        blocked.write_text("a file where the folder is to be")
        with pytest.raises(AmtssError, match="expected to be able to write"):
            project.teach("en")
        assert {path.name for path in folder.iterdir()} == {
            f"checkpoint-{6 * before[key]}" for key in ("epochs", "best_epoch")}
        assert {path.stat().st_mode for path in folder.rglob("*.safetensors")} == {
            blocked.stat().st_mode}  # by the umask
        blocked.unlink()
        assert project.teach("en") == []
        assert project.about("en") | UNTIMED == before | UNTIMED

    @pytest.mark.parametrize("changed", [
        {"training": {"learning_rate": 0.02}}, {"training": {"epochs": 11}},
        {"architecture": {"layers": 2}}], ids=str)
    def test_another_training_starts_afresh(self, tmp_path: Path,
                                            changed: dict[str, Any]) -> None:
        project = one(tmp_path, training=LONG)
        until(project, 1)
        project.set(teachers={"en": changed})
        assert project.teach("en")[0][0] == 1

    def test_other_rows_start_afresh(self, tmp_path: Path) -> None:
        project = one(tmp_path, training=LONG)
        until(project, 1)
        write_corpus(project.layout, "en", ROWS | {"train": 40})
        assert project.teach("en")[0][0] == 1

    @pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth",
                                      "trainer_state.json", "amtss.json"])
    def test_a_truncated_checkpoint_is_not_resumed_from(
            self, tmp_path: Path, whole: Project, name: str) -> None:
        project = one(tmp_path, training=LONG)
        path = until(project, 1) / "checkpoint-6" / name
        path.write_bytes(path.read_bytes()[:20])
        assert project.teach("en")[0][0] == 1
        assert project.about("en")["fingerprint"] == whole.about("en")["fingerprint"]

    def test_a_checkpoint_runs_no_code(self, tmp_path: Path) -> None:
        # even one that was sealed with it
        project = one(tmp_path, training=LONG)
        folder = until(project, 1) / "checkpoint-6"
        (folder / "optimizer.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "run"), protocol=2))
        seal(folder)
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            project.teach("en")
        assert not (tmp_path / "run").exists()


    def test_killed_it_ends_the_same(self, tmp_path: Path, whole: Project) -> None:
        project = one(tmp_path, training=LONG)
        done = killed_and_run_again(project)
        assert (done.returncode, done.stderr) == (0, "")
        assert "epoch 1:" not in done.stdout
        assert project.about("en")["fingerprint"] == whole.about("en")["fingerprint"]


class Malicious:
    """Unpickled, it makes the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class TestFromACheckpoint:
    @pytest.mark.parametrize("kind", KINDS)
    def test_any_architecture_with_its_own_tokenizer(self, tmp_path: Path, kind: str) -> None:
        folder = write_checkpoint(tmp_path / "hub" / kind, kind)
        project = one(tmp_path, checkpoint=str(folder), training={"learning_rate": 1.0e-3})
        reported = project.teach("en")
        about = project.about("en")
        assert about["architecture"] == kind
        assert about["checkpoint"] == str(folder)
        assert accuracy(project.layout, "en", ("en",)) == pytest.approx(
            max(figures["accuracy"] for _, figures in reported))
        original = AutoTokenizer.from_pretrained(folder)
        taught = AutoTokenizer.from_pretrained(project.layout.teacher("en"))
        assert taught("enpay1 enchat2") == original("enpay1 enchat2")
        assert leftovers(project.layout.artifacts) <= {".txt"}  # BERT's vocabulary

    def test_starts_from_its_weights(self, tmp_path: Path) -> None:
        # so slow that the encoder stays where it was
        folder = write_checkpoint(tmp_path / "hub", "bert")
        project = one(tmp_path, checkpoint=str(folder),
                      training={"epochs": 1, "learning_rate": 1.0e-9})
        project.teach("en")
        taught, original = (AutoModelForSequenceClassification.from_pretrained(path)
                            for path in (project.layout.teacher("en"), folder))
        torch.testing.assert_close(taught.bert.encoder.state_dict(),
                                   original.bert.encoder.state_dict())

    @pytest.mark.parametrize("kind", ["bert", "roberta"])
    def test_its_dropout_is_the_settings(self, tmp_path: Path, kind: str) -> None:
        folder = write_checkpoint(tmp_path / "hub", kind)
        project = one(tmp_path, checkpoint=str(folder), training={"epochs": 1, "dropout": 0.25})
        project.teach("en")
        config = AutoConfig.from_pretrained(project.layout.teacher("en"))
        assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.25

    def test_a_head_of_other_labels_is_replaced(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "roberta", labels=["a", "b", "c", "d", "e"])
        project = one(tmp_path, checkpoint=str(folder), training={"epochs": 1})
        project.teach("en")
        model = AutoModelForSequenceClassification.from_pretrained(project.layout.teacher("en"))
        assert tuple(model.config.id2label.values()) == LABELS

    def test_a_decoder_without_a_padding_token(self, tmp_path: Path) -> None:
        folder = gpt2(tmp_path / "hub")
        project = one(tmp_path, checkpoint=str(folder), training={"epochs": 2})
        reported = project.teach("en")
        assert accuracy(project.layout, "en", ("en",)) == pytest.approx(
            max(figures["accuracy"] for _, figures in reported))

    def test_without_weights(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "bert")
        (folder / "model.safetensors").unlink()
        project = one(tmp_path, checkpoint=str(folder))
        with pytest.raises(CheckpointError, match=r"safetensors weights, found.*`checkpoint`"):
            project.teach("en")
        assert not project.layout.teacher("en").exists()

    def test_with_truncated_weights(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "bert")
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[:1000])
        project = one(tmp_path, checkpoint=str(folder))
        with pytest.raises(CheckpointError, match=r"safetensors weights, found.*`checkpoint`"):
            project.teach("en")

    def test_with_pickled_weights_alone(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "bert")
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        project = one(tmp_path, checkpoint=str(folder))
        with pytest.raises(CheckpointError, match=r"safetensors weights, found.*`checkpoint`"):
            project.teach("en")

    def test_with_weights_of_another_architecture(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "bert")
        other = write_checkpoint(tmp_path / "other", "roberta")
        (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        project = one(tmp_path, checkpoint=str(folder))
        with pytest.raises(CheckpointError, match="expected a checkpoint with all weights"):
            project.teach("en")

    def test_without_a_tokenizer(self, tmp_path: Path) -> None:
        folder = write_checkpoint(tmp_path / "hub", "bert")
        (folder / "vocab.txt").unlink()
        project = one(tmp_path, checkpoint=str(folder))
        with pytest.raises(CheckpointError, match="expected a tokenizer"):
            project.teach("en")

    @pytest.mark.parametrize("fine_tune", [True, False])
    def test_without_positions_for_its_texts(self, tmp_path: Path, fine_tune: bool) -> None:
        folder = write_checkpoint(tmp_path / "hub", "camembert", labels=LABELS, positions=15)
        project = one(tmp_path, checkpoint=str(folder), fine_tune=fine_tune)
        with pytest.raises(CheckpointError, match=r"hub: expected positions for texts of 16 tokens,"
                           r" found 15; lower teaching\.max_length, for this teacher alone under"):
            project.teach("en")


class TestAsItIs:
    THEIRS = ("Ship It!", "CHAT", "something else", "Pay")
    """Another order, another case, one renamed, one that is not ours."""

    def project(self, tmp_path: Path, **changed: Any) -> Project:
        folder = write_checkpoint(tmp_path / "hub", "bert", labels=self.THEIRS)
        return one(tmp_path, checkpoint=str(folder), fine_tune=False,
                   **{"labels": {"Ship It!": "ship"}} | changed)

    def test_labels_are_aligned_by_name(self, tmp_path: Path) -> None:
        project = self.project(tmp_path)
        assert project.teach("en") == []
        about = project.about("en")
        assert about["columns"] == [1, 3, 0]
        assert (about["epochs"], about["examples"]) == (0, 0)

    def test_weights_are_as_they_were(self, tmp_path: Path) -> None:
        project = self.project(tmp_path)
        project.teach("en")
        taught, original = (AutoModelForSequenceClassification.from_pretrained(path)
                            for path in (project.layout.teacher("en"), tmp_path / "hub"))
        torch.testing.assert_close(taught.state_dict(), original.state_dict(), rtol=0, atol=0)

    def test_a_label_that_it_lacks(self, tmp_path: Path) -> None:
        project = self.project(tmp_path, labels={})
        with pytest.raises(CheckpointError, match="without ship; map its names to ours"):
            project.teach("en")

    def test_without_a_head(self, tmp_path: Path) -> None:
        # labels in its config, but a masked language model's weights: logits would be random
        project = self.project(tmp_path)
        other = write_checkpoint(tmp_path / "other", "bert")
        weights = (other / "model.safetensors").read_bytes()
        (tmp_path / "hub" / "model.safetensors").write_bytes(weights)
        with pytest.raises(CheckpointError, match=r"with all weights, found none of bert.pooler"):
            project.teach("en")


class TestAlign:
    def test_order_and_case(self) -> None:
        assert align({0: "B", 1: "c", 2: "A"}, ["a", "b"], {}, "hub") == [2, 0]

    def test_renamed(self) -> None:
        id2label = {0: "LABEL_0", 1: "LABEL_1"}
        assert align(id2label, ["no", "yes"], {"LABEL_0": "yes", "LABEL_1": "no"}, "hub") == [1, 0]

    def test_names_that_are_numbers(self) -> None:
        id2label = {0: 0, 1: 1}
        assert align(id2label, ["1", "0"], {}, "hub") == [1, 0]
        assert align(id2label, ["no", "yes"], {"0": "yes", "1": "no"}, "hub") == [1, 0]

    def test_labels_of_ours_that_differ_in_case(self) -> None:
        assert align({0: "us", 1: "US"}, ["US", "us"], {}, "hub") == [1, 0]
        with pytest.raises(CheckpointError, match="without US, us; map its names to ours"):
            align({0: "Us", 1: "c"}, ["US", "us"], {}, "hub")
        with pytest.raises(CheckpointError, match="without US; map its names to ours"):
            align({0: "us", 1: "c"}, ["US", "us"], {}, "hub")

    def test_missing(self) -> None:
        with pytest.raises(CheckpointError, match="hub: expected the labels a, b, found A, c"):
            align({0: "A", 1: "c"}, ["a", "b"], {}, "hub")

    @pytest.mark.parametrize("renamed", [{"x": "a"}, {"A": "b", "x": "b"}])
    def test_two_columns_of_one_name(self, renamed: dict[str, str]) -> None:
        with pytest.raises(CheckpointError, match="two of its labels"):
            align({0: "A", 1: "x", 2: "b"}, ["a", "b"], renamed, "hub")


class TestNoRows:
    def test_of_train(self, tmp_path: Path) -> None:
        project = one(tmp_path)
        empty = corpus.load(project.layout, "en")["train"].slice(0, 0).drop(["key"])
        from support.training import write_corpus
        write_corpus(project.layout, "en", train=empty)
        with pytest.raises((DataError, ValueError), match="en/train: expected rows"):
            project.teach("en")


def tuned(root: Path, source: Path, **changed: Any) -> Project:
    """A project with a teacher `en` from the checkpoint `source`, `changed` in its `training`."""
    pooling = changed.pop("pooling", "first")
    return one(root, checkpoint=str(source), architecture=None, pooling=pooling,
               training={"epochs": 2, "learning_rate": 1.0e-3, "weight_decay": 0.1} | changed)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


TABLE = "bert.embeddings.word_embeddings.weight"


class TestFrozen:
    @pytest.mark.parametrize(("freeze", "frozen"), [
        ("embeddings", (TABLE,)), (1, ("bert.embeddings.", "bert.encoder.layer.0.")),
        (2, ("bert.embeddings.", "bert.encoder.layer."))])
    @pytest.mark.parametrize("pooling", ["first", "mean"])
    def test_weights_keep_their_bytes_and_all_others_change(
            self, tmp_path: Path, freeze: Any, frozen: tuple[str, ...], pooling: str) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        project = tuned(tmp_path, source, freeze=freeze, pooling=pooling)
        project.teach("en")
        before, after = weights(source), weights(project.layout.teacher("en"))
        for name in before.keys() & after.keys():
            assert torch.equal(before[name], after[name]) == name.startswith(frozen), name
        assert any(name.startswith("bert.encoder.layer.1.") for name in before.keys() & after)

    def test_without_it_all_weights_change(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        project = tuned(tmp_path, source)
        project.teach("en")
        before, after = weights(source), weights(project.layout.teacher("en"))
        assert not any(torch.equal(before[name], after[name]) for name in before.keys() & after)

    def test_they_have_no_state_in_the_optimiser(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        sizes = []
        for freeze in (None, "embeddings", 2):
            project = tuned(tmp_path / str(freeze), source, freeze=freeze, epochs=2)
            state = torch.load(until(project, 1) / "checkpoint-6" / "optimizer.pt")["state"]
            sizes.append(sum(entry["exp_avg"].numel() for entry in state.values()))
        table, every = (sum(tensor.numel() for name, tensor in weights(source).items()
                            if name.startswith(prefix)) for prefix in (TABLE, "bert."))
        assert sizes[0] - sizes[1] == table
        assert sizes[0] - sizes[2] == every

    def test_of_a_decoder(self, tmp_path: Path) -> None:
        source = gpt2(tmp_path / "hub")
        project = tuned(tmp_path, source, freeze=1, pooling="mean")
        project.teach("en")
        before, after = weights(source), weights(project.layout.teacher("en"))
        same = {name.removeprefix("transformer.") for name in after
                if name in before and torch.equal(before[name], after[name])}
        assert {"wte.weight", "wpe.weight", "h.0.attn.c_attn.weight"} <= same
        assert "ln_f.weight" not in same

    @pytest.mark.parametrize("changed", [{"gradient_checkpointing": True}, {"accumulate": 2},
                                         {"precision": "bf16"}], ids=str)
    def test_beside_other_settings(self, tmp_path: Path, changed: dict[str, Any]) -> None:
        source = write_checkpoint(tmp_path / "hub", "xlm-roberta")
        project = tuned(tmp_path, source, freeze=1, pooling="mean", **changed)
        project.teach("en")
        before, after = weights(source), weights(project.layout.teacher("en"))
        layers = "roberta.encoder.layer.{}.output.dense.weight"
        assert torch.equal(before[layers.format(0)], after[layers.format(0)])
        assert not torch.equal(before[layers.format(1)], after[layers.format(1)])

    def test_more_layers_than_there_are(self, tmp_path: Path) -> None:
        project = tuned(tmp_path, write_checkpoint(tmp_path / "hub", "bert"), freeze=3)
        with pytest.raises(ParamsError, match=r"hub: expected a checkpoint of 3 layers or more for "
                                              r"teaching\.freeze, found 2; lower it"):
            project.teach("en")

    def test_new_weights_are_all_trained(self, tmp_path: Path) -> None:
        fingerprints = []
        for freeze in (None, "embeddings"):
            project = one(tmp_path / str(freeze), training={"epochs": 1, "freeze": freeze})
            project.teach("en")
            fingerprints.append(project.about("en")["fingerprint"])
        assert fingerprints[0] == fingerprints[1]


class TestMeanPooled:
    @pytest.mark.parametrize("kind", KINDS)
    def test_any_architecture_learns(self, tmp_path: Path, kind: str) -> None:
        source = write_checkpoint(tmp_path / "hub", kind)
        project = tuned(tmp_path, source, pooling="mean", epochs=8)
        reported = project.teach("en")
        about = project.about("en")
        assert (about["architecture"], about["layers"]) == (kind, 2)
        best = max(figures["accuracy"] for _, figures in reported)
        assert accuracy(project.layout, "en", ("en",)) == pytest.approx(best)
        assert best > 60
        model = AutoModelForSequenceClassification.from_pretrained(project.layout.teacher("en"))
        assert about["parameters"] == model.num_parameters()
        assert not any("pooler" in name for name in model.state_dict())

    def test_starts_from_the_checkpoints_weights(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        project = tuned(tmp_path, source, pooling="mean", epochs=1, learning_rate=1.0e-9)
        project.teach("en")
        before, after = weights(source), weights(project.layout.teacher("en"))
        assert after.keys() - before.keys() == {"classifier.weight", "classifier.bias"}
        for name in after.keys() & before.keys():
            torch.testing.assert_close(after[name], before[name])

    def test_resumes_from_its_last_epoch(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        whole, killed = (tuned(tmp_path / name, source, pooling="mean", freeze=1, epochs=4)
                         for name in ("whole", "killed"))
        whole.teach("en")
        until(killed, 2)
        assert [epoch for epoch, _ in killed.teach("en")] == [3, 4]
        files = [(project.layout.teacher("en") / "model.safetensors").read_bytes()
                 for project in (whole, killed)]
        assert files[0] == files[1]

    def test_killed_it_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        whole, project = (tuned(tmp_path / name, source, pooling="mean", freeze="embeddings",
                                epochs=6) for name in ("whole", "killed"))
        whole.teach("en")
        done = killed_and_run_again(project)
        assert done.returncode == 0, done.stderr
        assert "epoch 1:" not in done.stdout
        files = [(each.layout.teacher("en") / "model.safetensors").read_bytes()
                 for each in (whole, project)]
        assert files[0] == files[1]

    @pytest.mark.parametrize("given", [{}, {"checkpoint": "hub/id", "fine_tune": False}], ids=str)
    def test_needs_a_checkpoint_that_is_fine_tuned(self, tmp_path: Path,
                                                   given: dict[str, Any]) -> None:
        with pytest.raises(ParamsError, match=r"pooling: expected `first`, unless a `checkpoint` "
                                              r"is fine-tuned, found `mean`"):
            one(tmp_path, pooling="mean", **given).teach("en")
