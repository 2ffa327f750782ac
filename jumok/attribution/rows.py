"""What methods share that start from one token: the chain, the start, and the map of one row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
TRACE_IT = "or run the model with gradients enabled: then it starts from the tokens that the target was read off"


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
    if query is not None or has_class_token(axis):
        return start_row(query, axis, flow.batch, last.device)
    traced = target.requires_grad and last.traced is not None
    read = share_read(flow, take_gradients(target, flow.layers[-flow.parts :], flow.batch)) if traced else None
    try:
        return read or start_row(None, axis, flow.batch, last.device)
    except JumokError as error:
        if traced:
            raise
        raise JumokError(f"{error}; {TRACE_IT}") from error


def share_read(flow: Flow, gradients: Sequence[Tensor | None]) -> tuple[Tensor, str] | None:
    """Even shares over the tokens of a chain's end that the target was read off, and their name; None: no telling.

    Args:
        flow: the calls that are followed.
        gradients: of the target, at what the last calls traced, at least as many as are parts of the last layer.
    Returns:
        (batch, queries), each row of which sums to 1.
    """
    found = []
    for call, gradient in zip(flow.layers[-flow.parts :], gradients[-flow.parts :], strict=True):
        if not isinstance(call, Sloped) or (gradient is None and flow.parts == 1):
            return None
        nothing = torch.zeros(call.shape[0], call.shape[2], dtype=torch.bool, device=call.device)
        found.append(nothing if gradient is None else call.find_read(gradient))
    read = flow.lay_out(found)
    return None if read is None else _share(read, flow.queries)


def find_read(last: Attended, axis: Axis, target: Tensor, batch: int) -> tuple[Tensor, str] | None:
    """As `share_read`, of one call whose gradient has not been taken.

    Args:
        last: the call.
        axis: of its queries.
        target: what was read off it; None of a call or a target without gradients.
        batch: images, or sentences.
    """
    if not target.requires_grad or last.traced is None or not isinstance(last, Sloped) or last.shape[2] != len(axis):
        return None
    (gradient,) = take_gradients(target, [last], batch)
    return None if gradient is None else _share(last.find_read(gradient), axis)


def _share(read: Tensor, axis: Axis) -> tuple[Tensor, str] | None:
    """Even shares over those tokens, (batch, queries) bool; None where an input has none."""
    counts = read.sum(1, keepdim=True)
    if not bool(counts.all()):
        return None
    same = int(read.any(0).sum()) == 1
    return read.float() / counts, axis.label(int(read[0].float().argmax())) if same else READ


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
