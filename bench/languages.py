"""What one more language costs, against building everything from nothing: CPU-seconds.

`python bench/languages.py [PROJECT] [--sizes 5 10 20] [--rows 400] [--jobs 4] [--out FILE.json]`,
on a project that `dvc repro` has finished. Its texts are dealt out: a language is `rows` training
rows of one of the project's languages, no two the same rows, under a code of its own. Every
language has a small teacher of its own. What is measured are the stages' own functions: teachers,
their scores, what the student starts with, Algorithm 1. An onboarding is the same for one language
more, going on from the student built before. Validation of data, X-LM-Tiny, test and report stand
on neither side.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring

TEACHER = {"architecture": {"layers": 2, "width": 128, "heads": 4, "feed_forward": 256,
                            "vocabulary": 4000}}
STUDENT = {"layers": 4, "width": 160, "heads": 4, "feed_forward": 640, "vocabulary": 16000}
Costs = dict[str, float]
"""CPU-seconds by stage."""


def codes(count: int) -> list[str]:
    """As many language codes."""
    return [f"x{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(count)]


def deal(project: Path, folder: Path, count: int, rows: int) -> None:
    """Write a project of `count` languages' corpora, with labels and settings but no teachers."""
    from amtss.config import yaml
    from amtss.config.params import load_params
    from amtss.data import corpus
    from amtss.files import read_json, write_json
    from amtss.paths import Layout

    source, made = Layout(project), Layout(folder)
    params = load_params(source.params)
    made.artifacts.mkdir(parents=True)
    values = _settings(params.model_dump(mode="json"), codes(count))
    made.params.write_text(yaml.dump(values), encoding="utf-8")
    labels = read_json(source.gate_keys, "dvc repro gate")["labels"]
    write_json(made.gate_keys, {"labels": labels})
    wholes = [corpus.load(source, language) for language in params.languages]
    for at, code in enumerate(codes(count)):
        turn, whole = at // len(wholes), wholes[at % len(wholes)]
        size = {split: round(rows * len(table) / len(whole["train"]))
                for split, table in whole.splits.items()}
        if (turn + 1) * rows > len(whole["train"]):
            raise SystemExit(f"--rows: expected at most {len(whole['train']) // (turn + 1)} for "
                             f"{count} languages of {len(wholes)}, found {rows}")
        corpus.write(made, code, {split: table.drop_columns("key").slice(
            turn * size[split], size[split]) for split, table in whole.splits.items()}, None)


def _settings(values: dict[str, Any], languages: Sequence[str],
              onboarding: dict[str, Any] | None = None) -> dict[str, Any]:
    """params.yaml for `languages`: a small teacher each, and X-LM-Tiny's, which is never run."""
    single = {code: {"languages": [code], **TEACHER} for code in languages}
    values |= {"languages": list(languages), "onboarding": onboarding,
               "teachers": single | {"all": {"languages": ["all"], **TEACHER}},
               "baseline": {"teacher": "all"}}
    values["data"]["configs"] = {}
    values["student"]["architecture"] = STUDENT
    values["distil"] |= {"teachers": list(languages), "weights": "own",
                         "top_k": min(3, len(languages))}
    return values


def limited(folder: Path, root: Path, count: int,
            onboarding: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """A project in `root` of the first `count` languages of `folder`; params and layout."""
    from amtss.config import yaml
    from amtss.config.params import load_params
    from amtss.paths import Layout

    source, made = Layout(folder), Layout(root)
    values = yaml.load(source.params.read_text(encoding="utf-8"))
    made.artifacts.mkdir(parents=True)
    made.params.write_text(yaml.dump(_settings(values, codes(count), onboarding)),
                           encoding="utf-8")
    for name in ("gate.json", "data", "teachers", "logits"):
        (made.artifacts / name).symlink_to(source.artifacts / name)
    return load_params(made.params), made


def taught(folder: Path, code: str) -> Costs:
    """A teacher and its scores, into `folder`."""
    _alone()
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
    """Students of `count` languages, from nothing, and of one more, onboarded."""
    _alone()
    from amtss.distillation import algorithm1
    from amtss.student import start

    with tempfile.TemporaryDirectory() as place:
        def student(params: Any, layout: Any) -> Costs:
            meter, averages = measuring.Meter(), []
            with meter.part("start"):
                start.start(params, layout)
            with meter.part("distil"):
                algorithm1.distil(params, layout, lambda row: averages.append(row["average"]))
            return {**meter.cpu, "average": averages[-1]}

        params, layout = limited(folder, Path(place) / "built", count)
        first = student(params, layout)
        more, joined = limited(folder, Path(place) / "joined", count + 1, {
            "version": 1, "fingerprint": "0" * 16, "languages": codes(count + 1)[-1:]})
        joined.registered.mkdir()
        (joined.registered / "student").symlink_to(layout.student.resolve())
        return {"languages": count, "built": first, "onboarded": student(more, joined)}


def _alone() -> None:
    import torch

    torch.set_num_threads(1)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Teachers once for all sizes, then a student of each size and one language more."""
    most = max(options.sizes) + 1
    with tempfile.TemporaryDirectory() as place, measuring.processes(options.jobs) as pool:
        folder = Path(place) / "all"
        deal(options.project, folder, most, options.rows)
        costs = list(pool.map(taught, [folder] * most, codes(most)))
        sizes = sorted(options.sizes, reverse=True)
        found = list(pool.map(built, [folder] * len(sizes), sizes))
    for each in found:
        count = each["languages"]
        for stage in ("teach", "score"):
            each["built"][stage] = sum(cost[stage] for cost in costs[:count])
            each["onboarded"][stage] = costs[count][stage]
    return found[::-1]


STAGES = ("teach", "score", "start", "distil")


def table(found: list[dict[str, Any]]) -> str:
    lines = [f"| languages | | {' | '.join(STAGES)} | all, CPU s | onboarding / building "
             "| its student alone | validation accuracy |",
             f"| ---: | --- |{' ---: |' * 8}"]
    for each in found:
        whole = {side: sum(each[side][stage] for stage in STAGES)
                 for side in ("built", "onboarded")}
        ratio = whole["onboarded"] / whole["built"]
        student = each["onboarded"]["distil"] / each["built"]["distil"]
        for side, more in (("built", " | "), ("onboarded", f"{ratio:.3f} | {student:.3f}")):
            cells = [f"{each[side][stage]:.1f}" for stage in STAGES]
            count = each["languages"] + (side == "onboarded")
            lines.append(f"| {count} | {side} | {' | '.join(cells)} | {whole[side]:.1f} | {more} "
                         f"| {each[side]['average']:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--rows", type=int, default=400)
    options = parser.parse_args(arguments)
    found = measure(options)
    measuring.tell(options, table(found), found)


if __name__ == "__main__":
    main()
