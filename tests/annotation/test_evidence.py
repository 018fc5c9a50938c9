import numpy as np
import pytest
from support.training import LABELS, Project

from amtss.annotation import evidence
from amtss.data import corpus
from amtss.logits import pool
from amtss.logits.softmax import softmax


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("params"), teachers={
        "lin": {"kind": "linear", "languages": ["all"]},
        "fitted": {"kind": "linear", "languages": ["all"], "cross_fit": 0},
        "foreign": {"languages": ["fr"], "scores": ["en"]},
        "elsewhere": {"languages": ["all"], "checkpoint": "hub/id", "fine_tune": False}})


@pytest.mark.parametrize(("split", "expected"), [
    ("train", ["lin", "foreign"]),
    ("validation", ["en", "lin", "fitted", "foreign", "elsewhere"]),
    ("unlabelled", ["en", "lin", "fitted", "foreign", "elsewhere"])])
def test_teachers_say_nothing_of_rows_that_they_have_learnt(params: Project, split: str,
                                                            expected: list[str]) -> None:
    names = ["en", "lin", "fitted", "foreign", "elsewhere"]
    assert evidence.unseen(params.params, "en", split, names) == expected


def test_one_teacher_is_answered_with_as_it_is(scored: Project) -> None:
    english = corpus.load(scored.layout, "en")
    answers = evidence.probabilities(scored.params, scored.layout, english, LABELS, "train")
    members = pool.load(scored.params, scored.layout, [english], LABELS, ["lin"])["en"]
    np.testing.assert_allclose(answers, softmax(members.logits["train"][0]))


def test_the_better_teacher_has_the_say(scored: Project) -> None:
    english = corpus.load(scored.layout, "en")
    members = pool.load(scored.params, scored.layout, [english], LABELS, ["lin"])["en"]
    both = pool.LanguagePool(
        ("bad", "lin"), (0, 1), {split: np.concatenate([-logits, logits])
                                 for split, logits in members.logits.items()},
        members.gold, members.mixing)
    alone = evidence.mixture(both, "en", ["lin"], "train")
    np.testing.assert_allclose(evidence.mixture(both, "en", ["bad", "lin"], "train"), alone,
                               atol=1e-6)
    np.testing.assert_allclose(alone, softmax(members.logits["train"][0]))


def test_without_a_cross_fitted_teacher_a_linear_model_is_fitted(scored: Project) -> None:
    french = corpus.load(scored.layout, "fr")
    answers = evidence.probabilities(scored.params, scored.layout, french, LABELS, "train")
    assert answers.shape == (48, 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert (answers.argmax(axis=1) == french.label_ids("train", LABELS)).mean() > 0.5
