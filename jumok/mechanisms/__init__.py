"""Attention mechanisms, one per file."""

from __future__ import annotations

__all__ = ["MECHANISMS"]

MECHANISMS = (
    "additive",
    "cbam",
    "dot_product",
    "efficient_channel",
    "general",
    "glimpse",
    "multi_head",
    "non_local",
    "saliency",
    "selection",
    "spatial_transformer",
    "squeeze_excitation",
)
"""The modules of this package that hold a mechanism; each has an `example()`."""
