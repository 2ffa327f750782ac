"""What a person sees while training, on a terminal and elsewhere."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from jumok.app import training_bar
from jumok.app.training_bar import Bar


class Clock:
    """Time that goes on by ten seconds each time that it is asked for."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 10
        return self.now


@pytest.fixture
def shown(monkeypatch):
    """Trains for two epochs of five steps, and gives all that was printed."""
    monkeypatch.setattr(training_bar, "time", Clock())

    def train(**console):
        written = io.StringIO()
        bar = Bar(Console(file=written, width=200, highlight=False, **console), epochs=2, steps=5)
        trainer, module = SimpleNamespace(global_step=0, current_epoch=0), SimpleNamespace(figures={"val_loss": 0.5})
        bar.on_train_start(trainer, module)
        for epoch in range(2):
            trainer.current_epoch = epoch
            for _ in range(5):
                trainer.global_step += 1
                bar.on_train_batch_end(trainer, module, {"loss": torch.tensor(0.25)}, None, 0)
            bar.on_train_epoch_end(trainer, module)
        bar.on_train_end(trainer, module)
        return written.getvalue()

    return train


def test_where_there_is_no_terminal_lines_come_now_and_then(shown):
    lines = shown().splitlines()
    assert sum(line.startswith(("epoch 1/2  val_loss 0.5000", "epoch 2/2  val_loss 0.5000")) for line in lines) == 2
    between = [line for line in lines if line.startswith("step ")]
    assert 2 <= len(between) < 10
    assert all("of 10  elapsed " in line and "remaining " in line and "loss 0.250" in line for line in between)


def test_earlier_epochs_stay_on_a_terminal(shown):
    text = shown(force_terminal=True)
    for epoch in (1, 2):
        assert text.count(f"epoch {epoch}/2  val_loss 0.5000  elapsed") == 1


def test_a_quiet_console_shows_nothing(shown):
    assert shown(quiet=True) == ""
