"""A set of images with the class of each: what is trained on, judged and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jumok.data.images.listing import name_below


@dataclass(frozen=True)
class ImageSet:
    """Images and their classes.

    Args:
        root: the folder that they lie in; every path begins with it.
        classes: names of the classes in order, in Unicode's composed form (NFC).
        paths: of the images, sorted by class and then by path.
        labels: for each path, the index of its class.
        left_out: how many other files were passed over, by ending (hidden files and system litter not counted).
        masks: the masks that belong to an image, where some do; such files are no images of the set.
        groups: for each path, what it belongs together with; empty where nothing is known of that.
        notes: what the user should know of how the files were read, a line each.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    masks: Mapping[Path, Sequence[Path]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def skipped(self) -> int:
        """How many other files were passed over."""
        return sum(self.left_out.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Each image's path below the root, with forward slashes and composed (NFC): what masks are matched by."""
        return tuple(name_below(path, self.root) for path in self.paths)

    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        found = Counter(self.labels)
        return {name: found[label] for label, name in enumerate(self.classes)}

    def choose(self, indices: Iterable[int]) -> ImageSet:
        """Some of the images, in the set's order, with their masks."""
        order = sorted(indices)
        paths = tuple(self.paths[index] for index in order)
        return replace(
            self,
            paths=paths,
            labels=tuple(self.labels[index] for index in order),
            groups=tuple(self.groups[index] for index in order) if self.groups else (),
            masks={path: self.masks[path] for path in paths if path in self.masks},
        )


def join_sets(sets: Sequence[ImageSet]) -> ImageSet:
    """All images of several sets of the same classes, sorted by class and then by path."""
    first = sets[0]
    paths = [path for images in sets for path in images.paths]
    labels = [label for images in sets for label in images.labels]
    groups = [group for images in sets for group in images.groups]
    whole = replace(
        first,
        paths=tuple(paths),
        labels=tuple(labels),
        groups=tuple(groups) if len(groups) == len(paths) else (),
        left_out=sum((Counter(images.left_out) for images in sets), Counter()),
        masks={path: masks for images in sets for path, masks in images.masks.items()},
        notes=tuple(dict.fromkeys(note for images in sets for note in images.notes)),
    )
    return sort_set(whole)


def sort_set(images: ImageSet) -> ImageSet:
    """The same images sorted by class and then by path."""
    names = images.names
    order = sorted(range(len(images)), key=lambda index: (images.labels[index], names[index]))
    return replace(
        images,
        paths=tuple(images.paths[index] for index in order),
        labels=tuple(images.labels[index] for index in order),
        groups=tuple(images.groups[index] for index in order) if images.groups else (),
    )
