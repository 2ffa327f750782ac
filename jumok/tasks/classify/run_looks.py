"""Where a run looked in images, as a person asks for it in Python."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jumok.attention import AttentionMap
from jumok.data.images.given import GivenImage, GivenImages, open_given, split_given
from jumok.data.images.reading import read_image
from jumok.tasks.classify.any_classifier import AnyClassifier, to_classifier
from jumok.tasks.classify.looking import LookOptions, look
from jumok.tasks.classify.run import ImageRun


def look_at(
    run: ImageRun, images: GivenImages, *, method: str | None, target: str | None, batch_size: int
) -> AttentionMap | list[AttentionMap]:
    """As `ImageRun.look`."""
    given, alone = split_given(images)
    model = to_classifier(run)
    chosen = method or (model.trust.method if model.trust else None)
    number = None if target is None else model.index(target)
    options = LookOptions(() if chosen is None else (chosen,), 1, number, empty=not alone)
    starts = range(0, len(given), batch_size)
    found = [each for start in starts for each in _look(model, given[start : start + batch_size], options)]
    return found[0] if alone else found


def _look(model: AnyClassifier, images: Sequence[GivenImage], options: LookOptions) -> list[AttentionMap]:
    """One map an image, laid over the whole image where the model saw a part of it."""
    pictures = [_read(image, model.bits) for image in images]
    answers = look(model, pictures, options)
    heats = [next(iter(answer.heats.values())) for answer in answers]
    return [heat.within(model.frame(picture)) for heat, picture in zip(heats, pictures, strict=True)]


def _read(image: GivenImage, bits: int | None) -> Tensor:
    """(3, height, width) uint8."""
    return read_image(open_given(image, bits=bits), bits=bits)
