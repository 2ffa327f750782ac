"""Whether a classifier's maps depend on the class and on what was learnt, and are stable: sanity checks of methods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jumok.app.measuring import INTERRUPTED
from jumok.durations import format_duration
from jumok.errors import JumokError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from jumok.app.classify.maps import MapMaker
    from jumok.app.partial import PartialFile
    from jumok.attention import AttentionMap
    from jumok.measures.sanity_card import SanityCard, SanityPlan
    from jumok.measures.sanity_report import SanityReport
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["LEAST", "SAMPLES", "STAGES", "check_methods"]

LEAST = 4
"""Images, at least, where there is too little time for all."""
AT_ONCE = 8
"""Images that are explained together, at most."""
SAMPLES, STAGES = 5, 4
"""Noisy copies of each image, and how often maps are compared while the weights become random."""
CARDS = "cards"
"""Of the kept state's key."""


class Checked(NamedTuple):
    """What came of it.

    Args:
        report: of the methods that were checked.
        notes: which methods were not, and why.
        why: the checks ended before all methods had their turn; empty where they did not.
    """

    report: SanityReport
    notes: list[str]
    why: str = ""


class CheckedMethods:
    """The cards of methods, by name, as a `PartialFile` keeps them."""

    def __init__(self) -> None:
        self.cards: dict[str, SanityCard] = {}

    def __len__(self) -> int:
        return len(self.cards)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """All cards, as text."""
        import numpy as np

        values = {method: card.to_dict() for method, card in self.cards.items()}
        return {CARDS: np.array(json.dumps(values))}

    def load_state(self, state: Any) -> None:
        """Go on from what `state` gave.

        Raises:
            KeyError, ValueError: it holds no cards.
        """
        from jumok.measures.sanity_card import SanityCard

        try:
            values = json.loads(str(state[CARDS]))
            self.cards = {method: SanityCard.from_dict(method, card) for method, card in values.items()}
        except (TypeError, AttributeError) as error:
            raise ValueError("no cards") from error


def check_methods(
    maps: MapMaker,
    paths: Sequence[Path],
    *,
    most: int,
    seconds: float | None,
    seed: int,
    tell: Callable[[int, int], None] | None = None,
    kept: PartialFile | None = None,
) -> Checked:
    """Check each method of a model on some images; the model is put back as it was.

    Ctrl-C ends it; the methods that were checked by then are kept.

    Args:
        maps: the model and its methods.
        paths: of the images, of which some are drawn.
        most: images at most; a slow method is checked on fewer, so that it ends in its share of the time.
        seconds: for all methods; None: as long as it takes.
        seed: of all that is drawn.
        tell: called with how many methods were checked, of how many.
        kept: where checked methods are kept meanwhile, and from where checking goes on; it is not removed.
    Raises:
        JumokError: too few images, a model that is no classifier of several classes, or no method could be checked.
        KeyboardInterrupt: no method was checked by then.
    """
    from jumok.measures.sanity_report import SanityReport

    assert maps.model is not None
    images = _prepare(maps.model, paths, most, seed)
    methods = _find_methods(maps, images)
    checked = CheckedMethods()
    if kept is not None:
        kept.restore(checked)
    checking = _Checking(maps.model, images, methods, seed, checked, kept)
    try:
        checking.go(seconds, tell or (lambda done, of: None))
        why = ""
    except KeyboardInterrupt:
        if not checked:
            raise
        if kept is not None:
            kept.write(checked)
        why = INTERRUPTED
    if not checked:
        raise JumokError("; ".join(checking.notes))
    cards = [checked.cards[method] for method in methods if method in checked.cards]
    return Checked(SanityReport(cards), checking.notes, why)


@dataclass
class _Checking:
    """Methods that are checked one after the other.

    Args:
        model, images, methods, seed: what is checked, and how.
        checked: those that were, before and now.
        kept: as for `check_methods`.
        notes: which were not, and why.
    """

    model: AnyClassifier
    images: _Images
    methods: Sequence[str]
    seed: int
    checked: CheckedMethods
    kept: PartialFile | None
    notes: list[str] = field(default_factory=list)

    def go(self, seconds: float | None, tell: Callable[[int, int], None]) -> None:
        """Check those that are left, each in its share of the time that is left."""
        left = [method for method in self.methods if method not in self.checked.cards]
        done = len(self.methods) - len(left)
        ends = None if seconds is None else time.monotonic() + seconds
        for number, method in enumerate(left):
            self._check(method, None if ends is None else (ends - time.monotonic()) / (len(left) - number))
            tell(done + number + 1, len(self.methods))

    def _check(self, method: str, seconds: float | None) -> None:
        try:
            self.checked.cards[method] = _check(self.model, method, self.images, seconds, self.seed)
        except JumokError as error:
            self.notes.append(f"no sanity checks of {_name(method, str(error))}")
            return
        if self.kept is not None:
            self.kept.keep(self.checked)


