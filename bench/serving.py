"""Serving on a CPU: teachers, the student in PyTorch and its ONNX exports, on the same texts.

    python bench/serving.py [PROJECT] [--rounds 7] [--threads 1 4] [--large] [--out FILE.json]

prints the tables of docs/benchmarks.md. PROJECT (by default this folder) is one where `dvc repro`
has ended; its student and test texts are used. Students of the paper's size (width 200, four
layers) and teachers of XLM-R's sizes have random weights, which are as fast as trained ones.

Each side is a process; they take turns on the same cores. Ratios compare the same round; shown are
their median, lowest and highest. On one thread they are ratios of CPU time, so that other work on
the machine does not count.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from measuring import Batch
from numpy.typing import NDArray
from serving_sides import Side, Size, work
from serving_tables import tables

from amtss.cli.main import quiet
from amtss.data import corpus
from amtss.files import read_json, seal
from amtss.inference.export import Format
from amtss.paths import Layout
from amtss.table import markdown

BASE, LARGE = Size(12, 768, 12, 250_002), Size(24, 1024, 16, 250_002)
TEACHER = "teacher, XLM-R-base's size"
PYTORCH, INT8 = "student, PyTorch", "student, ONNX int8"
BATCHES = {1: 60, 32: 5}
"""Batch size -> batches per round."""
KINDS: dict[str, Format] = {"fp32": "onnx", "int8": "onnx-int8", "int4": "onnx-int4"}
"""Name in the tables -> format of the ONNX file."""
VOCABULARIES = {"": (250_002, KINDS), ", 63,000 tokens": (63_000, ("int8", "int4")),
                ", 30,000 tokens": (30_000, ("int8",))}
"""Suffix of a side's name -> tokens of a student of the paper's size, and its exports."""


def random_student(layout: Layout, tokens: int, folder: Path) -> Path:
    """A student of the paper's size, for the project's languages and labels."""
    import torch

    from amtss.config.schema import Student
    from amtss.student import model
    from amtss.tokenization.tokenizer import load_tokenizer

    config = read_json(layout.student / "config.json", dict[str, Any], "dvc repro", ours=False)
    torch.manual_seed(0)
    tokenizer = load_tokenizer(str(layout.student))
    model.build_student(Student(max_length=config["max_tokens"]), config["languages"],
                        list(config["id2label"].values()), tokens, tokenizer.pad_token_id
                  ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    seal(folder)
    return folder


def students(name: str, folder: Path, to: Path, kinds: Iterable[str] = KINDS) -> list[Side]:
    """The sides of a student and its exports."""
    from amtss.inference import export

    sides = [Side(f"{name}, PyTorch", "pytorch", folder)]
    for kind in kinds:
        export.export_onnx(folder, to / kind, KINDS[kind])
        sides.append(Side(f"{name}, ONNX {kind}", "onnx", to / kind))
    return sides


def prepare(layout: Layout, folder: Path, large: bool) -> list[Side]:
    """All sides, the slowest first."""
    sides = [Side("teacher, XLM-R-large's size", "teacher", layout.student, LARGE)] * large
    sides.append(Side(TEACHER, "teacher", layout.student, BASE))
    transformers = sorted(layout.teacher("").glob("*/config.json"))
    sides += [Side(f"teacher {path.parent.name} of the project", "teacher", path.parent)
              for path in transformers[:1]]
    for name, (tokens, kinds) in VOCABULARIES.items():
        target = folder / str(tokens)
        sides += students(f"student{name}", random_student(layout, tokens, target / "student"),
                          target, kinds)
    return sides + students("student of the project", layout.student, folder / "project")


Seconds = NDArray[np.float64]
"""Of each batch: wall-clock time and CPU time. *Shape:* (batches, 2)"""


@dataclass
class Worker:
    """A side's process."""

    side: Side
    process: Any
    pipe: Any

    def time(self, batches: Sequence[Batch], as_texts: bool) -> Seconds:
        """Seconds of each batch."""
        self.pipe.send((batches, as_texts))
        return np.array(self.pipe.recv())

    def end(self) -> tuple[int, int]:
        """End the process; its memory in bytes, resident and proportional."""
        self.pipe.send(None)
        memory: tuple[int, int] = self.pipe.recv()
        self.process.join()
        return memory


@contextmanager
def working(sides: Sequence[Side], threads: int, cores: Sequence[int]) -> Iterator[list[Worker]]:
    """A process for each side, with its model loaded."""
    context = multiprocessing.get_context("spawn")
    workers = []
    for side in sides:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(side, threads, cores, there), daemon=True)
        process.start()
        workers.append(Worker(side, process, here))
    try:
        for worker in workers:
            worker.pipe.recv()
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()


def languages(layout: Layout) -> list[str]:
    """The student's languages."""
    codes: list[str] = read_json(layout.student / "config.json", dict[str, Any], "dvc repro",
                                 ours=False)["languages"]
    return codes


def draw(layout: Layout, size: int, count: int, seed: int) -> list[Batch]:
    """Batches of test texts, languages taking turns."""
    return measuring.draw({code: corpus.load(layout, code).texts("test")[0]
                           for code in languages(layout)}, size, count, seed)


