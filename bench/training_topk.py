"""Examples and time to an accuracy: Algorithm 1 with top-k against all languages in every epoch.

`python bench/training_topk.py [PROJECT] [--seeds 0 1] [--rows 0] [--jobs 4] [--out FILE.json]`, on
a project where `dvc repro` has ended, with its own settings except `distil.top_k`. The goal is a
share of the validation accuracy of the languages' own teachers, averaged over languages. Between
two epochs accuracy is taken to grow evenly.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring
from measuring import spread

SHARES = (0.95, 0.97, 0.99)


def run(project: Path, rows: int, top_k: int, seed: int) -> dict[str, Any]:
    """One distillation: examples, CPU-seconds and validation accuracy after each epoch."""
    import torch
    from training_task import Task, cut

    from amtss.distillation import algorithm1, importance
    from amtss.logits import pool, score

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        cut(project, root, rows, {"top_k": top_k, "seed": seed, "margin_threshold": None})
        task = Task(root, measuring.Meter())
        if rows:
            for name in task.params.pool:
                score.score(task.params, task.layout, name)
        else:
            (root / "artifacts" / "logits").symlink_to((project / "artifacts" / "logits").resolve())
        teachers = pool.load(task.params, task.layout, task.corpora, task.labels, task.params.pool)
        own = importance.fit(teachers, "own")
        target = statistics.fmean(float(members.accuracy() @ list(own[code].values()))
                                  for code, members in teachers.items())
        began, epochs = time.process_time(), [(0, 0.0, 0.0)]

        def on_epoch(row: dict[str, Any]) -> None:
            examples, seconds = epochs[-1][0] + row["examples"], time.process_time() - began
            epochs.append((examples, seconds, row["average"]))
            print(f"top-k {top_k}, seed {seed}: {examples} examples, {seconds:.0f} CPU s, "
                  f"{row['average']:.2f}", flush=True)

        algorithm1.distil(task.params, task.layout, on_epoch)
        return {"top_k": top_k, "seed": seed, "teachers": 100 * target, "epochs": epochs}


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| top-k | share of the teachers' accuracy | examples | CPU s "
             "| accuracy after the last epoch | all its examples |",
             "| ---: | ---: | ---: | ---: | ---: | ---: |"]
    for share in SHARES:
        for top_k in sorted({result["top_k"] for result in results}):
            own = [result for result in results if result["top_k"] == top_k]
            hits = [hit[:2] for result in own
                    if (hit := measuring.crossing(result["epochs"], share * result["teachers"]))]
            last = [result["epochs"][-1] for result in own]
            cells = [spread(column, 0) for column in zip(*hits, strict=True)]
            if len(hits) < len(own):
                cells = [f"not reached by {len(own) - len(hits)} of {len(own)}", ""]
            lines.append(f"| {top_k} | {share:.2f} | {' | '.join(cells)} "
                         f"| {statistics.fmean(epoch[2] for epoch in last):.2f} "
                         f"| {last[0][0]:,} |")
    return "\n".join(lines) + "\n"


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    from amtss.config.params import load_params
    from amtss.paths import Layout

    params = load_params(Layout(options.project).params)
    with measuring.processes(options.jobs) as pool:
        waiting = [pool.submit(run, options.project, options.rows, top_k, seed)
                   for seed in options.seeds
                   for top_k in (len(params.languages), params.distil.top_k)]
        return [future.result() for future in waiting]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", type=int, default=0, help="per language; 0 for all")
    options = parser.parse_args(arguments)
    results = measure(options)
    print(f"teachers' validation accuracy: {results[0]['teachers']:.2f}")
    measuring.report(options, table(results), results)


if __name__ == "__main__":
    main()
