"""Two processes that share each batch end where one process ends, but for the order of sums."""

import csv
import time

import pytest
import torch
import yaml
from app_helpers import QUICK, start
from forked import find_children, kill, run_by_two
from table_helpers import write_labelled, write_numbered

from jumok.tasks.running.checkpoint import load_state, read_tensors

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
MORE = [*QUICK, "--epochs", "3", "--mixup", "0.4", "--flips", "both", "--lr", "0.002"]

WIDTH = 16


@pytest.mark.slow
def test_two_processes_train_as_one_does(jumok, coloured, tmp_path):
    said = run_by_two(["train", coloured, "--out", tmp_path / "two", *MORE], tmp_path / "log")
    assert "Traceback" not in said
    assert jumok("train", coloured, "--out", tmp_path / "one", *MORE).status == 0
    assert said.count("epoch 1/3") == said.count("images/s on cpu") == 1
    assert "2 processes" in said
    states = [load_state(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two")]
    for part in ("state_dict", "current_model_state"):
        for name, value in states[0][part].items():
            if name.endswith("qkv.bias"):  # the keys' bias changes nothing: its gradient is noise that Adam blows up
                state, value = (torch.cat([bias[:WIDTH], bias[2 * WIDTH :]]) for bias in (states[1][part][name], value))
            else:
                state = states[1][part][name]
            torch.testing.assert_close(state, value, rtol=1e-3, atol=2e-5)
    moved = load_state(tmp_path / "two" / "checkpoints" / "last.safetensors")["current_model_state"]
    assert (moved["model.head.weight"] - states[1]["state_dict"]["model.head.weight"]).abs().max() > 1e-4
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("one", "two")]
    for one, two in zip(*rows, strict=True):
        assert {key: float(value) for key, value in two.items()} == pytest.approx(
            {key: float(value) for key, value in one.items()}, rel=1e-4
        )
    names = [{path.name for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert names[0] == names[1]
    assert read_tensors(tmp_path / "two" / "weights.safetensors")[1].keys()
    assert len(list((tmp_path / "two" / "logs").iterdir())) == 1


@pytest.mark.slow
def test_torchrun_starts_a_training_anew_where_it_was(coloured, tmp_path):
    words = ("train", coloured, *QUICK, "--epochs", "25", "--lr", "0.002", "--no-trust", "--out")
    run_by_two([*words, tmp_path / "unbroken"], tmp_path / "log")
    broken = start(*words, tmp_path / "broken", launcher=(*LAUNCHER, "--max-restarts", "1"))
    metrics = tmp_path / "broken" / "metrics.csv"
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert broken.poll() is None
        time.sleep(0.02)
    kill(max(find_children(broken.pid)))
    said, error = broken.communicate(timeout=120)
    assert broken.returncode == 0, error
    assert f"started anew by torchrun: going on with {tmp_path / 'broken'}" in said
    for name in ("metrics.csv", "weights.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()


def test_another_torchrun_does_not_go_on_with_a_run(jumok, coloured, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "first")
    words = ("train", coloured, "--out", tmp_path / "run", *QUICK)
    assert jumok(*words).status == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert "started anew by torchrun" in jumok(*words).out
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "second")
    said = jumok(*words)
    assert (said.status, "is not empty: choose another --out" in said.err) == (2, True)


def test_a_batch_that_does_not_divide_is_refused(jumok, coloured, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    said = jumok("train", coloured, "--out", tmp_path / "run", *QUICK)
    assert said.status == 2
    assert "a global batch of 8 does not divide among 3 ranks" in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_labelled, write_numbered])
def test_two_processes_learn_labels_and_numbers_as_one_does(jumok, tmp_path, write):
    table = write(tmp_path / "data")
    words = [*QUICK, "--lr", "0.002", "--no-trust", "--balance", "none"]
    run_by_two(["train", table, "--out", tmp_path / "two", *words], tmp_path / "log")
    assert jumok("train", table, "--out", tmp_path / "one", *words).status == 0
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("one", "two")]
    assert len(rows[0]) == 2
    for one, two in zip(*rows, strict=True):
        assert {key: float(value) for key, value in two.items()} == pytest.approx(
            {key: float(value) for key, value in one.items()}, rel=1e-4
        )
    if write is write_labelled:
        kept = [yaml.safe_load((tmp_path / name / "thresholds.yaml").read_text())["of"] for name in ("one", "two")]
        assert kept[1] == pytest.approx(kept[0], rel=1e-3)
