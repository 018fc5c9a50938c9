"""What the benchmarks of training share: options, one-thread processes, CPU-seconds, a report."""

import argparse
import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def parser(about: str | None) -> argparse.ArgumentParser:
    """With the options that all have."""
    made = argparse.ArgumentParser(description=about,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("project", type=Path, nargs="?", default=Path(),
                      help="a folder where `dvc repro` has ended")
    made.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                      help="processes at once, each with one thread")
    made.add_argument("--out", type=Path, default=None, help="JSON")
    return made


def processes(jobs: int) -> ProcessPoolExecutor:
    """A new process of one thread for every task."""
    from amtss.cli.main import quiet

    quiet()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1)


def tell(options: argparse.Namespace, text: str, found: Any) -> None:
    """Print the table; write what it was made from where that is asked for."""
    print(text)
    if options.out:
        options.out.write_text(json.dumps({"cores": len(os.sched_getaffinity(0)),
                                           "machine": processor(), "found": found}, indent=1)
                               + "\n", encoding="utf-8")


def table(title: str, found: Sequence[dict[str, Any]]) -> str:
    """A row for each of `found`, which have the same keys."""
    from amtss.table import NONE, Table, markdown

    return markdown(Table(title, tuple(found[0]), tuple(
        tuple(NONE if cell is None else str(cell) for cell in each.values()) for each in found)))


def processor() -> str:
    """The CPU's own name."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")),
                    platform.processor())


def crossing(epochs: Sequence[tuple[float, ...]], accuracy: float) -> tuple[float, ...] | None:
    """Where the last of an epoch's figures, its accuracy, reaches this one: all its figures, taken
    to grow evenly between two epochs' ends, and from 0 before the first; None where it does not.
    """
    for before, after in pairwise([(0.0,) * len(epochs[0]), *epochs]):
        if after[-1] >= accuracy:
            part = (accuracy - before[-1]) / (after[-1] - before[-1])
            return tuple(low + part * (high - low) for low, high in zip(before, after, strict=True))
    return None


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, and the least and most."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return (f"{statistics.median(values):,.{digits}f} "
            f"({min(values):,.{digits}f} to {max(values):,.{digits}f})")


@dataclass
class Meter:
    """Seconds by part; what is measured inside a part is not counted for it."""

    cpu: Counter[str] = field(default_factory=Counter)
    """Of this process, all its threads: what others do on the machine changes it little."""
    wall: Counter[str] = field(default_factory=Counter)
    _open: list[float] = field(default_factory=list)
    """Of each part that is being measured, the outermost first: when it began, less `cpu` then."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = [clock() - spent.total() for clock, spent in self._clocks()]
        self._open.append(began[0])
        yield
        self._open.pop()
        for (clock, spent), start in zip(self._clocks(), began, strict=True):
            spent[name] += clock() - start - spent.total()

    def so_far(self) -> float:
        """CPU-seconds of all parts up to now, those that are not over too, but for validation."""
        whole = time.process_time() - self._open[0] if self._open else self.cpu.total()
        return whole - self.cpu["validation"]

    def _clocks(self) -> Sequence[tuple[Any, Any]]:
        return (time.process_time, self.cpu), (time.perf_counter, self.wall)
