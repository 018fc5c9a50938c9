"""What trimming the student's vocabulary saves, and what it costs in accuracy.

`python bench/vocabulary.py [PROJECT] [--texts FOLDER ...] [--seeds 0 1 2] [--jobs 4] [--out
FILE.json]`, on a project with its teachers' logits, with the project's own settings. In place of
XLM-R's tokenizer, which knows general text, we train a Unigram tokenizer on `--texts`, folders of
JSON lines or Parquet files of other texts. Without them it is trained on all splits of the project:
then only words of validation and test are new to training, and there are no other languages. Each
side trains a student with this tokenizer, in full or trimmed.

The student of the full vocabulary is also trimmed after its training, to all tokens of the training
texts and as many others as the side says. Training texts are then tokenised as before, so that it
would have learnt the same from the same start: what it loses is due to trimming alone. Two students
trained from different initial weights differ by more than that.

Shapes: V tokens of a side, N test texts.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measuring
import numpy as np
from measuring import spread

if TYPE_CHECKING:
    from training_task import Task

COLUMNS = ("text", "premise", "hypothesis")
FULL = "full"
SIDES: dict[str, dict[str, Any]] = {FULL: {}, "trimmed": {"vocabulary": "trimmed"}}
LATER = {f"full, trimmed after training, `at_least: {size}`": size
         for size in (0, 30_000, 40_000, 63_000, 80_000)}
COUNTED: dict[str, dict[str, Any]] = {
    f"trimmed, `coverage: {share}, at_least: 0`":
        {"vocabulary": "trimmed", "trimming": {"coverage": share, "at_least": 0}}
    for share in (0.999, 0.99)}
"""Sides whose sizes are counted only; no student is trained."""


def stand_in(project: Path, folders: Sequence[Path], size: int, out: Path) -> None:
    """Write a tokenizer trained on the texts in `folders`, or else on all of the project's."""
    import pyarrow as pa
    from training_task import Task

    from amtss.data.corpus import Corpus
    from amtss.tokenization.tokenizer import train_tokenizer

    if folders:
        texts = [text for folder in folders for text in _texts(folder)]
    else:
        texts = [text for texts in Task(project, measuring.Meter()).corpora
                 for split in texts.splits for part in texts.texts(split) for text in part or ()]
    every = Corpus("all", {"train": pa.table({"text": texts})}, "", None)
    train_tokenizer([every], size).save_pretrained(out)


def _texts(folder: Path) -> Iterator[str]:
    from pyarrow import json, parquet

    for path in sorted(folder.iterdir()):
        if path.suffix in (".jsonl", ".parquet"):
            table = (json.read_json if path.suffix == ".jsonl" else parquet.read_table)(path)
            for name in COLUMNS:
                if name in table.column_names:
                    yield from table[name].to_pylist()


def prepared(project: Path, root: Path, tokenizer: Path, student: dict[str, Any],
             seed: int) -> "Task":
    """Make a project in `root` with the texts and teachers of `project` and the given tokenizer."""
    from training_task import Task

    from amtss.config import yaml
    from amtss.config.params import load_params
    from amtss.paths import Layout
    from amtss.student import start

    source, target = Layout(project), Layout(root)
    values = load_params(source.params).model_dump(mode="json")
    kept = {key: values["student"][key] for key in ("architecture", "heads", "dropout",
                                                    "max_length")}
    values["student"] = kept | {"tokenizer": str(tokenizer)} | student
    values["distil"]["seed"] = seed
    target.artifacts.mkdir(parents=True)
    target.params.write_text(yaml.dump(values), encoding="utf-8")
    for name in ("gate.json", "data", "teachers", "logits"):
        (target.artifacts / name).symlink_to((source.artifacts / name).resolve())
    task = Task(root, measuring.Meter())
    with task.meter.part("start"):
        start.start(task.params, target)
    return task


def run(project: Path, tokenizer: Path, side: str, seed: int) -> list[dict[str, Any]]:
    """Train a side's student and measure it; the full one also after it was trimmed."""
    import torch

    from amtss.distillation import algorithm1
    from amtss.student.model import StudentModel

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        task = prepared(project, Path(place) / "trained", tokenizer, SIDES[side], seed)

        def on_epoch(row: dict[str, Any]) -> None:
            print(f"{side}, seed {seed}, epoch {row['epoch']}: {row['average']:.2f}", flush=True)

        with task.meter.part("distil"):
            algorithm1.distil(task.params, task.layout, on_epoch)
        model = StudentModel.from_pretrained(task.layout.student)
        results = [about(task, side, seed, tokenizer) | accuracies(task, model)]
        weights = model.encoder.get_input_embeddings().weight.detach()
        for name, size in LATER.items() if side == FULL else ():
            later = prepared(project, Path(place) / str(size), tokenizer, {
                "vocabulary": "trimmed", "trimming": {"coverage": 1.0, "at_least": size}}, seed)
            if len(later.tokenizer) == results[-1]["tokens"]:
                continue
            model.encoder.get_input_embeddings().weight = torch.nn.Parameter(
                weights[former(later.tokenizer, task.tokenizer)])
            results.append(about(later, name, seed, tokenizer) | accuracies(later, model))
    for result in results:
        print(f"{result['side']}, seed {seed}: test {result['test']:.2f}", flush=True)
    return results


