"""Which of a model's embeddings holds its words, and not the places or kinds that are added to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jumok.watching.calls import Fed

__all__ = ["holds_words"]


def holds_words(model: nn.Module, fed: Sequence[Fed], ids: Tensor, table: Tensor) -> bool:
    """Whether a table was asked for the words that a model was given.

    Places are made by the model itself. Where it was given kinds too, as of two sentences, the table of the words is
    the one that the model says, by `get_input_embeddings` as in transformers.

    Args:
        model: that ran.
        fed: what its embeddings were asked for.
        ids: that the table was asked for.
        table: rows of an embedding.
    """
    given = [each for each in fed if each.given]
    if len({each.table for each in given}) > 1:
        said = _find_said_table(model)
        given = [each for each in given if said is None or each.table == id(said)]
    return any(each.table == id(table) and torch.equal(each.ids, ids) for each in given)


def _find_said_table(model: nn.Module) -> Tensor | None:
    """The table that the model, or the part of it that says so, has its words in."""
    for module in model.modules():
        ask: Any = getattr(module, "get_input_embeddings", None)
        try:
            said = None if ask is None else ask()
        except NotImplementedError:
            continue
        if isinstance(said, nn.Embedding):
            return said.weight
    return None
