"""The card of a run: what it is, from what it was made, how good it is, when and with what."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jumok.files import write_atomically
from jumok.tasks.config import RunConfig
from jumok.tasks.fit import Outcome

PACKAGES = ("torch", "pytorch-lightning", "safetensors", "pillow", "numpy")


def write_card(path: Path, config: RunConfig, outcome: Outcome, parameters: int) -> None:
    """Write card.md.

    Raises:
        JumokError: it cannot be written.
    """
    write_atomically(path, card(path.parent.resolve().name, config, outcome, parameters))


def card(name: str, config: RunConfig, outcome: Outcome, parameters: int) -> str:
    """The text, in Markdown."""
    found, training, best, clock = config.found, config.training, outcome.best, outcome.clock
    size = " x ".join(str(side) for side in config.size)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"# {name}",
        "",
        f"A {config.system} of {parameters:,} weights that tells {_listed(found.classes)} apart, "
        f"in images of {size} pixels.",
        "",
        "| | |",
        "|---|---|",
        f"| images | {config.data.images}: {_counts(found.counts)} |",
        f"| kept weights | {'averaged, ' if training.ema else ''}of epoch {best['epoch']:.0f} of {len(outcome.rows)} |",
        f"| validation accuracy | {best['val_accuracy']:.4f} |",
        f"| validation loss | {best['val_loss']:.4f} |",
        f"| settings | batch {training.batch_size}, learning rate {training.lr:g}, seed {training.seed}; "
        "all in config.yaml |",
        f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |",
        f"| wall time | {_duration(clock.wall)} on {outcome.device}, CPU threads: {training.threads} |",
        f"| speed | {clock.rate:,.0f} images/s in training; {clock.share_waiting:.1%} of it waiting for data |",
        f"| versions | jumok {config.jumok}, Python {platform.python_version()}, {versions} |",
        "",
        "The validation images chose the epoch that was kept, so its figures flatter; images that no one has used say",
        "more: `jumok eval`. Use it with `jumok.load(...)`.",
        "",
    ]
    return "\n".join(lines)


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {part}" for part, count in counts.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
