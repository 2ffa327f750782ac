"""Batches of numbers, of which it can be told where they came from."""

import threading

import numpy as np
import torch
from PIL import Image

from jumok.data.images.batches import Batches
from jumok.data.sharded_batches import THREADS


class Numbers:
    """A source whose images are their own numbers."""

    def __init__(self, count):
        self.count = count
        self.asked = []

    def __len__(self):
        return self.count

    def get(self, indices):
        self.asked.append(indices.tolist())
        return indices.to(torch.uint8)[:, None, None, None].expand(-1, 3, 1, 1)


def deal(count, size, **options):
    options = {"shuffle": True, "drop_last": False, **options}
    return Batches(Numbers(count), torch.arange(count) * 10, batch_size=size, **options)


def taken(batches, number=None):
    """The indices of the next batches, one pass after another as a training loop goes through them."""
    seen, passes = [], 0
    while number is None or len(seen) < number:
        for batch in batches:
            seen.append(batch.indices.tolist())
            if len(seen) == number:
                break
        passes += 1
        if number is None:
            break
    return seen


def our_threads():
    """Those that read batches; the threads of compiled loops stay for good once a loop has run."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(THREADS) and not name.startswith(f"{THREADS}loops")]


def write_files(folder):
    """37 images of several sizes and modes."""
    chance = np.random.default_rng(0)
    paths = []
    for number in range(37):
        shape = (9 + number % 5, 12 + number % 3) + ((3,) if number % 2 else ())
        paths.append(folder / f"{number:02d}.png")
        Image.fromarray(chance.integers(0, 255, shape, dtype=np.uint8)).save(paths[-1])
    return paths
