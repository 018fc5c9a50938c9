"""For all benchmarks: command-line options, one-thread processes, CPU-seconds, the report."""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Batch = tuple[str, list[str]]
"""A language and texts of it, answered together."""


def parser(about: str | None, folder: str = "a folder where `dvc repro` has ended"
           ) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks of training have; `folder` is what they read.
    """
    parser = argparse.ArgumentParser(description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=Path(), help=folder)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                        help="processes at once, each with one thread")
    parser.add_argument("--out", type=Path, default=None, help="write the figures to a JSON file")
    return parser


def processes(jobs: int) -> ProcessPoolExecutor:
    """A pool with a new one-thread process for each task."""
    from amtss.cli.main import quiet

    quiet()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1)


def report(options: argparse.Namespace, text: str, figures: Any) -> None:
    """Print the table; write its figures and the machine to the file of `--out`, if given."""
    print(text)
    if options.out:
        options.out.write_text(json.dumps({"cores": len(os.sched_getaffinity(0)),
                                           "machine": processor(), "found": figures}, indent=1)
                               + "\n", encoding="utf-8")


def draw(texts: Mapping[str, Sequence[str]], size: int, count: int, seed: int) -> list[Batch]:
    """Batches of texts, languages taking turns.

    Args:
        texts: language -> what to draw from.
    """
    chosen = random.Random(seed)
    return [(code, chosen.sample(texts[code], size)) for code in islice(cycle(texts), count)]


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table; all rows have the same keys, the columns."""
    from amtss.table import NONE, Table, markdown

    return markdown(Table(title, tuple(rows[0]), tuple(
        tuple(NONE if cell is None else str(cell) for cell in row.values()) for row in rows)))


def processor() -> str:
    """Name of the CPU."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")),
                    platform.processor())


def crossing(epochs: Sequence[tuple[float, ...]], accuracy: float) -> tuple[float, ...] | None:
    """The figures at the moment when the accuracy was first reached.

    Args:
        epochs: figures at each epoch's end, the accuracy last. All are 0 at the start and taken to
            grow evenly in between.

    Returns: None if the accuracy was never reached.
    """
    for before, after in pairwise([(0.0,) * len(epochs[0]), *epochs]):
        if after[-1] >= accuracy:
            part = (accuracy - before[-1]) / (after[-1] - before[-1])
            return tuple(low + part * (high - low) for low, high in zip(before, after, strict=True))
    return None


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (lowest to highest)`."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return (f"{statistics.median(values):,.{digits}f} "
            f"({min(values):,.{digits}f} to {max(values):,.{digits}f})")


@dataclass
class Meter:
    """Seconds by part. A part measured inside another one is not counted for the outer one."""

    cpu: Counter[str] = field(default_factory=Counter)
    """CPU-seconds of this process; other work on the machine changes them little."""
    wall: Counter[str] = field(default_factory=Counter)
    _open: list[float] = field(default_factory=list)
    """For each open part, outermost first: process time at its start minus all of `cpu` then."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = [clock() - spent.total() for clock, spent in self._clocks()]
        self._open.append(began[0])
        yield
        self._open.pop()
        for (clock, spent), start in zip(self._clocks(), began, strict=True):
            spent[name] += clock() - start - spent.total()

    def so_far(self) -> float:
        """CPU-seconds of all parts up to now, open ones included, validation excluded."""
        whole = time.process_time() - self._open[0] if self._open else self.cpu.total()
        return whole - self.cpu["validation"]

    def _clocks(self) -> Sequence[tuple[Any, Any]]:
        return (time.process_time, self.cpu), (time.perf_counter, self.wall)
