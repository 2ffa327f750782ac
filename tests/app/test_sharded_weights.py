"""Training with a part of the weights in each process (FSDP): it ends where other trainings do, and resumes exactly."""

import os
import signal
import time

import pytest
import torch
from app_helpers import QUICK, start

from jumok.tasks.running.checkpoint import load_state, read_tensors

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WORDS = (*QUICK, "--lr", "0.002", "--no-trust", "--checkpoint-every", "2")
SHARDED = ("--strategy", "fsdp")


def train(*words):
    process = start("train", *words, launcher=LAUNCHER)
    said, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    return said


@pytest.mark.slow
def test_it_ends_as_a_training_with_whole_weights_and_resumes_bit_for_bit(coloured, jumok, tmp_path):
    import jumok as package

    train(coloured, "--out", tmp_path / "whole", *WORDS, "--ema", "0")
    train(coloured, "--out", tmp_path / "parts", *WORDS, *SHARDED)
    states = [load_state(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("whole", "parts")]
    for name, value in states[0]["state_dict"].items():
        if not name.endswith("qkv.bias"):  # the keys' bias changes nothing: its gradient is noise
            torch.testing.assert_close(states[1]["state_dict"][name], value, rtol=1e-4, atol=1e-5)
    broken = start("train", coloured, "--out", tmp_path / "broken", *WORDS, *SHARDED, launcher=LAUNCHER)
    last = tmp_path / "broken" / "checkpoints" / "last.safetensors"
    while not last.exists():
        assert broken.poll() is None
        time.sleep(0.01)
    os.kill(broken.pid, signal.SIGTERM)
    broken.communicate(timeout=120)
    assert load_state(last)["global_step"] < load_state(tmp_path / "parts" / "checkpoints" / last.name)["global_step"]
    other = jumok("train", "--resume", tmp_path / "broken")
    assert other.status == 2
    assert len(other.err.strip().splitlines()) == 1
    train("--resume", tmp_path / "broken")
    for name in ("weights.safetensors", "metrics.csv"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert read_tensors(tmp_path / "parts" / "weights.safetensors")[1].keys()
    image = next(coloured.rglob("*.png"))
    assert package.load(tmp_path / "parts").predict(image).label in ("blue", "green", "red")


@pytest.mark.parametrize(
    ("words", "processes", "said"),
    [
        ((), "1", "and there is one: start several by torchrun"),
        (("--ema", "0.9"), "2", "keeps no average of the weights"),
        (("--system", "ram"), "2", "ram is trained in a way of its own"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(jumok, coloured, tmp_path, monkeypatch, words, processes, said):
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    monkeypatch.setenv("RANK", "0")
    refused = jumok("train", coloured, "--out", tmp_path / "run", "--device", "cpu", *SHARDED, *words)
    assert refused.status == 2
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_only_models_of_images_are_shared_out(jumok, tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("RANK", "0")
    (tmp_path / "pairs.tsv").write_text("a b\tb a\n" * 40)
    refused = jumok("train", tmp_path / "pairs.tsv", "--out", tmp_path / "run", *SHARDED)
    assert (refused.status, "fsdp is for models that classify images" in refused.err) == (2, True)
