"""Copy memory: `python -m reproduce copy_memory [--lengths 10 1000] [--steps N] [--hidden N]`.

Ten digits out of 1..8, T - 1 blanks (0), then eleven marks (9): T + 20 steps. Wanted: 0 at all steps but the last ten,
where the ten digits are wanted in their order. Who has forgotten them has a loss of 10 ln 8 / (T + 20) at best.
"""

from __future__ import annotations

import dataclasses
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.tasks.running.training_module import mix_seed, seed_everything
from reproduce.rows import Row, positive
from reproduce.sequence_reader import ReadEach, add_training_options, describe_training, train

TITLE = "Copy memory: ten digits after T blanks, 1,000 unseen sequences"
ABOUT = (
    "Hochreiter & Schmidhuber 1997, in the form of Bai, Kolter & Koltun 2018 (arXiv 1803.01271, 4 and table 1): the "
    "loss is the mean cross-entropy over all T + 20 steps; recalled: the share of the ten digits that come back right "
    "(chance: 0.125). Differs: symbols are fed one-hot, where their program feeds the number; fresh sequences at each "
    "step, where they draw 10,000 once; Adam with a cosine. Published at T = 1000 besides, about 16 K parameters each: "
    "TCN 3.5e-05."
)
SOURCE = "Bai, Kolter & Koltun 2018, arXiv 1803.01271, table 1 (about 16 K parameters each)"
PUBLISHED = {(1000, "rnn"): 0.0202, (1000, "lstm"): 0.0204, (1000, "gru"): 0.0197}
QUICK = {"lengths": [5], "steps": 1000}
LOSS, RECALLED = "test loss", "recalled"
TESTED, DIGITS, SYMBOLS, BLANK, MARK = 1000, 10, 10, 0, 9


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--lengths", nargs="+", type=positive, default=[10], help="T (default: %(default)s)")
    add_training_options(parser, hidden=64, steps=10_000, batch=32, lr=5e-3, clip=1.0)


def run(options: Namespace) -> Iterator[Row]:
    for length in options.lengths:
        test = draw(TESTED, length, torch.Generator().manual_seed(mix_seed(options.seed, length, "test")))
        forgotten = DIGITS * math.log(MARK - 1) / (length + 2 * DIGITS)
        yield Row(f"T = {length}", "digits forgotten", LOSS, forgotten, setup="no training; 10 ln 8 / (T + 20)")
        for network in options.networks:
            yield from _rows(options, length, network, test)


def _rows(options: Namespace, length: int, network: str, test: tuple[Tensor, Tensor]) -> Iterator[Row]:
    started = time.perf_counter()
    seed_everything(options.seed)
    model = ReadEach(network, inputs=SYMBOLS, outputs=SYMBOLS, hidden=options.hidden)
    fresh = torch.Generator().manual_seed(mix_seed(options.seed, length, "train"))
    train(
        model,
        lambda step: draw(options.batch, length, fresh),
        _loss,
        steps=options.steps,
        lr=options.lr,
        clip=options.clip,
        name=f"T = {length}, {network}",
    )
    loss, recalled = _tested(model, *test)
    row = Row(
        f"T = {length}",
        network,
        LOSS,
        loss,
        published=PUBLISHED.get((length, network)),
        source=SOURCE if (length, network) in PUBLISHED else "",
        setup=describe_training(options, model),
        steps=options.steps,
        seconds=time.perf_counter() - started,
    )
    yield row
    yield dataclasses.replace(row, measure=RECALLED, ours=recalled, published=None, source="")


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten())


def _tested(model: ReadEach, sequences: Tensor, wanted: Tensor) -> tuple[float, float]:
    with torch.inference_mode():
        logits = torch.cat([model(part) for part in sequences.split(50)])
    right = logits[:, -DIGITS:].argmax(-1) == wanted[:, -DIGITS:]
    return _loss(logits, wanted).item(), right.float().mean().item()


def draw(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences whose ten first digits are to be said again after `length` blanks.

    Returns:
        sequences: (count, length + 20, 10), one-hot.
        wanted: (count, length + 20) int64.

    >>> sequences, wanted = draw(1, 2, torch.Generator().manual_seed(0))
    >>> bool((sequences.argmax(-1)[0, :10] == wanted[0, -10:]).all())
    True
    """
    digits = torch.randint(1, MARK, (count, DIGITS), generator=generator)
    marks = torch.full((count, DIGITS + 1), MARK)
    read = torch.cat([digits, torch.full((count, length - 1), BLANK), marks], 1)
    wanted = torch.cat([torch.full((count, length + DIGITS), BLANK), digits], 1)
    return F.one_hot(read, SYMBOLS).float(), wanted
