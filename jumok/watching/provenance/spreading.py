"""Things that were made of the same tokens, each by weights of its own that are not seen, as a layer over tokens does.

They are features of one token where attention reads them as features, and tokens that were mixed where it reads them
as tokens: which of both they are shows only there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import CONSTANT
from jumok.watching.provenance.shadows import compact


def note_spread(known: Identities, merged: Tensor, why: str) -> None:
    """Note that several things were made of these.

    Args:
        known: the table.
        merged: identities, each of several tokens.
        why: what made them.
    """
    flat = merged.reshape(-1).unique()
    known.spreads.append((flat[flat != CONSTANT], why))


def is_spread(known: Identities, ids: Tensor) -> bool:
    """Whether all of these were noted."""
    if not known.spreads:
        return False
    return bool(torch.isin(compact(ids), torch.cat([noted for noted, _ in known.spreads])).all())


def part_spread(known: Identities, rows: Tensor) -> Tensor:
    """Rows of tokens, (..., tokens), those of which that were noted and stand there several times as unseen."""
    doubled = _find_doubled(rows) if known.spreads else rows.new_zeros(0)
    found = rows
    for noted, why in known.spreads if len(doubled) else ():
        for each in doubled[torch.isin(doubled, noted)].tolist():
            key = (each, why)
            if key not in known.parted:
                known.parted[key] = int(known.unsee(torch.tensor([each]), why))
            found = torch.where(rows == each, known.parted[key], found)
    return found


def _find_doubled(rows: Tensor) -> Tensor:
    """Which identities stand in some row several times."""
    order = rows.sort(-1).values
    again: Tensor = order[..., 1:] == order[..., :-1]
    found: Tensor = order[..., 1:][again].unique()
    return found
