"""Cached distillation against what a user would pick instead: CPU-seconds for the same student.

`python bench/training.py [PROJECT] [--rows 1000] [--epochs 6] [--rounds 2] [--jobs 4]
[--out FILE.json]`, on a project that `dvc repro` has finished. All sides have the same student and
first weights, teachers (each language's own), texts, batch size, learning rates, loss and epochs. A
round is all sides in random order, but for the dearest, which begins, so that no core waits for it
at the end; each is a process of its own with one thread, and the round's number is its seed.
CPU-seconds are the process's own: other work on the machine changes them little.
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
DEAREST = "multiteacher"


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
    """After each: CPU-seconds so far without validation, and validation accuracy, in points."""

    def rate(self, *parts: str) -> float:
        """Examples per CPU-second of `parts`, of the whole job where none are named."""
        return self.examples / sum(self.cpu.get(part, 0.0) for part in parts or self.cpu)

    def until(self, accuracy: float) -> float:
        """CPU-seconds to that."""
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
        count = sum(len(each["train"]) for each in task.corpora)
        return Measured(side, number, count * epochs, dict(task.meter.cpu), dict(task.meter.wall),
                        task.epochs)


def _changes(project: Path, epochs: int, seed: int) -> dict[str, object]:
    """Of `distil`: every language every epoch, from its own teacher alone."""
    from amtss.config.params import load_params
    from amtss.paths import Layout

    params = load_params(Layout(project).params)
    single = {params.taught_on(name): name for name in params.teachers}
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
    draw, found = random.Random(0), []
    with measuring.processes(options.jobs) as pool:
        order = [(side, number) for number in range(options.rounds)
                 for side in draw.sample(options.sides, len(options.sides))]
        waiting = [pool.submit(run, side, number, options.project, options.rows, options.epochs)
                   for side, number in sorted(order, key=lambda each: each[0] != DEAREST)]
        for each in waiting:
            found.append(each.result())
            print(f"{found[-1].side}, round {found[-1].round}: {found[-1].rate():.0f} examples "
                  "per CPU-second", flush=True)
    return found


def table(found: list[Measured]) -> str:
    """Rates, and how many times each of them amtss has, round by round; and how many times as long
    each takes to the accuracy that all sides of the round reach.
    """
    lowest = {number: min(each.epochs[-1][1] for each in found if each.round == number)
              for number in {each.round for each in found}}
    rounds = {side: [each for each in found if each.side == side] for side in SIDES}
    own = rounds["amtss"]
    warm = ("training", "validation", "rest")
    lines = ["| side | training, ex/CPU-s | amtss' is times | whole job, ex/CPU-s "
             "| amtss' is times | amtss' rerun is times | validation accuracy "
             "| CPU s to the lowest | times amtss' |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for side, each in rounds.items():
        if not each:
            continue
        pairs = list(zip(own, each, strict=True))
        cells = [spread([r.rate("training") for r in each], 0),
                 spread([a.rate("training") / b.rate("training") for a, b in pairs]),
                 spread([r.rate() for r in each], 0),
                 spread([a.rate() / b.rate() for a, b in pairs]),
                 spread([a.rate(*warm) / b.rate() for a, b in pairs]),
                 spread([r.epochs[-1][1] for r in each]),
                 spread([r.until(lowest[r.round]) for r in each], 0),
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
    found = measure(options)
    measuring.tell(options, table(found), [asdict(each) for each in found])


if __name__ == "__main__":
    main()
