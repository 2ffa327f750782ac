"""Which kernels a run is trained by: timed after its first step, and kept in its folder for all its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed

from jumok.errors import JumokError
from jumok.files import regular_file, write_atomically
from jumok.mechanisms.kernels.door import Call, is_off, noting, switch_off, use
from jumok.mechanisms.kernels.timing import choose, chosen
from jumok.tasks.running.config import Strict

KERNELS = "kernels.json"
LARGEST_FILE = 1 << 20
"""Bytes that the file may have."""


class Form(Strict):
    """A kernel, what the choice of its form depends on, the form that it takes, and the milliseconds of both."""

    kernel: str = Field(max_length=64)
    key: tuple[int, ...] = Field(max_length=64)
    by: Literal["plain", "fast"]
    plain: float = Field(ge=0)
    fast: float = Field(ge=0)


class Kernels(Strict):
    """What a run is trained by; `off`: by PyTorch's own forms alone."""

    format: Literal[2] = 2
    off: bool = False
    forms: tuple[Form, ...] = Field(default=(), max_length=4096)

    @staticmethod
    def time_forms(calls: set[Call]) -> Kernels:
        """Time the forms of what was called so."""
        times = choose(calls)
        fast = chosen(times)
        return Kernels(
            off=is_off(),
            forms=tuple(
                Form(
                    kernel=each.choice[0],
                    key=each.choice[1],
                    by="fast" if each.choice in fast else "plain",
                    plain=round(1000 * each.plain, 3),
                    fast=round(1000 * each.fast, 3),
                )
                for each in times
            ),
        )

    @staticmethod
    def read(path: Path) -> Kernels | None:
        """Read a run's file; None where there is none yet.

        Raises:
            JumokError: it is damaged, or of another version.
        """
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise JumokError(f"{path} is larger than {LARGEST_FILE >> 20} MiB: put this run's own file back")
            return Kernels.model_validate_json(regular_file(path).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in found["loc"]) or "all of it"
            raise JumokError(f"{path} is damaged ({place}: {found['msg']}): put this run's own file back") from error
        except OSError as error:
            raise JumokError(f"cannot read {path}: {error.strerror or error}") from error

    def take(self) -> None:
        """Go by them in this process from now on."""
        switch_off(self.off)
        use(frozenset((each.kernel, each.key) for each in self.forms if each.by == "fast"))


class KernelChoice(Callback):
    """Has a run's first step note what it computes, the plain way, and all later steps go by what was faster.

    The file is written before the second step, and so before any checkpoint: whatever goes on with the run goes by it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KERNELS
        self._known: Kernels | None = None
        self._noting: Any = None
        self._calls: set[Call] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._known = _share_choice(trainer, Kernels.read(self._path) if trainer.is_global_zero else None)
        if self._known and trainer.global_step:
            self._known.take()
            return
        if self._known:  # stopped before its first checkpoint
            switch_off(self._known.off)
        self._noting = noting()
        self._calls = self._noting.__enter__()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._noting is None:
            return
        self.close()
        if self._known is None:
            self._known = _share_choice(trainer, self._time_forms() if trainer.is_global_zero else None)
        assert self._known is not None
        self._known.take()

    def close(self) -> None:
        """Note no more."""
        noting_now, self._noting = self._noting, None
        if noting_now:
            noting_now.__exit__(None, None, None)

    def _time_forms(self) -> Kernels:
        found = Kernels.time_forms(self._calls)
        write_atomically(self._path, found.model_dump_json(indent=1) + "\n")
        return found


def _share_choice(trainer: Trainer, found: Kernels | None) -> Kernels | None:
    """What the first process found, in all of them."""
    if trainer.world_size == 1:
        return found
    text = found.model_dump_json().encode() if found else b""
    length = torch.tensor([len(text)], device=trainer.strategy.root_device)
    distributed.broadcast(length, 0)
    if not int(length):
        return None
    content = torch.zeros(int(length), dtype=torch.uint8, device=trainer.strategy.root_device)
    if trainer.is_global_zero:
        content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
    distributed.broadcast(content, 0)
    return Kernels.model_validate_json(bytes(content.cpu().tolist()))
