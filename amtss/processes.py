"""Several processes, one per GPU, for one training: AMTSS_PROCESSES=N has torchrun start them.

How many there are is a matter of the machine and not of the experiment, so params.yaml is silent.
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

from amtss.errors import AmtssError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

PROCESSES = "AMTSS_PROCESSES"
PR_SET_PDEATHSIG = 1
PATIENCE = 5.0
"""Seconds that an unexpected error waits, for the end of another process may have caused it, and
any error of another process than the first, which then can still log how it ended."""


def inside() -> bool:
    """Whether this is one of the processes that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def first() -> bool:
    """Whether this process is the one that writes, prints and logs: the only one, or rank 0."""
    return not inside() or os.environ["RANK"] == "0"


def processes() -> int:
    """How many train together, this one included."""
    return int(os.environ["WORLD_SIZE"]) if inside() else 1


def join() -> None:
    """Where torchrun has started this process: end with it, and leave the talking to rank 0."""
    if not inside():
        return
    if sys.platform == "linux":  # or a killed torchrun would leave its processes training on
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns where all heads are in use
    if not first():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


def hand_over(message: str, traceback: str = "") -> bool:
    """Leave to torchrun what ends this process, to be told once; whether there is a torchrun."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        return False
    told = {"timestamp": str(int(time.time())), "py_callstack": traceback or message}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"message": {"message": message, "extraInfo": told}}, file)
    if traceback or not first():
        time.sleep(PATIENCE)
    return True


def launch() -> bool:
    """Run this very command in AMTSS_PROCESSES processes, if that is more than one.

    Returns: False where there is nothing to start: the command is to be run here.

    Raises:
        AmtssError: the variable is no number of processes, or one of them has failed.
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
    logging.disable(logging.CRITICAL)  # the agent's own account of a failure
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
    given = os.environ.get(PROCESSES, "1")
    if not given.isdecimal() or int(given) < 1:
        raise AmtssError(f"{PROCESSES}: expected a number of processes, 1 or more, found "
                         f"{given!r}; mend or unset the variable")
    return int(given)


def _failure(error: "ChildFailedError", processes: int) -> AmtssError:
    """What happened first; that the others were then stopped, by SIGTERM, is no news."""
    rank, failure = min(error.failures.items(), key=lambda item: (
        item[1].exitcode == -signal.SIGTERM, item[1].exitcode > 0, item[1].timestamp))
    who = f"process {rank} of {processes}: expected it to finish"
    if isinstance(failure.message, str):
        name = failure.signal_name() if failure.exitcode < 0 else f"status {failure.exitcode}"
        return AmtssError(f"{who}, found it ended by {name}, and stopped the others; run the same "
                          "command again, it goes on from the last epoch")
    message, told = failure.message["message"], failure.message["extraInfo"]["py_callstack"]
    if told == message:
        return AmtssError(message)
    print(told, file=sys.stderr)
    return AmtssError(f"{who}, found {message}, told above")
