"""Are these maps faithful to this classifier? For any model and any maps, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError, first_line
from jumok.measures.baselines import DEFAULT_GRID
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.faithfulness_report import FaithfulnessReport
from jumok.measures.flipping import STEPS
from jumok.measures.image_units import ImageUnits
from jumok.measures.localisation_scores import Heat

__all__ = ["faithfulness"]

Maps: TypeAlias = AttentionMap | Tensor | NDArray[Any] | Sequence[Heat | NDArray[Any]]
"""One for each image, or one of all, as `watch` gives it."""
BATCH, ALONE = "batch", "map"
"""The leading axis of a map of several images, and what maps of one method alone are called."""

MOST_UNITS = 1024  # a finer map is one of pixels, not of patches


def faithfulness(
    model: Callable[[Tensor], Any],
    inputs: Tensor | NDArray[Any],
    maps: Maps | Mapping[str, Maps],
    *,
    baselines: Mapping[str, Maps] | None = None,
    targets: Tensor | Sequence[int] | None = None,
    fillings: Sequence[str] = ("mean", "blur"),
    mean: Tensor | None = None,
    grid: tuple[int, int] | None = None,
    steps: int = STEPS,
    saco: bool = False,
    seed: int = 0,
) -> FaithfulnessReport:
    """Measure how far maps tell what a classifier used, beside random, centre and edge maps.

    A module is put in eval mode meanwhile. Maps are averaged over the patches of one grid, so that fine and coarse
    ones have the same units.

    Args:
        model: from images to logits (images, classes), or to an object that holds them as `.logits`.
        inputs: (images, channels, height, width), prepared for the model.
        maps: a map for each image, `AttentionMap` of one row or values (height, width); (images, height, width); or an
            `AttentionMap` of a batch. Values may be pixels or cells of a coarser grid over the whole image, in tensors
            or arrays. Several methods: {name: maps}; the maps of one alone are called "map".
        baselines: by name, further maps that should do worse, such as those of another class.
        targets: (images,), the classes that the maps speak for; None: the predicted ones.
        fillings: what is put in the place of patches, see `jumok.measures.fillings.FILLINGS`.
        mean: (channels,), of the data, prepared as the inputs are, for the filling "mean"; None: of each image.
        grid: rows and columns of the patches; None: the coarsest grid among the maps, 14 x 14 if all are of pixels.
        steps, saco, seed: as for `FaithfulnessMeter`.
    Raises:
        JumokError: inputs, maps or targets of another form or number, an unknown filling, a model that is no classifier
            of two classes or more or that gives NaN, or maps that are all constant.

    >>> model = lambda images: torch.stack([images[:, 0, 0, 0], -images[:, 0, 0, 0]], 1)  # looks at one pixel
    >>> maps = torch.zeros(8, 2, 2)
    >>> maps[:, 0, 0] = 1
    >>> report = faithfulness(model, torch.randn(8, 3, 4, 4), {"corner": maps}, fillings=["zeros"], grid=(2, 2))
    >>> report.best()
    'corner'
    """
    inputs = _check_inputs(inputs)
    classes = _check_targets(targets, len(inputs))
    named = maps if isinstance(maps, Mapping) else {ALONE: maps}
    own, further = (_check_all_maps(given, inputs) for given in (named, baselines or {}))
    units = ImageUnits(model, grid=grid or _choose_grid({**own, **further}, inputs), fillings=fillings, mean=mean)
    meter = FaithfulnessMeter(steps=steps, saco=saco, seed=seed)
    with _evaluating(model):
        for number, pixels in enumerate(inputs):
            answers = units.answers(pixels, target=classes[number])
            laid, other = ({name: units.lay(heats[number]) for name, heats in each.items()} for each in (own, further))
            others = {**units.baselines(_as_image(pixels)), **other}
            meter.add(answers, laid, baselines=others, name=f"image {number}")
    return meter.report()


@contextmanager
def _evaluating(model: Callable[[Tensor], Any]) -> Iterator[None]:
    """In eval mode, each part put back afterwards as it was."""
    parts = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part, training in parts.items():
            part.training = training


def _as_image(pixels: Tensor) -> Tensor:
    """(3, height, width) uint8 for the edge baseline: the prepared values from the least to the greatest."""
    values = pixels.detach().float().cpu()
    low, high = values.min(), values.max()
    shades = ((values - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8)
    return shades if len(shades) == 3 else shades[:1].expand(3, -1, -1)


def _choose_grid(maps: Mapping[str, Sequence[Heat]], inputs: Tensor) -> tuple[int, int]:
    """The coarsest grid among the maps; those as fine as pixels, or finer, have none."""
    height, width = inputs.shape[2:]
    sizes = [_find_grid(heat) for given in maps.values() for heat in given[:1]]
    coarse = [size for size in sizes if size and size[0] <= height and size[1] <= width and size != (height, width)]
    grids = [size for size in coarse if size[0] * size[1] <= MOST_UNITS]
    default = min(DEFAULT_GRID[0], height), min(DEFAULT_GRID[1], width)
    return min(grids, key=lambda size: size[0] * size[1], default=default)


def _find_grid(heat: Heat) -> tuple[int, int] | None:
    if isinstance(heat, Tensor):
        return heat.shape[0], heat.shape[1]
    return (heat.keys.rows, heat.keys.columns) if isinstance(heat.keys, Patches) else None


# -- checking what came in ------------------------------------------------------------------------


def _check_inputs(inputs: Tensor | NDArray[Any]) -> Tensor:
    found = torch.as_tensor(inputs)
    if found.dim() != 4 or not len(found):
        raise JumokError(f"wanted inputs of shape (images, channels, height, width), got {tuple(found.shape)}")
    if not bool(torch.isfinite(found).all()):
        raise JumokError("the inputs hold NaN or infinity")
    return found


def _check_targets(targets: Tensor | Sequence[int] | None, images: int) -> Sequence[int | None]:
    """A class for each image; None: the predicted one."""
    if targets is None:
        return [None] * images
    found = torch.as_tensor(targets)
    if found.shape != (images,) or found.is_floating_point():
        raise JumokError(
            f"got targets of shape {tuple(found.shape)} and type {found.dtype} for {images} images: wanted the number "
            "of one class for each"
        )
    return found.tolist()


def _check_all_maps(given: Mapping[str, Maps], inputs: Tensor) -> dict[str, Sequence[Heat]]:
    return {name: _check_maps(name, maps, inputs) for name, maps in given.items()}


def _check_maps(name: str, given: Maps, inputs: Tensor) -> Sequence[Heat]:
    found = _list_heats(name, given)
    if len(found) != len(inputs):
        raise JumokError(f"got {len(found)} maps of {name} for {len(inputs)} images: wanted one for each")
    height, width = inputs.shape[2:]
    for heat in found:
        if isinstance(heat, AttentionMap):
            continue
        if heat.dim() != 2:
            channels = ", so sum over the channels first" if heat.dim() == 3 else ""
            raise JumokError(
                f"maps of {name} have shape {tuple(heat.shape)}: wanted (height, width) for each image{channels}"
            )
        rows, columns = heat.shape
        if not _has_aspect(rows, columns, height, width):
            raise JumokError(
                f"a map of {name} has {rows} x {columns} values and its image {height} x {width} pixels: "
                "wanted the same aspect, as a map lies over the whole image"
            )
    return found


def _list_heats(name: str, given: Maps) -> list[Heat]:
    """The maps of the images, one by one."""
    if isinstance(given, AttentionMap):
        several = given.lead[:1] == (BATCH,)
        return [given.at(batch=number) for number in range(len(given.weights))] if several else [given]
    try:
        return [heat if isinstance(heat, AttentionMap) else torch.as_tensor(heat) for heat in given]
    except (TypeError, ValueError, RuntimeError) as error:
        wanted = "wanted a map for each image, values (height, width) or an AttentionMap"
        raise JumokError(f"maps of {name} are {type(given).__name__} ({first_line(error)}): {wanted}") from None


def _has_aspect(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether square cells, whole ones, may make such a grid of such an image."""
    cell = max(height / rows, width / columns)
    return abs(height / cell - rows) < 1 and abs(width / cell - columns) < 1
