"""A short training loop, tuned by hand for each set: what a person who knows the set would write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.data.images.batches import PixelStore
from jumok.data.images.folders import ImageSet, scan


class Settings(NamedTuple):
    """What was chosen by hand.

    Args:
        side: pixels of the square that pictures are brought to.
        widths: channels of the convolutions, each of which is followed by a halving.
        batch, lr: of the steps; SGD with momentum and one cycle of the rate.
        flips: axes along which pictures are mirrored: -1 left and right, -2 top and bottom.
        shift: pixels by which pictures are moved.
        passes: over the training pictures.
    """

    side: int
    widths: tuple[int, ...]
    batch: int
    lr: float
    flips: tuple[int, ...]
    shift: int
    passes: int


HAND_TUNED = {
    "cells": Settings(160, (32, 32, 64, 64, 128), 32, 0.05, (-1, -2), 8, 40),
    "photographs": Settings(32, (64, 128, 128), 32, 0.1, (-1,), 4, 60),
    "digits": Settings(28, (32, 64, 128), 16, 0.1, (), 3, 120),
}


def accuracy_by_hand(folder: Path, settings: Settings, seed: int, seconds: float) -> float:
    """Train for the passes set by hand, or as long as the time allows, and test.

    Args:
        folder: of train/ val/ test/.
        settings: for this set.
        seed: of weights and order.
        seconds: after which the rate has come down.
    """
    torch.manual_seed(seed)
    sets = scan(folder)
    pixels, labels = _read(sets["train"], settings.side)
    model = _build(settings.widths, len(sets["train"].classes)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=settings.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = max(len(labels) // settings.batch, 1) * settings.passes
    began, done = time.monotonic(), 0
    while (share := max(done / steps, (time.monotonic() - began) / seconds)) < 1:
        optimiser.param_groups[0]["lr"] = settings.lr * min(share / 0.2, (1 - share) / 0.8)
        chosen = torch.randint(len(labels), (settings.batch,))
        images = _vary(pixels[chosen].float() / 255 - 0.5, settings)
        loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done += 1
    return _test(model.eval(), *_read(sets["test"], settings.side))


def _build(widths: tuple[int, ...], classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels_in, channels in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(channels_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(widths[-1], classes)
    )


def _vary(images: Tensor, settings: Settings) -> Tensor:
    for axis in settings.flips:
        images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(axis), images)
    down, across = torch.randint(-settings.shift, settings.shift + 1, (2,)).tolist()
    return torch.roll(images, (down, across), (-2, -1))


def _read(images: ImageSet, side: int) -> tuple[Tensor, Tensor]:
    store = PixelStore(images.paths, side, side).load()
    return store.get(torch.arange(len(images))), torch.tensor(images.labels)


@torch.no_grad()
def _test(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    said = [model(part.float() / 255 - 0.5).argmax(-1) for part in pixels.split(64)]
    return float((torch.cat(said) == labels).float().mean())
