"""One data set, one budget of time, several systems: train each in turn, and time and judge it."""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from jumok import systems
from jumok.data.batches import Batches, PixelStore
from jumok.data.folders import ImageSet
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.memory import PeakMemory
from jumok.tasks import fit
from jumok.tasks.classify import prepare
from jumok.tasks.classify.evaluation import evaluate
from jumok.tasks.classify.prepare import PreparedImages, system_options
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.config import Strict, parse, read_yaml
from jumok.tasks.run import CONFIG

RESULT = "result.json"
WARM_UP, TIMED = 3, 9
"""Training steps before the clock is started, and those that are timed, to foresee how long a pass takes."""
BATCH = 64
"""Images at a time in use."""
SECONDS = 0.7
"""How long use is timed."""


class Result(Strict):
    """What became of one system.

    Args:
        system: its name.
        epochs, seconds: passes over the training images, and wall time of the training.
        parameters: numbers that it learnt.
        train_rate, use_rate: images per second, in training and in use (batches of 64).
        memory: MiB held at most in training, beyond what was held before; None where it cannot be told.
        accuracy, low, high: share of the test images named right, with its 95 % interval.
        images: of the test.
    """

    system: str
    epochs: int = Field(ge=1)
    seconds: float
    parameters: int
    train_rate: float
    use_rate: float
    memory: float | None
    accuracy: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Contest:
    """Systems that are compared on the same images, with the same settings.

    Args:
        base: the images and the settings, as prepared for any of the systems.
        budget: seconds of training that each may take.
        test: the images to judge on.
        folder: where the runs are written.
        device: of the training and use.
    """

    base: PreparedImages
    budget: float
    test: ImageSet
    folder: Path
    device: str

    def enter(self, name: str, tell: Callable[[str], None]) -> Result:
        """Train and judge one system, or read what became of it; what was stopped goes on where it was.

        Args:
            name: of the system.
            tell: is given a line on what is being done.
        Raises:
            JumokError: the system cannot be trained on these images.
        """
        place = self.folder / name
        if (place / RESULT).exists():
            tell(f"{name}: already there")
            return parse(Result, read_yaml(place / RESULT), str(place / RESULT))
        prepared = self._prepared(name)
        memory, device = PeakMemory(), torch.device(self.device)
        module = prepared.module()
        tell(f"{name}: {module.size / 1e6:.2f} million weights, {prepared.training.epochs} epochs")
        outcome = fit.fit(module, prepared.train, prepared.val, place, prepared.training)
        held = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.mebibytes()
        trained = ImageRun.load(place, self.device)
        judged = evaluate(trained.model, self._batches(trained), trained.classes)
        low, high = judged.interval
        result = Result(
            system=name,
            epochs=len(outcome.rows),
            seconds=round(outcome.clock.wall, 2),
            parameters=module.size,
            train_rate=round(outcome.clock.rate, 1),
            use_rate=round(use_rate(trained), 1),
            memory=None if held is None else round(held, 1),
            accuracy=judged.accuracy,
            low=low,
            high=high,
            images=judged.images,
        )
        write_atomically(place / RESULT, json.dumps(result.model_dump(), indent=2) + "\n")
        return result

    def _prepared(self, name: str) -> PreparedImages:
        """The system's own run: begun earlier, or new, with as many epochs as fit into the budget."""
        place = self.folder / name
        if (place / CONFIG).exists():
            return replace(self.base, config=RunConfig.load(place / CONFIG))
        fresh = self.of_system(name, 1)
        epochs = passes_within(self.budget, fresh)
        prepared = self.of_system(name, epochs)
        prepared.write(place)
        return prepared

    def of_system(self, name: str, epochs: int) -> PreparedImages:
        """The same images and settings for another system.

        Raises:
            JumokError: it does not take these images.
        """
        config = self.base.config
        options = system_options(name, {}, len(config.found.classes), config.size)
        training = config.training.model_copy(update={"epochs": epochs})
        changed = {"system": name, "options": options, "training": training}
        return replace(self.base, config=config.model_copy(update=changed))

    def _batches(self, run: ImageRun) -> Iterable[tuple[Tensor, Tensor]]:
        """The test images as the run wants them."""
        store = PixelStore(self.test.paths, *run.size, memory_limit=0)
        labels = torch.tensor(self.test.labels)
        for batch in Batches(store, labels, batch_size=BATCH, shuffle=False, drop_last=False):
            yield run.normalise(batch.images), batch.labels.to(self.device)


def compared() -> list[str]:
    """The systems that stand for the mechanisms, small enough to be trained beside each other."""
    return [name for name in systems.ATTENDS if name in systems.names()]


def chosen(names: str) -> list[str]:
    """The systems of a list such as "cnn,senet", or "all".

    Raises:
        JumokError: no such system, or one that is not trained on images.
    """
    found = compared() if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        raise JumokError(f"no systems to compare: give their names, as in cnn,senet, or all ({', '.join(compared())})")
    for name in found:
        if (task := systems.task_of(name)) != "classify":
            raise JumokError(f"{name} is trained to {task}: compare takes systems that classify images")
    return list(dict.fromkeys(found))


def passes_within(budget: float, prepared: PreparedImages) -> int:
    """How many epochs fit into a time; at least one. A short training is timed, with all that a real one does.

    Args:
        budget: in seconds.
        prepared: the system that is to be trained, for one epoch.
    """
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        fit.fit(prepared.module(), prepared.train, prepared.val, Path(folder), prepared.training, (watch,))
    return max(1, int(budget / watch.epoch(len(prepared.train))))


class Stopwatch(Callback):
    """Times some steps of a training and one validation, and then stops it."""

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._looking = 0.0

    def epoch(self, steps: int) -> float:
        """Seconds that an epoch of so many steps takes."""
        gaps = [
            after - before for before, after in itertools.pairwise(self._steps[min(WARM_UP, len(self._steps) - 2) :])
        ]
        return self._looking + steps * (statistics.median(gaps) if gaps else 0.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps.append(time.perf_counter())
        trainer.should_stop = len(self._steps) > WARM_UP + TIMED

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._looking -= time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._looking += time.perf_counter()


@torch.no_grad()
def use_rate(run: ImageRun) -> float:
    """Images per second in use, in batches of 64 that lie in memory."""
    pixels = run.normalise(torch.randint(0, 256, (BATCH, 3, *run.size), dtype=torch.uint8))
    run.model(pixels)
    _wait(pixels.device)
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        run.model(pixels)
        _wait(pixels.device)
        done += BATCH
    return done / spent


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def begin(settings: Any, names: Sequence[str], progress: Any) -> PreparedImages:
    """Read the images once for all systems.

    Raises:
        JumokError: images or settings that do not do.
    """
    return prepare.prepare(settings.model_copy(update={"system": names[0], "options": {}}), progress)
