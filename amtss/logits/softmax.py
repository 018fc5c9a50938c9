"""Softmax: probabilities from logits. NumPy alone: importing SciPy's takes 0.1 to 0.4 seconds."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> Array:
    """Probabilities over the last axis, at a temperature. *Shape:* that of `logits`"""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponent = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))
