"""`jumok demo` from end to end, at a size that takes seconds."""

import json

import pytest

from jumok.app import cli
from jumok.app.commands import demo
from jumok.errors import JumokError


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(demo, "IMAGES", {"train": 16, "val": 8, "test": 8})
    monkeypatch.setattr(demo, "TRAINING", "--system vit-nano --epochs 1 --option width=24 --option depth=2")
    monkeypatch.setattr(demo, "SHAPES", "--kinds colour,exists --train 12 --val 4 --test 4")
    monkeypatch.setattr(demo, "QUESTIONS", "--system vqa-stacked --epochs 1 --option width=16")
    monkeypatch.setattr(demo, "COMPARISON", "--systems cnn,ram --budget 1s --shown 2 --batch-size 8")


@pytest.mark.usefixtures("_small")
def test_the_demo_runs_every_step_and_writes_a_report(tmp_path):
    folder = tmp_path / "demo"
    cli.run(["demo", str(folder), "--threads", "1"])
    text = (folder / "index.html").read_text("utf-8")
    for command in ("train", "eval", "look", "measure", "ask", "compare"):
        assert f"jumok {command} " in text
    accuracy = json.loads((folder / "eval" / "eval.json").read_text())["accuracy"]
    assert f"{accuracy:.1%}" in text
    pointing = json.loads((folder / "measure" / "measure.json").read_text())["methods"]["chefer"]["pointing"]["value"]
    assert f"{pointing:.1%}" in text
    assert (folder / "look" / "index.html").is_file()
    assert (folder / "compare" / "index.html").is_file()
    assert (folder / "asked" / "index.html").is_file()
    answered = json.loads((folder / "answerer" / "eval" / "eval.json").read_text())["accuracy"]
    assert f"{answered:.1%}" in text
    blind = json.loads((folder / "answerer" / "measure" / "measure.json").read_text())["baselines"]["question-blind"]
    assert f"{blind['pointing']['value']:.1%}" in text
    best = max(each["accuracy"] for each in json.loads((folder / "compare" / "compare.json").read_text())["systems"])
    assert f"{best:.1%}" in text
    before = (folder / "sample" / "sample.json").stat().st_mtime_ns
    cli.run(["demo", str(folder), "--threads", "1"])  # again: the images stay, the rest is made anew
    assert (folder / "sample" / "sample.json").stat().st_mtime_ns == before


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(JumokError, match="files that no demo wrote"):
        cli.run(["demo", str(tmp_path)])
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"
