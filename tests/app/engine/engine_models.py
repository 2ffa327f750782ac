"""A small classifier, and images for it, that the tests of engines share."""

import io

import numpy as np
from PIL import Image


def make_pixels(count, side=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def to_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_images(folder, count, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(make_pixels(count, seed=seed)):
        (folder / f"{number:03}.png").write_bytes(to_png(pixels))
    return folder
