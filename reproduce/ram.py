"""RAM on MNIST: `python -m reproduce ram --data DIR [--case 28x28-6 ...] [--epochs N]`.

A digit is named from a few glimpses: in place, moved about in a larger image, or moved about among pieces of other
digits. Beside each error stands that of the same weights where the places are not chosen. DIR holds MNIST's four IDX
files, plain or .gz.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.systems.ram import RAM, RAMConfig
from jumok.wording import write_count
from reproduce.idx import read_digits
from reproduce.image_training import Change, Images, Training, error, train
from reproduce.rows import Row, positive

TITLE = "RAM on MNIST: share of the test digits named wrong, in %"
ABOUT = (
    "Mnih, Heess, Graves & Kavukcuoglu 2014. The paper has two versions with different figures: published here is that "
    "of the NIPS 27 proceedings (tables 1 and 2); arXiv 1406.6247 has 6.27 / 1.73 / 1.29 for 2 / 4 / 6 glimpses of "
    "28x28, 1.86 for 60x60 translated and 5.23 for 60x60 cluttered. No Monte-Carlo averaging in our test: one scanpath "
    "per image, the likeliest. Beside it, with the same weights: a scanpath drawn with the noise of training, places "
    "drawn evenly from the image whatever was seen (the first is the middle), and all glimpses in the middle. "
    "The model that is published with random places was trained with them; ours was not. Differs from the paper: the "
    "first glimpse is the middle, a hidden layer chooses the location beside a learned habit, Gaussian through tanh, "
    "the reward is the probability of the true class, the class is asked for after early glimpses too, the noise "
    "falls, AdamW with a cosine; 28x28 digits are moved by up to 2 pixels each way in training."
)
SOURCE = "Mnih et al. 2014, NIPS 27, {} (arXiv 1406.6247: {})"
MEASURE = "test error, %"
DIGITS, SIDE, LARGE = 10, 28, 60
PIECES, PIECE = 4, 8
SPREAD = 0.3081  # of the brightness of all pixels of MNIST's training images
QUICK = {"case": ["28x28-6"], "epochs": 1, "images": 6000}


class Case(NamedTuple):
    """A row of the paper's tables.

    Args:
        name: as the table has it.
        side: of the images, in pixels.
        glimpses, size, scales: of the model.
        pieces: of other digits in an image.
        published: in the proceedings; `arxiv`: in the other version; `random`: with random places.
        table: where in the proceedings.
        goal: for the error with the likeliest places.
    """

    name: str
    side: int
    glimpses: int
    size: int
    scales: int
    pieces: int
    published: float
    arxiv: float
    table: str
    random: float | None = None
    goal: str = ""


CASES: Mapping[str, Case] = {
    "28x28-6": Case("28x28, 6 glimpses", SIDE, 6, 8, 1, 0, 1.12, 1.29, "table 1a", goal="<= 1.3"),
    "28x28-4": Case("28x28, 4 glimpses", SIDE, 4, 8, 1, 0, 1.54, 1.73, "table 1a"),
    "28x28-2": Case("28x28, 2 glimpses", SIDE, 2, 8, 1, 0, 3.79, 6.27, "table 1a"),
    "translated-6": Case("60x60 translated, 6 glimpses", LARGE, 6, 12, 3, 0, 1.22, 1.86, "table 1b"),
    "cluttered-8": Case("60x60 cluttered, 8 glimpses", LARGE, 8, 12, 3, PIECES, 4.04, 5.23, "table 2", 14.4),
}


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds MNIST's four IDX files")
    parser.add_argument("--case", nargs="+", choices=CASES, default=["28x28-6"], help="default: 28x28-6")
    parser.add_argument("--epochs", type=positive, default=100, help="passes over the images (default: %(default)s)")
    parser.add_argument("--images", type=positive, help="train on the first so many only (default: all)")
    parser.add_argument("--batch", type=positive, default=128, help="images per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--std", type=float, default=0.1, help="noise on locations, at the end (default: %(default)s)")
    parser.add_argument(
        "--first-std", type=float, default=0.3, help="at the start; falls over two thirds (default: 0.3)"
    )
    parser.add_argument("--samples", type=positive, default=1, help="scanpaths per image in training (default: 1)")
    parser.add_argument("--policy-rate", type=float, default=2**-6, help="of the location network (default: 1/64)")
    parser.add_argument("--weight-decay", type=float, default=0.01, help="of AdamW (default: %(default)s)")
    parser.add_argument(
        "--shift", type=int, default=2, help="most pixels a 28x28 digit is moved (default: %(default)s)"
    )


def run(options: Namespace) -> Iterator[Row]:
    learned, test = (_images(options.data, part) for part in ("train", "test"))
    learned = Images(learned.pixels[: options.images], learned.labels[: options.images])
    for name in options.case:
        yield from _rows(options, CASES[name], learned, test)


def _images(folder: Path, part: str) -> Images:
    pixels, labels = read_digits(folder, part)
    return Images(pixels[:, None], labels)


def _rows(options: Namespace, case: Case, learned: Images, test: Images) -> Iterator[Row]:
    model, seconds = train(
        partial(_model, options, case),
        learned,
        Training(options.epochs, options.batch, options.lr, weight_decay=options.weight_decay, seed=options.seed),
        change=_change(case, options.shift),
        loss=Falling(options.first_std, options.std, options.epochs * (len(learned) // options.batch)),
        name=case.name,
    )
    assert isinstance(model, RAM)
    shown = _change(case, 0)
    source = SOURCE.format(case.table, case.arxiv)
    row = partial(
        Row, case.name, measure=MEASURE, setup=_setup(options, case, model, len(learned)), seconds=seconds,
        steps=options.epochs * (len(learned) // options.batch),
    )  # fmt: skip
    yield row("RAM", ours=error(model, test, change=shown), goal=case.goal, published=case.published, source=source)
    for name, control in model.controls().items():
        published = case.random if name == "random places" else None
        yield row(
            f"same, {name}",
            ours=error(control, test, change=shown),
            published=published,
            source=source if published else "",
        )


def _model(options: Namespace, case: Case) -> RAM:
    config = RAMConfig(
        classes=DIGITS, image_size=case.side, channels=1, glimpses=case.glimpses, size=case.size, scales=case.scales,
        std=options.std, samples=options.samples, policy_rate=options.policy_rate,
    )  # fmt: skip
    return RAM(config)


def _setup(options: Namespace, case: Case, model: RAM, images: int) -> str:
    size = sum(parameter.numel() for parameter in model.parameters())
    moved = f"moved by up to {options.shift} px" if case.side == SIDE and options.shift else ""
    clutter = f"{case.pieces} pieces of {PIECE}x{PIECE}" if case.pieces else ""
    parts = [
        f"{case.size}x{case.size}, {case.scales} scale{'s' * (case.scales > 1)}, {size:,} parameters",
        f"{images:,} images, {write_count(options.epochs, 'epoch')} in batches of {options.batch}",
        f"AdamW {options.lr:g}, decay {options.weight_decay:g}",
        f"noise {options.first_std:g} to {options.std:g}, policy rate {options.policy_rate:g}",
        f"{options.samples} scanpath{'s' * (options.samples > 1)} per image in training",
        moved,
        clutter,
    ]
    return ", ".join(part for part in parts if part)


class Falling:
    """RAM's loss, with noise on the locations that falls evenly over the first two thirds of the steps.

    Wide noise at first shows the network the whole image, and REINFORCE which way is better over long distances.
    """

    def __init__(self, first: float, last: float, steps: int) -> None:
        self._first, self._last, self._steps, self._done = first, last, steps, 0

    def __call__(self, model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        assert isinstance(model, RAM)
        model.std = self._last + (self._first - self._last) * max(0.0, 1 - 1.5 * self._done / self._steps)
        self._done += 1
        return model.loss(pixels, F.one_hot(labels, DIGITS).float())


# -- the images of the tables -------------------------------------------------------------------


def _change(case: Case, shift: int) -> Change:
    """The case's images, with brightness in units of its spread over MNIST; the background stays 0."""
    make = partial(_placed, side=SIDE, most=shift) if case.side == SIDE else partial(cluttered, pieces=case.pieces)
    return lambda pixels, drawn: make(pixels, drawn) / SPREAD


