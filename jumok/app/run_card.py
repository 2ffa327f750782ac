"""The card of a run: what it is, from what it was made, how good it is, when and with what."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jumok.durations import format_duration
from jumok.files import write_atomically
from jumok.tasks.running.beginning import describe_begun
from jumok.tasks.running.fit import Outcome
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.trust import Trust
from jumok.version import __version__

PACKAGES = ("torch", "pytorch-lightning", "safetensors", "pillow", "sentencepiece", "numpy")


def write_card(path: Path, prepared: Prepared, outcome: Outcome, parameters: int, trust: Trust | None = None) -> None:
    """Write card.md.

    Raises:
        JumokError: it cannot be written.
    """
    write_atomically(path, format_card(path.parent.resolve().name, prepared, outcome, parameters, trust))


def format_card(name: str, prepared: Prepared, outcome: Outcome, parameters: int, trust: Trust | None = None) -> str:
    """The text, in Markdown."""
    training, best, clock = prepared.training, outcome.best, outcome.clock
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    averaged = "averaged, " if training.ema else ""
    rows = {
        **prepared.facts(best),
        **({"maps": trust.why()} if trust else {}),
        "kept weights": f"{averaged}of epoch {best['epoch']:.0f} of {len(outcome.rows)}",
        "settings": f"learning rate {training.lr:g}, seed {training.seed}; all in config.yaml",
        **({"begun with": describe_begun(begun)} if (begun := prepared.beginning) else {}),
        **({"changes": "; ".join(change.told for change in prepared.changes)} if prepared.changes else {}),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "wall time": f"{format_duration(clock.wall)} on {outcome.device}, CPU threads: {training.threads}",
        "speed": f"{clock.rate:,.0f} {prepared.unit}/s in training; {clock.share_waiting:.1%} of it waiting for data",
        "versions": f"jumok {__version__}, Python {platform.python_version()}, {versions}",
    }
    lines = [
        f"# {name}",
        "",
        prepared.purpose(parameters),
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows.items()),
        "",
        "The validation data chose the epoch that was kept, so its figures flatter; data that no one has used say",
        "more: `jumok eval`. Use it with `jumok.load(...)`.",
        "",
    ]
    return "\n".join(lines)
