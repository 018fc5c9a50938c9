from pathlib import Path

import numpy as np
import pytest
from support.training import LABELS, ROWS, Project, write_corpus

from amtss.annotation import evidence
from amtss.config.schema import LinearTeacher
from amtss.data import corpus
from amtss.errors import AmtssError
from amtss.logits import pool
from amtss.logits.softmax import softmax
from amtss.teachers import linear

CROSS_FITTED = LinearTeacher(kind="linear", languages=("all",), cross_fit=4)


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


def test_a_teacher_that_has_learnt_all_rows_has_set_aside_what_others_say(scored: Project) -> None:
    french = corpus.load(scored.layout, "fr")
    answers = evidence.probabilities(scored.params, scored.layout, french, LABELS, "train")
    np.testing.assert_array_equal(answers, softmax(linear.cross_fit(french, LABELS, CROSS_FITTED)))


def test_linear_models_are_fitted_where_no_teacher_is_linear(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en"], distil={"top_k": 1}, teachers={
        "en": {"training": {"epochs": 1}}, "fr": None, "ru": None, "multilingual": None},
        baseline={"teacher": "en"}).write("en")
    project.teach("en")
    project.score("en")
    english = corpus.load(project.layout, "en")
    answers = evidence.probabilities(project.params, project.layout, english, LABELS, "train")
    np.testing.assert_array_equal(answers, softmax(linear.cross_fit(english, LABELS, CROSS_FITTED)))


def test_answers_to_other_rows_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en"], distil={"top_k": 1}, teachers={
        "en": None, "fr": None, "ru": None, "multilingual": {"scores": []},
        "lin": {"kind": "linear", "languages": ["en"], "cross_fit": 0}},
        baseline={"teacher": "lin"}).write("en")
    project.teach("lin")
    write_corpus(project.layout, "en", ROWS | {"train": 51})
    with pytest.raises(AmtssError, match=r"training rows of en, .* `dvc repro -f teach@lin`"):
        evidence.set_aside(project.params, project.layout,
                           corpus.load(project.layout, "en"), ["lin"])
