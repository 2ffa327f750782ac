"""What it costs to watch: ViT-S/16, one image, `watch` with rollout beside the plain pass and beside eager attention.

The model is `transformers`' own, with random weights: costs do not depend on them.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench import machine, torchvision_names
from bench.measuring import Ratio, Samples, device, in_turns, interleaved, ratio, resident
from bench.spent import tell_spent
from bench.table import Part, Row
from jumok.machine import keep_freed
from jumok.watching.watch import watch

SIZES = {224: (1.10, 41), 448: (1.30, 15), 768: (1.50, 7)}
"""Image side: the most that watch with rollout may cost, in plain passes, and how many rounds are timed."""
WIDTH, LAYERS, HEADS, PATCH = 384, 12, 6, 16
LARGE = 768
EAGER_ROUNDS = 5
BOUND = "a plain pass, and in each layer but the last one product at peak, one exp, one weighted sum from the cache"


@functools.cache
def model(attention: str) -> Any:
    torchvision_names.define()
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        image_size=224,
        patch_size=PATCH,
    )
    vit = ViTModel(config).eval().to(device())
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
    identity = torch.eye(attentions[0].shape[-1], device=pixels.device)
    product = identity
    for weights in attentions:
        product = (0.5 * weights.mean(1) + 0.5 * identity) @ product
    return product[:, :1]


def eager_row(pixels: Tensor) -> Tensor:
    """The usual weights, but only the row of the cls token carried through the layers."""
    attentions = model("eager")(pixels, interpolate_pos_encoding=True, output_attentions=True).attentions
    row = torch.zeros(1, 1, attentions[0].shape[-1], device=pixels.device)
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


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    yield "watch + rollout, default allocator", lambda: _costs("default allocator")
    yield "watch + rollout beside eager attention", lambda: _against_eager(threads)
    # What is watched is held, so the memory of one pass is not used again in the next unless freed memory is kept.
    if device() == "cpu":
        yield "watch + rollout, freed memory kept", lambda: _costs("freed memory kept, both") if keep_freed() else ()


@torch.no_grad()
def _costs(how: str) -> Iterable[Row]:
    return [_cost(side, limit, repeats, how) for side, (limit, repeats) in SIZES.items()]


def _cost(side: int, limit: float, repeats: int, how: str) -> Row:
    pixels = torch.randn(1, 3, side, side, device=device())
    times = interleaved({name: functools.partial(WAYS[name], pixels) for name in ("watched", "plain")}, repeats)
    claim = f"watch + rollout / plain pass, ViT-S/16, {side} x {side}, {how}"
    least = times["plain"] + rollout_floor((side // PATCH) ** 2 + 1)
    found = ratio(times, "watched", "plain")
    spent = tell_spent(functools.partial(watched, pixels))
    return Row(claim, found, f"<= {limit}", times["watched"], times["plain"], "s", "", least, BOUND, spent)


def rollout_floor(tokens: int) -> float:
    """Seconds that weights and a rollout of one query take at best: in the last layer one row is enough."""
    scores = tokens**2 * WIDTH * 2 / machine.peak()
    weights = HEADS * tokens**2
    exps = weights / machine.exp_rate()
    sums = 4 * weights / machine.copy_rate(1 << 20)
    return (LAYERS - 1) * (scores + exps + sums)


@torch.no_grad()
def _against_eager(threads: int) -> Iterator[Row]:
    """Time, and peak memory above the plain pass's, of each way in processes of its own: none tidies up for another."""
    seconds, peaks = in_turns(WAYS, EAGER_ROUNDS, lambda name: _alone(name, threads))
    where = f"ViT-S/16, {LARGE} x {LARGE}"
    for name, what, goal in (("eager_matrices", "N x N rollout", 4), ("eager_row", "only the row kept", 2.5)):
        note = f"eager / plain pass alone: {seconds[name] / seconds['plain']:.2f}; same to {_difference(name):.0e}"
        claim, times = f"eager, {what} / watch + rollout, {where}", (seconds["watched"], seconds[name])
        least = seconds["plain"] + rollout_floor((LARGE // PATCH) ** 2 + 1)
        yield Row(claim, ratio(seconds, name, "watched"), f">= {goal}", *times, "s", note, least, BOUND)
        yield _extra_memory(peaks, name, f"extra memory, eager, {what} / watch + rollout, {where}")


def _extra_memory(peaks: Samples, name: str, claim: str) -> Row:
    """Over the plain pass's peak, round by round."""
    extra = {
        each: [peak - plain for peak, plain in zip(peaks.values_of[each], peaks.values_of["plain"], strict=True)]
        for each in (name, "watched")
    }
    pairs = [theirs / ours for theirs, ours in zip(extra[name], extra["watched"], strict=True)]
    middle, note = Samples(extra), f"plain pass peaks at {peaks['plain']:.0f} MiB"
    return Row(claim, Ratio.of(pairs), ">= 10", middle["watched"], middle[name], "MiB", note)


def _difference(name: str) -> float:
    """The largest difference between another way's result and ours, at a size at which all are quick."""
    pixels = torch.randn(1, 3, min(SIZES), min(SIZES), device=device())
    return float((WAYS[name](pixels) - watched(pixels)).abs().max())


def _alone(name: str, threads: int) -> list[float]:
    """Median seconds of a few passes, and the most memory that the process held."""
    command = [sys.executable, "-m", "bench.watch_cost", name, str(threads)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [float(figure) for figure in answer]


@torch.no_grad()
def _print_cost(name: str, threads: int) -> None:
    torch.set_num_threads(threads)
    pixels = torch.randn(1, 3, LARGE, LARGE, device=device())
    seconds = interleaved({name: functools.partial(WAYS[name], pixels)}, EAGER_ROUNDS, warm_up=1)[name]
    # Not getrusage: the peak that it tells includes what the parent process held when it started this one.
    print(seconds, resident("VmHWM"))


if __name__ == "__main__":
    _print_cost(sys.argv[1], int(sys.argv[2]))
