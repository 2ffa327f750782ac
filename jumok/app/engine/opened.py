"""A model that is open and has been tried: what its rows will hold is known before the first image is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jumok.app.engine.fingerprints import add_weights
from jumok.app.engine.verb import Column
from jumok.attention import AttentionMap, Axis
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import AnyClassifier, group_by_size, open_model
from jumok.tasks.classify.looking import LookOptions, LookResult, look, look_at_prepared
from jumok.tasks.classify.patch_size import find_patch_size

__all__ = ["MAP_TYPES", "About", "Opened", "Recipe", "find_peak", "fingerprint_of", "open_recipe", "stamp"]

MAP_TYPES = ("auto", "float16", "float32")
HALF_FITS = (2.0**-12, 2.0**12)
"""Peaks between which float16 has digits to spare on both sides."""
NOT_MEASURED = "its trust was not measured"
DIGITS = 4
"""Of colours that were found by watching an image processor."""
TRIED = 2
"""Images of noise that a model is tried with: places that differ between them differ between all images."""


@dataclass(frozen=True)
class Recipe:
    """What opens a model where it runs, in plain values; see `Looker` for their meaning."""

    model: str
    method: str | None = None
    maps: bool = True
    target: str | None = None
    map_type: str = "auto"
    device: str = "cpu"


@dataclass(frozen=True)
class About:
    """What all rows of a model have in common, in plain values.

    Args:
        model: as the user named it.
        classes: that probabilities are given for, in their order; none of a model that gives a number.
        method: that the maps come from; empty where there are none.
        target: the class that is explained, where that was asked for; else it is that of each row.
        source, scale, keys: of every map; see `AttentionMap` and `Axis.to_dict`.
        map_type: float16 or float32.
        verdict: how far maps by this method can be trusted, by what was measured of the run.
        prepared: how the model's own image processor prepares images, of which the maps are; empty: images are
            stretched, and the maps lie over all of them.
        answers: class, multi or number; see `jumok.tasks.classify.kinds`.
    """

    model: str
    classes: tuple[str, ...]
    method: str = ""
    target: str | None = None
    source: str = ""
    scale: str = ""
    keys: dict[str, Any] | None = None
    map_type: str = "float16"
    verdict: str = ""
    prepared: str = ""
    answers: str = "class"

    @property
    def places(self) -> int:
        """Values of a map; 0 where there are none."""
        return len(Axis.from_dict(self.keys)) if self.keys else 0

    def columns(self) -> dict[str, Column]:
        """The answer, its probabilities, and the map with what it is of."""
        answer = {"prediction": Column("text" if self.classes else "float64")}
        if self.classes:
            answer |= {"probability": Column("float32"), "probabilities": Column("float32", len(self.classes))}
        if self.places:
            answer |= {
                "target": Column("text"),
                "method": Column("text"),
                "verdict": Column("text"),
                "frame": Column("float32", 4),
            }
            answer |= {"map": Column(self.map_type, self.places)}
        return answer

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Opened:
    """A model with what it is asked.

    Args:
        model: on its device.
        options: of every look; the method, where there is one, is settled.
        about: its rows.
        least: height and width of one patch.
    """

    model: AnyClassifier
    options: LookOptions
    about: About
    least: tuple[int, int]

    def look(self, prepared: Sequence[Tensor]) -> list[LookResult]:
        """Ask about prepared images, (channels, height, width) float32 each."""
        return look_at_prepared(self.model, prepared, self.options) if self.about.method else self._predict(prepared)

    @torch.inference_mode()
    def _predict(self, prepared: Sequence[Tensor]) -> list[LookResult]:
        found: dict[int, LookResult] = {}
        for numbers, pixels in group_by_size(prepared):
            shares = self.model.kind.read(self.model(pixels)).cpu()
            found |= {
                number: LookResult(values, int(values.argmax()), {}, [])
                for number, values in zip(numbers, shares, strict=True)
            }
        return [found[number] for number in range(len(prepared))]

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights, and of what is done to an image before and after them."""
        return fingerprint_of(self.model)


def fingerprint_of(model: AnyClassifier) -> str:
    """A hash of a model's weights, and of what is done to an image before and after them."""
    before = model.preparation
    colours = [[round(value, DIGITS) for value in values] for values in (before.mean, before.std)]
    found = hashlib.sha256(repr([before.size, before.described, before.bits, before.order, *colours]).encode())
    found.update(repr((model.classes, model.kind.facts())).encode())
    add_weights(found, model.model)
    return found.hexdigest()


@lru_cache(maxsize=1)
def open_recipe(recipe: Recipe, _stamp: str) -> Opened:
    """Open a model and try it, once in a process: copies of one `Looker` share it.

    Args:
        recipe: what to open.
        _stamp: of the model's files; see `stamp`.
    Raises:
        JumokError: no such model, class or method, or one whose places differ from image to image.
    """
    model = open_model(recipe.model, recipe.device)
    target = None if recipe.target is None else model.index(recipe.target)
    classes = model.classes if model.kind.are_shares else ()
    if not recipe.maps:
        about = About(recipe.model, classes, target=recipe.target, answers=model.kind.name)
        return Opened(model, LookOptions(), about, (1, 1))
    method = recipe.method or (model.trust.method if model.trust else None)
    options = LookOptions(() if method is None else (method,), 1, target, empty=True)
    method, heat = _try_model(model, options)
    about = About(
        recipe.model,
        classes,
        method,
        recipe.target,
        heat.source,
        str(heat.scale),
        heat.keys.to_dict(),
        _choose_type(recipe.map_type, find_peak(heat)),
        _tell_verdict(model, method),
        "" if model.preparation.stretched else model.preparation.described,
        model.kind.name,
    )
    return Opened(model, LookOptions((method,), 1, target, empty=True), about, find_patch_size(model))


def _tell_verdict(model: AnyClassifier, method: str) -> str:
    """What was measured of a method's maps of this model."""
    if model.trust is None:
        return NOT_MEASURED
    known = model.trust.method in (None, method)
    return model.trust.why() if known else f"not known of {method}; {model.trust.why()}"


def stamp(model: str) -> str:
    """What changes when a model's files do; empty of one that is not a folder."""
    folder = Path(model.removeprefix("hf:"))
    if not folder.is_dir():
        return ""
    files = sorted((path.name, path.stat()) for path in folder.iterdir() if path.is_file())
    return repr([(name, found.st_size, found.st_mtime_ns) for name, found in files])


def _try_model(model: AnyClassifier, options: LookOptions) -> tuple[str, AttentionMap]:
    """The method that is used, and a map by it, of noise.

    Raises:
        JumokError: the method does not fit, or a column cannot hold its maps.
    """
    noise = torch.randint(0, 256, (TRIED, 3, *model.size), generator=torch.Generator().manual_seed(0))
    found = look(model, list(noise.to(torch.uint8)), options)
    method, heat = next(iter(found[0].heats.items()))
    if heat.keys != found[1].heats[method].keys:
        raise JumokError(
            f"the places that {model.name} looks at by {method} differ from image to image, and a column of maps holds "
            "the same places for all: choose another method, such as libra, or no maps"
        )
    return method, heat


def find_peak(heat: AttentionMap) -> float:
    """The largest size of a value that lies in the image: of special tokens, which come first, there may be larger."""
    special = len(getattr(heat.keys, "special", ()))
    return float(heat.weights[0, special:].abs().max())


def _choose_type(wanted: str, peak: float) -> str:
    """Float16, unless the size of the values is near where that ends."""
    low, high = HALF_FITS
    return wanted if wanted != "auto" else "float16" if low <= peak <= high else "float32"
