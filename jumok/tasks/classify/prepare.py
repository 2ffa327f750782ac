"""From settings and a folder of images to everything that a training run needs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from jumok import systems
from jumok.data.images.batches import Batches, PixelStore, Source
from jumok.data.images.contents import describe_contradictions, describe_duplicates
from jumok.data.images.folders import ImageSet, scan
from jumok.data.images.frames import describe_frames
from jumok.data.packed.blocks import find_neighbours
from jumok.errors import JumokError
from jumok.machine import World
from jumok.tasks.classify.evaluation import read_batches
from jumok.tasks.classify.features import Features, read_features, write_features
from jumok.tasks.classify.hashing import hash_parts
from jumok.tasks.classify.kinds import KINDS, AnswerKind, kind_of
from jumok.tasks.classify.kinds.kind import read_all
from jumok.tasks.classify.look_alikes import describe_look_alikes
from jumok.tasks.classify.recipe import (
    Repeated,
    balance_order,
    choose_from_images,
    choose_variation,
)
from jumok.tasks.classify.run import ImageRun, make_preparation
from jumok.tasks.classify.settings import Found, ImageData, RunConfig, Settings
from jumok.tasks.classify.sizing import choose_size, measure_seconds
from jumok.tasks.classify.starting import Start, find_start
from jumok.tasks.classify.system_options import find_trusted_rate, system_options
from jumok.tasks.classify.trainable import check_trainable
from jumok.tasks.classify.training import Classifier
from jumok.tasks.classify.tuning import (
    UNVARIED,
    begin,
    describe_learning,
    keep_features,
    make_module,
    settle_training,
)
from jumok.tasks.classify.unchanged import check_unchanged, fingerprint
from jumok.tasks.preprocessing import channel_statistics, one_or_two, stores
from jumok.tasks.running.beginning import describe_begun, read_initial
from jumok.tasks.running.figures import Progress, Row
from jumok.tasks.running.prepared_classes import PreparedClasses
from jumok.tasks.running.run import configure_system
from jumok.tasks.running.time_plan import find_seconds
from jumok.tasks.running.trained_on import TrainedOn, add_before, describe_before
from jumok.version import __version__
from jumok.wording import typed

SETTLED_AT_ONCE = 64
"""Images that are looked at together once a model is trained."""


@dataclass(frozen=True)
class PreparedImages(PreparedClasses):
    """Everything that the training of a classifier needs.

    Args:
        train, val, remarks, config: as for every task.
        trained_on: the images, by content.
    """

    config: RunConfig
    trained_on: TrainedOn
    features: Mapping[str, Features] | None = None
    """What the frozen part of the model makes of the images, where a head is trained alone."""

    unit = "images"

    @property
    def keeps_features(self) -> bool:
        return self.features is not None

    @property
    def trusted_rate(self) -> float | None:
        return None if self.initial else find_trusted_rate(self.config.system)

    def module(self) -> Classifier:
        module = make_module(self.config, self.steps, self.initial, self.features)
        module.judged_on = self.config.found.counts["val"]
        return module

    def write(self, folder: Path) -> None:
        self.trained_on.write(folder)
        if self.features is not None:
            write_features(folder, self.features)
        super().write(folder)  # the configuration last: with it the run is whole

    @property
    def kind(self) -> AnswerKind:
        """What the model is trained to answer."""
        return kind_of(self.config)

    @property
    def _judged(self) -> Tensor:
        """The labels of the validation images."""
        assert isinstance(self.val, Batches)
        return self.val.labels

    @property
    def pass_steps(self) -> float:
        return self.config.found.counts["train"] / self.config.training.batch_size

    def suit(self, asked: Collection[str], *, passes: float) -> PreparedImages:
        chosen = choose_variation(asked, passes)
        kept = {*self.kind.usual, *(() if self.features is None else UNVARIED)}
        return self.with_training(**{name: value for name, value in chosen.items() if name not in kept})

    def plain(self) -> PreparedImages:
        return self.with_training(label_smoothing=0.0, mixup=0.0, augment=False, flips="none")

    def settle(self, folder: Path, device: str) -> list[str]:
        if not self.kind.settles_answers:
            return []
        run = ImageRun.load(folder, device)
        images = find_parts(self.config.data, self.config.training.seed)["val"]
        values, labels = read_all(self.kind, {"run": run.model}, read_batches(run, images, SETTLED_AT_ONCE))
        return self.kind.settle_answers(values["run"], labels, folder)

    def about(self, parameters: int) -> str:
        found, training = self.config.found, self.config.training
        return (
            f"{found.counts['train']:,} training and {found.counts['val']:,} validation images "
            f"{self.kind.describe()}; {self.config.system} with {parameters / 1e6:.2f} million weights; "
            f"{self.length()} of {training.batch_size}"
        )

    def reached(self, best: Row) -> str:
        return self.kind.reached(best, self._judged)

    def shortfall(self, best: Row) -> str:
        return self.kind.shortfall(best, self._judged)

    def purpose(self, parameters: int) -> str:
        size = " x ".join(str(side) for side in self.config.size)
        return f"A {self.config.system} of {parameters:,} weights that {self.kind.purpose(size)}."

    def facts(self, best: Row) -> dict[str, str]:
        counts = ", ".join(f"{count:,} {part}" for part, count in self.config.found.counts.items())
        return {
            "images": f"{self.config.data.images}: {counts}",
            **self.kind.card_figures(best),
            "batch": str(self.config.training.batch_size),
        }

    def evaluate_with(self, folder: Path) -> str:
        return f"jumok eval {typed(folder)} {typed(str(self.config.data.images))}"


def prepare(settings: Settings, progress: Progress | None = None) -> PreparedImages:
    """Find the images, read those that fit in memory, and settle the run's configuration.

    Raises:
        JumokError: images or settings that do not do.
    """
    sets = find_parts(settings.data, settings.training.seed)
    start = find_start(settings)
    settings = settings.model_copy(update={"training": settle_training(settings.training, start)})
    if start is not None:
        settings = settings.model_copy(update={"options": start.options_with(settings.options)})
    size, why, seen = _settle_size(settings, sets["train"], start)
    check_trainable(settings, sets["train"], size)  # before the long part
    processed = None if start is None else start.kept(settings.data)
    fit = None if processed is None else processed.fit
    train, val = stores(settings.data, sets["train"].paths, sets["val"].paths, size, progress, fit)
    asked = settings.training.model_fields_set
    chosen = choose_from_images(settings.training, asked, sets["train"], train, seen=seen)
    training = settings.training.model_copy(update=chosen.settings)
    config = configure(settings.model_copy(update={"training": training}), sets, size, train)
    config, initial = (config, {}) if start is None else begin(config, start, processed)
    hashes = hash_parts(sets)
    init, trained_on = settings.training.init, TrainedOn.of_hashes(hashes)
    seen_before = describe_before(trained_on, init, "images")
    known = frozenset(hashes["train"])
    alike = describe_look_alikes(train, val, [each in known for each in hashes["val"]])
    about = [*describe_data(sets, config, hashes), *seen_before, *alike]
    sized = f"image size: {size[0]} x {size[1]} pixels ({why})"
    remarks = (sized, *_remark_begun(config), *about, *chosen.remarks)
    ready = _ready(config, sets, (train, val), add_before(trained_on, init), initial, remarks, None, progress)
    return replace(ready, remarks=(*remarks, *describe_learning(ready.module(), kept=ready.features is not None)))


def _remark_begun(config: RunConfig) -> list[str]:
    begun = config.found.begun
    return [] if begun is None else [f"weights: {describe_begun(begun)}"]


def describe_data(sets: Mapping[str, ImageSet], config: RunConfig, hashes: Mapping[str, Sequence[str]]) -> list[str]:
    """What the user should know of the images, whose hashes are given: what is left out, masks, duplicates, bits."""
    bits = config.data.bits
    deep = [f"16-bit images are read by the {bits} bits in use: {(1 << bits) - 1:,} is white"] if bits else []
    labels = {part: images.labels for part, images in sets.items()}
    copies = [*describe_duplicates(hashes), *describe_contradictions(hashes, labels, sets["train"].noun)]
    frames = describe_frames([path for images in sets.values() for path in images.paths])
    return [*sets["train"].notes, *copies, *deep, *frames]


def resume(config: RunConfig, folder: Path, progress: Progress | None = None) -> PreparedImages:
    """The same for a run that began earlier.

    Raises:
        JumokError: the images are not those that it began with.
    """
    data = config.data.model_copy(update={"labels_are": config.found.kind})  # runs of earlier versions lack it
    config = config.model_copy(update={"data": data})
    if not Path(str(config.data.images)).exists():
        raise JumokError(
            f"{config.data.images} is not there any more: if the data lies elsewhere now, say where by --data"
        )
    sets = find_parts(config.data, config.training.seed)
    trained_on = check_unchanged(config, sets, folder)
    if not config.found.per_class and config.found.target is None:  # runs of earlier versions do not have it
        found = config.found.model_copy(update=KINDS[config.found.kind].find(sets))
        config = config.model_copy(update={"found": found})
    fit = make_preparation(config, str(folder)).preprocessing.fit
    train, val = stores(config.data, sets["train"].paths, sets["val"].paths, config.size, progress, fit)
    initial = read_initial(folder, config.found.begun)
    counts = {"train": len(train), "val": len(val)}
    return _ready(config, sets, (train, val), trained_on, initial, (), read_features(folder, counts), progress)


def _ready(
    config: RunConfig,
    sets: Mapping[str, ImageSet],
    stores: tuple[PixelStore, PixelStore],
    trained_on: TrainedOn,
    initial: Mapping[str, Tensor],
    remarks: tuple[str, ...],
    features: Mapping[str, Features] | None,
    progress: Progress | None,
) -> PreparedImages:
    """Everything together; features that are wanted and not there are computed."""
    if features is None:
        features = keep_features(config, initial, dict(zip(("train", "val"), stores, strict=True)), progress)
    train, val = stores if features is None else (features["train"], features["val"])
    return PreparedImages(*loaders(config, sets, train, val), remarks, config, trained_on, features, initial=initial)


def _settle_size(settings: Settings, images: ImageSet, start: Start | None) -> tuple[tuple[int, int], str, float]:
    """The size that images are brought to, why, and how many of that size the time allows to be trained on."""
    cost = cache(partial(_measure_cost, settings, len(images.classes)))
    seconds = find_seconds(settings.training)
    if settings.data.image_size is not None:
        size, why = settings.data.size, "as asked" if start is None else start.why_asked
    elif start is not None:
        size, why = start.size, start.why
    else:
        size, why = choose_size(images.paths, cost, seconds)
    probed = size if start is None else start.size  # a model from elsewhere may take no other
    return size, why, seconds / (cost(probed) * math.prod(size) / math.prod(probed))


def _measure_cost(settings: Settings, classes: int, size: tuple[int, int]) -> float:
    """Seconds that training takes for an image of a size; infinite where the system does not take it."""
    try:
        options = system_options(settings.system, settings.options, classes, size)
        probe = systems.build(settings.system, configure_system(settings.system, options))
    except JumokError:
        return math.inf
    return measure_seconds(probe, size)


def find_parts(data: ImageData, seed: int) -> dict[str, ImageSet]:
    """Find the images in their three parts.

    Raises:
        JumokError: no folder was given, or it is not one of images in two or more classes.
    """
    if data.images is None:
        raise JumokError("no images: give a folder of class folders, as in jumok train photos --out runs/first")
    shares = (1 - data.val_fraction - data.test_fraction, data.val_fraction, data.test_fraction)
    if shares[0] <= 0:
        raise JumokError(f"--val-fraction {shares[1]} and --test-fraction {shares[2]} leave nothing to train on")
    return scan(
        Path(data.images),
        seed=seed,
        shares=shares,
        classes_are=data.classes_are,
        split_by=data.split_by,
        images=data.image_folder,
        labels_are=data.labels_are,
    )


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
        kind=train.kind,
        classes=train.classes,
        mean=mean,
        std=std,
        counts={part: len(images) for part, images in sets.items()},
        fingerprint=fingerprint(sets),
        **KINDS[train.kind].find(sets),
    )
    data = settings.data.model_copy(
        update={
            **_resolve_places(settings.data),
            "image_size": one_or_two(size),
            "bits": store.bits,
            "labels_are": train.kind,
        }
    )
    if settings.training.flips == "all" and size[0] != size[1]:
        raise JumokError(f"flips all needs square images, and these are {size[0]} x {size[1]}: use --flips both")
    training = settings.training.model_copy(update={"batch_size": batch_size(settings.training.batch_size, len(train))})
    return RunConfig(
        jumok=__version__,
        system=settings.system,
        options=system_options(settings.system, settings.options, len(train.classes), size),
        data=data,
        training=training,
        found=found,
    )


def _resolve_places(data: ImageData) -> dict[str, str | None]:
    """Where the images are, from wherever the run is used."""
    places = {"images": data.images, "image_folder": data.image_folder}
    return {name: None if place is None else str(Path(place).resolve()) for name, place in places.items()}


def batch_size(wanted: int, images: int) -> int:
    """The batch size wanted, or what the images are enough for; a multiple of the number of processes."""
    world = World.found().size
    if images < world:
        raise JumokError(f"{images} training images cannot be shared among {world} processes: use fewer")
    return wanted if wanted <= images else images - images % world


def loaders(config: RunConfig, sets: Mapping[str, ImageSet], train: Source, val: Source) -> tuple[Batches, Batches]:
    """Deal the batches of the training and the validation out to this process.

    Raises:
        JumokError: the batch size does not divide among the processes.
    """
    world = World.found()
    share: dict[str, Any] = {"batch_size": config.training.batch_size, "rank": world.rank, "world_size": world.size}
    labels = {part: kind_of(config).encode(sets[part].labels) for part in ("train", "val")}
    source = train
    near = find_neighbours(sets["train"].paths) if sets["train"].packed else None
    if config.training.balance == "sampler":
        order = balance_order(labels["train"])
        source, labels["train"] = Repeated(train, order), labels["train"][order]
        near = None if near is None else near.choose(order)
    seed = config.training.seed
    return (
        Batches(source, labels["train"], seed=seed, shuffle=True, drop_last=True, neighbours=near, **share),
        Batches(val, labels["val"], shuffle=False, drop_last=False, **share),
    )
