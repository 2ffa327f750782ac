"""Whether the regions that a model looks at lie as they should: in the image, and not larger than it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Sampled
from jumok.tasks.classify.own_training import OwnFigures
from jumok.wording import write_count

MOST_OUTSIDE = 0.25
"""A larger share of samples outside the image is worth a remark; a square turned by 45 degrees has 17% there."""
MOST_SCALE = 1.1
"""A region of more than so many times the image's side is zoomed out."""


class Regions:
    """Adds up how regions lie over all images that are looked at, for one remark at the end."""

    def __init__(self) -> None:
        self._outside: list[float] = []
        self._scales: list[float] = []

    def add(self, maps: Iterable[AttentionMap]) -> None:
        """Count an image by the maps of where a model looked in it; those that are of no region are passed over."""
        region = next((each.keys for each in maps if isinstance(each.keys, Sampled)), None)
        if region is not None:
            self._outside.append(region.outside)
            self._scales.append(region.scale)

    @torch.no_grad()
    def counting(self, model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Hand batches of (pixels, labels) on, and count their images if the model has regions."""
        has = isinstance(model, OwnFigures) and {"outside", "scale"} <= set(model.own_figures)
        for pixels, labels in batches:
            if has and isinstance(model, OwnFigures):
                figures = model.figures(pixels)
                self._outside += figures["outside"].tolist()
                self._scales += figures["scale"].tolist()
            yield pixels, labels

    def remarks(self) -> list[str]:
        """One line if the regions leave the image or are zoomed out, on average; else none."""
        if not self._outside:
            return []
        outside, scale = (sum(values) / len(values) for values in (self._outside, self._scales))
        lies = [f"{outside:.0%} of their samples lie outside the image"] if outside > MOST_OUTSIDE else []
        lies += [f"they are zoomed out to {scale:.2f} of the image's side"] if scale > MOST_SCALE else []
        if not lies:
            return []
        count = write_count(len(self._outside), "image")
        return [
            f"the regions of {count} have left what there is to see: {' and '.join(lies)}, on average; "
            "train anew with a lower --lr or --option transform=attention"
        ]
