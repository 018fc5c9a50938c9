import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.distillation.checkpoints import Progress
from amtss.distillation.results import Outcome, record, standard_error
from amtss.logits.skill import skill


def outcomes(rows: int, *accuracies: float) -> dict[str, Outcome]:
    """A language for each accuracy, in points, on `rows` validation rows."""
    nothing = np.zeros(2, dtype=np.int64)
    return {f"l{index}": Outcome(accuracy, np.zeros(rows), skill(nothing, nothing))
            for index, accuracy in enumerate(accuracies)}


def kept(rows: int, *averages: float) -> int:
    """The best epoch of a training with one language and these accuracies."""
    progress = Progress("print")
    for epoch, average in enumerate(averages, 1):
        record(progress, epoch, 1, 1.0, outcomes(rows, average), {})
    assert [row["epoch"] for row in progress.history if row["best"]][-1] == progress.best_epoch
    return progress.best_epoch


class TestBestEpoch:
    def test_few_rows_do_not_tell_epochs_apart(self) -> None:
        assert kept(100, 70.0, 80.0, 77.0) == 3  # a standard error is 4.2

    def test_many_rows_do(self) -> None:
        assert kept(10_000, 70.0, 80.0, 77.0) == 2  # it is 0.42

    def test_of_equal_ones_the_last(self) -> None:
        assert kept(10_000, 70.0, 80.0, 80.0) == 3
        assert kept(10_000, 100.0, 100.0, 99.9) == 2

    def test_it_is_measured_from_the_highest_of_all(self) -> None:
        # each is within 0.4 of the one before it, but the last two are not of the first
        assert kept(10_000, 80.0, 79.7, 79.4, 79.1) == 2

    @given(st.integers(1, 5000), st.lists(st.integers(0, 1000), min_size=1, max_size=9))
    def test_it_is_the_last_within_a_standard_error(self, rows: int, tenths: list[int]) -> None:
        averages = [value / 10 for value in tenths]
        near = [epoch for epoch, average in enumerate(averages, 1)
                if average >= max(averages) - standard_error(outcomes(rows, average).values())]
        assert kept(rows, *averages) == near[-1]


def test_the_standard_error_of_a_mean_over_languages() -> None:
    assert standard_error(outcomes(100, 80.0).values()) == pytest.approx(4.0)
    assert standard_error(outcomes(100, 80.0, 80.0, 80.0, 80.0).values()) == pytest.approx(2.0)
    assert standard_error(outcomes(100, 80.0, 100.0).values()) == pytest.approx(2.0)
