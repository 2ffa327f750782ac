"""Is attention of use as a map here? Sinks, outlier tokens, heads that look at positions only, layers that disagree.

The caller hands in one layer's weights after the other, so that those of a whole model are never held at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError
from jumok.measures.health_card import HealthCard, LayerHealth
from jumok.measures.ranks import correlate_ranks
from jumok.measures.sinks import Limits, find_outliers, find_sinks

__all__ = ["Health"]

Floats = NDArray[np.float64]
QUERIES_KEPT = 32  # of each head, for how far its pattern depends on the input
PROFILES_KEPT = 256  # inputs by which layers are compared
ROUNDED = 1e-2  # by how much weights in half precision may miss a sum of 1


class _Layer:
    """Sums over all inputs so far."""

    def __init__(self) -> None:
        self.inputs = self.normed = 0
        self.with_sinks = self.sinks = self.outliers = 0
        self.weight_on_sinks = 0.0
        self.places: Counter[int] = Counter()
        self.entropy: Floats = np.zeros(0)
        self.pattern = torch.zeros(0)
        self.energy = torch.zeros(0)
        self.alike: Floats = np.zeros(0)
        self.profiles: list[Floats] = []


class Health:
    """Looks at attention layer by layer; only sums are kept.

    Args:
        special: indices of tokens that cover no part of the input, such as `cls` and registers.
        cls: the query whose weights are looked at; None: the mean of all queries.
        limits: of the warnings; None: the usual ones.

    >>> health = Health(special=(0,), cls=0)
    >>> weights = torch.softmax(torch.randn(4, 2, 10, 10), -1)
    >>> health.add("layer 0", weights)
    >>> health.report().layers[0].sinks
    0.0
    """

    def __init__(self, *, special: Sequence[int] = (), cls: int | None = None, limits: Limits | None = None) -> None:
        self._special, self._cls = tuple(special), cls
        self._limits = limits or Limits()
        self._layers: dict[str, _Layer] = defaultdict(_Layer)

    def add(self, layer: str, weights: Tensor, *, norms: Tensor | None = None, values: Tensor | None = None) -> None:
        """Take one layer's weights for some inputs; the same inputs' other layers, and further inputs, may follow.

        Args:
            layer: its name.
            weights: (batch, heads, queries, keys); each query's sum to 1.
            norms: (batch, tokens) of what the layer gives out.
            values: (batch, keys), the length of each value, mean over heads; None: sinks are found by weights alone.
        Raises:
            JumokError: another shape, or values that are no weights.
        """
        self._check(layer, weights)
        kept = self._layers[layer]
        weights = weights.detach().float()
        self._count_sinks(kept, weights, values)
        if norms is not None:
            outliers = find_outliers(norms, self._limits)
            kept.outliers += int(outliers.sum())
            kept.normed += len(norms)
        entropy = torch.special.entr(weights).sum(-1).mean(2).sum(0) / np.log(max(2, weights.shape[-1]))
        kept.entropy = _plus(kept.entropy, entropy)
        mean_row = weights.mean(2, keepdim=True)
        apart = (weights - mean_row).abs().sum(-1).mean(2) / 2
        kept.alike = _plus(kept.alike, (1 - apart).sum(0))
        self._add_pattern(kept, weights)
        kept.inputs += len(weights)

    def _check(self, layer: str, weights: Tensor) -> None:
        if weights.dim() != 4 or 0 in weights.shape:
            raise JumokError(f"{layer}: wanted weights (batch, heads, queries, keys), got {tuple(weights.shape)}")
        if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
            raise JumokError(f"{layer}: weights are 0 or more and finite: give them as they are after the softmax")
        wrong = [index for index in (*self._special, self._cls or 0) if not 0 <= index < weights.shape[-1]]
        if wrong:
            raise JumokError(f"{layer}: special token {wrong[0]} is outside its {weights.shape[-1]} keys")
        most = float(weights.sum(-1).max())
        if most > 1 + ROUNDED:
            raise JumokError(
                f"{layer}: the weights of a query sum to {most:.3g}, and the health of attention is that of shares, "
                "which sum to 1: give them as they are after a softmax over keys"
            )

    def _count_sinks(self, kept: _Layer, weights: Tensor, values: Tensor | None) -> None:
        sinks = find_sinks(weights, self._limits, values=values)
        kept.places.update(sinks.nonzero()[:, 1].tolist())
        image = sinks.clone()
        image[:, list(self._special)] = False
        kept.sinks += int(image.sum())
        kept.with_sinks += int(image.any(1).sum())
        row = self._take_row(weights)
        kept.weight_on_sinks += float((row * image).sum())
        held = PROFILES_KEPT - sum(map(len, kept.profiles))
        places = [place for place in range(weights.shape[-1]) if place not in self._special]
        kept.profiles.append(row[: max(0, held), places].double().cpu().numpy())

    def _take_row(self, weights: Tensor) -> Tensor:
        """(batch, keys): whom `cls` looks at, mean over heads; without one, the mean of all queries."""
        mean = weights.mean(1)
        return mean[:, self._cls] if self._cls is not None and self._cls < mean.shape[1] else mean.mean(1)

    def _add_pattern(self, kept: _Layer, weights: Tensor) -> None:
        chosen = torch.linspace(0, weights.shape[2] - 1, min(QUERIES_KEPT, weights.shape[2])).long()
        rows = weights[:, :, chosen.to(weights.device)].cpu()
        if kept.inputs and kept.pattern.shape != rows.shape[1:]:
            raise JumokError(f"a layer's weights changed in shape to {tuple(weights.shape)}: give inputs of one size")
        kept.pattern = rows.sum(0) + (kept.pattern if kept.inputs else 0)
        kept.energy = rows.square().sum((0, 2, 3)) + (kept.energy if kept.inputs else 0)

    def report(self) -> HealthCard:
        """What was seen in all layers so far.

        Raises:
            JumokError: no layer was added.
        """
        if not self._layers:
            raise JumokError("no attention to look at: add a layer's weights at least")
        layers = tuple(self._summarise(name, kept) for name, kept in self._layers.items())
        return HealthCard(layers, self._compare_layers(), self._limits, self._special, self._cls)

    def _summarise(self, name: str, kept: _Layer) -> LayerHealth:
        count = kept.inputs
        constant = (kept.pattern / count).square().sum((1, 2)) * count / kept.energy
        places = [place for place, _ in kept.places.most_common() if place not in self._special]
        special = [place for place in self._special if kept.places[place] >= count / 2]
        return LayerHealth(
            name=name,
            inputs=count,
            sinks=kept.sinks / count,
            special_sinks=tuple(special),
            with_sinks=kept.with_sinks / count,
            cls_on_sinks=kept.weight_on_sinks / count,
            places=tuple(places[:5]),
            outliers=kept.outliers / kept.normed if kept.normed else None,
            entropy=tuple((kept.entropy / count).tolist()),
            same=tuple(constant.tolist()) if count > 1 else (),
            alike=tuple((kept.alike / count).tolist()),
        )

    def _compare_layers(self) -> tuple[tuple[float, ...], ...]:
        """Rank correlation of what `cls` looks at, between all layers of as many tokens; NaN for others."""
        profiles = [np.concatenate(kept.profiles) for kept in self._layers.values()]
        return tuple(tuple(_agree(one, other) for other in profiles) for one in profiles)


def _plus(total: Floats, more: Tensor) -> Floats:
    values: Floats = more.double().cpu().numpy()
    return values if not total.size else total + values


def _agree(one: Floats, other: Floats) -> float:
    if one.shape != other.shape or one.shape[1] < 2:
        return float("nan")
    found = correlate_ranks(one, other)
    known = found[~np.isnan(found)]
    return float(known.mean()) if known.size else float("nan")
