"""Read off Python's frames which module is running: how a recorder knows a call's place without touching the model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType

from torch import Tensor, nn

_OURS = str(Path(__file__).parent)
"""Where functions lie that run between a model's call and what asks for its module."""


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
    try:
        name = _known_first_name(frame.f_code)
    except TypeError:  # constants of code that another library made, as torch.compile does, may be of any type
        name = _find_first_name(frame.f_code)
    return frame.f_locals.get(name) if name is not None else None


def _find_first_name(code: CodeType) -> str | None:
    """The name of a function's first argument; None for ours: reading what a frame was given takes its time."""
    return code.co_varnames[0] if code.co_argcount and not code.co_filename.startswith(_OURS) else None


_known_first_name = functools.lru_cache(maxsize=4096)(_find_first_name)


def list_arguments(frame: FrameType) -> list[object]:
    """What a function's arguments are by now."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return [frame.f_locals[name] for name in code.co_varnames[:count] if name in frame.f_locals]


def holds(values: Iterable[object], tensor: Tensor, depth: int = 3, *, objects: bool = False) -> bool:
    """Whether a tensor is among values, or in a container among them; `objects`: or an attribute of one, too."""
    for value in values:
        if value is tensor:
            return True
        if depth and isinstance(value, tuple | list) and holds(value, tensor, depth - 1, objects=objects):
            return True
        if depth and isinstance(value, dict) and holds(value.values(), tensor, depth - 1, objects=objects):
            return True
        inside = objects and depth and not isinstance(value, Tensor | nn.Module) and hasattr(value, "__dict__")
        if inside and holds(vars(value).values(), tensor, depth - 1, objects=True):
            return True
    return False
