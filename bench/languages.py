"""CPU-seconds to onboard one more language, against building everything from scratch.

`python bench/languages.py [PROJECT] [--sizes 5 10 20] [--rows 400] [--encoder FOLDER] [--jobs 4]
[--out FILE.json]`, on a project where `dvc repro` has ended. Its texts are dealt out to invented
languages: each gets `rows` training rows of one of the project's languages, different ones as long
as there are any, and a teacher of its own: a small one from scratch, or with `--encoder` that
pretrained encoder, of which the student then has the first four layers. Measured are the stages'
functions for teachers, their logits, the student's vocabulary and Algorithm 1. An onboarding runs
the same for one more language and starts from the student built before. Validation of data,
X-LM-Tiny, test and report are left out on both sides.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring

TEACHER = {"architecture": {"layers": 2, "width": 128, "heads": 4, "feed_forward": 256,
                            "vocabulary": 4000}}
STUDENT = {"architecture": {"layers": 4, "width": 160, "heads": 4, "feed_forward": 640,
                            "vocabulary": 16000}}
SETTINGS: dict[str, dict[str, Any]] = {
    "teaching": {"epochs": 15, "patience": 15},
    "distil": {"max_epochs": 6, "batch_size": 64, "learning_rate": 8.0e-4},
    "continuation": {"max_epochs": 2, "share": 0.25, "replay": 0.15, "batch_size": 128,
                     "learning_rate": 6.0e-4}}
"""What suits models from scratch with layers, where the project's student has none."""
Costs = dict[str, float]
"""CPU-seconds by stage."""


