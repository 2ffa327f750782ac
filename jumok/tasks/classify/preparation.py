"""What is done to images before a classifier sees them: stretched, as for runs, or as a model from elsewhere has it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from jumok.attention.frames import Frame
from jumok.data.images.reading import open_image
from jumok.errors import JumokError, foreign
from jumok.language import later
from jumok.tasks.classify.observing import Colours, find_frame, observe_colours
from jumok.tasks.classify.settings import Processor
from jumok.tasks.preprocessing import Preprocessing

__all__ = ["Fitted", "Preparation", "Process", "Processed", "Stretched"]

Process = Callable[[Image.Image], Tensor]
"""From an image, RGB or grey, to (channels, height, width) as a model takes it."""
PROBE_SIDE = 96
"""Of the square images by which a processor's own size and colours are found."""


class Preparation(ABC):
    """From images to what a model takes."""

    stretched: bool = False
    """Whether all that it does to an image's geometry is to stretch it to `size`."""
    described: str
    """What is done to an image's geometry, in words."""

    @property
    def bits(self) -> int | None:
        """That 16-bit images use; None: what each image's values need."""
        return None

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(height, width) that the model is given; of a model of any size, that of a square image."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """That the model is given."""

    @property
    @abstractmethod
    def mean(self) -> tuple[float, ...]:
        """Of red, green and blue in [0, 1]: the colour that the model is given as 0."""

    @property
    @abstractmethod
    def std(self) -> tuple[float, ...]:
        """Of red, green and blue in [0, 1]: what the model is given as 1 more than that."""

    @property
    def order(self) -> tuple[int, ...] | None:
        """Which of red, green and blue (0, 1, 2) each channel is of; None where they are mixed."""
        return (0, 1, 2)

    @abstractmethod
    def prepare(self, images: Iterable[Tensor], device: torch.device) -> list[Tensor]:
        """Each of (3, any, any) uint8, one after the other, as (channels, height, width) float32, on a device."""

    @abstractmethod
    def normalise(self, images: Tensor, device: torch.device) -> Tensor:
        """(n, 3, height, width) uint8, already of the model's size, in the range that it takes."""

    @abstractmethod
    def undo(self, pixels: Tensor) -> Tensor:
        """(channels, height, width) as the model takes it, as a picture again: (3, height, width) uint8, on the CPU."""

    def frame(self, height: int, width: int) -> Frame | None:
        """The part of an image of a size that the model is given; None: the whole."""
        return None


@dataclass(frozen=True)
class Stretched(Preparation):
    """Images are stretched to a size, so that every pixel stays in view, and normalised by channel."""

    preprocessing: Preprocessing
    stretched = True

    @property
    def described(self) -> str:  # type: ignore[override]
        height, width = map(str, self.size)
        return later("stretched to {height} x {width} pixels", height=height, width=width)

    @property
    def bits(self) -> int | None:
        return self.preprocessing.bits

    @property
    def size(self) -> tuple[int, int]:
        return self.preprocessing.size

    @property
    def channels(self) -> int:
        return len(self.preprocessing.mean)

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(self.preprocessing.mean)

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(self.preprocessing.std)

    def prepare(self, images: Iterable[Tensor], device: torch.device) -> list[Tensor]:
        return list(self.preprocessing(images, device))

    def normalise(self, images: Tensor, device: torch.device) -> Tensor:
        return self.preprocessing.normalise(images, device)

    def undo(self, pixels: Tensor) -> Tensor:
        return self.preprocessing.undo(pixels)


@dataclass(frozen=True)
class Processed(Preparation):
    """Images are prepared by what came with a model, whole; what that does is found by watching it.

    Args:
        name: of the model, for messages.
        process: what came with it.
        described: what that does to an image's geometry, in words.
        grey: whether it takes grey images.
        kept: what it can be made again from.
    Raises:
        JumokError: it cannot be run, or does more to colours than to mix, scale and shift them.
    """

    name: str
    process: Process = field(repr=False)
    described: str
    grey: bool = False
    kept: Processor | None = field(default=None, repr=False)
    _frames: dict[tuple[int, int], Frame | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _ = self.colours  # what cannot be used is refused at once

    @cached_property
    def colours(self) -> Colours:
        """What becomes of colours."""
        return observe_colours(self._run, PROBE_SIDE, self.name)

    @property
    def size(self) -> tuple[int, int]:
        return self.colours.size

    @property
    def channels(self) -> int:
        return len(self.colours.offset)

    @property
    def mean(self) -> tuple[float, ...]:
        return self.colours.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.colours.std

    @property
    def order(self) -> tuple[int, ...] | None:
        return self.colours.order

    def prepare(self, images: Iterable[Tensor], device: torch.device) -> list[Tensor]:
        return [self._run(_to_picture(image)).to(device) for image in images]

    def normalise(self, images: Tensor, device: torch.device) -> Tensor:
        return self.colours.apply(images.to(device).float() / 255)

    def undo(self, pixels: Tensor) -> Tensor:
        return (self.colours.undo(pixels.detach().float().cpu()) * 255).round().clamp(0, 255).to(torch.uint8)

    def frame(self, height: int, width: int) -> Frame | None:
        if (height, width) not in self._frames:
            self._frames[height, width] = find_frame(self._run, self.colours, height, width, self.name)
        return self._frames[height, width]

    def fit(self, image: Tensor) -> Tensor:
        """Bring an image, (3, any, any) uint8, to the model's size, as a picture: (3, height, width) uint8.

        Raises:
            JumokError: it becomes of another size than a square image does.
        """
        picture = self.undo(self._run(_to_picture(image)))
        if tuple(picture.shape[1:]) != self.size:
            own, got, wanted = (" x ".join(map(str, size)) for size in (image.shape[1:], picture.shape[1:], self.size))
            raise JumokError(
                f"the image processor of {self.name} brings an image of {own} (height x width) to {got} pixels and a "
                f"square one to {wanted}, and training takes images of one size: stretch them with --image-size"
            )
        return picture

    def _run(self, image: Image.Image) -> Tensor:
        with foreign(f"the image processor of {self.name} cannot prepare an image", "mend its settings"):
            found = self.process(image.convert("L") if self.grey else image)
        if not (isinstance(found, Tensor) and found.dim() == 3):
            got = f"{tuple(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise JumokError(
                f"{self.name} is not given images but {got} by its own processor: wanted pixels (channels, height, "
                "width); in Python, use jumok.watch around it"
            )
        return found.float()


@dataclass(frozen=True)
class Fitted(Stretched):
    """Images are brought to size by what came with a model, and normalised by channel, as a run has it.

    Args:
        preprocessing: of the run.
        processed: what came with the model.
    """

    processed: Processed
    stretched = False

    @property
    def described(self) -> str:  # type: ignore[override]
        return self.processed.described

    def frame(self, height: int, width: int) -> Frame | None:
        return self.processed.frame(height, width)


def _to_picture(image: Tensor) -> Image.Image:
    """(3, height, width) uint8 as Pillow has it."""
    return open_image(image.permute(1, 2, 0).cpu().numpy())
