"""Which images a model can be asked about: not those smaller than one of its patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jumok.app.image_inputs import check_size
from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["Fitting", "leave_out"]


class Fitting(NamedTuple):
    """The images that can be measured, and a line for each of the others."""

    images: ImageSet
    left_out: list[str]


def leave_out(images: ImageSet, model: AnyClassifier) -> Fitting:
    """Leave out images that are smaller than one patch of a model, by the heads of their files.

    Args:
        images: some.
        model: that is asked about them.
    Raises:
        JumokError: none is left.
    """
    from jumok.data.images.reading import image_size
    from jumok.tasks.classify.patch_size import find_patch_size

    least = find_patch_size(model)
    errors: dict[int, JumokError] = {}
    for number, path in enumerate(images.paths):
        size = image_size(path)
        error = None if size is None else check_size(path, size, least)
        if error is not None:
            errors[number] = error
    if len(errors) == len(images):
        raise JumokError(f"none of the {len(images)} images can be measured: {errors[0]}")
    if not errors:
        return Fitting(images, [])
    kept = images.choose(number for number in range(len(images)) if number not in errors)
    return Fitting(kept, [f"left out: {error}" for error in errors.values()])
