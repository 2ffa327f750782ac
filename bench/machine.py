"""The machine that a bench runs on, by its measured figures: what no program can beat here."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from bench.measuring import device, is_quick, wait

__all__ = ["Machine", "commit", "copy_rate", "exp_rate", "machine_kind", "measure", "peak"]

SQUARE, SQUARE_ON_CARD = 2048, 8192
WHOLE = 1 << 28
"""Bytes that no cache holds."""
INSTRUCTIONS = "avx2 fma avx512f avx512_vnni avx512_bf16 avx_vnni amx_bf16 amx_int8 asimd bf16 i8mm sve".split()  # noqa: SIM905


@dataclass(frozen=True)
class Machine:
    """What it is, and what it reaches.

    Args:
        products: GFLOP/s of square products of matrices, by the kind of number; kinds that it has no instructions for
            are left out.
        bandwidth: GB/s of a copy that no cache holds, read and written.
    """

    processor: str
    cores: int
    threads: int
    caches: dict[str, str]
    instructions: list[str]
    memory: float
    versions: dict[str, str]
    products: dict[str, float] = field(default_factory=dict)
    bandwidth: float = 0.0

    @property
    def line(self) -> str:
        """In one line, for the head of a table."""
        products = ", ".join(f"{name} {rate:.0f}" for name, rate in self.products.items())
        return (
            f"{self.processor}, {self.threads} threads on {self.cores} cores, {self.memory:.0f} GiB; "
            f"products {products} GFLOP/s, copies {self.bandwidth:.1f} GB/s; torch {self.versions['torch']}"
        )

    def lines(self) -> list[str]:
        """All of it."""
        return [
            self.line,
            f"caches {', '.join(f'{name} {size}' for name, size in self.caches.items()) or 'not known'}; "
            f"instructions {' '.join(self.instructions) or 'not known'}",
        ]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@functools.cache
def measure(threads: int) -> Machine:
    """Measure this machine; takes some seconds."""
    torch.set_num_threads(threads)
    products, on_card = {"float32": peak() / 1e9}, device() != "cpu"
    if on_card or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        products["bf16"] = _product_rate(torch.bfloat16) / 1e9
    if not on_card and {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"} & set(_flags()):
        products["int8"] = _int8_rate() / 1e9
    return Machine(
        processor=_processor() if not on_card else f"{torch.cuda.get_device_name()}, beside {_processor()}",
        cores=_count_cores(),
        threads=threads,
        caches=_caches(),
        instructions=[name for name in INSTRUCTIONS if name in _flags()],
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        versions={"python": platform.python_version(), "torch": torch.__version__, "system": platform.system()},
        products=products,
        bandwidth=copy_rate(WHOLE) / 1e9,
    )


def machine_kind() -> dict[str, str]:
    """What this machine is, without measuring it: processor, cores in use and versions."""
    return {
        "processor": _processor(),
        "cores": f"{_count_cores()} cores",
        "system": platform.system(),
        "python": f"Python {platform.python_version()}",
        "torch": f"torch {torch.__version__}",
    }


@functools.cache
def peak() -> float:
    """Operations a second of large square products in float32, on a processor by the better of MKL and oneDNN."""
    if device() != "cpu":
        return _product_rate(torch.float32)
    return max(_product_rate(torch.float32), _convolution_rate())


@functools.cache
def copy_rate(count: int) -> float:
    """Bytes a second, read and written, of copies of so many bytes: what fits a cache is copied faster."""
    half = max(count // 8, 1024)  # of float32, read; and as many written
    source, target = torch.ones(half, device=device()), torch.empty(half, device=device())
    return 8 * half / _least_seconds(lambda: target.copy_(source))


@functools.cache
def exp_rate() -> float:
    """Values a second that exp takes, in a block that a cache holds."""
    values, out = torch.zeros(1 << 18, device=device()), torch.empty(1 << 18, device=device())
    return len(values) / _least_seconds(lambda: torch.exp(values, out=out))


def _processor() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _product_rate(dtype: torch.dtype) -> float:
    side = SQUARE if device() == "cpu" else SQUARE_ON_CARD
    square = torch.ones(side, side, dtype=dtype, device=device())
    return 2 * side**3 / _least_seconds(lambda: torch.mm(square, square))


def _int8_rate() -> float:
    square = torch.ones(SQUARE, SQUARE, dtype=torch.int8)
    return 2 * SQUARE**3 / _least_seconds(lambda: torch._int_mm(square, square))


def _convolution_rate() -> float:
    square = torch.ones(SQUARE, SQUARE)
    pixels = square.view(2, SQUARE // 2, 1, SQUARE).permute(0, 3, 1, 2)  # its rows are the pixels of two images
    kernel = square[:, :, None, None]
    return 2 * SQUARE**3 / _least_seconds(lambda: F.conv2d(pixels, kernel))


def _least_seconds(step: Callable[[], object]) -> float:
    """The least of several runs: a limit is what the machine does when nothing disturbs it."""
    step()
    wait()
    spent = []
    for _ in range(3 if is_quick() else 15):
        started = time.perf_counter()
        step()
        wait()
        spent.append(time.perf_counter() - started)
    return min(spent)


def _cpu_info(name: str) -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _flags() -> list[str]:
    return (_cpu_info("flags") or _cpu_info("Features")).split()


def _caches() -> dict[str, str]:
    """Sizes by level, as Linux tells them of the first core."""
    found = {}
    for place in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((place / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def commit() -> str:
    """The commit that is measured; with a + where files were changed since."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+"], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parent,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "not known"
    return told.stdout.strip()
