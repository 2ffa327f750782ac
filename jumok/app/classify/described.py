"""What a classifier from elsewhere takes, what it tells apart, and which methods can tell where it looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jumok.app.session import Session
from jumok.app.telling import tell
from jumok.errors import JumokError
from jumok.language import later, translate
from jumok.wording import describe_names

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jumok.attention.frames import Frame
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["Described", "describe"]

EXAMPLE = (480, 640)
"""Height and width of an image by which it is said what a model sees of one."""
UNLISTED = frozenset({"random", "relevance"})
"""A baseline, and chefer by another name."""


@dataclass(frozen=True)
class Described:
    """A classifier from elsewhere.

    Args:
        name: of it.
        kind: of network.
        weights: how many.
        size: (height, width) of what it is given of a square image.
        mean, std: of the normalisation, of red, green and blue.
        preparation: what is done to an image before, in words.
        seen: what it sees of an image of `EXAMPLE` pixels, in words.
        answers: what it answers, in words.
        classes: names.
        methods: by name, why one does not fit; empty: it does.
        grey: whether it is given one channel.
    """

    name: str
    kind: str
    weights: int
    size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]
    preparation: str
    seen: str
    answers: str
    classes: Sequence[str]
    methods: Mapping[str, str]
    grey: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "system": self.name,
            "model": self.kind,
            "weights": self.weights,
            "image_size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "channels": 1 if self.grey else len(self.mean),
            "preparation": self.preparation,
            "seen": self.seen,
            "answers": self.answers,
            "classes": list(self.classes),
            "methods": [{"method": name, "fits": not why, "why": why} for name, why in self.methods.items()],
        }

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.table import Table
        from rich.text import Text

        from jumok.tasks.foreign_models import remark_unnamed

        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        yield f"{self.name}: {self.kind}, {self.weights / 1e6:.2f} million weights"
        preparation, seen, answers = translate(self.preparation), translate(self.seen), tell(self.answers)
        yield f"images: {preparation}; the model is given {self.size[0]} x {self.size[1]} pixels"
        yield f"of an image of {EXAMPLE[0]} x {EXAMPLE[1]} (height x width) it sees {seen}"
        if self.grey:
            mean, std = mean.partition(",")[0], std.partition(",")[0]
            yield f"given as grey, normalised by mean {mean} and standard deviation {std} (in [0, 1])"
        else:
            yield f"normalised by mean {mean} and standard deviation {std} (red, green, blue in [0, 1])"
        yield f"answers: {answers}"
        names = describe_names(self.classes, "class", "classes")
        if len(self.classes) > 1 and not self.answers.endswith(names.partition(": ")[2]):
            yield names
        yield from (f"remark: {remark}" for remark in remark_unnamed(self.classes))
        table = Table(title="Methods that tell where it looks", title_justify="left")
        for number, heading in enumerate((translate("method"), translate("fits"), translate("why"))):
            table.add_column(heading, no_wrap=number < 2)
        for name, why in self.methods.items():
            table.add_row(name, translate("no") if why else translate("yes"), Text(tell(why)))
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
    given = model.preparation
    return Described(
        name,
        type(model.model).__name__,
        weights,
        given.size,
        given.mean,
        given.std,
        given.described,
        describe_seen(given.frame(*EXAMPLE)),
        model.kind.summary(),
        model.classes,
        try_methods(model),
        given.channels == 1,
    )


def describe_seen(frame: Frame | None) -> str:
    """What a model is given of an image of `EXAMPLE` pixels.

    >>> describe_seen(None), describe_seen((0.0, 0.125, 1.0, 0.875)), describe_seen((-0.5, 0.0, 1.5, 1.0))
    ('all', 'rows 0 to 480, columns 80 to 560', 'all, with margins around it')
    """
    if frame is None:
        return later("all")
    top, left, bottom, right = (min(max(edge, 0.0), 1.0) for edge in frame)
    height, width = EXAMPLE
    part = later("all")
    if (top, left, bottom, right) != (0, 0, 1, 1):
        edges = {"top": top * height, "bottom": bottom * height, "left": left * width, "right": right * width}
        values = {name: f"{edge:.0f}" for name, edge in edges.items()}
        part = later("rows {top} to {bottom}, columns {left} to {right}", **values)
    return part if (top, left, bottom, right) == frame else later("{part}, with margins around it", part=part)


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
