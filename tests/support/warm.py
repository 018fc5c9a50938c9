"""Commands without the seconds that their imports take: a process that has imported the libraries
forks itself for each of them.

All else is as in a shell: a command is a process of its own, with its own arguments, folder,
environment and streams, and is killed when what started it is. With a PYTHONPATH it imports amtss
anew. What reads the environment when it is imported, as the hub's client does, has read this
process's; amtss does not.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import NoReturn

import amtss
from amtss.cli.main import quiet

BIN = Path(sys.executable).parent
LIBRARIES = (
    "accelerate", "datasets", "dvc.commands.repro", "dvc.repo", "great_expectations",
    "great_expectations.expectations", "markdown_it", "matplotlib.backends.backend_agg",
    "matplotlib.pyplot", "mlflow", "mlflow.pyfunc", "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store", "narwhals._pandas_like.dataframe", "pandas",
    "pyarrow.parquet", "rich.console", "scipy.stats", "sklearn.feature_extraction.text",
    "sklearn.linear_model", "sqlalchemy.dialects.sqlite", "torch", "transformers",
    "transformers.modeling_utils", "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.xlm_roberta.modeling_xlm_roberta", "transformers.trainer")
"""What stages import, with all that these import when first used: what is left out costs each
training a second."""
CALL = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]) + "\\n"
    socket.send_fds(server, [asked.encode()], [0, 1, 2])
    status = int(server.recv(9))
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@cache
def programs() -> Path:
    """A folder with such an `amtss` and `dvc`; they work for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="amtss-tests-"))
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(50)
        server = subprocess.Popen([sys.executable, "-P", __file__, str(listener.fileno())],
                                  stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
    atexit.register(server.communicate)  # it ends when its stdin does, also if this is killed
    for name in ("amtss", "dvc"):
        (folder / name).write_text(CALL.format(python=sys.executable, path=str(path)))
        (folder / name).chmod(0o755)
    return folder


def serve(listener: socket.socket) -> list[str]:
    """Fork for each command, until stdin ends. Returns in the forks, with their `sys.argv`."""
    while select.select([listener, 0], [], [])[0] == [listener]:
        call, _ = listener.accept()
        if not os.fork():
            listener.close()
            return attend(call)
        call.close()
        reap()
    os._exit(0)


def reap() -> None:
    """Let go of the forks that have ended."""
    with contextlib.suppress(ChildProcessError):  # there is none
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass


def attend(call: socket.socket) -> list[str]:
    """Fork once more to run the command, and kill it if its caller goes; returns in that fork."""
    said, streams, _, _ = socket.recv_fds(call, 1 << 20, 3)
    while not said.endswith(b"\n"):
        said += call.recv(1 << 20)
    child = os.fork()
    if not child:
        call.close()
        return enter(*json.loads(said), streams)
    os.setpgid(child, child)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    if ended in select.select([ended, call], [], [])[0]:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        call.sendall(str(status).encode())
    else:
        os.killpg(child, signal.SIGKILL)
    os._exit(0)


def enter(argv: list[str], folder: str, environment: dict[str, str],
          streams: list[int]) -> list[str]:
    """Make this process what a shell would have started; its `sys.argv`."""
    os.setpgid(0, 0)  # as its parent does: neither may go on before
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if folders := [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]:
        sys.path[:0] = folders
        for name in [name for name in sys.modules if name.partition(".")[0] == "amtss"]:
            del sys.modules[name]
    return argv


def run(program: str) -> NoReturn:
    """Run an installed program, and end without the seconds that a large process takes to."""
    if (name := Path("/proc/self/comm")).exists():
        name.write_text(program)  # what `ps` shows on Linux
    status = 0
    try:
        runpy.run_path(str(BIN / program), run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    quiet()
    for library in LIBRARIES:
        importlib.import_module(library)
    for module in pkgutil.walk_packages(amtss.__path__, "amtss."):
        if module.name != "amtss.__main__":
            importlib.import_module(module.name)
    gc.freeze()  # or the first collection of each fork would copy all of memory
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    run(Path(sys.argv[0]).name)
