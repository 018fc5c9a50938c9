"""What a student makes of texts without a language, of unsure answers, and of foreign texts.

`python bench/unsure.py [PROJECT] [--foreign FOLDER] [--rows 0] [--out FILE.json]`, on a project
where `dvc repro` has ended, by its test rows: languages recognised, accuracy where the language is
told and where it is not, and what is answered where 90, 95 or 99% are to be right. Left unanswered
should be what has no class: sentences of FOLDER, in XNLI's layout
({language}/validation*.parquet with premise and hypothesis), keyboard noise, and sentences in
scripts of other languages.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring

KEYS = "asdfghjklqwertyuiopzxcvbnm     "
SCRIPTS = ("καλημέρα πώς είσαι σήμερα", "どこで電車に乗れますか", "今天的天气怎么样",
           "שלום מה שלומך היום", "ฉันต้องการดูหนัง", "आज मौसम कैसा है", "გამარჯობა როგორ ხარ",
           "Բարեւ ինչպես ես")


def sentences(folder: Path | None, language: str, column: str) -> list[str]:
    """500 sentences of XNLI's validation; none if the folder does not have the language."""
    from pyarrow import parquet

    files = sorted(folder.glob(f"{language}/validation*.parquet")) if folder else []
    if not files:
        return []
    texts: list[str] = parquet.read_table(files[0], columns=[column])[column].to_pylist()
    return texts[:1500:3]  # a premise comes three times in a row


def noise(count: int) -> list[str]:
    """Keys that somebody has hit, the same ones every time."""
    draw = random.Random(0)
    texts = ["".join(draw.choice(KEYS) for _ in range(draw.randint(4, 40))).strip()
             for _ in range(count)]
    return [text or "x" for text in texts]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Figures by language and on average, in percent."""
    from amtss import records
    from amtss.config.params import load_params
    from amtss.data import corpus
    from amtss.evaluation import selective
    from amtss.evaluation.metrics import accuracy, calibration_error
    from amtss.inference.pytorch_predictor import PytorchPredictor
    from amtss.logits.softmax import softmax
    from amtss.paths import Layout

    layout = Layout(options.project)
    params, labels = load_params(layout.params), records.labels(layout)
    student = PytorchPredictor(layout.student)
    corpora = [corpus.load(layout, code) for code in student.languages]
    for own in corpora:
        own.splits["test"] = own["test"].slice(0, options.rows or None)
    gold = {own.language: own.label_ids("test", labels) for own in corpora
            if own.has_labels("test")}
    rows = {own.language: student.probabilities(*own.texts("test"), own.language)
            for own in corpora}
    bins = params.evaluation.bins
    figures = {"told": {}, "calibration error": {}, "uncalibrated": {}}
    for code, actual in gold.items():
        raw = softmax(student.temperatures[code] * logarithm(rows[code]))
        figures["told"][code] = accuracy(rows[code].argmax(axis=1), actual)
        figures["calibration error"][code] = calibration_error(rows[code], actual, bins)
        figures["uncalibrated"][code] = calibration_error(raw, actual, bins)
    untold = selective.untold(student, corpora, rows, gold)
    figures |= {"right language": untold["languages"], "not told": untold["accuracy"]}
    answered = selective.abstaining(student, rows, gold)
    left = {asked: left_out(student, options.foreign, float(asked) / 100) for asked in answered}
    return {"languages": figures, "abstaining": answered, "left": left}


def logarithm(probabilities: Any) -> Any:
    """Finite also where a probability is 0."""
    import numpy as np

    return np.log(np.maximum(probabilities, np.finfo(float).tiny))


def left_out(student: Any, folder: Path | None, asked: float) -> dict[str, float]:
    """Share of texts without a class that are not answered, on average over languages."""
    kinds: dict[str, list[float]] = {}
    for code in student.languages:
        least = student.least_confidence(code, asked)
        for kind, texts in (("hypotheses", sentences(folder, code, "hypothesis")),
                            ("premises", sentences(folder, code, "premise")),
                            ("noise", noise(200)), ("other scripts", list(SCRIPTS))):
            if texts:
                sure = student.probabilities(texts, None, code).max(axis=1)
                kinds.setdefault(kind, []).append(100 * float((sure < least).mean()))
    return {kind: sum(shares) / len(shares) for kind, shares in kinds.items()}


def table(found: dict[str, Any]) -> str:
    figures, answered = found["languages"], found["abstaining"]
    codes = list(figures["told"])
    for own in figures.values():
        own["average"] = sum(own[code] for code in codes) / len(codes)
    languages = [{"%": name} | {code: f"{own[code]:.2f}" for code in [*codes, "average"]}
                 for name, own in figures.items()]
    rows = []
    for asked, own in answered.items():
        right = [own["accuracy"][code] for code in codes if code in own["accuracy"]]
        span = (f"{own['accuracy']['average']:.1f} ({min(right):.1f} to {max(right):.1f})"
                if right else None)
        rows.append({"asked": asked, "answered": f"{own['coverage']['average']:.1f}",
                     "right of these": span,
                     **{f"{kind} left": f"{share:.1f}"
                        for kind, share in found["left"][asked].items()}})
    return "\n".join([measuring.table("Languages", languages),
                      measuring.table("Answers sure enough", rows)])


def parser(about: str | None, rows: str) -> argparse.ArgumentParser:
    """A parser with the options of benchmarks of a student's answers; `rows` says of what."""
    parser = measuring.parser(about)
    parser.add_argument("--foreign", type=Path, help="a folder in XNLI's layout")
    parser.add_argument("--rows", type=int, default=0, help=f"{rows}; 0 for all")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__, "of a language's test").parse_args(arguments)
    found = measure(options)
    measuring.report(options, table(found), found)


if __name__ == "__main__":
    main()
