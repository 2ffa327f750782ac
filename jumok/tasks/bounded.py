"""Models that are built by a file's word, no larger than the weights that lie beside it.

A configuration of a few bytes can ask for more memory than any machine has, or for more layers than are built in a day.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from jumok.errors import JumokError
from jumok.files import regular_file

__all__ = ["Bound", "bound_of", "bound_of_folder", "building_within", "sizes_alone"]

MODULES_PER_TENSOR, LEAST_MODULES = 64, 10_000
"""Modules that a model may have: most tensors are of one module, within a few that hold others."""
COPIES, LEAST_VALUES = 8, 1 << 24
"""Values that a model may have: weights shared by several modules count for each, and some are in no file."""
SETTINGS = "config.json"
OUTPUTS = "num_labels"


@dataclass
class Bound:
    """What a model may hold.

    Args:
        where: its weights, for messages.
        tensors: that they are.
        values: in all of these.
    """

    where: str
    tensors: int
    values: int
    _modules: int = 0
    _values: int = 0

    @property
    def most_modules(self) -> int:
        """Modules that it may have."""
        return MODULES_PER_TENSOR * self.tensors + LEAST_MODULES

    @property
    def most_values(self) -> int:
        """Values that its parameters and buffers may have."""
        return COPIES * self.values + LEAST_VALUES

    def add_module(self, home: nn.Module, name: str, module: nn.Module | None) -> None:
        """Count a module as it is built in.

        Raises:
            JumokError: it is one too many.
        """
        self._modules += 1
        if self._modules > self.most_modules:
            raise JumokError(self._tell(f"more than {self.most_modules} modules"))

    def add_values(self, home: nn.Module, name: str, values: Tensor | None) -> None:
        """Count a parameter or a buffer as it is built in.

        Raises:
            JumokError: it is too large, or one too many.
        """
        self._values += values.numel() if isinstance(values, Tensor) else 0
        if self._values > self.most_values:
            raise JumokError(self._tell(f"at least {self._values} values"))

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings of `transformers` that name more outputs than the weights could have.

        Raises:
            JumokError: they do.
        """
        count = settings.get(OUTPUTS)
        if isinstance(count, int | float) and count > self.most_values:
            raise JumokError(self._tell(f"more than {self.most_values} outputs"))

    def _tell(self, asked: str) -> str:
        return (
            f"the configuration asks for a model of {asked}, and {self.where} holds {self.tensors} tensors with "
            f"{self.values} values: give the configuration that these weights were saved with"
        )


def bound_of(place: Path) -> Bound:
    """What a model may hold whose weights are in a file, or in the .safetensors files of a folder.

    Files that cannot be read count as empty: whoever reads them says so.
    """
    files = sorted(place.glob("*.safetensors")) if place.is_dir() else [place]
    sizes = [size for path in files for size in _read_sizes(path)]
    return Bound(str(place), len(sizes), sum(sizes))


@contextmanager
def building_within(bound: Bound | None) -> Iterator[None]:
    """Stop the building of a model as soon as it has more in it than that; None: let it be built.

    Raises:
        JumokError: it has.
    """
    if bound is None:
        yield
        return
    kept = (
        hooks.register_module_module_registration_hook(bound.add_module),
        hooks.register_module_parameter_registration_hook(bound.add_values),
        hooks.register_module_buffer_registration_hook(bound.add_values),
    )
    try:
        yield
    finally:
        for each in kept:
            each.remove()


@contextmanager
def sizes_alone() -> Iterator[None]:
    """Build models without their values, for the names and sizes of their weights.

    Arithmetic on tensors without values imports PyTorch's compiler, which takes a second: systems compute what is fixed
    about them on the CPU, and normal values are not drawn.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are where they would get normal values."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, nn.init.normal_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def bound_of_folder(name: str) -> Bound | None:
    """As `bound_of`, of a model's folder, whose config.json is looked at; None: it is no folder.

    Raises:
        JumokError: the settings name more outputs than the weights could have.
    """
    folder = Path(name)
    if not folder.is_dir():
        return None
    bound = bound_of(folder)
    try:
        settings = json.loads(regular_file(folder / SETTINGS).read_text("utf-8"))
    except (OSError, ValueError, RecursionError, JumokError):  # whoever opens the model says so
        return bound
    if isinstance(settings, dict):
        bound.check(settings)
    return bound


def _read_sizes(path: Path) -> list[int]:
    """How many values each tensor of a file has, from its head."""
    try:
        with safe_open(regular_file(path), framework="pt") as file:
            return [math.prod(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, JumokError):
        return []
