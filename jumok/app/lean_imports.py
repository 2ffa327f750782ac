"""Import torch and the training loop in less time: no search for garbage, no packages that they have no use for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from typing import Any

__all__ = ["import_torch", "import_training_loop"]

NEEDLESS = ("matplotlib", "scipy", "torchvision", "transformers")
"""What torchmetrics imports for metrics and pictures of its own where it finds it, which takes seconds and may fail: a
torchvision that does not fit torch does not load."""


def import_torch() -> None:
    """Import torch while the garbage collector rests, and keep what it brings from the collector for good.

    It makes half a million objects, none of them garbage, which would be looked through again and again: that takes a
    fifth of the time of a short command.
    """
    if "torch" in sys.modules:
        return
    resting = not gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.freeze()
        if not resting:
            gc.enable()


def import_training_loop() -> None:
    """Import what trains, without what only metrics of text and sound, and pictures of metrics, are made with.

    Commands that train call this before anything imports PyTorch Lightning. In a process of the user's own nothing is
    hidden.
    """
    with _hide(NEEDLESS):
        import torchmetrics  # noqa: F401


@contextmanager
def _hide(names: tuple[str, ...]) -> Iterator[None]:
    """Within the block, packages that ask whether these are installed are told that they are not."""
    imports: Any = import_module("lightning_utilities.core.imports")
    find_spec, version = getattr(imports, "find_spec", None), getattr(imports, "_version", None)
    if find_spec is None or version is None:  # another version, which asks in another way
        yield
        return

    def find_other(name: str, *more: Any) -> Any:
        return None if name in names else find_spec(name, *more)

    def version_of_other(name: str) -> str:
        if name in names:
            raise PackageNotFoundError(name)
        found: str = version(name)
        return found

    imports.find_spec, imports._version = find_other, version_of_other
    try:
        yield
    finally:
        imports.find_spec, imports._version = find_spec, version
        imports.package_available.cache_clear()
        imports.module_available.cache_clear()
