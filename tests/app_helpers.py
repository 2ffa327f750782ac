"""Running the command line as a user does, on a small folder of images."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

TINY = "--system vit-nano --option width=16 --option depth=2 --option heads=2 --option patch=4 --option stem=patch"
QUICK = [*TINY.split(), *["--device", "cpu", "--threads", "1", "--epochs", "2", "--batch-size", "8"]]


def write_coloured(folder: Path, each: int = 16, classes: tuple[str, ...] = ("blue", "green", "red")) -> Path:
    chance = np.random.default_rng(0)
    for channel, name in zip((2, 1, 0), classes, strict=False):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = chance.integers(0, 150, (16, 16, 3))
            pixels[..., channel] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03}.png")
    return folder


def start(*arguments: object, launcher: tuple[str, ...] = (), **options) -> subprocess.Popen:
    """Start `python -m jumok` as a process of its own."""
    command = [sys.executable, *launcher, "-m", "jumok", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )
