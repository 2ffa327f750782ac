"""The options of a system: those chosen, those that follow from the images, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jumok.errors import JumokError
from jumok.systems.pretrained import FAMILIES
from jumok.systems.resnet import ResNetConfig
from jumok.tasks.preprocessing import one_or_two
from jumok.tasks.running.run import configure_system

__all__ = ["choose_residual_sizes", "find_trusted_rate", "patch_for", "system_options"]

PATCHES = (16, 8, 4, 2)
LEAST_PATCHES = 8
"""Patches along the shorter side, at the least, where the patch is chosen here."""
NARROW_WIDTH = 192
"""Models up to this width get a stem of convolutions: they learn from few images, where it helps most."""
HALVED_FROM, NARROW_FROM, QUARTERED_FROM = 24, 48, 96
"""Pixels of the shorter side from which on a residual network's stem halves the image, its stages are half as wide and
one more, and the stem quarters the image."""
RESIDUAL_RATE = 1e-2
"""Peak learning rate of residual networks. On six classes of surfaces (940 images) trainings of three minutes at 0.003
and 0.01 ended at 76 and 85% of the classes, on cells and photographs alike."""


def system_options(name: str, chosen: Mapping[str, Any], classes: int, size: tuple[int, int]) -> dict[str, Any]:
    """All options of a system: the ones chosen, those that follow from the data, and its defaults.

    Raises:
        JumokError: an unknown system, or options that it does not take.
    """
    options: dict[str, Any] = {"classes": classes, "image_size": one_or_two(size)}
    clash = next((key for key in options if key in chosen), None)
    if clash:
        raise JumokError(f"the option {clash!r} follows from the data: leave it out (or use --image-size)")
    if name.startswith(tuple(FAMILIES)):
        return configure_system(name, {**options, **chosen}).model_dump(mode="json")
    default = configure_system(name, {"classes": classes})
    if "patch" in type(default).model_fields:
        options["patch"] = chosen.get("patch", patch_for(size))
        if (
            "stem" not in chosen
            and getattr(default, "width", NARROW_WIDTH + 1) <= NARROW_WIDTH
            and options["patch"] in PATCHES
        ):
            options["stem"] = "convolutions"
    if isinstance(default, ResNetConfig) and not {"stem", "width", "blocks"} & set(chosen):
        options |= choose_residual_sizes(min(size))
    return configure_system(name, {**options, **chosen}).model_dump(mode="json")


def patch_for(size: tuple[int, int]) -> int:
    """The largest usual patch that divides both sides and leaves at least 8 along the shorter.

    >>> [patch_for((side, side)) for side in (224, 128, 64, 32, 28)]
    [16, 16, 8, 4, 2]
    """
    fits = [
        patch for patch in PATCHES if size[0] % patch == 0 == size[1] % patch and min(size) // patch >= LEAST_PATCHES
    ]
    return fits[0] if fits else 1


def find_trusted_rate(name: str) -> float | None:
    """The peak learning rate that long trainings of a system are known to like; None: not known."""
    is_residual = not name.startswith(tuple(FAMILIES)) and isinstance(
        configure_system(name, {"classes": 2}), ResNetConfig
    )
    return RESIDUAL_RATE if is_residual else None


def choose_residual_sizes(side: int) -> dict[str, Any]:
    """Options of a residual network that learns much in little time on a CPU: few blocks, and small maps early.

    A narrow network that sees more of a large image learns more in the same time than a wide one that sees less.

    Args:
        side: pixels of the images' shorter side.

    >>> choose_residual_sizes(128)
    {'stem': '3x3/4', 'width': 16, 'blocks': (1, 1, 1, 1)}
    """
    stem = "3x3" if side < HALVED_FROM else "3x3/2" if side < QUARTERED_FROM else "3x3/4"
    if side < NARROW_FROM:
        return {"stem": stem, "width": 32, "blocks": (1, 1, 1)}
    return {"stem": stem, "width": 16, "blocks": (1, 1, 1, 1)}
