"""Generated samples of images, written to disk as a user's own data would be."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from jumok.data.samples.inspection import CLASSES, VISIBLE, draw
from jumok.data.splits import SPLITS
from jumok.errors import JumokError
from jumok.files import advise_on_writing, write_atomically
from jumok.machine import cores

__all__ = ["CLASSES", "write_inspection"]

FORMAT = "jumok-inspection/1"


def write_inspection(
    folder: Path, *, seed: int = 0, size: int = 64, train: int = 2400, val: int = 200, test: int = 400
) -> None:
    """Write an image folder of generated surfaces, with a mask for every defect.

    `folder/images/SPLIT/CLASS/NAME.png` are 8-bit RGB; `folder/masks/SPLIT/CLASS/NAME.png`, for each class but normal,
    are 8-bit grey with 255 where the defect is. An image depends on seed, size, split and its number only: a larger
    set starts with the smaller one. A folder that already holds this very sample is kept; one that was left half
    written is completed.

    Args:
        folder: new, empty, or holding this sample.
        seed: 0 or more.
        size: height and width of each image in pixels, 32 to 1024.
        train, val, test: images in each split, 4 or more, shared out evenly over the classes.
    Raises:
        JumokError: a number out of its range, a folder that holds something else, or one that cannot be written.
    """
    counts = {"train": train, "val": val, "test": test}
    check_numbers(seed, size, counts, len(CLASSES), "one for each class")
    items = [_Item(split, number) for split in SPLITS for number in range(counts[split])]
    about = {"format": FORMAT, "seed": seed, "size": size, **counts}
    write_pictures(Path(folder), about, _write_readme(seed, size, counts), items, partial(_write, seed=seed, size=size))


class DrawnImage(Protocol):
    """Something of a sample that is drawn at once: an image, and what goes with it."""

    @property
    def files(self) -> tuple[str, ...]:
        """The files it makes, as paths inside the sample."""


Item = TypeVar("Item", bound=DrawnImage)


def write_pictures(
    folder: Path,
    about: Mapping[str, Any],
    readme: str,
    items: Sequence[Item],
    write: Callable[[Path, Item], None],
    tables: Mapping[str, Callable[[], str]] | None = None,
) -> None:
    """Write a sample of images, its record last.

    A folder that already holds this very sample is kept; one that was left half written is completed.

    Args:
        folder: new, empty, or holding this sample.
        about: what the sample depends on; kept in `sample.json`.
        readme: README.md's text.
        items: all that is drawn.
        write: writes all files of one of them into the folder; called in several processes at the same time.
        tables: further files and what gives their text.
    Raises:
        JumokError: a folder that holds something else, or one that cannot be written.
    """
    record, tables = json.dumps(about, indent=2) + "\n", tables or {}
    names = [name for item in items for name in item.files]
    try:
        if _is_complete(folder, record, {*names, *tables}):
            return
        for part in sorted({str(Path(name).parent) for name in names}):
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "unfinished.json", record)
        write_atomically(folder / "README.md", readme)
        for name, table in tables.items():
            write_atomically(folder / name, table())
        _write_all(folder, items, write)
        (folder / "unfinished.json").replace(folder / "sample.json")
    except OSError as error:
        advice = advise_on_writing(error)
        raise JumokError(f"cannot write the sample to {folder}: {error.strerror or error}; {advice}") from error


@dataclass(frozen=True)
class _Item:
    """One picture of the sample: its class goes round with its number."""

    split: str
    number: int

    @property
    def kind(self) -> str:
        return CLASSES[self.number % len(CLASSES)]

    @property
    def files(self) -> tuple[str, ...]:
        """The image and, for a defect, its mask, as paths inside the sample."""
        place = f"{self.split}/{self.kind}/{self.number:05d}.png"
        return (f"images/{place}",) if self.kind == "normal" else (f"images/{place}", f"masks/{place}")


def check_numbers(seed: int, size: int, counts: Mapping[str, int], least: int, why: str) -> None:
    """Raise a JumokError where a sample cannot have these numbers; every part has some images at least."""
    if seed < 0:
        raise JumokError(f"the seed is 0 or more, got {seed}")
    if not 32 <= size <= 1024:
        raise JumokError(f"the size of a generated image is 32 to 1024 pixels, got {size}")
    for split, count in counts.items():
        if count < least:
            raise JumokError(f"{split} needs at least {least} images, {why}, got {count}")


def _is_complete(folder: Path, about: str, wanted: set[str]) -> bool:
    """Whether the folder holds the whole sample; False when it is new, empty or only begun.

    Raises:
        JumokError: it holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise JumokError(f"{folder} is a file: give a folder for the sample")
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _list_visible_files(folder)}
    if not sizes:
        return False
    notes = [folder / name for name in ("sample.json", "unfinished.json") if name in sizes]
    if not any(note.read_text(errors="replace") == about for note in notes):
        what = "another sample" if notes else f"other files, such as {min(sizes)}"
        raise JumokError(f"{folder} holds {what}: remove it or choose another folder")
    if strange := sizes.keys() - wanted - {"README.md", "sample.json", "unfinished.json"}:
        raise JumokError(f"{folder} holds a file that is not part of the sample, {min(strange)}: remove it")
    return "sample.json" in sizes and "unfinished.json" not in sizes and all(sizes.get(name) for name in wanted)


