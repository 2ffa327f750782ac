"""Whether maps tell what a classifier used: parts of its images are taken away in each map's order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.app.classify.maps import MapMaker
    from jumok.app.partial import PartialFile
    from jumok.attention import AttentionMap
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.faithfulness_report import FaithfulnessReport
    from jumok.measures.image_units import ImageUnits

__all__ = ["FEWEST", "Measured", "Plan", "draw_images", "measure_faithfulness"]

FEWEST = 8
"""Images, at least: the intervals of fewer say nothing."""
AT_ONCE = 8
"""Images that are looked at together."""
LEAST_SIDE = 7
"""Patches along a side, at least: of fewer an order says little."""
CERTAIN, TIME_UP, INTERRUPTED = "the verdicts are certain", "the time was up", "interrupted"
"""Why measuring ended before all images were measured."""
OTHER_CLASS = "other class"
"""The map of the class that the model holds for the second most probable one."""


class Plan(NamedTuple):
    """How faithfulness is measured.

    Args:
        fillings: what is put in the place of what is taken away.
        steps: parts in which an image is taken away.
        most: images at most.
        seconds: for all of it; None: as long as it takes.
        early: stop as soon as the verdicts are certain, with intervals that are wide enough for that.
        saco: take SaCo, too.
    """

    fillings: tuple[str, ...]
    steps: int
    most: int
    seconds: float | None = None
    early: bool = False
    saco: bool = False


class Measured(NamedTuple):
    """What came of it.

    Args:
        report: None where there were too few images for one.
        why: the measuring ended before all images were measured; empty where it did not.
    """

    report: FaithfulnessReport | None
    why: str


def measure_faithfulness(
    maps: MapMaker,
    paths: Sequence[Path],
    plan: Plan,
    *,
    seed: int,
    tell: Callable[[int, int], None] | None = None,
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
        kept: where figures are kept meanwhile, and from where measuring goes on; it stays where not all was measured.
    Raises:
        JumokError: a model that is no classifier of several classes, or maps that lie on no image.
    """
    from jumok.measures.faithfulness_meter import FaithfulnessMeter

    chosen = draw_images(paths, plan.most, seed)
    most = len(chosen) if plan.early and len(chosen) > 1 else None
    meter = FaithfulnessMeter(steps=plan.steps, saco=plan.saco, seed=seed, most=most)
    if kept is not None:
        kept.restore(meter)
    try:
        why = _measure_all(meter, maps, chosen, plan, tell or (lambda done, of: None), kept)
    except KeyboardInterrupt:
        if len(meter) < FEWEST:
            if kept is not None:
                kept.leave(meter)
            raise
        why = INTERRUPTED
    if kept is not None:
        kept.remove() if why in ("", CERTAIN) else kept.write(meter)
    return Measured(meter.report() if len(meter) >= min(FEWEST, len(chosen)) else None, why)


def draw_images(paths: Sequence[Path], most: int, seed: int) -> list[Path]:
    """So many of the images, by chance, so that all classes have their share."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(paths))[:most]
    return [paths[number] for number in order]


def _measure_all(
    meter: FaithfulnessMeter,
    maps: MapMaker,
    paths: Sequence[Path],
    plan: Plan,
    tell: Callable[[int, int], None],
    kept: PartialFile | None,
) -> str:
    """Measure image by image, until the time is up or the verdicts are certain. Returns why it ended early."""
    began, units = time.monotonic(), None
    if _is_certain(meter, plan, len(paths)):
        return CERTAIN
    for looked in _look(maps, paths, len(meter)):
        units = units or _make_units(maps, looked.heats, plan.fillings)
        _add(meter, units, looked)
        tell(len(meter), len(paths))
        if _is_certain(meter, plan, len(paths)):
            return CERTAIN
        if plan.seconds is not None and time.monotonic() - began > plan.seconds and len(meter) < len(paths):
            return TIME_UP
        if kept is not None:
            kept.keep(meter)
    return ""


def _is_certain(meter: FaithfulnessMeter, plan: Plan, most: int) -> bool:
    return plan.early and len(meter) < most and meter.decided()


@dataclass(frozen=True)
class _Looked:
    """One image and its maps.

    Args:
        path: of the image.
        picture: (3, any, any) uint8.
        pixels: (3, height, width), as the model is given it.
        heats: by method.
        others: baselines of its own: the map of another class.
    """

    path: Path
    picture: Tensor
    pixels: Tensor
    heats: Mapping[str, AttentionMap]
    others: Mapping[str, AttentionMap]


def _look(maps: MapMaker, paths: Sequence[Path], done: int) -> Iterator[_Looked]:
    """Look at the images after the first so many, always in the same batches: their figures depend on these."""
    begun = done - done % AT_ONCE
    return islice(_look_at_all(maps, paths[begun:]), done - begun, None)


def _look_at_all(maps: MapMaker, paths: Sequence[Path]) -> Iterator[_Looked]:
    from jumok.data.images.batches import take_turns
    from jumok.data.images.reading import read_image

    assert maps.model is not None
    for some in take_turns(paths, AT_ONCE):
        pictures = [read_image(path, bits=maps.bits) for path in some]
        found = maps.make(pictures)
        others = _look_for_another_class(maps, pictures, list(found[0]))
        pixels = maps.model.prepare(pictures)
        for path, *rest in zip(some, pictures, pixels, found, others, strict=True):
            yield _Looked(path, *rest)


def _look_for_another_class(
    maps: MapMaker, pictures: Sequence[Tensor], methods: Sequence[str]
) -> list[dict[str, AttentionMap]]:
    """The maps of the second most probable class, by the first method that can explain a class."""
    from jumok.tasks.classify.looking import OF_TARGET, look

    assert maps.model is not None
    able = [method for method in methods if method in OF_TARGET]
    if not able or len(maps.model.classes) < 2:
        return [{} for _ in pictures]
    asked = look(maps.model, pictures, replace(maps.options, methods=(able[0],), rank=2))
    return [{OTHER_CLASS: each.heats[able[0]]} for each in asked]


def _make_units(maps: MapMaker, heats: Mapping[str, AttentionMap], fillings: Sequence[str]) -> ImageUnits:
    """The patches that are taken away: those of the coarsest map, cut further where they are few.

    The filling "mean" is what the model's own preprocessing makes 0.
    """
    import torch

    from jumok.measures.image_units import ImageUnits
    from jumok.measures.localisation_scores import find_coarsest_grid

    assert maps.model is not None
    if len(maps.model.classes) < 2:
        raise JumokError(f"{maps.model.name} knows one class: faithfulness needs a classifier of 2 classes or more")
    rows, columns = (side * math.ceil(LEAST_SIDE / side) for side in find_coarsest_grid(list(heats.values())))
    return ImageUnits(maps.model, grid=(rows, columns), fillings=fillings, mean=torch.zeros(3))


def _add(meter: FaithfulnessMeter, units: ImageUnits, looked: _Looked) -> None:
    heats = {name: units.lay(heat) for name, heat in looked.heats.items()}
    others = {name: units.lay(heat) for name, heat in looked.others.items()}
    baselines = {**units.baselines(looked.picture), **others}
    meter.add(units.answers(looked.pixels), heats, baselines=baselines, name=str(looked.path))
