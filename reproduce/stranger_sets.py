"""Folders of images that nobody here made, split by a hash of each picture's name before anything is trained.

Each set is written as train/ val/ test/ with class folders, as `jumok train` takes them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from jumok.data.samples.image_folder import write_inspection
from jumok.errors import JumokError
from reproduce.idx import read_digits
from reproduce.small_photographs import read_photographs

__all__ = ["SETS", "write_set"]

SHARES = {"train": 65, "val": 10, "test": 25}
"""Percent of the pictures of a set that brings no parts of its own."""
DEFECTIVE_FROM = 0.5
"""Probability of a defect from which on a solar cell counts as defective."""
CELLS = "elpv_dataset"


class Picture(NamedTuple):
    """A picture of a set: its name, class, and the part that it belongs to where the set says so."""

    name: str
    label: str
    image: Image.Image
    part: str | None = None


def write_set(name: str, data: Path | None, folder: Path) -> Path:
    """Write a set's pictures; those that are there already are left.

    Args:
        name: one of `SETS`.
        data: where it is read from; None: from the package that carries it.
        folder: to write to.
    Raises:
        JumokError: nothing to read it from.
    """
    for picture in SETS[name](data):
        place = folder / (picture.part or choose_part(picture.name)) / picture.label
        place.mkdir(parents=True, exist_ok=True)
        if not (place / picture.name).exists():
            picture.image.save(place / picture.name)
    return folder


def choose_part(name: str) -> str:
    """The part of a picture, by a hash of its name.

    >>> [choose_part(f"cell{number:04}.png") for number in (1, 2, 3, 4)]
    ['train', 'train', 'train', 'val']
    """
    place, bound = _draw(name) % 100, 0
    for part, share in SHARES.items():
        bound += share
        if place < bound:
            return part
    raise AssertionError(name)


def _draw(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def read_cells(data: Path | None) -> Iterator[Picture]:
    """Solar cells by electroluminescence, 300 x 300, functional or defective; mono- and polycrystalline.

    Source: Deitsch et al. 2019, arXiv 1807.02894; the package elpv-dataset (CC BY-NC-SA 4.0).
    """
    folder = data or _find_cells()
    try:
        lines = (folder / "labels.csv").read_text("utf-8").splitlines()
    except OSError as error:
        raise JumokError(f"{folder} has no labels.csv: give the data folder of elpv-dataset") from error
    for line in filter(None, map(str.strip, lines)):
        path, probability, kind = line.split()
        label = "defective" if float(probability) >= DEFECTIVE_FROM else "functional"
        with Image.open(folder / path) as image:
            yield Picture(f"{kind}-{Path(path).name}", label, image.convert("L"))


def _find_cells() -> Path:
    found = importlib.util.find_spec(CELLS)
    if found is None or found.origin is None:
        raise JumokError('no solar cells: pip install "jumok[reproduce]", or give --data')
    return Path(found.origin).parent / "data"


def read_few_photographs(data: Path | None, each: int = 200, tested: int = 200) -> Iterator[Picture]:
    """CIFAR-10 as JPEG, 200 pictures a class to learn from, 30 of them for validation, and 200 to test on."""
    for part, images in zip(("train", "test"), read_photographs(_need(data), "train", "test"), strict=True):
        yield from _few(images.pixels.movedim(1, -1), images.labels, part, each if part == "train" else tested, 30)


def read_few_digits(data: Path | None, each: int = 20, tested: int = 200) -> Iterator[Picture]:
    """MNIST, 20 pictures a class to learn from, 5 of them for validation, and 200 to test on."""
    for part in ("train", "test"):
        yield from _few(*read_digits(_need(data), part), part, each if part == "train" else tested, 5)


def _few(pixels, labels, part: str, each: int, held_out: int) -> Iterator[Picture]:  # type: ignore[no-untyped-def]
    """The first pictures of each class in the order of a hash of their place in the set."""
    for label in labels.unique().tolist():
        places = (labels == label).nonzero().flatten().tolist()
        chosen = sorted(places, key=lambda place: _draw(f"{part}/{place}"))[:each]
        for rank, place in enumerate(chosen):
            own = "val" if part == "train" and rank < held_out else part
            yield Picture(f"{place:05}.png", f"class-{label}", Image.fromarray(pixels[place].numpy()), own)


def read_inspection(_: Path | None, train: int = 6_000, val: int = 200) -> Iterator[Picture]:
    """Generated surfaces, normal, scratched, dented or stained, 400 of them to test on."""
    with tempfile.TemporaryDirectory() as place:
        write_inspection(Path(place), train=train, val=val, test=400)
        root = Path(place) / "images"
        for path in sorted(root.glob("*/*/*.png")):
            part, label, name = path.relative_to(root).parts
            with Image.open(path) as image:
                yield Picture(name, label, image.copy(), part)


def read_few_inspection(data: Path | None) -> Iterator[Picture]:
    """The same, 200 a class to learn from, 30 of them for validation."""
    return read_inspection(data, train=680, val=120)


def _need(data: Path | None) -> Path:
    if data is None:
        raise JumokError("give --data: the folder that holds the set's own files")
    return data


SETS: Mapping[str, Callable[[Path | None], Iterator[Picture]]] = {
    "cells": read_cells,
    "photographs": read_few_photographs,
    "digits": read_few_digits,
    "inspection": read_inspection,
    "inspection-few": read_few_inspection,
}
