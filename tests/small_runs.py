"""A small folder of images that are told apart by their colour, and everything needed to train on it."""

from pathlib import Path

import numpy as np
from PIL import Image

from jumok.tasks.classify import prepare
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings
from jumok.tasks.classify.training import make_classifier
from jumok.tasks.preprocessing import choose_size, stores
from jumok.tasks.running.fit import fit

TINY = {"width": 16, "depth": 2, "heads": 2, "patch": 4, "stem": "patch"}


def write_photos(folder: Path, *, each: int = 20, side: int = 16, classes: tuple[str, ...] = ("blue", "red")) -> Path:
    chance = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = chance.integers(0, 120, (side, side, 3))
            pixels[..., 0 if name == "red" else 2] += 60
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number:03}.png")
    return folder


class Job:
    """One training run that a test can start, break and start again."""

    def __init__(self, photos: Path, folder: Path, options=None, **training):
        given = {"epochs": 3, "batch_size": 8, "checkpoint_every": 1, "device": "cpu", "flips": "none", **training}
        settings = Settings(
            system="vit-nano",
            options={**TINY, **(options or {})},
            data=ImageData(images=str(photos)),
            training=ImageTraining(**given),
        )
        self.folder = folder
        self.sets = prepare.find_parts(settings.data, settings.training.seed)
        size, _ = choose_size(settings.data, self.sets["train"].paths)
        self.stores = stores(settings.data, self.sets["train"].paths, self.sets["val"].paths, size)
        self.config = prepare.configure(settings, self.sets, size, self.stores[0])

    def start(self, *watchers):
        train, val = prepare.loaders(self.config, self.sets, *self.stores)
        self.module = make_classifier(self.config, steps=self.config.training.epochs * len(train))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(self.config.to_yaml())
        return fit(self.module, train, val, self.folder, self.config.training, watchers)
