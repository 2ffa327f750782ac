"""Look at batches of images, from whatever engine hands them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jumok.app.engine.broken import BROKEN
from jumok.app.engine.images import explain_unread, unwrap
from jumok.app.engine.opened import MAP_TYPES, About, Opened, Recipe, find_peak, open_recipe, stamp
from jumok.app.image_inputs import check_size
from jumok.attention.frames import Frame
from jumok.data.images.given import GivenImage, open_given
from jumok.data.images.reading import read_image
from jumok.errors import JumokError, first_line, suggest
from jumok.machine import device_name
from jumok.tasks.classify.looking import METHODS
from jumok.wording import readable

if TYPE_CHECKING:
    from jumok.attention import AttentionMap
    from jumok.tasks.classify.looking import LookResult

__all__ = ["IMAGE_COLUMNS", "Looker", "Row"]

IMAGE_COLUMNS = ("image", "bytes", "path")
"""Where images are looked for in a batch, in this order."""
WHOLE: Frame = (0.0, 0.0, 1.0, 1.0)
SMALLEST_PEAK, LARGEST_PEAK = 2.0**-16, 65504.0
"""Of a map in float16: below, its steps are more than 0.2% of the peak; above, there is infinity alone."""


class Prepared(NamedTuple):
    """An image as the model takes it, (channels, height, width) float32, and the part of it that it is."""

    pixels: Tensor
    frame: Frame


@dataclass(frozen=True)
class Row:
    """What is known of one image; what is not known is None.

    Args:
        prediction: the class, the labels with bars between them, or the number.
        probability: of the class, or of the most probable label.
        probabilities: (classes,) float32.
        target: the class that the map explains.
        method: that the map comes from.
        frame: the part of the image that the map lies on: top, left, bottom and right, in shares of it; a part with
            margins goes beyond.
        map: (places,) float16 or float32.
        verdict: how far maps by the method can be trusted.
        error: why something is missing.
    """

    prediction: str | float | None = None
    probability: float | None = None
    probabilities: NDArray[np.float32] | None = None
    target: str | None = None
    method: str | None = None
    frame: NDArray[np.float32] | None = None
    map: NDArray[Any] | None = None
    verdict: str | None = None
    error: str | None = None


class Looker:
    """What a model sees in the images of a batch, and where it looks.

    It is made of names alone: pickled, it is a few hundred bytes, and the model is opened where the first batch is
    looked at, once a process. So one can be handed to a `DataLoader`, `Dataset.map(looker, batched=True)` of Hugging
    Face, `map_batches` of Ray Data or `mapInPandas` of Spark. An image that cannot be used has its reason in the column
    `error`, and the others of its batch are looked at as ever.

    Args:
        model: folder of a run, "hf:" and a folder or hub name, or "timm:" and a model name.
        method: how to read where the model looked; None: the most faithful one that was measured for a run, else the
            first that fits the model.
        maps: also give maps; without them it is plain prediction.
        target: class or label to explain; None: the predicted one.
        batch_size: images that go through the model together; batches of any size may be handed in.
        column: where the images are; None: the first of image, bytes and path that is there.
        map_type: of the maps, float16 or float32; auto: float16, where the model's values fit it.
        device: auto, cpu, cuda, cuda:N or mps.
    Raises:
        JumokError: a value that none of these has; when the first batch comes, what `jumok look` refuses.

    >>> Looker("runs/first", method="rollout")
    Looker('runs/first', method='rollout')
    """

    def __init__(
        self,
        model: str,
        *,
        method: str | None = None,
        maps: bool = True,
        target: str | None = None,
        batch_size: int = 16,
        column: str | None = None,
        map_type: str = "auto",
        device: str = "auto",
    ) -> None:
        if method is not None and method not in METHODS:
            raise JumokError(f"no method {method!r}: {suggest(method, METHODS)}")
        if map_type not in MAP_TYPES:
            raise JumokError(f"no map_type {map_type!r}: {suggest(map_type, MAP_TYPES)}")
        if batch_size < 1:
            raise JumokError(f"batch_size is at least 1, got {batch_size}")
        self.recipe = Recipe(str(model), method, maps, target, map_type, device)
        self.batch_size, self.column = batch_size, column
        self._held: Opened | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None}

    def __repr__(self) -> str:
        method = f", method={self.recipe.method!r}" if self.recipe.method else ""
        return f"Looker({self.recipe.model!r}{method})"

    def on(self, device: str) -> Looker:
        """The same on another device."""
        other = copy(self)
        other.recipe, other._held = replace(self.recipe, device=device), None
        return other

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""
        return {
            "--model": self.recipe.model,
            "--method": self.recipe.method,
            "--target": self.recipe.target,
            "--maps": self.recipe.maps,
            "--batch-size": self.batch_size,
        }

    @property
    def about(self) -> About:
        """What all rows have in common: classes, method, and the places of maps."""
        return self._opened().about

    @property
    def fingerprint(self) -> str:
        """Of the model's weights, and of what is done to an image before and after them."""
        return self._opened().fingerprint

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Look at a batch.

        Args:
            batch: columns by name, each as long as the batch; one holds images: bytes of files, paths, arrays (height,
                width, 3), tensors (3, height, width) or Pillow images.
        Returns:
            the same columns without images, and: prediction, probability and probabilities (n, classes) float32, or of
            a model that gives numbers prediction alone; with maps target, method, verdict, frame (n, 4) float32 and
            map (n, places) float16 or float32; error. What is missing is NaN or an empty text.
        Raises:
            JumokError: no column of images, or a model that cannot be opened.
        """
        column = self._find_column(batch)
        images = list(batch[column])
        kept = {name: values for name, values in batch.items() if name != column or _are_paths(images)}
        return {**kept, **_to_columns(self.look(images), self.about, maps=self.recipe.maps)}

    def look(self, images: Iterable[GivenImage | JumokError]) -> list[Row]:
        """Look at images.

        Args:
            images: each as in a batch, or what is wrong with it.
        Returns:
            as many rows, in their order.
        """
        opened, left = self._opened(), iter(images)
        rows: list[Row] = []
        while turn := list(islice(left, self.batch_size)):
            rows += _look_at_turn(opened, turn)
        return rows

    def _opened(self) -> Opened:
        """The model; it stays the same from here on, whatever becomes of its files."""
        if self._held is None:
            recipe = replace(self.recipe, device=device_name(self.recipe.device))
            self._held = open_recipe(recipe, stamp(recipe.model))
        return self._held

    def _find_column(self, batch: Mapping[str, Any]) -> str:
        """Where the images are.

        Raises:
            JumokError: nowhere.
        """
        wanted = IMAGE_COLUMNS if self.column is None else (self.column,)
        found = next((name for name in wanted if name in batch), None)
        if found is None:
            raise JumokError(
                f"no column {' or '.join(wanted)} in a batch of {', '.join(map(str, batch)) or 'no columns'}: name the "
                "one that holds images with column="
            )
        return found


def _are_paths(images: Sequence[Any]) -> bool:
    return all(isinstance(image, str | Path) for image in images)


# -- from images to rows ------------------------------------------------------------------------


def _look_at_turn(opened: Opened, images: Sequence[GivenImage | JumokError]) -> list[Row]:
    """The rows of images that go through the model together; those that cannot be read have gone before."""
    read = [_read(image, opened) for image in images]
    found = iter(_look_together(opened, [each for each in read if isinstance(each, Prepared)]))
    return [next(found) if isinstance(each, Prepared) else Row(error=_tell(each)) for each in read]


def _read(image: GivenImage | JumokError, opened: Opened) -> Prepared | JumokError:
    """An image as the model takes it, or what is wrong with it: of no two are the full sizes held at once."""
    try:
        given = unwrap(image)
        found = open_given(given, bits=opened.model.bits)
        name = Path(given) if isinstance(given, str | Path) else Path("the image")
        if wrong := check_size(name, (found.height, found.width), opened.least):
            return wrong
        frame = opened.model.preparation.frame(found.height, found.width) if opened.about.method else None
        (pixels,) = opened.model.prepare_each([read_image(found, opened.model.reading_size)])
        return Prepared(pixels, frame or WHOLE)
    except JumokError as error:
        return error
    except Exception as error:  # such as no memory for the pixels of one image
        return explain_unread(error)


def _look_together(opened: Opened, images: Sequence[Prepared]) -> list[Row]:
    """The rows of images that can be read; where they fail together each is looked at alone, and tells why."""
    if not images:
        return []
    try:
        found = opened.look([image.pixels for image in images])
        return [_to_row(opened, result, image.frame) for result, image in zip(found, images, strict=True)]
    except BROKEN:
        raise
    except Exception as error:  # whatever a model of elsewhere may raise for one image of many
        if len(images) == 1:
            return [Row(error=_tell(error))]
        return [row for image in images for row in _look_together(opened, [image])]


def _to_row(opened: Opened, result: LookResult, frame: Frame) -> Row:
    about = opened.about
    said = opened.model.kind.say(result.probabilities.tolist())
    shares = result.probabilities.float().numpy() if about.classes else None
    row = Row(said.answer, said.share, shares)
    if not about.method:
        return row
    heat = result.heats[about.method]
    row = replace(row, target=opened.model.classes[result.target], method=heat.source, verdict=about.verdict)
    wrong = _find_fault(heat, about, str(row.target))
    if wrong is not None:
        return replace(row, error=wrong)
    return replace(row, frame=np.array(frame, np.float32), map=heat.weights[0].numpy().astype(about.map_type))


def _find_fault(heat: AttentionMap, about: About, target: str) -> str | None:
    """Why a map cannot stand in its column; None where it can."""
    peak = find_peak(heat)
    if heat.keys.to_dict() != about.keys:
        return (
            f"the map is of {heat.keys.describe()}, as the model takes this image, and not of the same places as other "
            "maps: use `jumok look` without --engine for it"
        )
    if peak == 0:
        return f"{about.method} found no evidence for {target} in the image: its map is zero everywhere"
    if about.map_type == "float16" and not SMALLEST_PEAK <= peak <= LARGEST_PEAK:
        return f"the map's largest value is {peak:.3g}, which float16 cannot hold: ask for maps of float32"
    return None


def _tell(error: BaseException) -> str:
    return readable(str(error) if isinstance(error, JumokError) else first_line(error))


# -- from rows to columns -----------------------------------------------------------------------


def _to_columns(rows: Sequence[Row], about: About, *, maps: bool) -> dict[str, Any]:
    """Arrays as long as the batch."""
    found: dict[str, Any] = {}
    if about.classes:
        found["prediction"] = _to_texts(rows, "prediction")
        found["probability"] = _to_numbers(rows, "probability", "float32")
        found["probabilities"] = _stack([row.probabilities for row in rows], len(about.classes), "float32")
    else:
        found["prediction"] = _to_numbers(rows, "prediction", "float64")
    if maps:
        found |= {name: _to_texts(rows, name) for name in ("target", "method", "verdict")}
        found["frame"] = _stack([row.frame for row in rows], len(WHOLE), "float32")
        found["map"] = _stack([row.map for row in rows], about.places, about.map_type)
    return {**found, "error": _to_texts(rows, "error")}


def _to_texts(rows: Sequence[Row], name: str) -> NDArray[Any]:
    """Texts; empty where there is none: engines settle a column's type by its first values, and None has no type."""
    values = np.empty(len(rows), object)
    values[:] = ["" if getattr(row, name) is None else getattr(row, name) for row in rows]
    return values


def _to_numbers(rows: Sequence[Row], name: str, kind: str) -> NDArray[Any]:
    values = (getattr(row, name) for row in rows)
    return np.array([np.nan if value is None else value for value in values], kind)


def _stack(values: Sequence[NDArray[Any] | None], size: int, kind: str) -> NDArray[Any]:
    """(n, size); rows that are missing are NaN."""
    found = np.full((len(values), size), np.nan, kind)
    for place, value in zip(found, values, strict=True):
        if value is not None:
            place[:] = value
    return found
