"""What the training of the student and of X-LM-Tiny share: from the first batch to the files."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import processes
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.distillation.importance import weigh
from amtss.files import contents, read_json, replacing, write_json, write_text
from amtss.logits import pool
from amtss.logits.pool import Pool, Weights, softmax
from amtss.paths import Layout
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from amtss.distillation.learner import Examples, Learner, Progress
    from amtss.student.model import StudentModel

EpochReport = dict[str, Any]
"""A row of `history.jsonl`."""
OnEpoch = Callable[[EpochReport], None]


@dataclass(frozen=True)
class Outcome:
    """The student on one language's validation rows."""

    accuracy: float
    """In points."""
    losses: NDArray[np.float64]
    """Cross-entropy of each example, nats. *Shape:* (N,)"""


@dataclass(frozen=True)
class Lesson:
    """All that a student's training works on."""

    learner: "Learner"
    progress: "Progress"
    pool: Pool
    train: "Examples"
    """Train rows, then unlabelled ones, language by language."""
    validation: "Examples"


def prepare(params: Params, layout: Layout, heads: Sequence[str], teachers: Sequence[str],
            stage: str, budget: int | None = None) -> Lesson:
    """Read caches and corpora, make the student, and go back to its last checkpoint.

    Args:
        heads: names of the student's heads, one per language or one for all.
        budget: examples the training may see, where that is fixed; a part of what it is.
    """
    from amtss.distillation.learner import Learner, examples
    from amtss.models import hardware
    from amtss.student.model import build_student
    from amtss.tokenization import tokens

    labels = read_json(layout.gate_keys, "dvc repro gate")["labels"]
    corpora = [corpus.load(layout, language) for language in params.languages]
    teaching = pool.load(params, layout, corpora, labels, teachers)
    tokenizer = load_tokenizer(str(layout.tokenizer))
    hardware.deterministic(params.distil.seed)
    cache = tokens.Cache(layout.tokens(), tokenizer, params.student.max_length)
    with hardware.accelerator(params.schedule.precision).main_process_first():
        train = examples(cache, corpora, ("train", "unlabelled"), labels)
        validation = examples(cache, corpora, ("validation",), labels)
    if params.onboarding is not None:
        model = _grown(params, layout, labels, len(tokenizer), train, teaching)
    else:
        model = build_student(params.student, list(heads), labels, len(tokenizer),
                              tokenizer.pad_token_id,
                              layout.start if params.student.start != "random" else None)
    learner = Learner(model, params.schedule, tokenizer.pad_token_id, (train, validation))
    fingerprint = _fingerprint(params, layout, teachers, budget, len(learner.rows))
    return Lesson(
        learner, learner.resume(layout.checkpoints(stage), fingerprint), teaching, train,
        validation)


def _grown(params: Params, layout: Layout, labels: Sequence[str], tokens: int,
           train: "Examples", teachers: Pool) -> "StudentModel":
    """The registered student, ready to learn the new languages."""
    from amtss.student import new_languages

    folder = layout.registered / "student"
    old = [code for code in params.languages if code not in params.newcomers]
    registered = new_languages.load(folder, old, labels, params.student.max_length)
    known = len(load_tokenizer(str(folder)))
    model = new_languages.extend(registered, params.languages, tokens)
    targets = soft_targets(params, teachers, weigh(teachers, params.distil.weights))
    new = np.isin(np.array(params.languages)[train.language], params.newcomers)
    new_languages.acquaint(model, known, train.tokens, targets, new)
    return model


