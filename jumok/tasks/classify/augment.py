"""Small random changes of training images, the same for the same seed and step however many processes share a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.tasks.running.training_module import mix_seed

MOST_SHIFT = 0.08
"""Largest shift, as a fraction of the image's side."""
MOST_TURN = 10.0
"""Largest rotation, in degrees."""
MOST_ZOOM = 0.1
"""Largest change of size, as a fraction."""
MOST_LIGHT = 0.2
"""Largest change of brightness (of the full range, halved) and of contrast (of its own)."""


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image.

    Args:
        warp: shift, turn, zoom, and change light and contrast a little.
        mirror: axes that an image may be flipped along: "none", "horizontal", "both", or "all", which adds the
            diagonal and so every turn by a right angle (square images only).
        strength: of the warp and the light, from 0 to 1.
        mixup: alpha of the Beta(alpha, alpha) that blends pairs of images; 0: none.
    """

    warp: bool = True
    mirror: str = "horizontal"
    mixup: float = 0.2
    strength: float = 1.0

    def __call__(self, images: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Change a process's part of a batch.

        Args:
            images: (batch, 3, height, width) float in [0, 1].
            targets: (batch, outputs) float: of classes, each row sums to 1.
            draw: the random numbers of this step.
        Returns:
            images and targets, which are blended as their images are.
        """
        images = self._move(images, draw)
        if self.warp:
            light = MOST_LIGHT * self.strength
            images = _relight(
                images,
                draw.uniform(-light / 2, light / 2),
                draw.uniform(1 - light, 1 + light),
            )
        return mixed(images, targets, draw.beta(self.mixup)) if self.mixup else (images, targets)

    def _move(self, images: Tensor, draw: Draw) -> Tensor:
        """Flip by copying, unless the image is resampled anyway."""
        across = draw.sign() if self.mirror != "none" else None
        down = draw.sign() if self.mirror in ("both", "all") else None
        if self.mirror == "all":
            images = torch.where(_per_image(draw.sign(), images) < 0, images.transpose(-1, -2), images)
        if self.warp:
            return _warp(images, draw, across, down, self.strength)
        for sign, dim in ((across, -1), (down, -2)):
            if sign is not None:
                images = torch.where(_per_image(sign, images) < 0, images.flip(dim), images)
        return images


class Draw:
    """Random numbers for every image of a step's whole batch, of which this process gets its own share.

    They depend on the seed and the step alone, so that a resumed run and a run shared by several processes see the
    same ones.

    Args:
        seed, step: what they depend on.
        count: images of the whole batch.
        first, last: this process's images, a range of it.
        device: where the numbers are wanted.
    """

    def __init__(self, seed: int, step: int, count: int, first: int, last: int, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(mix_seed(seed, step, "augment"))
        self._count, self._mine, self._device = count, slice(first, last), device

    def uniform(self, low: float, high: float) -> Tensor:
        """One number in [low, high) per image."""
        values = torch.rand(self._count, generator=self._generator) * (high - low) + low
        return self._given(values)

    def sign(self) -> Tensor:
        """+1 or -1 per image, as likely."""
        return self._given(torch.randint(0, 2, (self._count,), generator=self._generator) * 2.0 - 1)

    def beta(self, alpha: float) -> Tensor:
        """One number in [0, 1] per image, from Beta(alpha, alpha), the same for both of each pair (2k, 2k + 1)."""
        shape = torch.full((2, (self._count + 1) // 2), alpha)
        logs = _log_gamma_sample(shape, self._generator)
        share = torch.sigmoid(logs[0] - logs[1])
        return self._given(share.repeat_interleave(2)[: self._count])

    def _given(self, values: Tensor) -> Tensor:
        return values[self._mine].to(self._device, non_blocking=True)


def mixed(images: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each image with its neighbour, and their targets alike: (0, 1), (2, 3), ...; an odd last one stays.

    Neighbours of a shuffled batch are as random a pair as any, and they lie in the same process's part.

    Args:
        images: (batch, 3, height, width).
        targets: (batch, classes).
        share: (batch,), how much of itself each image keeps.
    Source: Zhang et al. 2018, arXiv 1710.09412, section 2. Differs: one share per pair, not per batch.
    """
    order = torch.arange(len(images), device=images.device)
    partner = order ^ 1
    partner = torch.where(partner < len(images), partner, order)
    own = _per_image(share, images)
    return (
        own * images + (1 - own) * images[partner],
        share[:, None] * targets + (1 - share[:, None]) * targets[partner],
    )


def _log_gamma_sample(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Logarithms of samples of Gamma(alpha, 1); for small alpha the samples themselves would be 0.

    Gamma(alpha) = Gamma(alpha + 1) * U ** (1 / alpha).
    """
    uniform = torch.rand(alpha.shape, generator=generator).clamp_min(torch.finfo(torch.float32).tiny)
    return torch._standard_gamma(alpha + 1, generator).log() + uniform.log() / alpha


def _warp(images: Tensor, draw: Draw, across: Tensor | None, down: Tensor | None, strength: float) -> Tensor:
    """Flip, turn, zoom and shift about the centre; what comes in at the border is a reflection."""
    angle = draw.uniform(-strength * MOST_TURN, strength * MOST_TURN) * (math.pi / 180)
    zoom = draw.uniform(1 - strength * MOST_ZOOM, 1 + strength * MOST_ZOOM)
    shift_x, shift_y = (
        draw.uniform(-2 * strength * MOST_SHIFT, 2 * strength * MOST_SHIFT),
        draw.uniform(-2 * strength * MOST_SHIFT, 2 * strength * MOST_SHIFT),
    )
    x_sign = torch.ones_like(angle) if across is None else across
    y_sign = torch.ones_like(angle) if down is None else down
    height, width = images.shape[-2:]
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack(
        [
            torch.stack([x_sign * cos, -x_sign * sin * (height / width), shift_x], -1),
            torch.stack([y_sign * sin * (width / height), y_sign * cos, shift_y], -1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="reflection", align_corners=False)


def _relight(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    middle = images.mean((1, 2, 3), keepdim=True)
    changed = (images - middle) * _per_image(contrast, images) + middle + _per_image(brightness, images)
    return changed.clamp(0, 1)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.dtype)[:, None, None, None]
