"""Images out of what engines and data sets wrap them in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from jumok.data.images.given import GivenImage, open_given
from jumok.data.images.reading import read_image
from jumok.errors import JumokError, first_line

__all__ = ["explain_unread", "read_content", "unwrap"]

IMAGES = (str, bytes, Path, Image.Image, np.ndarray, Tensor)


def unwrap(image: Any) -> GivenImage:
    """An image out of what engines wrap it in.

    Args:
        image: a file's bytes or path, an array, a Pillow image, or bytes and path as Hugging Face stores them; or a
            `JumokError` that says what is wrong with it.
    Raises:
        JumokError: there is none.
    """
    if isinstance(image, JumokError):
        raise image
    if isinstance(image, Mapping):  # as data sets of Hugging Face keep what they have not decoded
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    image = bytes(image) if isinstance(image, bytearray | memoryview) else image
    if not isinstance(image, IMAGES):
        raise JumokError(f"wanted a file's bytes, a path, an array or a Pillow image, got {type(image).__name__}")
    given: GivenImage = image
    return given


def read_content(content: Any, *, bits: int | None = None) -> Tensor:
    """The pixels of an image, (3, height, width) uint8.

    Args:
        content: as for `unwrap`.
        bits: that 16-bit images use; None: what their values need.
    Raises:
        JumokError: it cannot be read.
    """
    try:
        return read_image(open_given(unwrap(content), bits=bits))
    except JumokError:
        raise
    except Exception as error:  # such as no memory for the pixels of one image
        raise explain_unread(error) from error


def explain_unread(error: Exception) -> JumokError:
    """What to say of an image that cannot be read for a reason that lies in it."""
    return JumokError(f"cannot read the image ({first_line(error)}): replace it, or make it smaller")
