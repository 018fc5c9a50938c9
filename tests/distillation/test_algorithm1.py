import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file
from support.training import (
    LABELS,
    LANGUAGES,
    Project,
    distilled,
    onboarding,
    prepared,
    rewrite_logits,
    scored,
    stopping_after,
    table,
    untimed,
    write_corpus,
)
from support.warm import BIN, programs

from amtss.data import corpus
from amtss.distillation import algorithm1, importance
from amtss.distillation.results import measure_on_validation
from amtss.errors import AmtssError, CheckpointError
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.logits import pool
from amtss.logits.mixing import MIXINGS

pytestmark = pytest.mark.slow
ROWS = {"en": 48, "fr": 48, "ru": 68}
"""Training rows of each language, chat logs included."""


def until(project: Project, epochs: int) -> None:
    """Train, but stop after `epochs`."""
    with stopping_after(epochs) as stop:
        algorithm1.distil(project.params, project.layout, stop)


def perfect(project: Project, code: str, share: float = 1.0) -> None:
    """Give `code`'s own teacher a validation accuracy of `share`, and leave its training rows."""
    gold = project.gold(code, "validation")
    said = np.where(np.arange(len(gold)) < share * len(gold), gold, (gold + 1) % 3)
    rewrite_logits(project, code, code, "validation", 9.0 * np.eye(3)[said])


