"""From the layers to the input: rollout and relevance, as chains of vector-matrix products.

Both are defined by products of N x N matrices. One query needs one row of the product, and that row is found from the
last layer to the first without any of the matrices. Where two streams of tokens look at each other the rules normalise
whole matrices between the layers, so there they are formed, for some images at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jumok.axes import Axis, Patches, Place
from jumok.errors import JumokError
from jumok.records import BLOCK_VALUES, Attended

MEAN = "mean"
"""The query that stands for the average over all tokens that cover pixels (or, in a text, all words)."""
WORDS, PLACES = 0, 1
"""Two streams of tokens. Only their order matters to the rules: the query belongs to the first."""


class Look(NamedTuple):
    """One attention call between two streams: which one looked, and which one was seen."""

    layer: Attended
    looking: int
    seen: int

    @property
    def is_cross(self) -> bool:
        """Whether one stream looks at the other."""
        return self.looking != self.seen


def rollout(layers: Sequence[Attended], start: Tensor, *, residual: float = 0.5) -> Tensor:
    """Follow attention from one query down to the input, heads averaged, the residual path counted in.

    The row e_q A~_L ... A~_1 with A~ = residual I + (1 - residual) mean_h A_h.

    Args:
        layers: first to last, each (batch, heads, N, N).
        start: (batch, N); 1 at the query, or several weights that sum to 1.
        residual: the share of a token that passes each layer unmixed.
    Returns:
        (batch, N); sums to what `start` sums to.
    Source: Abnar & Zuidema 2020, arXiv 2005.00928, section 3.
    """
    row = start
    for layer in reversed(layers):
        row = residual * row + (1 - residual) * layer.pull(row)
    return row


def relevance(layers: Sequence[Attended], gradients: Sequence[Tensor | None], start: Tensor) -> Tensor:
    """How much each input token contributed to one output, through the layers that a query looked through.

    The row e_q (I + A-_L) ... (I + A-_1) with A- = mean_h (dL/dA_h * A_h)+, which is R_qq after R <- R + A- R.

    Args:
        layers: first to last, each (batch, heads, N, N).
        gradients: dL/d(traced tensor) of each layer; None where the output does not depend on the layer.
        start: (batch, N); 1 at the query, or several weights that sum to 1.
    Returns:
        (batch, N), 0 or more; `start` itself is part of it.
    Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, eqs. 5 and 6.
    """
    row = start
    for layer, gradient in zip(reversed(layers), reversed(gradients), strict=True):
        if gradient is not None:
            row = row + layer.pull_relevance(row, gradient)
    return row


def bimodal_relevance(
    looks: Sequence[Look], gradients: Sequence[Tensor | None], start: Tensor
) -> tuple[Tensor, Tensor]:
    """How much each word and each place contributed to one output, where words and places look at each other.

    With A- as in `relevance`, s the stream that looks and q the other one, from R_ss = I and R_sq = 0:

    - s looks at itself: R_ss <- R_ss + A- R_ss and R_sq <- R_sq + A- R_sq;
    - s looks at q: R_sq <- R_sq + R~_ss^T A- R~_qq and R_ss <- R_ss + A- R_qs, where R~ is R with the rows of R - I
      brought to a sum of 1.

    Two calls across that were made side by side, neither from what the other gave, follow the same R.

    Args:
        looks: the calls, first to last, of one batch; `words` x `places` and so on.
        gradients: dL/d(traced tensor) of each call; None where the output does not depend on it.
        start: (batch, words); 1 at the query, or several weights that sum to 1.
    Returns:
        The query's rows of R_tt, (batch, words), and of R_ti, (batch, places); 0 or more.
    Source: Chefer, Gur & Wolf 2021, arXiv 2103.15679, section 3, eqs. 5 to 11. Differs: a row of R - I that sums to 0,
        as before any layer, stays 0, where equation 9 would divide by it.
    """
    counts = _counts(looks)
    rounds = _rounds(list(zip(looks, gradients, strict=True)))
    at_once = max(1, BLOCK_VALUES // max(counts) ** 2)
    batch = range(0, len(start), at_once)
    found = [_rows_of_relevance(rounds, counts, start, slice(first, first + at_once)) for first in batch]
    words, places = (torch.cat(rows) for rows in zip(*found, strict=True))
    return words, places


_Round = list[tuple[Look, Tensor | None]]


def _counts(looks: Sequence[Look]) -> tuple[int, int]:
    """How many words there are, and how many places."""
    sizes = {look.looking: look.layer.shape[2] for look in looks} | {look.seen: look.layer.shape[3] for look in looks}
    return sizes[WORDS], sizes[PLACES]


def _rounds(steps: _Round) -> list[_Round]:
    """The calls in turn, those across that were made side by side together."""
    rounds: list[_Round] = []
    for step in steps:
        if rounds and len(rounds[-1]) == 1 and _side_by_side(rounds[-1][0][0], step[0]):
            rounds[-1].append(step)
        else:
            rounds.append([step])
    return rounds


def _side_by_side(one: Look, other: Look) -> bool:
    """Whether the two streams looked at each other, each as it stood before it was told what the other one saw."""
    if not (one.is_cross and other.is_cross) or one.looking == other.looking:
        return False
    first, second = one.layer.traced, other.layer.traced
    if first is None or second is None:
        return False
    (path,) = torch.autograd.grad(second.sum(), first, retain_graph=True, allow_unused=True)
    return path is None


@torch.no_grad()
def _rows_of_relevance(
    rounds: list[_Round], counts: tuple[int, int], start: Tensor, images: slice
) -> tuple[Tensor, Tensor]:
    """The rows of R for some images.

    Kept by streams, (of which, made from which), as R^ = R - I where these are the same: equation 9 divides by the sums
    of R^, which may be far smaller than what is lost of it when a 1 is added and taken away again.
    """
    start = start[images]
    hat = {(s, q): start.new_zeros(len(start), counts[s], counts[q]) for s in (WORDS, PLACES) for q in (WORDS, PLACES)}
    for steps in rounds:
        gains = [
            _gains(hat, look, look.layer.relevant(gradient, images).to(start))
            for look, gradient in steps
            if gradient is not None
        ]
        for streams, gain in (item for found in gains for item in found.items()):
            hat[streams] = hat[streams] + gain
    words, places = ((start[:, None] @ hat[WORDS, q])[:, 0] for q in (WORDS, PLACES))
    return start + words, places


def _gains(hat: dict[tuple[int, int], Tensor], look: Look, relevant: Tensor) -> dict[tuple[int, int], Tensor]:
    """What one call adds to the relevance of the stream that looked, for itself and for the other stream."""
    s = look.looking
    q = 1 - s
    if not look.is_cross:
        return {(s, s): relevant + relevant @ hat[s, s], (s, q): relevant @ hat[s, q]}  # eqs. 6 and 7
    mixed = _normalised(hat[s, s]).mT @ relevant @ _normalised(hat[q, q])
    return {(s, q): mixed, (s, s): relevant @ hat[q, s]}  # eqs. 10 and 11


def _normalised(hat: Tensor) -> Tensor:
    """R~ = R^ / S + I, with S the sums of the rows of R^ (eqs. 8 and 9)."""
    sums = hat.sum(-1, keepdim=True)
    return hat / sums.where(sums > 0, 1) + torch.eye(hat.shape[-1], device=hat.device)


def start_row(query: Place, axis: Axis, layer: Attended) -> tuple[Tensor, str]:
    """Where a chain starts: 1 at the query, or even shares over all places.

    Args:
        query: "mean", or what picks one token of the axis.
        axis: of the tokens.
        layer: any of the chain.
    Returns:
        (batch, tokens), and the query's name.
    Raises:
        JumokError: no such token.
    """
    batch, _, count, _ = layer.shape
    start = torch.zeros(batch, count, device=layer.device)
    if query == MEAN:
        first = len(axis.special) if isinstance(axis, Patches) else 0
        start[:, first:] = 1 / (count - first)
        return start, MEAN
    try:
        index = axis.index(query)
    except JumokError as error:
        raise JumokError(f'{error}; a query is also an index, a patch as (row, column), or "mean"') from error
    start[:, index] = 1
    return start, axis.label(index)


def gradients(target: Tensor, layers: Sequence[Attended]) -> list[Tensor | None]:
    """The target's gradient at each layer's traced tensor; None where it does not depend on the layer.

    Raises:
        JumokError: the forward pass kept no gradients, or the target depends on no layer.
    """
    traced = [layer.traced for layer in layers]
    if not target.requires_grad or any(tensor is None for tensor in traced):
        raise JumokError(
            "relevance needs gradients and this forward pass kept none: run the model outside torch.no_grad() and "
            "inference_mode, with parameters (or an input) that require gradients"
        )
    found = torch.autograd.grad(
        target.sum(), [tensor for tensor in traced if tensor is not None], retain_graph=True, allow_unused=True
    )
    if all(gradient is None for gradient in found):
        raise JumokError("the target does not depend on any attention that was seen: compute it from this forward pass")
    return list(found)
