"""Train models that attend, see where they attend, and measure whether that can be believed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jumok.attention import AttentionMap, Scale
    from jumok.axes import Axis, Channels, Features, Glimpses, One, Patches, Pixels, Sampled, Steps, Tokens
    from jumok.errors import JumokError
    from jumok.tasks.run import Run, load
    from jumok.watch import watch

__version__ = "0.1.0"

__all__ = [
    "AttentionMap",
    "Axis",
    "Channels",
    "Features",
    "Glimpses",
    "JumokError",
    "One",
    "Patches",
    "Pixels",
    "Run",
    "Sampled",
    "Scale",
    "Steps",
    "Tokens",
    "load",
    "watch",
]

_HOMES = {
    **dict.fromkeys(("AttentionMap", "Scale"), "jumok.attention"),
    **dict.fromkeys(
        ("Axis", "Channels", "Features", "Glimpses", "One", "Patches", "Pixels", "Sampled", "Steps", "Tokens"),
        "jumok.axes",
    ),
    "JumokError": "jumok.errors",
    **dict.fromkeys(("Run", "load"), "jumok.tasks.run"),
    "watch": "jumok.watch",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import jumok` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jumok' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if name == "watch" else getattr(home, name)  # that module is itself the function


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
