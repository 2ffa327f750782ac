"""What a classifier from elsewhere takes, what it tells apart, and which methods can tell where it looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.wording import describe_names

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["Described", "describe"]

UNLISTED = frozenset({"random", "relevance"})
"""A baseline, and chefer by another name."""


@dataclass(frozen=True)
class Described:
    """A classifier from elsewhere.

    Args:
        name: of it.
        kind: of network.
        weights: how many.
        size: (height, width) that images are stretched to.
        mean, std: of the normalisation.
        own: what its own preprocessing does otherwise; empty where it is not known.
        classes: names.
        methods: by name, why one does not fit; empty: it does.
    """

    name: str
    kind: str
    weights: int
    size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]
    own: str
    classes: Sequence[str]
    methods: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "system": self.name,
            "model": self.kind,
            "weights": self.weights,
            "image_size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "own_preprocessing": self.own,
            "classes": list(self.classes),
            "methods": [{"method": name, "fits": not why, "why": why} for name, why in self.methods.items()],
        }

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.table import Table
        from rich.text import Text

        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        yield f"{self.name}: {self.kind}, {self.weights / 1e6:.2f} million weights"
        yield f"images: stretched to {self.size[0]} x {self.size[1]} pixels, not cropped, so that maps cover them"
        if self.own:
            yield f"its own preprocessing: {self.own}; its answers may differ a little from those"
        yield f"normalised by mean {mean} and standard deviation {std}"
        yield describe_names(self.classes, "class", "classes")
        table = Table(title="Methods that tell where it looks", title_justify="left")
        for heading in ("method", "fits", "why"):
            table.add_column(heading, no_wrap=heading != "why")
        for name, why in self.methods.items():
            table.add_row(name, "no" if why else "yes", Text(why))
        yield table


def describe(name: str, session: Session) -> Described:
    """Open a model and try each quick method on two images of noise; those of many passes fit any model.

    Args:
        name: "hf:..." or "timm:...".
        session: of the command.
    Raises:
        JumokError: it cannot be opened.
    """
    from jumok.tasks.classify.any_classifier import open_model

    model = open_model(name, session.device)
    weights = sum(each.numel() for each in model.model.parameters())
    kind = type(model.model).__name__
    return Described(
        name, kind, weights, model.size, model.mean, model.std, model.own, model.classes, try_methods(model)
    )


def try_methods(model: AnyClassifier) -> dict[str, str]:
    """Why each method does not fit a model; empty where it does."""
    import torch

    from jumok.tasks.classify.looking import METHODS, SLOW, explain

    noise = torch.rand(2, 3, *model.size, generator=torch.Generator().manual_seed(0))
    pixels = model.normalise((noise * 255).to(torch.uint8))
    targets, reasons = torch.zeros(2, dtype=torch.int64), {}
    for method in (name for name in METHODS if name not in UNLISTED):
        reasons[method] = ""
        if method in SLOW:
            continue
        try:
            explain(model, pixels, targets, method)
        except JumokError as error:
            reasons[method] = str(error).removeprefix(f"{method}: ")
    return reasons
