import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from app_helpers import QUICK, start, write_coloured
from PIL import Image

from jumok.app.commands.train import parse_options
from jumok.app.trained_run import TrainedRun
from jumok.errors import JumokError
from jumok.tasks.running.checkpoint import load_state


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_folder_comes_out_and_says_what_it_is(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert (config["system"], config["options"]["width"], config["training"]["threads"]) == ("vit-nano", 16, 1)
    card = (trained / "card.md").read_text()
    for words in ("# first", "blue, green or red", "16 x 16 pixels", "validation accuracy", "images/s", "torch 2."):
        assert words in card
    assert {path.name for path in trained.iterdir()} == {
        "card.md", "checkpoints", "config.yaml", "kernels.json", "logs", "metrics.csv", "trained_on.txt",
        "weights.safetensors",
    }  # fmt: skip


def test_it_tells_what_it_chose_and_how_it_went(jumok, coloured, tmp_path):
    said = jumok("train", coloured, "--out", tmp_path / "run", *QUICK)
    assert said.status == 0
    for words in (
        "image size: 16 x 16 pixels (as the images are)",
        "training and 6 validation images of 3 classes",
        "epoch 2/2  val_loss",
        "of 6 validation images correct",
        "images/s on cpu",
        "% of the time spent waiting for data",
        "next: jumok eval",
    ):
        assert words in said.out
    assert said.err == ""


def test_settings_come_from_a_file_and_flags_win(jumok, coloured, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"data: {{images: {coloured}}}\ntraining: {{epochs: 9, seed: 4}}\noptions: {{registers: 1}}\n")
    assert jumok("train", "--config", settings, "--out", tmp_path / "run", *QUICK, "--epochs", 1).status == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["training"]["epochs"], config["training"]["seed"]) == (1, 4)
    assert (config["options"]["registers"], config["options"]["width"]) == (1, 16)
    again = jumok("train", "--config", tmp_path / "run" / "config.yaml", "--out", tmp_path / "again")
    assert again.status == 0
    first, second = ((tmp_path / name / "metrics.csv").read_text() for name in ("run", "again"))
    assert first == second


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no such folder: nowhere"),
        ([], "no images: give a folder"),
        (["{images}", "--system", "vit-tinny"], "no system 'vit-tinny': did you mean 'vit-tiny'?"),
        (["{images}", "--system", "vit-nano", "--option", "pach=4"], "no option 'pach': did you mean 'patch'?"),
        (["{images}", "--system", "vit-nano", "--option", "patch=5"], "patch 5 does not divide"),
        (["{images}", "--option", "patch"], "--option takes key=value"),
        (["{images}", "--lr", "-1"], "jumok: --lr is -1; wanted > 0, <= 10"),
        (["{images}", "--flips", "up"], "--flips is 'up'"),
        (
            ["{images}", "--labels-are", "foo"],
            "jumok: --labels-are is 'foo'; wanted 'auto', 'class', 'multi' or 'number'",
        ),
        (["{images}", "--image-size", "0x4"], "jumok: --image-size is '0x4': it should be from 1 to 4096 pixels"),
        (["{images}", "--lr", "-1", "--language", "ko"], "jumok: --lr 값이 -1입니다. 필요한 값: > 0, <= 10"),
        (["{images}", "--device", "tpu"], "--device is 'tpu'"),
        (["{images}", "--precision", "16", "--device", "cpu"], "precision 16 needs a GPU"),
        (["{images}", "--config", "nowhere.yaml"], "no configuration at nowhere.yaml"),
        (["{images}", "--image-size", "3x4x5"], "HEIGHTxWIDTH"),
        (["--resume", "nowhere"], "no run at nowhere"),
        (["{images}", "--resume", "{run}", "--lr", "9"], "leave out DATA, --lr"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(jumok, coloured, trained, tmp_path, words, message):
    out = [] if "--resume" in words else ["--out", tmp_path / "run"]
    said = jumok("train", *(word.format(images=coloured, run=trained) for word in words), *out)
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["one class", "empty", "text", "cut", "zero"])
def test_bad_images_are_named_and_nothing_is_written(jumok, tmp_path, spoil):
    folder = write_coloured(tmp_path / "images", each=6, classes=("a", "b")[: 1 if spoil == "one class" else 2])
    victim = folder / "a" / "003.png"
    if spoil == "empty":
        folder = tmp_path / "empty"
        folder.mkdir()
    if spoil == "text":
        victim.write_text("hello")
    if spoil == "cut":
        Image.new("RGB", (64, 64), "red").save(victim)
        victim.write_bytes(victim.read_bytes()[:60])
    if spoil == "zero":
        victim.write_bytes(b"")
    said = jumok("train", folder, "--out", tmp_path / "run", *QUICK, "--val-fraction", 0.3)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert {"one class": "only one class", "empty": "empty folder"}.get(spoil, "003.png") in said.err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_empty_is_not_written_to(jumok, coloured, trained, tmp_path):
    before = sorted(path.stat().st_mtime_ns for path in trained.rglob("*"))
    said = jumok("train", coloured, "--out", trained, *QUICK)
    assert said.status == 2
    assert f"is not empty: choose another --out, or resume it with --resume {trained}" in said.err
    assert sorted(path.stat().st_mtime_ns for path in trained.rglob("*")) == before
    (tmp_path / "file").touch()
    assert "is a file" in jumok("train", coloured, "--out", tmp_path / "file", *QUICK).err


