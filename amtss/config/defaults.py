"""What a project gets where params.yaml is silent and one value does not fit all projects.

docs/decisions/0019-defaults.md says why.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

STARTS = {"start", "checkpoint", "teacher", "tokenizer"}
"""Keys of `student` by which params.yaml itself says what the student starts from."""
STATIC = {"layers": 0, "width": 256}
"""Architecture where nothing is pretrained: few texts teach a transformer less than that."""
PIECES, LEAST = 3_000, 16_000
"""Its vocabulary: pieces for each language, and in all at least."""
TOP_K = 3
"""Languages per epoch of Algorithm 1, where there are as many."""
LAYERS = 4
"""Of a pretrained teacher, for a student that starts from it."""
PAIRS = 65_536
"""Rows for pairs of neighbouring tokens, of a student without layers."""
MIXED = 30_000
"""Texts per language for a student without layers, to which a text costs next to nothing."""
Values = dict[str, Any]


def fill_in(values: Any) -> Any:
    """The values of params.yaml, and those that follow from them.

    The student starts from the first four layers of the pretrained teacher that serves most
    languages (from its embeddings, if params.yaml gives the student another architecture); where
    nothing is pretrained it has no layers. Without layers it reads pairs of neighbouring tokens,
    and learns from more mixed texts. Learning rates follow from what is pretrained. A linear
    teacher that is alone is not cross-fitted. X-LM-Tiny's teacher is the one that scores the most
    languages, and Algorithm 1 trains on no more languages than there are. What params.yaml says
    stays as it is; what is malformed is left to the checks.
    """
    if not isinstance(values, dict):
        return values
    values = values | _fine_tuning(values)
    values = values | _alone(values)
    data = values.get("data", {})
    student, distil = values.get("student", {}), values.get("distil", {})
    if not all(isinstance(section, dict) for section in (data, student, distil)):
        return values
    if not STARTS & student.keys():
        student = _start(values, student) | student
    if _static(student):
        data = {"mixed": MIXED} | data
        student = student | {"architecture": {"pairs": PAIRS} | student["architecture"]}
    distil = {"learning_rate": _learning_rate(student), **_top_k(values)} | distil
    return values | {"data": data, "student": student, "distil": distil} | _baseline(values)


def _languages(values: Values) -> Sequence[Any]:
    """`languages`; none where that is malformed."""
    languages = values.get("languages")
    return languages if isinstance(languages, tuple | list) else ()


def _top_k(values: Values) -> Values:
    count = len(_languages(values))
    return {"top_k": min(TOP_K, count)} if count else {}


def _baseline(values: Values) -> Values:
    """`baseline` with the teacher that scores the most languages, the first of several."""
    teachers, baseline = values.get("teachers"), values.get("baseline", {})
    if not isinstance(teachers, dict) or not teachers or not isinstance(baseline, dict):
        return {}
    return {"baseline": {"teacher": max(teachers, key=partial(_served, values))} | baseline}


def _served(values: Values, name: str) -> int:
    """How many of the languages a teacher scores."""
    return len(_codes(values, name))


def _codes(values: Values, name: str) -> set[Any]:
    """The languages that a teacher scores; none where they are malformed."""
    teacher, languages = values["teachers"][name], {*_languages(values)}
    if not isinstance(teacher, dict):
        return set()
    codes = teacher.get("scores") or teacher.get("languages") or ()
    codes = (codes,) if isinstance(codes, str) else codes
    if not isinstance(codes, tuple | list):
        return set()
    return languages if "all" in codes else {*codes} & languages


def _alone(values: Values) -> Values:
    """`teachers`, where a linear one without another in any of its languages has no `cross_fit`.

    Its answers to rows that it has not learnt are then the student's only soft targets, and one in
    ten contradicts a label that is right."""
    teachers = values.get("teachers")
    if not isinstance(teachers, dict):
        return {}
    served = {name: _codes(values, name) for name in teachers}

    def filled(name: str, teacher: Any) -> Any:
        if not isinstance(teacher, dict) or teacher.get("kind") != "linear":
            return teacher
        others = [codes for other, codes in served.items() if other != name]
        return teacher if served[name] & set().union(*others) else {"cross_fit": 0} | teacher

    return {"teachers": {name: filled(name, teacher) for name, teacher in teachers.items()}}


def _fine_tuning(values: Values) -> Values:
    """`teachers`, where checkpoints that are fine-tuned have the learning rate of transformers."""
    teachers, teaching = values.get("teachers"), values.get("teaching", {})
    if (not isinstance(teachers, dict) or not isinstance(teaching, dict)
            or "learning_rate" in teaching):
        return {}

    def tuned(teacher: Any) -> Any:
        if not isinstance(teacher, dict) or not teacher.get("checkpoint"):
            return teacher
        training = teacher.get("training", {})
        if teacher.get("kind", "transformer") != "transformer" or not isinstance(training, dict):
            return teacher
        return teacher | {"training": {"learning_rate": 5.0e-5} | training}

    return {"teachers": {name: tuned(teacher) for name, teacher in teachers.items()}}


def _start(values: Values, student: Values) -> Values:
    """What `student` starts from and the settings that go with it; those of its own come first."""
    name = _pretrained(values)
    if name is None:
        pieces = max(LEAST, PIECES * len(_languages(values)))
        return {"architecture": STATIC | {"vocabulary": pieces}}
    teacher = values["teachers"][name]
    source = ({key: teacher[key] for key in ("checkpoint", "revision") if teacher.get(key)}
              if teacher.get("kind") == "probe" else {"teacher": name})
    chosen = student.get("layers")
    count = len(chosen) if isinstance(chosen, tuple) else LAYERS
    start: Values = ({"start": "pca"} if "architecture" in student else
                     {"start": "layers", "architecture": {"layers": count}})
    return source | start | {"vocabulary": "trimmed", "pooling": "mean"}


def _pretrained(values: Values) -> str | None:
    """The teacher with a checkpoint that serves the most languages, the first of several; None
    where none serves more than half of them."""
    teachers = values.get("teachers")
    if not isinstance(teachers, dict):
        return None
    names = [name for name, teacher in teachers.items()
             if isinstance(teacher, dict) and teacher.get("checkpoint")]
    name: str | None = max(names, key=partial(_served, values), default=None)
    if name is None or 2 * _served(values, name) <= len(_languages(values)):
        return None
    return name


def _learning_rate(student: Values) -> float:
    """What suits the student: weights that begin with knowledge move less, a table alone more."""
    if student.get("start") == "layers":
        return 3.0e-4
    return 5.0e-3 if _static(student) else 1.0e-3


def _static(student: Values) -> bool:
    architecture = student.get("architecture")
    return isinstance(architecture, dict) and architecture.get("layers") == 0
