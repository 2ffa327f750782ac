"""Whether validation images look nearly the same as training images, which may flatter every figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from jumok.data.images.batches import PixelStore
from jumok.data.images.near_duplicates import THUMB_SIDE, find_near_pairs

MOST_IMAGES = 5_000
"""More would take longer to compare than a person wants to wait before training begins."""
IMAGES_AT_ONCE = 256
MOST_NAMED = 3
"""Pairs that are named."""


def describe_look_alikes(train: PixelStore, val: PixelStore, copies: Sequence[bool] = ()) -> list[str]:
    """A line where validation images look nearly the same as training images, or where that was not looked for.

    Only images that lie in memory are compared, and no more than 5,000; `jumok inspect` compares more.

    Args:
        train, val: the images.
        copies: which validation images are the same file as a training image; these are told elsewhere.
    """
    if not (train.in_memory and val.in_memory) or len(train) + len(val) > MOST_IMAGES:
        return [
            f"near duplicates across train and val were not looked for among {len(train) + len(val):,} images: "
            "jumok inspect looks for them"
        ]
    thumbs = np.concatenate([_make_thumbs(train), _make_thumbs(val)])
    pairs = find_near_pairs(thumbs, first_part=len(train))
    same = {len(train) + number for number, copy in enumerate(copies) if copy}
    alike = {second: first for first, second in pairs if second not in same}
    if not alike:
        return []
    named = "; ".join(
        f"{_name(val, second - len(train))} = {_name(train, first)}"
        for second, first in islice(alike.items(), MOST_NAMED)
    )
    return [
        f"near duplicates: {len(alike):,} of {len(val):,} val images look nearly the same as one in train ({named}); "
        "this may flatter the figures (jumok inspect shows them)"
    ]


def _name(store: PixelStore, index: int) -> str:
    path = store.paths[index]
    return f"{path.parent.name}/{path.name}"


def _make_thumbs(store: PixelStore) -> NDArray[np.uint8]:
    """Grey thumbnails (images, 32, 32) of all images."""
    thumbs = []
    for indices in torch.arange(len(store)).split(IMAGES_AT_ONCE):
        grey = store.get(indices).float().mean(1, keepdim=True)
        small = F.interpolate(grey, (THUMB_SIDE, THUMB_SIDE), mode="bicubic", antialias=True, align_corners=False)
        thumbs.append(small[:, 0].round().clamp(0, 255).to(torch.uint8))
    found: NDArray[np.uint8] = torch.cat(thumbs).numpy()
    return found
