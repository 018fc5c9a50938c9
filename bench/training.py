"""Cached distillation against the tools that a user might pick instead, in CPU-seconds.

`python bench/training.py [PROJECT] [--rows 1000] [--epochs 6] [--rounds 2] [--jobs 4]
[--out FILE.json]`, on a project where a transformer of each language alone is taught, such as one
with `five_teachers.yaml` for params.yaml. All sides have the same student and first weights,
teachers, texts, batch size, learning rates, loss and epochs. A round runs all sides in random
order, except that the slowest begins, so that no core waits for it at the end. Each side is a
one-thread process; its seed is the number of the round. CPU-seconds are those of the process: other
work on the machine changes them little.
"""

import argparse
import math
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import measuring
from measuring import spread

SIDES = {
    "amtss": "amtss",
    "bare": "bare loop over labels, bf16, buckets, fused AdamW",
    "textbrewer-max": "TextBrewer MultiTaskDistiller, padded to the maximum as in its examples",
    "textbrewer-longest": "the same, padded to a batch's longest",
    "textbrewer-best": "the same, teachers' cache by hand, bucketed loader",
    "textbrewer-bf16": "the same, bf16 autocast and fused AdamW by hand",
    "multiteacher": "TextBrewer MultiTeacherDistiller, padded to a batch's longest",
    "trainer": "transformers' Trainer, teachers online, as it comes",
    "trainer-best": "the same, bf16, grouped by length",
}
SLOWEST = "multiteacher"


@dataclass(frozen=True)
class Measured:
    """One side in one round."""

    side: str
    round: int
    examples: int
    cpu: dict[str, float]
    """Seconds by part: capture, training, validation, rest."""
    wall: dict[str, float]
    epochs: list[tuple[float, float]]
    """At each epoch's end: CPU-seconds so far without validation, and accuracy in percent."""

    def rate(self, *parts: str) -> float:
        """Examples per CPU-second of the parts, by default of all."""
        return self.examples / sum(self.cpu.get(part, 0.0) for part in parts or self.cpu)

    def until(self, accuracy: float) -> float:
        """CPU-seconds until this accuracy was reached."""
        reached = measuring.crossing(self.epochs, accuracy)
        return reached[0] if reached else math.inf


def run(side: str, number: int, project: Path, rows: int, epochs: int) -> Measured:
    """One side of one round, in a folder of its own."""
    import torch
    from training_task import Task, cut

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        cut(project, root, rows, _changes(project, epochs, number))
        task = Task(root, measuring.Meter())
        _side(side)(task)
        count = sum(len(texts["train"]) for texts in task.corpora)
        return Measured(side, number, count * epochs, dict(task.meter.cpu), dict(task.meter.wall),
                        task.epochs)


def _changes(project: Path, epochs: int, seed: int) -> dict[str, object]:
    """Settings of `distil`: all languages in every epoch, each from its own teacher alone."""
    from amtss.config.params import load_params
    from amtss.config.schema import TransformerTeacher
    from amtss.paths import Layout

    params = load_params(Layout(project).params)
    single = {params.taught_on(name): name for name, teacher in params.teachers.items()
              if isinstance(teacher, TransformerTeacher)}
    if lacking := [code for code in params.languages if (code,) not in single]:
        raise SystemExit(f"{project}: expected a transformer for each language alone, found none "
                         f"for {', '.join(lacking)}; make a project by bench/five_teachers.yaml")
    return {"max_epochs": epochs, "seed": seed, "top_k": len(params.languages), "weights": "own",
            "teachers": [single[(code,)] for code in params.languages], "temperature": 1.0,
            "margin_threshold": None, "labels_only": False}


def _side(name: str) -> Callable[..., None]:
    import training_peers as peers

    if name in ("amtss", "bare", "trainer"):
        return getattr(peers, name)  # type: ignore[no-any-return]
    if name == "trainer-best":
        return partial(peers.trainer, best=True)
    import training_textbrewer as textbrewer

    if name == "multiteacher":
        return textbrewer.multiteacher
    return partial(textbrewer.multitask, **{
        "textbrewer-max": {"to_max": True}, "textbrewer-longest": {},
        "textbrewer-best": {"by_hand": True},
        "textbrewer-bf16": {"by_hand": True, "precision": "bf16", "fused": True}}[name])


def measure(options: argparse.Namespace) -> list[Measured]:
    """All sides, round by round."""
    draw, results = random.Random(0), []
    with measuring.processes(options.jobs) as pool:
        order = [(side, number) for number in range(options.rounds)
                 for side in draw.sample(options.sides, len(options.sides))]
        waiting = [pool.submit(run, side, number, options.project, options.rows, options.epochs)
                   for side, number in sorted(order, key=lambda task: task[0] != SLOWEST)]
        for future in waiting:
            result = future.result()
            results.append(result)
            print(f"{result.side}, round {result.round}: {result.rate():.0f} examples per "
                  "CPU-second", flush=True)
    return results


def table(results: list[Measured]) -> str:
    """Each side's examples per CPU-second, and how many times as many amtss has in the same round;
    then its CPU-seconds to the accuracy that all sides of the round reach, beside amtss'.
    """
    lowest = {number: min(result.epochs[-1][1] for result in results if result.round == number)
              for number in {result.round for result in results}}
    rounds = {side: [result for result in results if result.side == side] for side in SIDES}
    own = rounds["amtss"]
    warm = ("training", "validation", "rest")
    lines = ["| side | training, ex/CPU-s | amtss' is times | whole job, ex/CPU-s "
             "| amtss' is times | amtss' rerun is times | validation accuracy "
             "| CPU s to the lowest | times amtss' |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for side, measured in rounds.items():
        if not measured:
            continue
        pairs = list(zip(own, measured, strict=True))
        cells = [spread([r.rate("training") for r in measured], 0),
                 spread([a.rate("training") / b.rate("training") for a, b in pairs]),
                 spread([r.rate() for r in measured], 0),
                 spread([a.rate() / b.rate() for a, b in pairs]),
                 spread([a.rate(*warm) / b.rate() for a, b in pairs]),
                 spread([r.epochs[-1][1] for r in measured]),
                 spread([r.until(lowest[r.round]) for r in measured], 0),
                 spread([b.until(lowest[b.round]) / a.until(lowest[b.round]) for a, b in pairs])]
        lines.append(f"| {SIDES[side]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1000, help="per language; 0 for all")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    options = parser.parse_args(arguments)
    results = measure(options)
    measuring.report(options, table(results), [asdict(result) for result in results])


if __name__ == "__main__":
    main()
