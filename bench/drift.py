"""How often `amtss drift` raises an alarm without drift, and with some kinds of it.

`python bench/drift.py [PROJECT] [--foreign FOLDER] [--sizes 100 300 1000] [--runs 200] [--rows 0]
[--out FILE.json]`, on a project where `dvc repro` has ended. Without drift, random held-out rows
are compared with random others, all languages in a run. Drift is made of the test rows and compared
with validation: the commonest label is missing or tripled, letters are mistyped, texts are in
another language or of FOLDER, in XNLI's layout (see unsure.py).
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import measuring
import unsure

DRAWS = 50
"""Of new texts, for each kind and size."""
Sets = dict[str, tuple[Any, Any]]
"""Language -> answers to the reference and to the new texts."""


def part(answers: Any, rows: Any) -> Any:
    """The answers to some of the texts."""
    return type(answers)(**{field.name: getattr(answers, field.name)[rows]
                            for field in fields(answers)})


def both(first: Any, second: Any) -> Any:
    """The answers to the texts of two splits."""
    import numpy as np

    return type(first)(**{field.name: np.concatenate([getattr(side, field.name)
                                                      for side in (first, second)])
                          for field in fields(first)})


def passed(sets: Sets, limits: Any) -> dict[str, list[str]]:
    """Figures beyond their limits in one run, by language."""
    from amtss.drift import comparison

    count = len(sets) * len(comparison.FIGURES)
    return {code: [figure for figure, change
                   in comparison.compare(before, now, limits, count).items() if change.passed]
            for code, (before, now) in sets.items()}


def false_alarms(known: dict[str, Any], size: int, options: argparse.Namespace,
                 limits: Any) -> dict[str, Any]:
    """Compare `size` held-out rows with half of the held-out rows, other ones, again and again."""
    import numpy as np

    draw, alarms, figures = np.random.default_rng(0), 0, Counter[str]()
    for _ in range(options.runs):
        sets = {}
        for code, answers in known.items():
            order = draw.permutation(len(answers))
            middle = len(order) // 2
            sets[code] = part(answers, order[middle:]), part(answers, order[:min(size, middle)])
        found = Counter(figure for own in passed(sets, limits).values() for figure in own)
        alarms, figures = alarms + bool(found), figures + found
    return {"texts": size, "runs": options.runs, "with an alarm": alarms, "figures": dict(figures)}


def mistyped(text: str, share: float, draw: random.Random) -> str:
    """The text with some letters left out, replaced or doubled by another one of it."""
    letters = []
    for letter in text:
        if letter.isalpha() and draw.random() < share:
            other = draw.choice(text)
            letters.append(draw.choice(["", other, letter + other]))
        else:
            letters.append(letter)
    return "".join(letters) or text


def drifts(student: Any, corpora: Sequence[Any], test: dict[str, Any], options: argparse.Namespace
           ) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name of each kind of drift, and the answers to its texts by language."""
    import numpy as np

    from amtss.drift.answers import answer
    from amtss.drift.logs import Texts

    draw, texts = random.Random(0), {own.language: own.texts("test")[0] for own in corpora}
    labels = {own.language: np.array(own["test"]["label"].to_pylist()) for own in corpora}
    first = {code: labels[code] == Counter(labels[code].tolist()).most_common(1)[0][0]
             for code in texts}
    foreign = {code: unsure.sentences(options.foreign, code, "hypothesis") for code in texts}
    tenth = {code: min(len(foreign[code]), len(texts[code]) // 9) for code in texts}
    codes = list(texts)
    following = dict(zip(codes, [*codes[1:], codes[0]], strict=True))

    def answered(changed: dict[str, list[str]]) -> dict[str, Any]:
        return {code: answer(student, code, Texts(list(new)))
                for code, new in changed.items() if new}

    yield "none: test", test
    yield "commonest label missing", {
        code: part(test[code], np.flatnonzero(~first[code])) for code in codes}
    yield "commonest label tripled", {
        code: part(test[code], np.repeat(np.arange(len(own)), np.where(own, 3, 1)))
        for code, own in first.items()}
    yield "one letter in ten mistyped", answered(
        {code: [mistyped(text, 0.1, draw) for text in texts[code]] for code in codes})
    if len(codes) > 1:
        yield "another language", answered({code: texts[following[code]] for code in codes})
    yield "keyboard noise", answered({code: unsure.noise(500) for code in codes})
    if any(foreign.values()):
        yield "foreign sentences", answered(foreign)
        yield "a tenth of foreign sentences", answered(
            {code: texts[code][:9 * count] + foreign[code][:count]
             for code, count in tenth.items() if count})


def alarms(before: dict[str, Any], now: dict[str, Any], sizes: Sequence[int],
           limits: Any) -> dict[str, Any]:
    """In how many percent of the languages a limit is passed, by the number of texts."""
    import numpy as np

    draw, found = np.random.default_rng(0), {}
    for size in sizes:
        counted = []
        for _ in range(DRAWS):
            sets = {code: (before[code], part(new, draw.permutation(len(new))[:size]))
                    for code, new in now.items() if len(new) >= size}
            counted += [bool(figures) for figures in passed(sets, limits).values()]
        found[f"{size}"] = 100 * sum(counted) / len(counted) if counted else None
    whole = passed({code: (before[code], new) for code, new in now.items()}, limits)
    return {**found, "all": 100 * sum(map(bool, whole.values())) / len(whole),
            "figures": sorted({figure for figures in whole.values() for figure in figures})}


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """False alarms by size, and alarms by kind of drift."""
    from amtss.config.params import load_params
    from amtss.data import corpus
    from amtss.drift.answers import answer
    from amtss.drift.logs import Texts
    from amtss.inference.pytorch_predictor import PytorchPredictor
    from amtss.paths import Layout

    layout = Layout(options.project)
    limits, student = load_params(layout.params).drift, PytorchPredictor(layout.student)
    corpora = [corpus.load(layout, code) for code in student.languages]
    for own in corpora:
        for split in ("validation", "test"):
            own.splits[split] = own[split].slice(0, options.rows or None)
    validation, test = ({own.language: answer(student, own.language, Texts(*own.texts(split)))
                         for own in corpora} for split in ("validation", "test"))
    known = {code: both(validation[code], test[code]) for code in test}
    return {"false alarms": [false_alarms(known, size, options, limits) for size in options.sizes],
            "drifts": [{"drift": name, **alarms(validation, now, options.sizes, limits)}
                       for name, now in drifts(student, corpora, test, options)]}


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    def shown(row: dict[str, Any]) -> dict[str, Any]:
        return {name: f"{cell:.0f}" if isinstance(cell, float) else cell
                if cell is None or isinstance(cell, str | int) else ", ".join(map(str, cell))
                for name, cell in row.items()}

    return "\n".join([
        measuring.table("Runs without drift", [shown(row) for row in found["false alarms"]]),
        measuring.table("Languages with an alarm, %, by texts of each",
                        [shown(row) for row in found["drifts"]])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = unsure.parser(__doc__, "of validation and test")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000],
                        help="texts of a language")
    parser.add_argument("--runs", type=int, default=200, help="without drift")
    options = parser.parse_args(arguments)
    found = measure(options)
    measuring.report(options, table(found), found)


if __name__ == "__main__":
    main()
