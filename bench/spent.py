"""Where the time of a step goes: one sentence, from PyTorch's own profiler, beside a figure that misses its goal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch.profiler import ProfilerActivity, profile

from bench.measuring import device

__all__ = ["tell_spent"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "products of matrices": (
        "mm", "addmm", "bmm", "baddbmm", "addmv", "mv", "dot", "convolution", "linear", "scaled_dot_product", "rnn",
        "lstm",
    ),
    "moving numbers": ("copy_", "cat", "index", "gather", "scatter", "clone", "embedding", "pad", "fill_", "zero_"),
    "choosing": ("topk", "sort", "max", "argmax", "amax"),
}  # fmt: skip
"""Operations by parts of their names, the first kind that fits; others go over numbers one by one."""
OTHER = "one number at a time"
OUTSIDE = "outside of PyTorch's operations (Python, dispatch, compiled loops)"
LEAST = 0.05
"""Shares below are not told."""


def tell_spent(step: Callable[[], object]) -> str:
    """Run a step under the profiler and tell the share of each kind of work, the greatest first.

    Backward passes on the CPU run in the thread that asks for them, so what the operations did not take was spent
    between them. The profiler makes each operation slower by about a microsecond, which counts as between them too.
    """
    if device() != "cpu":
        return ""  # there PyTorch's operations only hand work to the card
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        started = time.perf_counter()
        step()
        whole = time.perf_counter() - started
    seconds: dict[str, float] = {}
    for event in found.key_averages():
        if event.key.startswith(("aten::", "mkldnn::", "mkl::")):
            kind = _find_kind(event.key)
            seconds[kind] = seconds.get(kind, 0.0) + event.self_cpu_time_total / 1e6
    seconds[OUTSIDE] = max(whole - sum(seconds.values()), 0.0)
    shares = {kind: spent / whole for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])}
    return ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items() if share >= LEAST)


def _find_kind(name: str) -> str:
    plain = name.rpartition("::")[2].lstrip("_")
    parts = plain.removesuffix("_backward").split("_")
    for kind, words in KINDS.items():
        if any(word in parts if len(word) < 5 else word in plain for word in words):
            return kind
    return OTHER
