"""What a run of a classifier is made of: its settings, and what was found in the images. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from jumok.data.images.label_cells import Kind
from jumok.data.table_heads import TABLE_SUFFIXES
from jumok.tasks.image_settings import ImageSettings, Spread
from jumok.tasks.running.config import Begun, Names, Recorded, Strict
from jumok.tasks.running.config import Settings as AnySettings
from jumok.tasks.running.tuning_settings import TuningTraining, is_uneven


class ImageData(ImageSettings):
    """Where the images are and how they are read."""

    images: str | None = Field(
        default=None,
        description="Folder of class folders, or of train/ val/ test/ with class folders, a table of image,label, or "
        ".parquet or .tar files with images.",
    )
    image_folder: str | None = Field(
        default=None, description="Folder that the names in a table of labels refer to; default: the table's own."
    )
    classes_are: Literal["auto", "top", "inside"] = Field(
        default="auto",
        description="Which folders the classes are where a name such as train could be both: those directly in the "
        "data, or those inside train/.",
    )
    labels_are: Literal["auto", "class", "multi", "number"] = Field(
        default="auto",
        description="What a table says of each image: one class, any number of labels with | between, or a number.",
        json_schema_extra={"usual": "as its labels look"},
    )
    split_by: str | None = Field(
        default=None,
        description="Keep what belongs together in one part: a column of the table of labels, or folder.",
    )
    val_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share held out for validation if the data has no validation part."
    )
    test_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share held out for testing if the data has no test part."
    )

    @property
    def folder(self) -> str | None:
        """Where the images lie: the folder itself, or that of a table."""
        if self.images is None or Path(self.images).suffix.lower() not in TABLE_SUFFIXES:
            return self.images
        return self.image_folder or str(Path(self.images).parent)


class ImageTraining(TuningTraining):
    """How a classifier is trained."""

    batch_size: int = Field(
        default=64,
        ge=1,
        description="Batch size in images, over all processes.",
        json_schema_extra={"usual": "16 to 64, by the number of images"},
    )
    mixup: float = Field(
        default=0.2,
        ge=0,
        le=10,
        description="Mixup: alpha of its Beta distribution; 0 = off.",
        json_schema_extra={"usual": "by how often each image is seen"},
    )
    augment: bool = Field(
        default=True, description="Small random shifts, rotations, zooms, and changes of brightness and contrast."
    )
    augment_strength: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Strength of these changes; 1: shifts of 8%, rotations of 10 degrees, zooms of 10%.",
        json_schema_extra={"usual": "by how often each image is seen"},
    )
    flips: Literal["none", "horizontal", "both", "all"] = Field(
        default="horizontal",
        description="Random flips; all: also rotations by 90 degrees, for square images.",
        json_schema_extra={"usual": "those that a test of the images finds safe"},
    )


class Scale(Strict):
    """The numbers of the training images: what a model gives is in standard deviations from their mean."""

    mean: float
    std: float = Field(gt=0)
    median: float
    low: float
    high: float


class Processor(Strict):
    """What came with a model from elsewhere to prepare its images, kept so that a run needs nothing else."""

    library: Literal["transformers", "timm"]
    settings: dict[str, Any] = Field(min_length=1)


class Found(Strict):
    """What the data said when the run began."""

    kind: Kind = "class"
    """What images are labelled with: one class, several labels, or a number."""
    classes: Names = Field(min_length=1, max_length=100_000)
    """Names of the classes or labels; of numbers one name."""
    mean: tuple[float, float, float]
    std: tuple[Spread, Spread, Spread]
    counts: dict[str, int]
    per_class: dict[str, tuple[int, ...]] = Field(default={})
    """Images of each part in each class, or with each label."""
    target: Scale | None = None
    """Of numbers."""
    fingerprint: str
    """Of the names and classes of the training and validation images."""
    begun: Begun | None = None
    """With which weights training began; None: with random ones."""
    processor: Processor | None = None
    """What brings images to their size; None: they are stretched."""
    head: str | None = None
    """The linear layer that the logits come out of, where a part of the model is frozen."""

    @field_validator("classes")
    @classmethod
    def _two_classes(cls, classes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """A single label can be learnt, and a number has one name; a single class cannot."""
        if info.data.get("kind") == "class" and len(classes) < 2:
            raise ValueError("it should have at least 2 items")
        return classes


class Settings(AnySettings):
    """What a person may choose for a classifier."""

    system: str = Field(default="senet", description="The model to train.")
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
        return self.data.size

    @property
    def uneven(self) -> bool:
        """Whether the largest class has clearly more training images than the smallest."""
        return self.found.kind == "class" and is_uneven(self.found.per_class.get("train", ()))
