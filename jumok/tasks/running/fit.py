"""A training run: from a module, its data and its settings to a folder that holds a trained model."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning import Callback, Trainer
from torch import distributed

from jumok.errors import JumokError, first_line
from jumok.machine import World, accelerator_of
from jumok.mechanisms.kernels.door import using
from jumok.tasks.running.callbacks import Averaging, Keeper
from jumok.tasks.running.checkpoint import (
    CHECKPOINTS,
    LAST,
    SPOILT,
    find_checkpoint,
    keep_earlier,
    load_state,
    remove_leftovers,
    save_state,
)
from jumok.tasks.running.config import Training
from jumok.tasks.running.ending_signals import Signals
from jumok.tasks.running.figures import Row
from jumok.tasks.running.kernels import KernelChoice
from jumok.tasks.running.ledger import Clock, Ledger
from jumok.tasks.running.prepared import Batches
from jumok.tasks.running.processes import SharedTraining
from jumok.tasks.running.training_module import TrainingModule

BACKENDS = ("gloo", "NCCL", "nccl", "Connection closed by peer", "Connection reset by peer")
"""What an error says that is another process's end."""
PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True)
class Outcome:
    """How a training run ended.

    Args:
        rows: one per epoch, as in metrics.csv.
        best: the row whose weights were kept.
        clock: what it took.
        device: where it ran.
    """

    rows: list[Row]
    best: Row
    clock: Clock
    device: str


def fit(
    module: TrainingModule,
    train: Batches,
    val: Batches,
    folder: Path,
    settings: Training,
    watchers: tuple[Callback, ...] = (),
) -> Outcome:
    """Train, from the run's last checkpoint where there is one, and keep the best weights in the folder.

    Args:
        module: the model in training, with its loss and figures.
        train: batches in an order that depends on the epoch; its seed and size must be the run's.
        val: the validation data, unshuffled.
        folder: of the run; `weights.safetensors`, `metrics.csv`, `kernels.json`, `checkpoints/` and
            `logs/` are written there.
        settings: of the training.
        watchers: callbacks that only look, such as a progress bar.
    Raises:
        JumokError: the loss or the weights are NaN, the disk is full, or the checkpoint does not fit.
        Interrupted: a signal came; the state is on disk.
        KeyboardInterrupt: Ctrl-C came twice.
    """
    last = folder / CHECKPOINTS / LAST
    if World.found().first:
        remove_leftovers(folder)
        remove_leftovers(last.parent)
    clock = Clock()
    averaging = Averaging(settings.ema) if settings.ema else None
    ledger = Ledger(folder, clock)
    with _quiet(), Signals() as signals, closing(KernelChoice(folder)) as kernels, using(frozenset()):
        planned = settings.steps_per_epoch is not None
        often = {"every": settings.checkpoint_every, "patience": settings.patience}
        keeper = Keeper(folder, ledger, averaging, signals, **often, planned=planned)
        # beside what fsdp sends between steps, gloo never ends the broadcast that shares the choice (torch 2.13)
        noting = [kernels] if settings.strategy == "ddp" else []
        callbacks = [*([averaging] if averaging else []), ledger, *watchers, *noting, keeper]
        trainer = _make_trainer(folder, settings, callbacks)
        feed = Feed(train, lambda: trainer.global_step, clock, settings.steps_per_epoch or len(train))
        with _plain_errors(keeper, last):
            found = find_checkpoint(folder)
            trainer.fit(module, feed, val, ckpt_path=None if found is None else str(found))
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
    assert keeper.best is not None
    return Outcome(ledger.rows, keeper.best, clock, str(trainer.strategy.root_device))


