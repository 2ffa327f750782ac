"""How faithful a model's maps of each image are, as rows of a data set."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from jumok.app.classify.faithful import AT_ONCE, Looked, add_looked, look_together, make_units
from jumok.app.classify.maps import MapMaker, open_maps
from jumok.app.engine.broken import BROKEN
from jumok.app.engine.images import read_content
from jumok.app.engine.opened import fingerprint_of, stamp
from jumok.app.engine.verb import Column
from jumok.errors import JumokError, first_line
from jumok.machine import device_name
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.flipping import UnitScores
from jumok.measures.image_units import ImageUnits
from jumok.wording import readable

__all__ = ["MeasureAbout", "MeasureRecipe", "Measurer"]

NAME = Path("the image")


@dataclass(frozen=True)
class MeasureRecipe:
    """What is measured, in plain values; see `measure_faithfulness` for their meaning."""

    model: str
    methods: tuple[str, ...]
    fillings: tuple[str, ...]
    steps: int
    saco: bool
    seed: int
    without_sinks: bool = False
    device: str = "cpu"

    def make_meter(self, seed: int) -> FaithfulnessMeter:
        """An empty one."""
        return FaithfulnessMeter(steps=self.steps, saco=self.saco, seed=seed)


@dataclass(frozen=True)
class MeasureAbout:
    """What all rows have in common.

    Args:
        model: as the user named it.
        methods, baselines: whose maps are measured, as far as they have names of their own.
        fillings, steps, saco, seed: how.
        grid: rows and columns of the patches that are taken away.
        answer: what the answer is, where it is no probability.
        method: none: there are several.
    """

    model: str
    methods: tuple[str, ...]
    baselines: tuple[str, ...]
    fillings: tuple[str, ...]
    steps: int
    saco: bool
    seed: int
    grid: tuple[int, int]
    answer: str
    method: str = ""

    @property
    def maps(self) -> tuple[str, ...]:
        """Every map, in the order of a meter."""
        return (*self.methods, "random", *self.baselines)

    @property
    def scores(self) -> tuple[str, ...]:
        """Every score, in the order of a meter."""
        return UnitScores._fields if self.saco else UnitScores._fields[:-1]

    def score_columns(self) -> list[str]:
        """A column for each filling, map and score, in this order."""
        named = product(self.fillings, self.maps, self.scores)
        return [to_name(f"{method} {score} {filling}") for filling, method, score in named]

    def columns(self) -> dict[str, Column]:
        """The scores, and the curves that they are areas of."""
        sides = 2 * (self.steps + 1)
        return {
            **dict.fromkeys(self.score_columns(), Column("float64")),
            "curves": Column("float64", len(self.fillings) * len(self.maps) * sides),
            "constant": Column("int32", len(self.maps) - 1),
            "passes": Column("int64"),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def to_name(text: str) -> str:
    """A name that a query can use.

    >>> to_name("grad-cam srg mean")
    'grad_cam_srg_mean'
    """
    return "".join(sign if sign.isalnum() else "_" for sign in text)


class Measurer:
    """Measures whether maps of images are faithful to a model, each image by itself.

    Args:
        recipe: what is measured.
    """

    def __init__(self, recipe: MeasureRecipe) -> None:
        self.recipe = recipe

    @property
    def about(self) -> MeasureAbout:
        """What all rows have in common."""
        return self._opened().about

    @property
    def fingerprint(self) -> str:
        """Of the model's weights, and of what is done to an image before and after them."""
        return self._opened().fingerprint

    def on(self, device: str) -> Measurer:
        """The same on another device."""
        return Measurer(replace(self.recipe, device=device))

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""
        recipe = self.recipe
        return {
            "--model": recipe.model,
            "--method": list(recipe.methods),
            "--fillings": list(recipe.fillings),
            "--steps": recipe.steps,
            "--saco": recipe.saco,
            "--without-sinks": recipe.without_sinks,
            "--seed": recipe.seed,
        }

    def look(self, inputs: Iterable[Any]) -> list[SimpleNamespace]:
        """As many rows as images, in their order."""
        opened, left = self._opened(), iter(inputs)
        rows: list[SimpleNamespace] = []
        while turn := list(islice(left, AT_ONCE)):
            rows += opened.measure_some(turn)
        return rows

    def _opened(self) -> _Opened:
        recipe = replace(self.recipe, device=device_name(self.recipe.device))
        return _open(recipe, stamp(recipe.model))


