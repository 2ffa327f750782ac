"""Which modules of a watched model are running, and in which of its forward passes."""

from __future__ import annotations

import sys
from types import FrameType

from torch import Tensor, nn

from jumok.watching.module_paths import find_first_argument, find_innermost, holds, list_arguments, walk_outwards

HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")


class Running:
    """The modules of one model, as Python's frames show them at work.

    Args:
        modules: of the model, by their paths.
    """

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self._paths = {id(module): path for path, module in modules.items()}
        self._passes = 0
        self._pass_frame: FrameType | None = None
        self._forwards = 0
        self._forward_frame: FrameType | None = None

    def path(self, module: nn.Module) -> str:
        """Of one module; "" for one of another model."""
        return self._paths.get(id(module), "")

    def count_heads(self, path: str) -> int:
        """How many heads a module says that it has."""
        module = self.modules.get(path)
        homes = (module, getattr(module, "config", None))
        counts = (getattr(home, name, None) for home in homes for name in HEAD_COUNTS)
        return next((count for count in counts if isinstance(count, int)), 0)

    def is_argument(self, tensor: Tensor, outside: bool, made_in: int = 0, *, objects: bool = False) -> bool:
        """Whether a tensor was handed to the model: it is among the arguments of the module that runs outermost.

        Args:
            tensor: that is asked for.
            outside: what to say where no module runs.
            made_in: the number of the forward that made it: it was not handed to that one, though the name of an
                argument may be its own by now.
            objects: look into objects among the arguments, too, as into a cache of keys and values; that takes longer.
        """
        method = forward = None
        for frame in walk_outwards(sys._getframe(1)):
            if self._paths.get(id(find_first_argument(frame))) is not None:
                method = frame
                forward = frame if frame.f_code.co_name == "forward" else forward
            if frame is self._pass_frame:
                break
        outermost = forward or method  # generate() is a method of the model, too, and runs it many times
        if made_in and outermost is self._forward_frame and made_in == self._forwards:
            return False
        return outside if outermost is None else holds(list_arguments(outermost), tensor, objects=objects)

    def number_forward(self) -> int:
        """The number of the outermost forward of the model that runs now; 0 where none does."""
        outermost = None
        for frame in walk_outwards(sys._getframe(1)):
            if _is_forward(frame) and id(find_first_argument(frame)) in self._paths:
                outermost = frame
        if outermost is None:
            return 0
        if outermost is not self._forward_frame:
            self._forward_frame = outermost
            self._forwards += 1
        return self._forwards

    def is_any(self) -> bool:
        """Whether a module of the model runs now."""
        return any(id(find_first_argument(frame)) in self._paths for frame in walk_outwards(sys._getframe(1)))

    def innermost(self) -> str:
        """The path of the innermost module that runs; "" where there is none."""
        return find_innermost(sys._getframe(1), self._paths)

    def enter(self, outermost: FrameType | None) -> int:
        """Count the forward passes: the number of the one that a call belongs to, by its outermost frame."""
        if outermost is not None and outermost is not self._pass_frame:
            if self._pass_frame is not None:
                self._passes += 1
            self._pass_frame = outermost
        return self._passes

    def forget(self) -> None:
        """Let go of the frames of the last forward pass."""
        self._pass_frame = self._forward_frame = None

    def find_place(self) -> tuple[str | None, FrameType | None]:
        """The path of the innermost module that is running, and the outermost forward pass it belongs to.

        The path is "" where no module runs, and None where those of another model do.
        """
        frame = sys._getframe(1)
        return self._find_in_known_pass(frame) or self._find_in_any(frame)

    def _find_in_known_pass(self, innermost: FrameType) -> tuple[str | None, FrameType] | None:
        """As `find_place`, in the pass of the last call; None where that is not running."""
        # Reading what a frame was given takes far longer than walking past it, so that one module has to be enough.
        path, foreign = None, False
        for frame in walk_outwards(innermost if self._pass_frame is not None else None):
            if path is None:
                first = find_first_argument(frame)
                path = self._paths.get(id(first))
                foreign = foreign or (_is_forward(frame) and path is None and isinstance(first, nn.Module))
            if frame is self._pass_frame:
                return (None if path is None and foreign else path or ""), frame
        return None

    def _find_in_any(self, innermost: FrameType) -> tuple[str | None, FrameType | None]:
        path, foreign = None, False
        outermost: FrameType | None = None
        for frame in walk_outwards(innermost):
            running = _is_forward(frame)
            if path is None or running:
                first = find_first_argument(frame)
                found = self._paths.get(id(first))
                foreign = foreign or (running and found is None and isinstance(first, nn.Module))
                path = found if path is None else path
                outermost = frame if running and found is not None else outermost
        return (None if path is None and foreign else path or ""), outermost


def _is_forward(frame: FrameType) -> bool:
    return frame.f_code.co_name == "forward"
