"""A look at every image of a data set: sizes, kinds, bits, copies, and what cannot be read."""

from __future__ import annotations

import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jumok.data.images.bit_depths import find_bits
from jumok.data.images.contents import hash_file
from jumok.data.images.formats import read_formats
from jumok.data.images.frames import has_frames
from jumok.data.images.image_set import ImageSet
from jumok.data.images.label_heaps import Heaps, make_heaps
from jumok.data.images.near_duplicates import MOST_COMPARED, THUMB_SIDE, find_near_pairs, group_pairs
from jumok.data.images.reading import holding_image, open_file
from jumok.data.packed.members import open_binary
from jumok.data.sharded_batches import open_pool
from jumok.errors import JumokError
from jumok.machine import cores

PNG_DEPTH_AT, PNG_COLOUR_AT = 24, 25
"""Where a PNG file says its bits and its kind of colour."""
COLOUR_KINDS = (2, 6)


@dataclass(frozen=True)
class Facts:
    """What was found in one image.

    Args:
        path, part, label: which; the label is that of the `ImageSet`.
        size: (height, width) in pixels, upright; None where it cannot be read.
        format: as Pillow calls it.
        kind: of its pixels, such as "grey, 16 bits".
        hash: of the file's content.
        thumb: (32, 32) uint8, grey.
        first_of_several: whether the file holds more frames or pages, which are not read.
        problem: why it cannot be read; else empty.
    """

    path: Path
    part: str
    label: Any
    size: tuple[int, int] | None = None
    format: str = ""
    kind: str = ""
    hash: str = ""
    thumb: NDArray[np.uint8] | None = None
    first_of_several: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """What was found in a data set.

    Args:
        parts: the images of each part that the data comes in; "train" alone where it comes in none.
        facts: of every image, part by part.
        most_compared: near duplicates are looked for among no more images; None: among any number.
    """

    parts: Mapping[str, ImageSet]
    facts: Sequence[Facts]
    most_compared: int | None = MOST_COMPARED

    @property
    def main(self) -> ImageSet:
        """The first part: train, where there is one."""
        return next(iter(self.parts.values()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels; none of numbers."""
        return () if self.main.kind == "number" else self.main.classes

    @cached_property
    def heaps(self) -> Heaps:
        """What images are counted and shown by: classes, labels, or ranges of numbers."""
        return make_heaps(list(self.parts.values()))

    @cached_property
    def numbers(self) -> dict[str, float] | None:
        """The least, the middle and the largest number; None where images have none."""
        if self.main.kind != "number":
            return None
        every = [label for images in self.parts.values() for label in images.labels]
        return {"least": min(every), "median": statistics.median(every), "largest": max(every)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted while the files were listed: masks, folders and files left out."""
        return tuple(note for images in self.parts.values() for note in images.notes)

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class, with each label, or in each range of numbers, by part."""
        return {
            part: {name: sum(map(belongs, images.labels)) for name, belongs in self.heaps.items()}
            for part, images in self.parts.items()
        }

    @cached_property
    def broken(self) -> list[Facts]:
        """Images that cannot be read."""
        return [facts for facts in self.facts if facts.problem]

    @cached_property
    def sound(self) -> list[Facts]:
        """The others."""
        return [facts for facts in self.facts if not facts.problem]

    @cached_property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have each (height, width)."""
        return Counter(facts.size for facts in self.sound if facts.size is not None)

    @cached_property
    def copies(self) -> list[list[Facts]]:
        """Groups of images that are the same file, the largest first."""
        groups: dict[str, list[Facts]] = {}
        for facts in self.facts:
            groups.setdefault(facts.hash, []).append(facts)
        return sorted((group for name, group in groups.items() if name and len(group) > 1), key=lambda g: -len(g))

    @cached_property
    def look_alikes(self) -> list[list[Facts]]:
        """Groups of images that look nearly the same, copies of one file counted once."""
        single = list({facts.hash: facts for facts in reversed(self.sound)}.values())[::-1]
        thumbs = np.array([facts.thumb for facts in single], np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)
        return [
            [single[number] for number in group]
            for group in group_pairs(list(find_near_pairs(thumbs, most=self.most_compared)))
        ]

    @property
    def compared(self) -> bool:
        """Whether look-alikes were looked for."""
        return self.most_compared is None or len(self.sound) <= self.most_compared

    @cached_property
    def bits(self) -> int | None:
        """The bits that 16-bit images use; None where there are none."""
        return find_bits([facts.path for facts in self.sound])

    @cached_property
    def contradictions(self) -> int:
        """How many groups of copies have different labels."""
        return sum(len({facts.label for facts in group}) > 1 for group in self.copies)

    @cached_property
    def split_groups(self) -> tuple[int, int]:
        """How many groups there are that must stay together, and how many of them lie in several parts."""
        homes: dict[str, set[str]] = {}
        for part, images in self.parts.items():
            for group in images.groups:
                homes.setdefault(group, set()).add(part)
        return len(homes), sum(len(parts) > 1 for parts in homes.values())


def count_across(groups: Sequence[Sequence[Facts]]) -> int:
    """How many groups have images in several parts."""
    return sum(len({facts.part for facts in group}) > 1 for group in groups)


def survey(
    parts: Mapping[str, ImageSet],
    progress: Callable[[int, int], None] | None = None,
    most_compared: int | None = MOST_COMPARED,
) -> Survey:
    """Look at every image of a data set.

    Args:
        parts: as `scan_ready` gives them.
        progress: called with (images looked at, images in all).
        most_compared: as for `Survey`.
    """
    wanted = [
        (path, part, label)
        for part, images in parts.items()
        for path, label in zip(images.paths, images.labels, strict=True)
    ]
    facts: list[Facts] = []
    with open_pool("survey", min(cores(), max(len(wanted), 1))) as pool:
        for done, found in enumerate(pool.map(lambda each: _look(*each), wanted), 1):
            facts.append(found)
            if progress is not None:
                progress(done, len(wanted))
    return Survey(parts, facts, most_compared)


def make_thumbs(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Grey thumbnails (images, 32, 32), to be compared.

    Raises:
        JumokError: an image that cannot be read.
    """
    with open_pool("thumbs", min(cores(), max(len(paths), 1))) as pool:
        found = list(pool.map(_read_thumb, paths))
    return np.array(found, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)


def _read_thumb(path: Path) -> NDArray[np.uint8]:
    with holding_image(path) as image:
        return _shrink(image)


def _shrink(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS))


def _look(path: Path, part: str, label: Any) -> Facts:
    """One image."""
    try:
        digest = hash_file(path)
        with holding_image(path) as image:
            size = image.size[::-1]
            small = _shrink(image)
        form, kind = _describe_kind(path)
    except JumokError as error:
        return Facts(path, part, label, problem=str(error).removeprefix(f"cannot read {path}: "))
    return Facts(path, part, label, size, form, kind, digest, small, has_frames(path))


def _describe_kind(path: Path) -> tuple[str, str]:
    """Format and kind of pixels, from the head of a file that can be read."""
    with warnings.catch_warnings(action="ignore"), Image.open(open_file(path), formats=read_formats()) as image:
        form, mode, alpha = image.format or "", image.mode, image.has_transparency_data
    if mode.startswith("I"):
        return form, "grey, 16 bits"
    kind = "black and white" if mode == "1" else "grey" if mode in ("L", "LA", "La") else "colour"
    deep = ", 16 bits" if form == "PNG" and _is_deep_colour(path) else ""
    return form, f"{kind}{deep}{' with transparency' if alpha else ''}"


def _is_deep_colour(path: Path) -> bool:
    with open_binary(path) as file:
        head = file.read(PNG_COLOUR_AT + 1)
    return len(head) > PNG_COLOUR_AT and head[PNG_DEPTH_AT] == 16 and head[PNG_COLOUR_AT] in COLOUR_KINDS
