"""Any image classifier, ready to be asked: a run of our own, or one from `transformers` or `timm`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.attention.frames import Frame
from jumok.errors import JumokError, foreign, suggest
from jumok.tasks.classify.foreign import Foreign, load_hf
from jumok.tasks.classify.kinds import AnswerKind, OneClass
from jumok.tasks.classify.preparation import Preparation
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.timm_models import load_timm
from jumok.tasks.prediction import check_answered
from jumok.tasks.running.trust import Trust, read_trust


class Group(NamedTuple):
    """Prepared images of one size.

    Args:
        numbers: which of those that were given.
        pixels: (n, channels, height, width).
    """

    numbers: list[int]
    pixels: Tensor


@dataclass(frozen=True)
class AnyClassifier:
    """A classifier with what is needed to ask it.

    Args:
        name: as the user gave it.
        model: in eval mode, its parameters without gradients.
        classes: names of classes or labels, in the order of the logits; of a number one name.
        preparation: what is done to images before.
        logits: gets them out of what the model returns.
        trust: which of its maps is the most faithful; None where that was not measured.
        answers: what it answers; None: one of the classes.
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    preparation: Preparation
    logits: Callable[[Any], Tensor]
    trust: Trust | None = None
    answers: AnswerKind | None = None

    @cached_property
    def kind(self) -> AnswerKind:
        """What it answers: one class for each image, where nothing else is known."""
        return self.answers or OneClass(self.classes)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what it is given; of a model of any size, that of a square image."""
        return self.preparation.size

    @property
    def reading_size(self) -> tuple[int, int] | None:
        """(height, width) that images may be stretched to when they are read; None: they must be read whole."""
        return self.size if self.preparation.stretched else None

    @property
    def bits(self) -> int | None:
        """That 16-bit images use, as it was trained; None: what each image's values need."""
        return self.preparation.bits

    @property
    def device(self) -> torch.device:
        """That it is on."""
        return next(self.model.parameters()).device

    def prepare_each(self, images: Iterable[Tensor]) -> list[Tensor]:
        """Bring images, (3, any, any) uint8 each, to (channels, height, width) float32 each on the model's device.

        Images that are read one by one are held one by one.
        """
        return self.preparation.prepare(images, self.device)

    def prepare(self, images: Iterable[Tensor]) -> Tensor:
        """As `prepare_each`, as one tensor (n, channels, height, width).

        Raises:
            JumokError: the model's own processor brings them to different sizes.
        """
        groups = self.prepare_groups(images)
        if len(groups) > 1:
            sizes = ", ".join(f"{pixels.shape[2]} x {pixels.shape[3]}" for pixels in (group.pixels for group in groups))
            raise JumokError(
                f"the image processor of {self.name} brings these images to different sizes ({sizes}), which cannot be "
                "taken together here: give images of one shape"
            )
        return groups[0].pixels

    def prepare_groups(self, images: Iterable[Tensor]) -> list[Group]:
        """As `prepare_each`, those of one size together."""
        return group_by_size(self.prepare_each(images))

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to float32, as the model takes it, on its device."""
        return self.preparation.normalise(images, self.device)

    def show(self, pixels: Tensor) -> Tensor:
        """Prepared pixels, (channels, height, width), as a picture again, (3, height, width) uint8."""
        return self.preparation.undo(pixels)

    def frame(self, image: Tensor) -> Frame | None:
        """The part of an image, (3, any, any), that the model is given; None: the whole."""
        return self.preparation.frame(image.shape[1], image.shape[2])

    def blank(self, count: int = 1) -> Tensor:
        """Images as the model takes them, of nothing."""
        return torch.zeros(count, self.preparation.channels, *self.size, device=self.device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, channels, height, width) normalised pixels to (n, classes) logits.

        Raises:
            JumokError: a model from elsewhere does not read images of the size that its own processor gives them, or
                what the model answers is NaN or infinite.
        """
        logits = self._run(pixels)
        check_answered(self.kind.read(logits.detach()), self.name)
        return logits

    def _run(self, pixels: Tensor) -> Tensor:
        if self.answers is None or tuple(pixels.shape[2:]) == tuple(self.size):
            return self.logits(self.model(pixels))
        height, width = pixels.shape[2:]
        with foreign(
            f"{self.name} cannot read an image that its own image processor brings to {height} x {width} pixels",
            "the two contradict each other: mend the size or the crop in the settings of the processor, or give "
            "square images",
        ):
            return self.logits(self.model(pixels))

    @torch.inference_mode()
    def predict(self, images: Iterable[Tensor]) -> Tensor:
        """The probability of every class or label, or the number, (n, classes), for (3, any, any) uint8 each."""
        return self.predict_prepared(self.prepare_each(images))

    @torch.inference_mode()
    def predict_prepared(self, prepared: Sequence[Tensor]) -> Tensor:
        """As `predict`, of images that `prepare_each` has prepared."""
        found: dict[int, Tensor] = {}
        for numbers, pixels in group_by_size(prepared):
            found |= zip(numbers, self.kind.read(self(pixels)), strict=True)
        return torch.stack([found[number] for number in range(len(prepared))])

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


def group_by_size(prepared: Sequence[Tensor]) -> list[Group]:
    """Prepared images, (channels, height, width) each, those of one size together."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, pixels in enumerate(prepared):
        found.setdefault(tuple(pixels.shape), []).append(number)
    return [Group(numbers, torch.stack([prepared[number] for number in numbers])) for numbers in found.values()]


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
    if prefix in _OPENERS:
        _check_fit(opened)
    return opened


def to_classifier(run: ImageRun, name: str = "") -> AnyClassifier:
    """A run as a classifier that can be asked.

    Args:
        run: it; its model is the same object.
        name: for messages; "": its folder.
    """
    name, trust = name or str(run.folder), read_trust(run.folder)
    return AnyClassifier(name, run.model, run.classes, run.preparation, lambda logits: logits, trust, run.kind)


def _open_run(name: str) -> AnyClassifier:
    return to_classifier(ImageRun.load(name), name)


def _open_hf(name: str) -> AnyClassifier:
    return _open(f"hf:{name}", load_hf(name), lambda result: result.logits)


def _open_timm(name: str) -> AnyClassifier:
    return _open(f"timm:{name}", load_timm(name), lambda logits: logits)


def _open(name: str, found: Foreign, logits: Callable[[Any], Tensor]) -> AnyClassifier:
    return AnyClassifier(name, found.network, found.classes, found.preparation, logits, answers=found.answers(name))


@torch.inference_mode()
def _check_fit(model: AnyClassifier) -> None:
    """Refuse a model from elsewhere that does not take what its own processor gives.

    Raises:
        JumokError: it does not.
    """
    given = " x ".join(map(str, (model.preparation.channels, *model.size)))
    with foreign(
        f"{model.name} cannot read what its own image processor gives it, {given} (channels x height x width)",
        "the two contradict each other: mend the size in the settings of the processor",
    ):
        logits = model(model.blank())
    wanted = (1, len(model.classes))
    if tuple(logits.shape) != wanted:
        raise JumokError(f"{model.name} gives outputs of shape {tuple(logits.shape)} for an image: wanted {wanted}")


_OPENERS: dict[str, Callable[[str], AnyClassifier]] = {"hf": _open_hf, "timm": _open_timm}
