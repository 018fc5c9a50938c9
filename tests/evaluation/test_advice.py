from pathlib import Path
from typing import Any

import pytest
from support.training import Project

from amtss.evaluation.advice import DATA, LINEAR, PROBE, advice

LINES = {"words": {"kind": "linear", "languages": ["all"]}}
E5 = {"e5": {"kind": "probe", "languages": ["all"], "checkpoint": "hub/e5"}}
TUNED = {"tuned": {"languages": ["all"], "checkpoint": "hub/e5"}}
KD, LONGER = "distil.kd_weight: 2 or 3", "distil.max_epochs: 8 or more"
GOOD = {"kd_weight": 2.0, "max_epochs": 8}
STATIC = {"architecture": {"layers": 0}}
RANDOM = {"start": "random"}
RATE = "distil.learning_rate: 5.0e-3, as a student without layers needs 3.0e-3 or more"
ONBOARDING = {"version": 1, "fingerprint": "0123456789abcdef", "languages": ["ru"]}


@pytest.mark.parametrize(("changed", "expected"), [
    ({}, [PROBE, LINEAR, KD]),
    ({"teachers": LINES, "distil": GOOD}, [PROBE]),
    ({"teachers": E5, "student": STATIC | RANDOM, "distil": {"learning_rate": 1e-3}},
     [LINEAR, RATE, "student.start: pca, with student.checkpoint: hub/e5"]),
    ({"teachers": LINES | TUNED, "student": RANDOM},
     ["student.start: pca, with student.teacher: tuned", KD, LONGER]),
    ({"teachers": LINES | TUNED}, [KD, LONGER]),
    ({"teachers": LINES | TUNED, "student": {"start": "pca", "teacher": "tuned"}}, [KD, LONGER]),
    ({"teachers": LINES | {"e5": E5["e5"] | {"languages": ["en"]}}, "distil": GOOD}, [DATA]),
    ({"teachers": LINES | E5, "distil": {"teachers": ["multilingual"], **GOOD}}, [PROBE, LINEAR]),
    ({"teachers": LINES | E5, "student": STATIC, "onboarding": ONBOARDING}, [KD]),
    ({"teachers": LINES | E5, "student": STATIC, "distil": GOOD, "onboarding": ONBOARDING},
     [DATA])])
def test_what_to_try_depends_on_what_has_been_tried(tmp_path: Path, changed: dict[str, Any],
                                                    expected: list[str]) -> None:
    assert advice(Project(tmp_path, **changed).params) == expected