def _fingerprint(params: Params, layout: Layout, teachers: Sequence[str],
                 budget: int | None, rows: int) -> str:
    """Of all that a training depends on: a checkpoint of another one is not gone on from.

    Args:
        rows: of the embedding table in training, which are those that moments are of.
    """
    from amtss.logits import cache as logits_cache

    about = params.model_dump(include={"languages", "student", "distil", "onboarding",
                                       "continuation"})
    origins = [repr(logits_cache.origin_of(params, layout, name, language))
               for name in teachers for language in params.scored_by(name)]
    text = json.dumps([about, origins, list(teachers), budget, rows], sort_keys=True)
    made = [path for path in sorted(layout.tokenizer.rglob("*")) if path.is_file()]
    digest = hashlib.sha256(text.encode() + contents(made))
    return digest.hexdigest()[:16]


def soft_targets(params: Params, teachers: Pool, weights: Weights) -> NDArray[np.float32]:
    """Equation 4 on all training rows, in `Lesson.train`'s order. *Shape:* (N, C)"""
    return np.concatenate([
        members.soft_targets(split, weights[language], params.distil.temperature)
        for language, members in teachers.items()
        for split in ("train", "unlabelled") if split in members.logits]).astype(np.float32)


def validate(learner: "Learner", validation: "Examples",
             languages: Sequence[str]) -> dict[str, Outcome]:
    """The student on every language's validation rows."""
    probabilities = softmax(learner.predict(validation))
    right = probabilities.argmax(axis=-1) == validation.labels
    losses = -np.log(np.maximum(
        probabilities[np.arange(len(right)), validation.labels], np.finfo(np.float64).tiny))
    return {language: Outcome(100.0 * float(right[rows].mean()), losses[rows])
            for index, language in enumerate(languages)
            if len(rows := validation.of(index))}


def record(progress: "Progress", epoch: int, examples: int, seconds: float,
           outcomes: dict[str, Outcome], more: dict[str, Any]) -> None:
    """Add an epoch to the history; the best has the best mean validation accuracy."""
    accuracy = {language: outcome.accuracy for language, outcome in outcomes.items()}
    mean = sum(accuracy.values()) / len(accuracy)
    best = mean > progress.best_accuracy
    if best:
        progress.best_accuracy, progress.best_epoch = mean, epoch
    progress.epoch = epoch
    progress.examples += examples
    progress.seconds += seconds
    progress.history.append({
        "epoch": epoch, "examples": examples, "seconds": round(seconds, 3), **more,
        "accuracy": accuracy, "average": mean, "best": best})


def finish(lesson: Lesson, layout: Layout, stage: str) -> None:
    """Write the best epoch as the stage's model folder, and what the training was."""
    if processes.first():
        _write(lesson, layout, stage)
    lesson.learner.accelerator.wait_for_everyone()


def _write(lesson: Lesson, layout: Layout, stage: str) -> None:
    progress = lesson.progress
    lesson.learner.restore_best(layout.checkpoints(stage), progress)
    model = layout.student if stage == "distil" else layout.baseline
    with replacing(model) as folder:
        lesson.learner.model.save_pretrained(folder, state_dict=lesson.learner.weights())
        load_tokenizer(str(layout.tokenizer)).save_pretrained(folder)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in progress.history]
    write_text(layout.history(stage), "".join(lines))
    write_text(layout.training(stage) / "epochs.csv", _long(progress.history))
    write_json(layout.training(stage) / "cost.json", {
        "examples": progress.examples, "seconds": round(progress.seconds, 3),
        "epochs": progress.epoch, "best_epoch": progress.best_epoch})
    # Were they left, a later run with other code would find nothing left to do.
    shutil.rmtree(layout.checkpoints(stage))


def _long(history: list[dict[str, Any]]) -> str:
    """History in long form for `dvc plots`: a row per epoch and language."""
    lines = ["epoch,language,accuracy,margin,rank"]
    for row in history:
        for language, accuracy in row["accuracy"].items():
            margins, ranks = row.get("margin", {}), row.get("rank", {})
            lines.append(f"{row['epoch']},{language},{accuracy:.4f},"
                         f"{margins.get(language, '')},{ranks.get(language, '')}")
    return "\n".join(lines) + "\n"
