"""What the student's training and X-LM-Tiny's start from: model, examples, teachers' logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.distillation import importance
from amtss.errors import ParamsError
from amtss.files import SEAL, fingerprint, verify
from amtss.logits import pool
from amtss.logits.pool import Pool, Weights
from amtss.paths import Layout
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from amtss.distillation.checkpoints import Progress
    from amtss.distillation.examples import Examples
    from amtss.distillation.learner import Learner
    from amtss.student.model import StudentModel


@dataclass(frozen=True)
class Lesson:
    """Everything that a student's training works on."""

    learner: "Learner"
    progress: "Progress"
    teachers: Pool
    train: "Examples"
    """Labelled and unlabelled training rows, language by language."""
    validation: "Examples"


def prepare(params: Params, layout: Layout, heads: Sequence[str], teachers: Sequence[str],
            stage: str, budget: int | None = None) -> Lesson:
    """Read the logits and corpora, build the student, and resume from its last checkpoint.

    Args:
        heads: names of the student's heads, one per language or one for all.
        budget: how many examples the training may see, where that is fixed.

    Raises:
        AmtssError: an input is missing, altered or unfit.
    """
    from amtss.distillation.examples import examples
    from amtss.distillation.learner import Learner
    from amtss.models import hardware
    from amtss.student.model import build_student
    from amtss.tokenization import encoding

    labels = records.labels(layout)
    corpora = [corpus.load(layout, language) for language in params.languages]
    _check_labels(params, corpora)
    members = _with_stand_ins(params, pool.load(params, layout, corpora, labels, teachers))
    verify(layout.tokenizer, "dvc repro start")
    tokenizer = load_tokenizer(str(layout.tokenizer))
    hardware.deterministic(params.distil.seed)
    length = tokenizer.model_max_length
    cache = encoding.Cache(layout.tokens(), tokenizer, length)
    with hardware.accelerator(params.schedule.precision).main_process_first():
        train = examples(cache, corpora, ("train", "unlabelled"), labels)
        validation = replace(
            examples(cache, corpora, ("validation",), labels),
            labels=np.concatenate([members[code].gold for code in params.languages]))
    if params.onboarding is not None:
        model = _extended_student(params, layout, labels, tokenizer, train, members)
    else:
        model = build_student(params.student.model_copy(update={"max_length": length}),
                              list(heads), labels, len(tokenizer), tokenizer.pad_token_id,
                              layout.start if params.student.start != "random" else None,
                              tokenizer.sep_token_id if params.data.columns.pair else None)
    learner = Learner(model, params.schedule, tokenizer.pad_token_id, (train, validation))
    progress = learner.resume(layout.checkpoints(stage), _fingerprint(
        params, layout, teachers, budget, len(learner.rows)))
    return Lesson(learner, progress, members, train, validation)


def _check_labels(params: Params, corpora: Sequence[Corpus]) -> None:
    """Check that the student can learn every language.

    Raises:
        ParamsError: it is to learn from labels alone where there are none.
    """
    settings = params.schedule
    mute = [corpus.language for corpus in corpora if corpus.without_labels]
    if mute and (settings.labels_only or not settings.kd_weight):
        key = "labels_only: expected false" if settings.labels_only else "kd_weight: expected > 0"
        raise ParamsError(f"distil.{key}, as {', '.join(mute)} has no labels, found "
                          f"{'true' if settings.labels_only else '0'}; change it")


def _with_stand_ins(params: Params, teachers: Pool) -> Pool:
    """The pool with the teachers' own answers where validation has no labels."""
    if all(members.labelled for members in teachers.values()):
        return teachers
    weights = importance.fit(teachers, params.schedule.weights)
    return {code: members.with_stand_ins(weights[code]) for code, members in teachers.items()}


def _extended_student(params: Params, layout: Layout, labels: Sequence[str],
                      tokenizer: "PreTrainedTokenizerBase", train: "Examples",
                      teachers: Pool) -> "StudentModel":
    """The registered student with heads and embeddings for the new languages."""
    from amtss.student import new_languages

    verify(layout.registered, "dvc repro fetch")
    folder = layout.registered / "student"
    old = [code for code in params.languages if code not in params.newcomers]
    registered = new_languages.load(folder, old, labels, tokenizer.model_max_length)
    known = len(load_tokenizer(str(folder)))
    model = new_languages.extend(registered, params.languages, len(tokenizer))
    if layout.start.is_dir():
        new_languages.begin_embeddings(model, known, layout.start)
        return model
    targets = soft_targets(params, teachers, importance.fit(teachers, params.distil.weights))
    new = np.isin(np.array(params.languages)[train.language], params.newcomers)
    new_languages.initialise_embeddings(model, known, train.tokens, targets, new)
    return model


def _fingerprint(params: Params, layout: Layout, teachers: Sequence[str],
                 budget: int | None, rows: int) -> str:
    """Hash of everything the training depends on; it resumes only from a checkpoint with the same.

    Args:
        rows: of the embedding table in training, for which the optimiser has moments.
    """
    from amtss.logits import cache as logits_cache

    settings = params.model_dump(include={"languages", "student", "distil", "onboarding",
                                          "continuation"})
    origins = [repr(logits_cache.origin_of(params, layout, name, language))
               for name in teachers for language in params.scored_by(name)]
    started = (layout.tokenizer / SEAL).read_bytes()
    return fingerprint(settings, origins, list(teachers), budget, rows, started)


def soft_targets(params: Params, teachers: Pool, weights: Weights) -> NDArray[np.float32]:
    """Equation 4 on all training rows, in the order of `Lesson.train`. *Shape:* (N, C)"""
    return np.concatenate([
        members.soft_targets(split, weights[language], params.distil.temperature)
        for language, members in teachers.items()
        for split in ("train", "unlabelled") if split in members.logits]).astype(np.float32)
