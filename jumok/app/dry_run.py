"""What a training would be and take, found out without writing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.durations import format_duration
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.tasks.running.prepared import Prepared

__all__ = ["Foreseen", "foresee"]

COPIES = 4
"""Of the weights while they learn: themselves, their gradients, and the two averages of AdamW."""
BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Foreseen:
    """A training that did not take place.

    Args:
        out: where it would be written.
        about: data, model and length, in a line.
        remarks: on what was found and chosen.
        parameters: weights of the model.
        epochs, steps: of the whole training.
        step, validation: seconds of one.
        memory: bytes of weights, gradients and the optimiser's averages, without data and activations.
        peak: bytes that this process held at most while steps were timed; None where that is not known.
        free: whether the folder could be written to.
    """

    out: Path
    about: str
    remarks: Sequence[str]
    parameters: int
    epochs: int
    steps: int
    step: float
    validation: float
    memory: int
    peak: int | None
    free: bool

    @property
    def seconds(self) -> float:
        """Of all steps and validations."""
        return self.steps * self.step + self.epochs * self.validation

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": str(self.out),
            "free": self.free,
            "parameters": self.parameters,
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds_per_step": self.step,
            "seconds_per_validation": self.validation,
            "seconds": self.seconds,
            "bytes_of_weights": self.memory,
            "bytes_at_most": self.peak,
            "remarks": list(self.remarks),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from self.remarks
        yield self.about
        yield (
            f"time foreseen: {format_duration(self.seconds)}: {write_count(self.steps, 'step')} of "
            f"{1000 * self.step:.0f} ms, {write_count(self.epochs, 'validation')} of "
            f"{format_duration(self.validation) if self.validation >= 1 else '< 1 s'}"
        )
        peak = "" if self.peak is None else f"; this process held {self.peak / 1e6:,.0f} MB at most in a few steps"
        yield f"memory: {self.memory / 1e6:,.1f} MB for weights, gradients and optimiser{peak}"
        taken = "" if self.free else ", which is not empty: choose another --out"
        yield f"nothing was trained or written; the run would be {self.out}{taken}"


def foresee(prepared: Prepared, out: Path) -> Foreseen:
    """Time a few steps of what was prepared.

    Args:
        prepared: with everything settled.
        out: folder of the run.
    """
    from jumok.tasks.running.time_plan import measure_speed

    speed, module = measure_speed(prepared), prepared.module()
    size = module.size
    learnt = sum(value.numel() for value in module.model.parameters() if value.requires_grad)
    return Foreseen(
        out,
        prepared.about(size),
        prepared.remarks,
        size,
        prepared.training.epochs,
        prepared.steps,
        speed.step,
        speed.validation,
        BYTES_PER_WEIGHT * (size + (COPIES - 1) * learnt),
        _find_peak(),
        not out.exists() or (out.is_dir() and not any(out.iterdir())),
    )


def _find_peak() -> int | None:
    """The most memory that this process has held, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
