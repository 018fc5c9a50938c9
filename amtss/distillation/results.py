"""What a training measures, and the files it leaves: model, history and cost."""

import json
import math
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import processes
from amtss.config.schema import Params
from amtss.distillation.confidence import settle
from amtss.distillation.learnt import check_student, warn_of, warn_of_loss
from amtss.files import replacing, seal, write_json, write_text
from amtss.logits.skill import Skill, skill
from amtss.logits.softmax import softmax
from amtss.paths import Layout
from amtss.student.recognition import Recogniser
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from amtss.distillation.checkpoints import Progress
    from amtss.distillation.examples import Examples
    from amtss.distillation.learner import Learner
    from amtss.distillation.lesson import Lesson

EpochReport = dict[str, Any]
"""A row of `history.jsonl`."""
OnEpoch = Callable[[EpochReport], None]
"""Called after each epoch."""


@dataclass(frozen=True)
class Outcome:
    """The student on one language's validation rows."""

    accuracy: float
    """In points."""
    losses: NDArray[np.float64]
    """Cross-entropy of each example, in nats. *Shape:* (N,)"""
    skill: Skill


def measure_on_validation(learner: "Learner", validation: "Examples",
                          languages: Sequence[str]) -> dict[str, Outcome]:
    """Lines 7 and 8 of Algorithm 1: the student on every language's validation rows."""
    probabilities = softmax(learner.predict(validation))
    chosen = probabilities.argmax(axis=-1)
    right = chosen == validation.labels
    losses = -np.log(np.maximum(
        probabilities[np.arange(len(right)), validation.labels], np.finfo(np.float64).tiny))
    return {language: Outcome(100.0 * float(right[rows].mean()), losses[rows],
                              skill(chosen[rows], validation.labels[rows]))
            for index, language in enumerate(languages)
            if len(rows := validation.of(index))}


def record(progress: "Progress", epoch: int, examples: int, seconds: float,
           outcomes: dict[str, Outcome], report: EpochReport) -> None:
    """Add an epoch to the history.

    The best epoch is the last one whose mean validation accuracy is within a standard error of the
    highest: where rows are few, chance makes one epoch higher than another, and the last has
    learnt most.

    Args:
        report: the stage's own figures for the epoch's row.
    """
    accuracy = {language: outcome.accuracy for language, outcome in outcomes.items()}
    mean = sum(accuracy.values()) / len(accuracy)
    progress.best_accuracy = max(progress.best_accuracy, mean)
    best = mean >= progress.best_accuracy - standard_error(outcomes.values())
    if best:
        progress.best_epoch = epoch
    progress.epoch = epoch
    progress.examples += examples
    progress.seconds += seconds
    progress.history.append({
        "epoch": epoch, "examples": examples, "seconds": round(seconds, 3), **report,
        "accuracy": accuracy, "average": mean, "best": best,
        "skill": {language: outcome.skill for language, outcome in outcomes.items()}})


def standard_error(outcomes: Collection[Outcome]) -> float:
    """Of the mean accuracy over languages, in points, by the draw of validation rows."""
    variances = [outcome.accuracy * (100.0 - outcome.accuracy) / len(outcome.losses)
                 for outcome in outcomes]
    return math.sqrt(sum(variances)) / len(variances)


def finish(params: Params, lesson: "Lesson", layout: Layout, stage: str) -> None:
    """Write the best epoch as the stage's model folder, its history and its cost.

    Raises:
        CheckpointError: the student has learnt nothing.
        AmtssError: its best checkpoint is missing or altered.
    """
    history = lesson.progress.history
    best = history[lesson.progress.best_epoch - 1]
    skills = {code: Skill(*figures) for code, figures in best["skill"].items()}
    if stage == "distil":
        warn_of_loss(params, history, "student")
        check_student(params, skills, "validation", history)
    else:
        warn_of_loss(params, history, stage)
        warn_of(params, skills, "validation", history, stage)
    lesson.learner.restore_best(layout.checkpoints(stage), lesson.progress)
    recogniser = settle(lesson, load_tokenizer(str(layout.tokenizer)).all_special_ids)
    if processes.first():
        _write(lesson, recogniser, layout, stage)
    lesson.learner.accelerator.wait_for_everyone()


def _write(lesson: "Lesson", recogniser: Recogniser | None, layout: Layout, stage: str) -> None:
    progress = lesson.progress
    model = layout.student if stage == "distil" else layout.baseline
    with replacing(model) as folder:
        lesson.learner.model.save_pretrained(folder, state_dict=lesson.learner.weights())
        load_tokenizer(str(layout.tokenizer)).save_pretrained(folder)
        if recogniser is not None:
            recogniser.save(folder)
        seal(folder)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in progress.history]
    write_text(layout.history(stage), "".join(lines))
    write_text(layout.training(stage) / "epochs.csv", _epochs_csv(progress.history))
    write_json(layout.training(stage) / "cost.json", {
        "examples": progress.examples, "seconds": round(progress.seconds, 3),
        "epochs": progress.epoch, "best_epoch": progress.best_epoch})
    seal(layout.training(stage))
    # A later run with other code must train again, not find these checkpoints and stop.
    shutil.rmtree(layout.checkpoints(stage))


def _epochs_csv(history: list[EpochReport]) -> str:
    """The history as CSV for `dvc plots`: a row per epoch and language."""
    lines = ["epoch,language,accuracy,margin,rank"]
    for row in history:
        for language, accuracy in row["accuracy"].items():
            margins, ranks = row.get("margin", {}), row.get("rank", {})
            lines.append(f"{row['epoch']},{language},{accuracy:.4f},"
                         f"{margins.get(language, '')},{ranks.get(language, '')}")
    return "\n".join(lines) + "\n"
