"""What was noticed while a model ran: its attention calls as they were made, and once their tokens are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from jumok.attention import Axis, Scale
from jumok.attention.attended import Attended
from jumok.watching.provenance.call_tokens import CallTokens

Axes = tuple[Axis, Axis | tuple[Axis, ...]]
"""Queries and keys; keys one for all images, or one axis for each."""

ROUNDED = 1e-2
"""By how much shares in half precision may miss what they are shares of."""


@dataclass(frozen=True)
class Noted:
    """One attention call as it was made.

    Args:
        module: path of the module that attended ("" for the model itself).
        attended: the weights, computed when asked for.
        rank: how many axes the call's own tensors had.
        run: number of the model's forward pass within the `with` block.
        number: of the call within the `with` block.
        axes: who looks and what is seen, where the mechanism said it; None: tokens, to be found on the tape.
            Keys may be one axis per image, as glimpses are.
        scale: what the weights mean.
        by_hand: whether the model formed the weights itself, by a softmax and a product.
        told: whether the mechanism told of itself, so that no call of it stands on the tape.
    """

    module: str
    attended: Attended
    rank: int
    run: int
    number: int
    axes: Axes | None = None
    scale: Scale = Scale.DISTRIBUTION
    by_hand: bool = False
    told: bool = False


@dataclass(frozen=True)
class Call:
    """One attention call whose tokens are known, as far as they can be.

    Args:
        module, run, number, axes, scale, by_hand: as in `Noted`.
        attended: the weights, (batch x windows, heads, queries, keys).
        lead: names of the axes in front of queries and keys.
        sizes: how long these are.
        tokens: of the queries and keys.
    """

    module: str
    attended: Attended
    run: int
    number: int
    lead: tuple[str, ...]
    sizes: tuple[int, ...]
    tokens: CallTokens
    axes: Axes | None = None
    scale: Scale = Scale.DISTRIBUTION
    by_hand: bool = False

    def find_scale(self, weights: Tensor) -> Scale:
        """What weights of the call mean: of those that a model formed by hand, that is told from their numbers.

        Args:
            weights: (..., queries, keys), of some queries or all.
        """
        if not self.by_hand or not weights.numel():
            return self.scale
        sums = weights.sum(-1)
        if float(weights.min()) < 0:
            return Scale.SCORE
        shares = sums >= 1 - ROUNDED
        if self.scale is Scale.GATE:  # shares of which some queries were left out
            shares |= sums <= ROUNDED
        if float(sums.max()) <= 1 + ROUNDED and (self.scale is Scale.DISTRIBUTION or bool(shares.all())):
            return Scale.DISTRIBUTION
        return Scale.GATE if float(weights.max()) <= 1 + ROUNDED else Scale.SCORE


@dataclass(frozen=True)
class Fed:
    """Token ids that an embedding was given.

    Args:
        ids: (batch, tokens), a copy.
        table: which embedding it was.
        padding: the id that it knows as padding.
        before: how many attention calls had been seen.
        given: whether they depend on what the model was given, as words do; places are made by the model itself.
    """

    ids: Tensor
    table: int
    padding: int | None
    before: int
    given: bool = True
