"""What it costs to watch: ViT-S/16, one image, `watch` with rollout beside the plain pass and beside eager attention.

The model is `transformers`' own, with random weights: costs do not depend on them.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench import torchvision_names
from bench.table import Row, interleaved, ratio
from jumok.machine import keep_freed
from jumok.watching.watch import watch

SIZES = {224: (1.15, 41), 448: (1.30, 15), 768: (1.50, 7)}
"""Image side: the most that watch with rollout may cost, in plain passes, and how many rounds are timed."""
LARGE = 768
EAGER_ROUNDS = 3


@functools.cache
def model(attention: str) -> Any:
    torchvision_names.define()
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=224,
        patch_size=16,
    )
    vit = ViTModel(config).eval()
    vit.set_attn_implementation(attention)
    return vit


def plain(pixels: Tensor) -> Tensor:
    result: Tensor = model("sdpa")(pixels, interpolate_pos_encoding=True).last_hidden_state
    return result


def watched(pixels: Tensor) -> Tensor:
    """Ours: the plain pass under `watch`, then the rollout of the cls token."""
    with watch(model("sdpa")) as seen:
        plain(pixels)
    return seen.rollout("cls").weights


def eager_matrices(pixels: Tensor) -> Tensor:
    """The usual way: all weights out of eager attention, N x N products."""
    attentions = model("eager")(pixels, interpolate_pos_encoding=True, output_attentions=True).attentions
    identity = torch.eye(attentions[0].shape[-1])
    product = identity
    for weights in attentions:
        product = (0.5 * weights.mean(1) + 0.5 * identity) @ product
    return product[:, :1]


def eager_row(pixels: Tensor) -> Tensor:
    """The usual weights, but only the row of the cls token carried through the layers."""
    attentions = model("eager")(pixels, interpolate_pos_encoding=True, output_attentions=True).attentions
    row = torch.zeros(1, 1, attentions[0].shape[-1])
    row[..., 0] = 1
    for weights in reversed(attentions):
        row = 0.5 * row + 0.5 * (row[:, None] @ weights).mean(1)
    return row


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": plain,
    "watched": watched,
    "eager_matrices": eager_matrices,
    "eager_row": eager_row,
}


@torch.no_grad()
def run(threads: int = 2) -> list[Row]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    rows = [*_costs("default allocator"), *_against_eager(threads)]
    # What is watched is held, so the memory of one pass is not used again in the next unless freed memory is kept.
    return [*rows, *_costs("freed memory kept, both")] if keep_freed() else rows


def _costs(note: str) -> list[Row]:
    return [_cost(side, limit, rounds, note) for side, (limit, rounds) in SIZES.items()]


def _cost(side: int, limit: float, rounds: int, note: str) -> Row:
    pixels = torch.randn(1, 3, side, side)
    times = interleaved({name: functools.partial(WAYS[name], pixels) for name in ("watched", "plain")}, rounds)
    claim = f"watch + rollout / plain pass, ViT-S/16, {side} x {side}"
    return Row(claim, ratio(times, "watched", "plain"), f"<= {limit}", times["watched"], times["plain"], "s", note)


def _against_eager(threads: int) -> list[Row]:
    """Time, and peak memory above the plain pass's, of each way in processes of its own: none tidies up for another.

    The processes take turns; medians count.
    """
    runs: dict[str, list[Cost]] = {name: [] for name in WAYS}
    for _ in range(EAGER_ROUNDS):
        for name in WAYS:
            runs[name].append(_alone(name, threads))
    seconds = {name: statistics.median(cost.seconds for cost in costs) for name, costs in runs.items()}
    peaks = {name: statistics.median(cost.mebibytes for cost in costs) for name, costs in runs.items()}
    extra = {name: peaks[name] - peaks["plain"] for name in WAYS}
    where = f"ViT-S/16, {LARGE} x {LARGE}"
    rows = []
    for name, what, goal in (("eager_matrices", "N x N rollout", 4), ("eager_row", "only the row kept", 2.5)):
        note = f"eager / plain pass alone: {seconds[name] / seconds['plain']:.2f}; same to {_difference(name):.0e}"
        claim, times = f"eager, {what} / watch + rollout, {where}", (seconds["watched"], seconds[name])
        rows.append(Row(claim, ratio(seconds, name, "watched"), f">= {goal}", *times, "s", note))
        claim, memory = f"extra memory, eager, {what} / watch + rollout, {where}", (extra["watched"], extra[name])
        note = f"plain pass peaks at {peaks['plain']:.0f} MiB"
        rows.append(Row(claim, ratio(extra, name, "watched"), ">= 10", *memory, "MiB", note))
    return rows


def _difference(name: str) -> float:
    """The largest difference between another way's result and ours, at a size at which all are quick."""
    pixels = torch.randn(1, 3, min(SIZES), min(SIZES))
    return float((WAYS[name](pixels) - watched(pixels)).abs().max())


class Cost(NamedTuple):
    """Median seconds of a few rounds, and the most memory that the process held."""

    seconds: float
    mebibytes: float


def _alone(name: str, threads: int) -> Cost:
    command = [sys.executable, "-m", "bench.watch_cost", name, str(threads)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Cost(*map(float, answer))


@torch.no_grad()
def _print_cost(name: str, threads: int) -> None:
    torch.set_num_threads(threads)
    pixels = torch.randn(1, 3, LARGE, LARGE)
    seconds = interleaved({name: functools.partial(WAYS[name], pixels)}, EAGER_ROUNDS, warm_up=1)[name]
    # Not getrusage: the peak that it tells includes what the parent process held when it started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    print(seconds, int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024)


if __name__ == "__main__":
    _print_cost(sys.argv[1], int(sys.argv[2]))