def measure(workers: Sequence[Worker], rounds: Sequence[Sequence[Batch]], as_texts: bool
            ) -> dict[str, list[Seconds]]:
    """Side -> seconds by round. Sides take turns; the first round is to warm up."""
    seconds_of: dict[str, list[Seconds]] = {worker.side.name: [] for worker in workers}
    for number, batches in enumerate(rounds):
        for worker in workers:
            seconds = worker.time(batches, as_texts)
            if number:
                seconds_of[worker.side.name].append(seconds)
    return seconds_of


def figures(seconds_of: dict[str, list[Seconds]], size: int, threads: int
            ) -> dict[str, dict[str, Any]]:
    """Latency (ms), texts per second, and how many times as many as others in the same round."""
    clock, cpu = ({name: [size * len(batches) / batches[:, column].sum() for batches in rounds]
                   for name, rounds in seconds_of.items()} for column in (0, 1))
    rates = cpu if threads == 1 else clock
    by_side = {}
    for name, rounds in seconds_of.items():
        pooled = np.concatenate(rounds)[:, 0] * 1000
        by_side[name] = {"p50": float(np.percentile(pooled, 50)),
                      "p99": float(np.percentile(pooled, 99)),
                      "texts_per_second": statistics.median(clock[name]),
                      "texts_per_cpu_second": statistics.median(cpu[name]),
                      "times": {other: spread(rates[name], rates[other])
                                for other in (TEACHER, f"{name.rpartition(',')[0]}, PyTorch")
                                if other in rates}}
    return by_side


def spread(rates: Sequence[float], others: Sequence[float]) -> list[float]:
    """Median, lowest and highest ratio."""
    ratios = sorted(one / other for one, other in zip(rates, others, strict=True))
    return [statistics.median(ratios), ratios[0], ratios[-1]]


def accuracies(layout: Layout, sides: Sequence[Side]) -> dict[str, dict[str, float]]:
    """Test accuracy of the project's student and its exports, in percent, by side and language."""
    from amtss.inference.onnx_predictor import OnnxPredictor
    from amtss.inference.pytorch_predictor import PytorchPredictor

    accuracy: dict[str, dict[str, float]] = {}
    for side in sides:
        predictor = (PytorchPredictor if side.kind == "pytorch" else OnnxPredictor)(side.folder)
        accuracy[side.name] = {}
        for code in predictor.languages:
            test = corpus.load(layout, code)
            right = (predictor.probabilities(*test.texts("test"), code).argmax(1)
                     == test.label_ids("test", predictor.labels))
            accuracy[side.name][code] = 100 * float(right.mean())
    return accuracy


def in_step(layout: Layout, sides: Sequence[Side], cores: Sequence[int], rounds: int, seed: int
            ) -> dict[str, Any]:
    """Texts of all languages one at a time, answered by a process for each side, all at once."""
    rates, busy = [], 0.0
    with working(sides, 1, cores) as workers:
        for number in range(rounds + 1):
            batches = draw(layout, 1, 12 * len(languages(layout)), seed + number)
            began = time.perf_counter()
            for at, worker in enumerate(workers):
                worker.pipe.send((batches[at::len(workers)], True))
            seconds = np.concatenate([worker.pipe.recv() for worker in workers])
            if number:
                rates.append(len(batches) / (time.perf_counter() - began))
                busy += seconds[:, 1].mean() / rounds
        return {"texts_per_second": statistics.median(rates), "cpu_ms": 1000 * busy,
                "pss": sum(worker.end()[1] for worker in workers)}


def machine() -> dict[str, Any]:
    """The machine and the versions of the libraries."""
    return {"cpu": measuring.processor(),
            "cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1),
            **{name: version(name) for name in ("torch", "onnxruntime", "transformers")}}


def run(layout: Layout, rounds: int, settings: Sequence[int], large: bool, seed: int
        ) -> dict[str, Any]:
    """All measurements."""
    cores = sorted(os.sched_getaffinity(0))
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds, "seed": seed, "runs": []}
    with tempfile.TemporaryDirectory(prefix="amtss-bench-") as folder:
        sides = prepare(layout, Path(folder), large)
        for threads in settings:
            with working(sides, threads, cores[-threads:]) as workers:
                for size, count in BATCHES.items():
                    batches = [draw(layout, size, count, seed + number)
                               for number in range(rounds + 1)]
                    for as_texts in (True, False):
                        print(f"{threads} threads, batches of {size}", file=sys.stderr)
                        results["runs"].append({
                            "threads": threads, "batch": size, "tokenising": as_texts,
                            "sides": figures(measure(workers, batches, as_texts), size, threads)})
                if threads == settings[0]:
                    results["sides"] = {worker.side.name: {"bytes": worker.side.bytes,
                                                        "rss": worker.end()[0]}
                                     for worker in workers}
        own = [side for side in sides if side.name.startswith("student of the project")]
        results["accuracy"] = accuracies(layout, own)
        by_name = {side.name: side for side in sides}
        counts = {TEACHER: len(languages(layout)), PYTORCH: 1, INT8: 1}
        results["processes"] = {f"{count} x {name}": in_step(layout, [by_name[name]] * count, cores,
                                                          rounds, seed)
                             for name, count in counts.items()}
    results["machine"]["load after"] = round(os.getloadavg()[0], 1)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, nargs="?", default=Path())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+",
                        default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true",
                        help="measure a teacher of XLM-R-large's size as well")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    quiet()
    results = run(Layout(options.project), options.rounds, options.threads, options.large,
                  options.seed)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results["machine"]))
    for table in tables(results):
        print(markdown(table))


if __name__ == "__main__":
    main()
