"""Does a map mark the right place? Scores against masks, always beside what a map with no knowledge would get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError
from jumok.intervals import Bootstrap, average_groups
from jumok.measures.baselines import centre_heat, edge_heat
from jumok.measures.localisation_scores import (
    RANDOM_MAPS_PER_IMAGE,
    BlankError,
    Heat,
    Scores,
    check_tolerance,
    find_coarsest_grid,
    grow_mask,
    heat_to_array,
    mask_to_array,
    random_scores,
    score,
    scores_of,
)
from jumok.measures.report import BASELINES, MethodScores, Report, ScoreDifference

__all__ = ["RANDOM_MAPS_PER_IMAGE", "Heat", "LocalisationMeter", "Scores", "compare", "score"]


def compare(
    images: Sequence[Tensor],
    masks: Sequence[Tensor | None],
    heats: Mapping[str, Sequence[Heat]],
    *,
    baselines: Mapping[str, Sequence[Heat]] | None = None,
    tolerance: int = 0,
    seed: int = 0,
) -> Report:
    """Measure the maps of one or several methods, and the baselines, over images that are all at hand.

    For a folder too large for that, feed a `LocalisationMeter`.

    Args:
        images: each (3, height, width) uint8.
        masks: each (height, width) bool, or None where there is nothing to find.
        heats: for each method its maps, in the order of the images.
        baselines: for each further baseline its maps, in the same way.
        tolerance, seed: as for `LocalisationMeter`.
    Raises:
        JumokError: as `LocalisationMeter.add` and `.report`, or sequences of different lengths.
    """
    further = baselines or {}
    counts = {"masks": len(masks), **{name: len(maps) for name, maps in (*heats.items(), *further.items())}}
    for what, count in counts.items():
        if count != len(images):
            raise JumokError(f"got {len(images)} images and {count} of {what}: wanted one for each image")
    meter = LocalisationMeter(tolerance=tolerance, seed=seed)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        own, others = ({name: maps[number] for name, maps in every.items()} for every in (heats, further))
        meter.add(image, mask, own, baselines=others, name=f"image {number}")
    return meter.report()


class LocalisationMeter:
    """Scores images one by one; only their scores are kept.

    Args:
        tolerance: of the pointing game, in pixels.
        seed: of the random baseline and of the bootstrap.
        blank_is_chance: a map whose values are all equal marks every place alike and is scored so; `blank` counts
            them by name. Otherwise it is an error.
    Raises:
        JumokError: a tolerance below 0.
    """

    def __init__(self, *, tolerance: int = 0, seed: int = 0, blank_is_chance: bool = False) -> None:
        check_tolerance(tolerance)
        self.blank: Counter[str] = Counter()
        self._blank_is_chance = blank_is_chance
        self._tolerance, self._seed = tolerance, seed
        self._random = np.random.default_rng(seed)
        self._methods: tuple[str, ...] = ()
        self._further: tuple[str, ...] = ()
        self._scores: list[list[Scores]] = []
        self._areas: list[tuple[float, float]] = []
        self._groups: list[str] = []
        self._empty = self._full = 0

    def add(
        self,
        image: Tensor,
        mask: Tensor | None,
        heats: Mapping[str, Heat],
        *,
        baselines: Mapping[str, Heat] | None = None,
        name: str = "",
        group: str = "",
    ) -> dict[str, Scores] | None:
        """Score one image: every method's map, and the baselines.

        An image whose mask is empty (or None) or full is counted and left out, and its maps are not looked at.
        After an error nothing has been added, and the next image may follow.

        Args:
            image: (3, height, width), uint8, for the edge baseline.
            mask: (height, width), bool, True where a map should look.
            heats: by method, the same methods for every image.
            baselines: further ones, by name, the same for every image: maps that should do worse, such as those of a
                model that is not told the question.
            name: of the image, for errors.
            group: what hangs together, such as all questions about one image: it counts once, by its mean. "": alone.
        Returns:
            The scores by method, baselines included; None for an image that is left out.
        Raises:
            JumokError: as `score`, an image of another size than its mask, or methods or baselines that
                changed.
        """
        try:
            scores = self._add(image, mask, heats, baselines or {})
            self._groups += [group or f"{len(self._scores)}th alone"] * (scores is not None)
            return scores
        except JumokError as error:
            if not name:
                raise
            raise JumokError(f"{name}: {error}") from error

    def _add(
        self, image: Tensor, mask: Tensor | None, heats: Mapping[str, Heat], further: Mapping[str, Heat]
    ) -> dict[str, Scores] | None:
        truth = None if mask is None else mask_to_array(mask)
        if truth is None or not truth.any():
            self._empty += 1
            return None
        if truth.all():
            self._full += 1
            return None
        assert mask is not None
        height, width = mask.shape
        if image.shape[-2:] != mask.shape:
            raise JumokError(
                f"an image of {_write_size(image)} pixels has a mask of {_write_size(mask)}: wanted the same size"
            )
        self._check_names(tuple(heats), tuple(further))
        values = {name: self._values(name, heat, height, width) for name, heat in (*heats.items(), *further.items())}
        values["edges"] = edge_heat(image).numpy()
        values["centre"] = centre_heat(height, width).numpy()
        near = grow_mask(mask, self._tolerance)
        scores = {method: scores_of(heat, truth, near) for method, heat in values.items()}
        scores["random"] = random_scores(find_coarsest_grid(heats.values()), truth, near, self._random)
        scores = {name: scores[name] for name in (*heats, *BASELINES, *further)}
        self._methods, self._further = tuple(heats), tuple(further)
        self._areas.append((float(truth.mean()), float(near.mean())))
        self._scores.append(list(scores.values()))
        return scores

    def _values(self, method: str, heat: Heat, height: int, width: int) -> NDArray[np.floating]:
        try:
            return heat_to_array(heat, height, width)
        except BlankError as error:
            if not self._blank_is_chance:
                raise JumokError(f"the map of {method}: {error}") from error
            self.blank[method] += 1
            return np.ones((height, width))
        except JumokError as error:
            raise JumokError(f"the map of {method}: {error}") from error

    def _check_names(self, methods: tuple[str, ...], further: tuple[str, ...]) -> None:
        if not methods:
            raise JumokError("no map to measure: give at least one method's")
        if taken := {*methods, *further} & set(BASELINES):
            raise JumokError(f"{min(taken)!r} is the name of a built-in baseline: choose another")
        if both := set(methods) & set(further):
            raise JumokError(f"{min(both)!r} is a method and a baseline: give one of them another name")
        known = (("methods", self._methods, methods), ("baselines", self._further, further))
        for what, before, now in known if self._scores else ():
            if before != now:
                raise JumokError(f"the {what} changed from {before} to {now}: wanted the same for every image")

    def report(self, *, resamples: int = 2000, level: float = 0.95, noun: str = "images") -> Report:
        """The means over all images so far, with bootstrap intervals over the images.

        Args:
            resamples: of the bootstrap.
            level: the share of resampled means that each interval holds.
            noun: what was scored: images, or questions about them.
        Raises:
            JumokError: no image with a mask was added.
        """
        if not self._scores:
            raise JumokError(
                f"no image to measure: of {self._empty + self._full}, {self._empty} have an empty mask or none and "
                f"{self._full} one that covers everything; give masks that mark a part of the image"
            )
        table = average_groups(np.array(self._scores, dtype=np.float64), self._groups)  # (groups, methods, scores)
        rows = table.reshape(len(table), -1)
        bootstrap = Bootstrap(rows, resamples=resamples, level=level, seed=self._seed, of_hits=True)
        baselines = (*BASELINES, *self._further)
        names = (*self._methods, *baselines)
        results = {name: _collect_scores(bootstrap, row, name) for row, name in enumerate(names)}
        area, near = np.mean(self._areas, axis=0).tolist()
        return Report(
            methods=tuple(results[name] for name in self._methods),
            baselines=tuple(results[name] for name in baselines),
            differences=tuple(
                _collect_differences(bootstrap, names, method, baseline)
                for method in self._methods
                for baseline in baselines
            ),
            area=area,
            chance={"pointing": near, "energy_inside": area, "auprc": area},
            images=len(self._scores),
            empty=self._empty,
            full=self._full,
            tolerance=self._tolerance,
            level=level,
            resamples=resamples,
            seed=self._seed,
            noun=noun,
        )


def _collect_scores(bootstrap: Bootstrap, row: int, name: str) -> MethodScores:
    columns = enumerate(Scores._fields, row * len(Scores._fields))
    return MethodScores(name, {title: bootstrap.mean(column) for column, title in columns}, bootstrap.samples)


def _collect_differences(bootstrap: Bootstrap, names: Sequence[str], method: str, baseline: str) -> ScoreDifference:
    step = len(Scores._fields)
    ours, theirs = names.index(method) * step, names.index(baseline) * step
    gains = {title: bootstrap.difference(ours + i, theirs + i) for i, title in enumerate(Scores._fields)}
    return ScoreDifference(method, baseline, gains)


def _write_size(image: Tensor) -> str:
    return "{} x {}".format(*image.shape[-2:])
