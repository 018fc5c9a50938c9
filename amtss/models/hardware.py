"""What this machine can do: device, precision, memory, and several processes in one training."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn

from amtss.config.schema import Precision
from amtss.errors import ParamsError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

Resolved = Literal["fp32", "bf16", "fp16"]


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
"""glibc's numbers of `mallopt` parameters."""
NARROW = 256
"""Width up to which threads wait for each other longer than they compute."""


def place(model: "PreTrainedModel") -> None:
    """Move a model to the device. A narrow one gets one thread, unless OMP_NUM_THREADS is set."""
    model.to(device())  # type: ignore[arg-type]
    width = cast(nn.Embedding, model.get_input_embeddings()).embedding_dim
    if "OMP_NUM_THREADS" not in os.environ and width <= NARROW:
        torch.set_num_threads(1)


def resolve(precision: Precision) -> Resolved:
    """The precision to compute in: `auto` is bf16 where the hardware supports it, else fp32.

    Raises:
        ParamsError: fp16 on a CPU, which has no fast fp16.
    """
    if precision == "fp16" and device().type == "cpu":
        raise ParamsError("params.yaml: precision: expected fp32, bf16 or auto on a CPU, "
                          "found 'fp16'; edit params.yaml")
    if precision != "auto":
        return precision
    return "bf16" if _has_bf16() else "fp32"


def _has_bf16() -> bool:
    if device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def attention() -> str | None:
    """The implementation of attention; None for the model's default.

    On a CPU with short texts, PyTorch's fused attention takes several times as long as the plain.
    """
    return "eager" if device().type == "cpu" else None


def autocast(precision: Resolved) -> torch.autocast:
    """The context in which models run forward."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device().type, dtype=dtype, enabled=precision != "fp32")


def accelerator(precision: Precision) -> "Accelerator":
    """accelerate's Accelerator: device, mixed precision, and torchrun's other processes."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    resolved = resolve(precision)
    AcceleratorState._reset_state()  # or it keeps the precision of this process's first training
    # A process's part of a batch need not have every language, so some heads get no gradient.
    data_parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=device().type == "cpu", kwargs_handlers=[data_parallel],
                       mixed_precision="no" if resolved == "fp32" else resolved)


@contextmanager
def fitting(fix: str) -> Iterator[None]:
    """Report a lack of memory, the GPU's or the CPU's, as an error of the settings.

    Args:
        fix: what fixes it, for the end of the message.

    Raises:
        ParamsError: the memory is full.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # For the CPU's memory, PyTorch raises nothing more specific.
        if type(error) is RuntimeError and "DefaultCPUAllocator" not in str(error):
            raise
        size = re.search(r"allocate ([\d.]+ \w+)", str(error))
        raise ParamsError(f"{device().type} memory: expected all to fit, found no "
                          f"{size[1] if size else 'room'} more; {fix}") from error


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for later allocations.

    Otherwise each step gets the memory of its embeddings' gradient from the system again, page by
    page: with 250,002 tokens that takes a quarter of the step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def deterministic(seed: int) -> None:
    """Seed PyTorch and use deterministic algorithms: equal seeds give equal bytes on a machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN takes a tenth of a small student's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
