"""The one value of the program: an attention map with its axes."""

from jumok.attention.axes import (
    Axis,
    Channels,
    Features,
    Glimpses,
    One,
    Patches,
    Pixels,
    Place,
    Regions,
    Sampled,
    Steps,
    Tokens,
)
from jumok.attention.interleaved import Interleaved
from jumok.attention.map import AttentionMap, Scale

__all__ = [
    "AttentionMap",
    "Axis",
    "Channels",
    "Features",
    "Glimpses",
    "Interleaved",
    "One",
    "Patches",
    "Pixels",
    "Place",
    "Regions",
    "Sampled",
    "Scale",
    "Steps",
    "Tokens",
]
