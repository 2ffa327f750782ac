"""A region that was sampled from an image: its outline there, the crop that came of it, and the sampling's density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import AttentionMap, Sampled
from jumok.errors import JumokError
from jumok.views.palette import SEQUENTIAL, WINDOW_LINE
from jumok.views.pictures.colour_scale import PLAIN, Look, Scaling, draw_colour_bar
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.overlay import fit_to_panel, place_side_by_side
from jumok.views.raster import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_GRID_PARTS = 6
"""The region is parted by lines into at most so many rows and columns."""
OUTSIDE_GREY = 0.82
"""The grey of what lies outside the image, in the crop."""

MOST_MARGIN, LEAST_MARGIN = 0.4, 0.02
"""So much of the image's side, at most and at least, is shown around it where a region leaves it."""


def draw_window(attention: AttentionMap, image: Image.Image | None, look: Look = PLAIN) -> Figure:
    """The region on the image, as lines of its grid; the crop; and how densely each place of the image was sampled."""
    image = fit_to_panel(attention, image)
    region = attention.keys
    if not isinstance(region, Sampled):
        raise JumokError(f"a window is drawn of keys that are Sampled, got {type(region).__name__}")
    width, height = image.size
    photo = np.asarray(image, dtype=np.float32) / 255
    density = attention.image(height, width)[0].numpy(force=True) * (height * width)
    scaling = scale_density(attention, density).adapt(look, density)
    crop = frame_crop(take_crop(photo, region), height, width)
    samples = f"{region.rows} x {region.columns}"
    names = (
        translate("region, its first corner marked"),
        translate("crop, {size} samples", size=samples),
        translate("sampling density"),
    )
    figure, axes = place_side_by_side(dict(zip(names, (0.75 * photo, crop, scaling.rgb(density)), strict=True)))
    draw_region(axes[0], region, width, height)
    note = translate(
        "Region: {scale} of the image's side, {share} of the samples outside the image",
        scale=f"{region.scale:.2f}",
        share=f"{region.outside:.1%}",
    )
    draw_colour_bar(figure, scaling, note)
    return figure


def scale_density(attention: AttentionMap, density: Numbers) -> Scaling:
    """Colours for a density that is 1 everywhere if the whole image is sampled evenly."""
    top, what = float(density.max()), f"{attention.source}: " if attention.source else ""
    if top == 0:
        return Scaling(0, 1, SEQUENTIAL, what + translate("no sample lies in the image"), "")
    what += translate("samples per pixel, as a multiple of the whole image sampled evenly")
    return Scaling(0, top, SEQUENTIAL, what, translate(", linear from 0 to {top}", top=f"{top:.3g}"))


def take_crop(photo: Numbers, region: Sampled) -> Numbers:
    """What lies in the image where it was sampled: (rows, columns, 3) from 0 to 1, grey outside."""
    points = torch.tensor(region.points, dtype=torch.float32).reshape(1, region.rows, region.columns, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None]
    pixels = F.interpolate(pixels, _choose_size(points, *photo.shape[:2]), mode="area")
    seen = F.grid_sample(pixels, points.flip(-1), padding_mode="border", align_corners=False)[0].permute(1, 2, 0)
    inside = (points[0].abs().amax(-1, keepdim=True) <= 1).float()
    return np.asarray((seen * inside + OUTSIDE_GREY * (1 - inside)).numpy())


def _choose_size(points: Tensor, height: int, width: int) -> tuple[int, int]:
    """The size of an image whose pixels lie no closer than its samples: what lies between them would be missed."""
    pixels = points.new_tensor([height, width]) / 2
    steps = [(points.diff(dim=dim) * pixels).norm(dim=-1).median() for dim in (1, 2)]
    step = max(1.0, float(torch.stack(steps).mean()))
    return max(1, round(height / step)), max(1, round(width / step))


def frame_crop(crop: Numbers, height: int, width: int) -> Numbers:
    """A crop as large as it fits a white panel, its samples as they are."""
    rows, columns = crop.shape[:2]
    factor = min(height / rows, width / columns)
    tall, wide = max(1, round(rows * factor)), max(1, round(columns * factor))
    picture = Image.fromarray((crop * 255).round().astype(np.uint8)).resize((wide, tall), Image.Resampling.NEAREST)
    panel = np.ones((height, width, 3), dtype=np.float32)
    top, left = (height - tall) // 2, (width - wide) // 2
    panel[top : top + tall, left : left + wide] = np.asarray(picture, dtype=np.float32) / 255
    return panel


def draw_region(axes: Axes, region: Sampled, width: int, height: int) -> None:
    """The lines of a region's grid over an image of so many pixels and around it; its border is thick."""
    from matplotlib.patheffects import withStroke

    grid = ((region.corners() + 1) / 2 * torch.tensor([height, width]) - 0.5).numpy()
    dark = [withStroke(linewidth=4, foreground="#000a")]
    for lines in (grid, grid.swapaxes(0, 1)):
        for place in _choose_lines(len(lines) - 1):
            border = place in (0, len(lines) - 1)
            style: dict[str, Any] = {"linewidth": 2.4, "path_effects": dark} if border else {"linewidth": 0.8}
            axes.plot(lines[place, :, 1], lines[place, :, 0], color=WINDOW_LINE, zorder=3 if border else 2, **style)
    axes.plot(*grid[0, 0, ::-1, None], "o", color=WINDOW_LINE, markersize=7, markeredgecolor="#000a", zorder=4)
    beyond = max(max(abs(y), abs(x)) for y, x in region.outline()) - 1
    margin = min(beyond / 2 + LEAST_MARGIN, MOST_MARGIN) if beyond > 0.01 else 0.0
    (left, right), (top, bottom) = ((-0.5 - margin * side, side - 0.5 + margin * side) for side in (width, height))
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _choose_lines(samples: int) -> list[int]:
    """Which lines of so many samples are drawn: evenly spread where their number can be parted so."""
    parts = max((each for each in range(3, MOST_GRID_PARTS + 1) if samples % each == 0), default=MOST_GRID_PARTS)
    return sorted({round(place) for place in np.linspace(0, samples, parts + 1).tolist()})
