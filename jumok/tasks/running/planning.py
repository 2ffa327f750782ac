"""How long and how fast a run learns, settled before its first step from what its data and this machine show.

A short trial of several learning rates, a check that the model can learn a few examples by heart, and the time that
steps and a validation take (see `time_plan`). What comes out is written into the run's configuration: a resumed run
measures nothing again.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import nn

from jumok.machine import World, device_name
from jumok.tasks.running.optimiser import FACTOR
from jumok.tasks.running.prepared import Batches, Prepared
from jumok.tasks.running.time_plan import (
    HEART_SHARE,
    MOST_SECONDS,
    TRIAL_SHARE,
    TRIALS_SHARE,
    Speed,
    choose_seconds,
    fix_length,
    measure_speed,
)

__all__ = ["Trial", "learn_by_heart", "plan", "try_rates"]

FEW_RATES = 2
"""So many rates are tried where there is no time for all: the usual one or the highest that may tie, and the next."""
CLEARLY_WORSE = 1.1
"""A rate that long trainings are known to like is taken unless its loss in the trial is so many times the lowest."""
TRIAL_STEPS, LEAST_TRIAL_STEPS = 48, 12
"""Steps for which each rate is tried; with fewer, a trial says nothing and is left out."""
TRIAL_WARM_UP_STEPS = 10
"""Steps in which the rate of a trial rises to its height."""
JUDGED_SHARE = 0.4
"""Share of a trial's steps, its last, whose mean loss is compared."""
HIGHEST_TIED_RATE = 3e-3
"""A rate above this must have the lowest loss of all to be taken."""
HEART_STEPS, LEAST_HEART_STEPS = 120, 40
"""Steps in which one batch should be learnt by heart; with no time for the fewer, this is not checked."""
LEARNT_LOSS = 0.25
"""A batch counts as learnt by heart when its loss is below this share of the first."""
AVERAGED_SHARE = 0.01
"""Share of the steps that the average of the weights reaches back over."""

UNTRIED = "several processes: what was not given of --lr and --epochs is the usual value; nothing was tried or timed"

P = TypeVar("P", bound=Prepared)


@dataclass(frozen=True)
class Trial:
    """A short training.

    Args:
        rate: its peak learning rate.
        losses: of its steps.
    """

    rate: float
    losses: tuple[float, ...]

    @property
    def reached(self) -> float:
        """The mean loss of its last steps; infinite where it diverged."""
        mean = statistics.mean(self.judged)
        return mean if math.isfinite(mean) else math.inf

    @property
    def judged(self) -> tuple[float, ...]:
        """The losses of its last steps."""
        return self.losses[-max(round(len(self.losses) * JUDGED_SHARE), 1) :]

    def ties(self, best: Trial) -> bool:
        """Whether its loss is no higher than the best one's by more than the standard error of their difference."""
        if not math.isfinite(self.reached):
            return False
        apart = [own - other for own, other in zip(self.judged, best.judged, strict=True)]
        error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0
        return statistics.mean(apart) <= error


def plan(
    prepared: P,
    asked: Collection[str],
    *,
    seconds: float | None,
    began: float | None = None,
    afterwards: float = 0.0,
) -> P:
    """Settle what the person left open: learning rate, number of steps, how far weights are averaged.

    Args:
        prepared: the data and the model.
        asked: names of the settings that were given, which stay as they are.
        seconds: that may be taken in all; None: what the data needs, at most `MOST_SECONDS`.
        began: since when they count, by `time.monotonic`; None: the training's own steps and validations alone count.
        afterwards: what follows the training, as a share of its time.
    Returns:
        the same with its settings, and remarks that say what was chosen and why.
    """
    open_end = "epochs" not in asked
    alone = World.found().size == 1
    if not alone or (not open_end and "lr" in asked):
        if open_end or "lr" not in asked:
            prepared = prepared.remark(UNTRIED)
        prepared = prepared.suit(asked, passes=prepared.steps / prepared.pass_steps)
        return prepared if "ema" in asked else _average(prepared)
    read = 0.0 if began is None else time.monotonic() - began
    speed = measure_speed(prepared, _leave(seconds or MOST_SECONDS, read))
    if open_end:
        total = seconds if seconds is not None else choose_seconds(speed, len(prepared.train))
    else:
        total, read = prepared.training.epochs * (prepared.steps_per_epoch * speed.step + speed.validation), 0.0
    room = _leave(total, read)
    foreseen = max((1 - TRIALS_SHARE) * room - speed.start, speed.step) / speed.step
    prepared = prepared.suit(asked, passes=foreseen / prepared.pass_steps)
    if "lr" not in asked:
        prepared = _choose_rate(prepared, speed, room)
    prepared = _check_by_heart(prepared, speed, room)
    if open_end:
        spent = 0.0 if began is None else time.monotonic() - began
        left = total if began is None else (total - spent - speed.start) / (1 + afterwards)
        prepared = fix_length(prepared, speed, left, total, told=seconds is not None, spent=spent)
    return prepared if "ema" in asked else _average(prepared)


def _leave(total: float, spent: float) -> float:
    """What is left of a time."""
    return max(total - spent, 0.0)


# -- learning rate ------------------------------------------------------------------------------


