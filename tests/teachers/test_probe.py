import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from support.training import (
    KINDS,
    LABELS,
    LANGUAGES,
    ROWS,
    Project,
    fill,
    gpt2,
    table,
    write_checkpoint,
    write_corpus,
)
from transformers import AutoModel, AutoTokenizer

from amtss.config.schema import ProbeTeacher
from amtss.data import corpus
from amtss.errors import AmtssError, CheckpointError, DataError
from amtss.evaluation import footprint
from amtss.files import write_json
from amtss.logits import cache as logits_cache
from amtss.teachers import cross_fitting

Array = NDArray[np.float32]


def probing(root: Path, source: Path, *, pairs: bool = False, **changed: Any) -> Project:
    """A project with a probe of all three languages beside the transformers."""
    settings = {"kind": "probe", "languages": ["all"], "checkpoint": str(source), "cross_fit": 0,
                "max_length": 16} | changed
    return Project(root, teachers={"probe": settings}).write(pairs=pairs)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that no test changes."""
    return write_checkpoint(tmp_path_factory.mktemp("hub") / "bert", "bert")


def logits(project: Project, code: str) -> dict[str, logits_cache.Logits]:
    origin = logits_cache.origin_of(project.params, project.layout, "probe", code)
    return logits_cache.read(project.layout.logits("probe", code), origin, "probe")


def states(project: Project) -> list[Path]:
    """The files of cached states."""
    return sorted(project.layout.embeddings("probe").glob("*/*.safetensors"))


def written(project: Project) -> dict[Path, int]:
    """When each file of states was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in states(project)}


def folder_of(project: Project) -> dict[str, bytes]:
    """The teacher's files, without what it cost."""
    folder = project.layout.teacher("probe")
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.name != "teacher.json"}


