"""Corruptions: a flipped byte, a cut, emptied or emptied-out file, wherever a later step reads one.

A command that meets one refuses it in one line or ends with the results of an undisturbed run.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from faults.lab import Lab, Outcome, differing

Corrupt = Callable[[bytes, int], bytes]
CORRUPTIONS: dict[str, Corrupt] = {
    "a byte flipped": lambda data, at: data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:],
    "a bit flipped": lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:],
    "cut": lambda data, at: data[:at],
    "emptied": lambda data, at: b"",
    "{}": lambda data, at: b"{}"}
READERS = {
    "data/": ("validate en", "gate", "floor", "teach linear", "teach multilingual",
              "score multilingual", "start", "distil", "baseline", "evaluate"),
    "validation/": ("gate", "register"),
    "gate.json": ("teach linear", "teach multilingual", "floor", "start", "distil", "evaluate"),
    "gate/": ("report",),
    "floor/": ("evaluate",),
    "teachers/": ("score {name}", "distil", "evaluate"),
    "logits/": ("distil", "baseline", "evaluate"),
    "tokens/student/": ("distil", "baseline"),
    "tokens/teachers/": ("teach multilingual", "score multilingual"),
    "tokenizer/": ("distil", "baseline"),
    "student/": ("predict --lang en hello", "evaluate", "register", "export --format onnx"),
    "baseline/": ("evaluate",),
    "training/": ("evaluate", "report", "baseline", "register"),
    "metrics.json": ("report", "results", "register"),
    "evaluation/": ("report",)}
"""Start of an artifact's path -> the commands that may read it."""
NOT_READ = ("/docs/", ".md", ".png", "gate/appendix_a.csv", "gate/labels.csv", ".lock",
            "epochs.csv")
"""For people and for DVC's plots."""


def artifacts(lab: Lab, only: int) -> None:
    """Corrupt artifacts and have one of their readers run: every folder gets its turn.

    Args:
        only: how many tries; 0 for every file in every way.
    """
    state = "promoted" if (lab.saved / "promoted").exists() else "finished"
    lab.restore(state)
    files = [path.relative_to(lab.root / "artifacts").as_posix()
             for path in _files(lab.root / "artifacts")]
    tries: dict[str, list[tuple[str, str, str]]] = {}
    for start, readers in READERS.items():
        tries[start] = [(file, fault, lab.draw.choice(readers))
                        for file in files if file.startswith(start)
                        and not any(part in file for part in NOT_READ) for fault in CORRUPTIONS]
        lab.draw.shuffle(tries[start])
    ordered = [each for turn in zip_longest(*tries.values()) for each in turn if each]
    expected: dict[str, tuple[dict[str, bytes], str]] = {}
    for file, fault, reader in ordered[:only or None]:
        command = reader.format(name=Path(file).parent.name)
        if command not in expected:
            lab.restore(state)
            outcome = lab.must("amtss", *command.split())
            expected[command] = lab.results(), outcome.out
        lab.restore(state)
        corrupt(lab, lab.root / "artifacts" / file, fault)
        outcome = lab.run("amtss", *command.split())
        lab.note("corruption", file.split("/")[0], f"{file}, {fault}, {command}",
                 "refused" if outcome.status else "same results",
                 outcome.mistake or _believed(lab, outcome, *expected[command], file))


def corrupt(lab: Lab, path: Path, fault: str) -> None:
    """Corrupt a file at a random place."""
    data = path.read_bytes() or b" "
    path.chmod(0o644)
    path.write_bytes(CORRUPTIONS[fault](data, lab.draw.randrange(len(data))))


def _believed(lab: Lab, outcome: Outcome, expected: dict[str, bytes], out: str,
              file: str) -> str:
    """What a command has made of a corrupt file, where that is not what it makes of the file."""
    if outcome.status:
        return ""
    name, found = f"artifacts/{file}", lab.results()
    wrong = differing(expected | {name: b""}, found | {name: b""})
    if not wrong and outcome.out != out and "epoch" not in out:
        wrong = outcome.out.strip()[-150:]
    return f"believed: {wrong}" * bool(wrong)


def by_dvc(lab: Lab) -> None:
    """Corrupt a file of each of dvc.yaml's outs: `dvc repro` makes or restores it again."""
    lab.restore("finished")
    expected = lab.results()
    for out in _shuffled(lab, _outs(lab)):
        for fault in lab.draw.sample(list(CORRUPTIONS), 1):
            lab.restore("finished")
            corrupt(lab, lab.draw.choice(_files(lab.root / out)), fault)
            outcome = lab.run("dvc", "repro")
            wrong = (outcome.failure
                     or differing(expected, lab.results()) or lab.damage())
            lab.note("corruption", "any artifact, then `dvc repro`", f"{out}, {fault}",
                     "made again", wrong)


