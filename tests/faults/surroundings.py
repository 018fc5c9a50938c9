"""Surroundings: servers that hang or answer 500, odd folders and environments, little of anything.

Commands end well, or are refused in one line and end well afterwards.
"""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults.lab import Lab, differing

STAGES = ("settings", "data en", "validate en", "gate", "floor", "teach linear",
          "teach multilingual", "score multilingual", "start", "distil", "baseline", "evaluate",
          "report")
LIFECYCLE = ("register", "promote", "rollback --to 1", "audit",
             "onboard-language --lang es --teacher linear")
PATH = "ein Projekt – élan 日本語"


class Broken(BaseHTTPRequestHandler):
    """A server that answers 500 to everything, or nothing at all for a minute."""

    hangs = False

    def do_GET(self) -> None:
        if type(self).hangs:
            time.sleep(60)
        self.send_response(500)
        self.end_headers()

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815 - the library's names

    def log_message(self, *arguments: object) -> None:
        pass


class Hanging(Broken):
    """The second kind."""

    hangs = True


@contextmanager
def served(kind: type[Broken]) -> Iterator[str]:
    """Run such a server; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def tracking(lab: Lab) -> None:
    """Stages go on without MLflow; what changes the registry is refused."""
    lab.restore("finished")
    expected = lab.results()
    for name, kind in (("answers 500", Broken), ("hangs", Hanging)):
        with served(kind) as address:
            short = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
            for command in ("teach multilingual", "distil", "evaluate", "report"):
                lab.restore("finished")
                outcome = lab.run("amtss", *command.split(), environment=short)
                wrong = (outcome.failure or differing(expected, lab.results())
                         or "no warning" * ("without MLflow" not in outcome.err))
                lab.note("surroundings", f"an MLflow server {name}", command,
                         "a warning, same results", wrong)
            for command in (*LIFECYCLE, "predict --model models:/amtss-tiny@champion hello"):
                lab.restore("promoted")
                outcome = lab.run("amtss", *command.split(), environment=short)
                wrong = outcome.mistake or "succeeds" * (not outcome.status)
                lab.note("surroundings", f"an MLflow server {name}", command.split()[0],
                         "refused", wrong)


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "LC_ALL=C, ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
                        "PYTHONIOENCODING": "ascii"},
    "LC_ALL=C": {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0"},
    "no HOME": {"HOME": None}, "HOME that is not there": {"HOME": "/nonexistent"},
    "TMPDIR that is not there": {"TMPDIR": "/nonexistent"}}
CHAIN = ("dvc repro", "amtss register", "amtss promote", "amtss results",
         "amtss predict --lang fr bonjour", "amtss export --format onnx",
         "amtss predict --runtime onnx --lang fr bonjour", "amtss data fr", "amtss validate fr",
         "amtss gate", "amtss distil", "amtss report")


def environments(lab: Lab) -> None:
    """A chain of commands, from data to a champion that answers, in odd environments."""
    lab.restore("finished")
    expected = lab.results()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    _chain(lab, "64 open files", expected, {},
           lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1])))
    for name, changed in ENVIRONMENTS.items():
        _chain(lab, name, expected, changed)


def path(lab: Lab) -> None:
    """The chain in a folder whose name has blanks and letters of several scripts."""
    lab.restore("finished")
    expected, plain = lab.results(), (lab.root, lab.environment["MLFLOW_TRACKING_URI"])
    lab.root = lab.root.with_name(PATH)
    lab.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{lab.root}/mlflow.db"
    try:
        _chain(lab, f"a path: {PATH}", expected, {})
    finally:
        lab.root, lab.environment["MLFLOW_TRACKING_URI"] = plain


def _chain(lab: Lab, name: str, expected: dict[str, bytes], changed: dict[str, str | None],
           prepare: Callable[[], None] | None = None) -> None:
    lab.restore("finished")
    (lab.root / "mlflow.db").unlink()  # it names the folder of its artifacts
    for command in CHAIN:
        outcome = lab.run(*command.split(), environment=_cold(lab) | changed, preexec_fn=prepare)
        wrong = outcome.failure
        if not wrong and command == "amtss report":
            wrong = differing(expected, lab.results()) or lab.damage()
        lab.note("surroundings", name, command, "same results", wrong)


def full(lab: Lab) -> None:
    """No file may grow beyond some bytes: writing fails as it does where a disk is full. Then the
    limit is lifted, and the command run again."""
    expected: dict[str, dict[str, bytes]] = {}
    for command in (*STAGES, *LIFECYCLE):
        state = "promoted" if command in LIFECYCLE else "finished"
        if command not in expected:
            lab.restore(state)
            lab.must("amtss", *command.split())
            expected[command] = lab.results()
        size = lab.draw.choice((0, 600, 20_000))
        lab.restore(state)
        outcome = lab.run("amtss", *command.split(), environment=_cold(lab),
                          preexec_fn=lambda size=size: resource.setrlimit(
                              resource.RLIMIT_FSIZE, (size, size)))
        again = lab.run("amtss", *command.split())
        wrong = (outcome.mistake or again.failure or differing(expected[command], lab.results()))
        lab.note("surroundings", "a full disk", f"{command}, {size} bytes a file",
                 "refused" if outcome.status else "same results", wrong)


def _cold(lab: Lab) -> dict[str, str | None]:
    """Real processes: a limit or an environment counts from a process's start."""
    return {"PATH": lab.environment["PATH"].split(os.pathsep, 1)[1]}
