"""Along which axes training images may be mirrored without changing what they show, found from the images themselves.

Mirrored letters, arrows or road signs mean something else, or nothing. An axis is safe where a simple classifier either
keeps naming mirrored images as well as the others, or cannot tell the mirrored images of a class from the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.data.images.batches import PixelStore
from jumok.intervals import wilson

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

__all__ = ["choose_flips"]

SIDE = 16
"""Pixels of the square that images are shrunk to for the test."""
GREY_SCALE = 64.0
"""Grey levels that count as one; one scale for all pixels, so that none counts for hardly changing."""
ORIENTATIONS = 12
"""Bins of the directions of edges, over half a turn."""
LEAST_IMAGES, MOST_IMAGES = 12, 100
"""Images of a class that are tested: with fewer the class says nothing, and more add little."""
MOST_CLASSES = 30
"""Classes that are tested."""
TOLD_APART = 0.65
"""A class's mirrored images are told from its others where at least this share of pairs is, with 95% confidence."""
LOST_ACCURACY = 0.1
"""Share of what the classifier does beyond naming the largest class that mirroring may cost."""
DIRECTED = re.compile(r"(?<![a-z])(left|right|links|rechts|gauche|droite|up|down)(?![a-z])|왼|오른|좌측|우측", re.I)
"""Names of classes that mirroring would exchange."""

Mirror = Callable[[Tensor], Tensor]
MIRRORS: dict[str, Mirror] = {
    "left and right": lambda images: images.flip(-1),
    "top and bottom": lambda images: images.flip(-2),
    "rows and columns": lambda images: images.transpose(-1, -2),
}
"""(n, 3, height, width) to the same mirrored; the last one for square images only."""


def choose_flips(store: PixelStore, labels: Sequence[int], classes: Sequence[str]) -> tuple[str, str]:
    """Decide which mirrorings are safe.

    Args:
        store: the training images.
        labels: of each, an index into `classes`.
        classes: their names.
    Returns:
        none, horizontal, both or all; and why, in a few words.
    """
    directed = next((name for name in classes if DIRECTED.search(name)), None)
    if directed is not None:
        return "none", f"the class {directed!r} may mean a direction"
    if all(len(name.strip()) == 1 for name in classes):
        return "none", "the classes look like letters or digits"
    chosen = _choose_tested(np.asarray(labels))
    if not len(chosen):
        return "none", f"no class has {LEAST_IMAGES} images to test it on"
    images, kinds = store.get(torch.from_numpy(chosen)), np.asarray(labels)[chosen]
    square = images.shape[-1] == images.shape[-2]
    mirrors = {name: mirror for name, mirror in MIRRORS.items() if square or name != "rows and columns"}
    plain = _describe(images)
    safe = {name: _is_safe(plain, _describe(mirror(images)), kinds) for name, mirror in mirrors.items()}
    if not safe["left and right"]:
        return "none", "images whose left and right are exchanged can be told from the others"
    if not safe["top and bottom"]:
        return "horizontal", "exchanging left and right changes nothing that a test could find"
    if safe.get("rows and columns"):
        return "all", "no direction could be told from the others"
    return "both", "exchanging left and right, or top and bottom, changes nothing that a test could find"


def _choose_tested(labels: npt.NDArray[np.int_]) -> npt.NDArray[np.int64]:
    """Indices of the images to test: evenly spaced ones of each class that has enough."""
    chosen = []
    for label in np.unique(labels)[:MOST_CLASSES]:
        members = np.flatnonzero(labels == label)
        if len(members) >= LEAST_IMAGES:
            chosen.append(members[np.linspace(0, len(members) - 1, min(len(members), MOST_IMAGES)).astype(int)])
    return np.concatenate(chosen).astype(np.int64) if chosen else np.empty(0, np.int64)


def _describe(images: Tensor) -> npt.NDArray[np.float32]:
    """Features of images (n, 3, height, width) uint8: the shrunk image, and how strong its edges of each direction are.

    Returns:
        (n, features).
    """
    grey = images.float().mean(1, keepdim=True)
    small = F.adaptive_avg_pool2d(grey, SIDE).flatten(1)
    down, across = torch.gradient(grey[:, 0], dim=(1, 2))
    angle = torch.remainder(torch.atan2(down, across), torch.pi) * (ORIENTATIONS / torch.pi)
    bins = angle.long().clamp_max(ORIENTATIONS - 1).flatten(1)
    strength = torch.zeros(len(images), ORIENTATIONS).scatter_add_(1, bins, torch.hypot(down, across).flatten(1))
    shares = strength / strength.sum(1, keepdim=True).clamp_min(1e-6)
    level = (small - small.mean(1, keepdim=True)) / GREY_SCALE
    described: npt.NDArray[np.float32] = torch.cat([level, shares * ORIENTATIONS], 1).numpy()
    return described


def _is_safe(plain: npt.NDArray[np.float32], mirrored: npt.NDArray[np.float32], labels: npt.NDArray[np.int_]) -> bool:
    """Whether mirrored images are named as well as the others, or cannot be told from the others of their class."""
    if _keeps_names(plain, mirrored, labels):
        return True
    return not any(_are_told_apart(plain[labels == label], mirrored[labels == label]) for label in np.unique(labels))


def _keeps_names(
    plain: npt.NDArray[np.float32], mirrored: npt.NDArray[np.float32], labels: npt.NDArray[np.int_]
) -> bool:
    """Whether a classifier that clearly does more than name the largest class names mirrored images as well."""
    from sklearn.model_selection import StratifiedKFold

    right = np.zeros((2, len(labels)), bool)
    if len(np.unique(labels)) < 2:
        return False
    for train, test in StratifiedKFold(4, shuffle=True, random_state=0).split(plain, labels):
        model = _classifier().fit(plain[train], labels[train])
        right[0, test] = model.predict(plain[test]) == labels[test]
        right[1, test] = model.predict(mirrored[test]) == labels[test]
    largest = np.bincount(labels).max() / len(labels)
    if wilson(int(right[0].sum()), len(labels))[0] <= largest:
        return False
    lost = float(right[0].mean() - right[1].mean())
    return bool(lost <= LOST_ACCURACY * (float(right[0].mean()) - largest))


def _are_told_apart(plain: npt.NDArray[np.float32], mirrored: npt.NDArray[np.float32]) -> bool:
    """Whether a classifier knows which of an image and its mirror image is which, for images that it was not shown."""
    from sklearn.model_selection import KFold

    known = 0
    for train, test in KFold(4, shuffle=True, random_state=0).split(plain):
        features = np.concatenate([plain[train], mirrored[train]])
        model = _classifier().fit(features, np.repeat([0, 1], len(train)))
        scores = model.decision_function(mirrored[test]) - model.decision_function(plain[test])
        known += int((scores > 0).sum())
    return wilson(known, len(plain))[0] > TOLD_APART


def _classifier() -> LogisticRegression:
    """A linear classifier that is kept from relying on single pixels."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.01, max_iter=300)
