"""Where the time of a training step goes: CPU-milliseconds by part, and the share of this machine's
speed in matrix multiplication.

`python bench/training_profile.py [PROJECT] [--steps 60] [--rounds 3] [--out FILE.json]`, one
thread. Two students learn the project's texts from labels: the project's own, and one with the
paper's sizes and XLM-R's 250,002 tokens. Both train the rows of the embedding table that the texts
use, as amtss does; the second also with 100,000 rows and with the whole table.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from torch.nn import functional
from training_task import Task, cut, groups

from amtss.config.schema import Architecture
from amtss.distillation.embedding_rows import EmbeddingRows
from amtss.models import hardware
from amtss.student.model import build_student
from amtss.tokenization import tokens

PAPER = Architecture(layers=4, width=200, heads=4, feed_forward=800)
TOKENS = 250_002
SIDES = {"project": 0, "paper": 0, "paper, 100,000 rows": 100_000, "paper, whole table": TOKENS}
"""Side -> the least number of rows of the embedding table that it trains."""


def peak(dtype: torch.dtype, size: int = 2048, seconds: float = 2.0) -> float:
    """GFLOP per CPU-second in multiplying large square matrices."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    for _ in range(3):
        left @ right
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        left @ right
        count += 1
    return 2e-9 * size**3 * count / (time.process_time() - began)


def flops(model: Any, ids: Any) -> float:
    """FLOP of a step's matrix products in layers, padding included; heads are left out."""
    config, (size, length) = model.config.encoder, ids.shape
    width, layers = config.hidden_size, config.num_hidden_layers
    if not layers:
        return 0.0
    linear = layers * (4 * width**2 + 2 * width * config.intermediate_size) * size * length
    attention = layers * 2 * length**2 * width * size
    return 3 * 2 * float(linear + attention)  # backward is twice forward


def student(task: Task, side: str) -> tuple[Any, EmbeddingRows]:
    """A side's student and the rows of its embedding table that are trained."""
    model = task.student() if side == "project" else _paper(task)
    least = tokens.Tokens((np.arange(SIDES[side]),), np.array([0, SIDES[side]]))
    texts = [task.examples(split).tokens for split in ("train", "validation")]
    return model, EmbeddingRows(model, [*texts, least])


def _paper(task: Task) -> Any:
    torch.manual_seed(0)
    settings = task.params.student.model_copy(update={"architecture": PAPER})
    return build_student(settings, task.languages, task.labels, TOKENS,
                         task.tokenizer.pad_token_id)


def profile(task: Task, side: str, steps: int) -> dict[str, float]:
    """CPU-milliseconds of a step by part, and GFLOP of its matrix products."""
    train, pad = task.examples("train"), task.tokenizer.pad_token_id
    model, rows = student(task, side)
    precision = hardware.resolve(task.params.distil.precision)
    adam = torch.optim.AdamW(groups(model, task.params.distil.weight_decay), lr=1e-4, fused=True)
    batches = tokens.batches(train.tokens.lengths, task.params.distil.batch_size,
                             np.random.default_rng(0))
    total, meter = 0.0, measuring.Meter()
    for number, picked in zip(range(-3, steps), batches, strict=False):
        if not number:
            total, meter = 0.0, measuring.Meter()  # the steps before were to warm up
        with meter.part("batch"):
            ids, mask = train.tokens.padded(picked, pad)
            inputs = [torch.from_numpy(array)
                      for array in (rows.places[ids], mask, train.language[picked])]
        with meter.part("forward"), hardware.autocast(precision):
            logits = model(*inputs)
        with meter.part("backward"):
            labels = torch.from_numpy(train.labels[picked])
            functional.cross_entropy(logits.float(), labels).backward()
        with meter.part("clip"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with meter.part("optimiser"):
            adam.step()
            adam.zero_grad()
        total += flops(model, ids)
    return {**{part: 1e3 * spent / steps for part, spent in meter.cpu.items()},
            "GFLOP": 1e-9 * total / steps, "rows": len(rows)}


def table(results: dict[str, list[dict[str, float]]], peaks: dict[str, float]) -> str:
    parts = ("batch", "forward", "backward", "clip", "optimiser")
    lines = [f"| student | rows | {' | '.join(parts)} | step, CPU-ms | GFLOP | "
             "share of bf16 peak |",
             f"| --- |{' ---: |' * (len(parts) + 4)}"]
    for side, rounds in results.items():
        middle = {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        whole = sum(middle[part] for part in parts)
        share = middle["GFLOP"] / (1e-3 * whole * peaks["bf16"])
        cells = [f"{middle['rows']:,}", *(f"{middle[part]:.1f}" for part in parts), f"{whole:.1f}",
                 f"{middle['GFLOP']:.1f}", f"{share:.3f}"]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    hardware.keep_freed_memory()
    peaks = {"bf16": peak(torch.bfloat16), "fp32": peak(torch.float32)}
    results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        cut(options.project, Path(folder) / "project", 0, {})
        task = Task(Path(folder) / "project", measuring.Meter())
        for _ in range(options.rounds):
            for side in SIDES:
                results[side].append(profile(task, side, options.steps))
    print(f"peak, GFLOP per CPU-second: {peaks}")
    measuring.report(options, table(results, peaks), {"peaks": peaks, "parts": results})


if __name__ == "__main__":
    main()
