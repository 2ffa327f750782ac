"""Ending a training run in the middle, and comparing how two runs ended."""

import pytest
import torch
from pytorch_lightning import Callback

from jumok.tasks.running.checkpoint import load_state, read_tensors


class Stop(Exception):  # noqa: N818
    """Stands for whatever ends a process."""


class At(Callback):
    """Calls a function once, when a step begins or a validation does."""

    def __init__(self, step, do, where="step"):
        self._step, self._do, self._where = step, do, where

    def on_train_batch_start(self, trainer, *_):
        if self._where == "step" and trainer.global_step == self._step:
            self._do()

    def on_validation_start(self, trainer, *_):
        if self._where == "validation" and trainer.global_step == self._step:
            self._do()


def stop():
    raise Stop


def end_after(run, stops):
    """Stop a run at each of these (step, where) in turn, and then let it end."""
    for step, where in stops:
        with pytest.raises(Stop):
            run.start(At(step, stop, where))
        torch.rand(17)  # whatever else draws numbers in between
    run.start()


def flat(value, path=""):
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: item for name, inner in pairs for key, item in flat(inner, f"{path}/{name}").items()}
    return {path: value}


def same_end(one, other):
    """Compare two run folders: every tensor, counter and figure of the state, the weights and the rows."""
    states = [flat(load_state(folder / "checkpoints" / "last.safetensors")) for folder in (one, other)]
    states = [{key: value for key, value in state.items() if "/clock/" not in key} for state in states]
    assert states[0].keys() == states[1].keys()
    assert sum(isinstance(value, torch.Tensor) for value in states[0].values()) > 50
    for key, value in states[0].items():
        equal = torch.equal(value, states[1][key]) if isinstance(value, torch.Tensor) else value == states[1][key]
        assert equal, key
    weights = [read_tensors(folder / "weights.safetensors") for folder in (one, other)]
    assert weights[0][0] == weights[1][0]
    assert all(torch.equal(value, weights[1][1][name]) for name, value in weights[0][1].items())
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
