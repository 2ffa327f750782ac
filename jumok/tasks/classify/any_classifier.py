"""Any image classifier, ready to be asked: a run of our own, or one from `transformers` or `timm`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError, suggest
from jumok.tasks.classify.foreign import load_hf, load_timm
from jumok.tasks.classify.kinds import AnswerKind, OneClass
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.preprocessing import Preprocessing
from jumok.tasks.running.trust import Trust, read_trust


@dataclass(frozen=True)
class AnyClassifier:
    """A classifier with what is needed to ask it.

    Args:
        name: as the user gave it.
        model: in eval mode, its parameters without gradients.
        classes: names of classes or labels, in the order of the logits; of a number one name.
        size: (height, width) that images are stretched to: every pixel stays in view, so that maps lie on the image.
        mean, std: of the normalisation, per channel, for values in [0, 1].
        logits: gets them out of what the model returns.
        bits: that 16-bit images use, as it was trained; None: what each image's values need.
        trust: which of its maps is the most faithful; None where that was not measured.
        answers: what it answers; None: one of the classes.
        own: what the preprocessing that a model from elsewhere came with does otherwise.
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    logits: Callable[[Any], Tensor]
    bits: int | None = None
    trust: Trust | None = None
    answers: AnswerKind | None = None
    own: str = ""

    @cached_property
    def kind(self) -> AnswerKind:
        """What it answers: one class for each image, where nothing else is known."""
        return self.answers or OneClass(self.classes)

    def prepare(self, images: Sequence[Tensor]) -> Tensor:
        """Bring images, (3, any, any) uint8 each, to (n, 3, height, width) float32 on the model's device."""
        device = next(self.model.parameters()).device
        return self._preprocessing(images, device)

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to float32, as the model takes it, on its device."""
        return self._preprocessing.normalise(images, next(self.model.parameters()).device)

    def show(self, pixels: Tensor) -> Tensor:
        """Prepared pixels, (3, height, width), as uint8 again."""
        return self._preprocessing.undo(pixels)

    @property
    def _preprocessing(self) -> Preprocessing:
        return Preprocessing(self.size, self.mean, self.std, self.bits)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, 3, height, width) normalised pixels to (n, classes) logits."""
        return self.logits(self.model(pixels))

    @torch.inference_mode()
    def predict(self, images: Sequence[Tensor]) -> Tensor:
        """The probability of every class or label, or the number, (n, classes), for (3, any, any) uint8 each."""
        return self.kind.read(self(self.prepare(images)))

    def index(self, target: str) -> int:
        """The number of a class or label, by its name or its number.

        Raises:
            JumokError: no such class.
        """
        if not self.kind.are_shares:
            raise JumokError(f"{self.name} gives a number, which alone can be explained: leave {target!r} out")
        if target in self.classes:
            return self.classes.index(target)
        if target.isdecimal() and int(target) < len(self.classes):
            return int(target)
        raise JumokError(f"{self.name} has no class {target!r}: {suggest(target, self.classes[:20])}")


def open_model(name: str, device: str = "cpu") -> AnyClassifier:
    """Open a classifier by name.

    Args:
        name: folder of a run; "hf:" and a folder or hub name; "timm:" and a model name.
        device: to put it on.
    Raises:
        JumokError: there is no such model, or it is no image classifier.
        ModuleNotFoundError: the package that the prefix needs is not installed.
    """
    prefix, _, rest = name.partition(":")
    opened = _OPENERS[prefix](rest) if prefix in _OPENERS and rest else _open_run(name)
    opened.model.to(device).eval().requires_grad_(False)
    return opened


def _open_run(name: str) -> AnyClassifier:
    run = ImageRun.load(name)
    found = run.config.found
    bits = run.config.data.bits
    trust = read_trust(Path(name))
    return AnyClassifier(
        name, run.model, run.classes, run.size, found.mean, found.std, lambda logits: logits, bits, trust, run.kind
    )


def _open_hf(name: str) -> AnyClassifier:
    found = load_hf(name)
    found.check_answers(f"hf:{name}")
    return AnyClassifier(
        f"hf:{name}",
        found.network,
        found.classes,
        found.size,
        found.mean,
        found.std,
        lambda result: result.logits,
        own=found.own,
    )


def _open_timm(name: str) -> AnyClassifier:
    found = load_timm(name)
    return AnyClassifier(
        f"timm:{name}",
        found.network,
        found.classes,
        found.size,
        found.mean,
        found.std,
        lambda logits: logits,
        own=found.own,
    )


_OPENERS: dict[str, Callable[[str], AnyClassifier]] = {"hf": _open_hf, "timm": _open_timm}
