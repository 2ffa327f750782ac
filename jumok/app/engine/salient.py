"""What stands out in images without any model, as rows of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from jumok.app.engine.images import read_content
from jumok.app.engine.verb import Column
from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.mechanisms.saliency import saliency_map
from jumok.mechanisms.saliency.separation import separate
from jumok.version import __version__
from jumok.wording import readable

__all__ = ["Salient", "SalientRow"]

CELLS = 32
"""Along a side: the maps of a column are all of one size, and images are not."""


@dataclass(frozen=True)
class SalientAbout:
    """What all rows have in common.

    Args:
        method: of saliency.
        scale, keys: of every map; see `AttentionMap` and `Axis.to_dict`. Each value is a mean over its cell.
        model: none.
    """

    method: str
    scale: str
    keys: dict[str, Any] | None
    model: str = ""

    def columns(self) -> dict[str, Column]:
        """The objects, and the map that they were cut from."""
        found = {"method": Column("text"), "threshold": Column("float32"), "objects": Column("int64")}
        found |= {"area": Column("float32"), "boxes": Column("int32", 4, many=True)}
        return found | ({"map": Column("float32", CELLS * CELLS)} if self.keys else {})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SalientRow:
    """What stands out in one image.

    Args:
        method: that found it.
        threshold: what a pixel's saliency is above on an object.
        objects: how many there are.
        area: their share of the image.
        boxes: top, left, bottom and right of each in pixels, the last two just outside.
        map: (cells,) float32.
        error: why something is missing.
    """

    method: str | None = None
    threshold: float | None = None
    objects: int | None = None
    area: float | None = None
    boxes: Sequence[Sequence[int]] | None = None
    map: NDArray[np.float32] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Salient:
    """Asks what stands out in images.

    Args:
        method: a name in `jumok.mechanisms.saliency.METHODS`.
        separation: a name in `jumok.mechanisms.saliency.separation.THRESHOLDS`.
        smallest: objects below this share of an image are left out.
        maps: also give maps.
    """

    method: str
    separation: str
    smallest: float
    maps: bool = True

    @cached_property
    def about(self) -> SalientAbout:
        """What all rows have in common, as a small image of noise shows it."""
        noise = torch.rand(3, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
        heat = saliency_map((noise * 255).to(torch.uint8), self.method)
        return SalientAbout(self.method, str(heat.scale), Patches(CELLS, CELLS).to_dict() if self.maps else None)

    @property
    def fingerprint(self) -> str:
        """Of this program's version: there are no weights."""
        return hashlib.sha256(__version__.encode()).hexdigest()

    def on(self, _device: str) -> Salient:
        """The same: saliency is computed on the CPU."""
        return self

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""
        return {
            "--method": self.method,
            "--separate": self.separation,
            "--smallest": self.smallest,
            "--maps": self.maps,
        }

    def look(self, inputs: Iterable[Any]) -> list[SalientRow]:
        """As many rows as images, in their order."""
        return [self._look(content) for content in inputs]

    def _look(self, content: Any) -> SalientRow:
        try:
            heat = saliency_map(read_content(content), self.method)
            found = separate(heat, self.separation, smallest=self.smallest)
        except JumokError as error:
            return SalientRow(error=readable(str(error)))
        height, width = heat.keys.height, heat.keys.width  # type: ignore[attr-defined]
        return SalientRow(
            heat.source,
            found.threshold,
            len(found.boxes),
            float(found.mask.weights.mean()),
            [list(box) for box in found.boxes],
            _shrink(heat.weights.reshape(height, width)) if self.maps else None,
        )


def _shrink(values: Tensor) -> NDArray[np.float32]:
    """(height, width) as the means of cells, (cells,)."""
    return F.adaptive_avg_pool2d(values[None, None].float(), CELLS).flatten().numpy()
