"""Attention over places between tokens: which tokens lie around each place, and what share of it each has."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Kept, Op, clone_index
from jumok.watching.provenance.origins import Sampling

MOST_SAMPLED = 1 << 20
"""Places that are followed of one call, at most."""


def sample(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities of what `grid_sample` takes from between tokens.

    Args:
        known: the table.
        op: the call.
        ids: of what is sampled, (slices, features, rows, columns).
    Raises:
        CannotMoveError: another mode than bilinear, or too many places.
    """
    places, out = op.kwargs["places"], op.outs[0].shape
    mode, padding = op.given(2, "mode", "bilinear"), op.given(3, "padding_mode", "zeros")
    if len(out) != 4 or mode != "bilinear" or padding not in ("zeros", "border"):
        raise CannotMoveError(f"grid_sample ({mode}, {padding})")
    if out[0] * out[2] * out[3] > MOST_SAMPLED or not isinstance(places, Kept) or places.changed:
        raise CannotMoveError("grid_sample at places that are too many or were overwritten afterwards")
    tokens = merge_over(known, ids, [1])[:, 0].expand(ids.shape[0], *ids.shape[2:])
    grid = clone_index(places.values).double()
    sampling = Sampling(tokens, grid, bool(op.given(4, "align_corners", False)), padding == "border")
    made = known.sample(sampling, f"grid_sample{op.where}")
    return made.view(out[0], 1, *out[2:]).expand(out)


def read_samples(known: Identities, ids: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """What was sampled at some places.

    Args:
        known: the table.
        ids: (lead..., queries, places) of what lies there.
    Returns:
        (lead..., keys) of the tokens of all grids that were sampled; and (lead..., queries, places x 4) each, the keys
        around each place and their shares. None where some of the places were not sampled, or not from the same grid
        for all queries.
    """
    flat = ids.reshape(-1, ids.shape[-2] * ids.shape[-1])
    columns = torch.zeros(*flat.shape, 4, dtype=torch.int64)
    shares = torch.zeros(*flat.shape, 4)
    keys: list[Tensor] = []
    covered, first = torch.zeros(flat.shape, dtype=torch.bool), 0
    for block in known.blocks:
        inside = (flat >= block.start) & (flat < block.start + block.count)
        if block.sampled is None or not bool(inside.any()):
            continue
        grid = block.sampled.grid.flatten(1, -2)
        number = (flat - block.start).clamp(0, block.count - 1)
        slices, place = number // grid.shape[1], number % grid.shape[1]
        own = slices.masked_fill(~inside, -1).amax(1)
        if bool((own < 0).any()) or bool(((slices != own[:, None]) & inside).any()):
            return None
        around, parts = _find_around(block.sampled, slices[inside], place[inside])
        columns[inside], shares[inside] = around + first, parts.float()
        tokens = block.sampled.tokens.flatten(1)
        keys.append(tokens[own])
        covered, first = covered | inside, first + tokens.shape[1]
    if not keys or not bool(covered.all()):
        return None
    lead, last = ids.shape[:-2], (ids.shape[-2], ids.shape[-1] * 4)
    found = torch.cat(keys, 1)
    return found.view(*lead, -1), columns.view(*lead, *last), shares.view(*lead, *last)


def _find_around(sampling: Sampling, slices: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """The four cells around each place, (places, 4), and the share of each: 0 of those outside."""
    rows, columns = sampling.tokens.shape[1:]
    at = sampling.grid.flatten(1, -2)[slices, place]
    x, y = (_scale(at[:, axis], size, sampling) for axis, size in ((0, columns), (1, rows)))
    cells, shares = [], []
    for down in (0, 1):
        for right in (0, 1):
            row, column = y.floor() + down, x.floor() + right
            share = (1 - (y - row).abs()) * (1 - (x - column).abs())
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            cells.append(row.clamp(0, rows - 1).long() * columns + column.clamp(0, columns - 1).long())
            shares.append(share.where(inside, torch.zeros_like(share)))
    return torch.stack(cells, 1), torch.stack(shares, 1)


def _scale(at: Tensor, size: int, sampling: Sampling) -> Tensor:
    """From -1 to 1 into the numbers of cells."""
    found = (at + 1) / 2 * (size - 1) if sampling.corners else ((at + 1) * size - 1) / 2
    return found.clamp(0, size - 1) if sampling.border else found
