"""What was noticed while a model ran: its attention calls, the token ids that it was fed, the input so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from jumok.attention import Axis, Scale
from jumok.attention.attended import Attended
from jumok.watching.token_grid import Grid

Axes = tuple[Axis, Axis | tuple[Axis, ...]]
"""Queries and keys; keys one for all images, or one axis for each."""


@dataclass(frozen=True)
class Call:
    """One recorded attention call.

    Args:
        module: path of the module that attended ("" for the model itself).
        attended: the weights, computed when asked for.
        rank: how many axes the call's own tensors had.
        run: number of the model's forward pass within the `with` block.
        grids, text, pixels, batch: what had been seen of the input until then (see `Sight`).
        number: of the call within the `with` block.
        axes: who looks and what is seen, where the mechanism said it; None: tokens, to be found from the input.
            Keys may be one axis per image, as glimpses are.
        scale: what the weights mean.
        marks: (batch, keys, numbers) for a call of one query: a few numbers of each key, by which the past that a row
            brought along is known again, wherever a beam search puts the row.
    """

    module: str
    attended: Attended
    rank: int
    run: int
    grids: tuple[Grid, ...]
    text: bool
    pixels: tuple[int, int] | None
    batch: int | None
    number: int
    marks: Tensor | None
    axes: Axes | None = None
    scale: Scale = Scale.DISTRIBUTION


@dataclass(frozen=True)
class Fed:
    """Token ids that an embedding was given.

    Args:
        ids: (batch, tokens), a copy.
        table: which embedding it was.
        padding: the id that it knows as padding.
        before: how many attention calls had been seen.
    """

    ids: Tensor
    table: int
    padding: int | None
    before: int


@dataclass
class Sight:
    """What was seen of the input: convolutions' grids, whether there was a text, the image's size, the batch."""

    grids: list[Grid] = field(default_factory=list)
    text: bool = False
    pixels: tuple[int, int] | None = None
    batch: int | None = None