def codes(count: int) -> list[str]:
    """Invented language codes."""
    return [f"x{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(count)]


def deal(project: Path, folder: Path, count: int, rows: int, encoder: Path | None = None) -> None:
    """Write a project with the corpora of `count` languages, labels and settings; no teachers."""
    from amtss.config import yaml
    from amtss.config.params import load_params
    from amtss.data import corpus
    from amtss.files import read_json, write_json
    from amtss.paths import Layout
    from amtss.records import Gate

    source, target = Layout(project), Layout(folder)
    params = load_params(source.params)
    target.artifacts.mkdir(parents=True)
    values = _models(params.model_dump(mode="json"), encoder and encoder.resolve())
    values = _settings(values, codes(count))
    target.params.write_text(yaml.dump(values), encoding="utf-8")
    labels = read_json(source.gate_keys, Gate, "dvc repro gate")["labels"]
    write_json(target.gate_keys, {"labels": labels})
    wholes = [corpus.load(source, language) for language in params.languages]
    for number, code in enumerate(codes(count)):
        turn, whole = number // len(wholes), wholes[number % len(wholes)]
        size = {split: round(rows * len(table) / len(whole["train"]))
                for split, table in whole.splits.items()}
        if rows > len(whole["train"]):
            raise SystemExit(f"--rows: expected at most {len(whole['train'])}, as "
                             f"{whole.language} has, found {rows}")
        # Where the rows run out, a language shares some with an earlier one.
        corpus.write(target, code, {split: table.drop_columns("key").slice(
            turn * size[split] % (len(table) - size[split] + 1), size[split])
            for split, table in whole.splits.items()}, None)


def _models(values: dict[str, Any], encoder: Path | None) -> dict[str, Any]:
    """A params.yaml with a small student and X-LM-Tiny's teacher, which is never run; from scratch,
    or both from `encoder`."""
    if encoder is None:
        teacher = TEACHER
        if not values["student"]["architecture"]["layers"]:
            values["student"]["dropout"] = 0.1
            for section, settings in SETTINGS.items():
                values[section] |= settings
        values["student"] |= STUDENT
    else:
        teacher = {"checkpoint": str(encoder), "pooling": "mean"}
        values["teaching"]["freeze"] = "embeddings"
        values["student"] |= {
            "checkpoint": str(encoder), "teacher": None, "tokenizer": None, "revision": None,
            "start": "layers", "layers": None, "architecture": {"layers": 4}, "pooling": "mean",
            "vocabulary": "trimmed", "trimming": {"at_least": 0}}
    return values | {"teachers": {"all": {"languages": ["all"], **teacher}},
                     "baseline": {"teacher": "all"}}


def _settings(values: dict[str, Any], languages: Sequence[str],
              onboarding: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same with a teacher per language, which is like X-LM-Tiny's."""
    shared = values["teachers"]["all"]
    values |= {"languages": list(languages), "onboarding": onboarding,
               "teachers": {code: {**shared, "languages": [code]} for code in languages}
               | {"all": shared}}
    values["data"]["configs"] = {}
    values["distil"] |= {"teachers": list(languages), "weights": "own",
                         "top_k": min(3, len(languages))}
    return values


def limited(folder: Path, root: Path, count: int,
            onboarding: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """Make a project in `root` of the first `count` languages; its params and layout."""
    from amtss.config import yaml
    from amtss.config.params import load_params
    from amtss.paths import Layout

    source, target = Layout(folder), Layout(root)
    values = yaml.load(source.params.read_text(encoding="utf-8"))
    target.artifacts.mkdir(parents=True)
    target.params.write_text(yaml.dump(_settings(values, codes(count), onboarding)),
                             encoding="utf-8")
    for name in ("gate.json", "data", "teachers", "logits"):
        (target.artifacts / name).symlink_to(source.artifacts / name)
    return load_params(target.params), target


def taught(folder: Path, code: str) -> Costs:
    """Train a language's teacher and compute its logits, into `folder`."""
    _one_thread()
    from amtss.config.params import load_params
    from amtss.logits import score
    from amtss.paths import Layout
    from amtss.teachers import teach

    layout, meter = Layout(folder), measuring.Meter()
    params = load_params(layout.params)
    with meter.part("teach"):
        teach.teach(params, layout, code, lambda epoch, figures: None)
    with meter.part("score"):
        score.score(params, layout, code)
    return dict(meter.cpu)


def built(folder: Path, count: int) -> dict[str, Any]:
    """Build a student of `count` languages, then onboard one more."""
    _one_thread()
    from amtss.distillation import algorithm1
    from amtss.files import seal
    from amtss.student import start

    with tempfile.TemporaryDirectory() as scratch:
        def student(params: Any, layout: Any) -> Costs:
            meter, averages = measuring.Meter(), []
            with meter.part("start"):
                start.start(params, layout)
            with meter.part("distil"):
                algorithm1.distil(params, layout, lambda row: averages.append(row["average"]))
            return {**meter.cpu, "average": averages[-1]}

        params, layout = limited(folder, Path(scratch) / "built", count)
        first = student(params, layout)
        more, joined = limited(folder, Path(scratch) / "joined", count + 1, {
            "version": 1, "fingerprint": "0" * 16, "languages": codes(count + 1)[-1:]})
        joined.registered.mkdir()
        (joined.registered / "student").symlink_to(layout.student.resolve())
        seal(joined.registered)
        return {"languages": count, "built": first, "onboarded": student(more, joined)}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train all teachers once, then build a student of each size and onboard one language more."""
    most = max(options.sizes) + 1
    with tempfile.TemporaryDirectory() as scratch, measuring.processes(options.jobs) as pool:
        folder = Path(scratch) / "all"
        deal(options.project, folder, most, options.rows, options.encoder)
        costs = list(pool.map(taught, [folder] * most, codes(most)))
        sizes = sorted(options.sizes, reverse=True)
        results = list(pool.map(built, [folder] * len(sizes), sizes))
    for result in results:
        count = result["languages"]
        for stage in ("teach", "score"):
            result["built"][stage] = sum(cost[stage] for cost in costs[:count])
            result["onboarded"][stage] = costs[count][stage]
    return results[::-1]


STAGES = ("teach", "score", "start", "distil")


def table(results: list[dict[str, Any]]) -> str:
    lines = [f"| languages | | {' | '.join(STAGES)} | all, CPU s | onboarding / building "
             "| its student alone | validation accuracy |",
             f"| ---: | --- |{' ---: |' * 8}"]
    for result in results:
        whole = {side: sum(result[side][stage] for stage in STAGES)
                 for side in ("built", "onboarded")}
        ratio = whole["onboarded"] / whole["built"]
        student = result["onboarded"]["distil"] / result["built"]["distil"]
        for side, ratios in (("built", " | "), ("onboarded", f"{ratio:.3f} | {student:.3f}")):
            cells = [f"{result[side][stage]:.1f}" for stage in STAGES]
            count = result["languages"] + (side == "onboarded")
            lines.append(f"| {count} | {side} | {' | '.join(cells)} | {whole[side]:.1f} | {ratios} "
                         f"| {result[side]['average']:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--encoder", type=Path)
    options = parser.parse_args(arguments)
    results = measure(options)
    measuring.report(options, table(results), results)


if __name__ == "__main__":
    main()
