"""What methods share that start from one token: the chain, the start, and the map of one row."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap, Axis, One, Place, Scale
from jumok.attention.attended import Attended, Sloped
from jumok.errors import JumokError
from jumok.watching.chain import find_query, start_row, take_gradients
from jumok.watching.flow import Flow
from jumok.watching.token_flow import list_some

__all__ = ["READ", "find_read", "find_start", "has_class_token", "make_row", "share_read", "tell"]

READ = "what was read"
"""Several tokens, or others in each input."""


def find_start(flow: Flow, target: Tensor, query: Place | None) -> tuple[Tensor, str]:
    """Where a chain starts that follows attention alone, and what that is called.

    Args:
        flow: the calls that are followed.
        target: what is explained; none of this pass where it has no gradients.
        query: as for `start_row`; None: the class token of an image or text that has one by name, else the tokens that
            the target was read off.
    Raises:
        JumokError: no such token, or the target does not tell.
    """
    last, axis = flow.layers[-1], flow.queries
    if query is None and not has_class_token(axis):
        read = find_read(last, axis, target, flow.batch)
        if read is not None:
            return read
    return start_row("cls" if query is None else query, axis, flow.batch, last.device)


def find_read(last: Attended, axis: Axis, target: Tensor, batch: int) -> tuple[Tensor, str] | None:
    """As `share_read`, of a target whose gradient has not been taken; None also where it has none."""
    if not target.requires_grad or last.traced is None:
        return None
    return share_read(last, axis, take_gradients(target, [last], batch)[0])


def share_read(last: Attended, axis: Axis, gradient: Tensor | None) -> tuple[Tensor, str] | None:
    """Even shares over the tokens that the target was read off, and their name; None where that cannot be told.

    Args:
        last: the call that the target was read off.
        axis: of its queries.
        gradient: of the target, at what the call traced.
    Returns:
        (batch, queries), each row of which sums to 1.
    """
    if gradient is None or not isinstance(last, Sloped) or last.shape[2] != len(axis):
        return None
    read = last.find_read(gradient).float()
    counts = read.sum(1, keepdim=True)
    if not bool(counts.all()):
        return None
    same = int(read.any(0).sum()) == 1
    return read / counts, axis.label(int(read[0].argmax())) if same else READ


def has_class_token(axis: Axis) -> bool:
    """Whether one of the tokens is known to stand for the whole input."""
    try:
        find_query("cls", axis)
    except JumokError:
        return False
    return True


def make_row(row: Tensor, axis: Axis, label: str, method: str, scale: Scale) -> AttentionMap:
    """The map of one row for each image.

    Args:
        row: (batch, keys).
        axis: of the keys.
        label: who looks.
        method: what made it, for the map's source.
        scale: of the values.
    """
    return AttentionMap(row[:, None].float(), One(label), axis, ("batch",), scale, f"{method}({label})")


def tell(method: str, unseen: float, flow: Flow) -> str:
    """The name of a method, with what it takes as a mean, and the share of the paths that went through the unseen."""
    mean = f", {list_some(flow.averaged)} taken as the mean of its window" if flow.averaged else ""
    return f"{method}{mean}, {unseen:.0%} through {', '.join(flow.unseen)}, unseen" if flow.unseen else method + mean
