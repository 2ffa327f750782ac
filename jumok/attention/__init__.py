"""The one value of the program: an attention map with its axes."""

from jumok.attention.axes_in_images import Glimpses, Patches, Pixels, Regions, Sampled
from jumok.attention.axis import Axis, Place
from jumok.attention.interleaved import Interleaved
from jumok.attention.map import AttentionMap, Scale
from jumok.attention.named_axes import Channels, Features, One, Steps, Tokens

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
