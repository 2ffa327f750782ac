"""The one door to kernels: whether a computation takes its fast form or the plain one of PyTorch.

Which is faster depends on the processor, so both are timed (`timing`) on the shapes of a run's first step, and the
choice is said here, by `use`. Where nothing was said the form is the plain one, as it is everywhere with
JUMOK_KERNELS=plain.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jumok.machine import kernels_are_plain

__all__ = ["Call", "Choice", "is_off", "noting", "switch_off", "takes_fast", "use", "using"]

Choice = tuple[str, tuple[int, ...]]
"""A kernel by its name, and what the choice of its form depends on."""


class Call(NamedTuple):
    """A call that could take either form.

    Args:
        kernel: its name.
        key: what the choice depends on.
        shape: by which it is timed.
    """

    kernel: str
    key: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def choice(self) -> Choice:
        """What the choice is made for."""
        return self.kernel, self.key


class _Door:
    """What this process goes by: choices that are fast, the calls that are noted, if they are, and the switch."""

    def __init__(self) -> None:
        self.fast: Container[Choice] = frozenset()
        self.noted: set[Call] | None = None
        self.off = kernels_are_plain()


_door = _Door()


def takes_fast(call: Call) -> bool:
    """Whether a call takes its fast form; notes it."""
    if _door.off:
        return False
    if _door.noted is not None:
        _door.noted.add(call)
    return call.choice in _door.fast


def use(choices: Container[Choice]) -> Container[Choice]:
    """Let these take their fast form from now on, and no others; gives what was before."""
    before, _door.fast = _door.fast, choices
    return before


def is_off() -> bool:
    """Whether every kernel takes its plain form, also those that are not timed."""
    return _door.off


def switch_off(off: bool) -> None:
    """Switch all fast forms off, or on again, from now on."""
    _door.off = off


@contextmanager
def using(choices: Container[Choice]) -> Iterator[None]:
    """Let these take their fast form, and no others, within a `with` block; what is switched in it is switched back."""
    before, off = use(choices), _door.off
    try:
        yield
    finally:
        use(before)
        switch_off(off)


@contextmanager
def noting() -> Iterator[set[Call]]:
    """Note the calls of a `with` block that could take either form."""
    before, _door.noted = _door.noted, set()
    try:
        yield _door.noted
    finally:
        _door.noted = before
