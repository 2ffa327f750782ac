"""How the time of a run is shared out: what trials may take, what is left for steps, and how many fit into it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TypeVar

from jumok.durations import as_option, format_duration, parse_duration
from jumok.tasks.running import fit
from jumok.tasks.running.config import Training
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.stopwatch import Sampled, Stopwatch
from jumok.tasks.running.trial_folders import trial_folder
from jumok.wording import write_count

__all__ = [
    "HEART_SHARE",
    "LEAST_EPOCHS",
    "MOST_SECONDS",
    "TRIALS_SHARE",
    "TRIAL_SHARE",
    "Speed",
    "choose_seconds",
    "find_seconds",
    "fit_into",
    "fix_length",
    "measure_speed",
]

TRIAL_SHARE, HEART_SHARE, SPEED_SHARE = 0.08, 0.04, 0.05
"""Shares of the time left after reading: for trying learning rates, for learning a batch by heart, and for timing
steps, with as much again for a validation. What a process does but once, such as compiling, comes on top."""
TRIALS_SHARE = TRIAL_SHARE + HEART_SHARE + 2 * SPEED_SHARE
"""Of all of them together."""
WHOLE_PASS_SHARE = 0.2
"""An epoch is rounded down to whole passes where this takes off at most so much of it."""
VALIDATION_SHARE, MOST_VALIDATION_SHARE = 0.1, 0.3
"""Share of the time that validations take, and may take where there would be fewer than `LEAST_EPOCHS`."""
LEAST_EPOCHS, MOST_EPOCHS = 8, 50
"""Validations of a run whose length is given by its time."""
USUAL_STEPS, USUAL_PASSES, MOST_PASSES = 2_000, 40, 250
"""A run of no given length has so many steps and passes over its data, whichever is more, if they fit into
`MOST_SECONDS`; but steps alone ask for no more than so many passes."""
MOST_SECONDS = 600.0
"""Seconds that a run takes if no one said how long it may."""
FEW_STEPS, ENOUGH_STEPS = 100, 500
"""With fewer steps than the first, hardly any model learns; the second is what is advised then."""

P = TypeVar("P", bound=Prepared)


def find_seconds(training: Training) -> float:
    """Seconds that a run may take: as asked, or the most that one takes of its own accord."""
    return MOST_SECONDS if training.time is None else parse_duration(training.time, "--time")


@dataclass(frozen=True)
class Speed:
    """What training takes on this machine, in seconds.

    Args:
        step: of one training step, its batch read.
        validation: of one validation.
        start: before the first step, once all that a process does but once is done.
    """

    step: float
    validation: float
    start: float = 0.0


def measure_speed(prepared: Prepared, seconds: float = MOST_SECONDS) -> Speed:
    """Time the first steps of a training and a validation, with everything that a real run does beside them.

    Args:
        prepared: the data and the model.
        seconds: of the training: a small share of it is spent on the steps, and as much on a part of a validation.
    """
    began = time.perf_counter()
    module = prepared.module()
    built = time.perf_counter() - began
    watch, part = Stopwatch(SPEED_SHARE * seconds), Sampled(prepared.val, SPEED_SHARE * seconds)
    with trial_folder() as folder:
        fit.fit(module, prepared.train, part, folder, prepared.training, (watch,))
    return Speed(watch.step, watch.validation / part.share, built + watch.step)


def fit_into(seconds: float, speed: Speed, pass_steps: int) -> tuple[int, int]:
    """How many epochs of how many steps fill a time, with a validation after each.

    An epoch is a number of steps, and whole passes over the data where these come close to it.

    Args:
        seconds: for steps and validations.
        speed: of both.
        pass_steps: steps of a pass over the data.
    Returns:
        epochs, and steps of each.

    >>> fit_into(100, Speed(step=0.1, validation=1.0), 50)
    (10, 90)
    """
    affordable = seconds / max(speed.validation, 1e-6)
    wanted = max(VALIDATION_SHARE * affordable, min(LEAST_EPOCHS, MOST_VALIDATION_SHARE * affordable))
    epochs = max(1, min(MOST_EPOCHS, int(wanted)))
    steps = (seconds / epochs - speed.validation) / speed.step
    while epochs > 1 and steps < 1:
        epochs //= 2
        steps = (seconds / epochs - speed.validation) / speed.step
    per_epoch = max(int(steps), 1)
    passes = per_epoch // pass_steps
    whole = passes * pass_steps
    if whole and per_epoch - whole <= WHOLE_PASS_SHARE * per_epoch:
        return max(1, int(seconds / (whole * speed.step + speed.validation))), whole
    return epochs, per_epoch


def choose_seconds(speed: Speed, pass_steps: int) -> float:
    """Seconds for as many steps as such data needs, or the most."""
    steps = max(min(USUAL_STEPS, MOST_PASSES * pass_steps), USUAL_PASSES * pass_steps)
    return min(speed.start + steps * speed.step / (1 - VALIDATION_SHARE - TRIALS_SHARE), MOST_SECONDS)


def fix_length(prepared: P, speed: Speed, left: float, total: float, *, told: bool, spent: float = 0.0) -> P:
    """Settle how many steps a run has, and say so.

    Args:
        prepared: the data and the model.
        speed: of them.
        left: seconds for steps and validations.
        total: seconds of the whole.
        told: whether someone asked for this time.
        spent: seconds that are gone, with reading and trials.
    """
    epochs, steps = fit_into(left, speed, len(prepared.train))
    passes = epochs * steps / prepared.pass_steps
    planned = prepared.with_training(epochs=epochs, steps_per_epoch=steps)
    why = "as asked" if told else "chosen by the amount of data; --time changes it"
    count = write_count(epochs * steps, "step")
    seen = "1 pass" if f"{passes:.3g}" == "1" else f"{passes:.3g} passes"
    planned = planned.remark(
        f"time: {format_duration(total)} ({why}), so {count} of {1000 * speed.step:.0f} ms, {seen} over "
        f"the training data{_tell_spent(spent, total)}"
    )
    return planned if epochs * steps >= FEW_STEPS else planned.remark(_warn_of_few(epochs * steps, speed, spent))


def _tell_spent(spent: float, total: float) -> str:
    """What went before the first step; on a busy machine it can be more than there was."""
    if spent < 1:
        return ""
    if spent < total:
        return f"; loading, reading and trials took {format_duration(spent)} of it"
    return f"; loading, reading and trials alone took {format_duration(spent)}, so training ends later than asked"


def _warn_of_few(steps: int, speed: Speed, spent: float) -> str:
    """What to say where there is no time to learn anything."""
    training = ENOUGH_STEPS * speed.step + LEAST_EPOCHS * speed.validation
    wanted = as_option(spent + speed.start + training / (1 - TRIALS_SHARE))
    return (
        f"warning: {write_count(steps, 'step')} can teach hardly anything: --time {wanted} leaves time for about "
        f"{ENOUGH_STEPS}; a smaller model (--system) takes shorter steps"
    )
