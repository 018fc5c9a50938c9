"""Divide this machine's GPUs, or else its CPU cores, among commands that run at once."""

import os
import shutil
import subprocess
from collections.abc import Sequence


def shares(concurrency: int | None) -> list[dict[str, str]]:
    """The environment variables of each of `concurrency` commands at once on this machine."""
    return divided(concurrency, len(os.sched_getaffinity(0)), _gpus())


def divided(concurrency: int | None, cores: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """The environment variables of each of `concurrency` commands at once.

    Args:
        concurrency: None for one command per GPU, or without GPUs for one more than there are
            cores: five teachers on four cores then take 5/4 of the time of one, not twice it.
        gpus: names that CUDA_VISIBLE_DEVICES accepts.

    Threads are limited (OMP_THREAD_LIMIT), not set: a narrow model still computes on one thread.
    """
    count = concurrency or len(gpus) or cores + 1
    threads = {"OMP_THREAD_LIMIT": str(max(1, cores // count))}
    return [threads | ({"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {})
            for index in range(count)]


def _gpus() -> list[str]:
    """Names of this machine's GPUs, as CUDA_VISIBLE_DEVICES accepts them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
                             capture_output=True, text=True, check=False)
    return listing.stdout.split() if listing.returncode == 0 else []
