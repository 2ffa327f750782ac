"""What tokens stand for: inputs, cells of them, and rows of the table of identities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CONSTANT = 0
LEAF = 1 << 40
"""Identities from here on are elements of inputs: input n has those from (n + 1) * LEAF."""

LEARNT_SOURCE = -4
"""The source of learnt tokens, once it is known for which item of the batch they are."""
CONSTANT_SOURCE = -5
"""That of constants that stand among the tokens, as padding does."""
IMAGE, TEXT, PLAIN, SERIES, FOREIGN = "image", "text", "plain", "series", "foreign"
UNORDERED = "words in an order that their ids make, as sorted ones are"
"""The reason of one whose words stood in another order when they were given."""
ADDED = "words that the model itself put into a text"
"""The reason that a source has which holds such words, as the one before a text that is shifted."""


@dataclass(frozen=True)
class Source:
    """One input.

    Args:
        kind: an image, a text (ids that were embedded), a series (as sound is), plain tokens, or "foreign": something
            that was neither given to the model nor made by anything that was seen.
        dims: items of the batch, then how far it goes in time, down and across.
        why: for a foreign one, what is known of it; of a text `ADDED`, `UNORDERED` or nothing.
    """

    kind: str
    dims: tuple[int, int, int, int]
    why: str = ""


@dataclass(frozen=True)
class Sampling:
    """Places at which a grid of tokens was sampled, between the centres of its cells.

    Args:
        tokens: (slices, rows, columns) identities.
        grid: (slices, ..., 2) of (x, y), from -1 to 1.
        corners: whether -1 and 1 are the centres of the outermost cells, not their outer edges.
        border: whether what lies outside is taken from the edge; else it is nothing.
    """

    tokens: Tensor
    grid: Tensor
    corners: bool
    border: bool


@dataclass(frozen=True)
class Block:
    """Rows of the table of one kind, `start` the first.

    Args:
        kind: "cell" of an input; "learnt" (rows of a parameter); "attended" (outputs of an attention call); "joint"
            (several attended rows added to the same token); "merged"; "window" (made from a token and those around it);
            "unseen" (mixed with others in a way that cannot
            be followed); "lost" (no origin is known).
        call: number of the attention call.
        members: (count, most) of a merged or joint row, or of a window; 0 where there are fewer.
        note: the name of a parameter, or why something is lost or unseen.
        sampled: of what lies between the cells of a grid, where it was sampled.
        each: how many attended rows an image, or a window, has.
    """

    kind: str
    start: int
    count: int
    call: int = -1
    members: Tensor | None = None
    note: str = ""
    sampled: Sampling | None = None
    each: int = 1


@dataclass(frozen=True)
class Origin:
    """Where identities lie in the input: each field as many whole numbers as there are identities.

    Args:
        source: number of the input; -1: a constant or a learnt token; -2: several; -3: lost; -4: a learnt token, and
            -5 a constant one, of one item of the batch.
        item: of the batch; -1: several.
        low, high: (count, 3), the half-open range in t, y and x.
        size: how many elements of the input.
    """

    source: Tensor
    item: Tensor
    low: Tensor
    high: Tensor
    size: Tensor

    def stack(self) -> Tensor:
        """(count, 9), to be cached and cut."""
        columns = (self.source[:, None], self.item[:, None], self.low, self.high, self.size[:, None])
        return torch.cat(columns, 1)

    @staticmethod
    def of(rows: Tensor) -> Origin:
        """From (count, 9)."""
        return Origin(rows[:, 0], rows[:, 1], rows[:, 2:5], rows[:, 5:8], rows[:, 8])