@dataclass(frozen=True)
class _Opened:
    """A model that is open and has been tried."""

    recipe: MeasureRecipe
    maps: MapMaker
    units: ImageUnits
    about: MeasureAbout
    fingerprint: str

    def measure_some(self, contents: Sequence[Any]) -> list[SimpleNamespace]:
        """The rows of images that are looked at together; those that cannot be read have gone before."""
        read = [self._read(content) for content in contents]
        looked = iter(self._look([image for image in read if isinstance(image, Tensor)]))
        found = [next(looked) if isinstance(image, Tensor) else image for image in read]
        return [self._to_row(each) for each in found]

    def _read(self, content: Any) -> Tensor | JumokError:
        try:
            return read_content(content, bits=self.maps.bits)
        except JumokError as error:
            return error

    def _look(self, pictures: Sequence[Tensor]) -> list[Looked | JumokError]:
        """Each image with its maps; where they fail together each is looked at alone, and tells why."""
        if not pictures:
            return []
        try:
            return list(look_together(self.maps, [NAME] * len(pictures), pictures))
        except BROKEN:
            raise
        except Exception as error:  # whatever a model of elsewhere may raise for one image of many
            if len(pictures) == 1:
                return [error if isinstance(error, JumokError) else JumokError(first_line(error))]
            return [each for picture in pictures for each in self._look([picture])]

    def _to_row(self, looked: Looked | JumokError) -> SimpleNamespace:
        missing: dict[str, Any] = dict.fromkeys(self.about.columns())
        try:
            if isinstance(looked, JumokError):
                raise looked
            return SimpleNamespace(**missing | self._measure(looked), error=None)
        except JumokError as error:
            return SimpleNamespace(**missing, error=readable(str(error)))

    def _measure(self, looked: Looked) -> dict[str, Any]:
        meter = self.recipe.make_meter(_draw_seed(self.recipe.seed, looked.picture))
        add_looked(meter, self.units, looked)
        state = meter.state()
        scores = state["scores"][0][..., : len(self.about.scores)].ravel().tolist()
        return {
            **dict(zip(self.about.score_columns(), scores, strict=True)),
            "curves": state["curves"][0].ravel(),
            "constant": state["constant"][0].astype("int32"),
            "passes": int(state["passes"][0]),
        }


def _draw_seed(seed: int, picture: Tensor) -> int:
    """Of an image's random map: another for each image, and the same wherever in a data set it stands."""
    return (seed << 32) + zlib.crc32(picture.contiguous().numpy().tobytes())


@lru_cache(maxsize=1)
def _open(recipe: MeasureRecipe, _stamp: str) -> _Opened:
    """Open a model and try it, once in a process."""
    maps = open_maps(recipe.model, recipe.methods, recipe.device, without_sinks=recipe.without_sinks)
    model = maps.model
    if model is None:
        raise JumokError("--engine measures maps of a model: name it first, as in jumok measure RUN IMAGES")
    noise = torch.randint(0, 256, (3, *model.size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    (looked,) = look_together(maps, [NAME], [noise])
    units = make_units(maps, looked.heats, recipe.fillings)
    meter = recipe.make_meter(recipe.seed)
    add_looked(meter, units, looked)
    return _Opened(
        recipe, maps, units, _describe(recipe, meter.state(), units, model.kind.measured), fingerprint_of(model)
    )


def _describe(recipe: MeasureRecipe, state: Mapping[str, Any], units: ImageUnits, answer: str) -> MeasureAbout:
    methods, baselines, fillings = (tuple(map(str, state[what])) for what in ("methods", "baselines", "fillings"))
    return MeasureAbout(
        recipe.model, methods, baselines, fillings, recipe.steps, recipe.saco, recipe.seed, units.grid, answer
    )
