"""Whether the images of a run are still those that it began with, by their names, classes and contents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from jumok.data.images.image_set import ImageSet
from jumok.errors import JumokError
from jumok.tasks.classify.hashing import hash_parts
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.running.trained_on import TrainedOn, read_trained_on
from jumok.wording import describe_names, write_counts

__all__ = ["check_unchanged", "fingerprint"]


def fingerprint(sets: Mapping[str, ImageSet]) -> str:
    """What changes when training or validation images are added, removed, renamed or put into another class."""
    digest = hashlib.sha256()
    for part in ("train", "val"):
        for name, label in zip(sets[part].names, sets[part].labels, strict=True):
            digest.update(f"{part}/{label}/{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _compare(config: RunConfig, sets: Mapping[str, ImageSet]) -> str:
    """What a run began with and what there is now: the classes where these differ, else how many images."""
    then, now = config.found.classes, sets["train"].classes
    if then != now and config.found.kind == "class":
        gone, new = ([name for name in some if name not in others] for some, others in ((then, now), (now, then)))
        lost = [f"now without {describe_names(gone, 'class', 'classes')}"] if gone else []
        come = [f"now with {describe_names(new, 'class', 'classes')}"] if new else []
        return "; ".join((*lost, *come))
    counts = {part: len(images) for part, images in sets.items()}
    return f"{write_counts(config.found.counts)} then; {write_counts(counts)} now"


def check_unchanged(config: RunConfig, sets: Mapping[str, ImageSet], folder: Path) -> TrainedOn:
    """Make sure that a run goes on with the images that it began with, by their names and what they hold.

    Returns:
        those images.
    Raises:
        JumokError: it would not.
    """
    if fingerprint(sets) != config.found.fingerprint:
        raise JumokError(
            f"the images in {config.data.images} are not those that this run began with ({_compare(config, sets)}): "
            "put them back, or train anew"
        )
    now, then = TrainedOn.of_hashes(hash_parts(sets)), read_trained_on(folder)
    changed = [part for part in ("train", "val") if then is not None and now.hashes[part] != then.hashes[part]]
    if changed:
        raise JumokError(
            f"files of the {' and '.join(changed)} part in {config.data.images} hold other images than when this run "
            "began: put them back, or train anew"
        )
    return now if then is None else replace(now, before=then.before)
