"""From settings and a folder of images to everything that a training run needs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import ExifTags, Image
from torch import Tensor

import jumok
from jumok.data.batches import Batches, PixelStore
from jumok.data.folders import ImageSet, scan
from jumok.errors import JumokError
from jumok.tasks.callbacks import Row
from jumok.tasks.classify.settings import Found, ImageData, RunConfig, Settings
from jumok.tasks.classify.training import Classifier, make_classifier
from jumok.tasks.prepared import Prepared, Progress
from jumok.tasks.run import configure_system
from jumok.tasks.world import World

LARGEST_OWN = 224
"""Images of one size up to this side are taken as they are; others are brought to a square of it."""
LOOKED_AT = 256
"""So many images are asked for their size."""
MULTIPLE = 8
"""Sizes chosen here are multiples of this, so that patches fit."""
PATCHES = (16, 8, 4, 2)
ROWS = 8
"""Patches along the shorter side, at the least, where the patch is chosen here."""
NARROW = 192
"""Models up to this width get a stem of convolutions: they learn from few images, where it helps most."""
SAMPLE = 2048
"""So many images give the channels' mean and spread."""


@dataclass(frozen=True)
class PreparedImages(Prepared):
    """Everything that the training of a classifier needs."""

    config: RunConfig

    unit = "images"

    @property
    def settings(self) -> RunConfig:
        return self.config

    def module(self) -> Classifier:
        return make_classifier(self.config, steps_per_epoch=len(self.train))

    def about(self, parameters: int) -> str:
        found, training = self.config.found, self.config.training
        return (
            f"{found.counts['train']:,} training and {found.counts['val']:,} validation images of "
            f"{len(found.classes)} classes; {self.config.system} with {parameters / 1e6:.2f} million weights; "
            f"{training.epochs} epochs of {len(self.train)} steps of {training.batch_size}"
        )

    def reached(self, best: Row) -> str:
        return f"{best['val_accuracy']:.1%} of {self.config.found.counts['val']} validation images right"

    def purpose(self, parameters: int) -> str:
        size = " x ".join(str(side) for side in self.config.size)
        return (
            f"A {self.config.system} of {parameters:,} weights that tells {_listed(self.config.found.classes)} apart, "
            f"in images of {size} pixels."
        )

    def facts(self, best: Row) -> dict[str, str]:
        counts = ", ".join(f"{count:,} {part}" for part, count in self.config.found.counts.items())
        return {
            "images": f"{self.config.data.images}: {counts}",
            "validation accuracy": f"{best['val_accuracy']:.4f}",
            "validation loss": f"{best['val_loss']:.4f}",
            "batch": str(self.config.training.batch_size),
        }

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {folder} {self.config.data.images}"


def prepare(settings: Settings, progress: Progress | None = None) -> PreparedImages:
    """Find the images, read those that fit in memory, and settle the run's configuration.

    Raises:
        JumokError: images or settings that do not do.
    """
    sets = find(settings.data, settings.training.seed)
    size, why = choose_size(settings.data, sets["train"])
    system_options(settings.system, settings.options, len(sets["train"].classes), size)  # before the long part
    train, val = _read(settings.data, sets, size, progress)
    config = configure(settings, sets, size, train)
    remark = f"images brought to {size[0]} x {size[1]} pixels: {why}"
    return PreparedImages(*loaders(config, sets, train, val), (remark,), config)


def resume(config: RunConfig, folder: Path, progress: Progress | None = None) -> PreparedImages:
    """The same for a run that began earlier.

    Raises:
        JumokError: the images are not those that it began with.
    """
    sets = find(config.data, config.training.seed)
    check_unchanged(config, sets)
    train, val = _read(config.data, sets, config.size, progress)
    return PreparedImages(*loaders(config, sets, train, val), (), config)


def _read(
    data: ImageData, sets: Mapping[str, ImageSet], size: tuple[int, int], progress: Progress | None
) -> tuple[PixelStore, PixelStore]:
    """Read the images that fit in memory now, so that a bad one is found before anything is written."""
    train, val = stores(data, sets, size, progress)
    return train.load(), val.load()


def find(data: ImageData, seed: int) -> dict[str, ImageSet]:
    """Find the images in their three parts.

    Raises:
        JumokError: no folder was given, or it is not one of images in two or more classes.
    """
    if data.images is None:
        raise JumokError("no images: give a folder of class folders, as in jumok train photos --out runs/first")
    shares = (1 - data.val_fraction - data.test_fraction, data.val_fraction, data.test_fraction)
    if shares[0] <= 0:
        raise JumokError(f"val_fraction {shares[1]} and test_fraction {shares[2]} leave nothing to train on")
    return scan(Path(data.images), seed=seed, fractions=shares)


