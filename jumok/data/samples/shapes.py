"""Scenes of coloured shapes: where each stands, and the picture of them with a mask for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 40, 47),
    "orange": (248, 146, 30),
    "yellow": (240, 214, 30),
    "green": (48, 158, 68),
    "blue": (36, 92, 206),
    "purple": (142, 62, 178),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
LOOKS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
GROUPS = {4: ((3, 1), (2, 1, 1)), 5: ((3, 1, 1), (2, 2, 1), (2, 1, 1, 1)), 6: ((3, 2, 1), (3, 1, 1, 1), (2, 2, 1, 1))}
"""How many objects of a scene may be alike in colour, or in shape: always one that is alone, and so can be named."""
SHAPE_REACH = {"circle": 0.74, "square": 0.84, "triangle": 0.94, "star": 1.0, "cross": 0.9}
"""How much of an object's radius each shape fills, so that areas are about the same. Places know nothing of it: were
there less room for stars than for circles, stars would be rarer as answers."""
RADIUS_RANGE = 0.108, 0.152
LEAST_GAP = 0.025
"""Free space around each object, and to the border; a part of the image's side, as are all lengths here."""
NOISE_STD = 2.2
"""Of each pixel and channel, of 255: its standard deviation."""
TRIES = 20

Points = list[tuple[float, float]]
Levels = NDArray[np.float32]


class Thing(NamedTuple):
    """One object: its centre (x to the right, y down) and the radius of the circle that it has to itself.

    Both are parts of the image's side.
    """

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    turn: float
    """By how much it is turned, in radians."""


Scene = tuple[Thing, ...]


def make_scene(draw: Random) -> Scene:
    """Put 4 to 6 objects into an image, no two alike in both colour and shape, none touching another or the border.

    Every colour, every shape and every place is as likely as any other.
    """
    while (looks := _draw_looks(draw)) is None:
        pass
    while (things := _place_things(draw, looks)) is None:
        pass
    return things


def _draw_looks(draw: Random) -> list[tuple[str, str]] | None:
    """Colours and shapes of the objects; None where two would be alike."""
    groups = GROUPS[draw.choice(tuple(GROUPS))]
    colours, shapes = (_draw_groups(draw, draw.choice(groups), names) for names in (tuple(COLOURS), SHAPES))
    looks = list(zip(colours, shapes, strict=True))
    return looks if len(set(looks)) == len(looks) else None


def _draw_groups(draw: Random, sizes: Sequence[int], names: Sequence[str]) -> list[str]:
    """A different name for each group, repeated for its members, in any order."""
    members = [name for name, size in zip(draw.sample(names, len(sizes)), sizes, strict=True) for _ in range(size)]
    draw.shuffle(members)
    return members


def _place_things(draw: Random, looks: Sequence[tuple[str, str]]) -> Scene | None:
    """The objects at random places; None where one found no room."""
    things: list[Thing] = []
    for colour, shape in looks:
        radius = draw.uniform(*RADIUS_RANGE)
        for _ in range(TRIES):
            x, y = (draw.uniform(radius + LEAST_GAP, 1 - radius - LEAST_GAP) for _ in "xy")
            if all(math.hypot(x - one.x, y - one.y) > radius + one.radius + LEAST_GAP for one in things):
                break
        else:
            return None
        things.append(Thing(colour, shape, x, y, radius, _draw_turn(draw, shape)))
    return tuple(things)


def _draw_turn(draw: Random, shape: str) -> float:
    """Stars lie anyhow; the others about as they are known, so that a square is no diamond and a cross no x."""
    return draw.uniform(-math.pi, math.pi) if shape == "star" else draw.uniform(-0.3, 0.3)


def find_alone(things: Scene, attribute: str) -> set[str]:
    """The colours, or the shapes, that only one object has."""
    return {name for name, count in Counter(getattr(thing, attribute) for thing in things).items() if count == 1}


# -- the picture ---------------------------------------------------------------------------------


def draw_scene(rng: np.random.Generator, things: Scene, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a scene on a softly lit wall.

    Args:
        rng: of the wall, the light and the noise.
        things: at most about ten.
        size: height and width in pixels.
    Returns:
        image: (size, size, 3) uint8; masks: (things, size, size), True where at least half of the pixel is the
        object's.
    """
    colours = _draw_wall(rng, size)
    covers = np.stack([_cover(thing, size) for thing in things])
    down, right = np.mgrid[0:size, 0:size].astype(np.float32) / size
    for thing, cover in zip(things, covers, strict=True):
        # Lit from the upper left, each object is a little brighter there.
        light = 1 + 0.5 * (thing.x - right + thing.y - down)
        tint = np.asarray(COLOURS[thing.colour], np.float32) * rng.uniform(0.93, 1.05)
        colours += cover[..., None] * (light[..., None] * tint - colours)
    colours += NOISE_STD * rng.standard_normal(colours.shape, np.float32)
    return colours.round().clip(0, 255).astype(np.uint8), covers >= 0.5


def _draw_wall(rng: np.random.Generator, size: int) -> Levels:
    """A light wall of some pale tint, with broad soft patches."""
    patches = rng.uniform(-7, 7, (4, 4)).astype(np.float32)
    soft = np.asarray(Image.fromarray(patches).resize((size, size), Image.Resampling.BICUBIC))
    pale = rng.uniform(216, 240) + rng.uniform(-9, 9, 3)
    levels: Levels = (pale + soft[..., None]).astype(np.float32)
    return levels


def _cover(thing: Thing, size: int) -> Levels:
    """How much of each pixel the object covers, 0 to 1: (size, size)."""
    fine = max(2, -(-256 // size))  # drawn so many times finer, then averaged
    side = size * fine
    sheet = Image.new("L", (side, side))
    points = [(x * side - 0.5, y * side - 0.5) for x, y in _outline(thing)]
    ImageDraw.Draw(sheet).polygon(points, fill=255)
    levels: Levels = np.asarray(sheet.reduce(fine), np.float32) / np.float32(255)
    return levels


def _outline(thing: Thing) -> Points:
    """The corners in parts of the image's side."""
    reach = thing.radius * SHAPE_REACH[thing.shape]
    cos, sin = reach * math.cos(thing.turn), reach * math.sin(thing.turn)
    return [(thing.x + x * cos - y * sin, thing.y + x * sin + y * cos) for x, y in CORNERS[thing.shape]]


def _ring(count: int, radii: Sequence[float] = (1.0,), start: float = -90) -> Points:
    """So many points around the origin, at these distances in turn, the first at an angle in degrees."""
    angles = [math.radians(start + 360 * number / count) for number in range(count)]
    far = [radii[number % len(radii)] for number in range(count)]
    return [(one * math.cos(angle), one * math.sin(angle)) for one, angle in zip(far, angles, strict=True)]


def _cross() -> Points:
    """Arms of three times the width of the cross's middle, the ends on the unit circle."""
    long, thin = 3 / math.sqrt(10), 1 / math.sqrt(10)
    arm = [(-thin, -long), (thin, -long), (thin, -thin)]
    turned = [arm]
    for _ in range(3):
        turned.append([(-y, x) for x, y in turned[-1]])
    return [point for part in turned for point in part]


CORNERS: dict[str, Points] = {
    "circle": _ring(72),
    "square": _ring(4, start=-45),
    "triangle": _ring(3),
    "star": _ring(10, (1.0, 0.45)),
    "cross": _cross(),
}
