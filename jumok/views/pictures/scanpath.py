"""The path of glimpses as a picture: where the image was looked at, in which order, and what of it was seen."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from jumok.attention import AttentionMap, Glimpses
from jumok.errors import JumokError
from jumok.views.pictures.colour_scale import PLAIN, Look, Scaling, draw_colour_bar
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import CENTRED
from jumok.views.pictures.overlay import fit_to_panel, place_side_by_side
from jumok.views.raster import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FADED_BRIGHTNESS = 0.5  # brightness of the image under the boxes
COARSE_BRIGHTNESS = 0.45  # brightness of what was seen at a coarser scale only
UNSEEN_BRIGHTNESS = 0.06
SHORTEST_ARROW = 9  # pixels of a panel; between nearer glimpses an arrow would hide both

Box = tuple[int, int, int, int]


def draw_scanpath(attention: AttentionMap, image: Image.Image | None, look: Look = PLAIN) -> Figure:
    """The image, the glimpses on it at their true places and sizes with the path between them, and the pixels seen.

    Entries of one centre that follow each other, each wider than the one before, are one glimpse at several scales: the
    finest is drawn with a full line, the wider ones with dashed ones.
    """
    keys = attention.keys
    if not isinstance(keys, Glimpses):
        raise JumokError(f"a scanpath is drawn of Glimpses, got {type(keys).__name__}")
    image = fit_to_panel(attention, image)
    width, height = image.size
    weights = attention.weights[0].numpy(force=True)
    scaling = Scaling.of(attention, weights, look)
    photo = np.asarray(image, dtype=np.float32) / 255
    boxes = [keys.box(number, height, width) for number in range(len(keys))]
    groups = group_nested(keys)
    alike = len(groups) == len(keys)
    seen = translate("pixels seen") if alike else translate("seen (dim: at a coarser scale only)")
    figure, axes = place_side_by_side(
        {
            translate("image"): photo,
            translate("glimpses, in order"): FADED_BRIGHTNESS * photo,
            seen: photo * _brighten_seen(boxes, groups, height, width)[..., None],
        }
    )
    _draw_boxes(axes[1], boxes, groups, scaling.rgb(weights))
    _draw_path(axes[1], [_find_centre(keys, group[0], height, width) for group in groups])
    axes[1].set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if np.ptp(weights) > 0:  # else boxes have one colour, which says nothing
        draw_colour_bar(figure, scaling)
    return figure


def group_nested(keys: Glimpses) -> list[list[int]]:
    """The entries of each glimpse, the finest scale first.

    >>> here, there = (0.0, 0.0), (0.5, 0.0)
    >>> group_nested(Glimpses((here, here, there, there), ((0.2, 0.2), (0.4, 0.4)) * 2))
    [[0, 1], [2, 3]]
    """
    groups: list[list[int]] = []
    for number, (centre, size) in enumerate(zip(keys.centres, keys.sizes, strict=True)):
        before = groups[-1][-1] if groups else None
        wider = before is not None and centre == keys.centres[before] and size > keys.sizes[before]
        if wider:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _brighten_seen(boxes: list[Box], groups: list[list[int]], height: int, width: int) -> Numbers:
    """How bright each pixel is shown: full where a finest scale saw it, dim where only coarser ones did."""
    bright: Numbers = np.full((height, width), UNSEEN_BRIGHTNESS, dtype=np.float32)
    for group in groups:
        for number in reversed(group):
            top, left, bottom, right = boxes[number]
            shown = 1.0 if number == group[0] else COARSE_BRIGHTNESS
            np.maximum(bright[top:bottom, left:right], shown, out=bright[top:bottom, left:right])
    return bright


def _draw_boxes(axes: Axes, boxes: list[Box], groups: list[list[int]], colours: Numbers) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    finest = {group[0] for group in groups}
    for number, (top, left, bottom, right) in enumerate(boxes):
        fine = number in finest
        box = Rectangle((left, top), right - left, bottom - top, fill=False, zorder=3 if fine else 2)
        box.set(edgecolor=colours[number], linewidth=2.2 if fine else 0.8, linestyle="-" if fine else (0, (4, 3)))
        if not fine:
            box.set_alpha(0.45)
        else:
            box.set_path_effects([withStroke(linewidth=4, foreground="#000b")])
        axes.add_patch(box)


def _draw_path(axes: Axes, centres: list[tuple[float, float]]) -> None:
    """Arrows from each glimpse to the next, and their numbers; glimpses of one place share a line of numbers."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=3, foreground="#000c")]
    for start, end in itertools.pairwise(centres):
        if np.hypot(end[0] - start[0], end[1] - start[1]) >= SHORTEST_ARROW:
            arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=7, shrinkB=7, zorder=4)
            arrow.set(color="white", linewidth=1.3, alpha=0.9)
            arrow.set_path_effects([withStroke(linewidth=2.6, foreground="#0009")])
            axes.add_patch(arrow)
    for centre, numbers in _join_labels(centres):
        label = ", ".join(map(str, numbers))
        axes.text(*centre, label, color="white", size=9, weight="bold", zorder=5, **CENTRED, path_effects=outline)


def _join_labels(centres: list[tuple[float, float]]) -> list[tuple[tuple[float, float], list[int]]]:
    """Numbers that would be written over each other, as one label where the first of them is."""
    labels: list[tuple[tuple[float, float], list[int]]] = []
    for number, (x, y) in enumerate(centres):
        near = (label for label in labels if np.hypot(x - label[0][0], y - label[0][1]) < SHORTEST_ARROW)
        found = next(near, None)
        if found is None:
            labels.append(((x, y), [number]))
        else:
            found[1].append(number)
    return labels


def _find_centre(keys: Glimpses, number: int, height: int, width: int) -> tuple[float, float]:
    """(x, y) on the panel, true also where the box is cut at the border."""
    y, x = keys.centres[number]
    return (x + 1) / 2 * width, (y + 1) / 2 * height