def test_a_finished_run_resumes_to_the_same(jumok, trained):
    metrics = (trained / "metrics.csv").read_bytes()
    weights = (trained / "weights.safetensors").read_bytes()
    assert jumok("train", "--resume", trained).status == 0
    assert (trained / "metrics.csv").read_bytes() == metrics
    assert (trained / "weights.safetensors").read_bytes() == weights


def test_copies_in_two_classes_are_told_once(jumok, tmp_path):
    data = write_coloured(tmp_path / "data", classes=("blue", "red"))
    shutil.copytree(data / "red", data / "scarlet")
    said = jumok("train", data, "--out", tmp_path / "run", *QUICK)
    assert said.status == 0, said.err
    assert "copies of 16 files have different classes: only one can be right" in said.out
    assert "near duplicates" not in said.out


def test_resuming_with_other_images_is_refused(jumok, tmp_path):
    folder = write_coloured(tmp_path / "images")
    assert jumok("train", folder, "--out", tmp_path / "run", *QUICK, "--epochs", 1).status == 0
    (folder / "red" / "000.png").rename(folder / "red" / "999.png")
    said = jumok("train", "--resume", tmp_path / "run")
    assert said.status == 2
    assert "not those that this run began with" in said.err


@pytest.mark.slow
def test_an_interrupt_leaves_a_run_that_goes_on(coloured, tmp_path):
    out = tmp_path / "run"
    process = start("train", coloured, "--out", out, *QUICK, "--epochs", 100000)
    wait_for((out / "metrics.csv").exists, process)
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Resume with: jumok train --resume {out}" in said
    assert error.startswith("jumok: stopped by SIGINT after step ")
    assert error.count("\n") == 1
    state = load_state(out / "checkpoints" / "last.safetensors")
    step = int(error.split("after step ")[1].split(";")[0])
    assert state["global_step"] == step
    names = {path.name for path in (out / "checkpoints").iterdir()}
    assert names - {"earlier.safetensors"} == {"best.safetensors", "last.safetensors"}


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGQUIT", "SIGUSR1"])
def test_a_signal_before_the_first_step_is_told_in_one_line_and_leaves_nothing(
    jumok, coloured, tmp_path, monkeypatch, name
):
    signum = getattr(signal, name)
    monkeypatch.setattr("jumok.tasks.running.planning.plan", lambda *_, **__: os.kill(os.getpid(), signum))
    said = jumok("train", coloured, "--out", tmp_path / "runs" / "run", *QUICK)
    assert (said.status, said.err) == (128 + signum, f"jumok: stopped by {name}\n")
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_system_are_read_as_yaml():
    assert parse_options(["a=1", "b=0.5", "c=mean", "d=[1, 2]", "e=true", "f="]) == {
        "a": 1, "b": 0.5, "c": "mean", "d": [1, 2], "e": True, "f": None,
    }  # fmt: skip
    for pairs in (["a"], ["=3"], ["a=1", "a=2"], ["a=["]):
        with pytest.raises(JumokError, match="--option"):
            parse_options(pairs)


def test_a_run_that_ended_early_says_why():
    row = {"epoch": 3.0, "val_accuracy": 1.0, "val_loss": 0.1}
    clock = SimpleNamespace(rate=10.0, share_waiting=0.0)
    outcome = SimpleNamespace(best=row, rows=[row] * 8, clock=clock, device="cpu")
    prepared = SimpleNamespace(
        training=SimpleNamespace(epochs=50, patience=None),
        reached=lambda best: "all correct",
        shortfall=lambda best: "",
        unit="images",
        evaluate_with=lambda folder: "",
    )
    lines = list(TrainedRun(prepared, outcome, Path("run"), 1).lines())
    assert lines[1].startswith("ended after 8 of 50 epochs: the last 5 validations found no error")
    prepared.training.epochs = 8
    assert not any("ended after" in line for line in TrainedRun(prepared, outcome, Path("run"), 1).lines())
