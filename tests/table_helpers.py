"""Tables of small images with several labels, or with a number, and everything needed to train on them."""

import numpy as np
from PIL import Image

SPOTS = {"blue": 2, "green": 1, "red": 0}
"""Labels and their channels; each has a place of its own."""


def write_table(folder, rows, name="labels.csv", columns="image,label"):
    path = folder / name
    path.write_text("\n".join([columns, *rows]) + "\n", "utf-8")
    return path


def write_labelled(folder, count=60, side=16):
    """Images with any of three spots, and a table that names these."""
    chance, rows = np.random.default_rng(0), []
    (folder / "im").mkdir(parents=True)
    for number in range(count):
        pixels, held = chance.integers(60, 120, (side, side, 3)), []
        for place, (name, channel) in enumerate(SPOTS.items()):
            if chance.random() < (0.5, 0.4, 0.2)[place]:
                pixels[5 * place : 5 * place + 5, 3:13, channel] = 255
                held.append(name)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "im" / f"{number:03}.png")
        rows.append(f"im/{number:03}.png,{'|'.join(held)}")
    return write_table(folder, rows)


def write_numbered(folder, count=60, side=16):
    """Images that are the brighter the larger their number, which lies about 1,000."""
    chance, rows = np.random.default_rng(0), []
    (folder / "im").mkdir(parents=True)
    for number in range(count):
        bright = chance.integers(20, 220)
        pixels = bright + chance.integers(0, 20, (side, side, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "im" / f"{number:03}.png")
        rows.append(f"im/{number:03}.png,{1000 + bright / 10:.1f}")
    return write_table(folder, rows)
