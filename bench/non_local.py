"""Non-local blocks, jumok beside a straightforward torch form: `python -m bench non_local`.

The straightforward form is 1 x 1 convolutions, max-pooling, and the equations as they stand, with the weights formed;
its concatenation joins each pair of places to one vector, as published implementations do. Both sub-sample the keys and
have the same parameters, but for biases that change nothing. Training is a forward and backward pass in training mode,
inference a forward pass in eval mode; both take turns in one process, medians count. Extra memory is the peak of the
resident memory during one forward and backward pass of the concatenation, each in a process of its own, above what was
resident before it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import machine
from bench.measuring import device, forget_peak, in_turns, interleaved, ratio, resident
from bench.sizes import Size
from bench.spent import tell_spent
from bench.table import Part, Row
from jumok.mechanisms.kernels.timing import settle
from jumok.mechanisms.non_local import NonLocal
from jumok.mechanisms.pairwise import FORMS

SIZES = (Size(32, 32, 16), Size(16, 64, 32), Size(8, 256, 28))
JOINED = Size(4, 64, 32)  # pairs joined to vectors take a gigabyte here, ten in a whole batch
ROUNDS = 11
NEVER_SLOWER, FASTER, SMALLER = ">= 1", ">= 1.1", ">= 20"


class Straightforward(nn.Module):
    """A non-local block as its equations read."""

    def __init__(self, channels: int, form: str) -> None:
        super().__init__()
        inner = channels // 2
        self.form = form
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.pair = nn.Conv2d(2 * inner, 1, 1, bias=False)
        self.out, self.norm, self.pool = nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels), nn.MaxPool2d(2)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        embedded = self.form != "gaussian"
        theta = (self.theta(features) if embedded else features).flatten(2)
        phi = self.pool(self.phi(features) if embedded else features).flatten(2)
        g = self.pool(self.g(features)).flatten(2)
        if self.form == "concatenation":
            places, keys = theta.shape[2], phi.shape[2]
            pairs = torch.cat(
                [theta[..., None].expand(-1, -1, -1, keys), phi[:, :, None].expand(-1, -1, places, -1)], 1
            )
            weights = self.pair(pairs)[:, 0].relu() / keys
        elif self.form == "dot-product":
            weights = theta.transpose(1, 2) @ phi / phi.shape[2]
        else:
            weights = F.softmax(theta.transpose(1, 2) @ phi, -1)
        y = (weights @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, features.shape[2:])
        changed: Tensor = features + self.norm(self.out(y.contiguous()))
        return changed


WAYS: dict[str, Callable[[int, str], nn.Module]] = {
    "ours": lambda channels, form: NonLocal(channels, form=form),  # type: ignore[arg-type]
    "plain": Straightforward,
}


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    for size, form in dict.fromkeys((_size_of(size, form), form) for size in SIZES for form in FORMS):
        yield f"{form}, {size}", partial(_faster, size, form)
    yield "concatenation, extra memory", lambda: _smaller(threads)


def _size_of(size: Size, form: str) -> Size:
    return JOINED if form == "concatenation" and size.side > 16 else size


def _smaller(threads: int) -> Iterable[Row]:
    (extra,) = in_turns(WAYS, 5, lambda way: [_alone(way, threads)])
    note = "the plain form joins each pair of places"
    claim = f"concatenation, extra memory of a training pass, plain / jumok, {JOINED}"
    return [Row(claim, ratio(extra, "plain", "ours"), SMALLER, extra["ours"], extra["plain"], "MiB", note)]


def products(size: Size, form: str) -> int | None:
    """Operations of a forward pass that are products of matrices; None where pairs are added up another way."""
    if form == "concatenation":
        return None
    places, inner = size.side**2, size.channels // 2
    keys = places // 4
    maps = 1 if form == "gaussian" else 3
    weighed = size.channels if form == "gaussian" else inner
    by_weights = places * keys * (weighed + inner)
    by_sums = weighed * inner * (places + keys) if form == "dot-product" else by_weights
    return 2 * size.batch * ((maps + 1) * places * size.channels * inner + min(by_weights, by_sums))


def _faster(size: Size, form: str) -> list[Row]:
    joined = size == JOINED
    torch.manual_seed(0)
    blocks = {way: make(size.channels, form).to(device()) for way, make in WAYS.items()}
    features = torch.randn(size.batch, size.channels, size.side, size.side, device=device(), requires_grad=True)
    gradient, rows = torch.randn(features.shape, device=device()), []
    for what, training in (("training", True), ("inference", False)):
        for block in blocks.values():
            block.train(training)
        steps = {way: _step(block, features, gradient if training else None) for way, block in blocks.items()}
        if training:
            settle(steps["ours"])  # as `jumok train` does
        times = interleaved(steps, 3 if joined else ROUNDS)
        work = products(size, form)
        least = None if work is None else 1e3 * (3 if training else 1) * work / machine.peak()
        both = 1e3 * times["ours"], 1e3 * times["plain"]
        claim, bound = f"{form}, {what}, plain / jumok, {size}", "products at peak" if work else ""
        goal = FASTER if training else NEVER_SLOWER
        found, spent = ratio(times, "plain", "ours"), tell_spent(steps["ours"])
        rows.append(Row(claim, found, goal, *both, "ms", limit=least, bound=bound, spent=spent))
    return rows


def _step(block: nn.Module, features: Tensor, gradient: Tensor | None) -> Callable[[], object]:
    if gradient is None:
        return torch.inference_mode()(lambda: block(features))
    inputs = [features, *block.parameters()]
    return lambda: torch.autograd.grad(block(features), inputs, gradient, allow_unused=True)


# -- memory, in a process of its own --------------------------------------------------------------


def _alone(way: str, threads: int) -> float:
    command = [sys.executable, "-m", "bench.non_local", way, str(threads)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _print_memory(way: str, threads: int) -> None:
    torch.set_num_threads(threads)
    block = WAYS[way](JOINED.channels, "concatenation").to(device())
    small, full = (
        torch.randn(batch, JOINED.channels, side, side, device=device())
        for batch, side in ((1, 4), (JOINED.batch, JOINED.side))
    )
    block(small).sum().backward()  # threads woken, kernels loaded
    forget_peak()
    before = resident("VmRSS")
    block(full).sum().backward()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    _print_memory(sys.argv[1], int(sys.argv[2]))
