"""Whether maps tell what a classifier used: parts of its images are taken away in each map's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.app.faithful import Measured, choose_grid, conclude, draw_some
from jumok.app.measuring import Measuring, Plan, Tell, measure_in_turn
from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.classify.maps import MapMaker
    from jumok.app.partial import PartialFile
    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.flipping import Flips
    from jumok.measures.image_units import ClassAnswer, ImageUnits
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["Looked", "MeasuredImage", "add_looked", "look_together", "make_units", "measure_faithfulness"]

AT_ONCE = 8
"""Images that are looked at together."""
DARKEST = 0.1
"""A mean beyond is no mean of images: one that scales them only has 0 for black."""
OTHER_CLASS = "other class"
"""The map of the class that the model holds for the second most probable one."""


@dataclass(frozen=True)
class MeasuredImage:
    """One image and what was measured on it.

    Args:
        path: of the image.
        picture: (3, any, any) uint8, of what the model sees of it.
        pixels: (channels, height, width), as the model is given it.
        grid: rows and columns of the patches that are taken away.
        methods, baselines: by map, (patches,).
        answers: by filling; they know the most probable class of all that was asked.
        flips: by filling, what became of the answer.
        filled: by filling, the image with all patches replaced; None where that depends on what is kept.
    """

    path: Path
    picture: Tensor
    pixels: Tensor
    grid: tuple[int, int]
    methods: Mapping[str, Tensor]
    baselines: Mapping[str, Tensor]
    answers: Mapping[str, ClassAnswer]
    flips: Mapping[str, Flips]
    filled: Mapping[str, Tensor | None]


def measure_faithfulness(
    maps: MapMaker,
    paths: Sequence[Path],
    plan: Plan,
    *,
    seed: int,
    tell: Tell | None = None,
    show: Callable[[MeasuredImage], None] | None = None,
    kept: PartialFile | None = None,
) -> Measured:
    """Measure how faithful a model's maps of some images are, beside random, centre and edge maps and another class's.

    Ctrl-C ends it; what was measured is kept, where it is enough.

    Args:
        maps: the model and its methods.
        paths: of the images; some of them, drawn by the seed, where there are more than wanted.
        plan: how it is measured.
        seed: of the choice of images, of random maps and of the intervals.
        tell: called with how many images were measured, of how many.
        show: called with each image that was measured.
        kept: where figures are kept meanwhile, and from where measuring goes on; it stays where not all was measured.
    Raises:
        JumokError: a model that is no classifier of several classes, or maps that lie on no image.
    """
    measuring = _Images(maps, draw_some(paths, plan.most, seed), plan, seed, show)
    why = measure_in_turn(measuring, plan, tell=tell, kept=kept)
    return Measured(conclude(measuring.meter, why), why)


class _Images(Measuring["Looked"]):
    """Images that are looked at some at a time, and measured one after the other."""

    def __init__(
        self,
        maps: MapMaker,
        paths: Sequence[Path],
        plan: Plan,
        seed: int,
        show: Callable[[MeasuredImage], None] | None,
    ) -> None:
        from jumok.measures.faithfulness_meter import FaithfulnessMeter

        most = len(paths) if plan.early and len(paths) > 1 else None
        answer = "" if maps.model is None else maps.model.kind.measured
        meter = FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most, answer=answer)
        super().__init__(len(paths), images=meter)
        self._maps, self._paths, self._fillings, self._show = maps, paths, plan.fillings, show
        self._units: ImageUnits | None = None

    @property
    def meter(self) -> FaithfulnessMeter:
        """Of the images."""
        return self.meters["images"]

    def read(self) -> Iterator[Looked]:
        """Look at images in batches that are always the same, as their figures depend on these."""
        begun = self.done - self.done % AT_ONCE
        return islice(_look_at_all(self._maps, self._paths[begun:]), self.done - begun, None)

    def measure(self, given: Looked) -> None:
        """Measure one image, and show it."""
        self._units = self._units or make_units(self._maps, given.heats, self._fillings)
        measured = add_looked(self.meter, self._units, given)
        if self._show is not None:
            self._show(measured)


@dataclass(frozen=True)
class Looked:
    """One image and its maps.

    Args:
        path: of the image.
        picture: (3, any, any) uint8, of what the model sees of it.
        pixels: (channels, height, width), as the model is given it.
        heats: by method.
        others: baselines of its own: the map of another class.
    """

    path: Path
    picture: Tensor
    pixels: Tensor
    heats: Mapping[str, AttentionMap]
    others: Mapping[str, AttentionMap]


def _look_at_all(maps: MapMaker, paths: Sequence[Path]) -> Iterator[Looked]:
    from jumok.data.images.batches import take_turns
    from jumok.data.images.reading import read_image

    for some in take_turns(paths, AT_ONCE):
        yield from look_together(maps, some, [read_image(path, bits=maps.bits) for path in some])


def look_together(maps: MapMaker, paths: Sequence[Path], pictures: Sequence[Tensor]) -> Iterator[Looked]:
    """Look at some images at once.

    Args:
        maps: the model and its methods.
        paths: names of the images.
        pictures: their pixels, (3, any, any) uint8.
    """
    assert maps.model is not None
    pixels = maps.model.prepare_each(pictures)
    shown = pictures if maps.model.preparation.stretched else list(map(maps.model.show, pixels))
    found = maps.make_of_seen(pictures, shown)
    others = _look_for_another_class(maps, pictures, list(found[0]))
    for path, picture, given, heats, baselines in zip(paths, shown, pixels, found, others, strict=True):
        yield Looked(path, picture, given, heats, baselines)


def _look_for_another_class(
    maps: MapMaker, pictures: Sequence[Tensor], methods: Sequence[str]
) -> list[dict[str, AttentionMap]]:
    """The maps of the second most probable class, by the first method that can explain a class."""
    from jumok.tasks.classify.looking import OF_TARGET, look

    assert maps.model is not None
    able = [method for method in methods if method in OF_TARGET]
    if not able or len(maps.model.classes) < 2:
        return [{} for _ in pictures]
    asked = look(maps.model, pictures, replace(maps.options, methods=(able[0],), rank=2, empty=True))
    return [{OTHER_CLASS: each.heats[able[0]]} for each in asked]


def make_units(maps: MapMaker, heats: Mapping[str, AttentionMap], fillings: Sequence[str]) -> ImageUnits:
    """Images of patches, and what the model answers.

    Args:
        maps: the model and its methods.
        heats: maps of an image, whose grid is that of all.
        fillings: what is put in the place of patches.
    Raises:
        JumokError: a model of one class.
    """
    from jumok.measures.image_units import ImageUnits, check_outputs

    assert maps.model is not None
    kind = maps.model.kind
    if len(kind.names) < kind.least_outputs:
        raise JumokError(f"{maps.model.name} knows one class: faithfulness needs a classifier of 2 classes or more")
    return ImageUnits(
        maps.model,
        grid=choose_grid(heats),
        fillings=fillings,
        mean=_find_grey(maps.model),
        read=lambda output, inputs: kind.measure_by(check_outputs(output, inputs)),
    )


def _find_grey(model: AnyClassifier) -> Tensor | None:
    """What the filling "mean" is: the colour that becomes 0, if images may have it on average; None: each its own."""
    import torch

    inside = all(DARKEST < value < 1 - DARKEST for value in model.preparation.mean)
    return torch.zeros(model.preparation.channels) if inside or model.preparation.stretched else None


def add_looked(meter: FaithfulnessMeter, units: ImageUnits, looked: Looked) -> MeasuredImage:
    """Measure an image that was looked at.

    Args:
        meter: that measures.
        units: of the model.
        looked: the image and its maps.
    """
    heats = {name: units.lay(heat) for name, heat in looked.heats.items()}
    others = {name: units.lay(heat) for name, heat in looked.others.items()}
    baselines = {**units.baselines(looked.picture), **others}
    answers = units.answers(looked.pixels)
    flips = meter.add(answers, heats, baselines=baselines, name=str(looked.path))
    filled = units.fill(looked.pixels)
    place = (looked.path, looked.picture, looked.pixels, units.grid)
    return MeasuredImage(*place, heats, baselines, answers, flips, filled)
