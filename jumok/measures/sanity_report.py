"""The sanity checks of several methods on one model, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jumok.measures.sanity_card import CHECKS, TITLES, SanityCard
from jumok.wording import write_count

__all__ = ["SanityReport"]


@dataclass(frozen=True)
class SanityReport:
    """What the checks found.

    Args:
        cards: one for each method, all with the same limits and intervals.
    """

    cards: Sequence[SanityCard]

    def summary(self) -> str:
        """One line that says what the figures are means of."""
        counts = sorted({card.inputs for card in self.cards})
        inputs = write_count(counts[0], "image") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images"
        return f"sanity checks on {inputs}; {self.cards[0].level:.0%} bootstrap intervals"

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return ("map", *(check.short for check in CHECKS.values()))

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method."""
        return [(card.method, *(self._cell(card, name) for name in CHECKS)) for card in self.cards]

    def _cell(self, card: SanityCard, check: str) -> str:
        found = card.checks[check]
        return "all constant" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"

    def verdicts(self) -> list[str]:
        """One line for each method: what it fails and what that means, and what it passes."""
        return [card.verdict() for card in self.cards]

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
