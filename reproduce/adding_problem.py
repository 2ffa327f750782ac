"""The adding problem: `python -m reproduce adding_problem [--lengths 100 200 600] [--steps N] [--hidden N]`.

A sequence of T pairs: a number drawn from [0, 1], and a mark that is 1 at two places and 0 elsewhere. What is wanted
after the last pair is the sum of the two marked numbers. Who always says 1 has a mean squared error of 1/6 = 0.1667 in
expectation, the variance of the sum of two such numbers (0.1767 is often given for it, which is not that).
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.tasks.running.training_module import mix_seed, seed_everything
from reproduce.rows import Row, positive
from reproduce.sequence_reader import ReadLast, add_training_options, describe_training, train

TITLE = "Adding problem: mean squared error on 5,000 unseen sequences"
ABOUT = (
    "Hochreiter & Schmidhuber 1997, in the form of Bai, Kolter & Koltun 2018 (arXiv 1803.01271, 4 and table 1): add "
    "the two marked ones of T numbers. Differs: fresh sequences at each step, where they draw 50,000 once; 5,000 to "
    "test on, where they have 1,000; Adam with a cosine, not each network's own best settings. Published at T = 600 "
    "besides, about 70 K parameters each: TCN 5.8e-05."
)
SOURCE = "Bai, Kolter & Koltun 2018, arXiv 1803.01271, table 1 (about 70 K parameters each)"
PUBLISHED = {(600, "rnn"): 0.177, (600, "lstm"): 0.164, (600, "gru"): 5.3e-5}
QUICK = {"lengths": [30], "steps": 600, "hidden": 32}
MEASURE = "test MSE"
TESTED = 5000


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--lengths", nargs="+", type=positive, default=[100, 200, 600], help="T (default: %(default)s)")
    add_training_options(parser, hidden=64, steps=4000, batch=32, lr=2e-3, clip=1.0)


def run(options: Namespace) -> Iterator[Row]:
    for length in options.lengths:
        test = draw(TESTED, length, torch.Generator().manual_seed(mix_seed(options.seed, length, "test")))
        naive = F.mse_loss(torch.ones(TESTED, 1), test[1]).item()
        yield Row(f"T = {length}", "always 1", MEASURE, naive, setup="no training")
        for network in options.networks:
            yield _row(options, length, network, test)


def _row(options: Namespace, length: int, network: str, test: tuple[Tensor, Tensor]) -> Row:
    started = time.perf_counter()
    seed_everything(options.seed)
    model = ReadLast(network, inputs=2, outputs=1, hidden=options.hidden)
    fresh = torch.Generator().manual_seed(mix_seed(options.seed, length, "train"))
    train(
        model,
        lambda step: draw(options.batch, length, fresh),
        F.mse_loss,
        steps=options.steps,
        lr=options.lr,
        clip=options.clip,
        name=f"T = {length}, {network}",
    )
    return Row(
        f"T = {length}",
        network,
        MEASURE,
        _error(model, *test),
        published=PUBLISHED.get((length, network)),
        source=SOURCE if (length, network) in PUBLISHED else "",
        setup=describe_training(options, model),
        steps=options.steps,
        seconds=time.perf_counter() - started,
    )


def _error(model: ReadLast, sequences: Tensor, sums: Tensor) -> float:
    with torch.inference_mode():
        said = torch.cat([model(part) for part in sequences.split(100)])
    return F.mse_loss(said, sums).item()


def draw(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of `length` (number, mark) pairs, and the sums of the marked numbers.

    Returns:
        sequences: (count, length, 2).
        sums: (count, 1).

    >>> sequences, sums = draw(4, 10, torch.Generator().manual_seed(0))
    >>> sequences[:, :, 1].sum(1)
    tensor([2., 2., 2., 2.])
    """
    rand = partial(torch.rand, count, length, generator=generator)
    numbers = rand()
    marks = torch.zeros(count, length).scatter(1, rand().topk(2, 1).indices, 1.0)
    return torch.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdim=True)
