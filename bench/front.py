"""Accuracy against CPU time: our students and what users pick instead, on MASSIVE's test texts.

    python bench/front.py STUDENT --static STUDENT --data FOLDER [--encoder E5] [--work FOLDER]
        [--rounds 5] [--out FILE.json] [--picture FILE.svg]

prints a table and draws a picture. The students have learnt the scenarios of MASSIVE; FOLDER has
its `{language}/{split}.jsonl`, E5 is a checkpoint of multilingual-e5-small. A side whose library is
not installed is left out, with a line that says so; `pip install --group bench` installs them.

CPU microseconds per text are of one thread and include tokenising. Each side takes turns with our
transformer in int8; other work on the machine changes the ratio of the same round little. A side
that is finished lies with its models in `--work`, so that the same command goes on where it was
interrupted; delete that folder to begin anew.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import measuring
from front_peers import by_fasttext, by_look_up, by_words
from front_students import Answer, Task, by_onnx, by_openvino, by_pytorch, by_static_onnx
from matplotlib import rc_context

from amtss.files import fingerprint, write_text
from amtss.plot import BLUE, DARK, ORANGE, STYLE, panels
from amtss.table import NONE, Best, Table, markdown

LANGUAGES = ("ar", "en", "es", "fr", "ru")
BATCHES = {1: 200, 32: 10}
"""Batch size -> batches per round."""
BUDGETS = (20, 50, 100, 200, 500, 1000)  # CPU microseconds per text


@dataclass(frozen=True)
class Side:
    """A model to measure. `load` gives its answers and its bytes on disk."""

    load: Callable[[Task], tuple[Answer, int]]
    needs: tuple[str, ...] = ()
    """Modules that the project does not depend on."""
    ours: bool = False


REFERENCE = "our transformer, ONNX int8"
"""The side that all others take turns with."""
SIDES = {
    REFERENCE: Side(partial(by_onnx, folder="student", format="onnx-int8"), ours=True),
    "our transformer, ONNX fp32": Side(partial(by_onnx, folder="student", format="onnx"),
                                       ours=True),
    "our transformer, PyTorch": Side(partial(by_pytorch, folder="student"), ours=True),
    "our static student, ONNX int8": Side(partial(by_onnx, folder="static", format="onnx-int8"),
                                          ours=True),
    "our static student, ONNX fp32": Side(partial(by_onnx, folder="static", format="onnx"),
                                          ours=True),
    "our static student, PyTorch": Side(partial(by_pytorch, folder="static"), ours=True),
    "transformer, torch.compile": Side(partial(by_pytorch, folder="student", compiled=True)),
    "transformer, onnxruntime static int8": Side(by_static_onnx),
    "transformer, OpenVINO fp32": Side(partial(by_openvino, kind="fp32"), ("openvino",)),
    "transformer, OpenVINO dynamic int8": Side(partial(by_openvino, kind="dynamic"),
                                               ("openvino", "nncf")),
    "transformer, OpenVINO static int8": Side(partial(by_openvino, kind="static"),
                                              ("openvino", "nncf")),
    "fastText": Side(by_fasttext, ("fasttext",)),
    "TF-IDF, linear SVM": Side(by_words),
    "Model2Vec, logistic regression": Side(by_look_up, ("model2vec",)),
}
"""Name -> side."""


def work(name: str, task: Task, priority: int, pipe: Connection) -> None:
    """Load a side; send its accuracy in percent and its bytes; then answer what comes.

    To batches: CPU microseconds per text. To None: end.
    """
    answer, size = SIDES[name].load(task)
    if priority:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    pipe.send((_accuracy(answer, task), size))
    while (batches := pipe.recv()) is not None:
        began = time.process_time()
        for language, texts in batches:
            answer(language, texts)
        pipe.send(1e6 * (time.process_time() - began) / sum(len(texts) for _, texts in batches))


def _accuracy(answer: Answer, task: Task, size: int = 32) -> float:
    """Of all test texts, which have the same number in each language."""
    right = []
    for language in task.languages:
        texts, labels = task.read(language, "test")
        for start in range(0, len(texts), size):
            batch = slice(start, start + size)
            right += [one == other for one, other
                      in zip(answer(language, texts[batch]), labels[batch], strict=True)]
    return 100 * sum(right) / len(right)


@contextmanager
def working(name: str, task: Task, priority: int) -> Iterator[tuple[Connection, float, int]]:
    """A process for a side: where to send batches, its accuracy and its bytes."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(name, task, priority, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here, *here.recv()
        here.send(None)
        process.join()
    finally:
        process.kill()


def measure(pipe: Connection, reference: Connection, task: Task, rounds: int
            ) -> dict[str, dict[str, list[float]]]:
    """Batch size -> microseconds of the side and of the reference by round. The first round is to
    warm up."""
    figures: dict[str, dict[str, list[float]]] = {}
    texts = {code: task.read(code, "test")[0] for code in task.languages}
    for size, count in BATCHES.items():
        taken = []
        for number in range(rounds + 1):
            batches = measuring.draw(texts, size, count, number)
            for side in (reference, pipe):
                side.send(batches)
                taken.append(side.recv())
        figures[str(size)] = {"us": taken[3::2], "reference": taken[2::2]}
    return figures


def run(task: Task, rounds: int, priority: int, wanted: Sequence[str]
        ) -> dict[str, dict[str, Any]]:
    """Figures by side; written to the work folder after each, and those that it has are kept."""
    done = task.work / "figures.json"
    sides: dict[str, Any] = json.loads(done.read_text("utf-8")) if done.exists() else {}
    left = [name for name in wanted if name not in sides and usable(name, task)]
    if not left:
        return sides
    with working(REFERENCE, task, priority) as (reference, *_):
        for name in left:
            print(name, file=sys.stderr)
            with working(name, task, priority) as (pipe, accuracy, size):
                sides[name] = {"accuracy": accuracy, "bytes": size,
                               **measure(pipe, reference, task, rounds)}
            write_text(done, json.dumps(sides, indent=1))
    return sides