class TestAlgorithm1:
    def test_all_languages_first_then_the_largest_margins(self, tmp_path: Path) -> None:
        history = scored(tmp_path).distil(max_epochs=6)
        assert history[0]["selected"] == list(LANGUAGES)
        for before, row in pairwise(history):
            ranked = sorted(before["rank"], key=before["rank"].__getitem__)
            assert row["selected"] == ranked[:2]

    def test_every_epoch_ranks_every_language_by_margin(self, tmp_path: Path) -> None:
        for row in scored(tmp_path).distil(max_epochs=6):
            assert sorted(row["rank"].values()) == [0, 1, 2]
            margins = [row["margin"][code]
                       for code in sorted(row["rank"], key=row["rank"].__getitem__)]
            assert margins == sorted(margins, reverse=True)

    def test_examples_are_those_of_the_selected_languages(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        for row in project.distil():
            assert row["examples"] == sum(ROWS[code] for code in row["selected"])
        cost = (project.layout.training("distil") / "cost.json").read_text()
        assert f'"examples": {sum(row["examples"] for row in project.history("distil"))}' in cost

    def test_a_language_that_was_left_out_comes_back(self, tmp_path: Path) -> None:
        history = scored(tmp_path).distil(top_k=1, max_epochs=8)
        chosen = [row["selected"][0] for row in history[1:]]
        turns = [code for code, before in zip(chosen, [None, *chosen], strict=False)
                 if code != before]
        assert len(turns) > len(set(turns)), chosen

    def test_heads_of_languages_left_out_stay_as_they_are(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        project.set(distil={"top_k": 1})
        folder = project.layout.checkpoints("distil")
        until(project, 1)
        first = load_file(folder / "epoch-0001" / "model.safetensors")
        until(project, 2)
        second = load_file(folder / "epoch-0002" / "model.safetensors")
        changed = {name.split(".")[1] for name in first if name.startswith("heads.")
                   and not np.array_equal(first[name], second[name])}
        assert len(changed) == 1

    def test_top_k_of_all_is_every_language_every_epoch(self, tmp_path: Path) -> None:
        history = scored(tmp_path).distil(top_k=3)
        assert {row["examples"] for row in history} == {sum(ROWS.values())}

    @pytest.mark.parametrize("replay", [0.25, 0.5])
    def test_replay_mixes_in_a_share_of_the_others(self, tmp_path: Path, replay: float) -> None:
        for row in scored(tmp_path).distil(replay=replay, top_k=1)[1:]:
            left = [code for code in LANGUAGES if code not in row["selected"]]
            assert row["examples"] == ROWS[row["selected"][0]] + sum(
                round(replay * ROWS[code]) for code in left)

    def test_replay_draws_other_rows_each_epoch(self, tmp_path: Path) -> None:
        project = scored(tmp_path, distil={"replay": 0.5})
        lesson = prepared(project)
        drawn = [set(algorithm1.training_rows(project.params, lesson.train, ["en"],
                                              epoch).tolist()) for epoch in (2, 3, 2)]
        assert drawn[0] == drawn[2] != drawn[1]
        assert all(set(range(48)) <= rows for rows in drawn)

    def test_stops_below_the_margin_threshold(self, tmp_path: Path) -> None:
        whole = scored(tmp_path / "whole").distil(max_epochs=8)
        largest = [max(row["margin"].values()) for row in whole]
        threshold = sorted(largest)[3] + 1e-6
        expected = next(i for i, value in enumerate(largest, 1) if value < threshold)
        stopped = scored(tmp_path / "stopped").distil(max_epochs=8, margin_threshold=threshold)
        assert len(stopped) == expected < 8
        assert untimed(stopped) == untimed(whole[:expected])

    def test_a_threshold_that_is_not_reached(self, tmp_path: Path) -> None:
        assert len(scored(tmp_path).distil(margin_threshold=-100.0)) == 5

    def test_the_best_epoch_is_kept(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        history = project.distil(max_epochs=8)
        best = [row for row in history if row["best"]][-1]
        assert best["epoch"] >= max(history, key=lambda row: row["average"])["epoch"]
        predictor = PytorchPredictor(project.layout.student)
        for texts in project.corpora():
            chosen = predictor.probabilities(*texts.texts("validation"), texts.language).argmax(-1)
            right = chosen == texts.label_ids("validation", LABELS)
            assert 100.0 * right.mean() == pytest.approx(best["accuracy"][texts.language])


class TestMargins:
    def test_are_teachers_minus_student_in_points(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        for row in project.distil(weights="uniform"):
            for code in LANGUAGES:
                said = []
                for teacher in (code, "multilingual"):
                    logits = load_file(project.layout.logits(teacher, code))["validation.logits"]
                    raised = np.exp(logits.astype(np.float64))
                    said.append(raised / raised.sum(axis=1, keepdims=True))
                right = (said[0] + said[1]).argmax(axis=1) == project.gold(code, "validation")
                assert row["margin"][code] == pytest.approx(
                    100.0 * right.mean() - row["accuracy"][code])

    def test_a_language_whose_teachers_know_more_comes_first(self, tmp_path: Path) -> None:
        project = scored(tmp_path, distil={"weights": "own", "max_epochs": 2, "top_k": 1})
        for code in ("en", "fr"):
            perfect(project, code, 0.0)
        perfect(project, "ru")
        history = project.distil()
        assert history[0]["rank"]["ru"] == 0
        assert history[1]["selected"] == ["ru"]

    def test_may_be_negative(self, tmp_path: Path) -> None:
        project = scored(tmp_path, distil={"weights": "own"})
        perfect(project, "fr", 0.0)
        row = project.distil()[-1]
        assert row["margin"]["fr"] == -row["accuracy"]["fr"] < 0


class TestWeights:
    @pytest.mark.parametrize("strategy", ["own", "uniform", "likelihood", "boosted"])
    def test_stand_in_the_history(self, tmp_path: Path, strategy: str) -> None:
        project = scored(tmp_path)
        history = project.distil(weights=strategy)
        teachers = pool.load(project.params, project.layout, project.corpora(), LABELS,
                             project.params.pool)
        expected = importance.fit(teachers, strategy)
        for code, column in expected.items():
            for teacher, weight in column.items():
                assert history[0]["weights"][teacher][code] == pytest.approx(weight)
        same = [row["weights"] == history[0]["weights"] for row in history]
        assert all(same) == (strategy != "boosted")

    def test_reach_the_student(self, tmp_path: Path) -> None:
        students = {strategy: (project := scored(tmp_path / strategy)).distil(weights=strategy)
                    and project.student for strategy in ("own", "uniform")}
        assert students["own"] != students["uniform"]

    @pytest.mark.parametrize("mixing", MIXINGS)
    def test_the_mixing_gives_the_soft_targets_and_the_margins(self, tmp_path: Path,
                                                               mixing: str) -> None:
        project = scored(tmp_path, distil={"mixing": mixing, "weights": "uniform"})
        row = project.distil(max_epochs=3)[0]
        assert row["mixing"] == mixing
        teachers = pool.load(project.params, project.layout, project.corpora(), LABELS,
                             project.params.pool)
        for code, members in teachers.items():
            mixture = members.soft_targets("validation", {code: 0.5, "multilingual": 0.5})
            accuracy = 100.0 * (mixture.argmax(axis=1) == members.gold).mean()
            assert row["margin"][code] == pytest.approx(accuracy - row["accuracy"][code])

    def test_mixings_make_different_students(self, tmp_path: Path) -> None:
        students = {mixing: (project := scored(tmp_path / mixing)).distil(
            mixing=mixing, max_epochs=3) and project.student for mixing in MIXINGS}
        assert len(set(students.values())) == len(MIXINGS)

    def test_a_pool_of_some_teachers(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        history = project.distil(teachers=["multilingual"])
        assert history[0]["weights"] == {"multilingual": dict.fromkeys(LANGUAGES, 1.0)}


class TestLabelsOnly:
    def test_sees_as_many_examples(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        for row in project.distil(labels_only=True):
            assert row["examples"] == sum(ROWS[code] for code in row["selected"])
            assert row["loss"] == row["hard_loss"]

    def test_reads_labelled_rows_alone(self, tmp_path: Path) -> None:
        project = scored(tmp_path, distil={"labels_only": True})
        lesson = prepared(project)
        rows = algorithm1.training_rows(project.params, lesson.train, LANGUAGES, 1)
        assert len(rows) == sum(ROWS.values())
        assert (lesson.train.labels[rows] != corpus.UNLABELLED).all()
        counts = np.bincount(rows[lesson.train.language[rows] == 2])
        assert set(counts[counts > 0]) <= {1, 2}  # 68 of 48: each once, some twice

    def test_does_not_depend_on_the_logits(self, tmp_path: Path) -> None:
        students = []
        for name in ("as", "other"):
            project = scored(tmp_path / name, distil={"labels_only": True, "top_k": 3})
            if name == "other":
                for code in LANGUAGES:
                    for split, rows in (("train", 48), ("validation", 24)):
                        values = np.random.default_rng(1).normal(size=(rows, 3))
                        rewrite_logits(project, "multilingual", code, split, values)
            project.distil()
            students.append(project.student)
        assert students[0] == students[1]

    def test_distillation_does(self, tmp_path: Path) -> None:
        students = []
        for name in ("as", "other"):
            project = scored(tmp_path / name, distil={"top_k": 3})
            if name == "other":
                values = np.random.default_rng(1).normal(size=(48, 3))
                rewrite_logits(project, "multilingual", "en", "train", values)
            project.distil()
            students.append(project.student)
        assert students[0] != students[1]


class TestChatLogs:
    def test_are_learnt_from_soft_targets(self, tmp_path: Path) -> None:
        # labelled rows say `chat` alone; what `pay` and `ship` are only the logs' teachers say
        project = scored(tmp_path, languages=["ru"], distil={
            "top_k": 1, "kd_weight": 4.0, "max_epochs": 16, "batch_size": 24,
            "teachers": ["ru"]}, teachers={
                "en": None, "fr": None})
        logs = table("ru", "unlabelled", 240)
        train = table("ru", "train", 120)
        train = train.filter(pa.compute.equal(train["label"], "chat"))
        write_corpus(project.layout, "ru", train=train, unlabelled=logs)
        project.score()
        known = [LABELS[index % 3] for index in range(240)]
        teacher = 5.0 * np.eye(3)[[LABELS.index(label) for label in known]]
        rewrite_logits(project, "ru", "ru", "unlabelled", teacher)
        rewrite_logits(project, "ru", "ru", "train", np.tile([5.0, 0.0, 0.0], (len(train), 1)))
        assert project.distil()[-1]["average"] > 50.0
        with pytest.raises(CheckpointError, match=r"is right for 33\.33% of rows"):
            project.distil(labels_only=True)


class TestTeachersAreNotLoaded:
    def test_distillation_needs_no_weights_of_theirs(self, tmp_path: Path) -> None:
        project, untouched = distilled(tmp_path / "a"), distilled(tmp_path / "b")
        for folder in (project.layout.artifacts / "teachers").iterdir():
            for path in folder.iterdir():
                if path.name != "teacher.json":
                    path.unlink()
        shutil.rmtree(project.layout.student)
        project.distil()
        assert project.student == untouched.student

    def test_but_their_fingerprints(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        (project.layout.teacher("en") / "teacher.json").unlink()
        with pytest.raises(AmtssError, match="run `dvc repro teach@en`"):
            project.distil()


class TestBytes:
    def test_same_seed_same_bytes(self, tmp_path: Path) -> None:
        one, other = scored(tmp_path / "one"), scored(tmp_path / "other")
        assert untimed(one.distil()) == untimed(other.distil())
        assert one.student == other.student

    def test_another_seed_another_student(self, tmp_path: Path) -> None:
        one, other = scored(tmp_path / "one"), scored(tmp_path / "other")
        one.distil(seed=0)
        other.distil(seed=1)
        assert one.student != other.student

    def test_in_mixed_precision(self, tmp_path: Path) -> None:
        one, other = scored(tmp_path / "one"), scored(tmp_path / "other")
        one.distil(precision="bf16")
        other.distil(precision="bf16")
        assert one.student == other.student

    def test_test_labels_do_not_reach_it(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        wrong = table("en", "test", 24).set_column(2, "label", pa.array(["pay"] * 24))
        write_corpus(project.layout, "en", test=wrong)
        project.score()
        project.distil()
        project.baseline()
        untouched = distilled(tmp_path / "untouched")
        assert project.student == untouched.student
        for stage in ("distil", "baseline"):
            assert untimed(project.history(stage)) == untimed(untouched.history(stage))

    def test_no_checkpoints_are_left(self, tmp_path: Path) -> None:
        # or a run with changed code would find its training done
        assert not distilled(tmp_path).layout.checkpoints("distil").exists()


class TestInterrupted:
    @pytest.mark.parametrize("weights", ["likelihood", "boosted"])
    def test_resumes_from_its_last_epoch(self, tmp_path: Path, weights: str) -> None:
        whole, cut = (scored(tmp_path / name, distil={"weights": weights, "replay": 0.2})
                      for name in ("whole", "cut"))
        whole.distil()
        for epochs in (1, 3, 5):
            until(cut, epochs)
        epochs: list[int] = []
        algorithm1.distil(cut.params, cut.layout, lambda row: epochs.append(row["epoch"]))
        assert epochs == []
        assert [row["epoch"] for row in cut.history("distil")] == [1, 2, 3, 4, 5]
        assert cut.student == whole.student
        assert untimed(cut.history("distil")) == untimed(whole.history("distil"))

    def test_after_it_had_finished_by_margin(self, tmp_path: Path) -> None:
        project = scored(tmp_path, distil={"margin_threshold": 1000.0})
        until(project, 1)
        reported: list[Any] = []
        algorithm1.distil(project.params, project.layout, reported.append)
        assert reported == []
        assert len(project.history("distil")) == 1

    @pytest.mark.parametrize("changed", [
        {"distil": {"max_epochs": 4}}, {"distil": {"seed": 5}}, {"student": {"dropout": 0.3}}],
        ids=str)
    def test_changed_settings_start_afresh(self, tmp_path: Path, changed: dict[str, Any]) -> None:
        fresh, cut = scored(tmp_path / "fresh"), scored(tmp_path / "cut")
        until(cut, 2)
        for project in (fresh, cut):
            project.set(**changed)
            project.distil()
        assert cut.student == fresh.student
        assert untimed(cut.history("distil")) == untimed(fresh.history("distil"))

    def test_changed_logits_start_afresh(self, tmp_path: Path) -> None:
        fresh, cut = scored(tmp_path / "fresh"), scored(tmp_path / "cut")
        until(cut, 2)
        for project in (fresh, cut):
            project.set(teachers={"en": {"training": {"seed": 9, "epochs": 1}}})
            project.teach("en")
            project.score("en")
            project.distil()
        assert cut.student == fresh.student

    @pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors",
                                      "progress.json"])
    def test_an_unreadable_checkpoint_costs_time_alone(self, tmp_path: Path, name: str) -> None:
        project = scored(tmp_path)
        until(project, 4)
        last = sorted(project.layout.checkpoints("distil").glob("epoch-*"))[-1] / name
        last.write_bytes(last.read_bytes()[:50])
        project.distil()
        whole = distilled(tmp_path / "whole")
        assert project.student == whole.student
        assert untimed(project.history("distil")) == untimed(whole.history("distil"))

    def test_the_old_student_stays_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        before = project.student
        project.set(distil={"seed": 3})
        until(project, 2)
        assert project.student == before


LONG = {"max_epochs": 8, "top_k": 3, "share": 1.0, "replay": 0.5}
"""A continuation that the tests' students learn a language in."""
NEW_ROWS = {"en": 48, "fr": 48, "ru": 68, "ko": 160, "pl": 160}


@pytest.fixture(scope="module")
def korean(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Korean onboarded; not to be changed."""
    project = onboarding(tmp_path_factory.mktemp("korean"), "ko", **LONG)
    project.distil()
    return project


def accuracy(project: Project, folder: Path, code: str) -> float:
    """Of the student in `folder` on validation, in points."""
    texts = corpus.load(project.layout, code).texts("validation")
    chosen = PytorchPredictor(folder).probabilities(*texts, code).argmax(-1)
    return 100.0 * float((chosen == project.gold(code, "validation")).mean())


def check_learnt(project: Project, *new: str) -> None:
    """`new` were onboarded: they are known, and on average the others are as well as before."""
    assert all(accuracy(project, project.layout.student, code) > 60.0 for code in new)
    before, after = (np.mean([accuracy(project, folder, code) for code in LANGUAGES])
                     for folder in (project.layout.registered / "student", project.layout.student))
    assert before - after < 10.0


class TestOnboarding:
    def test_a_new_language_stays_selected_and_all_are_ranked(self, korean: Project) -> None:
        history = korean.history("distil")
        assert history[0]["selected"] == ["ko"]
        for before, row in pairwise(history):
            assert set(before["rank"]) == {*LANGUAGES, "ko"}
            ranked = sorted(before["rank"], key=before["rank"].__getitem__)
            assert row["selected"] == ["ko", *(code for code in ranked if code != "ko")][:3]

    def test_share_and_replay_give_so_many_rows(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", max_epochs=4, top_k=2, share=0.3, replay=0.2)
        history = project.distil()
        for row in history:
            share = 1.0 if row["epoch"] == 1 else 0.3
            assert row["examples"] == sum(
                round((share if code in row["selected"] else 0.2) * NEW_ROWS[code])
                for code in project.params.languages)
        assert [len(row["selected"]) for row in history] == [1, 2, 2, 2]

    def test_rows_are_those_languages_own(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", "pl", share=0.5, replay=0.25)
        lesson = prepared(project)
        for epoch, share in ((1, 1.0), (2, 0.5)):
            rows = algorithm1.training_rows(project.params, lesson.train, ["ko", "ru"], epoch)
            assert len(set(rows.tolist())) == len(rows)
            counts = np.bincount(lesson.train.language[rows])
            assert counts.tolist() == [12, 12, share * 68, share * 160, 40]

    def test_it_begins_with_what_is_registered(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", **LONG)
        lesson = prepared(project)
        outcomes = measure_on_validation(lesson.learner, lesson.validation,
                                         project.params.languages)
        for code in LANGUAGES:
            assert outcomes[code].accuracy == pytest.approx(
                accuracy(project, project.layout.registered / "student", code))
        tables = [weights["encoder.embeddings.word_embeddings.weight"].numpy() for weights in (
            PytorchPredictor(project.layout.registered / "student").model.state_dict(),
            lesson.learner.weights())]
        known = len(tables[0])
        np.testing.assert_array_equal(tables[1][:known], tables[0])
        assert len(np.unique(tables[1][known:], axis=0)) >= 3  # not all the mean

    def test_the_learning_rate_is_half_by_default(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        for given, expected in ((None, 0.005), (0.002, 0.002)):
            project.set(continuation={"learning_rate": given})
            lesson = prepared(project)
            assert lesson.learner.settings.learning_rate == pytest.approx(expected)
            assert {group["lr"] for group in lesson.learner.optimizer.param_groups} == {expected}

    def test_the_new_language_is_learnt_and_the_old_ones_are_kept(self, korean: Project) -> None:
        check_learnt(korean, "ko")
        registered, student = (load_file(folder / "model.safetensors") for folder in (
            korean.layout.registered / "student", korean.layout.student))
        assert student.keys() - registered.keys() == {
            f"heads.ko.{name}" for name in ("dense.weight", "dense.bias", "out_proj.weight",
                                            "out_proj.bias")}

    def test_two_at_once(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", "pl", **LONG)
        history = project.distil()
        assert history[0]["selected"] == ["ko", "pl"]
        check_learnt(project, "ko", "pl")

    def test_one_after_the_other(self, korean: Project, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", **LONG)
        shutil.copytree(korean.layout.student, project.layout.student, dirs_exist_ok=True)
        project.register()
        project.onboard("pl", version=2)
        project.start()
        history = project.distil()
        assert history[0]["selected"] == ["pl"]
        assert set(history[0]["rank"]) == {*LANGUAGES, "ko", "pl"}
        check_learnt(project, "pl")

    def test_residual_heads(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", max_epochs=1)
        before = scored(tmp_path / "before", student={"heads": "residual"})
        before.distil(max_epochs=3)
        shutil.copytree(before.layout.student, project.layout.student, dirs_exist_ok=True)
        project.register()
        project.distil()
        assert {"shared.dense.weight", "heads.ko.dense.weight"} <= load_file(
            project.layout.student / "model.safetensors").keys()

    @pytest.mark.parametrize("epochs", [1, 2])
    def test_interrupted_it_resumes_and_ends_the_same(self, tmp_path: Path, epochs: int) -> None:
        whole, cut = (onboarding(tmp_path / name, "ko", max_epochs=3) for name in ("whole", "cut"))
        whole.distil()
        until(cut, epochs)
        reported: list[int] = []
        algorithm1.distil(cut.params, cut.layout, lambda row: reported.append(row["epoch"]))
        assert reported == list(range(epochs + 1, 4))
        assert cut.student == whole.student
        assert untimed(cut.history("distil")) == untimed(whole.history("distil"))
        assert not cut.layout.checkpoints("distil").exists()

    @pytest.mark.parametrize("changed", [
        {"continuation": {"replay": 0.7}}, {"onboarding": {"version": 2}},
        {"onboarding": {"fingerprint": "0123456789abcdef"}}], ids=str)
    def test_another_origin_or_continuation_starts_afresh(self, tmp_path: Path,
                                                          changed: dict[str, Any]) -> None:
        project = onboarding(tmp_path, "ko", max_epochs=2)
        until(project, 1)
        project.set(**changed)
        reported: list[int] = []
        algorithm1.distil(project.params, project.layout, lambda row: reported.append(row["epoch"]))
        assert reported == [1, 2]

    def test_a_student_of_other_languages(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko", "pl")
        project.set(onboarding={"languages": ["pl"]})
        with pytest.raises(CheckpointError, match="languages en, fr, ko, ru, found en, fr, ru; "):
            project.distil()

    def test_without_the_registered_student(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        shutil.rmtree(project.layout.registered)
        with pytest.raises(AmtssError, match=r"registered/checksums\.json: .*`dvc repro fetch"):
            project.distil()


def run(project: Project, programs: Path) -> "subprocess.Popen[str]":
    """`amtss distil`, leader of a process group of its own."""
    return subprocess.Popen([programs / "amtss", "distil"], cwd=project.layout.root, text=True,
                            start_new_session=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})


def matching(folder: Path, pattern: str) -> set[str]:
    """Names in `folder`; none where it is gone, as at a training's end."""
    with contextlib.suppress(FileNotFoundError):
        return {path.name for path in folder.glob(pattern)}
    return set()


def kill_when(process: "subprocess.Popen[str]", folder: Path, pattern: str, known: set[str],
              delay: float) -> bool:
    """SIGKILL the group `delay` after something new matches `pattern`; whether it still ran."""
    while process.poll() is None:
        if matching(folder, pattern) - known:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.0005)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_killed_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    settings = {"max_epochs": 12, "weights": "boosted", "replay": 0.3}
    wide = {"architecture": {"layers": 2, "width": 128, "feed_forward": 512}}
    whole, cut = (scored(tmp_path / name, distil=settings, student=wide)
                  for name in ("whole", "cut"))
    undisturbed = run(whole, BIN)
    assert undisturbed.communicate()[1] == ""
    assert undisturbed.returncode == 0
    folder = cut.layout.checkpoints("distil")
    draw, kills = random.Random(0), 0
    # a holder is there while a checkpoint is being written; epoch-* once it is whole
    for pattern, most in ((".epoch-*", 0.0), ("epoch-*", 0.3), (".epoch-*", 0.02),
                          (".epoch-*", 0.005), ("epoch-*", 0.05)):
        known = matching(folder, pattern)
        kills += kill_when(run(cut, programs()), folder, pattern, known, draw.uniform(0, most))
    assert kills >= 4
    last = run(cut, programs())
    out, errors = last.communicate()
    assert (last.returncode, errors) == (0, "")
    assert out.count("epoch ") < 12  # it resumed
    assert cut.student == whole.student
    assert untimed(cut.history("distil")) == untimed(whole.history("distil"))
    assert (cut.layout.student / "config.json").read_bytes() == (
        whole.layout.student / "config.json").read_bytes()
    assert not folder.exists()