def choose_size(data: ImageData, images: ImageSet) -> tuple[tuple[int, int], str]:
    """Decide the size that images are brought to.

    Returns:
        (height, width), and why.
    """
    if data.image_size is not None:
        size = data.image_size
        return ((size, size) if isinstance(size, int) else size), "as asked"
    step = max(len(images) // LOOKED_AT, 1)
    sizes = {_size_of(path) for path in images.paths[::step]}
    height, width = next(iter(sizes)) or (0, 0)
    if len(sizes) == 1 and min(height, width) > 0 and max(height, width) <= LARGEST_OWN:
        return (_rounded(height), _rounded(width)), f"the images are {height} x {width}"
    return (LARGEST_OWN, LARGEST_OWN), "the images are of several sizes" if len(sizes) > 1 else "the images are larger"


def configure(settings: Settings, sets: Mapping[str, ImageSet], size: tuple[int, int], store: PixelStore) -> RunConfig:
    """Settle everything that a run is made of.

    Args:
        settings: what was asked for.
        sets: the images of each part.
        size: (height, width) of the images.
        store: the training images, for their statistics.
    Raises:
        JumokError: an unknown system, or options that it does not take.
    """
    mean, std = channel_statistics(store)
    train = sets["train"]
    found = Found(
        classes=train.classes,
        mean=mean,
        std=std,
        counts={part: len(images) for part, images in sets.items()},
        fingerprint=fingerprint(sets),
    )
    data = settings.data.model_copy(
        update={"images": str(train.root.resolve()), "image_size": size[0] if size[0] == size[1] else size}
    )
    if settings.training.flips == "all" and size[0] != size[1]:
        raise JumokError(f"flips all needs square images, and these are {size[0]} x {size[1]}: use --flips both")
    training = settings.training.model_copy(update={"batch_size": batch_size(settings.training.batch_size, len(train))})
    return RunConfig(
        jumok=jumok.__version__,
        system=settings.system,
        options=system_options(settings.system, settings.options, len(train.classes), size),
        data=data,
        training=training,
        found=found,
    )


def system_options(name: str, chosen: Mapping[str, Any], classes: int, size: tuple[int, int]) -> dict[str, Any]:
    """All options of a system: the ones chosen, those that follow from the data, and its defaults.

    Raises:
        JumokError: an unknown system, or options that it does not take.
    """
    options: dict[str, Any] = {"classes": classes, "image_size": size[0] if size[0] == size[1] else size}
    clash = next((key for key in options if key in chosen), None)
    if clash:
        raise JumokError(f"the option {clash!r} follows from the data: leave it out (or use --image-size)")
    default = configure_system(name, {"classes": classes})
    if "patch" in type(default).model_fields:
        options["patch"] = chosen.get("patch", patch_for(size))
        if "stem" not in chosen and getattr(default, "width", NARROW + 1) <= NARROW and options["patch"] in PATCHES:
            options["stem"] = "convolutions"
    return configure_system(name, {**options, **chosen}).model_dump(mode="json")


def patch_for(size: tuple[int, int]) -> int:
    """The largest usual patch that divides both sides and leaves at least 8 along the shorter.

    >>> [patch_for((side, side)) for side in (224, 128, 64, 32, 28)]
    [16, 16, 8, 4, 2]
    """
    fits = [patch for patch in PATCHES if size[0] % patch == 0 == size[1] % patch and min(size) // patch >= ROWS]
    return fits[0] if fits else 1


def batch_size(wanted: int, images: int) -> int:
    """The batch size wanted, or what the images are enough for; a multiple of the number of processes."""
    world = World.found().size
    if images < world:
        raise JumokError(f"{images} training images cannot be shared among {world} processes: use fewer")
    return wanted if wanted <= images else images - images % world


def stores(
    config: ImageData,
    sets: Mapping[str, ImageSet],
    size: tuple[int, int],
    progress: Progress | None = None,
) -> tuple[PixelStore, PixelStore]:
    """The pixels of the training and the validation images, which share the memory allowed."""
    train, val = sets["train"], sets["val"]
    first = PixelStore(train.paths, *size, memory_limit=_bytes(config.memory), progress=progress)
    left = None if config.memory is None else max(_bytes(config.memory) or 0, first.bytes) - first.bytes
    return first, PixelStore(val.paths, *size, memory_limit=left)


def loaders(
    config: RunConfig, sets: Mapping[str, ImageSet], train: PixelStore, val: PixelStore
) -> tuple[Batches, Batches]:
    """Deal the batches of the training and the validation out to this process.

    Raises:
        JumokError: the batch size does not divide among the processes.
    """
    world = World.found()
    share = {"batch_size": config.training.batch_size, "rank": world.rank, "world_size": world.size}
    labels = {part: torch.tensor(sets[part].labels) for part in ("train", "val")}
    return (
        Batches(train, labels["train"], seed=config.training.seed, shuffle=True, drop_last=True, **share),
        Batches(val, labels["val"], shuffle=False, drop_last=False, **share),
    )


def channel_statistics(store: PixelStore) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of red, green and blue in [0, 1], over evenly spaced images."""
    step = max(len(store) // SAMPLE, 1)
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for indices in torch.arange(0, len(store), step).split(64):
        pixels = store.get(indices).to(torch.float64) / 255
        total += pixels.sum((0, 2, 3))
        squares += pixels.square().sum((0, 2, 3))
        count += pixels[:, 0].numel()
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return _three(mean), _three(std)


def fingerprint(sets: Mapping[str, ImageSet]) -> str:
    """What changes when training or validation images are added, removed, renamed or put into another class."""
    digest = hashlib.sha256()
    for part in ("train", "val"):
        for name, label in zip(sets[part].names, sets[part].labels, strict=True):
            digest.update(f"{part}/{label}/{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def check_unchanged(config: RunConfig, sets: Mapping[str, ImageSet]) -> None:
    """Make sure that a run goes on with the images that it began with.

    Raises:
        JumokError: it would not.
    """
    counts = {part: len(images) for part, images in sets.items()}
    if fingerprint(sets) != config.found.fingerprint:
        raise JumokError(
            f"the images in {config.data.images} are not those that this run began with "
            f"({config.found.counts} then, {counts} now): put them back, or train anew"
        )


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _size_of(path: Path) -> tuple[int, int] | None:
    """(height, width) as the file's head says; None where it cannot be read (decoding will say why)."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception:
        return None


def _rounded(side: int) -> int:
    return max(side // MULTIPLE, 1) * MULTIPLE


def _bytes(mebibytes: int | None) -> int | None:
    return None if mebibytes is None else mebibytes << 20


def _three(values: Tensor) -> tuple[float, float, float]:
    first, second, third = (round(value, 6) for value in values.tolist())
    return first, second, third
