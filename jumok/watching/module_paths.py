"""Read off Python's frames which module is running: how a recorder knows a call's place without touching the model."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType

from torch import Tensor

IMAGE_CHANNELS = (1, 3, 4)


def walk_outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and those that called it, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def find_innermost(frame: FrameType | None, paths: Mapping[int, str]) -> str:
    """The path of the innermost module that is running; "" where there is none.

    Args:
        frame: to begin with.
        paths: of the modules, by their id.
    """
    found = (paths.get(id(find_first_argument(each))) for each in walk_outwards(frame))
    return next((path for path in found if path is not None), "")


def find_first_argument(frame: FrameType) -> object:
    """What a function was given as its first argument, `self` as a rule."""
    name = _find_first_name(frame.f_code)
    return frame.f_locals.get(name) if name is not None else None


@functools.lru_cache(maxsize=4096)
def _find_first_name(code: CodeType) -> str | None:
    return code.co_varnames[0] if code.co_argcount else None


def image_size(frame: FrameType) -> tuple[int, int] | None:
    """Height and width of the image among a forward pass's arguments, for models without a patch convolution."""
    for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]:
        value = frame.f_locals.get(name)
        if (
            isinstance(value, Tensor)
            and value.dim() == 4
            and value.is_floating_point()
            and value.shape[1] in IMAGE_CHANNELS
        ):
            return int(value.shape[2]), int(value.shape[3])
    return None
