"""Algorithm 1: one student from many teachers, training on the languages of the largest margins.

The comments in `distil` give the paper's line numbers. The paper's symbols: S is the student, T the
teachers, W their importance weights, D_i the data of language i, M_i its margin, M `max_epochs`,
K `top_k`, epsilon `margin_threshold`. Line 6 follows lines 7 and 8 here, because W may depend on
the student's validation losses.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.distillation import importance, margin
from amtss.distillation.learnt import check_teachers
from amtss.distillation.lesson import Lesson, prepare, soft_targets
from amtss.distillation.results import OnEpoch, finish, measure_on_validation, record
from amtss.logits.pool import Weights
from amtss.paths import Layout

if TYPE_CHECKING:
    from amtss.distillation.examples import Examples


def distil(params: Params, layout: Layout, on_epoch: OnEpoch) -> None:
    """Write the student's folder and its history.

    Killed at any moment and run again, it resumes from its last epoch and ends with the same bytes.

    Raises:
        AmtssError: an input is missing, altered or unfit.
        CheckpointError: the student, or all of its teachers, have learnt nothing.
    """
    settings, languages = params.schedule, list(params.languages)
    lesson = prepare(params, layout, languages, params.pool, "distil")             # lines 1, 2
    learner, progress, teachers = lesson.learner, lesson.progress, lesson.teachers
    if settings.kd_weight and not settings.labels_only:
        check_teachers(params, teachers)
    state = _state(params, lesson)
    epochs = settings.epochs(len(lesson.train.labels), len(languages))
    for epoch in range(progress.epoch + 1, epochs + 1):                            # line 3
        if state.finished:                                                         # line 13
            break
        started = time.perf_counter()
        rows = training_rows(params, lesson.train, state.selected, epoch)          # line 4
        targets = soft_targets(params, teachers, state.weights)
        span = ((epoch - 1) / epochs, epoch / epochs)
        losses = learner.epoch(lesson.train, rows, targets, epoch, span,           # line 5
                               0.0 if settings.labels_only else settings.kd_weight)
        outcomes = measure_on_validation(learner, lesson.validation, languages)    # lines 7, 8
        weights = importance.update(                                               # line 6
            state.weights, teachers, settings.weights,
            {code: outcome.losses for code, outcome in outcomes.items()})
        margins = {code: margin.measure(teachers[code], weights[code], outcomes[code])
                   for code in languages}                                          # line 9
        ranked = margin.rank(margins)                                              # line 10
        selected = margin.top_k(ranked, settings.top_k, _new_languages(params))    # line 11
        finished = margin.finished(margins, settings.margin_threshold)             # line 12
        report = {**losses, "margin": {code: margins[code].points for code in languages},
                  "rank": {code: ranked.index(code) for code in languages},
                  "selected": state.selected, "mixing": settings.mixing,
                  "weights": _by_teacher(params, state.weights)}
        record(progress, epoch, len(rows), time.perf_counter() - started, outcomes, report)
        state = learner.agreed(State(weights, selected, finished))
        progress.state = asdict(state)
        learner.save(layout.checkpoints("distil"), progress)
        on_epoch(progress.history[-1])
    finish(params, lesson, layout, "distil")


@dataclass(frozen=True)
class State:
    """What an epoch leaves to the next one; a part of the checkpoint."""

    weights: Weights
    """W."""
    selected: list[str]
    """Languages that the next epoch trains on."""
    finished: bool = False
    """Whether the largest margin is below epsilon."""


def _state(params: Params, lesson: Lesson) -> State:
    """The checkpoint's state; else all languages, or those that are new to a registered student."""
    if lesson.progress.state:
        return State(**lesson.progress.state)
    return State(importance.fit(lesson.teachers, params.schedule.weights), list(params.newcomers))


def _new_languages(params: Params) -> list[str]:
    """Languages of an onboarding: their teachers count as max-margin ones (section 2.3)."""
    return [] if params.onboarding is None else list(params.newcomers)


def training_rows(params: Params, train: "Examples", selected: Sequence[str],
                  epoch: int) -> NDArray[np.int64]:
    """Rows of `train` for an epoch: a `share` of each selected language's (all of them in the first
    epoch) and a `replay` share of the others'.

    With `labels_only`, labelled rows are repeated to the number of rows there would be otherwise.
    """
    settings = params.schedule
    draw = np.random.default_rng([settings.seed, epoch, 1])
    selected_share = settings.share if epoch > 1 else 1.0
    rows = []
    for index, language in enumerate(params.languages):
        own = train.of(index)
        share = selected_share if language in selected else settings.replay
        size = round(share * len(own))
        if settings.labels_only:
            own = own[train.labels[own] != corpus.UNLABELLED]
        rows.append(np.resize(draw.permutation(own), size))
    return np.concatenate(rows)


def _by_teacher(params: Params, weights: Weights) -> dict[str, dict[str, float]]:
    """W by teacher, then language, as Equation 4 indexes it."""
    return {name: {language: column[name] for language, column in weights.items()
                   if name in column} for name in params.pool}
