"""Tables of rules that methods take: what detaches the attention weights, and what shares relevance with them."""

from __future__ import annotations

from jumok.attribution.backward.activations import ACTIVATIONS
from jumok.attribution.backward.linear import LINEAR
from jumok.attribution.backward.norms import NORMS
from jumok.attribution.backward.products import (
    CUT,
    FACTORS,
    SECOND,
    SOFTMAXES,
    cut,
    keep_first,
    multiply,
    share_attention,
)
from jumok.attribution.backward.step import Rule, Rules, plain

__all__ = ["DETACHED", "KERNELS", "SHARED"]

KERNELS = (
    "ScaledDotProductFlashAttention",
    "ScaledDotProductEfficientAttention",
    "ScaledDotProductCudnnAttention",
    "ScaledDotProductFusedAttentionOverrideable",
)


def _make_rules(softmax: Rule, attention: Rule, *, weighs: bool) -> Rules:
    return {
        **dict.fromkeys(LINEAR, plain),
        **NORMS,
        **ACTIVATIONS,
        **CUT,
        **dict.fromkeys(FACTORS, multiply(softmax_weighs=weighs)),
        **dict.fromkeys(KERNELS, attention),
        **dict.fromkeys(SECOND, keep_first),
        **dict.fromkeys(SOFTMAXES, softmax),
    }


DETACHED = _make_rules(cut, share_attention(0.0, 0.0, 1.0), weighs=True)
"""Attention weights are constants, as the values are weighed by them."""
SHARED = _make_rules(plain, share_attention(0.25, 0.25, 0.5), weighs=False)
"""Weights and values share alike, and so do query and key what the weights have got."""
