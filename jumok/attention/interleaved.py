"""Words with the places of images between them, as a model reads them that sees images inside a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jumok.attention.axes_in_images import Patches, Regions
from jumok.attention.axis import Axis
from jumok.attention.named_axes import Tokens
from jumok.errors import JumokError
from jumok.wording import write_count

__all__ = ["Interleaved", "choose_image", "has_places"]

Places = Patches | Regions


@dataclass(frozen=True)
class Interleaved(Tokens):
    """Tokens of a text, of which some are places of one or several images.

    Args:
        names: of all entries.
        why: as for `Tokens`.
        images: of each image its places, none of them special.
        entries: of each image, which entries of this axis its places are.

    >>> axis = Interleaved(("see", "0,0", "0,1"), images=(Patches(1, 2),), entries=((1, 2),))
    >>> axis.describe()
    '3 tokens, 2 of them places of an image'
    """

    images: tuple[Places, ...] = field(default=(), kw_only=True)
    entries: tuple[tuple[int, ...], ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.images) != len(self.entries) or not self.images:
            raise JumokError(f"{len(self.images)} images have {len(self.entries)} lists of entries: wanted as many")
        taken = [entry for each in self.entries for entry in each]
        if any(not 0 <= entry < len(self) for entry in taken) or len(set(taken)) < len(taken):
            raise JumokError(f"entries of images are different numbers from 0 to {len(self) - 1}")
        for image, entries in zip(self.images, self.entries, strict=True):
            if len(image) != len(entries):
                raise JumokError(f"an image has {len(image)} places and {len(entries)} entries: wanted as many")

    def describe(self) -> str:
        inside = sum(len(each) for each in self.entries)
        images = "an image" if len(self.images) == 1 else write_count(len(self.images), "image")
        return f"{write_count(len(self), 'token')}, {inside} of them places of {images}"

    def to_dict(self) -> dict[str, Any]:
        images = [dataclasses.asdict(each) for each in self.images]
        return {**super().to_dict(), "images": images, "entries": [list(each) for each in self.entries]}

    def rename(self, names: Sequence[str]) -> Interleaved:
        """The same places under other names, of which there may be more at the end."""
        return dataclasses.replace(self, names=tuple(names))


def as_interleaved(keys: Regions) -> Interleaved:
    """Rectangles of one image with other tokens between them, as tokens with places of an image."""
    entries = tuple(entry for entry, box in enumerate(keys.boxes) if box is not None)
    return Interleaved(keys.names, images=(_take_places(keys, entries),), entries=(entries,))


def choose_image(keys: Axis, weights: Tensor, number: int | None) -> tuple[Axis, Tensor]:
    """One image's places behind all other entries, which cover no pixels of it.

    Args:
        keys: what is seen.
        weights: (..., keys).
        number: of the image, from 0; None: the only one.
    Returns:
        The axis, and the weights in its order.
    Raises:
        JumokError: no image, several of which none was chosen, or none of that number.
    """
    images = _list_images(keys)
    if number is None and len(images) > 1:
        raise JumokError(f"there are {len(images)} images here: choose one, as in .on('image', 0)")
    at = 0 if number is None else number
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < len(images):
        raise JumokError(f"image {at!r} is outside the {write_count(len(images), 'image')} here: they count from 0")
    places, entries = images[at]
    inside = set(entries)
    rest = [entry for entry in range(len(keys)) if entry not in inside]
    order = torch.tensor([*rest, *entries], device=weights.device)
    return _put_behind(places, tuple(keys.label(entry) for entry in rest)), weights[..., order]


def has_places(keys: Axis) -> bool:
    """Whether some entries are places of an image."""
    return isinstance(keys, Interleaved | Patches) or (isinstance(keys, Regions) and any(keys.boxes))


def _list_images(keys: Axis) -> list[tuple[Places, Sequence[int]]]:
    """Each image's places, and which entries they are."""
    if isinstance(keys, Interleaved):
        return list(zip(keys.images, keys.entries, strict=True))
    if isinstance(keys, Patches):
        return [(Patches(keys.rows, keys.columns), range(len(keys.special), len(keys)))]
    if isinstance(keys, Regions) and any(keys.boxes):
        entries = [entry for entry, box in enumerate(keys.boxes) if box is not None]
        return [(_take_places(keys, entries), entries)]
    why = keys.why if isinstance(keys, Tokens) else ""
    raise JumokError(
        f"no places of an image are known here: {why or f'the keys are {keys.describe()}'}; of images that a processor "
        "cuts into patches or tiles, say where they lie with watch(model, pixels=jumok.trace_pixels(...)); of learnt "
        "tokens that read an image, as those of a Q-Former do, follow them with seen.through(map)"
    )


def _take_places(keys: Regions, entries: Sequence[int]) -> Places:
    boxes = [keys.boxes[entry] for entry in entries]
    grid = find_grid([box for box in boxes if box is not None], keys.height, keys.width)
    if grid is not None:
        return Patches(*grid)
    return Regions(tuple(boxes), tuple(keys.names[entry] for entry in entries), keys.height, keys.width)


def find_grid(boxes: Sequence[tuple[int, int, int, int]], height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns, where boxes are the equal cells of a grid over the whole image, row by row."""
    rows, columns = (len({box[side] for box in boxes}) for side in (0, 1))
    grid = Patches(rows, columns)
    if len(boxes) != len(grid):
        return None
    wanted = (grid.box(entry, height, width) for entry in range(len(grid)))
    near = all(
        edges is not None and max(abs(a - b) for a, b in zip(box, edges, strict=True)) <= 1
        for box, edges in zip(boxes, wanted, strict=True)
    )
    return (rows, columns) if near else None


def _put_behind(places: Places, others: tuple[str, ...]) -> Places:
    if isinstance(places, Patches):
        return Patches(places.rows, places.columns, special=others)
    boxes = (*(None,) * len(others), *places.boxes)
    return Regions(boxes, (*others, *places.names), places.height, places.width)
