"""Images, shards and verbs that the tests of engines share."""

import io
import os
import signal
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jumok.app.engine.jobs import Job
from jumok.app.engine.looker import Row
from jumok.app.engine.opened import About
from jumok.app.engine.shards import Item
from jumok.app.engine.worker import Order
from jumok.errors import JumokError

SIZE = 4


def make_pixels(count, side=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def to_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_images(folder, count, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(make_pixels(count, seed=seed)):
        (folder / f"{number:03}.png").write_bytes(to_png(pixels))
    return folder


@dataclass(frozen=True)
class Inputs:
    """A shard of texts."""

    begin: int
    texts: tuple[str, ...]
    labelled: bool = False

    @property
    def count(self):
        return len(self.texts)

    def items(self):
        yield from (Item(f"input {self.begin + place}", text) for place, text in enumerate(self.texts))


class Reader:
    """Stands for a `Looker`: "kill" ends the process, "crowd" ends it together with another."""

    about = About("reader", ("a", "b"))
    fingerprint = "1"

    def __init__(self, pause=0.0, broken=None):
        self.pause, self.broken = pause, broken

    def on(self, _device):
        return self

    def look(self, images):
        time.sleep(self.pause)
        if self.broken is not None:
            raise self.broken
        texts = list(images)
        if "kill" in texts or texts.count("crowd") > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        errors = [str(text) if isinstance(text, JumokError) else None for text in texts]
        return [Row(None if error else text, error=error) for text, error in zip(texts, errors, strict=True)]


def make_jobs(texts, folder):
    """Shards of texts, whose files go to a folder."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    for number, begin in enumerate(range(0, len(texts), SIZE)):
        shard = Inputs(begin, tuple(texts[begin : begin + SIZE]))
        yield Job(number, Order(shard, folder / f"part-{number}.parquet", folder / "work"))
