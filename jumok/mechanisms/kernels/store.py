"""Times of kernels, kept on disk for this processor and these libraries, so that a run need not take them again."""

from __future__ import annotations

import functools
import json
import math
import os
import platform
from contextlib import suppress
from pathlib import Path

import torch

from jumok.errors import JumokError
from jumok.files import write_atomically

__all__ = ["Times", "keep_times", "read_times"]

LARGEST_FILE = 1 << 22
"""Bytes that are read; a larger file is taken for none, and begun anew."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
"""Variables that keep libraries from some of the processor's instructions."""

Times = tuple[float, float]
"""Seconds of the plain and of the fast form."""


def place() -> Path:
    """The file, in the user's folder of caches.

    Raises:
        RuntimeError: the user has none, as in a container that runs under any number.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jumok" / "kernels.json"


def read_times(names: list[str]) -> dict[str, Times]:
    """Those of the names whose times are kept; none where the file is of another machine, or cannot be read."""
    kept = _read()
    return {name: kept[name] for name in names if name in kept}


def keep_times(times: dict[str, Times]) -> None:
    """Add times to the file; where none can be written, they are taken again by the next run."""
    content = {"machine": machine(), "times": {**_read(), **times}}
    with suppress(OSError, RuntimeError, JumokError):
        place().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place(), json.dumps(content, indent=1) + "\n")


def _read() -> dict[str, Times]:
    try:
        if place().stat().st_size > LARGEST_FILE:
            return {}
        content = json.loads(place().read_text("utf-8"))
        if content["machine"] != machine():
            return {}
        return {str(name): _check(plain, fast) for name, (plain, fast) in content["times"].items()}
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError):  # among them RecursionError
        return {}


def _check(plain: object, fast: object) -> Times:
    if not (isinstance(plain, float) and isinstance(fast, float) and 0 < plain < math.inf and 0 < fast < math.inf):
        raise ValueError("no seconds")
    return plain, fast


@functools.cache
def machine() -> str:
    """What times depend on beside the call and the threads: the processor, its instructions, and the libraries."""
    about, name = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    with suppress(OSError):
        lines = about.read_text("utf-8", "replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    limits = [f"{each}={os.environ[each]}" for each in LIMITS if each in os.environ]
    libraries = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    return "; ".join([name, libraries, *limits])
