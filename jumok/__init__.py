"""Train attention models, see where they look, and measure whether those maps can be trusted."""

from __future__ import annotations

import sys as _sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jumok.extras import explain_missing as _explain_missing
from jumok.version import __version__ as __version__

if TYPE_CHECKING:
    from jumok.app.drawing import draw, show
    from jumok.app.engine.looker import Looker
    from jumok.attention import (
        AttentionMap,
        Axis,
        Channels,
        Features,
        Glimpses,
        Interleaved,
        One,
        Patches,
        Pixels,
        Regions,
        Sampled,
        Scale,
        Steps,
        Tokens,
    )
    from jumok.errors import JumokError
    from jumok.measures.agreement import Agreement
    from jumok.measures.alignment_error import AlignmentMeter
    from jumok.measures.faithfulness import faithfulness
    from jumok.measures.faithfulness_meter import FaithfulnessMeter
    from jumok.measures.localisation_meter import LocalisationMeter
    from jumok.mechanisms.saliency import saliency
    from jumok.mechanisms.selection import JMI, MRMR, AnovaF, FisherScore, MutualInformation
    from jumok.tasks.running.run import Run, load
    from jumok.watching.pixel_tracing import trace_pixels
    from jumok.watching.seen import Seen
    from jumok.watching.watch import watch

__all__ = [
    "JMI",
    "MRMR",
    "Agreement",
    "AlignmentMeter",
    "AnovaF",
    "AttentionMap",
    "Axis",
    "Channels",
    "FaithfulnessMeter",
    "Features",
    "FisherScore",
    "Glimpses",
    "Interleaved",
    "JumokError",
    "LocalisationMeter",
    "Looker",
    "MutualInformation",
    "One",
    "Patches",
    "Pixels",
    "Regions",
    "Run",
    "Sampled",
    "Scale",
    "Seen",
    "Steps",
    "Tokens",
    "draw",
    "faithfulness",
    "load",
    "saliency",
    "show",
    "trace_pixels",
    "watch",
]

_HOMES = {
    "jumok.app.drawing": "draw show",
    "jumok.app.engine.looker": "Looker",
    "jumok.attention": "AttentionMap Axis Channels Features Glimpses Interleaved One Patches Pixels Regions Sampled "
    "Scale Steps Tokens",
    "jumok.errors": "JumokError",
    "jumok.measures.agreement": "Agreement",
    "jumok.measures.alignment_error": "AlignmentMeter",
    "jumok.measures.faithfulness": "faithfulness",
    "jumok.measures.faithfulness_meter": "FaithfulnessMeter",
    "jumok.measures.localisation_meter": "LocalisationMeter",
    "jumok.mechanisms.saliency": "saliency",
    "jumok.mechanisms.selection": "AnovaF FisherScore JMI MRMR MutualInformation",
    "jumok.tasks.running.run": "Run load",
    "jumok.watching.pixel_tracing": "trace_pixels",
    "jumok.watching.seen": "Seen",
    "jumok.watching.watch": "watch",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import jumok` stays quick."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jumok' has no attribute {name!r}", name=name, obj=_sys.modules[__name__])
    try:
        return getattr(import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        if missing := _explain_missing(error):
            raise ModuleNotFoundError(f"jumok.{name}: {missing}", name=error.name) from error
        raise


def __dir__() -> list[str]:
    """What is meant to be used; `from jumok import ...` of anything else is of the inside."""
    return sorted([*__all__, "__version__"])
