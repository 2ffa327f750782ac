"""Distorted MNIST: `python -m reproduce stn --data DIR [--distortions R RTS] [--seeds 3] [--epochs 12 4]`.

Digits that are turned (R), or turned, scaled and moved in a larger image (RTS), named by a network of convolutions
alone and by one that looks at a region of its own choice first; both with as many parameters. DIR holds MNIST's four
IDX files, plain or .gz.
"""

from __future__ import annotations

import statistics
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.spatial_transformer import TRANSFORMS, SpatialTransformer
from jumok.wording import write_count
from reproduce.distorted import CANVAS, DISTORTIONS
from reproduce.idx import read_digits
from reproduce.image_training import Images, Training, error, train
from reproduce.rows import Row, positive

TITLE = "Distorted MNIST: test error, with and without a spatial transformer"
ABOUT = (
    "Jaderberg, Simonyan, Zisserman & Kavukcuoglu 2015 (arXiv 1506.02025, 4.1, table 1 and the appendix): R turns each "
    "digit by -90 to 90 degrees; RTS by -45 to 45, scales it by 0.7 to 1.2 and puts it at a random place of 42 x 42 "
    "pixels. Networks of the paper's form: convolutions of 9 x 9 and 7 x 7, each with 2 x 2 max-pooling, and a linear "
    "layer; the localisation network two of 5 x 5 with 20 filters on the image at half its size, and 20 units. Both "
    "networks of a table have as many parameters: the second convolution's filters are chosen so. Differs: about 110 K "
    "parameters, not 400 K; epochs as stated, not 150,000 steps of 256; Adam with a cosine, not SGD in steps; "
    "distortions drawn anew for every batch; on RTS the transformer makes a 28 x 28 crop, where the paper averages "
    "its crop down by 2; the test digits are distorted once, by a seed of their own, the same for every network."
)
SOURCE = "Jaderberg et al. 2015, arXiv 1506.02025, table 1 (CNN, ST-CNN; about 400 K parameters)"
PUBLISHED = {("R", "cnn"): 1.2, ("RTS", "cnn"): 0.8, ("R", "affine"): 0.7, ("RTS", "affine"): 0.5}
QUICK = {"distortions": ["R"], "seeds": 1, "epochs": [1], "images": 6000, "tested": 2000}
DIGIT, CLASSES = 28, 10
FILTERS = (32, 64)
LOCAL = 20
TEST_SEED = 2015


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds MNIST's four IDX files")
    parser.add_argument("--distortions", nargs="+", choices=DISTORTIONS, default=list(DISTORTIONS), help="default: all")
    parser.add_argument(
        "--transforms", nargs="+", choices=TRANSFORMS, default=["affine"], help="to compare with (default: affine)"
    )
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each, from --seed on (default: 3)")
    parser.add_argument(
        "--epochs", nargs="+", type=positive, default=[12, 4], help="for each distortion (default: 12 4)"
    )
    parser.add_argument("--batch", type=positive, default=128, help="images per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--images", type=positive, help="train on the first so many only (default: all)")
    parser.add_argument("--tested", type=positive, help="test on the first so many only (default: all)")


def run(options: Namespace) -> Iterator[Row]:
    if len(options.epochs) != len(options.distortions):
        raise JumokError(
            f"--epochs names {len(options.epochs)} numbers for {len(options.distortions)} distortions: give one each"
        )
    images, test = (_digits(options.data, part, most) for part, most in _parts(options))
    for distortion, epochs in zip(options.distortions, options.epochs, strict=True):
        yield from _case(options, distortion, epochs, images, test)


def _parts(options: Namespace) -> list[tuple[str, int | None]]:
    return [("train", options.images), ("test", options.tested)]


def _digits(folder: Path, part: str, most: int | None) -> Images:
    pixels, labels = read_digits(folder, part)
    return Images(pixels[:most, None], labels[:most])


class Trained(NamedTuple):
    """One training's figures."""

    error: float
    steps: int
    seconds: float
    setup: str


def _case(options: Namespace, distortion: str, epochs: int, images: Images, test: Images) -> Iterator[Row]:
    """The rows of one distortion: a row per training, then those that come of all seeds so far."""
    networks = ["cnn", *options.transforms]
    done: dict[str, list[Trained]] = {network: [] for network in networks}
    for seed in range(options.seed, options.seed + options.seeds):
        for network in networks:
            training = Training(epochs, options.batch, options.lr, seed=seed)
            found = _trained(distortion, network, training, images, test)
            done[network].append(found)
            measure = f"test error, %, seed {seed}"
            yield _row(distortion, network, measure, found.error, found.steps, found.seconds, found.setup)
        for network, every in done.items():
            yield _mean(distortion, network, every)
    for network in options.transforms if options.seeds > 1 else ():
        yield _gain(distortion, network, done)


