"""What `jumok train` reports of a run whose training has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jumok.tasks.running.fit import Outcome
    from jumok.tasks.running.prepared import Prepared
    from jumok.tasks.running.trust import Trust

__all__ = ["TrainedRun"]


@dataclass(frozen=True)
class TrainedRun:
    """A run whose training has ended.

    Args:
        prepared: what was trained.
        outcome: how it went.
        folder: of the run.
        parameters: numbers that were learnt.
        trust: which of its maps is the most faithful, where that was measured.
    """

    prepared: Prepared
    outcome: Outcome
    folder: Path
    parameters: int
    trust: Trust | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        settings, clock = self.prepared.config, self.outcome.clock
        return {
            "run": str(self.folder),
            "system": settings.system,
            "parameters": self.parameters,
            "epochs": len(self.outcome.rows),
            "best": self.outcome.best,
            "seconds": clock.wall,
            "rate": clock.rate,
            "unit": self.prepared.unit,
            "waiting": clock.share_waiting,
            "device": self.outcome.device,
            "threads": settings.training.threads,
            "remarks": list(self.prepared.remarks),
            "shortfall": self.prepared.shortfall(self.outcome.best),
            "trust": None if self.trust is None else self.trust.model_dump(exclude={"parts"}),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        from jumok.tasks.running.callbacks import PERFECT_VALIDATIONS

        best, clock = self.outcome.best, self.outcome.clock
        epochs, planned = len(self.outcome.rows), self.prepared.training.epochs
        yield f"kept epoch {best['epoch']:.0f} of {epochs}: {self.prepared.reached(best)}"
        if epochs < planned and self.prepared.training.patience is None:
            yield (
                f"ended after {epochs} of {planned} epochs: the last {PERFECT_VALIDATIONS} validations found no error, "
                "and their loss no longer fell"
            )
        if shortfall := self.prepared.shortfall(best):
            yield f"warning: {shortfall}"
        if self.trust is not None:
            yield f"maps: {self.trust.why()}"
        yield (
            f"{clock.rate:,.0f} {self.prepared.unit}/s on {self.outcome.device}; "
            f"{clock.share_waiting:.1%} of the time spent waiting for data"
        )
        yield f"saved in {self.folder}; next: {self.prepared.evaluate_with(self.folder)}"
