"""A run that goes on otherwise than it began: for longer, or with its data in another place."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from jumok.errors import JumokError
from jumok.language import later
from jumok.machine import World
from jumok.tasks.running.checkpoint import find_checkpoint, load_state
from jumok.tasks.running.config import Change, Settings
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.time_plan import measure_speed

__all__ = ["find_step", "lengthen", "move_data"]

P = TypeVar("P", bound=Prepared)
IMAGE_PLACES = ("image_folder", "images")
"""Settings that hold the folder of the images that the data names."""
S = TypeVar("S", bound=Settings)


def find_step(folder: Path) -> int:
    """The step that a run has come to, by its last checkpoint."""
    last = find_checkpoint(folder)
    return 0 if last is None else int(load_state(last)["global_step"])


def lengthen(
    prepared: P,
    step: int,
    *,
    epochs: int | None,
    seconds: float | None,
    began: float | None = None,
    afterwards: float = 0.0,
) -> P:
    """Give a run another length, and let its learning rate rise and fall anew over what is left.

    Args:
        prepared: the run.
        step: that it has come to.
        epochs: of the whole run; None: see `seconds`.
        seconds: that the rest of it may take.
        began, afterwards: as for `planning.plan`.
    Returns:
        the same where this is its length already, else the run with its new length, and the change noted.
    Raises:
        JumokError: it has done as many epochs already.
    """
    before, each = prepared.training.epochs, prepared.steps_per_epoch
    done = step // each
    began = time.monotonic() if began is None else began
    wanted = epochs if seconds is None else _fit_epochs(prepared, done, seconds, began, afterwards)
    if wanted is None or wanted == before:
        return prepared
    if wanted <= done:
        raise JumokError(f"this run has done {done} of {before} epochs: give --epochs more than {done}")
    text = later("epochs {before} to {wanted} after step {step}")
    told = later(text, before=str(before), wanted=str(wanted), step=f"{step:,}")
    if step:
        text = later("{told}, the learning rate rising to {lr} and falling anew over the steps from there on")
        told = later(text, told=told, lr=f"{prepared.training.lr:g}")
    return prepared.with_training(epochs=wanted).with_change(Change(step=step, told=str(told), schedule=step > 0))


def _fit_epochs(prepared: Prepared, done: int, seconds: float, began: float, afterwards: float) -> int:
    """Epochs of the whole run, so that those that are left take what is left of a time; at least one is."""
    if World.found().size > 1:
        raise JumokError("on several processes no speed is measured: give --epochs instead of --time")
    speed = measure_speed(prepared, max(seconds - (time.monotonic() - began), 0.0))
    each = prepared.steps_per_epoch * speed.step + speed.validation
    left = (seconds - (time.monotonic() - began) - speed.start) / (1 + afterwards)
    return done + max(int(left / each), 1)


def move_data(config: S, word: str, paths: Sequence[Path], step: int) -> S:
    """Let a run find its data where it lies now; whether it is the same is for its task to check.

    Args:
        config: of the run.
        word: the setting that holds the data's paths.
        paths: where it is now.
        step: that the run has come to.
    Returns:
        the same where nothing has moved, else the run with the new paths, and the change noted.
    Raises:
        JumokError: another number of paths than before, or one at which there is nothing.
    """
    values = config.data.model_dump()
    before, after = _list_paths(values[word]), [str(path.resolve()) for path in paths]
    if len(before) != len(after):
        raise JumokError(f"--data: wanted as many paths as this run had ({', '.join(before)}), got {len(after)}")
    _check_there("--data", paths)
    if before == after:
        return config
    old, new = Path(before[0]), Path(after[0])
    moved = {name: _rebase(value, old, new) for name, value in values.items()}
    moved[word] = after[0] if isinstance(values[word], str) else tuple(after)
    change = Change(step=step, told=f"data moved from {', '.join(before)} to {', '.join(after)}")
    changes = (*getattr(config, "changes", ()), change)
    return config.model_copy(update={"data": type(config.data).model_validate(moved), "changes": changes})


def move_images(config: S, word: str, place: Path, step: int) -> S:
    """The same for the folder of the images that a table or questions name.

    Args:
        config, word, step: as for `move_data`.
        place: where they lie now.
    Raises:
        JumokError: the run has no such folder, or there is none at the place.
    """
    name = next((each for each in IMAGE_PLACES if each != word and getattr(config.data, each, None)), None)
    if name is None:
        raise JumokError(
            "--images: this run names no folder of images beside its data: say where the data lies by --data"
        )
    _check_there("--images", [place])
    before, after = getattr(config.data, name), str(place.resolve())
    if before == after:
        return config
    changes = (*getattr(config, "changes", ()), Change(step=step, told=f"images moved from {before} to {after}"))
    data = type(config.data).model_validate({**config.data.model_dump(), name: after})
    return config.model_copy(update={"data": data, "changes": changes})


def _check_there(flag: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise JumokError(f"{flag}: there is nothing at {path}")


def _list_paths(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _rebase(value: Any, old: Path, new: Path) -> Any:
    """A path of the data, or several, that lay in or beside what has moved, where it lies now."""
    if isinstance(value, tuple):
        return tuple(_rebase(each, old, new) for each in value)
    if not isinstance(value, str):
        return value
    for home, place in ((old, new), (old.parent, new.parent)):
        moved = place / Path(value).relative_to(home) if Path(value).is_relative_to(home) else None
        if moved is not None and moved.exists() and not Path(value).exists():
            return str(moved)
    return value