def _list_visible_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _write_all(folder: Path, items: Sequence[Item], write: Callable[[Path, Item], None]) -> None:
    """Draw and write every picture, each core its share.

    Raises:
        OSError: as the first that failed.
    """
    count = min(_count_processes(), len(items))
    if count == 1:
        return _write_some(folder, items, write)
    context = multiprocessing.get_context("fork")
    failures = context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(failures, folder, items[first::count], write), daemon=True)
        for first in range(count)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if not failures.empty():
            raise failures.get()
        if any(worker.exitcode for worker in workers):
            raise JumokError(
                f"a process that drew for {folder} was killed: run the same command again to complete the sample"
            )
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.kill()
                worker.join()


def _count_processes() -> int:
    """How many processes to draw in: one where they cannot be forked safely, since spawned ones need a main guard."""
    return cores() if sys.platform == "linux" else 1


def _work(
    failures: SimpleQueue[OSError], folder: Path, items: Iterable[Item], write: Callable[[Path, Item], None]
) -> None:
    """What each process does; Ctrl-C is for the parent to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _write_some(folder, items, write)
    except OSError as error:
        failures.put(error)


def _write_some(folder: Path, items: Iterable[Item], write: Callable[[Path, Item], None]) -> None:
    for item in items:
        write(folder, item)


def _write(folder: Path, item: _Item, *, seed: int, size: int) -> None:
    rng = np.random.default_rng((seed, SPLITS.index(item.split), item.number))
    for name, picture in zip(item.files, draw(rng, item.kind, size), strict=False):
        Image.fromarray(picture).save(folder / name)


def _write_readme(seed: int, size: int, counts: Mapping[str, int]) -> str:
    shares = "\n".join(f"| {split} | {count} |" for split, count in counts.items())
    return f"""# Generated inspection images

Surfaces (brushed metal, woven fabric, sprayed paint, wood, cast stone) under one lamp each, photographed by nobody:
every picture was drawn by `jumok sample inspection`. Labels, bolts, holes, seams and painted stripes are harmless and
occur in every class.

| class | what it shows |
|---|---|
| normal | no defect |
| scratch | a thin curved groove, bright at its bottom, with a ridge on each side |
| dent | a smooth dimple, seen by its light and its dark side |
| stain | an irregular soft patch of another hue or darkness |

`images/SPLIT/CLASS/NAME.png` are {size} x {size} pixels, 8-bit RGB. `masks/SPLIT/CLASS/NAME.png`, for all but normal,
have 255 where the defect has at least {VISIBLE:.0%} of its full strength, and 0 elsewhere. A defect may lie anywhere,
also across the border.

| split | images, shared out evenly over the classes |
|---|---|
{shares}

Made with seed {seed}; the same parameters give the same pictures. `sample.json` holds the parameters and is written
last: without it, the sample is not complete.

Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.
"""