def cluttered(digits: Tensor, drawn: torch.Generator, pieces: int = PIECES, side: int = LARGE) -> Tensor:
    """Put each digit anywhere in a larger image, and pieces of other digits anywhere over it.

    Args:
        digits: (batch, 1, 28, 28) in [0, 1].
        drawn: the random numbers.
        pieces: how many, of 8 x 8 pixels each, out of other digits of the batch.
        side: of the larger image.
    Returns:
        (batch, 1, side, side) in [0, 1]; where a piece falls on something, the brighter of both.
    Source: Mnih et al. 2014, 4.1: 4 pieces in an image of 60 x 60.
    """
    image = _placed(digits, drawn, side=side, most=side - digits.shape[-1])
    all_pieces = digits.unfold(2, PIECE, 1).unfold(3, PIECE, 1)
    most = all_pieces.shape[2]
    for _ in range(pieces):
        other = (torch.arange(len(digits)) + torch.randint(1, max(len(digits), 2), (1,), generator=drawn)) % len(digits)
        top, left = torch.randint(0, most, (2, len(digits)), generator=drawn)
        piece = all_pieces[other, :, top, left]
        image = torch.maximum(image, _placed(piece, drawn, side=side, most=side - PIECE))
    return image


def _placed(images: Tensor, drawn: torch.Generator, *, side: int, most: int) -> Tensor:
    """Move each image by its own whole number of pixels within a canvas; what leaves it is lost.

    Args:
        images: (batch, channels, size, size).
        side: of the canvas, at least size.
        most: pixels; from the first corner where the canvas is larger, each way where it is as large as the image.
    """
    size = images.shape[-1]
    before = most if side == size else 0
    down, right = torch.randint(-before, most + 1, (2, len(images)), generator=drawn)
    room = side - size + before  # of empty pixels around, so that every move is a window of the padded image
    canvases = F.pad(images, (room,) * 4).unfold(2, side, 1).unfold(3, side, 1)
    return canvases[torch.arange(len(images)), :, room - down, room - right]