def _name(method: str, why: str) -> str:
    return why if why.startswith(f"{method}: ") else f"{method}: {why}"


class _Images(NamedTuple):
    """Prepared pixels, (images, 3, height, width), and the classes that the model predicts, (images,)."""

    pixels: Tensor
    targets: Tensor


def _prepare(model: AnyClassifier, paths: Sequence[Path], most: int, seed: int) -> _Images:
    import torch

    from jumok.app.faithful import draw_some
    from jumok.data.images.reading import read_image
    from jumok.measures.image_units import check_outputs

    if len(model.classes) < 2:
        raise JumokError(
            f"sanity checks hold maps of two classes or labels side by side, and {model.name} has one output: leave "
            "out --sanity"
        )
    if len(paths) < 2:
        raise JumokError(f"sanity checks need 2 images or more, got {len(paths)}")
    pixels = model.prepare(read_image(path, bits=model.bits) for path in draw_some(paths, most, seed))
    with torch.no_grad():
        return _Images(pixels, model.kind.read(check_outputs(model(pixels), len(pixels))).argmax(1))


def _find_methods(maps: MapMaker, images: _Images) -> Sequence[str]:
    """Those that were named, or all that fit and are quick."""
    from jumok.tasks.classify.looking import find_methods

    assert maps.model is not None
    return maps.options.methods or find_methods(maps.model, images.pixels[:2], images.targets[:2])


def _check(model: AnyClassifier, method: str, images: _Images, seconds: float | None, seed: int) -> SanityCard:
    from jumok.measures.sanity import Explained
    from jumok.measures.sanity_card import SanityPlan, check_sanity

    explainer, plan = _Explainer(model, method), SanityPlan(SAMPLES, STAGES, seed=seed)
    count = len(images.pixels) if seconds is None else _count_affordable(explainer, images, plan, seconds)
    asked = Explained(explainer, model.model, images.pixels[:count], images.targets[:count])
    return check_sanity(method, asked, len(model.classes), plan)


def _count_affordable(explainer: _Explainer, images: _Images, plan: SanityPlan, seconds: float) -> int:
    """Of how many images maps can be made as often as the checks ask for, by the time that those of two take."""
    from jumok.measures.sanity import list_layers

    least = min(LEAST, len(images.pixels))
    each = explainer.time(images) * plan.count_makings(len(list_layers(explainer.model.model)))
    if (affordable := int(seconds / each)) < least:
        raise JumokError(f"{least} images would take about {format_duration(least * each)}: give more --time")
    return min(affordable, len(images.pixels))


@dataclass(frozen=True)
class _Explainer:
    """Makes the maps of one method, as `jumok.measures.sanity` asks for them."""

    model: AnyClassifier
    method: str

    def __call__(self, _: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Maps, (inputs, places), of the model with the weights that it has just now."""
        import torch

        from jumok.tasks.classify.looking import explain

        parts = -(-len(inputs) // AT_ONCE)  # of even size: none has a single image
        batches = zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
        heats = [heat for batch in batches for heat in explain(self.model, *batch, self.method)]
        return torch.stack([self._lay(heat) for heat in heats])

    def _lay(self, heat: AttentionMap) -> Tensor:
        """One value for each patch that the map has, or for each pixel of the model's input."""
        from jumok.attention import Patches

        keys = heat.keys
        return heat.image(*((keys.rows, keys.columns) if isinstance(keys, Patches) else self.model.size)).flatten()

    def time(self, images: _Images) -> float:
        """Seconds for one map: the shorter of two trials, as the first may have things to load."""
        trials: list[float] = []
        while len(trials) < 2 and sum(trials) < 1:
            began = time.monotonic()
            self(self.model.model, images.pixels[:2], images.targets[:2])
            trials.append((time.monotonic() - began) / 2)
        return max(min(trials), 1e-6)