def alone(project: Project, code: str, split: str) -> Array:
    """The states of each text by itself, without any padding."""
    teacher = project.params.teachers["probe"]
    assert isinstance(teacher, ProbeTeacher)
    model = AutoModel.from_pretrained(teacher.checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(teacher.checkpoint)
    texts, seconds = corpus.load(project.layout, code).texts(split)
    rows = []
    for text, second in zip(texts, seconds or [None] * len(texts), strict=True):
        encoded = tokenizer(teacher.prefix + text, second and teacher.prefix + second,
                            truncation=True, max_length=16, return_tensors="pt")
        with torch.inference_mode():
            hidden_states = model(**encoded).last_hidden_state[0]
        rows.append(hidden_states[0] if teacher.pooling == "first" else hidden_states.mean(dim=0))
    return torch.stack(rows).numpy()


class TestTaught:
    def test_learns_all_its_languages(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        (epoch, figures), = project.teach("probe")
        project.score("probe")
        right = [logits(project, code)["validation"].values.argmax(axis=1)
                 == project.gold(code, "validation") for code in LANGUAGES]
        assert epoch == 1
        assert figures["accuracy"] == pytest.approx(100 * np.mean(right))
        assert figures["accuracy"] > 60

    def test_its_folder(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        about = project.about("probe")
        assert {path.name for path in project.layout.teacher("probe").iterdir()} == {
            "checksums.json", "model.safetensors", "probe.json", "cross_fitted.safetensors",
            "teacher.json"}
        encoder = AutoModel.from_pretrained(bert, add_pooling_layer=False)
        assert about["parameters"] == encoder.num_parameters() + 32 * 3 + 3
        assert (about["architecture"], about["layers"], about["examples"]) == (
            "frozen bert, logistic regression", 2, 3 * ROWS["train"])

    def test_its_length_follows_from_the_texts(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, max_length=None, scores=["en"])
        project.teach("probe")
        read = project.about("probe")["lengths"]
        assert read["max_length"] % 8 == 0
        assert read["cut"].keys() == {*LANGUAGES}
        project.score("probe")
        cached = next(iter(states(project)))
        with safe_open(cached, framework="numpy") as file:
            assert f'"max_length": {read["max_length"]}' in file.metadata()["amtss"]

    def test_its_size_has_the_encoders(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        size = footprint._teacher(project.layout, "probe")
        assert size["parameters"] == project.about("probe")["parameters"] > 5000
        weights = [folder / "model.safetensors" for folder in (
            bert, project.layout.teacher("probe"))]
        assert size["bytes"] == sum(path.stat().st_size for path in weights)

    @pytest.mark.parametrize("pooling", ["mean", "first"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_states_are_the_encoders_own(self, tmp_path: Path, kind: str, pooling: str) -> None:
        source = write_checkpoint(tmp_path / "hub", kind)
        project = probing(tmp_path, source, pooling=pooling, prefix="enpay1: ")
        project.teach("probe")
        path = project.layout.embeddings("probe") / "en" / "train.safetensors"
        np.testing.assert_allclose(load_file(path)["states"], alone(project, "en", "train"),
                                   atol=4e-3)

    def test_of_pairs(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, pairs=True, prefix="enpay1 ")
        project.teach("probe")
        path = project.layout.embeddings("probe") / "fr" / "validation.safetensors"
        np.testing.assert_allclose(load_file(path)["states"], alone(project, "fr", "validation"),
                                   atol=4e-3)

    def test_of_a_decoder_without_a_padding_token(self, tmp_path: Path) -> None:
        project = probing(tmp_path, gpt2(tmp_path / "hub"))
        project.teach("probe")
        path = project.layout.embeddings("probe") / "en" / "train.safetensors"
        np.testing.assert_allclose(load_file(path)["states"], alone(project, "en", "train"),
                                   atol=4e-3)

    def test_other_languages(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, languages=["en"], scores=["all"])
        project.teach("probe")
        assert {path.parent.name for path in states(project)} == {"en"}
        project.score("probe")
        values = logits(project, "ru")
        assert set(values) == {"train", "validation", "test", "unlabelled"}
        np.testing.assert_allclose(np.exp(values["test"].values).sum(axis=1), 1.0, rtol=1e-4)

    def test_a_label_that_no_row_has(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, cross_fit=2)
        write_json(project.layout.gate_keys, {"labels": [*LABELS, "return"]})
        project.teach("probe")
        project.score("probe")
        for split in ("train", "test"):
            probabilities = np.exp(logits(project, "en")[split].values)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-4)
            assert (probabilities[:, 3] < 0.02).all()


class TestCrossFitting:
    def test_a_row_is_scored_by_a_regression_on_the_others(self, tmp_path: Path,
                                                           bert: Path) -> None:
        # no other row has the first one's label: only a regression that has seen it knows the label
        project = probing(tmp_path, bert, languages=["en"], cross_fit=4, regularisation=[1e6])
        rows = table("en", "train", 13)
        texts = ["enpay0 enpay1 enpay2 enpay3", *rows["text"].to_pylist()[1:]]
        rows = pa.table({"id": rows["id"], "text": texts, "label": ["pay", *["chat", "ship"] * 6]})
        write_corpus(project.layout, "en", train=rows, validation=rows)
        believed = []
        for parts in (0, 4):
            project.set(teachers={"probe": {"cross_fit": parts}})
            project.teach("probe")
            project.score("probe")
            values = np.exp(logits(project, "en")["train"].values)
            believed.append(values[0, LABELS.index("pay")])
        assert believed[0] > 0.9
        assert believed[1] < 0.1

    def test_other_splits_have_the_regression_on_all_rows(self, tmp_path: Path,
                                                          bert: Path) -> None:
        project = probing(tmp_path, bert)
        values = []
        for parts in (0, 3):
            project.set(teachers={"probe": {"cross_fit": parts}})
            project.teach("probe")
            project.score("probe")
            values.append(logits(project, "fr"))
        np.testing.assert_array_equal(values[0]["test"].values, values[1]["test"].values)
        assert not np.allclose(values[0]["train"].values, values[1]["train"].values)

    def test_rows_keep_their_order(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, cross_fit=3)
        project.teach("probe")
        kept = load_file(project.layout.teacher("probe") / cross_fitting.NAME)
        assert set(kept) == {f"{code}.{name}" for code in LANGUAGES for name in ("keys", "logits")}
        for code in LANGUAGES:
            keys = corpus.load(project.layout, code)["train"]["key"].to_numpy()
            np.testing.assert_array_equal(kept[f"{code}.keys"], keys)
            right = kept[f"{code}.logits"].argmax(axis=1) == project.gold(code, "train")
            assert right.mean() > 0.5

    def test_other_rows_are_refused(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, cross_fit=3)
        project.teach("probe")
        write_corpus(project.layout, "fr", ROWS | {"train": 40})
        with pytest.raises(AmtssError, match=r"training rows of fr, found those of other rows; run "
                                             r"`dvc repro -f teach@probe`"):
            project.score("probe")


class TestCachedStates:
    def test_a_second_run_writes_none_and_ends_the_same(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, cross_fit=3)
        project.teach("probe")
        before, folder = written(project), folder_of(project)
        assert len(before) == 6
        project.teach("probe")
        assert written(project) == before
        assert folder_of(project) == folder
        project.score("probe")
        assert {path: time for path, time in written(project).items() if path in before} == before

    def test_equal_runs_write_equal_bytes(self, tmp_path: Path, bert: Path) -> None:
        folders, files = [], []
        for name in ("a", "b"):
            project = probing(tmp_path / name, bert, cross_fit=3)
            project.teach("probe")
            folders.append(folder_of(project))
            files.append([path.read_bytes() for path in states(project)])
        assert folders[0] == folders[1]
        assert files[0] == files[1]

    @pytest.mark.parametrize("damage", [
        lambda data: data[:-9], lambda data: data[:20], lambda data: b"",
        lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]],
        ids=["truncated", "header", "empty", "altered"])
    def test_a_damaged_file_is_made_again(self, tmp_path: Path, bert: Path, damage: Any) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        folder, path = folder_of(project), states(project)[2]
        whole, others = path.read_bytes(), written(project)
        path.write_bytes(damage(whole))
        project.teach("probe")
        assert path.read_bytes() == whole
        assert folder_of(project) == folder
        del others[path]
        assert others.items() < written(project).items()

    @pytest.mark.parametrize("changed", [
        {"prefix": "enpay1 "}, {"pooling": "first"}, {"max_length": 8}], ids=str)
    def test_other_settings_make_all_again(self, tmp_path: Path, bert: Path,
                                           changed: dict[str, Any]) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        before = {path: path.read_bytes() for path in states(project)}
        project.set(teachers={"probe": changed})
        project.teach("probe")
        assert all(path.read_bytes() != data for path, data in before.items())

    def test_another_encoder_makes_all_again(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        project = probing(tmp_path, source)
        project.teach("probe")
        before = {path: path.read_bytes() for path in states(project)}
        other = write_checkpoint(tmp_path / "other", "bert", seed=1)
        (source / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        project.teach("probe")
        assert all(path.read_bytes() != data for path, data in before.items())

    def test_another_corpus_makes_its_own_again(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        before = written(project)
        write_corpus(project.layout, "fr", ROWS | {"train": 40})
        project.teach("probe")
        changed = {path.parent.name for path, time in written(project).items()
                   if time != before[path]}
        assert changed == {"fr"}


class TestRefused:
    def test_no_checkpoint(self, tmp_path: Path) -> None:
        project = probing(tmp_path, Path("none/such"))
        with pytest.raises(CheckpointError, match="none/such: expected"):
            project.teach("probe")
        assert not project.layout.teacher("probe").exists()

    def test_without_safetensors(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        model = AutoModel.from_pretrained(source)
        (source / "model.safetensors").unlink()
        torch.save(model.state_dict(), source / "pytorch_model.bin")
        project = probing(tmp_path, source)
        with pytest.raises(CheckpointError, match=r"safetensors weights, found.*`checkpoint`$"):
            project.teach("probe")

    def test_without_the_weights_of_a_layer(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        other = write_checkpoint(tmp_path / "other", "bert", layers=1)
        (source / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        project = probing(tmp_path, source)
        with pytest.raises(CheckpointError, match="expected a checkpoint with all weights"):
            project.teach("probe")

    def test_without_positions_for_its_texts(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert", positions=9)
        project = probing(tmp_path, source)
        with pytest.raises(CheckpointError, match=r"positions for texts of 16 tokens, found \d+; "
                                                  "lower the teacher's max_length$"):
            project.teach("probe")

    @pytest.mark.parametrize(("rows", "parts"), [(1, 0), (2, 2)])
    def test_too_few_labels(self, tmp_path: Path, bert: Path, rows: int, parts: int) -> None:
        project = probing(tmp_path, bert, languages=["en"], cross_fit=parts)
        write_corpus(project.layout, "en", ROWS | {"train": rows})
        with pytest.raises(DataError, match=r"probe/train: expected rows of two labels or more "
                                            r"(to teach a linear model|outside each of 2 parts)"):
            project.teach("probe")
        assert not states(project)  # the encoder has not been run for nothing

    def test_no_validation_rows(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert, languages=["en"])
        write_corpus(project.layout, "en", ROWS | {"validation": 0})
        with pytest.raises(DataError, match=r"probe/validation: expected rows"):
            project.teach("probe")

    @pytest.mark.parametrize("name", ["model.safetensors", "probe.json",
                                      "cross_fitted.safetensors"])
    def test_a_truncated_teacher(self, tmp_path: Path, bert: Path, name: str) -> None:
        project = probing(tmp_path, bert, cross_fit=2)
        project.teach("probe")
        path = project.layout.teacher("probe") / name
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(AmtssError, match=r"remove it and run `dvc repro teach@probe`"):
            project.score("probe")

    def test_a_teacher_of_no_numbers(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        fill(project.layout.teacher("probe"), float("nan"), "bias")
        with pytest.raises(CheckpointError, match=r"probe: expected a whole regression, found: NaN "
                           r"or infinite numbers in bias; run `dvc repro -f teach@probe`$"):
            project.score("probe")

    def test_settings_that_it_was_not_taught_with(self, tmp_path: Path, bert: Path) -> None:
        project = probing(tmp_path, bert)
        project.teach("probe")
        project.set(teachers={"probe": {"prefix": "query: "}})
        with pytest.raises(CheckpointError, match=r"states of prefix 'query: ', found one of ''; "
                                                  r"run `dvc repro -f teach@probe`"):
            project.score("probe")

    def test_an_encoder_that_is_another_by_now(self, tmp_path: Path) -> None:
        source = write_checkpoint(tmp_path / "hub", "bert")
        project = probing(tmp_path, source)
        project.teach("probe")
        other = write_checkpoint(tmp_path / "other", "bert", seed=1)
        (source / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        with pytest.raises(CheckpointError, match=r"expected a regression on states of encoder "
                                                  r".*; run `dvc repro -f teach@probe`"):
            project.score("probe")

    def test_the_states_header_says_what_they_are(self, tmp_path: Path, bert: Path) -> None:
        from safetensors import safe_open

        project = probing(tmp_path, bert)
        project.teach("probe")
        with safe_open(states(project)[0], framework="numpy") as file:
            header = json.loads(file.metadata()["amtss"])
            assert file.get_tensor("states").dtype == np.float16
        assert set(header) == {"format", "encoder", "prefix", "pooling", "max_length", "precision",
                               "corpus", "checksum"}
