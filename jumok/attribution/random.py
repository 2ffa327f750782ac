"""Random values: what a method has to beat before it tells anything."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, One, Scale
from jumok.attribution.inputs import Trace, lay_out
from jumok.errors import JumokError
from jumok.watching.seen import Seen

__all__ = ["random"]


def random(seen: Seen, target: Tensor, *, seed: int = 0) -> AttentionMap:
    """Even random values over the parts of the input.

    Args:
        seen: of a pass.
        target: of that pass; only its number of images matters.
        seed: of the values.
    Returns:
        (batch, 1, tokens, pixels or words), from 0 to 1.
    Raises:
        JumokError: the parts of the input are not known.
    Source: none; every measure sets it beside the others.
    """
    keys, batch = _find_keys(seen, target)
    draw = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, 1, len(keys), generator=draw).to(target.device)
    return AttentionMap(values, One("image"), keys, ("batch",), Scale.RELEVANCE, f"random({seed})")


def _find_keys(seen: Seen, target: Tensor) -> tuple[Axis, int]:
    """The parts of the input: those of the other methods, tokens or pixels."""
    try:
        flow = seen.flow(partial=True)
        return flow.keys, flow.batch
    except JumokError:
        trace = Trace.of(seen, target, "random")
        return lay_out(seen, trace.values, is_text=trace.is_text)[0], len(trace.values)