def cache(lab: Lab) -> None:
    """Corrupt the object of DVC's cache for each of dvc.yaml's outs that a later step reads, remove
    the out, let DVC restore it, and run what reads it. The objects that are named are removed as
    the message says, until `dvc repro` succeeds."""
    lab.restore("finished")
    expected = lab.results()
    for out in _shuffled(lab, _outs(lab)):
        readers = next((readers for start, readers in READERS.items()
                        if f"{out.removeprefix('artifacts/')}/".startswith(start)
                        or out.removeprefix("artifacts/") == start), ())
        read = [path for path in _files(lab.root / out)
                if not any(part in path.as_posix() for part in NOT_READ)]
        if not readers or not read:
            continue
        fault = lab.draw.choice(list(CORRUPTIONS)[:3])
        lab.restore("finished")
        path = lab.draw.choice(read)
        object = _object(lab, path)
        corrupt(lab, object, fault)
        path.unlink()
        restored = lab.run("dvc", "checkout", "--force")
        command = lab.draw.choice(readers).format(name=Path(out).name)
        outcome = lab.run("amtss", *command.split())
        wrong = restored.mistake or outcome.mistake
        how = "refused, names the object"
        if not outcome.status and not wrong:
            wrong = differing(expected, lab.results() | {
                path.relative_to(lab.root).as_posix(): expected[
                    path.relative_to(lab.root).as_posix()]})
            how = "same results"
        elif not wrong and object.name not in outcome.err:
            wrong = "refused, does not name the object"
        if not wrong and outcome.status:  # what the message says
            object.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            outcome = lab.run("dvc", "repro")
            wrong = (outcome.failure
                     or differing(expected, lab.results()))
        lab.note("corruption", "objects of DVC's cache",
                 f"{path.relative_to(lab.root)}, {fault}, {command}", how, wrong)


def checkpoints(lab: Lab) -> None:
    """Corrupt the checkpoints that a killed training left: it ends with the same bytes without
    them."""
    for stage, command in (("teach-multilingual", "teach multilingual"), ("distil", "distil"),
                           ("baseline", "baseline")):
        lab.restore("finished")
        expected = lab.results()
        folder = lab.root / "artifacts" / "checkpoints" / stage
        process = lab.start("amtss", *command.split())
        while process.poll() is None and not len(list(folder.glob("*/checksums.json"))) >= 2:
            pass
        lab.signal(9)
        lab.end(process)
        lab.save("killed")
        for file in _files(folder):
            name, fault = file.relative_to(folder), lab.draw.choice(list(CORRUPTIONS))
            lab.restore("killed")
            corrupt(lab, file, fault)
            outcome = lab.run("amtss", *command.split())
            lab.note("corruption", f"checkpoints of `{command}`", f"{name}, {fault}",
                     "same results", outcome.failure or differing(expected, lab.results()))
    shutil.rmtree(lab.saved / "killed", ignore_errors=True)


def registered(lab: Lab) -> None:
    """Corrupt the files of a registered version: what reads them refuses it."""
    lab.restore("candidate")
    folders = sorted((lab.root / "mlartifacts").rglob("artifacts/artifacts/student"))
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    for path in files:
        for fault in lab.draw.sample(list(CORRUPTIONS), 2):
            lab.restore("candidate")
            corrupt(lab, path, fault)
            outcomes = [lab.run("amtss", "export", "--format", "onnx", "--version", str(number))
                        for number in range(1, len(folders) + 1)]
            refused = sum(outcome.status != 0 for outcome in outcomes)
            wrong = next((outcome.mistake for outcome in outcomes if outcome.mistake), "")
            lab.note("corruption", "registered versions", f"{path.name}, {fault}", "refused",
                     wrong or f"{refused} versions are refused" * (refused != 1))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size
                  and "/docs/" not in file.as_posix()) if path.is_dir() else [path]


def _shuffled(lab: Lab, names: Iterable[str]) -> list[str]:
    listed = list(names)
    return lab.draw.sample(listed, len(listed))


def _outs(lab: Lab) -> Iterator[str]:
    from amtss.config import yaml
    lock = yaml.load((lab.saved / "finished" / "dvc.lock").read_text(encoding="utf-8"))
    yield from (out["path"] for stage in lock["stages"].values() for out in stage["outs"])


def _object(lab: Lab, path: Path) -> Path:
    """The object of DVC's cache that holds the same bytes."""
    return next(file for file in (lab.root / ".dvc" / "cache" / "files").rglob("*")
                if file.is_file() and file.read_bytes() == path.read_bytes())
