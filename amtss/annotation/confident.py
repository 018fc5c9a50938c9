"""Confident learning (Northcutt et al. 2021), by cleanlab. Shapes: N rows, C classes."""

import numpy as np
from numpy.typing import NDArray

from amtss.logits.softmax import Array


def contradicted(gold: NDArray[np.int64], probabilities: Array) -> NDArray[np.int64]:
    """Rows whose labels are probably wrong.

    It estimates how many rows of each label are wrong, and takes those to whose label the teachers
    give the lowest probability. A label that they prefer to all others is not among them.

    Args:
        gold: *Shape:* (N,)
        probabilities: *Shape:* (N, C)
    """
    from cleanlab.filter import find_label_issues

    present, given = np.unique(gold, return_inverse=True)
    if len(present) < 2:
        return np.array([], dtype=np.int64)
    among = probabilities[:, present]
    wrong = find_label_issues(given, among / among.sum(axis=1, keepdims=True),
                              filter_by="low_self_confidence", n_jobs=1)
    return np.flatnonzero(wrong & (among.argmax(axis=1) != given))
