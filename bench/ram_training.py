"""Training of RAM, jumok beside kevinzakka/recurrent-visual-attention: `python -m bench ram_training`.

That program is no package: put a copy of it in a folder outside this one and name the folder in RAM_PEER (measured
against commit a38ac89). Without it our own figure stands alone, and its note says how to get the peer.

Both train on images of 28 x 28 in batches of 128, with 6 glimpses of 8 x 8 at one scale, layers of 128 and 128, a state
of 256, a hidden layer of 128 for the location, one scanpath per image, float32. The images are random bytes in MNIST's
files, in a temporary folder: the arithmetic is the same. Three ways: the peer as it is, with its own loader
(torchvision's, 4 worker processes); the peer with its loader replaced by tensors in memory, its training loop as it is;
ours, the step of `reproduce ram`: batches of tensors, loss, backward, fused AdamW. What is timed is whole passes over
the images of the peer's training part, its start of workers included. Each way runs in processes of its own, which take
turns; medians count.

Peak memory is what Linux keeps (VmHWM) over what was resident once model and images were there; the peer's worker
processes are not in it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from bench import torchvision_names
from bench.measuring import Ratio, Samples, forget_peak, in_turns, is_quick, ratio, resident
from bench.table import Part, Row
from jumok.machine import keep_freed
from jumok.systems.ram import RAM, RAMConfig

OURS, TENSORS, LOADER = "ours", "peer, tensors in memory", "peer, its own loader"
GOALS = {LOADER: ">= 4", TENSORS: ">= 2"}
IMAGES, LEARNED = 14_222, 12_800  # the peer keeps a tenth for validation; 100 batches are left
BATCH, GLIMPSES, SIZE, CLASSES, SIDE = 128, 6, 8, 10, 28
ROUNDS, PROCESSES = 2, 5
HOW_TO_GET = (
    "no peer here: git clone https://github.com/kevinzakka/recurrent-visual-attention, and name its folder in RAM_PEER"
)


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    yield "RAM training", lambda: _rows(threads)


def _rows(threads: int) -> Iterator[Row]:
    here = bool(os.environ.get("RAM_PEER"))
    seconds, memory = in_turns(WAYS if here else [OURS], PROCESSES, lambda way: _alone(way, threads))
    if not here:
        rate = LEARNED / seconds[OURS]
        yield Row("training, jumok alone", Ratio.exact(1.0), "", rate, None, "images/s", HOW_TO_GET)
        return
    yield from (_faster(way, seconds) for way in GOALS)
    ours, peer = memory[OURS], memory[TENSORS]
    claim, found = f"peak memory, jumok / {TENSORS}", ratio(memory, OURS, TENSORS)
    yield Row(claim, found, "", ours, peer, "MiB", "above images and model")


def _faster(way: str, seconds: Samples) -> Row:
    rates = LEARNED / seconds[OURS], LEARNED / seconds[way]
    note = "batch 128, 6 glimpses of 8 x 8, one scale"
    return Row(f"training, jumok / {way}", ratio(seconds, way, OURS), GOALS[way], *rates, "images/s", note)


# -- the work, in a process of its own ----------------------------------------------------------


def _alone(way: str, threads: int) -> list[float]:
    """Seconds of a pass over the images, and the peak of memory above what was there before, in MiB."""
    command = [sys.executable, "-m", "bench.ram_training", way, str(threads)]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    last = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet).stdout.splitlines()[-1]
    return [float(figure) for figure in last.split()]


def _print_cost(way: str, threads: int) -> None:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        once = WAYS[way](Path(folder))
        once()  # what is done once is done before the clock starts
        forget_peak()
        before, seconds = resident("VmRSS"), []
        for _ in range(1 if is_quick() else ROUNDS):
            started = time.perf_counter()
            once()
            seconds.append(time.perf_counter() - started)
        print(statistics.median(seconds), max(0.0, resident("VmHWM") - before))


def _pixels(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    return pixels, torch.randint(0, CLASSES, (count,), generator=draw)


def _batches(count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of tensors in memory, in a new order each time, as floats."""
    pixels, labels = _STORE.setdefault(count, _pixels(count))
    for rows in torch.randperm(count).split(BATCH):
        yield pixels[rows].float() / 255, labels[rows]


_STORE: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}


def _ours(_: Path) -> Callable[[], None]:
    """A pass of our training."""
    keep_freed()  # as `jumok train` does
    config = RAMConfig(classes=CLASSES, image_size=SIDE, channels=1, glimpses=GLIMPSES, size=SIZE, scales=1)
    model = RAM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)

    def once() -> None:
        for pixels, labels in _batches(LEARNED):
            loss = model.loss(pixels, F.one_hot(labels, CLASSES).float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return once


def _peer_with_tensors(folder: Path) -> Callable[[], None]:
    """A pass of the peer's training loop over tensors."""
    return _peer(folder, lambda: (_Tensors(), _Tensors()))


def _peer_with_loader(folder: Path) -> Callable[[], None]:
    """A pass of the peer's training as it is."""
    _write_files(folder / "MNIST" / "raw")
    torchvision_names.define()

    def loaders() -> Any:
        from data_loader import get_train_valid_loader  # type: ignore[import-not-found]

        return get_train_valid_loader(str(folder), BATCH, random_seed=1)

    return _peer(folder, loaders)


class _Tensors:
    """What the peer's trainer asks of a loader."""

    sampler = Namespace(indices=range(LEARNED))

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return _batches(LEARNED)

    def __len__(self) -> int:
        return LEARNED // BATCH


def _peer(folder: Path, loaders: Callable[[], Any]) -> Callable[[], None]:
    """The peer's trainer with its defaults; it writes to the folder it stands in."""
    sys.path.insert(0, str(Path(os.environ["RAM_PEER"]).resolve()))
    logger: Any = types.ModuleType("tensorboard_logger")  # imported there, and unused unless asked for
    logger.configure = logger.log_value = print
    sys.modules["tensorboard_logger"] = logger
    sys.argv = sys.argv[:1]  # it reads the command line
    os.chdir(folder)
    from config import get_config  # type: ignore[import-not-found]
    from trainer import Trainer  # type: ignore[import-not-found]

    options, _ = get_config()
    options.use_gpu = False
    trainer = Trainer(options, loaders())
    trainer.plot_freq = sys.maxsize  # no pictures
    return lambda: trainer.train_one_epoch(1)


def _write_files(folder: Path) -> None:
    """MNIST's four files, with random bytes."""
    folder.mkdir(parents=True)
    pixels, labels = _pixels(IMAGES)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", pixels[:, 0].numpy()), ("labels-idx1", labels.numpy().astype(np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())


WAYS: dict[str, Callable[[Path], Callable[[], None]]] = {
    OURS: _ours,
    TENSORS: _peer_with_tensors,
    LOADER: _peer_with_loader,
}

if __name__ == "__main__":
    _print_cost(sys.argv[1], int(sys.argv[2]))
