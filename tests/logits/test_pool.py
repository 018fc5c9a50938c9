from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.training import LABELS, LANGUAGES, Project, scored

from amtss.config.schema import Params
from amtss.errors import AmtssError, CacheError
from amtss.logits import cache as logits_cache
from amtss.logits import pool
from amtss.logits.cache import Logits
from amtss.logits.mixing import MIXINGS
from amtss.logits.pool import LanguagePool, Pool
from amtss.logits.softmax import softmax


def loaded(project: Project, *teachers: str) -> Pool:
    params: Params = project.params
    return pool.load(params, project.layout, project.corpora(), LABELS, teachers or params.pool)


class TestLoad:
    def test_is_what_the_files_hold(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        members = loaded(project)["fr"]
        assert members.teachers == ("fr", "multilingual")
        assert members.taught == (1, 3)
        for index, teacher in enumerate(members.teachers):
            raw = load_file(project.layout.logits(teacher, "fr"))
            for split in ("train", "validation", "test"):
                np.testing.assert_array_equal(members.logits[split][index],
                                              raw[f"{split}.logits"])
        np.testing.assert_array_equal(members.gold, project.gold("fr", "validation"))

    def test_follows_the_corpus_by_key(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        before = loaded(project)["fr"].logits
        path = project.layout.logits("fr", "fr")
        origin = logits_cache.origin_of(project.params, project.layout, "fr", "fr")
        order = np.random.default_rng(0).permutation
        logits_cache.write(path, origin, {
            split: Logits(logits.keys[at], logits.values[at])
            for split, logits in logits_cache.read(path, origin, "fr").items()
            if len(at := order(len(logits.keys)))})
        for split, values in loaded(project)["fr"].logits.items():
            np.testing.assert_array_equal(values, before[split])

    def test_of_some_teachers(self, tmp_path: Path) -> None:
        members = loaded(scored(tmp_path), "multilingual")
        assert [members[code].teachers for code in LANGUAGES] == [("multilingual",)] * 3

    def test_refuses_a_missing_cache(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        project.layout.logits("multilingual", "ru").unlink()
        with pytest.raises(CacheError, match="found no file; run `dvc repro -f score@multi"):
            loaded(project)

    def test_refuses_a_truncated_cache(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        path = project.layout.logits("multilingual", "ru")
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(AmtssError, match=r"or altered.*run `dvc repro -f score@multi"):
            loaded(project)

    def test_refuses_an_altered_cache(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        path = project.layout.logits("multilingual", "ru")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(AmtssError, match=r"checksum differs.*run `dvc repro -f score@multi"):
            loaded(project)


class TestSoftTargets:
    def test_are_the_weighted_mixture(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        members = loaded(project)["en"]
        own, every = (load_file(project.layout.logits(name, "en"))["train.logits"]
                      for name in ("en", "multilingual"))

        def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
            raised = np.exp(logits.astype(np.float64) / temperature)
            return raised / raised.sum(axis=1, keepdims=True)

        for temperature in (1.0, 3.0):
            expected = (0.25 * probabilities(own, temperature)
                        + 0.75 * probabilities(every, temperature))
            targets = members.soft_targets("train", {"en": 0.25, "multilingual": 0.75}, temperature)
            np.testing.assert_allclose(targets, expected, atol=1e-12)

    @pytest.mark.parametrize("name", MIXINGS)
    def test_are_of_the_mixing_in_params_yaml(self, tmp_path: Path, name: str) -> None:
        project = scored(tmp_path, distil={"mixing": name})
        members, weights = loaded(project)["ru"], np.array([0.25, 0.75])
        for split in ("train", "unlabelled", "validation", "test"):
            np.testing.assert_array_equal(
                members.soft_targets(split, {"ru": 0.25, "multilingual": 0.75}, 2.0),
                MIXINGS[name](members.logits[split], weights, 2.0))


class TestGoldProbabilities:
    def test_are_those_of_the_gold_labels(self, tmp_path: Path) -> None:
        members = loaded(scored(tmp_path))["ru"]
        every = softmax(members.logits["validation"])
        expected = [[every[t, n, members.gold[n]] for n in range(24)] for t in range(2)]
        np.testing.assert_allclose(members.gold_probabilities(), expected)


class TestStandIns:
    COLUMN = {"a": 0.3, "b": 0.7}  # noqa: RUF012

    def members(self, labelled: bool) -> LanguagePool:
        logits = np.random.default_rng(1).normal(size=(2, 40, 3)).astype(np.float32)
        return LanguagePool(("a", "b"), (0, 0), {"validation": logits}, np.full(40, -1),
                            "geometric", labelled)

    def test_are_what_the_mixture_answers(self) -> None:
        members = self.members(labelled=False)
        filled = members.with_stand_ins(self.COLUMN)
        np.testing.assert_array_equal(
            filled.gold, members.soft_targets("validation", self.COLUMN).argmax(axis=-1))
        assert len(set(filled.gold.tolist())) == 3
        assert filled.with_stand_ins({"a": 1.0, "b": 0.0}).gold.tolist() != filled.gold.tolist()

    def test_are_not_put_over_labels(self) -> None:
        members = self.members(labelled=True)
        assert members.with_stand_ins(self.COLUMN) is members
