"""Images on the page of faithfulness whose answers are known: each patch holds a share of the answer."""

import numpy as np
import torch
from browser_visit import HOSTILE

from jumok.views.pages.faithful_page import FaithfulEntry, Section, Steps

GRID, SIDE = (2, 2), 8
GONE = (0, 1, 2, 4)
GREY = torch.full((3, SIDE, SIDE), 100, dtype=torch.uint8)


def photograph():
    """Four patches of one colour each."""
    image = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    for patch, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]):
        row, column = divmod(patch, 2)
        image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = torch.tensor(colour)[:, None, None]
    return image


def blurred():
    """A second image, of another colour in each half."""
    image = GREY.clone()
    image[0, :, 4:] = 200
    return image


def steps(order, answers, best):
    return Steps(order, answers, best, srg=0.25)


def entry(name="꽃.png", **changes):
    falls = steps([3, 0, 1, 2], [0.9, 0.4, 0.2, 0.1], [("꽃", 0.9), ("잎", 0.6), ("잎", 0.8), (HOSTILE, 0.9)])
    stays = steps([0, 1, 2, 3], [0.9, 0.9, 0.8, 0.1], [("꽃", 0.9), ("꽃", 0.9), ("꽃", 0.8), ("잎", 0.9)])
    maps = {"rollout": falls, "random": stays, "edges": stays}
    given = {
        "image": photograph(),
        "ratio": 2.0,
        "target": "꽃",
        "grid": GRID,
        "gone": GONE,
        "methods": {"rollout": [0.2, 0.1, 0.0, 0.7]},
        "baselines": {"random": [1, 0.75, 0.5, 0.25], "edges": [0.5, -0.5, 0.1, 0]},
        "filled": {"mean": GREY, "blur": blurred(), "noisy-linear": None},
        "steps": {"mean": maps, "blur": maps, "noisy-linear": maps},
        "note": "true class: 꽃",
    }
    return FaithfulEntry(name, **{**given, **changes})


SECTION = Section(
    "Do the maps show what the model used?",
    "8 images",
    ("map", "SRG, mean"),
    (("rollout", "0.25 (0.10 to 0.40)"), ("edges", "0.10 (0.00 to 0.20)")),
    (f"{HOSTILE}: beats an edge map",),
    ("filling blur hardly changes the answer",),
    ("edges",),
)


def colours(canvas):
    """(2, 2, 3): the middle of each patch of a drawn canvas (SIDE, SIDE, 4)."""
    return np.asarray(canvas)[2::4, 2::4, :3]
