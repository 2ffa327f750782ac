"""All feature selectors by name, and selection of columns in batches of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from jumok.attention import Features, One, Scale
from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.selection.columns_in_turn import JMI, MRMR
from jumok.mechanisms.selection.selector import Selector
from jumok.mechanisms.selection.single_columns import AnovaF, FisherScore, MutualInformation
from jumok.watching.watchers import report

METHODS: Mapping[str, Callable[..., Selector]] = {
    "fisher": FisherScore,
    "anova": AnovaF,
    "mutual-information": MutualInformation,
    "mrmr-fcd": partial(MRMR, criterion="FCD"),
    "mrmr-fcq": partial(MRMR, criterion="FCQ"),
    "mrmr-mid": partial(MRMR, criterion="MID"),
    "mrmr-miq": partial(MRMR, criterion="MIQ"),
    "jmi": JMI,
}
"""All ways to select, by the names that people type."""


def select(tables: Tensor, target: Tensor, selector: Selector) -> Tensor:
    """Keep the chosen columns of each table of a batch, and tell watchers of the mask.

    Args:
        tables: (batch, rows, features), finite.
        target: (batch, rows), classes or numbers.
        selector: says how to choose; a fresh copy is fitted to each table.
    Returns:
        (batch, rows, k), the columns kept in their own order.
    Raises:
        JumokError: shapes do not fit, or a table that the selector refuses.

    >>> tables, target = torch.tensor([[[0.0, 5.0], [1.0, 6.0], [0.0, 0.0], [1.0, 1.0]]]), torch.tensor([[0, 0, 1, 1]])
    >>> select(tables, target, FisherScore(k=1)).flatten()
    tensor([5., 6., 0., 1.])
    """
    found = masks(tables, target, selector)
    report(found, (One("target"), Features.numbered(tables.shape[2])), Scale.MASK)
    kept = found[:, 0].nonzero()[:, 1].view(len(tables), 1, -1)
    return tables.gather(2, kept.expand(-1, tables.shape[1], -1))


def masks(tables: Tensor, target: Tensor, selector: Selector) -> Tensor:
    """Which columns of each table are kept: (batch, 1, features), 1 or 0; arguments as for `select`."""
    if tables.dim() != 3 or target.shape != tables.shape[:2]:
        raise JumokError(
            f"tables have shape {tuple(tables.shape)} and target {tuple(target.shape)}, wanted (batch, rows, features) "
            "and (batch, rows)"
        )
    pairs = zip(tables.numpy(force=True), target.numpy(force=True), strict=True)
    found = np.stack([clone(selector).fit(table, own).get_support() for table, own in pairs])
    return torch.from_numpy(found)[:, None].to(tables)


def example() -> Example:
    """Two small tables of two classes, of which the third and fifth column tell."""
    target = torch.arange(24).expand(2, -1) % 2
    tables = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(0))
    tables[0, :, 2] += 3 * target[0]
    tables[1, :, 4] += 3 * target[1]
    selector = MRMR(k=2)
    return Example(
        output=partial(select, selector=selector),
        weights=partial(masks, selector=selector),
        inputs={"tables": tables, "target": target},
        wrong={"tables": torch.zeros(2, 23, 6), "target": torch.zeros(2, 24, 1)},
        scale=Scale.MASK,
        hard=True,
    )
