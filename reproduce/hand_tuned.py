"""A short training loop, tuned by hand for each set: what a person who knows the set would write."""

from __future__ import annotations

import statistics
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
        stride: of the first convolution.
        widths: channels of the stages, each at half the size of the one before.
        batch, lr: of the steps; SGD with momentum and one cycle of the rate.
        flips: axes along which pictures are mirrored: -1 left and right, -2 top and bottom.
        shift: share of the side by which pictures are moved.
        turn: radians by which they are turned, and the share by which they are sheared and made larger or smaller.
        light: share by which contrast and brightness change.
        passes: over the training pictures, as far as the time allows.
    """

    side: int
    stride: int
    widths: tuple[int, ...]
    batch: int
    lr: float
    flips: tuple[int, ...]
    shift: float
    turn: float
    light: float
    passes: int


class Judged(NamedTuple):
    """How right a model is: of all pictures, and as the mean over classes."""

    accuracy: float
    balanced: float


HAND_TUNED = {
    "cells": Settings(128, 2, (16, 32, 64, 128), 32, 0.1, (-1, -2), 0.06, 0.05, 0.1, 80),
    "photographs": Settings(32, 1, (32, 64, 128), 64, 0.05, (-1,), 0.12, 0.05, 0.1, 150),
    "digits": Settings(28, 1, (24, 48, 96), 16, 0.1, (), 0.1, 0.2, 0.0, 600),
    "inspection": Settings(64, 1, (16, 32, 64, 128), 64, 0.05, (-1, -2), 0.06, 0.05, 0.1, 40),
    "inspection-few": Settings(64, 1, (16, 32, 64, 128), 32, 0.05, (-1, -2), 0.06, 0.05, 0.1, 150),
}


def accuracy_by_hand(folder: Path, settings: Settings, seed: int, seconds: float, part: str = "test") -> Judged:
    """Train for the passes set by hand, or as long as the time allows, and test.

    Args:
        folder: of train/ val/ test/.
        settings: for this set.
        seed: of weights and order.
        seconds: of the processors, in which the rate comes down.
        part: that is tested; settings are chosen on "val".
    """
    torch.manual_seed(seed)
    began, done = time.process_time(), 0
    sets = scan(folder)
    pixels, labels = _read(sets["train"], settings.side)
    model = _build(settings, len(sets["train"].classes)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=settings.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = max(len(labels) // settings.batch, 1) * settings.passes
    order = torch.empty(0, dtype=torch.int64)
    while (share := max(done / steps, (time.process_time() - began) / seconds)) < 1:
        optimiser.param_groups[0]["lr"] = settings.lr * min(share / 0.2, (1 - share) / 0.8)
        if len(order) < min(settings.batch, len(labels)):
            order = torch.randperm(len(labels))
        chosen, order = order[: settings.batch], order[settings.batch :]
        images = _vary(pixels[chosen].float() / 255 - 0.5, settings)
        said = model(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(said, labels[chosen], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done += 1
    return _test(model.eval(), *_read(sets[part], settings.side))


class _Block(nn.Module):
    """A convolution that halves the image, and two beside a path that leaves it as it is."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(channels_in, channels, stride)
        self.branch = nn.Sequential(_convolution(channels, channels, 1), _convolution(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        features = self.first(features)
        return features + self.branch(features)


def _convolution(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


def _build(settings: Settings, classes: int) -> nn.Sequential:
    first, *_ = widths = settings.widths
    stages = [_Block(before, width, 2) for before, width in zip((first, *widths), widths, strict=False)]
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(widths[-1], classes))
    return nn.Sequential(_convolution(3, first, settings.stride), *stages, *last)


def _vary(images: Tensor, settings: Settings) -> Tensor:
    """Each image mirrored, moved, turned, sheared, made larger or smaller, lighter or darker."""
    count = len(images)
    places = torch.eye(2, 3).repeat(count, 1, 1)
    places[:, :, :2] += settings.turn * (2 * torch.rand(count, 2, 2) - 1)
    places[:, :, 2] = 2 * settings.shift * (2 * torch.rand(count, 2) - 1)
    for axis in settings.flips:
        places[:, axis + 2 if axis == -2 else 0] *= torch.randint(0, 2, (count, 1)) * 2 - 1
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    light = 1 + settings.light * (2 * torch.rand(2, count, 1, 1, 1) - 1)
    return images * light[0] + (light[1] - 1) / 2


def _read(images: ImageSet, side: int) -> tuple[Tensor, Tensor]:
    store = PixelStore(images.paths, side, side).load()
    return store.get(torch.arange(len(images))), torch.tensor(images.labels)


@torch.no_grad()
def _test(model: nn.Module, pixels: Tensor, labels: Tensor) -> Judged:
    said = torch.cat([model(part.float() / 255 - 0.5).argmax(-1) for part in pixels.split(64)])
    right = (said == labels).float()
    recalls = [float(right[labels == label].mean()) for label in labels.unique()]
    return Judged(float(right.mean()), statistics.mean(recalls))
