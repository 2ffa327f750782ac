"""The Vision Transformer: an image as a sentence of patches, and a class read off it.

Pixels -> patches -> tokens with positions -> blocks of attention and MLP -> one pooled token -> logits.

Source: Dosovitskiy et al. 2021, arXiv 2010.11929, 3.1. Differs: the position of the `cls` token is part of that token.
Options: registers (Darcet et al. 2024, arXiv 2309.16588), a stem of convolutions (Xiao et al. 2021, arXiv 2106.14881),
sine positions (Chen et al. 2021, arXiv 2104.02057, 4.4), stochastic depth (Huang et al. 2016, arXiv 1603.09382).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.multi_head import MultiHead
from jumok.systems.parts import Share, Side, TokenMLP, as_pair, initialise, resize_positions

__all__ = ["SIZES", "ViT", "ViTConfig"]

SIZES: Mapping[str, Mapping[str, Any]] = {
    "vit-nano": {"width": 96, "depth": 4, "heads": 3, "patch": 8, "image_size": 64},
    "vit-tiny": {"width": 192, "depth": 12, "heads": 3},
    "vit-small": {"width": 384, "depth": 12, "heads": 6},
    "vit-base": {"width": 768, "depth": 12, "heads": 12},
}


class ViTConfig(BaseModel):
    """Everything needed to build a `ViT`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width); other sizes can be shown to the model later.
        patch: pixels of a patch's side; divides both sides of the image.
        width: size of each token.
        depth: how many blocks.
        heads: how many looks per block; divides width.
        expansion: hidden size of the MLP, as a multiple of width.
        pool: what the class is read off: a `cls` token or the mean of the patches.
        position: learned, or sines of fixed frequencies (width then a multiple of 4).
        registers: how many extra tokens that cover no pixels.
        stem: cut the patches by one convolution, or lead up to them by several small ones (patch a power of 2), which
            helps to learn from few images.
        dropout: probability, on attention weights and after each layer, in training.
        drop_path: probability with which an image skips the last block, less for those before, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 224
    patch: Side = 16
    width: int = Field(default=192, ge=1, le=16_384)
    depth: int = Field(default=12, ge=1, le=256)
    heads: int = Field(default=3, ge=1, le=1024)
    expansion: float = Field(default=4.0, gt=0, le=64)
    pool: Literal["cls", "mean"] = "cls"
    position: Literal["learned", "sine"] = "learned"
    registers: int = Field(default=0, ge=0, le=1024)
    stem: Literal["patch", "convolutions"] = "patch"
    dropout: Share = 0.0
    drop_path: Share = 0.0

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches an image of `image_size` has: (rows, columns)."""
        height, width = as_pair(self.image_size)
        return height // self.patch, width // self.patch

    @model_validator(mode="after")
    def _fits(self) -> ViTConfig:
        if any(side % self.patch for side in as_pair(self.image_size)):
            raise JumokError(f"patch {self.patch} does not divide image_size {self.image_size}: choose a divisor")
        if self.width % self.heads:
            raise JumokError(f"heads {self.heads} do not divide width {self.width}: choose a divisor")
        if self.position == "sine" and self.width % 4:
            raise JumokError(f"sine positions need a width that is a multiple of 4, got {self.width}")
        if self.stem == "convolutions" and (self.patch < 2 or self.patch & (self.patch - 1)):
            raise JumokError(
                f"a stem of convolutions halves the image until it has patches: patch {self.patch} is not a power of 2"
            )
        if self.stem == "convolutions" and self.grid == (1, 1):
            raise JumokError(
                f"a stem of convolutions needs several patches, and image_size {self.image_size} is one patch"
            )
        if round(self.width * self.expansion) < 1:
            raise JumokError(
                f"expansion {self.expansion} gives the MLP of width {self.width} no hidden units: choose a larger one"
            )
        return self


class ViT(nn.Module):
    """A Vision Transformer that classifies images.

    >>> model = ViT(ViTConfig(classes=4, image_size=(32, 48), patch=8, width=16, depth=2, heads=2))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = STEMS[config.stem](config.width, config.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width)) if config.pool == "cls" else None
        self.register_tokens = (
            nn.Parameter(torch.zeros(1, config.registers, config.width)) if config.registers else None
        )
        self.position: Tensor  # (1, width, rows, columns), for the patches only
        if config.position == "learned":
            self.position = nn.Parameter(torch.zeros(1, config.width, *config.grid))
        else:
            self.register_buffer("position", sine_positions(config.width, *config.grid), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, number) for number in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = Linear(config.width, config.classes)
        self.apply(initialise)
        nn.init.trunc_normal_(self.head.weight, std=0.02)  # nearly even odds to begin with
        for tokens in (self.cls_token, self.register_tokens, self.position):
            if isinstance(tokens, nn.Parameter):
                nn.init.trunc_normal_(tokens, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width) float, normalised; sides that are multiples of the patch.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind, number of axes or channels, or with sides that hold no whole patches.
        """
        tokens = self.dropout(self.embed(pixels))
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens)
        # Nothing but the cls token is read after the last block. In training only that one is computed there, with
        # the same logits and gradients; in eval all are, so that each patch can be asked where it looks.
        only_cls = self.training and self.cls_token is not None
        return self.readout(last(tokens, queries=1) if only_cls else last(tokens))

    def readout(self, tokens: Tensor) -> Tensor:
        """The logits, (batch, classes), off the tokens after the last block: the first one, or the patches' mean."""
        if self.cls_token is None:
            pooled = self.norm(tokens[:, self.config.registers :]).mean(1)
        else:
            pooled = self.norm(tokens[:, 0])
        logits: Tensor = self.head(pooled)
        return logits

    def embed(self, pixels: Tensor) -> Tensor:
        """Cut into patches and add positions: (batch, [cls,] [registers,] patches, width)."""
        self._check(pixels)
        patches = self.patch_embed(pixels)  # (batch, width, rows, columns)
        patches = (patches + resize_positions(self.position, *patches.shape[2:])).flatten(2).transpose(1, 2)
        specials = [tokens for tokens in (self.cls_token, self.register_tokens) if tokens is not None]
        return torch.cat([*(tokens.expand(pixels.shape[0], -1, -1) for tokens in specials), patches], 1)

    def _check(self, pixels: Tensor) -> None:
        patch = self.config.patch
        whole = pixels.dim() == 4 and all(side > 0 and side % patch == 0 for side in pixels.shape[2:])
        if not whole or pixels.shape[1] != 3:
            raise JumokError(
                f"pixels have shape {tuple(pixels.shape)}, wanted (batch, 3, height, width) with sides that are "
                f"multiples of the patch, {patch}: resize the images"
            )
        if not pixels.is_floating_point():
            raise JumokError(f"pixels are {pixels.dtype}, wanted float, normalised as in training")


