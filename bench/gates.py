"""Gates of channels and places, jumok beside a straightforward torch form: `python -m bench gates`.

The straightforward form pools with `AdaptiveAvgPool2d` and `AdaptiveMaxPool2d`, takes the largest channel with
`Tensor.max`, and multiplies, as published implementations do; both have the same parameters. Training is a forward and
backward pass, inference a forward pass without gradients; features are in the channels-last order that our residual
networks use on a CPU, or in the usual one. Both sides take turns in one process, medians count. Ours goes by
the forms that were found to be faster, as in `jumok train`.

Inference of SE is the same two passes over the features on both sides. The goals leave a twentieth for what medians of
the very same code differ by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from bench import machine
from bench.measuring import device, interleaved, ratio
from bench.sizes import Size
from bench.spent import tell_spent
from bench.table import Part, Row
from jumok.mechanisms.cbam import CBAM
from jumok.mechanisms.kernels.timing import settle
from jumok.mechanisms.squeeze_excitation import SqueezeExcitation

ROUNDS = 31
NEVER_SLOWER = ">= 1"
REDUCTION = 16
FORMATS = {"channels last": torch.channels_last, "usual order": torch.contiguous_format}


SIZES = (Size(64, 64, 16), Size(16, 256, 28))


class PlainSE(nn.Module):
    """Squeeze and excitation as it is usually written."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(channels // REDUCTION, 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(nn.Linear(channels, middle), nn.ReLU(), nn.Linear(middle, channels), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        batch, channels = features.shape[:2]
        gates = self.gate(self.pool(features).view(batch, channels)).view(batch, channels, 1, 1)
        gated: Tensor = features * gates.expand_as(features)
        return gated


class PlainCBAM(nn.Module):
    """CBAM as it is usually written."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(channels // REDUCTION, 4)
        self.mean, self.largest = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(nn.Conv2d(channels, middle, 1), nn.ReLU(), nn.Conv2d(middle, channels, 1))
        self.around = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        features = features * torch.sigmoid(self.mlp(self.mean(features)) + self.mlp(self.largest(features)))
        pooled = torch.cat([features.mean(1, keepdim=True), features.max(1, keepdim=True).values], 1)
        return features * torch.sigmoid(self.around(pooled))


WAYS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]]] = {
    "SE": (SqueezeExcitation, PlainSE),
    "CBAM": (CBAM, PlainCBAM),
}


PASSES = {("SE", "training"): 8, ("SE", "inference"): 3, ("CBAM", "inference"): 5}
"""Times that the features are read or written at the least, each as a whole; CBAM's backward pass is not counted."""


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    for name in WAYS:
        for size in SIZES:
            for order in FORMATS:
                yield f"{name}, {size}, {order}", partial(_rows, name, size, order)


def _rows(name: str, size: Size, order: str) -> Iterator[Row]:
    for what, kind in (("training", _training), ("inference", _inference)):
        torch.manual_seed(0)
        sides = zip(("ours", "plain"), WAYS[name], strict=True)
        steps = {side: kind(make(size.channels).to(device()), size, order) for side, make in sides}
        settle(steps["ours"])
        times = interleaved(steps, ROUNDS)
        claim = f"{name} {what}, plain / jumok, {size}, {order}"
        both, least = (1e3 * times["ours"], 1e3 * times["plain"]), _least_seconds(name, what, size)
        limit, bound = (None, "") if least is None else (1e3 * least, f"{PASSES[name, what]} passes over the features")
        found, spent = ratio(times, "plain", "ours"), tell_spent(steps["ours"])
        yield Row(claim, found, NEVER_SLOWER, *both, "ms", "", limit, bound, spent)


def _least_seconds(name: str, what: str, size: Size) -> float | None:
    """By the rate of copies of as many bytes, so that a cache that holds them counts."""
    count = 4 * size.batch * size.channels * size.side**2
    passes = PASSES.get((name, what))
    return None if passes is None else passes * count / machine.copy_rate(2 * count)


def _features(size: Size, order: str) -> Tensor:
    shape = (size.batch, size.channels, size.side, size.side)
    return torch.randn(shape, device=device()).contiguous(memory_format=FORMATS[order])


def _training(gate: nn.Module, size: Size, order: str) -> Callable[[], None]:
    features, change = _features(size, order).requires_grad_(), _features(size, order)
    wanted = [features, *gate.parameters()]

    def step() -> None:
        torch.autograd.grad(gate(features), wanted, change)

    return step


def _inference(gate: nn.Module, size: Size, order: str) -> Callable[[], None]:
    features = _features(size, order)
    gate.eval()

    def step() -> None:
        with torch.no_grad():
            gate(features)

    return step
