"""Training of networks on images that lie in memory: for the tables of RAM, STN, and the networks of CIFAR-10."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.tasks.running.optimiser import group_parameters, rate
from jumok.tasks.running.training_module import seed_everything

Change = Callable[[Tensor, torch.Generator], Tensor]
"""(batch, channels, height, width) float to the same: augmentation, or making the harder images of a table."""
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(model, pixels, labels) to a scalar."""
REPORTS = 20


@dataclass(frozen=True)
class Images:
    """Images with their classes.

    Args:
        pixels: (count, channels, height, width) uint8.
        labels: (count,) int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels in [0, 1] and labels of some images."""
        return self.pixels[rows].float() / 255, self.labels[rows]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Args:
        epochs: passes over the images.
        batch: images per step.
        lr: highest learning rate; it rises over a twentieth of the steps and falls in a cosine.
        optimiser: "adam" (AdamW) or "sgd" (momentum 0.9, Nesterov).
        weight_decay: on matrices and kernels only.
        clip: the largest norm that a gradient keeps; 0: no limit.
        seed: of the weights, the order and the changes.
    """

    epochs: int
    batch: int = 128
    lr: float = 1e-3
    optimiser: str = "adam"
    weight_decay: float = 0.0
    clip: float = 0.0
    seed: int = 0


OPTIMISERS: dict[str, Callable[[list[dict[str, Any]], float], torch.optim.Optimizer]] = {
    "adam": lambda groups, lr: torch.optim.AdamW(groups, lr=lr, fused=True),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}


def cross_entropy(model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """The usual loss of a classifier."""
    return F.cross_entropy(model(pixels), labels)


def train(
    make: Callable[[], nn.Module],
    images: Images,
    training: Training,
    *,
    change: Change | None = None,
    loss: Loss = cross_entropy,
    name: str,
) -> tuple[nn.Module, float]:
    """Build a network and train it, saying on stderr how far it is.

    Args:
        make: builds the network, with weights that the seed decides.
        images: to learn from.
        training: how.
        change: of each batch, with random numbers of its own.
        loss: what is minimised.
        name: for the lines on stderr.
    Returns:
        the network in eval mode, and the seconds that it took.
    """
    seed_everything(training.seed)
    model = make().train()
    drawn = torch.Generator().manual_seed(training.seed)
    optimiser = OPTIMISERS[training.optimiser](group_parameters(model, training.weight_decay), training.lr)
    steps, started, done = training.epochs * (len(images) // training.batch), time.perf_counter(), 0
    for _ in range(training.epochs):
        for rows in torch.randperm(len(images), generator=drawn).split(training.batch):
            if len(rows) < training.batch:
                continue
            for group in optimiser.param_groups:
                group["lr"] = training.lr * rate(done, steps, 0.05)
            pixels, labels = images.batch(rows)
            value = loss(model, pixels if change is None else change(pixels, drawn), labels)
            optimiser.zero_grad()
            value.backward()
            if training.clip:
                nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            optimiser.step()
            done += 1
            if done % max(1, steps // REPORTS) == 0:
                spent = time.perf_counter() - started
                print(f"{name}: step {done} of {steps}, loss {value.item():.4f}, {spent:.0f} s", file=sys.stderr)
    return model.eval(), time.perf_counter() - started


@torch.no_grad()
def error(model: nn.Module, images: Images, *, change: Change | None = None, seed: int = 0, batch: int = 500) -> float:
    """The share of the images that are named wrong, in %.

    Args:
        change: of each batch, with random numbers that the seed decides: the same images for every network.
    """
    drawn = torch.Generator().manual_seed(seed)
    wrong = 0
    for rows in torch.arange(len(images)).split(batch):
        pixels, labels = images.batch(rows)
        logits = model(pixels if change is None else change(pixels, drawn))
        wrong += int((logits.argmax(-1) != labels).sum())
    return 100 * wrong / len(images)
