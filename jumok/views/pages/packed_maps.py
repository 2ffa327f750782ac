"""Attention maps made small for a page: 8 bits a weight, deflated, in base64.

A packed map is the little-endian concatenation of, for `heads` x `queries` rows,

    peaks    float32 (heads, queries)            the largest weight of each row on a patch, by size
    special  float32 (heads, queries, special)   the weights on cls, registers, ...: exact
    spread   uint16  (heads [+ 1], queries)      entropy / ln(keys) * 65535; the last row of the mean over heads
    codes    uint8   (heads, queries, patches)   zero + weight / peak * (255 - zero), rounded

Special tokens are kept apart: they often take most of a row, which would leave the patches too few of the 256 levels.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import AttentionMap, Axis, Glimpses, Patches, Pixels, Sampled, Scale
from jumok.attention.colour_range import find_colour_end
from jumok.errors import JumokError
from jumok.views.raster import find_cells, is_signed

LARGEST_GRID = 256  # rows or columns of a summary: finer ones are averaged, a page can't show more
LARGEST_MAP = 1 << 20  # weights of one head: the onlookers of larger maps are averaged, four by four
LONGEST_OUTLINE = 200  # corners
ELEMENT_BYTES = 64  # bytes of the element that holds one map
ZERO_CODE = 128  # the code of weight 0 in a map with both signs


@dataclass(frozen=True)
class PackedMap:
    """One map, ready for a page.

    Args:
        about: plain values from which the page unpacks `data`.
        data: base64 of the raw-deflated rows.
        error: the worst difference between a weight and its unpacked value.
    """

    about: dict[str, Any]
    data: str
    error: float

    @cached_property
    def size(self) -> int:
        """Bytes that the map takes on a page."""
        return len(self.data) + len(json.dumps(self.about)) + ELEMENT_BYTES


def pack(attention: AttentionMap) -> PackedMap:
    """Pack the rows of a map from patches to patches, with or without heads.

    Args:
        attention: lead ("head",) or (); keys are `Patches`.
    Returns:
        the packed map, in which one head stands for none.
    Raises:
        JumokError: other leading axes, or other keys.
    """
    keys = check_patches(attention)
    weights = attention.weights.detach().cpu()
    weights = weights if attention.lead else weights[None]
    specials, zero = len(keys.special), ZERO_CODE if is_signed(attention) else 0
    special, patches = weights[..., :specials].numpy(), weights[..., specials:].numpy()
    codes, peaks, error = _quantise(patches, zero)
    spread = _measure_spread(weights, attention.scale)
    parts = (peaks.astype("<f4"), special.astype("<f4"), spread.astype("<u2"), codes)
    about = {
        "source": attention.source,
        "scale": str(attention.scale),
        "zero": zero,
        "heads": weights.shape[0],
        "queries": _describe_grid(attention.queries),
        "keys": _describe_grid(keys),
        "spread": spread.size > 0,
        "top": _find_top(weights[..., specials:], zero),
    }
    return PackedMap(about, _deflate(b"".join(part.tobytes() for part in parts)), error)


def coarsen(attention: AttentionMap) -> AttentionMap:
    """Average the places that look, by two in each direction, until a page can hold the map.

    Args:
        attention: lead ("head",) or (); queries and keys are `Patches`.
    Returns:
        the map itself, if it is small enough; what each place looks at keeps its grid in any case.
    """
    while isinstance(attention.queries, Patches) and len(attention.queries) * len(attention.keys) > LARGEST_MAP:
        grid = attention.queries
        if max(grid.rows, grid.columns) == 1:
            break
        rows, columns = -(-grid.rows // 2), -(-grid.columns // 2)
        special, places = attention.weights.split([len(grid.special), grid.rows * grid.columns], -2)
        places = places.transpose(-1, -2).unflatten(-1, (grid.rows, grid.columns))
        pooled = F.adaptive_avg_pool2d(places.reshape(-1, 1, grid.rows, grid.columns), (rows, columns))
        pooled = pooled.view(*places.shape[:-2], rows * columns).transpose(-1, -2)
        weights = torch.cat([special, pooled], -2)
        attention = replace(attention, weights=weights, queries=replace(grid, rows=rows, columns=columns))
    return attention


def find_marks(keys: Axis) -> dict[str, Any]:
    """What a page draws over the heat: numbered boxes of glimpses, or the outline of a region that was sampled.

    Returns:
        "boxes" [top, left, bottom, right] or "outline" [y, x], in shares of the image; empty for other keys.
    """
    if isinstance(keys, Glimpses):
        ends = [
            [(1 + place) / 2 + side * size / 2 for side in (-1, 1) for place, size in zip(centre, sizes, strict=True)]
            for centre, sizes in zip(keys.centres, keys.sizes, strict=True)
        ]
        return {"boxes": [[round(end, 4) for end in box] for box in ends]}
    if isinstance(keys, Sampled):
        return {"outline": [[round((1 + place) / 2, 4) for place in point] for point in _take_rim(keys)]}
    return {}


def _take_rim(keys: Sampled) -> list[tuple[float, float]]:
    """The outermost points of a grid, once around, no more than a page needs."""
    grid = np.arange(len(keys)).reshape(keys.rows, keys.columns)
    around = [*grid[0, :-1], *grid[:-1, -1], *grid[-1, :0:-1], *grid[:0:-1, 0]]
    return [keys.points[index] for index in around[:: -(-len(around) // LONGEST_OUTLINE)]]


def check_patches(attention: AttentionMap) -> Patches:
    """The keys of a map, if it is (queries, keys) or (head, queries, keys) and they are patches.

    Raises:
        JumokError: other leading axes, or other keys.
    """
    if attention.lead not in ((), ("head",)):
        raise JumokError(f"a page takes maps with the leading axis head or none, got {attention.lead}: choose with .at")
    if not isinstance(attention.keys, Patches):
        raise JumokError(
            f"a page draws keys that are Patches, got {type(attention.keys).__name__} in {attention.source!r}"
        )
    return attention.keys


def lay_on_patches(attention: AttentionMap) -> AttentionMap:
    """Bring a map of any keys that lie in an image to `Patches`, no finer than a page can show.

    Raises:
        JumokError: more than one row, or keys that don't lie in an image.
    """
    return lay_rows_on_patches(check_summary(attention))


def check_summary(attention: AttentionMap) -> AttentionMap:
    """The map, if it has one row.

    Raises:
        JumokError: more than one.
    """
    if attention.lead or len(attention.queries) != 1:
        raise JumokError(
            f"a page takes a summary of one row, got {tuple(attention.weights.shape)}: choose with .at and .row"
        )
    return attention


def lay_rows_on_patches(attention: AttentionMap) -> AttentionMap:
    """As `lay_on_patches`, for any number of rows.

    Raises:
        JumokError: keys that don't lie in an image.
    """
    rows, columns = find_cells(attention.keys) or (LARGEST_GRID, LARGEST_GRID)
    pooled = max(rows, columns) > LARGEST_GRID
    if isinstance(attention.keys, Patches) and not pooled:
        return attention
    image = _take_own_cells(attention, rows, columns)
    if pooled:
        rows, columns = min(rows, LARGEST_GRID), min(columns, LARGEST_GRID)
        image = F.adaptive_avg_pool2d(image, (rows, columns))
    same = isinstance(attention.keys, Pixels) and not pooled
    scale = attention.scale if same or attention.scale is Scale.SCORE else Scale.RELEVANCE
    keys = Patches(rows, columns, frame=getattr(attention.keys, "frame", None))
    return AttentionMap(image.flatten(-2), attention.queries, keys, (), scale, attention.source)


def count_pixels(packed: PackedMap, keys: Axis, picture: Image.Image) -> None:
    """Say that the places of a packed map are counted in pixels of the image, unless its keys were a grid of patches.

    Args:
        packed: whose grid is as fine as a page can show.
        keys: what it had before it was laid on that grid.
        picture: the image that they lie in.
    """
    if not isinstance(keys, Patches):
        packed.about["keys"]["pixels"] = [picture.height, picture.width]


def _take_own_cells(attention: AttentionMap, rows: int, columns: int) -> Tensor:
    """(queries, rows, columns): a map on its own grid, where it has one, wherever that lies in the image."""
    keys = attention.keys
    whole = replace(keys, frame=None) if isinstance(keys, Patches | Pixels) else keys
    return whole.spread(attention.weights, rows, columns)


def pool(attention: AttentionMap, most: int) -> AttentionMap:
    """Average what is seen, until the grid has no more rows and columns than `most`.

    Args:
        attention: no leading axes; keys are `Patches`.
    """
    grid = check_patches(attention)
    rows, columns = min(grid.rows, most), min(grid.columns, most)
    if (rows, columns) == (grid.rows, grid.columns):
        return attention
    special, places = attention.weights.split([len(grid.special), grid.rows * grid.columns], -1)
    pooled = F.adaptive_avg_pool2d(places.unflatten(-1, (grid.rows, grid.columns)), (rows, columns)).flatten(-2)
    scale = attention.scale if attention.scale is Scale.SCORE else Scale.RELEVANCE
    keys = replace(grid, rows=rows, columns=columns)
    return replace(attention, weights=torch.cat([special, pooled], -1), keys=keys, scale=scale)


def _describe_grid(axis: Axis) -> dict[str, Any]:
    """The geometry of an axis, as the page reads it; what lies in no image is all special tokens."""
    if isinstance(axis, Patches):
        frame = {} if axis.frame is None else {"frame": list(axis.frame)}
        return {"rows": axis.rows, "columns": axis.columns, "special": list(axis.special), **frame}
    return {"rows": 0, "columns": 0, "special": axis.labels()}


def _find_top(patches: Tensor, zero: int) -> float:
    """Where the colours of the whole map end: at its largest weight; of one that is nearly even beyond it."""
    largest = float(patches.abs().max())
    return largest if zero else find_colour_end(largest, float(patches.mean()), patches.shape[-1]).value


def _quantise(weights: NDArray[np.float32], zero: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    """Round each row to 8 bits of its largest weight. Returns (codes, peaks, worst error)."""
    peaks = np.abs(weights).max(-1)
    divisor = np.where(peaks > 0, peaks, np.float32(1)).astype(np.float64)
    levels = 255 - zero
    codes = np.rint(weights / divisor[..., None] * levels)
    error = np.abs(codes / levels * peaks.astype(np.float64)[..., None] - weights).max()
    return (codes + zero).astype(np.uint8), peaks, float(error)


def _measure_spread(weights: Tensor, scale: Scale) -> NDArray[np.uint16]:
    """Entropy of each row, and of each row's mean over several heads, as a share of the largest possible."""
    if scale is not Scale.DISTRIBUTION or weights.shape[-1] < 2:
        return np.zeros(0, dtype=np.uint16)
    rows = torch.cat([weights, weights.mean(0, keepdim=True)]) if weights.shape[0] > 1 else weights
    entropy = torch.special.entr(rows).sum(-1) / math.log(weights.shape[-1])
    levels: NDArray[np.uint16] = np.rint(entropy.clamp(0, 1).numpy() * 65535).astype(np.uint16)
    return levels


def _deflate(raw: bytes) -> str:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return base64.b64encode(packer.compress(raw) + packer.flush()).decode("ascii")
