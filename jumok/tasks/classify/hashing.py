"""The images of a run's parts by what their files hold."""

from __future__ import annotations

from collections.abc import Mapping

from jumok.data.images.contents import hash_files
from jumok.data.images.image_set import ImageSet
from jumok.data.splits import SPLITS
from jumok.tasks.running.figures import Progress

__all__ = ["hash_parts"]


def hash_parts(sets: Mapping[str, ImageSet], progress: Progress | None = None) -> dict[str, list[str]]:
    """The hash of each image of three parts, in their order.

    Raises:
        JumokError: one cannot be read.
    """
    every = iter(hash_files([path for part in SPLITS for path in sets[part].paths], progress))
    return {part: [next(every) for _ in sets[part].paths] for part in SPLITS}
