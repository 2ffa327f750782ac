"""Train models that attend, see where they attend, and measure whether that can be believed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jumok.attention import (
        AttentionMap,
        Axis,
        Channels,
        Features,
        Glimpses,
        One,
        Patches,
        Pixels,
        Sampled,
        Scale,
        Steps,
        Tokens,
    )
    from jumok.errors import JumokError
    from jumok.tasks.running.run import Run, load
    from jumok.watching.seen import watch

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
    "AttentionMap Axis Channels Features Glimpses One Patches Pixels Sampled Scale Steps Tokens": "jumok.attention",
    "JumokError": "jumok.errors",
    "Run load": "jumok.tasks.running.run",
    "watch": "jumok.watching.seen",
}
_HOME_OF = {name: home for names, home in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import jumok` stays quick."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jumok' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
