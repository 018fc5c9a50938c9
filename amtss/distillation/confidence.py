"""What a trained student knows about its answers: how sure they are, and which language a text is
in. All of it is fitted after the training, on training and validation rows, in a second or two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from amtss.logits import calibration
from amtss.logits.softmax import softmax
from amtss.student import recognition
from amtss.student.recognition import Recogniser

if TYPE_CHECKING:
    from amtss.distillation.lesson import Lesson


def settle(lesson: "Lesson", special: Sequence[int]) -> Recogniser | None:
    """Write each head's temperature and thresholds into the student's config.

    Under several processes all must call it, with the same weights.

    Args:
        special: ids of the tokenizer's special tokens.

    Returns: the recogniser of the languages, calibrated too; None where there is but one head.
    """
    train, validation = lesson.train, lesson.validation
    config = lesson.learner.model.config
    logits = lesson.learner.predict(validation)
    heads = np.minimum(validation.language, len(config.languages) - 1)  # X-LM-Tiny has but one
    labelled = np.array([members.labelled for members in lesson.teachers.values()])
    for index, head in enumerate(config.languages):
        rows = np.flatnonzero((heads == index) & labelled[validation.language])
        if not len(rows):  # to agree with teachers is not to be right: no accuracy is promised
            config.temperatures[head], config.thresholds[head] = 1.0, []
            continue
        own, gold = logits[rows], validation.labels[rows]
        config.temperatures[head] = calibration.temperature(own, gold)
        config.thresholds[head] = calibration.thresholds(
            softmax(own, config.temperatures[head]), gold)
    if len(config.languages) == 1:
        return None
    fitted = recognition.fit(train.tokens, train.language, len(config.languages), special)
    return fitted.at(calibration.temperature(fitted.logits(validation.tokens),
                                             validation.language))
