"""Algorithm 1: one student from many teachers, the languages of the largest margins first."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.distillation import importance, margin
from amtss.distillation.margin import Margin
from amtss.distillation.training import (
    OnEpoch,
    Outcome,
    finish,
    prepare,
    record,
    soft_targets,
    validate,
)
from amtss.logits.pool import Pool, Weights
from amtss.paths import Layout

if TYPE_CHECKING:
    from amtss.distillation.learner import Examples


def distil(params: Params, layout: Layout, on_epoch: OnEpoch) -> None:
    """Write the student's folder and its history.

    Killed at any moment and run again, it goes on from its last epoch and ends the same.

    Raises:
        ParamsError, DataError, CacheError, CheckpointError: what it reads is not as it must be.
    """
    settings, languages = params.schedule, list(params.languages)
    lesson = prepare(params, layout, languages, params.pool, "distil")
    learner, progress, teachers = lesson.learner, lesson.progress, lesson.pool
    new = [] if params.onboarding is None else list(params.newcomers)
    weights: Weights = progress.state.get("weights") or importance.fit(teachers, settings.weights)
    selected: list[str] = progress.state.get("selected") or list(params.newcomers)
    for epoch in range(progress.epoch + 1, settings.max_epochs + 1):               # line 3
        if progress.state.get("finished"):
            break
        started = time.perf_counter()
        rows = _rows(params, lesson.train, selected, epoch)
        targets = soft_targets(params, teachers, weights)
        span = ((epoch - 1) / settings.max_epochs, epoch / settings.max_epochs)
        losses = learner.epoch(lesson.train, rows, targets, epoch, span,           # lines 4, 5
                               0.0 if settings.labels_only else settings.kd_weight)
        outcomes = validate(learner, lesson.validation, languages)                 # lines 7, 8
        trained, used = selected, weights
        losses_of = {code: outcome.losses for code, outcome in outcomes.items()}
        weights = importance.update(weights, teachers, settings.weights, losses_of)  # line 6
        margins = {code: _margin(teachers, weights, code, outcomes[code])          # line 9
                   for code in languages}
        ranked = margin.rank(margins)                                              # line 10
        selected = margin.top_k(ranked, settings.top_k, new)                       # line 11
        finished = margin.finished(margins, settings.margin_threshold)             # line 12
        weights, selected, finished = learner.agreed((weights, selected, finished))
        progress.state = {"weights": weights, "selected": selected, "finished": finished}
        report = {
            **losses, "margin": {code: each.points for code, each in margins.items()},
            "rank": {code: ranked.index(code) for code in languages}, "selected": trained,
            "weights": _by_teacher(params, used)}
        record(progress, epoch, len(rows), time.perf_counter() - started, outcomes, report)
        learner.save(layout.checkpoints("distil"), progress)
        on_epoch(progress.history[-1])
    finish(lesson, layout, "distil")


def _rows(params: Params, train: "Examples", selected: Sequence[str],
          epoch: int) -> NDArray[np.int64]:
    """This epoch's rows: a `share` of the selected languages' (the first epoch: all), and a
    `replay` share of the others'.

    On labels alone, labelled rows are repeated to as many as there would be otherwise.
    """
    settings = params.schedule
    draw = np.random.default_rng([settings.seed, epoch, 1])
    chosen = settings.share if epoch > 1 else 1.0
    rows = []
    for index, language in enumerate(params.languages):
        own = train.of(index)
        share = chosen if language in selected else settings.replay
        size = round(share * len(own))
        if settings.labels_only:
            own = own[train.labels[own] != corpus.UNLABELLED]
        rows.append(np.resize(draw.permutation(own), size))
    return np.concatenate(rows)


def _margin(teachers: Pool, weights: Weights, language: str, outcome: Outcome) -> Margin:
    """Line 9: M_i = Margin(S, W_i T_i), in points of accuracy; ties by cross-entropy."""
    members = teachers[language]
    mixture = members.soft_targets("validation", weights[language])
    gold = mixture[np.arange(len(members.gold)), members.gold]
    accuracy = 100.0 * float((mixture.argmax(axis=-1) == members.gold).mean())
    entropy = -float(np.log(np.maximum(gold, np.finfo(np.float64).tiny)).mean())
    return Margin(accuracy - outcome.accuracy, float(outcome.losses.mean()) - entropy)


def _by_teacher(params: Params, weights: Weights) -> dict[str, dict[str, float]]:
    """W by teacher, then language, as Equation 4 indexes it."""
    return {name: {language: column[name] for language, column in weights.items()
                   if name in column} for name in params.pool}
