from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from amtss.files import read_json, write_json
from amtss.teachers.head import Head, _log_probabilities, restored


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


def test_a_head_that_was_kept_is_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    head = Head(draw.normal(size=(3, 5)).astype(np.float32),
                draw.normal(size=3).astype(np.float32), np.array([True, False, True]), 1 / 13)
    save_file(head.tensors, tmp_path / "head.safetensors")
    write_json(tmp_path / "head.json", head.about)
    again = restored(load_file(tmp_path / "head.safetensors"),
                     read_json(tmp_path / "head.json", dict[str, Any], "teach"))
    features = draw.normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_array_equal(again.log_probabilities(features),
                                  head.log_probabilities(features))
    assert again.parameters == 3 * 5 + 3


@pytest.mark.parametrize("name", ["weights", "bias"])
def test_numbers_that_are_none_are_refused(name: str) -> None:
    head = Head(np.ones((3, 5), dtype=np.float32), np.ones(3, dtype=np.float32), np.ones(3, bool),
                1 / 13)
    restored(head.tensors, head.about)
    head.tensors[name].flat[-1] = np.nan
    with pytest.raises(ValueError, match=f"^NaN or infinite numbers in {name}$"):
        restored(head.tensors, head.about)
