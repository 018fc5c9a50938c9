"""Training in several processes, one per GPU: with AMTSS_PROCESSES=N, torchrun starts them.

The number is no setting of params.yaml, because it depends on the machine, not on the experiment.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import time
import uuid
from typing import TYPE_CHECKING

from amtss import terminal
from amtss.errors import AmtssError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

PROCESSES = "AMTSS_PROCESSES"
PR_SET_PDEATHSIG = 1
PATIENCE = 5.0
"""Seconds that a failing process waits before it ends. An unexpected error may be the result of
another process's end, which is then reported first; and rank 0 gets time to log how it ended."""


def inside() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def first() -> bool:
    """Whether this process is the one that writes, prints and logs: rank 0, or the only one."""
    return not inside() or os.environ["RANK"] == "0"


def processes() -> int:
    """Number of processes that train together, including this one."""
    return int(os.environ["WORLD_SIZE"]) if inside() else 1


def join() -> None:
    """In a process of torchrun's: end when torchrun ends, and print only if this is rank 0."""
    if not inside():
        return
    if sys.platform == "linux":  # otherwise a killed torchrun leaves its processes running
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else it warns of unused heads
    if not first():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


def hand_over(message: str, traceback: str = "") -> bool:
    """Pass the error that ends this process to torchrun, so that it is reported once.

    Returns: False where there is no torchrun, and nothing was passed.
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        return False
    details = {"timestamp": str(int(time.time())), "py_callstack": traceback or message}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"message": {"message": message, "extraInfo": details}}, file)
    if traceback or not first():
        time.sleep(PATIENCE)
    return True


def warn(message: str) -> None:
    """Print a warning on stderr, once for all processes."""
    if first():
        terminal.warn(message)


def launch() -> bool:
    """Run this command in AMTSS_PROCESSES processes, if that is more than one.

    Returns: False if no processes were started, and the command must run in this one.

    Raises:
        AmtssError: the variable is not a number of processes, or one of them failed.
    """
    wanted = _wanted()
    if wanted == 1 or inside():
        return False
    import torch
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if torch.cuda.is_available() and wanted > torch.cuda.device_count():
        raise AmtssError(f"{PROCESSES}: expected at most {torch.cuda.device_count()}, the number "
                         f"of GPUs, found {wanted}; lower it")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // wanted)))
    logging.disable(logging.CRITICAL)  # torchrun logs failures itself
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=wanted,
                          run_id=uuid.uuid4().hex, rdzv_backend="c10d",
                          rdzv_endpoint="localhost:0", max_restarts=0)
    try:
        elastic_launch(config, sys.executable)("-m", "amtss", *sys.argv[1:])
    except ChildFailedError as error:
        raise _failure(error, wanted) from error
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None
    return True


def _wanted() -> int:
    value = os.environ.get(PROCESSES, "1")
    if not value.isdecimal() or int(value) < 1:
        raise AmtssError(f"{PROCESSES}: expected a number of processes, 1 or more, found "
                         f"{value!r}; correct or unset the variable")
    return int(value)


def _failure(error: "ChildFailedError", processes: int) -> AmtssError:
    """The first failure. torchrun then stops the others by SIGTERM, which is not reported."""
    rank, failure = min(error.failures.items(), key=lambda item: (
        item[1].exitcode == -signal.SIGTERM, item[1].exitcode > 0, item[1].timestamp))
    who = f"process {rank} of {processes}: expected it to finish"
    if isinstance(failure.message, str):
        name = failure.signal_name() if failure.exitcode < 0 else f"status {failure.exitcode}"
        return AmtssError(f"{who}, found it ended by {name}, and stopped the others; run the same "
                          "command again, it resumes from the last epoch")
    message, trace = failure.message["message"], failure.message["extraInfo"]["py_callstack"]
    if trace == message:
        return AmtssError(message)
    print(trace, file=sys.stderr)
    return AmtssError(f"{who}, found {message}, see above")
