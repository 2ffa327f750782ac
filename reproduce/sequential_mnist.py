"""Sequential MNIST: `python -m reproduce sequential_mnist --data DIR [--by rows pixels] [--epochs N]`.

A digit is read row by row (28 steps of 28 pixels) or pixel by pixel (784 steps of one), then named. DIR holds MNIST's
four IDX files, plain or .gz.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.tasks.running.training_module import mix_seed, seed_everything
from jumok.wording import write_count
from reproduce.idx import read_digits
from reproduce.rows import Row, positive
from reproduce.sequence_reader import NETWORKS, Batches, ReadLast, size, train

TITLE = "Sequential MNIST: share of the test digits named right, in %"
ABOUT = (
    "Le, Jaitly & Hinton 2015 (arXiv 1504.00941), in the form of Bai, Kolter & Koltun 2018 (arXiv 1803.01271, 4 and "
    "table 1), who read pixel by pixel; by rows is the same digits in 28 steps, and has no published figure there. "
    "Differs: epochs as stated, Adam with a cosine, the batches' size. Published by pixels besides, about 70 K "
    "parameters each: TCN 99.0."
)
SOURCE = "Bai, Kolter & Koltun 2018, arXiv 1803.01271, table 1 (about 70 K parameters each)"
PUBLISHED = {("pixels", "rnn"): 21.5, ("pixels", "lstm"): 87.2, ("pixels", "gru"): 96.2}
QUICK = {"by": ["rows"], "epochs": 1, "images": 6000}
MEASURE = "test accuracy, %"
MEAN, SPREAD = 0.1307, 0.3081  # of all pixels of MNIST's training images
DIGITS = 10

Digits = tuple[Tensor, Tensor]
"""Sequences (count, steps, inputs) and labels (count,)."""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds MNIST's four IDX files")
    parser.add_argument("--by", nargs="+", choices=("rows", "pixels"), default=["rows"], help="default: rows")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument("--hidden", type=positive, default=128, help="size of the state (default: %(default)s)")
    parser.add_argument("--epochs", type=positive, default=3, help="passes over the images (default: %(default)s)")
    parser.add_argument("--images", type=positive, help="train on the first so many only (default: all)")
    parser.add_argument("--batch", type=positive, default=64, help="images per step (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a gradient (default: %(default)s)")


def run(options: Namespace) -> Iterator[Row]:
    images, labels = read_digits(options.data, "train")
    images, labels = images[: options.images], labels[: options.images]
    test_images, test_labels = read_digits(options.data, "test")
    for by in options.by:
        digits, test = (as_steps(images, by), labels), (as_steps(test_images, by), test_labels)
        for network in options.networks:
            yield _row(options, by, network, digits, test)


def _row(options: Namespace, by: str, network: str, digits: Digits, test: Digits) -> Row:
    started = time.perf_counter()
    seed_everything(options.seed)
    model = ReadLast(network, inputs=digits[0].shape[2], outputs=DIGITS, hidden=options.hidden)
    steps = options.epochs * _per_epoch(len(digits[1]), options.batch)
    batches = shuffled(digits, options.batch, options.seed)
    name = f"by {by}, {network}"
    train(model, batches, F.cross_entropy, steps=steps, lr=options.lr, clip=options.clip, name=name)
    return Row(
        f"by {by} ({digits[0].shape[1]} steps)",
        network,
        MEASURE,
        _accuracy(model, test),
        published=PUBLISHED.get((by, network)),
        source=SOURCE if (by, network) in PUBLISHED else "",
        setup=f"hidden {options.hidden} ({size(model):,} parameters), {len(digits[1]):,} images, "
        f"{write_count(options.epochs, 'epoch')} in batches of {options.batch}, "
        f"Adam {options.lr:g}, clip {options.clip:g}",
        steps=steps,
        seconds=time.perf_counter() - started,
    )


def as_steps(images: Tensor, by: str) -> Tensor:
    """(count, rows, columns) bytes to (count, steps, inputs) floats, brought to mean 0 and spread 1."""
    scaled = (images.float() / 255 - MEAN) / SPREAD
    return scaled if by == "rows" else scaled.flatten(1)[..., None]


def _per_epoch(images: int, batch: int) -> int:
    return -(-images // batch)


def shuffled(digits: Digits, batch: int, seed: int) -> Batches:
    """Batches by the step's number; each epoch sees every digit once, in an order of its own."""
    count = len(digits[1])
    per_epoch = _per_epoch(count, batch)

    def order(epoch: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed(seed, "order", epoch)))

    orders = {0: order(0)}

    def batches(step: int) -> Digits:
        epoch, place = divmod(step, per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = order(epoch)
        chosen = orders[epoch][place * batch : (place + 1) * batch]
        return digits[0][chosen], digits[1][chosen]

    return batches


def _accuracy(model: ReadLast, test: Digits) -> float:
    with torch.inference_mode():
        said = torch.cat([model(part).argmax(-1) for part in test[0].split(200)])
    return 100 * (said == test[1]).float().mean().item()
