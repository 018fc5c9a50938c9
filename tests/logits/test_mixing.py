"""Mixings of teachers: what holds for all of them, and what makes each its own."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from amtss.config.schema import Distil
from amtss.logits import mixing
from amtss.logits.mixing import MIXINGS
from amtss.logits.softmax import Array, softmax

ROWS, CLASSES = 5, 4
temperatures = st.sampled_from([0.5, 1.0, 4.0])
every_mixing = pytest.mark.parametrize("name", MIXINGS)


class Case:
    """Teachers' logits and a column of W."""

    def __init__(self, logits: Array, weights: Array) -> None:
        self.logits, self.weights = logits, weights

    def mix(self, name: str, temperature: float = 1.0, weights: Array | None = None) -> Array:
        column = self.weights if weights is None else weights
        return MIXINGS[name](self.logits, column, temperature)

    def of(self, teachers: list[int]) -> "Case":
        """The same with some teachers, or with all in another order."""
        weights = self.weights[teachers]
        return Case(self.logits[teachers], weights / weights.sum())


@st.composite
def cases(draw: Any, teachers: int | None = None) -> Case:
    count = draw(st.integers(1, 4)) if teachers is None else teachers
    weights = draw(arrays(np.float64, count, elements=st.floats(0.01, 1)))
    return Case(draw(arrays(np.float64, (count, ROWS, CLASSES), elements=st.floats(-30, 30))),
                weights / weights.sum())


def test_the_table_has_what_params_yaml_may_name() -> None:
    assert set(MIXINGS) == set(get_args(Distil.model_fields["mixing"].annotation))
    assert set(MIXINGS) > mixing.LOG_LINEAR


@every_mixing
class TestEvery:
    @given(cases(), temperatures)
    def test_gives_distributions(self, name: str, case: Case, temperature: float) -> None:
        mixture = case.mix(name, temperature)
        assert mixture.shape == (ROWS, CLASSES)
        assert (mixture >= 0).all()
        np.testing.assert_allclose(mixture.sum(axis=1), 1.0)

    @given(cases(teachers=1), temperatures)
    def test_of_one_teacher_is_that_teacher(self, name: str, case: Case,
                                            temperature: float) -> None:
        np.testing.assert_allclose(case.mix(name, temperature), softmax(
            case.logits[0], temperature), atol=1e-12)

    @given(cases(), temperatures, st.integers(0, 3))
    def test_with_all_weight_on_one_is_that_teacher(self, name: str, case: Case,
                                                    temperature: float, number: int) -> None:
        number %= len(case.weights)
        weights = np.eye(len(case.weights))[number]
        np.testing.assert_allclose(case.mix(name, temperature, weights), softmax(
            case.logits[number], temperature), atol=1e-12)

    @given(cases(), temperatures, st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_teachers(
            self, name: str, case: Case, temperature: float, draw: Any) -> None:
        order = list(range(len(case.weights)))
        draw.shuffle(order)
        np.testing.assert_allclose(case.of(order).mix(name, temperature),
                                   case.mix(name, temperature), atol=1e-3)

    @given(cases())
    def test_a_teacher_of_weight_0_does_not_matter(self, name: str, case: Case) -> None:
        teachers = len(case.weights)
        more = Case(np.concatenate([case.logits, -case.logits[:1]]), np.append(case.weights, 0.0))
        np.testing.assert_allclose(more.mix(name), case.of([*range(teachers)]).mix(name),
                                   atol=1e-9)

    @given(cases(), st.floats(-50, 50))
    def test_a_constant_in_a_teachers_logits_does_not_matter(self, name: str, case: Case,
                                                             constant: float) -> None:
        moved = Case(case.logits + constant, case.weights)
        np.testing.assert_allclose(moved.mix(name), case.mix(name), atol=1e-3)


class TestArithmetic:
    def test_equation_4(self) -> None:
        logits = np.log(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]))
        assert mixing.arithmetic(logits, np.array([0.75, 0.25]), 1.0) == pytest.approx(
            np.array([[0.7, 0.3]]))

    @given(cases())
    def test_lies_between_the_teachers(self, case: Case) -> None:
        probabilities, mixture = softmax(case.logits), case.mix("arithmetic")
        assert (mixture >= probabilities.min(axis=0) - 1e-12).all()
        assert (mixture <= probabilities.max(axis=0) + 1e-12).all()


class TestGeometric:
    def test_by_hand(self) -> None:
        logits = np.log(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]))
        means = np.sqrt([0.8 * 0.4, 0.2 * 0.6])
        assert mixing.geometric(logits, np.array([0.5, 0.5]), 1.0) == pytest.approx(
            (means / means.sum())[None])

    @given(cases(teachers=1), st.integers(2, 4), temperatures)
    def test_of_equal_teachers_is_each_of_them(self, case: Case, count: int,
                                               temperature: float) -> None:
        weights = np.arange(1.0, count + 1) / np.arange(1.0, count + 1).sum()
        mixture = mixing.geometric(np.repeat(case.logits, count, axis=0), weights, temperature)
        np.testing.assert_allclose(mixture, softmax(case.logits[0], temperature), atol=1e-12)

    def test_one_teacher_can_rule_a_class_out(self) -> None:
        logits = np.log(np.array([[[0.5, 0.49, 0.01]], [[1e-9, 0.5, 0.5]]]))
        assert mixing.geometric(logits, np.array([0.5, 0.5]), 1.0).argmax() == 1
        assert mixing.geometric(logits, np.array([0.5, 0.5]), 1.0)[0, 0] < 1e-3
        assert mixing.arithmetic(logits, np.array([0.5, 0.5]), 1.0)[0, 0] == pytest.approx(0.25)
