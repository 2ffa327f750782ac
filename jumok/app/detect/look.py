"""The boxes that an object detector finds in images, and where the query of each box looked: pictures, maps, a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.image_results import Finding, ImageResults, NamedBox, look_at_images
from jumok.app.look_request import LookRequest
from jumok.app.options import refuse
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.language import translate, translate_count
from jumok.wording import write_count

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.tasks.detect.detecting import Detection
    from jumok.tasks.detect.opening import Detector

__all__ = ["look"]

COLUMNS = ("box", "class", "score", "top", "left", "bottom", "right", "inside", "area", "method")
RAW = "raw"
MOST_CLASSES = 5
"""Classes of a box on the page."""
MOST_TOLD = 5
"""Boxes of an image in the terminal."""


def look(asked: LookRequest, model: str, session: Session) -> ImageResults:
    """Write each box with its class, score and map, a picture of that and one of all boxes, and one page for all.

    Args:
        asked: what is looked at, and how.
        model: hf: with a folder or name.
        session: of the command.
    Raises:
        JumokError: a model that cannot be opened, a choice that has no meaning for boxes, or no image to look at.
    """
    from jumok.tasks.detect.opening import open_detector

    path = asked.take_path()
    refuse(
        {"--target": asked.maps.target, "--without-sinks": asked.maps.without_sinks or None},
        f"{model} is an object detector, whose boxes are explained one by one",
    )
    if asked.maps.method not in (None, RAW):
        raise JumokError(
            f"no method {asked.maps.method!r} for boxes: {model} is an object detector, whose maps are the attention "
            f"of each box's query; leave --method out, or give --method {RAW} with --layer and --head"
        )
    looker = DetectorLooker(
        open_detector(model, session.device), asked.files.batch_size, int(asked.maps.layer_wanted), asked.maps.head
    )
    title = translate("What {model} finds, and where it looks for it", model=model)
    results = ImageResults(asked.out, title, COLUMNS, pictures=asked.files.pictures)
    look_at_images(path, looker, results, session, html=asked.files.html)
    return results


@dataclass
class DetectorLooker:
    """A detector that is asked about images."""

    detector: Detector
    batch_size: int
    layer: int = -1
    head: int | None = None
    bits: int | None = None
    least: tuple[int, int] = (1, 1)
    asked: int = 0
    unsure: int = 0

    def look(self, images: Sequence[Tensor]) -> list[Finding]:
        """The boxes of each image."""
        return [self._look(image) for image in images]

    def find_truth(self, path: Path) -> str:
        """None: a folder's name says nothing of boxes."""
        return ""

    def remarks(self) -> list[str]:
        """Which boxes are shown, and in how many images none was sure."""
        from jumok.tasks.detect.detecting import ENOUGH, FEWEST, MOST_BOXES

        shown = f"shown: boxes of a score of at least {ENOUGH}, at most {MOST_BOXES} an image"
        few = f"in {self.unsure} of {write_count(self.asked, 'image')} none reaches it, so the {FEWEST} best are shown"
        return [f"{shown}; {few}" if self.unsure else shown]

    def _look(self, image: Tensor) -> Finding:
        from jumok.tasks.detect.detecting import ENOUGH, detect

        found = detect(self.detector, image, layer=self.layer, head=self.head)
        self.asked += 1
        self.unsure += found[0].score < ENOUGH
        boxes = [NamedBox(one.edges(*image.shape[1:]), self._name(one)) for one in found]
        each = [self._make(number, *pair, image) for number, pair in enumerate(zip(found, boxes, strict=True), 1)]
        return replace(each[0], text=_tell(boxes), boxes=boxes, others=each[1:])

    def _name(self, found: Detection) -> str:
        return f"{self.detector.classes[found.label]} {found.score:.0%}"

    def _make(self, number: int, found: Detection, box: NamedBox, image: Tensor) -> Finding:
        name = self.detector.classes[found.label]
        top, left, bottom, right = box.edges
        inside = found.inside(*image.shape[1:])
        area = (bottom - top) * (right - left) / (image.shape[1] * image.shape[2])
        return Finding(
            found.heat,
            f"box-{number}",
            title=translate(": box {number}, {name}", number=number, name=box.name),
            text="",
            figures={
                "box": number,
                "class": name,
                "score": found.score,
                "top": top,
                "left": left,
                "bottom": bottom,
                "right": right,
                "inside": inside,
                "area": area,
                "method": found.heat.source,
            },
            best=self._list_best(found),
            note="; ".join(filter(None, [self._describe(), _compare(inside, area), found.seen])),
            group=name,
            part=translate("box {number}", number=number),
            box=box,
        )

    def _list_best(self, found: Detection) -> list[tuple[str, float]]:
        best = found.scores.topk(min(MOST_CLASSES, len(found.scores)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.detector.classes[index], score) for index, score in pairs]

    def _describe(self) -> str:
        """How the maps come about."""
        layer = translate("last layer") if self.layer == -1 else translate("layer {number}", number=self.layer)
        head = translate("mean over heads") if self.head is None else translate("head {number}", number=self.head)
        what = (
            translate("cross-attention of the box's object query")
            if self.detector.crosses
            else translate("attention of the box's detection token")
        )
        return f"{what}, {layer}, {head}"


def _compare(inside: float, area: float) -> str:
    """How much of the attention lies in the box, beside what any map has there that knows nothing."""
    return translate(
        "{inside} of what fell on the image is within the box, which is {area} of it",
        inside=f"{inside:.0%}",
        area=f"{area:.0%}",
    )


def _say_place(box: NamedBox) -> str:
    """A box and where it lies, in pixels."""
    sides = dict(zip(("top", "left", "bottom", "right"), box.edges, strict=True))
    return translate("{name} at rows {top} to {bottom} and columns {left} to {right}", name=box.name, **sides)


def _tell(boxes: Sequence[NamedBox]) -> str:
    """A line for the terminal."""
    told = ", ".join(map(_say_place, boxes[:MOST_TOLD]))
    if len(boxes) > MOST_TOLD:
        told += translate(", and {count} more", count=len(boxes) - MOST_TOLD)
    return translate_count(len(boxes), "{count} box: {told}", "{count} boxes: {told}", told=told)
