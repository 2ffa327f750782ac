"""Epochs of a head on a frozen backbone, from kept features and from the images: `python -m bench frozen_features`.

A ViT-Ti/16 of `transformers` with random weights, 224 x 224 pixels; both sides train the same head on the same images
with `jumok train`'s own loop, validation and checkpoints included. One runs the backbone for every image in every
epoch, as usual; the other once, before the first. The medians of the epochs after the first count.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import torchvision_names
from bench.measuring import Ratio, is_quick
from bench.table import Part, Row

torchvision_names.define()  # where torchvision is there, the trainer imports it

from pytorch_lightning import Callback  # noqa: E402

from jumok.data.images.batches import PixelStore  # noqa: E402
from jumok.files import write_atomically  # noqa: E402
from jumok.tasks.classify import prepare  # noqa: E402
from jumok.tasks.classify.prepare import PreparedImages  # noqa: E402
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings  # noqa: E402
from jumok.tasks.running import fit  # noqa: E402

SIDE, PATCH, WIDTH, DEPTH, HEADS = 224, 16, 192, 12, 3
CLASSES, IMAGES = 2, 48
"""Classes, and images of each; `jumok train` keeps 15% of them for validation and 15% for testing."""
EPOCHS_BY_IMAGES, EPOCHS_BY_FEATURES = 6, 20
GOAL = ">= 20"


class EpochClock(Callback):
    """Notes when epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def later(self) -> list[float]:
        """Seconds of the epochs after the first."""
        return [after - before for before, after in itertools.pairwise(self.ends)]


def write_model(folder: Path) -> Path:
    """A network with random weights, as `transformers` saves it."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        image_size=SIDE,
        patch_size=PATCH,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    settings = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": SIDE, "width": SIDE}}
    write_atomically(folder / "preprocessor_config.json", json.dumps(settings))
    return folder


def write_images(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = chance.integers(0, 200, (SIDE, SIDE, 3)) + 50 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / str(label) / f"{number}.png")
    return folder


def prepare_head(model: Path, images: Path) -> PreparedImages:
    training = ImageTraining(epochs=EPOCHS_BY_FEATURES, batch_size=16, freeze="backbone", device="cpu", lr=1e-3)
    return prepare.prepare(Settings(system=f"hf:{model}", data=ImageData(images=str(images)), training=training))


def run_epochs(prepared: PreparedImages, folder: Path) -> list[float]:
    clock = EpochClock()
    prepared.write(folder)
    fit.fit(prepared.module(), prepared.train, prepared.val, folder, prepared.training, (clock,))
    return clock.later


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    yield "epochs of a head", _rows


def _rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        model, images = write_model(home / "model"), write_images(home / "images")
        began = time.perf_counter()
        kept = prepare_head(model, images)
        once = time.perf_counter() - began
        again = by_images(kept)
        epochs = 3 if is_quick() else EPOCHS_BY_IMAGES
        usual = run_epochs(again.with_training(epochs=epochs), home / "usual")
        ours = run_epochs(kept, home / "kept")
    count = kept.config.found.counts["train"] + kept.config.found.counts["val"]
    note = f"{count} images, ViT-Ti/16 at {SIDE} x {SIDE}; reading them and computing features once: {once:.1f} s"
    claim = "an epoch after the first, backbone run again / features kept"
    yield Row(
        claim, _one_after_the_other(usual, ours), GOAL, statistics.median(ours), statistics.median(usual), "s", note
    )


def _one_after_the_other(usual: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Epochs of a training run one after another, so each usual one is held against the median of ours."""
    return Ratio.of([each / statistics.median(ours) for each in usual])


def by_images(prepared: PreparedImages) -> PreparedImages:
    """The same training with the images themselves in place of their features."""
    config = prepared.config
    sets = prepare.find_parts(config.data, config.training.seed)
    stores = [PixelStore(sets[part].paths, *config.size).load() for part in ("train", "val")]
    train, val = prepare.loaders(config, sets, *stores)
    return replace(prepared, train=train, val=val, features=None)