def usable(name: str, task: Task) -> bool:
    """Whether a side can be measured; if not, say why."""
    missing = [module for module in SIDES[name].needs if not find_spec(module)]
    if missing:
        print(f"left out: {name}: expected {' and '.join(missing)}, found none; "
              "pip install --group bench", file=sys.stderr)
    elif SIDES[name].load is by_look_up and task.encoder is None:
        print(f"left out: {name}: expected a checkpoint, found none; name it in --encoder",
              file=sys.stderr)
        return False
    return not missing


def best(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of the points (cost, accuracy) no other one beats: none is as cheap and as accurate,
    and better in one of the two."""
    return [not any(other != point and other[0] <= point[0] and other[1] >= point[1]
                    for other in points) for point in points]


def times(side: dict[str, Any], size: int) -> list[float]:
    """How many times the reference's microseconds a side takes, by round."""
    return [own / other for own, other
            in zip(side[str(size)]["us"], side[str(size)]["reference"], strict=True)]


def points(sides: dict[str, dict[str, Any]], size: int) -> dict[str, tuple[float, float]]:
    """Microseconds per text and accuracy of each side. The former are the reference's, times a
    side's median share in the same round, so that a busy moment counts for all sides alike."""
    reference = statistics.median(
        figure for side in sides.values() for figure in side[str(size)]["reference"])
    return {name: (reference * statistics.median(times(side, size)), side["accuracy"])
            for name, side in sides.items()}


def ranked(sides: dict[str, dict[str, Any]]) -> list[str]:
    """The names of the sides, the most accurate first."""
    return sorted(sides, key=lambda name: -sides[name]["accuracy"])


def table(sides: dict[str, dict[str, Any]]) -> Table:
    """Microseconds on the front are bold."""
    found = {size: points(sides, size) for size in BATCHES}
    fronts = {size: dict(zip(sides, best([*found[size].values()]), strict=True))
              for size in BATCHES}
    rows = []
    for number, name in enumerate(ranked(sides), 1):
        side = sides[name]
        row = [f"{number}  {name}", f"{side['bytes'] / 1e6:,.1f}", f"{side['accuracy']:.2f}"]
        for size in BATCHES:
            cost = f"{found[size][name][0]:,.0f}"
            row += [Best(cost) if fronts[size][name] else cost,
                    measuring.spread(times(side, size))]
        rows.append(tuple(row))
    return Table("Accuracy and CPU microseconds per text, one thread; the front in bold",
                 ("", "file, MB", "accuracy", *(column for size in BATCHES for column in
                                                (f"us, batch of {size}", "times our int8"))),
                 tuple(rows))


def budgets(sides: dict[str, dict[str, Any]]) -> Table:
    """The most accurate side that each budget pays for."""
    rows = []
    for budget in BUDGETS:
        row = [f"{budget:,}"]
        for size in BATCHES:
            paid = [(accuracy, -cost, name) for name, (cost, accuracy)
                    in points(sides, size).items() if cost <= budget]
            row.append("{2}, {0:.2f}".format(*max(paid)) if paid else NONE)
        rows.append(tuple(row))
    return Table("The most accurate side for a budget of CPU microseconds per text",
                 ("budget", *(f"batches of {size}" for size in BATCHES)), tuple(rows))


@rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": "front"})
def picture(sides: dict[str, dict[str, Any]], to: Path) -> None:
    """A panel for each batch size; a line joins the front. Numbers are rows of the table."""
    names = ranked(sides)
    figure, axes = panels(len(BATCHES), 3.3, 3.4, 2, sharey=True)
    for size, panel in zip(BATCHES, axes, strict=True):
        found = points(sides, size)
        where = [found[name] for name in names]
        panel.set(xscale="log", title=f"Batches of {size}", xlabel="CPU microseconds per text")
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.plot(*zip(*sorted(point for point, on in zip(where, best(where), strict=True) if on),
                        strict=True), color=DARK, linewidth=0.8, zorder=0)
        above = {point: rank % 2 == 0 for rank, point in enumerate(sorted(where))}
        for number, (name, point) in enumerate(zip(names, where, strict=True), 1):
            panel.plot(*point, "o", markersize=5, color=BLUE if SIDES[name].ours else ORANGE,
                       label=f"{number}  {name}" if panel is axes[0] else None)
            panel.annotate(str(number), point, (0, 5 if above[point] else -12), ha="center",
                           textcoords="offset points", fontsize=8, color=DARK)
        panel.margins(0.08, 0.1)
    axes[0].set_ylabel("accuracy, %")
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(to, metadata={"Date": None} if to.suffix == ".svg" else None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path)
    parser.add_argument("--static", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=Path("artifacts/front"),
                        help="exports and trained models, kept between runs")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="SIDE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--priority", type=int, default=0,
                        help="of the measuring processes, such as -5; 0 leaves it as it is")
    parser.add_argument("--out", type=Path, default=None, help="write the figures to a JSON file")
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    students = ((folder / "checksums.json").read_bytes()
                for folder in (options.student, options.static))
    work_folder = options.work / fingerprint(*students, options.rounds)
    work_folder.mkdir(parents=True, exist_ok=True)
    task = Task(options.student, options.static, options.data, options.encoder, work_folder,
                LANGUAGES)
    sides = run(task, options.rounds, options.priority, options.sides)
    measuring.report(options, "\n".join(map(markdown, (table(sides), budgets(sides)))), sides)
    if options.picture:
        picture(sides, options.picture)


if __name__ == "__main__":
    main()
