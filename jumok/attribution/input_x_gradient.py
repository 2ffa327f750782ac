"""Input times gradient: what each value of the input contributes, as far as the model is linear."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap
from jumok.attribution.inputs import Trace
from jumok.watching.seen import Seen

__all__ = ["input_x_gradient"]


def input_x_gradient(seen: Seen, target: Tensor) -> AttentionMap:
    """X * dL/dx, summed over the channels of a place or the features of a word.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
    Returns:
        (batch, 1, patches, pixels or words), of any sign.
    Raises:
        JumokError: no graph, no input in it, or a target of another shape.
    Source: Shrikumar, Greenside & Kundaje 2017, arXiv 1704.02685, section 3.
    """
    return Trace.of(seen, target, "input-x-gradient").attribute("input-x-gradient")
