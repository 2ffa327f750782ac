"""Attention mechanisms, one per file."""

from __future__ import annotations

__all__ = ["MECHANISMS"]

MECHANISMS = (
    "additive",
    "dot_product",
    "general",
    "multi_head",
)
"""The modules of this package that hold a mechanism; each has an `example()`."""
