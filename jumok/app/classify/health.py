"""The health of a classifier's attention: what speaks against reading it as a map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.language import later

if TYPE_CHECKING:
    from jumok.measures.health import Health
    from jumok.measures.health_card import HealthCard
    from jumok.tasks.classify.any_classifier import AnyClassifier
    from jumok.tasks.classify.attended_layers import Layer

__all__ = ["IMAGES", "read_health", "tell_health"]

IMAGES = 32
"""At most: what is found changes little with more."""
AT_ONCE = 4
"""Images whose weights in one layer are held together."""


def read_health(model: AnyClassifier, paths: Sequence[Path]) -> HealthCard | None:
    """Look at the attention of every layer on some images.

    Args:
        model: any classifier.
        paths: of the images; the first `IMAGES` are looked at.
    Returns:
        what was seen; None of a model in which the patches of an image do not attend to each other.
    Raises:
        JumokError: an image that cannot be read.
    """
    from jumok.data.images.batches import take_turns
    from jumok.data.images.reading import read_image
    from jumok.tasks.classify.attended_layers import read_layers

    health: Health | None = None
    for some in take_turns(list(paths)[:IMAGES], AT_ONCE):
        for layer in read_layers(model, [read_image(path, bits=model.bits) for path in some]):
            health = health or _begin(layer)
            health.add(layer.attention.source, layer.attention.weights, norms=layer.norms, values=layer.values)
    return None if health is None else health.report()


def _begin(layer: Layer) -> Health:
    from jumok.attention import Patches
    from jumok.measures.health import Health

    keys = layer.attention.keys
    assert isinstance(keys, Patches)
    special = range(len(keys.special))
    return Health(special=special, cls=keys.special.index("cls") if "cls" in keys.special else None)


def tell_health(card: HealthCard) -> list[str]:
    """A line for each thing that speaks against reading attention as a map, or one that says that nothing does."""
    nothing = later("nothing speaks against reading attention as a map ({what})", what=card.summary())
    return [later("health: {line}", line=line) for line in card.warnings() or [nothing]]