class Feed:
    """The training batches of an epoch, from the step on that the run has come to, and the time spent waiting for them.

    An epoch is what lies between two validations: one pass over the data, a part of one, or several. Where a step
    stands among the passes follows from its number, so there is no position to keep.

    Args:
        batches: pass after pass.
        step: gives the number of steps done.
        clock: notes the time spent waiting.
        steps: of an epoch.
    """

    def __init__(self, batches: Batches, step: Callable[[], int], clock: Clock, steps: int) -> None:
        self._batches, self._step, self._clock, self._steps = batches, step, clock, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        done = self._step()
        left = self._steps - done % self._steps
        number, position = divmod(done, len(self._batches))
        self._batches.load_state_dict({**self._batches.state_dict(), "epoch": number, "position": position})
        began = time.monotonic()
        for batch in itertools.islice(itertools.chain.from_iterable(itertools.repeat(self._batches)), left):
            self._clock.waiting += time.monotonic() - began
            yield batch
            began = time.monotonic()


def _make_trainer(folder: Path, settings: Training, callbacks: list[Callback]) -> Trainer:
    world = World.found()
    accelerator, devices = accelerator_of(settings.device, world)
    return Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=world.size // world.here,
        strategy=_choose_strategy(settings, accelerator) if world.size > 1 else "auto",
        inference_mode=settings.strategy == "ddp",
        precision=PRECISIONS[settings.precision],
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip or None,
        plugins=[SafetensorsIO()],
        callbacks=callbacks,
        deterministic="warn" if accelerator == "cuda" else None,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _choose_strategy(settings: Training, accelerator: str) -> SharedTraining:
    if settings.strategy == "ddp":
        return SharedTraining(accelerator)
    from jumok.tasks.running.sharded_weights import ShardedTraining

    return ShardedTraining(accelerator)


class SafetensorsIO(CheckpointIO):
    """How the trainer keeps its checkpoints: as `save_state` and `load_state` do."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        keep_earlier(Path(path))
        save_state(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_state(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def check_machine(settings: Training) -> None:
    """Make sure that this machine can do what is asked.

    Raises:
        JumokError: no such device, or one that does not have the precision.
    """
    accelerator, _ = accelerator_of(settings.device, World.found())
    if settings.strategy == "fsdp":
        check_sharded(settings)
    if settings.precision == "16" and accelerator == "cpu":
        raise JumokError("precision 16 needs a GPU, and this run is on the CPU: use --precision bf16 or 32")


def check_sharded(settings: Training) -> None:
    """Refuse what cannot be done with weights of which each process holds a part.

    Raises:
        JumokError: there is one process, or an average of the weights was asked for.
    """
    if World.found().size == 1:
        raise JumokError(
            "--strategy fsdp shares the weights out among processes, and there is one: start several by torchrun "
            "--nproc-per-node N -m jumok train, or leave it out"
        )
    if settings.ema and "ema" in settings.model_fields_set:
        raise JumokError("--strategy fsdp keeps no average of the weights: leave --ema out, or give --ema 0")


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the trainer work without remarks meant for those who write training loops."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    tell = threading.excepthook
    threading.excepthook = partial(_tell_thread_error, tell)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = tell
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _tell_thread_error(tell: Callable[[threading.ExceptHookArgs], object], args: threading.ExceptHookArgs) -> None:
    """Leave out a full disk: TensorBoard's thread keeps that error for whoever writes next, who ends the training."""
    if not issubclass(args.exc_type, OSError):
        tell(args)


def _tells_of_another(error: Exception) -> bool:
    """Whether an error says no more than that another process is gone: its connection, or the store that it held."""
    kinds = (distributed.DistError,) if distributed.is_available() else ()
    return isinstance(error, kinds) or any(name in str(error) for name in BACKENDS)


@contextmanager
def _plain_errors(keeper: Keeper, last: Path) -> Iterator[None]:
    """Say what went wrong in the user's words."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error  # what the trainer makes of a second Ctrl-C
    except JumokError:
        raise
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise JumokError(f"cannot write the run: {reason}; earlier checkpoints are kept") from error
    except SPOILT as error:
        if World.found().size > 1 and _tells_of_another(error):
            raise JumokError(
                "another process of this training has ended: see what it said; resume with the same number of processes"
            ) from error
        if keeper.started or not last.exists():
            raise
        reason = " ".join(str(error).split())
        raise JumokError(f"{last} does not fit this run ({reason[:300]}): restore it, or train anew") from error
