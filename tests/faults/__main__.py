"""Try faults and count them.

    PYTHONPATH=tests python -m faults [PART ...] [--seed 0] [--minutes 5] [--out FILE.json]

Parts: kills, changes (of the registry), onboarding, artifacts, cache, checkpoints, registered, dvc,
stages and pairs (two at once), tracking, environments, path, full. A line is printed for each try;
at the end the tables of docs/reliability.md. With --quick kills and artifacts try only a few.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from amtss.cli.main import quiet
from amtss.table import Table, markdown
from faults import corruptions, crowds, kills, surroundings
from faults.lab import Enough, Lab, Try

ALL, QUICK = list(kills.KILLS), ["SIGKILL to all"]
Part = Callable[[Lab, argparse.Namespace], object]
PARTS: dict[str, Part] = {
    "kills": lambda lab, of: kills.repro(
        lab, list(kills.all_stages(lab)) if not of.quick else ["distil"],
        ALL * of.rounds if not of.quick else QUICK),
    "changes": lambda lab, of: kills.lifecycle(lab, ["register", "promote", "rollback"], ALL,
                                               of.rounds),
    "onboarding": lambda lab, of: kills.lifecycle(lab, ["onboard-language"], ALL, of.rounds),
    "artifacts": lambda lab, of: corruptions.artifacts(lab, 5 if of.quick else 0),
    "cache": lambda lab, of: corruptions.cache(lab),
    "checkpoints": lambda lab, of: corruptions.checkpoints(lab),
    "registered": lambda lab, of: corruptions.registered(lab),
    "dvc": lambda lab, of: corruptions.by_dvc(lab),
    "stages": lambda lab, of: crowds.stages(lab, of.rounds),
    "pairs": lambda lab, of: [crowds.changes(lab, of.rounds), crowds.repro(lab, of.rounds),
                              crowds.onboarding(lab)],
    "tracking": lambda lab, of: surroundings.tracking(lab),
    "environments": lambda lab, of: surroundings.environments(lab),
    "path": lambda lab, of: surroundings.path(lab),
    "full": lambda lab, of: surroundings.full(lab)}
NAMES = {"kill": "Kills", "corruption": "Corruptions", "two at once": "Two at once",
         "surroundings": "Surroundings"}


def main(arguments: Sequence[str] | None = None) -> list[Try]:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="tries of each kill and each pair")
    parser.add_argument("--minutes", type=float, default=math.inf, help="at most, for each part")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--folder", type=Path, help="keep the project here, for the next campaign")
    options = parser.parse_args(arguments)
    quiet()
    os.environ["HF_HUB_OFFLINE"] = "1"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="amtss-faults-") as folder:
        lab = Lab((options.folder or Path(folder)).resolve(), options.seed)
        lab.prepare(*([] if options.quick else ["candidate"]))
        for part in options.parts or PARTS:
            lab.ends = time.monotonic() + 60 * options.minutes
            with contextlib.suppress(Enough):
                PARTS[part](lab, options)
            if options.out:
                _write(options, lab.tries, time.monotonic() - began)
    print(tables(lab.tries))
    return lab.tries


def _write(options: argparse.Namespace, tries: Sequence[Try], seconds: float) -> None:
    """Write the tries, the command that repeats them, and the machine."""
    options.out.write_text(json.dumps({
        "parts": options.parts or list(PARTS), "seed": options.seed, "rounds": options.rounds,
        "minutes for each": options.minutes, "seconds": round(seconds),
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)), "tries": [asdict(each) for each in tries]},
        indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def tables(tries: Sequence[Try]) -> str:
    """Markdown: how the tries ended, by what they hit; then each fault that was found."""
    parts = []
    for name, title in NAMES.items():
        of = [each for each in tries if each.part == name]
        if not of:
            continue
        endings = list(dict.fromkeys(each.how for each in of if each.good))
        counts = Counter((each.target, each.how if each.good else "faults") for each in of)
        targets = list(dict.fromkeys(each.target for each in of))
        columns = [*endings, "faults"]
        rows = [(target, str(sum(counts[target, column] for column in columns)),
                 *(str(counts[target, column] or "–") for column in columns))
                for target in targets]
        rows.append(("all", str(len(of)), *(str(sum(counts[target, column] for target in targets)
                                                or "–") for column in columns)))
        parts.append(markdown(Table(title, ("", "tried", *columns), tuple(rows))))
    wrong = [f"- {each.target}, {each.fault}: {each.how}" for each in tries if not each.good]
    return "\n".join([*parts, *wrong])


if __name__ == "__main__":
    raise SystemExit(any(not each.good for each in main()))