def try_rates(prepared: Prepared, rates: Collection[float], steps: int) -> list[Trial]:
    """Train for a few steps with each learning rate, from the same weights, on the same batches."""
    return [_try_rate(prepared.with_training(lr=rate), steps) for rate in rates]


def _try_rate(prepared: Prepared, steps: int) -> Trial:
    rate = prepared.training.lr
    return Trial(rate, tuple(_train_on(prepared, _go_round(prepared.train, steps), rate)))


def _choose_rate(prepared: P, speed: Speed, total: float) -> P:
    """Take the learning rate of the trial with the lowest loss; of those that tie with it the highest.

    Short trials favour low rates, which long trainings do not (Wu et al. 2018, arXiv 1803.02021). So a rate that the
    system is known to like needs only not to be clearly worse.
    """
    trusted = prepared.trusted_rate
    usual = trusted or prepared.training.lr
    affordable = int(TRIAL_SHARE * total / speed.step)
    every = prepared.rates
    few = [rate for rate in every if rate <= (trusted or HIGHEST_TIED_RATE)][-FEW_RATES:]
    rates = every if affordable >= LEAST_TRIAL_STEPS * len(every) else few
    steps = min(TRIAL_STEPS, affordable // len(rates))
    if steps < LEAST_TRIAL_STEPS:
        return prepared.with_training(lr=usual).remark(
            f"learning rate: {usual:g}, the usual one; there is no time to try others"
        )
    trials = try_rates(prepared, rates, steps)
    if not any(math.isfinite(trial.reached) for trial in trials):
        return prepared.remark(f"learning rate: {usual:g}, the usual one; the loss of every trial was NaN or infinite")
    chosen = _choose_trial(trials, trusted)
    told = ", ".join(f"{trial.rate:g}: {trial.reached:.3g}" for trial in trials)
    known = "usual for this system; " if chosen == trusted else ""
    return prepared.with_training(lr=chosen).remark(
        f"learning rate: {chosen:g} ({known}loss after {steps} steps by rate: {told})"
    )


def _choose_trial(trials: Collection[Trial], trusted: float | None) -> float:
    best = min(trials, key=lambda trial: trial.reached)
    if any(trial.rate == trusted and trial.reached <= CLEARLY_WORSE * best.reached for trial in trials):
        return trusted or best.rate
    tied = (trial.rate for trial in trials if trial.rate <= HIGHEST_TIED_RATE and trial.ties(best))
    return max((best.rate, *tied))


def _check_by_heart(prepared: P, speed: Speed, total: float) -> P:
    """Say so where the model cannot even learn one batch by heart."""
    steps = min(HEART_STEPS, int(HEART_SHARE * total / speed.step))
    if steps < LEAST_HEART_STEPS:
        return prepared
    first, last = learn_by_heart(prepared, steps)
    if last < LEARNT_LOSS * first:
        return prepared
    return prepared.remark(
        f"warning: {steps} steps were not enough to learn a single batch by heart (loss {first:.3g} to {last:.3g}): "
        "this model or its learning rate may not fit the data; more time, another --system or --lr may help"
    )


def learn_by_heart(prepared: Prepared, steps: int) -> tuple[float, float]:
    """Train on one batch alone, with nothing that makes this harder, until it is learnt or the steps are over.

    Returns:
        the loss of the first step and the lowest one.
    """
    plain = prepared.plain()
    batch = next(iter(_go_round(plain.train, 1)))
    first = lowest = math.nan
    for loss in _train_on(plain, (batch for _ in range(steps)), plain.training.lr):
        first, lowest = (loss, loss) if math.isnan(first) else (first, min(lowest, loss))
        if lowest < LEARNT_LOSS * first:
            break
    return first, lowest


def _train_on(prepared: Prepared, batches: Iterator[Any], rate: float) -> Iterator[float]:
    """Train a fresh model on these batches and give the losses; stops at one that is no number."""
    device = torch.device(device_name(prepared.training.device))
    module = prepared.module().to(device).train()
    optimizer = torch.optim.AdamW(module.learning_groups(), lr=rate)
    for number, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get(FACTOR, 1.0) * min(1.0, (number + 1) / TRIAL_WARM_UP_STEPS)
        loss = module.loss(module.transfer_batch_to_device(batch, device, 0))
        optimizer.zero_grad()
        loss.backward()
        if prepared.training.clip:
            nn.utils.clip_grad_norm_(module.parameters(), prepared.training.clip)
        optimizer.step()
        yield float(loss.detach())
        if not math.isfinite(float(loss.detach())):
            return


def _go_round(batches: Batches, steps: int) -> Iterator[Any]:
    """So many batches, pass after pass from the first."""
    start = {**batches.state_dict(), "epoch": 0, "position": 0}
    batches.load_state_dict(start)
    given = 0
    while given < steps:
        for batch in islice(batches, steps - given):
            given += 1
            yield batch
    batches.load_state_dict(start)


# -- average of the weights ---------------------------------------------------------------------


def _average(prepared: P) -> P:
    """Average the weights over a share of the steps, so that short runs do not keep their beginning.

    Weights of which each process holds a part are not averaged.
    """
    if prepared.training.strategy == "fsdp":
        return prepared.with_training(ema=0.0)
    steps = prepared.training.epochs * prepared.steps_per_epoch
    return prepared.with_training(ema=round(1 - 1 / max(AVERAGED_SHARE * steps, 10.0), 6))
