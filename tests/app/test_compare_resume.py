"""A comparison that was stopped goes on, whatever is compared."""

import json
import os
import signal

import pytest
import torch
from pytorch_lightning import Callback
from safetensors.torch import load_file
from square_questions import write_squares

from jumok.errors import JumokError
from jumok.tasks.running import comparison

SMALL = ("--device", "cpu", "--threads", "1", "--batch-size", "16", "--budget", "1s", "--shown", "2")
WHOLE = comparison.fit.fit
SYSTEMS = {"images": ("mlp", "cnn"), "questions": ("vqa-question", "vqa-concat")}


def words_for(kind, coloured, tmp_path):
    names = ("--systems", ",".join(SYSTEMS[kind]))
    if kind == "images":
        return ("compare", coloured, *names, *SMALL)
    squares = write_squares(tmp_path / "squares")
    return ("compare", squares, "--images", squares / "images", *names, *SMALL)


class After(Callback):
    """Does something after each step."""

    def __init__(self, do):
        self.do = do

    def on_train_batch_end(self, trainer, *_):
        self.do(trainer.global_step)


def watched(monkeypatch, system, do):
    """Have every training of one system watched."""

    def fit(module, train, val, folder, settings, watchers=()):
        return WHOLE(module, train, val, folder, settings, (*watchers, *([After(do)] if folder.name == system else [])))

    monkeypatch.setattr(comparison.fit, "fit", fit)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_what_was_stopped_goes_on_and_what_is_done_stays(kind, jumok, coloured, tmp_path, monkeypatch):
    first, second = SYSTEMS[kind]
    words = words_for(kind, coloured, tmp_path)
    monkeypatch.setattr(comparison, "plan", lambda prepared, *_, **__: prepared.with_training(epochs=4))
    assert jumok(*words, "--out", tmp_path / "unbroken").status == 0
    out = tmp_path / "out"
    watched(monkeypatch, second, lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 5 else None)
    assert jumok(*words, "--out", out).status == 128 + signal.SIGTERM
    assert (out / first / "result.json").is_file()
    assert not (out / second / "result.json").exists()
    steps = []
    watched(monkeypatch, second, steps.append)
    said = jumok(*words, "--out", out)
    assert said.status == 0
    assert f"{first}: already there" in said.out
    assert steps[0] == 6, "on from where it was"
    assert [each["epochs"] for each in json.loads((out / "compare.json").read_text("utf-8"))["systems"]] == [4, 4]
    ended, wanted = (load_file(folder / second / "weights.safetensors") for folder in (out, tmp_path / "unbroken"))
    assert all(torch.equal(ended[name], value) for name, value in wanted.items()), "bit for bit"


def test_one_comparison_at_a_time_works_in_a_folder(jumok, coloured, tmp_path, monkeypatch):
    words = words_for("images", coloured, tmp_path)
    seen = []

    def enter(*_, **__):
        if not seen:
            seen.append(None)
            seen[0] = jumok(*words, "--out", tmp_path / "out")
        raise JumokError("enough")

    monkeypatch.setattr(comparison.Comparison, "enter", enter)
    assert jumok(*words, "--out", tmp_path / "out").status == 2
    assert seen[0].status == 2
    assert "another process: wait for its end" in seen[0].err
    assert not list((tmp_path / "out").glob(".t*"))
