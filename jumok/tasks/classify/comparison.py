"""Several systems that classify the same images: how each is prepared and judged. See `running.comparison`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jumok.data.images.folders import ImageSet
from jumok.errors import JumokError
from jumok.tasks.classify import prepare
from jumok.tasks.classify.evaluation import read_batches
from jumok.tasks.classify.kinds.class_scores import evaluate
from jumok.tasks.classify.prepare import PreparedImages
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.settings import RunConfig, Settings
from jumok.tasks.classify.system_options import system_options
from jumok.tasks.classify.task import CLASSIFY
from jumok.tasks.running.comparison import USE_BATCH, Comparison, Result, use_rate
from jumok.tasks.running.run import CONFIG

__all__ = ["ImageComparison", "ImageResult", "begin"]


class ImageResult(Result):
    """What became of a system that classifies images.

    Args:
        images: of the test.
    """

    images: int

    unit = "images"

    @property
    def tested(self) -> int:
        return self.images


@dataclass(frozen=True)
class ImageComparison(Comparison[PreparedImages]):
    """Systems that are compared on the same images.

    Args:
        test: the images to judge on.
    """

    test: ImageSet

    result = ImageResult

    def options(self, name: str) -> dict[str, Any]:
        config = self.base.config
        return system_options(name, {}, len(config.found.classes), config.size)

    def of_system(self, name: str) -> PreparedImages:
        """Models from elsewhere are given the images at their own size, with their own normalisation."""
        if not name.startswith(CLASSIFY.opens):
            return super().of_system(name)
        config = self.base.config
        data = config.data.model_copy(update={"image_size": None})
        return prepare.prepare(Settings(system=name, data=data, training=config.training))

    def begun(self, place: Path) -> PreparedImages:
        config = RunConfig.load(place / CONFIG)
        return super().begun(place) if config.found.begun is None else prepare.resume(config, place)

    def judge(self, place: Path) -> Mapping[str, Any]:
        run = ImageRun.load(place, self.device)
        judged = evaluate(run.model, read_batches(run, self.test, USE_BATCH), run.classes)
        low, high = judged.interval
        rate = round(_use_rate(run), 1)
        return {"use_rate": rate, "accuracy": judged.accuracy, "low": low, "high": high, "images": judged.total}


def _use_rate(run: ImageRun) -> float:
    """Images per second in use, in batches of 64 that lie in memory."""
    pixels = run.normalise(torch.randint(0, 256, (USE_BATCH, 3, *run.size), dtype=torch.uint8))
    return use_rate(lambda: run.model(pixels), USE_BATCH, pixels.device)


def begin(
    settings: Settings,
    budget: float,
    folder: Path,
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> ImageComparison:
    """Read the images once for all systems.

    Args:
        settings: for any one of the systems.
        budget, folder, device: of the comparison.
        progress: as for `prepare`.
    Raises:
        JumokError: images or settings that do not do.
    """
    if settings.system.startswith(CLASSIFY.opens):  # the images of the others are read as for one of ours
        settings = settings.model_copy(update={"system": CLASSIFY.default_system})
    test = prepare.find_parts(settings.data, settings.training.seed)["test"]
    if test.kind != "class":
        raise JumokError(
            f"compare takes images of one class each, and each of these has {test.each_has}: train each system by "
            "itself, and hold what jumok eval says of them side by side"
        )
    return ImageComparison(
        prepare.prepare(settings, progress), budget, frozenset(settings.training.model_fields_set), folder, device, test
    )
