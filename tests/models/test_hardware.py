import ctypes
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from amtss.errors import ParamsError
from amtss.models import hardware

pytestmark = pytest.mark.slow
on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")


class TestResolve:
    def test_a_given_precision_is_used(self) -> None:
        assert hardware.resolve("fp32") == "fp32"
        assert hardware.resolve("bf16") == "bf16"

    def test_auto_is_bf16_where_the_hardware_supports_it(self) -> None:
        flags = ""
        if hardware.device().type == "cpu":
            with open("/proc/cpuinfo", encoding="utf-8") as file:
                flags = next((line for line in file if line.startswith("flags")), "")
            expected = "bf16" if "avx512_bf16" in flags or "amx_tile" in flags else "fp32"
            assert hardware.resolve("auto") == expected
        else:
            assert hardware.resolve("auto") in ("bf16", "fp32")

    @on_cpu
    def test_fp16_on_a_cpu(self) -> None:
        with pytest.raises(ParamsError, match="expected fp32, bf16 or auto on a CPU, found 'fp16'"):
            hardware.resolve("fp16")


class TestPlace:
    @pytest.fixture(autouse=True)
    def _threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)

    @pytest.mark.parametrize(("width", "threads"), [(64, 1), (256, 1), (384, 2)])
    def test_a_narrow_model_computes_on_one_thread(
            self, width: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        hardware.place(_model(width))
        assert torch.get_num_threads() == threads

    def test_omp_num_threads_has_priority(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        hardware.place(_model(64))
        assert torch.get_num_threads() == 2


def _model(width: int) -> BertModel:
    return BertModel(BertConfig(vocab_size=8, hidden_size=width, num_hidden_layers=1,
                                num_attention_heads=1, intermediate_size=8))


class TestAutocast:
    @pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32),
                                                      ("bf16", torch.bfloat16)])
    def test_computes_in(self, precision: hardware.Resolved, dtype: torch.dtype) -> None:
        x = torch.ones(2, 2, device=hardware.device())
        with hardware.autocast(precision):
            assert (x @ x).dtype == dtype


class TestFitting:
    def test_a_gpus_memory(self) -> None:
        message = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of"
        with (pytest.raises(ParamsError, match=r"memory: .* no 2.50 GiB more; lower it"),
              hardware.fitting("lower it")):
            raise torch.OutOfMemoryError(message)

    def test_the_cpus(self) -> None:
        with (pytest.raises(ParamsError, match=r"memory: .* no \d+ bytes more; lower it"),
              hardware.fitting("lower it")):
            torch.empty(2**60, dtype=torch.uint8)

    def test_numpys(self) -> None:
        with (pytest.raises(ParamsError, match=r"memory: .* no 1.00 EiB more; lower it"),
              hardware.fitting("lower it")):
            np.empty(2**60, dtype=np.uint8)

    def test_other_errors_are_not_caught(self) -> None:
        with pytest.raises(RuntimeError, match="shapes cannot be"), hardware.fitting("lower it"):
            torch.ones(2, 3) @ torch.ones(2, 3)


FAULTS = """
import resource, torch
from amtss.models import hardware

hardware.keep_freed_memory()
for _ in range(20):  # until a freed block has room for the next one's alignment
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


class TestKeepFreedMemory:
    @pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's allocator")
    def test_large_blocks_come_from_what_was_freed(self) -> None:
        # A process of its own: where an allocation has failed before, glibc begins another heap.
        done = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True)
        assert int(done.stdout) < 2**24 * 4 / 4096


class TestDeterministic:
    def test_same_seed_same_numbers(self) -> None:
        numbers = []
        for seed in (3, 3, 4):
            hardware.deterministic(seed)
            numbers.append(torch.rand(5))
        assert torch.equal(numbers[0], numbers[1])
        assert not torch.equal(numbers[0], numbers[2])
        assert torch.are_deterministic_algorithms_enabled()
