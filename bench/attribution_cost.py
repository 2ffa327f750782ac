"""What it costs to explain: ViT-S/16, one image, watched and explained, beside a plain forward and backward pass.

The model is `transformers`' own, with random weights: costs do not depend on them. The backward pass is that of
training, to the parameters; a map needs the pixels alone. Gamma in every layer has no goal: it takes four products
where a gradient takes one. By default convolutions alone have it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.measuring import device, interleaved, ratio
from bench.table import Part, Row
from bench.watch_cost import model
from jumok.watching.watch import watch

SIZES = {224: 9, 448: 5}
"""Image side: how many rounds are timed."""
GOAL = "<= 1.3"
GAMMA = "lrp, gamma 0.25 in every layer"
METHODS: dict[str, dict[str, Any]] = {
    "chefer": {"method": "chefer"},
    "legrad": {"method": "legrad"},
    "libra": {"method": "libra"},
    "libra fullgrad+": {"method": "libra", "form": "fullgrad+"},
    "lrp, gamma 0": {"method": "lrp", "gamma": 0.0},
    "lrp, gamma of images": {"method": "lrp"},
    GAMMA: {"method": "lrp", "gamma": 0.25},
}


def plain(pixels: Tensor) -> Tensor:
    """A step of training without its update."""
    vit = model("sdpa")
    vit.zero_grad()
    score(pixels.detach()).backward()
    return pixels


def score(pixels: Tensor) -> Tensor:
    """One number of the model."""
    states = model("sdpa")(pixels, interpolate_pos_encoding=True).last_hidden_state
    found: Tensor = states[:, 0, :8].sum()
    return found


def explained(options: dict[str, Any], pixels: Tensor) -> Tensor:
    """Ours: the pass under `watch`, then the map of one output."""
    with watch(model("sdpa")) as seen:
        target = score(pixels)
    return seen.relevance(target, **options).weights


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    for side, repeats in SIZES.items():
        yield f"explaining, {side} x {side}", functools.partial(_costs, side, repeats)


def _costs(side: int, repeats: int) -> list[Row]:
    pixels = torch.randn(1, 3, side, side, device=device()).requires_grad_()
    ways: dict[str, Callable[[], Tensor]] = {"plain": functools.partial(plain, pixels)}
    ways |= {name: functools.partial(explained, options, pixels) for name, options in METHODS.items()}
    times = interleaved(ways, repeats)
    where = f"ViT-S/16, {side} x {side}"
    return [
        Row(
            f"{name} / forward and backward, {where}",
            ratio(times, name, "plain"),
            "" if name == GAMMA else GOAL,
            times[name],
            times["plain"],
            "s",
        )
        for name in METHODS
    ]