def _row(distortion: str, network: str, measure: str, ours: float, steps: int, seconds: float, setup: str) -> Row:
    published = PUBLISHED.get((distortion, network))
    source = SOURCE if published is not None else ""
    name = network if network == "cnn" else f"st-cnn, {network}"
    return Row(
        distortion, name, measure, ours, published=published, source=source, setup=setup, steps=steps, seconds=seconds
    )


def _mean(distortion: str, network: str, every: list[Trained]) -> Row:
    errors = [each.error for each in every]
    spread = f"{len(errors)} seeds, {min(errors):.2f} to {max(errors):.2f}"
    seconds = sum(each.seconds for each in every)
    return _row(distortion, network, "test error, %, mean", statistics.mean(errors), every[0].steps, seconds, spread)


def _gain(distortion: str, network: str, done: Mapping[str, list[Trained]]) -> Row:
    """What the transformer brings, against the larger of both spreads over seeds."""
    plain, other = ([each.error for each in done[name]] for name in ("cnn", network))
    spread = max(max(errors) - min(errors) for errors in (plain, other))
    return Row(
        distortion,
        f"cnn minus st-cnn, {network}",
        "difference of the mean test errors, %",
        statistics.mean(plain) - statistics.mean(other),
        goal=f">= {spread:.3f}",
        setup=f"{len(plain)} seeds each; the goal is the larger spread over seeds, largest minus smallest error",
    )


def _trained(distortion: str, network: str, training: Training, images: Images, test: Images) -> Trained:
    change, side = DISTORTIONS[distortion], CANVAS if distortion == "RTS" else DIGIT
    model, seconds = train(
        maker(side, network),
        images,
        training,
        change=change,
        name=f"{distortion}, {network}, seed {training.seed}",
    )
    wrong = error(model, test, change=change, seed=TEST_SEED)
    setup = (
        f"{size(model):,} parameters, {len(images):,} images, {write_count(training.epochs, 'epoch')} in batches of "
    )
    setup += f"{training.batch}, Adam {training.lr:g}"
    if isinstance(model, Transformed):
        setup += f"; {_regions(model, _some(test, change))}"
    return Trained(wrong, training.epochs * (len(images) // training.batch), seconds, setup)


def _some(test: Images, change: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
    pixels, _ = test.batch(torch.arange(min(1000, len(test))))
    return change(pixels, torch.Generator().manual_seed(TEST_SEED))


@torch.no_grad()
def _regions(model: Transformed, pixels: Tensor) -> str:
    """How large the regions are that the network looks at, and how much of them lies outside the image."""
    regions = model.look.axes(model.localise(pixels))
    outside = statistics.mean(region.outside for region in regions)
    scale = statistics.mean(region.scale for region in regions)
    return f"regions {scale:.2f} of the image's side, {outside:.1%} of the samples outside"


# -- the networks ---------------------------------------------------------------------------------


def maker(side: int, network: str) -> Callable[[], nn.Module]:
    """What builds a network for images of so many pixels a side: all that it builds have as many parameters."""
    plain = classifier(side, FILTERS[1])
    if network == "cnn":
        return lambda: classifier(side, FILTERS[1])
    filters = next(
        count for count in range(FILTERS[1] + 8, 0, -1) if size(Transformed(side, network, count)) <= size(plain)
    )
    return lambda: Transformed(side, network, filters)


def classifier(side: int, filters: int) -> nn.Sequential:
    """The paper's CNN. Pooling before the rectifier gives the same and is quicker."""
    left = ((side - 8) // 2 - 6) // 2
    return nn.Sequential(
        nn.Conv2d(1, FILTERS[0], 9),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(FILTERS[0], filters, 7),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(filters * left**2, CLASSES),
    )


class Transformed(nn.Module):
    """The paper's ST-CNN: a region is looked at, and the classifier sees a 28 x 28 crop of it."""

    def __init__(self, side: int, transform: str, filters: int) -> None:
        super().__init__()
        left = (side // 2 - 4) // 2 - 4
        self.localise = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(1, LOCAL, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(LOCAL, LOCAL, 5),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(LOCAL * left**2, LOCAL),
            nn.ReLU(),
        )
        self.look = SpatialTransformer(LOCAL, (DIGIT, DIGIT), transform)
        self.classify = classifier(DIGIT, filters)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.look(pixels, self.localise(pixels)))
        return logits


def size(model: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(values.numel() for values in model.parameters())
