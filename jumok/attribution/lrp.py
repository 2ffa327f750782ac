"""Layer-wise relevance propagation through Transformers: AttnLRP and CP-LRP, with the gamma rule."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap
from jumok.attribution.backward.gamma import add_gamma
from jumok.attribution.backward.rules import DETACHED, SHARED
from jumok.attribution.inputs import Trace
from jumok.errors import JumokError, suggest
from jumok.watching.seen import Seen

__all__ = ["lrp"]

IN_IMAGES = (0.0, 0.25)
"""Gamma of linear layers and of convolutions, where pixels are explained: in linear layers it costs most and gains
nothing in SRG."""
ATTENTION = {"shared": SHARED, "detached": DETACHED}


def lrp(seen: Seen, target: Tensor, *, gamma: float | None = None, attention: str | None = None) -> AttentionMap:
    """Give the target's value back to what it was made from, layer by layer.

    Linear layers give it by the shares that they were made of; what their biases added is lost. Denominators of norms
    and gates of activations are constants; of a product of two things each gets half.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
        gamma: how much more a contribution counts that has the sign of its sum, in linear layers and convolutions;
            needs parameters that require gradients, except for 0. None: 0.25 in convolutions where pixels are
            explained, else 0. With gamma a layer takes five products of matrices, without it two.
            Products with a parameter in any other form (`bmm`, `einsum`) have gamma 0.
        attention: "shared" (AttnLRP): weights and values get half each, and what the softmax gets of it goes on by its
            gradient, which loses some. "detached" (CP-LRP): the weights are constants, and of a model without biases
            the map sums to the target. None: detached for pixels, shared for words.
    Returns:
        (batch, 1, patches, pixels or words), of any sign.
    Raises:
        JumokError: no graph, no input in it, a target of another shape, an operation that no rule is known for, or no
            such option.
    Source: Achtibat et al. 2024, AttnLRP, arXiv 2402.05602, section 3; Ali et al. 2022, CP-LRP, arXiv 2202.07304; the
        defaults are those of the authors' examples but for linear layers, which have gamma 0.05 there. Differs: no
        epsilon is added to a denominator.
    """
    trace = Trace.of(seen, target, "lrp")
    is_text = trace.is_text
    chosen = attention or ("shared" if is_text else "detached")
    if chosen not in ATTENTION:
        raise JumokError(f"no attention rule {chosen!r}: {suggest(chosen, ATTENTION)}")
    linear, convolution = ((0.0, 0.0) if is_text else IN_IMAGES) if gamma is None else (gamma, gamma)
    rules = add_gamma(ATTENTION[chosen], linear, convolution)
    return trace.attribute(f"lrp(attention {chosen}, gamma {linear:g} linear, {convolution:g} convolution)", rules)
