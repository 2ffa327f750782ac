"""The names of what shows where a classifier looked, as the command line takes and lists them."""

from __future__ import annotations

from jumok.attribution import METHODS

__all__ = ["HELP", "OF_MODELS"]

OF_MODELS = (*METHODS, "attention", "relevance")
"""What needs a model; "relevance" is chefer by the name that it once had."""
HELP = " | ".join(name for name in OF_MODELS if name != "relevance")
