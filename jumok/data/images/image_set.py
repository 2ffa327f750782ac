"""A set of images with the class, the labels or the number of each: what is trained on, judged and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jumok.data.images.label_cells import Kind
from jumok.data.images.listing import name_below
from jumok.data.table_rows import BETWEEN
from jumok.language import later


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels.

    Args:
        root: the folder that they lie in; every path begins with it.
        classes: names of the classes or labels in order, in Unicode's composed form (NFC).
        paths: of the images, sorted by label and then by path; where they lie inside files by path alone.
        labels: for each path, by `kind`: the index of its class, a tuple with those of its labels, or its number.
        left_out: how many other files were passed over, by ending (hidden files and system litter not counted).
        masks: the masks that belong to an image, where some do; such files are no images of the set.
        groups: for each path, what it belongs together with; empty where nothing is known of that.
        notes: what the user should know of how the files were read, a line each.
        kind: of the labels: "class", "multi" or "number".
        packed: whether the images lie inside files, so that they are read best in the order of their paths.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[Any, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    masks: Mapping[Path, Sequence[Path]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kind: Kind = "class"
    packed: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def noun(self) -> str:
        """What images have, in words."""
        return {"class": later("classes"), "multi": later("labels"), "number": later("numbers")}[self.kind]

    @property
    def each_has(self) -> str:
        """What each image has, in words."""
        return {"class": "one class", "multi": "any number of labels", "number": "a number"}[self.kind]

    @property
    def noun_of_one(self) -> str:
        """The same of one image."""
        return {"class": later("class"), "multi": later("labels"), "number": later("number")}[self.kind]

    @property
    def skipped(self) -> int:
        """How many other files were passed over."""
        return sum(self.left_out.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Each image's path below the root, with forward slashes and composed (NFC): what masks are matched by."""
        return tuple(name_below(path, self.root) for path in self.paths)

    def counts(self) -> dict[str, int]:
        """How many images each class or label has; of numbers, all of them."""
        if self.kind == "number":
            return dict.fromkeys(self.classes, len(self))
        held = (label for labels in self.labels for label in labels) if self.kind == "multi" else iter(self.labels)
        found = Counter(held)
        return {name: found[label] for label, name in enumerate(self.classes)}

    def say(self, label: Any) -> str:
        """A label as a table has it."""
        if self.kind == "number":
            return f"{label:.7g}"
        return BETWEEN.join(self.classes[each] for each in (label if self.kind == "multi" else (label,)))

    def with_classes(self, classes: tuple[str, ...]) -> ImageSet:
        """The same images, their labels numbered by other classes, which hold these and perhaps more."""
        if self.kind == "number":
            return replace(self, classes=classes)
        at = [classes.index(name) for name in self.classes]
        labels = (tuple(sorted(at[each] for each in held)) for held in self.labels) if self.kind == "multi" else None
        return replace(self, classes=classes, labels=tuple(labels or (at[label] for label in self.labels)))

    def with_notes(self, notes: tuple[str, ...]) -> ImageSet:
        """The same images, with what the user should know of them."""
        return replace(self, notes=notes)

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
    """All images of several sets of the same classes and kind, sorted by label and then by path."""
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
    """The same images sorted by label and then by path; those inside files by path alone."""
    names = images.names
    packed = images.packed
    order = sorted(range(len(images)), key=lambda index: (not packed and images.labels[index], names[index]))
    return replace(
        images,
        paths=tuple(images.paths[index] for index in order),
        labels=tuple(images.labels[index] for index in order),
        groups=tuple(images.groups[index] for index in order) if images.groups else (),
    )
