"""Draw one inspection picture: a texture, harmless marks, at most one defect, and a lamp.

Textures, marks and defects change a surface's colour and its relief; only then is it lit, so that a dent is bright on
the side where a bolt is dark, and a groove shines where the lamp is mirrored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jumok.data.samples.surfaces import Array, Lamp, Picture, Surface, photograph, planes

Truth = NDArray[np.bool_]
Change = Callable[[Surface, float], None]
"""Puts a defect of some force (1 = as drawn) on a surface."""

CLASSES = ("normal", "scratch", "dent", "stain")
VISIBLE = 0.25  # a pixel is in the mask where the defect has at least this part of its full strength
CONTRAST = 0.15  # a defect is to change the picture inside its mask by at least this, of 0..1, on average
SMALLEST = {"scratch": 0.022, "dent": 0.025, "stain": 0.025}  # a defect covers at least this part of the image


def draw(rng: np.random.Generator, kind: str, size: int) -> tuple[Picture, Picture]:
    """Draw one picture of a class.

    Args:
        rng: all chance comes from here.
        kind: one of CLASSES.
        size: height and width in pixels.
    Returns:
        image: (size, size, 3) uint8; mask: (size, size) uint8, 255 where the defect is seen, all 0 for normal.
    """
    fineness = -(-128 // size)  # small pictures are drawn finer, then reduced
    surface = TEXTURES[rng.integers(len(TEXTURES))](Surface.blank(rng, size * fineness))
    bare = surface.albedo.copy()
    for mark in rng.choice(len(MARKS), rng.choice((1, 2), p=(0.6, 0.4)), replace=False, p=MARK_SHARES):
        MARKS[mark](surface)
    marked = np.abs(surface.albedo - bare).max(0) > 0.05
    lamp = Lamp.hang(rng)
    lit, strength = lamp.light(surface), np.zeros_like(surface.height)
    if kind != "normal":
        lit, strength = _spoil(surface, lamp, lit, kind, marked)
    return photograph(lit, rng, fineness), _mask(strength, fineness)


def _spoil(surface: Surface, lamp: Lamp, clean: Array, kind: str, marked: Truth) -> tuple[Array, Array]:
    """Light the surface with a defect that stands out; where it does not, make it stronger or put it elsewhere."""
    best = (-1.0, clean, surface.height)
    for _ in range(4):
        strength, change = _place(surface, kind, marked)
        inside = strength >= VISIBLE
        wanted = max(CONTRAST, float(clean[:, inside].std(1).max()))
        for force in (1.0, 1.4, 2.0):
            spoilt = surface.copy()
            change(spoilt, force)
            lit = lamp.light(spoilt)
            contrast = float(np.abs(lit - clean)[:, inside].max(0).mean()) / wanted
            best = max(best, (contrast, lit, strength), key=lambda found: found[0])
            if contrast >= 1:
                return lit, strength
    return best[1:]


def _place(surface: Surface, kind: str, marked: Truth) -> tuple[Array, Change]:
    """A defect that lies well inside the picture and beside the marks, as far as they leave room."""
    for attempt in itertools.count():
        strength, change = DEFECTS[kind](surface)
        inside = strength >= VISIBLE
        if inside.mean() >= SMALLEST[kind] and marked[inside].mean() <= 0.15 + 0.03 * attempt:
            break
    return strength, change


def _mask(strength: Array, fineness: int) -> Picture:
    side = len(strength) // fineness
    mean = strength.reshape(side, fineness, side, fineness).mean((1, 3))
    return np.where(mean >= VISIBLE, np.uint8(255), np.uint8(0))


def _colour(rng: np.random.Generator, *choices: tuple[float, float, float], spread: float = 0.05) -> Array:
    """One of some colours, varied a little."""
    return np.clip(np.array(choices[rng.integers(len(choices))]) + rng.normal(0, spread, 3), 0.02, 0.98)


# -- textures ---------------------------------------------------------------------------------------


def _make_brushed_metal(surface: Surface) -> Surface:
    rng = surface.rng
    angle = rng.uniform(0, np.pi)
    streaks = surface.noise(0.25, 0.003, angle) + 0.6 * surface.noise(0.06, 0.004, angle)
    tone = _colour(rng, (0.5, 0.51, 0.53), (0.6, 0.5, 0.3), (0.68, 0.46, 0.36), (0.42, 0.48, 0.58), spread=0.03)
    surface.albedo[:] = planes(tone) * (1 + rng.uniform(0.05, 0.11) * streaks)
    surface.height += np.float32(rng.uniform(0.0002, 0.0006)) * streaks
    surface.gloss = rng.uniform(0.15, 0.4)
    return surface


def _make_woven_fabric(surface: Surface) -> Surface:
    rng = surface.rng
    u, v = surface.frame((0.5, 0.5), rng.uniform(0, np.pi))
    threads = rng.uniform(9, 15)
    u = threads * (u + 0.012 * surface.noise(0.15, 0.15)) + 100
    v = threads * (v + 0.012 * surface.noise(0.15, 0.15)) + 100
    across, along = np.abs(np.sin(np.pi * u)), np.abs(np.sin(np.pi * v))
    over = (np.floor(u) + np.floor(v)) % 2 == 0
    warp = _colour(rng, (0.5, 0.42, 0.33), (0.25, 0.33, 0.5), (0.45, 0.47, 0.44), (0.55, 0.3, 0.28), (0.56, 0.53, 0.45))
    weft = np.clip(warp * rng.uniform(0.65, 1.35) + rng.normal(0, 0.03, 3), 0.05, 0.95)
    surface.albedo[:] = np.where(over, planes(warp), planes(weft))
    surface.albedo *= 0.7 + 0.3 * np.where(over, across, along) * (1 + 0.1 * surface.noise(0.01, 0.01))
    surface.height += np.float32(0.06 / threads) * np.where(over, across * along**0.5, along * across**0.5)
    return surface


def _make_sprayed_paint(surface: Surface) -> Surface:
    rng = surface.rng
    grain = rng.uniform(0.01, 0.016)
    tone = _colour(rng, (0.7, 0.16, 0.14), (0.16, 0.32, 0.6), (0.8, 0.62, 0.14), (0.2, 0.45, 0.3), (0.55, 0.56, 0.54))
    surface.albedo[:] = planes(tone) * (1 + 0.04 * surface.noise(0.03, 0.03))
    surface.height += np.float32(rng.uniform(0.04, 0.08) * grain) * surface.noise(grain, grain)
    surface.gloss = rng.uniform(0.25, 0.6)
    return surface


def _make_wood(surface: Surface) -> Surface:
    rng = surface.rng
    angle = rng.uniform(0, np.pi)
    u, v = surface.frame((rng.uniform(-1, 2), rng.uniform(-1, 2)), angle)
    rings = rng.uniform(8, 16) * (v + 0.25 * u**2) + rng.uniform(0.25, 0.6) * surface.noise(0.25, 0.06, angle)
    late = (rings % 1) ** 2  # late wood darkens slowly and ends at once
    light = _colour(rng, (0.74, 0.56, 0.36), (0.6, 0.4, 0.24), (0.78, 0.66, 0.48), spread=0.03)
    fibres = surface.noise(0.08, 0.003, angle)
    surface.albedo[:] = planes(light) * (1 - rng.uniform(0.2, 0.38) * late) * (1 + 0.08 * fibres)
    surface.height += np.float32(0.0005) * fibres
    surface.gloss = rng.uniform(0.0, 0.15)
    return surface


def _make_cast(surface: Surface) -> Surface:
    rng = surface.rng
    rough = surface.clouds(1.2)
    pits = np.clip(surface.noise(0.009, 0.009) - 1.7, 0, 1)
    tone = _colour(rng, (0.48, 0.47, 0.45), (0.36, 0.41, 0.43), (0.5, 0.46, 0.4), spread=0.03)
    surface.albedo[:] = planes(tone) * np.clip(1 + 0.12 * rough + 0.06 * surface.clouds(0.3) - 0.6 * pits, 0.1, 1.6)
    surface.height += np.float32(0.0015) * rough - np.float32(0.008) * pits
    return surface


TEXTURES: tuple[Callable[[Surface], Surface], ...] = (
    _make_brushed_metal,
    _make_woven_fabric,
    _make_sprayed_paint,
    _make_wood,
    _make_cast,
)


# -- harmless marks ---------------------------------------------------------------------------------


def _ink(rng: np.random.Generator) -> Array:
    return _colour(rng, (0.85, 0.1, 0.2), (0.1, 0.25, 0.7), (0.95, 0.8, 0.1), (0.1, 0.55, 0.3))


def _label(surface: Surface) -> None:
    """A sticker with lines of print or a bar code."""
    rng = surface.rng
    u, v = surface.frame(*surface.draw_place())
    half_u, half_v = rng.uniform(0.1, 0.19), rng.uniform(0.06, 0.11)
    box = np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)
    surface.paint(
        surface.edge(box), _colour(rng, (0.93, 0.94, 0.9), (0.95, 0.85, 0.3), (0.95, 0.6, 0.2), (0.55, 0.8, 0.95))
    )
    stroke = rng.uniform(0.018, 0.03)
    if rng.random() < 0.5:
        bars = rng.random(64)[np.floor((u + 1) / stroke).astype(int) % 64] < 0.5
    else:
        words = rng.random(64)[np.floor((u + 1) / 0.02 + 17 * np.floor(v / stroke)).astype(int) % 64] < 0.75
        bars = words & (np.floor(v / stroke) % 2 == 0)
    surface.paint(surface.edge(box + 0.025) * bars, _colour(rng, (0.06, 0.06, 0.07)))
    surface.height += np.float32(0.004) * surface.edge(box, 0.012)


def _bolt(surface: Surface) -> None:
    """A raised head with a slot or a cross."""
    rng = surface.rng
    place, angle = surface.draw_place()
    u, v = surface.frame(place, angle)
    radius = rng.uniform(0.05, 0.085)
    rim = np.sqrt(u**2 + v**2) - radius
    surface.paint(0.55 * surface.edge(rim - 0.014, 0.02), np.zeros(3))
    surface.paint(surface.edge(rim), _colour(rng, (0.62, 0.62, 0.64), (0.3, 0.3, 0.32), (0.7, 0.6, 0.35)))
    surface.height += np.float32(0.02) * surface.edge(rim + 0.01, 0.02)
    slot = np.maximum(np.abs(v) - 0.2 * radius, np.abs(u) - 0.85 * radius)
    if rng.random() < 0.5:
        slot = np.minimum(slot, np.maximum(np.abs(u) - 0.2 * radius, np.abs(v) - 0.85 * radius))
    surface.paint(0.9 * surface.edge(slot), np.full(3, 0.05))


def _hole(surface: Surface) -> None:
    """A drilled hole with a chamfer of bare metal."""
    u, v = surface.frame(*surface.draw_place())
    rim = np.sqrt(u**2 + v**2) - surface.rng.uniform(0.03, 0.06)
    surface.paint(0.6 * surface.edge(rim - 0.016), np.full(3, 0.7))
    surface.paint(surface.edge(rim), np.full(3, 0.03))


def _seam(surface: Surface) -> None:
    """A straight dark joint right across the picture."""
    _, v = surface.frame(*surface.draw_place())
    surface.paint(0.92 * surface.edge(np.abs(v) - surface.rng.uniform(0.012, 0.02), 0.012), np.full(3, 0.03))


def _stripe(surface: Surface) -> None:
    """A painted band right across the picture."""
    rng = surface.rng
    _, v = surface.frame(*surface.draw_place())
    surface.paint(0.95 * surface.edge(np.abs(v) - rng.uniform(0.04, 0.1)), _ink(rng))


def _print(surface: Surface) -> None:
    """A printed sign: a ring, a cross or a row of blocks."""
    rng = surface.rng
    u, v = surface.frame(*surface.draw_place())
    size, stroke = rng.uniform(0.06, 0.12), 0.012
    ring = np.abs(np.sqrt(u**2 + v**2) - size) - stroke
    cross = np.maximum(np.minimum(np.abs(u), np.abs(v)) - stroke, np.maximum(np.abs(u), np.abs(v)) - size)
    row = np.maximum(np.abs(v) - 1.5 * stroke, np.maximum(np.abs(u) - 1.3 * size, 0.009 - np.abs(u % 0.05 - 0.025)))
    surface.paint(0.95 * surface.edge((ring, cross, row)[rng.integers(3)]), _ink(rng))


MARKS: tuple[Callable[[Surface], None], ...] = (_label, _bolt, _hole, _seam, _stripe, _print)
MARK_SHARES = (0.28, 0.12, 0.28, 0.1, 0.12, 0.1)  # those with the strongest edges are the commonest


# -- defects: each gives its strength, 0..1, where it lies, and what puts it there ---------------------


def _scratch(surface: Surface) -> tuple[Array, Change]:
    """A thin curved groove, bare at its bottom, that thins out at both ends, with a ridge on each side."""
    rng = surface.rng
    u, v = surface.frame(*surface.draw_place())
    half, bend, width = rng.uniform(0.24, 0.42), rng.normal(0, 0.7), rng.uniform(0.014, 0.019)
    wave, turns = rng.uniform(0, 0.012), rng.uniform(8, 20)
    curve = bend * u**2 + wave * np.sin(turns * u)
    slope = 2 * bend * u + wave * turns * np.cos(turns * u)
    off = (v - curve) / np.sqrt(1 + slope**2) / np.float32(width)
    pressure = np.clip((1 - np.abs(u) / half) * 4, 0, 1) * np.clip(0.9 + 0.2 * surface.noise(0.04, 0.04), 0.5, 1)
    groove, ridge = np.exp(-(off**2)) * pressure, np.exp(-((np.abs(off) - 1.8) ** 2)) * pressure
    opacity, depth = rng.uniform(0.75, 0.95), rng.uniform(0.3, 0.6) * width

    def change(spoilt: Surface, force: float) -> None:
        spoilt.paint(groove * np.float32(min(opacity * force, 0.95)), np.full(3, 0.95))
        spoilt.height += np.float32(depth * force) * (0.4 * ridge - groove)

    return np.exp(-((off / 1.5) ** 2)) * pressure, change


def _dent(surface: Surface) -> tuple[Array, Change]:
    """A smooth dimple, not quite round."""
    rng = surface.rng
    u, v = surface.frame(*surface.draw_place())
    radius, stretch = rng.uniform(0.115, 0.17), rng.uniform(0.75, 1.0)
    far = np.sqrt((u / radius) ** 2 + (v / (radius * stretch)) ** 2) + 0.06 * surface.noise(0.08, 0.08)
    strength = np.clip(1 - far**2, 0, 1)
    depth = rng.uniform(0.32, 0.42) * radius

    def change(spoilt: Surface, force: float) -> None:
        spoilt.height -= np.float32(min(depth * force, 0.55 * radius)) * strength**2
        spoilt.gloss = spoilt.gloss + np.float32(0.35) * strength  # pressed smooth

    return strength, change


def _stain(surface: Surface) -> tuple[Array, Change]:
    """An irregular patch that tints what lies under it, darker at its dried rim."""
    rng = surface.rng
    u, v = surface.frame(*surface.draw_place())
    radius, grain = rng.uniform(0.1, 0.155), rng.uniform(0.04, 0.07)
    far = np.sqrt(u**2 + (v * rng.uniform(1, 1.6)) ** 2) / radius
    far += 0.26 * surface.noise(grain, grain) + 0.08 * surface.noise(grain / 4, grain / 4)
    strength = np.clip((1.15 - far) / 0.4, 0, 1)
    tint = _colour(rng, (0.3, 0.17, 0.06), (0.45, 0.2, 0.05), (0.12, 0.1, 0.09), spread=0.03)
    opacity = rng.uniform(0.65, 0.9)
    soaked = strength * (0.75 + np.exp(-(((far - 0.95) / 0.12) ** 2)) * 0.35)

    def change(spoilt: Surface, force: float) -> None:
        soak = np.clip(soaked * opacity * force, 0, 0.92)
        spoilt.albedo *= 1 - 0.5 * (soak * planes(1 - tint))  # partly soaked in, partly lying on top
        spoilt.paint(0.7 * soak, tint)

    return strength, change


DEFECTS: dict[str, Callable[[Surface], tuple[Array, Change]]] = {"scratch": _scratch, "dent": _dent, "stain": _stain}
