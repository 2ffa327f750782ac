"""The boxes that a detector finds in an image, and where the query of each looked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Patches
from jumok.attention.frames import Frame, tell_seen
from jumok.data.images.reading import open_image
from jumok.errors import JumokError, foreign
from jumok.tasks.detect.levels import Levels, add_levels, note_levels
from jumok.tasks.detect.opening import Detector
from jumok.tasks.prediction import check_answered
from jumok.watching.seen import Seen
from jumok.watching.watch import watch

__all__ = ["ENOUGH", "FEWEST", "MOST_BOXES", "Detection", "detect"]

ENOUGH = 0.5
"""The score from which a box is shown."""
MOST_BOXES, FEWEST = 20, 3
"""Boxes of an image; of one where no score is enough."""


@dataclass(frozen=True)
class Detection:
    """One box.

    Args:
        query: which of the detector's object queries, or detection tokens, gave it.
        scores: (classes,), each from 0 to 1; "no object" left out.
        box: (top, left, bottom, right) in pixels of the image; may reach beyond it.
        heat: where the query looked: one row over the image.
        seen: how much of the image the detector was given, in words; empty where it was all of it.
    """

    query: int
    scores: Tensor
    box: tuple[float, float, float, float]
    heat: AttentionMap
    seen: str = ""

    @property
    def score(self) -> float:
        """Of its most probable class."""
        return float(self.scores.max())

    @property
    def label(self) -> int:
        """The number of its most probable class."""
        return int(self.scores.argmax())

    def edges(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The box in whole pixels of an image of this size: within it, of one pixel at least, the last two outside."""
        (top, bottom), (left, right) = (
            _clip(self.box[axis], self.box[axis + 2], side) for axis, side in enumerate((height, width))
        )
        return top, left, bottom, right

    def inside(self, height: int, width: int) -> float:
        """How much of the heat in the image lies in the box, from 0 to 1; 0 where none lies in the image."""
        top, left, bottom, right = self.edges(height, width)
        laid = self.heat.image(height, width)[0].double()
        return float(laid[top:bottom, left:right].sum() / laid.sum().clamp_min(1e-12))


def _clip(start: float, end: float, side: int) -> tuple[int, int]:
    first = min(max(round(start), 0), side - 1)
    return first, min(max(round(end), first + 1), side)


@torch.no_grad()
def detect(detector: Detector, image: Tensor, *, layer: int = -1, head: int | None = None) -> list[Detection]:
    """Find the boxes of an image, the surest first: those of a score that is enough, or else the few best.

    Args:
        detector: that is asked.
        image: (3, height, width) uint8.
        layer: whose attention is taken; negative from the end.
        head: of it; None: the mean over heads.
    Raises:
        JumokError: the detector does not take what its processor gives, or has no such layer or head.
    """
    given = _prepare(detector, image)
    with (
        foreign(f"{detector.name} cannot read what its own image processor gives it", "mend the processor's settings"),
        note_levels(detector.network, detector.calls) as levels,
        watch(detector.network) as seen,
    ):
        found = detector.network(**given)
    frame = detector.preparation.frame(image.shape[1], image.shape[2])
    scores = _read_scores(detector, found.logits[0])
    boxes = _place(found.pred_boxes[0], image, frame)
    name = _choose_call(detector, seen, layer)
    return [
        Detection(query, scores[query].cpu(), boxes[query], heat.within(frame), tell_seen(frame))
        for query in _choose(scores.amax(1))
        for heat in [_read_map(seen, name, query - len(scores), head, levels.get(name))]
    ]


def _prepare(detector: Detector, image: Tensor) -> Mapping[str, Tensor]:
    """What the network takes: pixels and, where its processor gives one, a mask of margins."""
    with foreign(f"the image processor of {detector.name} cannot prepare an image", "mend its settings"):
        opened = open_image(image.permute(1, 2, 0).cpu().numpy())
        given = detector.processor(images=opened, return_tensors="pt")
        return {key: given[key].to(detector.device) for key in ("pixel_values", "pixel_mask") if key in given}


def _read_scores(detector: Detector, logits: Tensor) -> Tensor:
    """(queries, classes), as the network was trained: one more logit is for "no object", else each class has its own.

    Raises:
        JumokError: another number of logits.
    """
    count, given = len(detector.classes), logits.shape[-1]
    if given not in (count, count + 1):
        raise JumokError(f"{detector.name} gives {given} logits for {count} classes: wanted as many, or one more")
    return check_answered(logits.softmax(-1)[:, :-1] if given > count else logits.sigmoid(), detector.name)


def _choose(scores: Tensor) -> list[int]:
    order = scores.argsort(descending=True, stable=True)
    enough = int((scores >= ENOUGH).sum())
    chosen: list[int] = order[: min(enough, MOST_BOXES) or FEWEST].tolist()
    return chosen


def _place(boxes: Tensor, image: Tensor, frame: Frame | None) -> list[tuple[float, float, float, float]]:
    """From middles and sizes in shares of what is seen of an image, margins left out, to edges in its pixels.

    Args:
        boxes: (queries, 4): x, y, width, height.
        image: (3, height, width).
        frame: that the detector was given.
    """
    height, width = image.shape[1:]
    top, left, bottom, right = (min(max(edge, 0.0), 1.0) for edge in frame or (0.0, 0.0, 1.0, 1.0))
    x, y, wide, tall = boxes.double().cpu().unbind(1)
    edges = torch.stack([y - tall / 2, x - wide / 2, y + tall / 2, x + wide / 2], 1)
    sides = torch.tensor([bottom - top, right - left] * 2, dtype=torch.float64)
    placed = (edges * sides + torch.tensor([top, left] * 2)) * torch.tensor([height, width] * 2)
    return [(box[0], box[1], box[2], box[3]) for box in placed.tolist()]


def _choose_call(detector: Detector, seen: Seen, layer: int) -> str:
    """The call of a layer in which queries look at the image."""
    names: Sequence[str] = [name for name in seen.names if re.fullmatch(detector.calls, name)]
    if not names:
        raise JumokError(f"{detector.name} did not attend as its family does: give another checkpoint")
    if not -len(names) <= layer < len(names):
        raise JumokError(f"{detector.name} has no layer {layer}: its {len(names)} count from 0, or from -1 at the end")
    return names[layer]


def _read_map(seen: Seen, name: str, query: int, head: int | None, levels: Levels | None) -> AttentionMap:
    """One row; the queries that become boxes are the last ones, in the order of the boxes."""
    queries: Any = seen.axes(name)[0]
    row = seen.row(name, len(queries) + query).at(batch=0)
    heads = row.weights.shape[0]
    if head is not None and not -heads <= head < heads:
        raise JumokError(f"there is no head {head}: the {heads} of {name} count from 0")
    chosen = row.mean("head") if head is None else row.at(head=head)
    return _join_tokens(chosen.on("image")) if levels is None else add_levels(chosen, levels)


def _join_tokens(row: AttentionMap) -> AttentionMap:
    """The tokens behind the first that are no places, which are the detection tokens, as one with the sum of them."""
    if not isinstance(row.keys, Patches) or len(row.keys.special) <= 2:
        return row
    special = row.keys.special
    first, tokens, places = row.weights.split([1, len(special) - 1, len(row.keys) - len(special)], -1)
    names = (special[0], f"{len(special) - 1} detection tokens")
    weights = torch.cat([first, tokens.sum(-1, keepdim=True), places], -1)
    return replace(row, weights=weights, keys=replace(row.keys, special=names))
