"""Images, shards and verbs that the tests of engines share, and commands in processes that are quick to start."""

import io
import os
import signal
import sys
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


class Forked:
    """A command in a copy of this process, which has imported all that it needs; so have those that it starts.

    Args:
        arguments: of the command.
        log: where it prints.
        prepare: is called in it first.
    """

    def __init__(self, arguments, log, prepare=lambda: None):
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            self._become(list(map(str, arguments)), log, prepare)

    def _become(self, arguments, log, prepare):
        status = 99
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            from jumok.app.cli import main

            prepare()
            main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os._exit(status)

    def poll(self):
        """Its exit status, as `subprocess` tells it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self):
        """Its exit status, when it has ended."""
        while self.poll() is None:
            time.sleep(0.005)
        return self.returncode
