"""Notice routers: a softmax over experts for each token, of which the largest are chosen, as in mixtures of experts."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Scale, Tokens
from jumok.watching.provenance.identities import Identities

CHOOSING_CALLS: tuple[Callable[..., Any], ...] = (torch.topk, Tensor.topk)
MOST_EXPERTS = 512
"""More things than that to choose among are the words of a vocabulary."""


@dataclass(frozen=True)
class Routed:
    """The shares of experts, as a model formed them.

    Args:
        module: path of the router.
        weights: (..., experts), a copy.
    """

    module: str
    weights: Tensor


class Choices:
    """What was chosen before a softmax went over it."""

    def __init__(self) -> None:
        self._last: tuple[weakref.ref[Tensor], Tensor, int] | None = None

    def keep(self, scores: Tensor, chosen: Any) -> None:
        """Remember which scores were the largest."""
        values, places = chosen
        self._last = weakref.ref(values), places, scores.shape[-1]

    def spread(self, chosen: object, weights: Tensor) -> Tensor | None:
        """Weights of the chosen as weights of all, 0 for the rest; None where nothing was chosen before."""
        if self._last is None or self._last[0]() is not chosen:
            return None
        _, places, count = self._last
        return weights.new_zeros(*weights.shape[:-1], count).scatter(-1, places, weights)


def may_route(weights: Tensor) -> bool:
    """Whether weights may be those of experts."""
    return weights.dim() >= 2 and 1 < weights.shape[-1] <= MOST_EXPERTS


def make_maps(
    routed: Sequence[Routed], rows: Mapping[int, Tensor], known: Identities, name: Callable[[Tensor], Axis]
) -> dict[str, AttentionMap]:
    """The maps of routers, by their modules.

    Args:
        routed: what was noted.
        rows: identities of the tokens that were routed, by the number of what was noted; of routers only.
        known: the table of identities.
        name: gives the axis of (batch, tokens) of identities.
    """
    found: dict[str, AttentionMap] = {}
    for number, tokens in sorted(rows.items()):
        each = routed[number]
        count = each.weights.shape[-1]
        batch = _count_items(known, tokens)
        weights = each.weights.float().reshape(batch, -1, count)
        experts = Tokens(tuple(f"expert {expert}" for expert in range(count)))
        whole = bool(torch.allclose(weights.sum(-1), weights.new_ones(()), atol=1e-3))
        again = sum(known_name.partition("@")[0] == each.module for known_name in found)
        title = f"{each.module}@{again + 1}" if again else each.module
        scale = Scale.DISTRIBUTION if whole else Scale.SCORE
        axis = name(tokens.reshape(batch, -1))
        found[title] = AttentionMap(weights, axis, experts, ("batch",), scale, f"router of {title}")
    return found


def _count_items(known: Identities, tokens: Tensor) -> int:
    """How many items of the batch the tokens are of, one after the other; 1 where that is not known."""
    item = known.origin(tokens.reshape(-1)).item
    count = len(item.unique())
    if bool((item < 0).any()) or len(item) % count:
        return 1
    split = item.view(count, -1)
    return count if bool((split == split[:, :1]).all()) else 1
