"""Axes of texts with images in them: which tokens are places, and of which image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from jumok.attention import Axis, Interleaved, Patches, Regions, Tokens
from jumok.attention.interleaved import find_grid
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import IMAGE, Origin
from jumok.watching.provenance.pictures import NOWHERE, PADDING, Spot

APART = "a token that was made from parts of an image that lie apart, or of several images"


class _Placed(NamedTuple):
    """One token in an image: which image, told by its number or by its input, item and moment; and where in it."""

    image: tuple[int, ...]
    box: tuple[int, int, int, int]
    size: tuple[int, int]


def lie_apart(origin: Origin, places: Tensor) -> bool:
    """Whether some token was made from parts of an image with those of other tokens between them.

    Args:
        origin: of the tokens.
        places: which of them lie in the image.
    """
    low, high, size = origin.low[places], origin.high[places], origin.size[places]
    for number in (size < (high - low).prod(1)).nonzero()[:, 0].tolist():
        within = ((low < high[number]) & (high > low[number])).all(1)
        within[number] = False
        same = ((low == low[number]) & (high == high[number])).all(1)
        if bool((within & ~same).any()):
            return True
    return False


def has_pictures(known: Identities, origin: Origin) -> bool:
    """Whether some tokens come from an input of which it was said where it lies in images."""
    return bool(known.pictures) and any(number in known.pictures for number in origin.source.unique().tolist())


def name_with_images(
    known: Identities, origin: Origin, names: Sequence[str], places: Tensor, why: str = ""
) -> Axis | None:
    """The axis of tokens of which some lie in images; None where none does.

    Args:
        known: the table.
        origin: of the tokens.
        names: of all of them; those that lie in images may have none.
        places: which of them come from an input.
        why: what to say of tokens of which some are not placed.
    """
    spots = [_find_spot(known, origin, number) if there else NOWHERE for number, there in enumerate(places.tolist())]
    if None in spots:
        return Tokens(tuple(name or str(number) for number, name in enumerate(names)), APART)
    inside = {number: each for number, each in enumerate(spots) if isinstance(each, _Placed)}
    if not inside:
        return None
    images = sorted({each.image for each in inside.values()})
    parts = [[number for number, each in inside.items() if each.image == image] for image in images]
    if has_pictures(known, origin) and len(images) == 1:
        return _name_one([inside.get(number) for number in range(len(names))], names)
    grids = [_lay_out([inside[number] for number in part]) for part in parts]
    labels = list(names)
    for image, (part, grid) in enumerate(zip(parts, grids, strict=True)):
        for number, label in zip(part, grid.labels(), strict=True):
            labels[number] = labels[number] or (f"{image}:{label}" if len(images) > 1 else label)
    shown = tuple(name or str(number) for number, name in enumerate(labels))
    return Interleaved(shown, why, images=tuple(grids), entries=tuple(tuple(part) for part in parts))


def _find_spot(known: Identities, origin: Origin, number: int) -> _Placed | Spot | None:
    """Where a token lies; `NOWHERE` for one that lies in no image, None where that is not known."""
    source = int(origin.source[number])
    picture = known.pictures.get(source)
    if picture is not None:
        spot = picture.locate(origin, number)
        return (
            spot
            if spot is None or spot.image == PADDING
            else _Placed((spot.image,), spot.box, picture.sizes[spot.image])
        )
    about = known.sources[source]
    if about.kind != IMAGE or about.dims[2] * about.dims[3] == 1:
        return NOWHERE
    item, (time, top, left) = int(origin.item[number]), origin.low[number].tolist()
    end, bottom, right = origin.high[number].tolist()
    if item < 0 or end != time + 1:
        return None
    return _Placed((source, item, time), (top, left, bottom, right), about.dims[2:])


def _lay_out(placed: Sequence[_Placed]) -> Patches | Regions:
    boxes, (height, width) = [each.box for each in placed], placed[0].size
    grid = find_grid(boxes, height, width)
    if grid is not None:
        return Patches(*grid)
    return Regions(tuple(boxes), tuple(_label(boxes)), height, width)


def _label(boxes: Sequence[tuple[int, int, int, int]]) -> list[str]:
    """By row and column, where the corners make rows and columns."""
    tops, lefts = (sorted({box[side] for box in boxes}) for side in (0, 1))
    rows, columns = ({edge: number for number, edge in enumerate(edges)} for edges in (tops, lefts))
    return [f"{rows[box[0]]},{columns[box[1]]}" for box in boxes]


def _name_one(spots: Sequence[_Placed | None], names: Sequence[str]) -> Patches | Regions:
    """The axis of tokens of which some lie in one image, and the others in none."""
    placed = [each for each in spots if each is not None]
    grid, front = _lay_out(placed), len(spots) - len(placed)
    if isinstance(grid, Patches) and all(spots[front:]):
        return Patches(grid.rows, grid.columns, special=tuple(names[:front]))
    labels = iter(_label([each.box for each in placed]))
    shown = [
        next(labels) if each else name or str(number)
        for number, (each, name) in enumerate(zip(spots, names, strict=True))
    ]
    boxes = tuple(None if each is None else each.box for each in spots)
    return Regions(boxes, tuple(shown), *placed[0].size)
