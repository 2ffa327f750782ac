"""The health card of a model's attention: what was seen layer by layer, and what is worth a warning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from jumok.language import later, later_count
from jumok.measures.printed import Printed
from jumok.measures.sinks import Limits

__all__ = ["HealthCard", "LayerHealth"]


@dataclass(frozen=True)
class LayerHealth:
    """What was seen in one layer, means over inputs.

    Args:
        name: of the layer.
        inputs: how many were seen.
        sinks: tokens per input that are sinks, without special ones.
        special_sinks: special tokens that are sinks in half of the inputs or more, by index.
        with_sinks: share of inputs that have one.
        cls_on_sinks: share of the weight of `cls` (without one: of all queries) that lies on them.
        places: the most frequent sinks, by index.
        outliers: tokens per input of outlying norm; None: no norms were given.
        entropy: by head, share of the greatest that there can be.
        same: by head, share of the pattern that is the same for all inputs, 1 - variance / energy.
        alike: by head, how alike the rows of different queries are, 1: all look at the same tokens.
    """

    name: str
    inputs: int
    sinks: float
    special_sinks: tuple[int, ...]
    with_sinks: float
    cls_on_sinks: float
    places: tuple[int, ...]
    outliers: float | None
    entropy: tuple[float, ...]
    same: tuple[float, ...]
    alike: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class HealthCard(Printed):
    """What was seen in all layers, and what is worth a warning.

    Args:
        layers: in the order in which they were added.
        agreement: (layers, layers) rank correlation of what `cls` looks at, mean over inputs.
        limits: of the warnings.
        special, cls: as for `Health`.
    """

    layers: tuple[LayerHealth, ...]
    agreement: tuple[tuple[float, ...], ...]
    limits: Limits
    special: tuple[int, ...]
    cls: int | None

    def summary(self) -> str:
        """One line that says what was looked at."""
        count = max(layer.inputs for layer in self.layers)
        layers = later_count(len(self.layers), "{count} layer", "{count} layers")
        inputs = later_count(count, "{count} image", "{count} images")
        return later("attention of {layers} on {inputs}", layers=layers, inputs=inputs)

    def warnings(self) -> list[str]:
        """One line for each thing that speaks against reading attention as a map, with its limit."""
        return [line for line in (self._sinks(), self._outliers(), *self._heads(), self._disagreement()) if line]

    def _sinks(self) -> str:
        hidden = [layer for layer in self.layers if layer.cls_on_sinks >= self.limits.sinks_weight]
        some = [layer for layer in self.layers if layer.with_sinks >= 0.5]
        if not some and not hidden:
            return ""
        worst = max(hidden or some, key=lambda layer: layer.cls_on_sinks)
        return later(
            "attention sinks in {some} of {layers} ({queries} of queries weigh it {times} times the middle token); "
            "{layer}: {share} of the weight of {who} lies on them: compare maps with and without them",
            some=str(len(some)),
            layers=later_count(len(self.layers), "{count} layer", "{count} layers"),
            queries=f"{self.limits.sink_queries:.0%}",
            times=f"{self.limits.sink_times:g}",
            layer=worst.name,
            share=f"{worst.cls_on_sinks:.0%}",
            who="cls" if self.cls is not None else later("the mean query"),
        )

    def _outliers(self) -> str:
        found = [layer for layer in self.layers if layer.outliers]
        if not found:
            return ""
        worst = max(found, key=lambda layer: layer.outliers or 0)
        return later(
            "tokens of outlying norm (over {times} times the median) in {layers}, {each} per input in {layer}: "
            "they hold no local information",
            times=f"{self.limits.outlier_times:g}",
            layers=later_count(len(found), "{count} layer", "{count} layers"),
            each=f"{worst.outliers:.1f}",
            layer=worst.name,
        )

    def _heads(self) -> list[str]:
        spread = sum(share >= self.limits.spread for layer in self.layers for share in layer.entropy)
        fixed = sum(share >= self.limits.position for layer in self.layers for share in layer.same)
        total = sum(len(layer.entropy) for layer in self.layers)
        lines: list[str] = []
        if spread:
            lines.append(
                later_count(
                    spread,
                    "{count} of {all} heads looks at everything alike (entropy over {share})",
                    "{count} of {all} heads look at everything alike (entropy over {share})",
                    all=str(total),
                    share=f"{self.limits.spread:.0%}",
                )
            )
        if fixed > spread:
            lines.append(
                later_count(
                    fixed,
                    "{count} of {all} heads looks at positions, whatever the input "
                    "({share} of the pattern is the same for all inputs)",
                    "{count} of {all} heads look at positions, whatever the input "
                    "({share} of the pattern is the same for all inputs)",
                    all=str(total),
                    share=f"{self.limits.position:.0%}",
                )
            )
        same = sum(share >= self.limits.alike for layer in self.layers for share in layer.alike)
        if same > spread:
            lines.append(
                later_count(
                    same,
                    "{count} of {all} heads has all queries look at the same tokens (over {share})",
                    "{count} of {all} heads have all queries look at the same tokens (over {share})",
                    all=str(total),
                    share=f"{self.limits.alike:.0%}",
                )
            )
        return lines

    def _disagreement(self) -> str:
        pairs = [(self.agreement[i][i + 1], i) for i in range(len(self.layers) - 1)]
        known = [(value, i) for value, i in pairs if not np.isnan(value)]
        if not known or min(known)[0] >= self.limits.agreement:
            return ""
        value, i = min(known)
        return later(
            "neighbouring layers look elsewhere: rank correlation {value} between {one} and {other}: "
            "one layer is no map",
            value=f"{value:z.2f}",
            one=self.layers[i].name,
            other=self.layers[i + 1].name,
        )

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        sinks = (later("sinks per input"), later("weight on sinks"), later("outliers per input"))
        heads = (later("entropy"), later("fixed heads"), later("queries alike"), later("agrees with next"))
        return (later("layer"), *sinks, *heads)

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each layer."""
        return [self._row(number, layer) for number, layer in enumerate(self.layers)]

    def _row(self, number: int, layer: LayerHealth) -> tuple[str, ...]:
        following = self.agreement[number][number + 1] if number + 1 < len(self.layers) else float("nan")
        fixed = sum(share >= self.limits.position for share in layer.same)
        return (
            layer.name,
            f"{layer.sinks:.1f}",
            f"{layer.cls_on_sinks:.0%}",
            "-" if layer.outliers is None else f"{layer.outliers:.1f}",
            f"{np.mean(layer.entropy):.2f}",
            later("{some} of {all}", some=str(fixed), all=str(len(layer.same))) if layer.same else "-",
            f"{np.mean(layer.alike):.2f}",
            "-" if np.isnan(following) else f"{following:z.2f}",
        )

    def conclusions(self) -> list[str]:
        """The warnings."""
        return self.warnings()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; agreement that is not known is None."""
        return {
            "warnings": self.warnings(),
            "limits": dataclasses.asdict(self.limits),
            "special": list(self.special),
            "cls": self.cls,
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "agreement": [[None if np.isnan(value) else value for value in row] for row in self.agreement],
        }
