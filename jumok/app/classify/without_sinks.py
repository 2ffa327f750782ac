"""Maps that come from attention, without sinks: patches that nearly all others look at and that tell nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap

__all__ = ["CORRECTED", "OF_ATTENTION", "check_correctable", "drop_sinks"]

OF_ATTENTION = ("raw", "rollout", "chefer", "relevance")
"""Methods whose maps are weights of attention, or products of them."""
CORRECTED = "without sinks"
"""What is added to a method's name."""


def check_correctable(methods: Sequence[str]) -> None:
    """Refuse methods that do not come from attention.

    Raises:
        JumokError: none of the methods does.
    """
    if not set(methods) & set(OF_ATTENTION):
        known = ", ".join(OF_ATTENTION[:-1])
        raise JumokError(
            f"--without-sinks corrects maps that come from attention ({known}), and the method is "
            f"{', '.join(methods) or 'none'}: add --method {OF_ATTENTION[1]}"
        )


def drop_sinks(
    heat: AttentionMap, layers: Sequence[AttentionMap], values: Sequence[Tensor | None]
) -> tuple[AttentionMap, int]:
    """Take a map's weights on sinks away; a distribution is made to sum to 1 again.

    Sinks are those of the layer that the map is of, or of any layer where it is of several. Layers that do not tell how
    long their values are have none.

    Args:
        heat: one row over patches.
        layers: ([head,] queries, keys) of each layer of the same image.
        values: (keys,) of each layer, the length of each value.
    Returns:
        the map, and how many patches are sinks.
    Raises:
        JumokError: all of the weight lies on sinks.
    """
    from jumok.measures.sinks import find_patch_sinks, without_sinks

    alike = [
        (layer, lengths)
        for layer, lengths in zip(layers, values, strict=True)
        if lengths is not None and layer.queries == layer.keys == heat.keys and layer.lead in ((), ("head",))
    ]
    own = [(layer, lengths) for layer, lengths in alike if layer.source == heat.source]
    chosen = own or alike
    sinks = find_patch_sinks([layer for layer, _ in chosen], [lengths for _, lengths in chosen])
    return without_sinks(heat, sinks) if sinks else heat, len(sinks)
