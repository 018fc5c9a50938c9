"""X-LM-Tiny (section 3.3): the same encoder, one head, one multilingual teacher, mixed data."""

import shutil
import time

import numpy as np

from amtss import processes, records
from amtss.config.schema import Params
from amtss.distillation import importance
from amtss.distillation.lesson import prepare, soft_targets
from amtss.distillation.results import OnEpoch, finish, measure_on_validation, record
from amtss.errors import CheckpointError
from amtss.files import replacing, seal, verify, write_json, write_text
from amtss.paths import Layout

HEAD = "all"
"""Name of its one head."""


def baseline(params: Params, layout: Layout, on_epoch: OnEpoch) -> None:
    """Write X-LM-Tiny's folder and history, after training on as many examples as the student.

    An onboarding is compared with the registered student that it started from: then a copy of that
    student is written instead.

    Raises:
        AmtssError: an input is missing, altered or unfit.
    """
    if params.onboarding is None:
        _train(params, layout, on_epoch)
    elif processes.first():
        _copy_registered(layout)


def _train(params: Params, layout: Layout, on_epoch: OnEpoch) -> None:
    cost = records.cost(layout, "distil")
    budget = cost["examples"]
    lesson = prepare(params, layout, [HEAD], [params.baseline.teacher], "baseline", budget)
    learner, progress = lesson.learner, lesson.progress
    targets = soft_targets(params, lesson.teachers, importance.fit(lesson.teachers, "uniform"))
    all_rows = np.arange(len(lesson.train.labels))
    while progress.examples < budget:
        started, epoch = time.perf_counter(), progress.epoch + 1
        draw = np.random.default_rng([params.distil.seed, epoch, 1])
        rows = draw.permutation(all_rows)[: budget - progress.examples]
        span = (progress.examples / budget, (progress.examples + len(rows)) / budget)
        losses = learner.epoch(lesson.train, rows, targets, epoch, span, params.distil.kd_weight)
        outcomes = measure_on_validation(learner, lesson.validation, params.languages)
        record(progress, epoch, len(rows), time.perf_counter() - started, outcomes, dict(losses))
        learner.save(layout.checkpoints("baseline"), progress)
        on_epoch(progress.history[-1])
    finish(params, lesson, layout, "baseline")


def _copy_registered(layout: Layout) -> None:
    """Write the registered student that the onboarding started from, and an empty history."""
    registered = layout.registered / "student"
    if not registered.is_dir():
        raise CheckpointError(f"{registered}: expected the registered student, found none; run "
                              "`dvc repro -f fetch`")
    verify(layout.registered, "dvc repro fetch")
    with replacing(layout.baseline) as folder:
        shutil.copytree(registered, folder)
    write_text(layout.history("baseline"), "")
    write_text(layout.training("baseline") / "epochs.csv", "epoch,language,accuracy,margin,rank\n")
    write_json(layout.training("baseline") / "cost.json",
               {"examples": 0, "seconds": 0.0, "epochs": 0, "best_epoch": 0})
    seal(layout.training("baseline"))
