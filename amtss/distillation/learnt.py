"""A student, or all of its teachers, that learnt nothing is an error that says what to change.

One that has hardly learnt anything, or nothing in one language, goes on with a warning.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Distil, Params
from amtss.distillation.remedy import History, remedy, rose, smaller_steps
from amtss.errors import CheckpointError
from amtss.logits.pool import Pool
from amtss.logits.skill import FEWEST, Skill, skill, total
from amtss.processes import warn

if TYPE_CHECKING:
    from torch import Tensor


def check_finite(settings: Distil, what: str, figures: "Tensor | NDArray[np.float32]") -> None:
    """Check what a training has computed.

    Raises:
        CheckpointError: a figure is NaN or infinite.
    """
    if not np.isfinite(np.asarray(figures)).all():
        raise CheckpointError(f"training: expected finite {what}, found NaN or infinite ones; "
                              f"{smaller_steps(settings)}")


def check_student(params: Params, skills: Mapping[str, Skill], split: str,
                  history: History, before: Mapping[str, Skill] | None = None) -> None:
    """Check a student by its skill in each language, and warn where it is low.

    Args:
        split: of the rows that the skills were measured on.
        before: its skills on other rows. If they show that it has learnt something, only one answer
            to everything is an error here.

    Raises:
        CheckpointError: it has learnt nothing in all the languages that it was to learn.
    """
    found = total(_new(params, skills))
    if found.nothing and (found.constant or before is None
                          or total([found, *_new(params, before)]).nothing):
        raise CheckpointError("student: expected one that has learnt something, found one that is "
                              f"{found} ({split}); {remedy(params, history)}")
    warn_of(params, skills, split, history, "student")


def warn_of(params: Params, skills: Mapping[str, Skill], split: str, history: History,
            name: str) -> None:
    """Warn of a student, or X-LM-Tiny, that has hardly learnt anything; arguments as above."""
    found = total(_new(params, skills))
    if found.doubtful:
        warn(f"{name} has hardly learnt anything: it is {found} ({split}); "
             f"{remedy(params, history)}")
        return
    for code, own in skills.items():
        if own.nothing:
            warn(f"{name} has learnt nothing in {code}: it is {own} ({split}); see in the report "
                 "whether its teachers are better, and give it more labelled rows")


def warn_of_loss(params: Params, history: History, name: str) -> None:
    """Warn of a training that went backwards."""
    if rose(history):
        warn(f"{name}: the training loss rose from {history[0]['loss']:.4f} to "
             f"{history[-1]['loss']:.4f}, and no epoch was better than the first; "
             f"{smaller_steps(params.schedule)}")


def check_teachers(params: Params, teachers: Pool) -> None:
    """Check the pool's teachers on validation rows of the languages that the student is to learn,
    or, where none of these has labels, of all that have.

    Raises:
        CheckpointError: none of them has learnt anything, or their mixture gives one answer to all
            texts of a language without labels.
    """
    for code, members in teachers.items():
        if not members.labelled and len(members.gold) >= FEWEST and len(set(members.gold)) == 1:
            raise CheckpointError("teachers: expected different answers to the validation texts of "
                                  f"{code}, which has no labels, found one label for all of them; "
                                  f"add a teacher that can read {code}, such as a probe of "
                                  "intfloat/multilingual-e5-small")
    labelled = {code: members for code, members in teachers.items() if members.labelled}
    new = {code: labelled[code] for code in params.newcomers if code in labelled} or labelled
    skills = {name: total(
        skill(members.logits["validation"][members.teachers.index(name)].argmax(axis=-1),
              members.gold)
        for members in new.values() if name in members.teachers) for name in params.pool}
    useless = {name: found for name, found in skills.items() if found.nothing}
    fix = ("raise its training.epochs or change its training.learning_rate, compare its `labels` "
           "if it was not fine-tuned here, or add a teacher of kind linear")
    if useless and len(useless) == sum(found.rows > 0 for found in skills.values()):
        raise CheckpointError("teachers: expected one that has learnt something, found that each "
                              f"has learnt nothing, such as {min(useless)}, {useless[min(useless)]}"
                              f" (validation); {fix}")
    for name, found in useless.items():
        warn(f"teacher {name} has learnt nothing: it is {found} (validation); {fix}")


def _new(params: Params, skills: Mapping[str, Skill]) -> list[Skill]:
    """Those of languages that the student has yet to learn."""
    return [own for code, own in skills.items() if code in params.newcomers]
