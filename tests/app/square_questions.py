"""Questions about images with one square in each, with the mask of the square."""

import csv

import numpy as np
from PIL import Image

COLOURS = {"red": 0, "green": 1, "blue": 2}
HEADER = ("image", "question", "answer", "kind", "mask")


def write_squares(folder):
    """Images with a square in a corner, two questions about each: its colour, and on which side it is."""
    chance = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 6), ("test", 8)):
        rows = []
        for number in range(count):
            name, pixels, mask = (
                f"{part}/{number}.png",
                np.full((32, 32, 3), 200, np.uint8),
                np.zeros((32, 32), np.uint8),
            )
            top, left, colour = *chance.integers(0, 20, 2), list(COLOURS)[number % 3]
            pixels[top : top + 10, left : left + 10] = np.eye(3, dtype=np.uint8)[COLOURS[colour]] * 255
            mask[top : top + 10, left : left + 10] = 255
            for image, place in ((pixels, folder / "images" / name), (mask, folder / "masks" / name)):
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(place)
            rows.append((name, "What colour is the square?", colour, "colour", name))
            rows.append(
                (name, "어느 쪽에 있나요?", "왼쪽" if left < 10 else "오른쪽", "<side>", "" if number % 2 else name)
            )
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
    return folder
