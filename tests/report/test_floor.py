import pytest

from amtss.report.floor import sentence

FLOOR = {"average": 88.0, "en": 89.0, "fr": 87.0}


@pytest.mark.parametrize(("student", "expected"), [
    ({"average": 89.02, "en": 91.0, "fr": 87.04},
     "The student is 1.02 points above the linear floor of 88.00 on average and below it in no "
     "language."),
    ({"average": 88.0, "en": 89.0, "fr": 87.0},
     "The student is 0.00 points above the linear floor of 88.00 on average and below it in no "
     "language."),
    ({"average": 88.0 - 1e-12, "en": 89.0, "fr": 87.0 - 2e-12},
     "The student is 0.00 points above the linear floor of 88.00 on average and below it in no "
     "language."),
    ({"average": 88.3, "en": 90.0, "fr": 86.6},
     "The student is 0.30 points above the linear floor of 88.00 on average and below it in fr "
     "(-0.40): try distil.kd_weight: 2 or 3; distil.max_epochs: 8 or more."),
    ({"average": 84.18, "en": 86.0, "fr": 82.36},
     "The student is 3.82 points below the linear floor of 88.00 on average and below it in en "
     "(-3.00), fr (-4.64): try distil.kd_weight: 2 or 3; distil.max_epochs: 8 or more."),
])
def test_says_where_the_student_is_below_and_what_to_try(student: dict[str, float],
                                                         expected: str) -> None:
    advice = ["distil.kd_weight: 2 or 3", "distil.max_epochs: 8 or more"]
    assert sentence(student, FLOOR, advice) == expected
