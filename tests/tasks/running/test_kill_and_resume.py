"""A real training process, killed in the middle of an epoch by SIGKILL, that goes on as if nothing had happened."""

import time

import pytest
import torch
from breaking import same_end
from forked import Forked, kill
from small_runs import TINY

from jumok.app.cli import run
from jumok.tasks.running.checkpoint import load_state

SETTINGS = """
    --system vit-nano --epochs 4 --batch-size 4 --seed 3 --device cpu --threads 1 --mixup 0.4 --ema 0.9
    --checkpoint-every 2 --option dropout=0.1 --option drop_path=0.1
""".split()  # noqa: SIM905 (as it is typed)
OPTIONS = [word for key, value in TINY.items() for word in ("--option", f"{key}={value}")]


def command(photos, folder):
    return ["train", str(photos), "--out", str(folder), *SETTINGS, *OPTIONS]


def train_slowly():
    """So that it is killed in the middle of an epoch, however long a step takes."""
    from jumok.tasks.classify import augment

    mixed = augment.mixed
    augment.mixed = lambda *words: (time.sleep(0.05), mixed(*words))[1]


@pytest.mark.slow
def test_sigkill_in_the_middle_of_an_epoch_loses_nothing_but_steps(photos, tmp_path):
    torch.set_num_threads(1)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = Forked(command(photos, killed), tmp_path / "log", train_slowly)
    last = killed / "checkpoints" / "last.safetensors"
    try:
        step = 0
        while step < 10:  # seven steps make an epoch
            assert process.poll() is None
            time.sleep(0.02)
            step = load_state(last)["global_step"] if last.exists() else 0
    finally:
        kill(process.pid)
        process.wait()
    step = load_state(last)["global_step"]
    assert 10 <= step < 28
    assert not (killed / "card.md").exists()
    run(["train", "--resume", str(killed)])
    run(command(photos, whole))
    same_end(killed, whole)
    assert (killed / "card.md").exists()