class Block(nn.Module):
    """Attention, then an MLP, each beside a path that leaves the tokens as they are (pre-norm)."""

    def __init__(self, config: ViTConfig, number: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = MultiHead(config.width, config.heads, dropout=config.dropout)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = TokenMLP(config.width, round(config.width * config.expansion), config.dropout)
        self.drop = DropPath(config.drop_path * (number + 1) / config.depth)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, queries: int | None = None) -> Tensor:
        """(batch, tokens, width) to the same; where `queries` is given, to the first so many tokens only."""
        normed = self.norm1(tokens)
        if queries is None:
            looked = self.attn(normed)
        else:
            tokens, looked = tokens[:, :queries], self.attn(normed[:, :queries], normed)
        tokens = tokens + self.drop(self.dropout(looked))
        changed: Tensor = tokens + self.drop(self.mlp(self.norm2(tokens)))
        return changed


class DropPath(nn.Module):
    """Leave a layer's result out for whole examples at random, in training."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, tokens: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return tokens
        keep = 1 - self.probability
        return tokens * tokens.new_empty(len(tokens), 1, 1).bernoulli_(keep).div_(keep)


def make_patch_stem(width: int, patch: int) -> nn.Conv2d:
    """A stem that makes each patch a token by one linear map."""
    return nn.Conv2d(3, width, patch, stride=patch)


def make_convolution_stem(width: int, patch: int) -> nn.Sequential:
    """A stem that halves the image by 3 x 3 convolutions until each place is a patch.

    Differs from Xiao et al. 2021: instance norm, which does not mix the examples of a batch and takes each image's
    light and texture out, channel by channel; with batch or layer norm small models hardly begin to learn from few
    images.
    """
    steps = int(math.log2(patch))
    sizes = [3, *(max(width >> (steps - 1 - step), 8) for step in range(steps))]
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(sizes):
        layers += [
            nn.Conv2d(size_in, size_out, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(size_out, size_out),
            nn.GELU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(sizes[-1], width, 1))


STEMS: Mapping[str, Callable[[int, int], nn.Module]] = {"patch": make_patch_stem, "convolutions": make_convolution_stem}


def sine_positions(width: int, rows: int, columns: int) -> Tensor:
    """Positions as sines and cosines: a quarter of the width each for sin x, cos x, sin y and cos y.

    Returns:
        (1, width, rows, columns).
    """
    frequencies = 10_000.0 ** (-torch.arange(width // 4) / (width // 4))
    x = frequencies[:, None, None] * torch.arange(columns).expand(rows, columns)
    y = frequencies[:, None, None] * torch.arange(rows)[:, None].expand(rows, columns)
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()])[None]
