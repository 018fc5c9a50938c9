import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from amtss.teachers.head import _log_probabilities


@given(st.data())
def test_probabilities_sum_to_one_whatever_was_seen(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 6))
    seen = np.array(data.draw(st.lists(st.booleans(), min_size=classes, max_size=classes)))
    seen[data.draw(st.integers(0, classes - 1))] = True
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores = draw.normal(scale=30.0, size=(5, classes))
    probabilities = np.exp(_log_probabilities(scores, seen, 1.0 / (10 + classes)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-9)
    assert (probabilities[:, ~seen] == probabilities[0, ~seen]).all()
