"""A random forest on histograms of oriented gradients: what pictures give without learning any features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from jumok.data.images.folders import ImageSet, scan

TREES = 500
LONGEST_SIDE = 128
"""Pixels to which larger pictures are shrunk."""
CELLS, ORIENTATIONS = 8, 9
"""Cells along each side of the picture, and bins of the directions."""


def accuracy_of_forest(folder: Path, seed: int) -> float:
    """Train on the training and validation pictures, and test.

    Args:
        folder: of train/ val/ test/.
        seed: of the forest.
    """
    sets = scan(folder)
    learnt = [_describe(sets[part]) for part in ("train", "val")]
    forest = RandomForestClassifier(TREES, random_state=seed, class_weight="balanced_subsample", n_jobs=-1)
    forest.fit(np.concatenate(learnt), [*sets["train"].labels, *sets["val"].labels])
    return float(forest.score(_describe(sets["test"]), sets["test"].labels))


def _describe(images: ImageSet) -> npt.NDArray[np.float64]:
    """The features of each picture: (n, features)."""
    return np.stack([_describe_one(path) for path in images.paths])


def _describe_one(path: Path) -> npt.NDArray[np.float64]:
    from skimage.feature import hog

    with Image.open(path) as image:
        grey = image.convert("L")
        grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        pixels = np.asarray(grey, np.float64) / 255
    cell = (max(pixels.shape[0] // CELLS, 2), max(pixels.shape[1] // CELLS, 2))
    described: npt.NDArray[np.float64] = hog(pixels, ORIENTATIONS, cell, (2, 2))
    return np.append(described, [pixels.mean(), pixels.std()])