def former(trimmed: Any, full: Any) -> Any:
    """For each token of `trimmed` its id in `full`. *Shape:* (V,)"""
    return np.array(full.convert_tokens_to_ids(
        trimmed.convert_ids_to_tokens(list(range(len(trimmed))))))


def about(task: "Task", side: str, seed: int, tokenizer: Path) -> dict[str, Any]:
    """A side's sizes, and the test texts that it tokenises otherwise than the full tokenizer."""
    import torch

    from amtss.config.schema import Student
    from amtss.distillation.examples import examples
    from amtss.student.model import build_student
    from amtss.tokenization import encoding
    from amtss.tokenization.tokenizer import load_tokenizer

    full = load_tokenizer(str(tokenizer))
    paper = task.params.student.model_copy(
        update={"architecture": Student.model_fields["architecture"].default})
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in build_student(
            settings, task.languages, task.labels, len(task.tokenizer),
            task.tokenizer.pad_token_id).parameters()) for settings in (task.params.student, paper)]
    own, ids = task.examples("test").tokens, former(task.tokenizer, full)
    cache = encoding.Cache(task.root / "full", full, task.params.student.max_length)
    before = examples(cache, task.corpora, ("test",), task.labels).tokens
    return {"side": side, "seed": seed, "tokens": len(task.tokenizer), "parameters": sizes[0],
            "paper": sizes[1], "cpu": sum(task.meter.cpu.values()), "otherwise": np.array([
                not np.array_equal(ids[own[row]["input_ids"]], before[row]["input_ids"])
                for row in range(len(own))])}


def accuracies(task: "Task", model: Any) -> dict[str, Any]:
    """Mean accuracy in percent on validation and test, and which test rows are right."""
    figures: dict[str, Any] = {}
    for split in ("validation", "test"):
        data = task.examples(split)
        right = task.right(model, data)
        figures |= {"right": right, split: task.average(right, data)}
    return figures


def counted(project: Path, tokenizer: Path, side: str) -> dict[str, Any]:
    """A side's sizes."""
    with tempfile.TemporaryDirectory() as place:
        return about(prepared(project, Path(place) / "counted", tokenizer, COUNTED[side], 0),
                     side, 0, tokenizer)


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as place, measuring.processes(options.jobs) as pool:
        tokenizer = Path(place) / "tokenizer"
        pool.submit(stand_in, options.project, options.texts, options.tokens, tokenizer).result()
        waiting = [pool.submit(run, options.project, tokenizer, side, seed)
                   for seed in options.seeds for side in (FULL, *options.sides)]
        counting = [pool.submit(counted, options.project, tokenizer, side) for side in COUNTED]
        results = [result for future in waiting for result in future.result()]
        return {"trained": compared(results), "counted": [
            future.result() | {"otherwise": None} for future in counting]}


def compared(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each result with its gain over the full vocabulary of the same seed, in points: on all test
    texts and on those that it tokenises otherwise. "texts" is the standard error of a side's mean
    gain over the draw of texts."""
    full = {result["seed"]: result for result in results if result["side"] == FULL}
    rows = []
    for result in results:
        others = [other for other in results if other["side"] == result["side"]]
        gains = 100 * np.mean([other["right"] * 1.0 - full[other["seed"]]["right"]
                               for other in others], axis=0)
        right, before = result["right"], full[result["seed"]]["right"]
        changed = result["otherwise"]
        rows.append({key: value for key, value in result.items() if key != "right"} | {
            "gain": result["test"] - full[result["seed"]]["test"],
            "texts": float(gains.std(ddof=1) / len(gains) ** 0.5),
            "otherwise": 100 * float(changed.mean()),
            "those": [100 * float(part[changed].mean())
                      for part in (right, before)] if any(changed) else []})
    return rows


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| vocabulary | tokens | parameters | of the paper's size | validation | test "
             "| minus full | its mean | standard error: seeds | texts "
             "| split otherwise | of those right | in full | CPU s |",
             f"| --- |{' ---: |' * 13}"]
    for side in dict.fromkeys(row["side"] for part in results.values() for row in part):
        own = [row for part in results.values() for row in part if row["side"] == side]
        sizes = (f"| {side} | {own[0]['tokens']:,} | {own[0]['parameters'] / 1e6:.1f}M "
                 f"| {own[0]['paper'] / 1e6:.1f}M |")
        if side in COUNTED:
            lines.append(sizes + " |" * 10)
            continue
        cells = [spread([row[key] for row in own]) for key in ("validation", "test", "gain")]
        gains = [row["gain"] for row in own]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        cells += [f"{statistics.fmean(gains):+.2f}", f"{error:.2f}", f"{own[0]['texts']:.2f}",
                  f"{own[0]['otherwise']:.1f}%"] if side != FULL else [""] * 4
        cells += ([f"{statistics.fmean(row['those'][part] for row in own):.2f}" for part in (0, 1)]
                  if own[0]["those"] else ["", ""])
        cells += ["" if side in LATER else spread([row["cpu"] for row in own], 0)]
        lines.append(f"{sizes} {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--texts", type=Path, nargs="+", default=[])
    parser.add_argument("--tokens", type=int, default=150_000,
                        help="most tokens of the trained tokenizer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="*", default=list(SIDES)[1:], choices=list(SIDES)[1:],
                        help="sides trained besides the full vocabulary; by default all")
    options = parser.parse_args(arguments)
    results = measure(options)
    measuring.report(options, table(results), results)


if __name__ == "__main__":
    main()
