"""LibraGrad: gradients kept in balance, so that what the parts of the input contributed sums to the output."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap
from jumok.attribution.backward.rules import DETACHED
from jumok.attribution.inputs import Trace
from jumok.watching.seen import Seen

__all__ = ["libra"]


def libra(seen: Seen, target: Tensor) -> AttentionMap:
    """Input times a gradient for which attention weights, the denominators of norms and gates are constants.

    Of a product of two things that are none of these, each gets half. Of a model without biases the map sums to the
    target.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
    Returns:
        (batch, 1, patches, pixels or words), of any sign.
    Raises:
        JumokError: no graph, no input in it, a target of another shape, or an operation that no rule is known for.
    Source: Mehri et al. 2025, LibraGrad, arXiv 2411.16760, section 3.5.
    """
    return Trace.of(seen, target, "libra").attribute("libra", DETACHED)
