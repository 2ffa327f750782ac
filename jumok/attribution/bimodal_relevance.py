"""Relevance where two streams of tokens look at each other, such as the words of a question and the places of an image.

The rules normalise whole matrices between the layers, so these are formed here, for some images at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.chain import needing_graph
from jumok.watching.token_streams import PLACES, WORDS, Crossing

__all__ = ["bimodal_relevance"]

BLOCK_VALUES = 1 << 22
"""So many values of a matrix are held at a time, over some images: 16 MiB."""


def bimodal_relevance(
    looks: Sequence[Crossing], gradients: Sequence[Tensor | None], start: Tensor
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
    counts = _count_tokens(looks)
    rounds = _group_rounds(list(zip(looks, gradients, strict=True)))
    at_once = max(1, BLOCK_VALUES // max(counts) ** 2)
    batch = range(0, len(start), at_once)
    found = [_spread_relevance(rounds, counts, start, slice(first, first + at_once)) for first in batch]
    words, places = (torch.cat(rows) for rows in zip(*found, strict=True))
    return words, places


_Round = list[tuple[Crossing, Tensor | None]]


def _count_tokens(looks: Sequence[Crossing]) -> tuple[int, int]:
    """How many words there are, and how many places."""
    sizes = {look.looking: look.layer.shape[2] for look in looks} | {look.seen: look.layer.shape[3] for look in looks}
    return sizes[WORDS], sizes[PLACES]


def _group_rounds(steps: _Round) -> list[_Round]:
    """The calls in turn, those across that were made side by side together."""
    rounds: list[_Round] = []
    for step in steps:
        if rounds and len(rounds[-1]) == 1 and _is_mutual(rounds[-1][0][0], step[0]):
            rounds[-1].append(step)
        else:
            rounds.append([step])
    return rounds


def _is_mutual(one: Crossing, other: Crossing) -> bool:
    """Whether the two streams looked at each other, each as it stood before it was told what the other one saw."""
    if not (one.is_cross and other.is_cross) or one.looking == other.looking:
        return False
    first, second = one.layer.traced, other.layer.traced
    if first is None or second is None:
        return False
    with needing_graph("relevance"):
        (path,) = torch.autograd.grad(second.sum(), first, retain_graph=True, allow_unused=True)
    return path is None


@torch.no_grad()
def _spread_relevance(
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
            _add_up_gains(hat, look, look.layer.relevant(gradient, images).to(start))
            for look, gradient in steps
            if gradient is not None
        ]
        for streams, gain in (item for found in gains for item in found.items()):
            hat[streams] = hat[streams] + gain
    words, places = ((start[:, None] @ hat[WORDS, q])[:, 0] for q in (WORDS, PLACES))
    return start + words, places


def _add_up_gains(
    hat: dict[tuple[int, int], Tensor], look: Crossing, relevant: Tensor
) -> dict[tuple[int, int], Tensor]:
    """What one call adds to the relevance of the stream that looked, for itself and for the other stream."""
    s = look.looking
    q = 1 - s
    if not look.is_cross:
        return {(s, s): relevant + relevant @ hat[s, s], (s, q): relevant @ hat[s, q]}  # eqs. 6 and 7
    mixed = _normalise_rows(hat[s, s]).mT @ relevant @ _normalise_rows(hat[q, q])
    return {(s, q): mixed, (s, s): relevant @ hat[q, s]}  # eqs. 10 and 11


def _normalise_rows(hat: Tensor) -> Tensor:
    """R~ = R^ / S + I, with S the sums of the rows of R^ (eqs. 8 and 9)."""
    sums = hat.sum(-1, keepdim=True)
    return hat / sums.where(sums > 0, 1) + torch.eye(hat.shape[-1], device=hat.device)
