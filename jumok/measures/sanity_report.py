"""The sanity checks of several methods on one model, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jumok.language import later, later_count
from jumok.measures.printed import Printed
from jumok.measures.report import show_interval
from jumok.measures.sanity_card import CHECKS, TITLES, SanityCard

__all__ = ["SanityReport"]


@dataclass(frozen=True, repr=False)
class SanityReport(Printed):
    """What the checks found.

    Args:
        cards: one for each method, all with the same limits and intervals.
    """

    cards: Sequence[SanityCard]

    def summary(self) -> str:
        """One line that says what the figures are means of."""
        counts = sorted({card.inputs for card in self.cards})
        inputs = later_count(counts[0], "{count} image", "{count} images")
        if len(counts) > 1:
            inputs = later("{low} to {high} images", low=str(counts[0]), high=str(counts[-1]))
        level = f"{self.cards[0].level:.0%}"
        return later("sanity checks on {inputs}; {level} bootstrap intervals", inputs=inputs, level=level)

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return (later("map"), *(check.short for check in CHECKS.values()))

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method."""
        return [(card.method, *(self._cell(card, name) for name in CHECKS)) for card in self.cards]

    def _cell(self, card: SanityCard, check: str) -> str:
        found = card.checks[check]
        return later("all constant") if found is None else show_interval(found, places=2)

    def verdicts(self) -> list[str]:
        """One line for each method: what it fails and what that means, and what it passes."""
        return [card.verdict() for card in self.cards]

    def conclusions(self) -> list[str]:
        """The verdicts."""
        return self.verdicts()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        first = self.cards[0]
        return {
            "summary": self.summary(),
            "titles": dict(TITLES),
            "verdicts": self.verdicts(),
            "limits": {name: first.limit(name) for name in CHECKS},
            "bootstrap": {"level": first.level, "resamples": first.resamples, "seed": first.seed},
            "methods": {card.method: self._of_method(card) for card in self.cards},
        }

    def _of_method(self, card: SanityCard) -> dict[str, Any]:
        own = card.to_dict()
        passed = {name: card.passes(name) for name in CHECKS}
        return {"checks": own["checks"], "passes": passed, "layers": own["layers"], "inputs": card.inputs}
