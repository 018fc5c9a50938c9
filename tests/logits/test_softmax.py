import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax as reference

from amtss.logits.softmax import Array, softmax

logits_of = arrays(np.float64, (3, 6, 4), elements=st.floats(-30, 30))


@given(logits_of)
def test_agrees_with_scipy(logits: Array) -> None:
    np.testing.assert_allclose(softmax(logits), reference(logits, axis=-1), atol=1e-12)


@given(logits_of, st.floats(-1000, 1000))
def test_does_not_depend_on_a_shift(logits: Array, shift: float) -> None:
    assert softmax(logits + shift) == pytest.approx(softmax(logits), abs=1e-9)


@given(logits_of)
def test_a_higher_temperature_is_flatter(logits: Array) -> None:
    sharp, flat = softmax(logits), softmax(logits, 3.0)
    assert (flat.max(axis=-1) <= sharp.max(axis=-1) + 1e-12).all()
