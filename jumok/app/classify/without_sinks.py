"""Maps that come from attention, without the patches that nearly all others look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
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


def drop_sinks(heat: AttentionMap, layers: Sequence[AttentionMap]) -> tuple[AttentionMap, int]:
    """Take a map's weights on sinks away; a distribution is made to sum to 1 again.

    Sinks are those of the layer that the map is of, or of any layer where it is of several.

    Args:
        heat: one row over patches.
        layers: ([head,] queries, keys) of each layer of the same image.
    Returns:
        the map, and how many patches are sinks.
    Raises:
        JumokError: all of the weight lies on sinks.
    """
    from jumok.measures.sinks import find_patch_sinks, without_sinks

    alike = [layer for layer in layers if layer.queries == layer.keys == heat.keys and layer.lead in ((), ("head",))]
    own = [layer for layer in alike if layer.source == heat.source]
    sinks = find_patch_sinks(own or alike)
    return without_sinks(heat, sinks) if sinks else heat, len(sinks)
