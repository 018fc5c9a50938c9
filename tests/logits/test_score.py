from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.training import (
    LANGUAGES,
    SMALL,
    Project,
    fill,
    scored,
    write_checkpoint,
    write_corpus,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from amtss.data import corpus
from amtss.errors import AmtssError, CacheError, CheckpointError
from amtss.logits import cache as logits_cache


def cached(project: Project, teacher: str, code: str) -> dict[str, logits_cache.Logits]:
    origin = logits_cache.origin_of(project.params, project.layout, teacher, code)
    return logits_cache.read(project.layout.logits(teacher, code), origin, teacher)


def alone(project: Project, teacher: str, code: str, split: str) -> NDArray[np.float32]:
    """The model's own forward of each text by itself, without any padding."""
    folder = project.layout.teacher(teacher)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts, pairs = corpus.load(project.layout, code).texts(split)
    length = project.params.training_of(teacher).max_length
    with torch.inference_mode():
        rows = [model(**tokenizer(text, pair, truncation=True, max_length=length,
                                  return_tensors="pt")).logits[0]
                for text, pair in zip(texts, pairs or [None] * len(texts), strict=True)]
    return torch.stack(rows).numpy()


class TestLogits:
    @pytest.mark.parametrize("teacher", ["en", "multilingual"])
    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_are_the_models_own(self, tmp_path: Path, teacher: str, split: str) -> None:
        project = scored(tmp_path)
        logits = cached(project, teacher, "en")[split]
        np.testing.assert_allclose(logits.values, alone(project, teacher, "en", split), atol=1e-5)
        keys = corpus.load(project.layout, "en")[split]["key"].to_numpy()
        np.testing.assert_array_equal(logits.keys, keys)

    @pytest.mark.parametrize("size", [1, 7, 64])
    def test_do_not_depend_on_the_batch(self, tmp_path: Path, size: int) -> None:
        project = scored(tmp_path)
        before = cached(project, "en", "en")["train"].values
        project.set(scoring={"batch_size": size})
        project.score("en")
        np.testing.assert_allclose(cached(project, "en", "en")["train"].values, before, atol=1e-5)

    def test_of_chat_logs(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        splits = cached(project, "ru", "ru")
        assert set(splits) == {"train", "validation", "test", "unlabelled"}
        np.testing.assert_allclose(splits["unlabelled"].values,
                                   alone(project, "ru", "ru", "unlabelled"), atol=1e-5)
        assert set(cached(project, "en", "en")) == {"train", "validation", "test"}

    def test_long_texts_are_cut_alike(self, tmp_path: Path) -> None:
        project = scored(tmp_path, teachers={"en": {"training": {"max_length": 8}}})
        project.score("en")
        np.testing.assert_allclose(cached(project, "en", "en")["test"].values,
                                   alone(project, "en", "en", "test"), atol=1e-5)

    def test_twice_is_the_same_file(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        path = project.layout.logits("multilingual", "fr")
        before = path.read_bytes()
        project.score("multilingual")
        assert path.read_bytes() == before


class TestLanguages:
    def test_all(self, tmp_path: Path) -> None:
        project = scored(tmp_path, teachers={"en": {"scores": ["all"]}})
        project.score("en")
        for code in LANGUAGES:
            np.testing.assert_allclose(cached(project, "en", code)["test"].values,
                                       alone(project, "en", code, "test"), atol=1e-5)

    def test_some(self, tmp_path: Path) -> None:
        project = scored(tmp_path, teachers={"en": {"scores": ["ru", "en"]}})
        project.score("en")
        folder = project.layout.logits("en", "en").parent
        assert {path.name for path in folder.iterdir()} == {"en.safetensors", "ru.safetensors"}


class TestPairs:
    @pytest.fixture
    def pairs(self, tmp_path: Path) -> Project:
        """BERT of two token types, and a from-scratch teacher, on pairs of texts."""
        folder = write_checkpoint(tmp_path / "hub", "bert", labels=["ship", "pay", "chat"])
        project = Project(tmp_path, languages=["en"], distil={"top_k": 1}, teachers={
            "fr": None, "ru": None, "multilingual": {"training": {"epochs": 1}},
            "en": {"languages": ["en"], "checkpoint": str(folder), "fine_tune": False}})
        return project.write("en", pairs=True)

    def test_have_two_token_types(self, pairs: Project) -> None:
        pairs.teach("en")
        pairs.score("en")
        expected = alone(pairs, "en", "en", "test")[:, [2, 1, 0]]
        np.testing.assert_allclose(cached(pairs, "en", "en")["test"].values, expected, atol=1e-5)
        model = AutoModelForSequenceClassification.from_pretrained(pairs.layout.teacher("en"))
        kinds = model.bert.embeddings.token_type_embeddings.weight
        assert not torch.allclose(kinds[0], kinds[1])  # so that they matter above

    def test_from_scratch(self, pairs: Project) -> None:
        pairs.teach("multilingual")
        pairs.score("multilingual")
        np.testing.assert_allclose(cached(pairs, "multilingual", "en")["test"].values,
                                   alone(pairs, "multilingual", "en", "test"), atol=1e-5)


class TestAligned:
    def test_columns_are_our_labels(self, tmp_path: Path) -> None:
        names = ["Ship It!", "CHAT", "something else", "Pay"]
        folder = write_checkpoint(tmp_path / "hub", "camembert", labels=names)
        project = Project(tmp_path, teachers={
            "fr": None, "ru": None, "en": {
                "languages": ["en"], "checkpoint": str(folder), "fine_tune": False,
                "labels": {"Ship It!": "ship"}}}).write()
        project.teach("en")
        project.score("en")
        expected = alone(project, "en", "en", "test")[:, [1, 3, 0]]  # chat, pay, ship
        np.testing.assert_allclose(cached(project, "en", "en")["test"].values, expected, atol=1e-5)

    def test_a_decoder_pads_without_harm(self, tmp_path: Path) -> None:
        from support.training import gpt2

        project = Project(tmp_path, teachers={
            "fr": None, "ru": None, "en": {"languages": ["en"], "architecture": SMALL,
                                           "checkpoint": str(gpt2(tmp_path / "hub"))}}).write()
        project.teach("en")
        project.score("en")
        np.testing.assert_allclose(cached(project, "en", "en")["test"].values,
                                   alone(project, "en", "en", "test"), atol=1e-5)


class TestRefused:
    @pytest.mark.parametrize("changed", [
        {"teachers": {"en": {"training": {"max_length": 8}}}}, {"scoring": {"precision": "bf16"}}])
    def test_stale_settings(self, tmp_path: Path, changed: dict[str, Any]) -> None:
        project = scored(tmp_path, **changed)
        with pytest.raises(CacheError, match=r"stale cache.*run `dvc repro -f score@en`"):
            cached(project, "en", "en")

    def test_another_corpus(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        write_corpus(project.layout, "en", {"train": 30, "validation": 24, "test": 24})
        with pytest.raises(CacheError, match=r"stale cache.*run `dvc repro -f score@en`"):
            cached(project, "en", "en")

    def test_another_teacher(self, tmp_path: Path) -> None:
        project = scored(tmp_path, teachers={"en": {"training": {"seed": 3}}})
        project.teach("en")
        with pytest.raises(CacheError, match=r"stale cache.*run `dvc repro -f score@en`"):
            cached(project, "en", "en")

    def test_no_teacher(self, tmp_path: Path) -> None:
        project = Project(tmp_path).write()
        with pytest.raises(AmtssError, match="found none; run `dvc repro teach@en`"):
            project.score("en")

    def test_a_teacher_without_weights(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        before = project.layout.logits("en", "en").read_bytes()
        (project.layout.teacher("en") / "model.safetensors").unlink()
        with pytest.raises(AmtssError, match="run `dvc repro teach@en`"):
            project.score("en")
        assert project.layout.logits("en", "en").read_bytes() == before

    def test_logits_that_are_no_numbers(self, tmp_path: Path) -> None:
        # of weights that are numbers, but whose sum is too large for one
        project = scored(tmp_path)
        before = project.layout.logits("en", "en").read_bytes()
        fill(project.layout.teacher("en"), 1e30, "classifier.dense.bias")
        fill(project.layout.teacher("en"), 3e38, "out_proj.weight")
        with pytest.raises(CheckpointError, match=(
                r"teachers/en: expected a teacher whose logits are finite, found NaN or infinite "
                r"ones on en; set scoring\.precision: fp32, or run `dvc repro -f teach@en`")):
            project.score("en")
        assert project.layout.logits("en", "en").read_bytes() == before
