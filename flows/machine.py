"""This machine's GPUs, or else its cores, shared out among commands that run at once."""

import os
import shutil
import subprocess
from collections.abc import Sequence


def shares(concurrency: int | None) -> list[dict[str, str]]:
    """`places` of this machine."""
    return places(concurrency, len(os.sched_getaffinity(0)), _gpus())


def places(concurrency: int | None, cores: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each of `concurrency` commands at once adds to its environment.

    By default one per GPU, or else one more than there are cores: five teachers on four cores
    then take five quarters of the time of one, not twice. The limit of threads is not their
    number: a narrow model still computes on one.
    """
    count = concurrency or len(gpus) or cores + 1
    share = {"OMP_THREAD_LIMIT": str(max(1, cores // count))}
    return [share | ({"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {})
            for index in range(count)]


def _gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES takes."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [each for each in chosen.split(",") if each]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
                            capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []
