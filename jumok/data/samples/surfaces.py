"""A surface with colour and relief, the lamp that lights it, and the camera that takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]


@dataclass
class Surface:
    """What the lamp falls on. Lengths, heights too, are in image sides; places are (y, x) from 0 to 1."""

    rng: np.random.Generator
    albedo: Array
    """(3, pixels, pixels), the part of the light thrown back; red, green, blue."""
    height: Array
    """(pixels, pixels)."""
    gloss: float | Array = 0.0
    """How strongly the lamp is mirrored, everywhere alike or (pixels, pixels)."""

    @classmethod
    def blank(cls, rng: np.random.Generator, pixels: int) -> Surface:
        """A flat white surface."""
        return cls(rng, np.ones((3, pixels, pixels), np.float32), np.zeros((pixels, pixels), np.float32))

    def copy(self) -> Surface:
        """The same surface, to be changed apart from this one."""
        return replace(self, albedo=self.albedo.copy(), height=self.height.copy())

    def frame(self, place: tuple[float, float], angle: float) -> tuple[Array, Array]:
        """(along, across) of every pixel, in axes turned by `angle` (radians) about a place."""
        y, x = _grid(len(self.height))
        y, x = y - np.float32(place[0]), x - np.float32(place[1])
        return _turn(y, x, angle)

    def draw_place(self) -> tuple[tuple[float, float], float]:
        """A place anywhere in the picture, and an angle."""
        y, x = self.rng.random(2)
        return (y, x), self.rng.uniform(0, 2 * np.pi)

    def edge(self, distance: Array, soft: float = 0.0) -> Array:
        """1 where a distance (image sides) is negative, 0 where positive, with an edge of one pixel or `soft` wide."""
        edge: Array = np.clip(0.5 - distance / np.float32(max(soft, 1 / len(self.height))), 0, 1)
        return edge

    def paint(self, where: Array, colour: Array) -> None:
        """Cover with a colour (3,), as opaque as `where` (0..1) says."""
        self.albedo += where * (planes(colour) - self.albedo)

    def noise(self, along: float, across: float, angle: float = 0.0) -> Array:
        """Smooth noise of unit deviation; `along` and `across` (image sides) are the lengths of its grain."""
        fy, fx = _frequencies(len(self.height))
        u, v = _turn(fy, fx, angle)
        return self._filter_noise(np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2)))

    def clouds(self, power: float) -> Array:
        """Noise of unit deviation with structure at all sizes; amplitude falls with frequency ** -power."""
        fy, fx = _frequencies(len(self.height))
        return self._filter_noise((2 + fy**2 + fx**2) ** (-power / 2))

    def _filter_noise(self, response: Array) -> Array:
        white = self.rng.standard_normal((len(response), 2 * response.shape[1]), np.float32).view(np.complex64)
        waves = white * response
        waves[0, 0] = 0
        noise: Array = np.fft.irfft2(waves, self.height.shape).astype(np.float32)
        noise /= np.sqrt(np.vdot(noise, noise) / noise.size + np.float32(1e-9))
        return noise


@dataclass(frozen=True)
class Lamp:
    """One near lamp, some light from all around, and the camera's exposure."""

    place: tuple[float, float, float]
    """(y, x, z) in image sides; the picture is 0..1 in y and x, and the camera looks down from far above."""
    colour: Array
    ambient: float
    vignette: float
    exposure: float

    @classmethod
    def hang(cls, rng: np.random.Generator) -> Lamp:
        """Hang a lamp aside of the picture, so that relief throws shade."""
        angle, far, high = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 1.9), rng.uniform(0.9, 1.3)
        warm = rng.uniform(-0.07, 0.07)
        return cls(
            place=(0.5 + far * np.sin(angle), 0.5 + far * np.cos(angle), high),
            colour=np.array([1 + warm, 1.0, 1 - warm], np.float32),
            ambient=rng.uniform(0.25, 0.4),
            vignette=rng.uniform(0.0, 0.35),
            exposure=rng.uniform(0.75, 1.05),
        )

    def light(self, surface: Surface) -> Array:
        """Lambert's shade and Blinn's highlight: (3, pixels, pixels), 0..1."""
        y, x = _grid(len(surface.height))
        ly, lx, lz = (np.float32(self.place[0]) - y, np.float32(self.place[1]) - x, np.float32(self.place[2]))
        distance = np.sqrt(ly**2 + lx**2 + lz**2)
        gy, gx = np.gradient(surface.height, np.float32(1 / len(surface.height)))
        steep = np.sqrt(1 + gy**2 + gx**2)
        facing = np.maximum(lz - gy * ly - gx * lx, 0) / (distance * steep)
        # The half vector between the lamp's direction and the camera's (0, 0, 1), dotted with the normal.
        middle = np.sqrt(2 + 2 * lz / distance)
        mirrored = (facing * steep + 1) / (middle * steep)
        for _ in range(3):
            mirrored = mirrored * mirrored
        mirrored = mirrored * mirrored * mirrored
        falloff = (np.float32(np.sum(np.square(np.subtract(self.place, (0.5, 0.5, 0))))) / distance**2) ** 0.5
        flat = lz / np.float32(np.linalg.norm(np.subtract(self.place, (0.5, 0.5, 0))))
        shade = self.ambient + (1 - self.ambient) * facing / flat * falloff
        shade *= 1 - self.vignette * 2 * ((y - 0.5) ** 2 + (x - 0.5) ** 2)
        lit = surface.albedo * shade + surface.gloss * falloff * mirrored
        picture: Array = np.clip(lit * planes(self.exposure * self.colour), 0, 1)
        return picture


def photograph(lit: Array, rng: np.random.Generator, fineness: int) -> Picture:
    """The camera: pixels of its own size, a little out of focus, and noise."""
    image = Image.fromarray(np.ascontiguousarray((lit * 255).astype(np.uint8).transpose(1, 2, 0))).reduce(fineness)
    sharp = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.5))), np.float32)
    grain = rng.standard_normal(sharp.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 4.0))
    return np.clip(sharp + grain + 0.5, 0, 255).astype(np.uint8)


def planes(colour: Array) -> Array:
    """A colour (3,), to be laid over (3, pixels, pixels)."""
    return colour.astype(np.float32)[:, None, None]


def _turn(y: Array, x: Array, angle: float) -> tuple[Array, Array]:
    """(along, across) in axes turned by an angle."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


@lru_cache(maxsize=4)
def _grid(pixels: int) -> tuple[Array, Array]:
    """(y, x) of the pixels' centres, 0..1, as a column and a row."""
    centres = (np.arange(pixels, dtype=np.float32) + np.float32(0.5)) / np.float32(pixels)
    return centres[:, None], centres[None, :]


@lru_cache(maxsize=4)
def _frequencies(pixels: int) -> tuple[Array, Array]:
    """(y, x) frequencies of a real Fourier transform, in cycles a side, as a column and a row."""
    y = np.fft.fftfreq(pixels, 1 / pixels).astype(np.float32)
    return y[:, None], np.abs(y[None, : pixels // 2 + 1])
