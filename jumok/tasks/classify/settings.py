"""What a run of a classifier is made of: its settings, and what was found in the images. No torch here."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from jumok.errors import JumokError
from jumok.tasks.config import Recorded, Strict, Training
from jumok.tasks.config import Settings as AnySettings

LARGEST = 4096
"""Pixels that an image's side may have."""

Side = Annotated[int, Field(ge=1, le=LARGEST)]


def _side_or_sides(value: Any) -> Any:
    """Read 64, "64", "64x96" or [64, 96]."""
    if isinstance(value, str):
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() for side in sides):
            raise ValueError("it should be a number of pixels such as 64, or HEIGHTxWIDTH such as 64x96")
        value = [int(side) for side in sides] if len(sides) == 2 else int(sides[0])
    if isinstance(value, int) and not 1 <= value <= LARGEST:
        raise ValueError(f"it should be from 1 to {LARGEST} pixels")
    return value


class ImageData(Strict):
    """Where the images are and how they are read."""

    images: str | None = Field(
        default=None, description="Folder of class folders, or of train/ val/ test/ with class folders."
    )
    image_size: Annotated[int | tuple[Side, Side] | None, BeforeValidator(_side_or_sides)] = Field(
        default=None,
        description="Side in pixels, or HEIGHTxWIDTH; left out: the images' own if all are alike and small, or 224.",
    )
    memory: int | None = Field(
        default=None, ge=0, description="MiB for decoded images, else streamed; left out: a quarter of what is free."
    )
    val_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share kept for validation where the data has no part for it."
    )
    test_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share kept for testing where the data has no part for it."
    )


class ImageTraining(Training):
    """How a classifier is trained."""

    batch_size: int = Field(default=64, ge=1, description="Images per step, all processes together.")
    mixup: float = Field(
        default=0.2, ge=0, le=10, description="Alpha of the Beta that blends pairs of images; 0: none."
    )
    augment: bool = Field(
        default=True, description="Small random shifts, turns, zooms, and changes of light and contrast."
    )
    flips: Literal["none", "horizontal", "both", "all"] = Field(
        default="horizontal", description="Random mirror images; all: also turned by right angles, if they are square."
    )


class Found(Strict):
    """What the data said when the run began."""

    classes: tuple[str, ...] = Field(min_length=2, max_length=100_000)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    counts: dict[str, int]
    fingerprint: str
    """Of the names and classes of the training and validation images."""


class Settings(AnySettings):
    """What a person may choose for a classifier."""

    system: str = Field(default="vit-tiny", description="The model to train.")
    data: ImageData = ImageData()
    training: ImageTraining = ImageTraining()

    from_data: ClassVar[tuple[str, ...]] = ("classes", "image_size")


class RunConfig(Settings, Recorded):
    """Everything needed to build a classifier again and to go on with its training."""

    task: Literal["classify"] = "classify"
    found: Found

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) to which every image is brought."""
        size = self.data.image_size
        if size is None:
            raise JumokError("this run's config.yaml lacks data.image_size")
        return (size, size) if isinstance(size, int) else size
