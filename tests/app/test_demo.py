"""`jumok demo` from end to end, at a size that takes seconds."""

import html
import json
import re

import pytest

from jumok.app import cli
from jumok.app.demo import comparison_tour, dates_tour, images_tour, last_line, shapes_tour
from jumok.errors import JumokError
from jumok.tasks.running.trust import Trust, write_trust


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(images_tour, "COUNTS", {"train": 16, "val": 8, "test": 8})
    monkeypatch.setattr(images_tour, "TRAINING", "--system vit-nano --epochs 1 --option width=24 --option depth=2")
    monkeypatch.setattr(images_tour, "MEASURING", "--time 5s")
    monkeypatch.setattr(dates_tour, "SAMPLE", "--train 60 --val 20 --test 20")
    monkeypatch.setattr(
        dates_tour, "TRAINING", "--system seq2seq --vocabulary characters --epochs 1 --option hidden=16"
    )
    monkeypatch.setattr(shapes_tour, "SAMPLE", "--kinds colour,exists --train 12 --val 4 --test 4")
    monkeypatch.setattr(shapes_tour, "TRAINING", "--system vqa-stacked --epochs 1 --option width=16")
    monkeypatch.setattr(comparison_tour, "COMPARISON", "--systems cnn,ram --budget 1s --shown 2 --batch-size 8")


@pytest.mark.parametrize(
    ("method", "said"), [("lrp", "on 26 images lrp was the map"), (None, "no map was more faithful"), ("", "no time")]
)
def test_the_demo_says_no_more_of_trust_than_was_measured(tmp_path, method, said):
    tour = images_tour.ImagesTour(tmp_path)
    if method != "":
        write_trust(tour.folder / "run", Trust(method=method, verdict="lrp beats edges", inputs=26))
    assert said in tour._say_trust()


@pytest.mark.usefixtures("_small")
def test_the_main_tour_is_short_and_its_page_grows_with_every_step(tmp_path, capsys, monkeypatch):
    pages = []
    told = images_tour.ImagesTour._say_accuracy
    monkeypatch.setattr(
        images_tour.ImagesTour,
        "_say_accuracy",
        lambda self: (pages.append((folder / "index.html").read_text("utf-8")), told(self))[1],
    )
    folder = tmp_path / "demo"
    cli.run(["demo", "--out", str(folder), "--threads", "1"])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) + len(printed.err.splitlines()) <= 40
    during, text = pages[0], (folder / "index.html").read_text("utf-8")
    assert "Being made: eval." in during
    assert "look, measure" in during
    assert "location.reload" in during
    assert "<span>train</span>" in during
    assert "<span>measure</span>" not in during
    assert "Being made" not in text
    assert "reload" not in text
    written = [html.unescape(re.sub("<.*?>", "", line)) for line in re.findall("<pre><code>(.*?)</code>", text)]
    assert [line.split()[1] for line in written] == ["sample", "train", "eval", "look", "measure"]
    images = folder / "images"
    accuracy = json.loads((images / "eval" / "eval.json").read_text())["accuracy"]
    assert f"{accuracy:.1%}" in text
    assert f"{accuracy:.1%}" in printed.out
    assert all(line in printed.out for line in written), "whole, so that it can be copied"
    pointing = json.loads((images / "measure" / "measure.json").read_text())["methods"]["chefer"]["pointing"]["value"]
    assert f"{pointing:.1%}" in text
    assert (images / "look" / "index.html").is_file()
    assert "validation images" in (folder / "demo.log").read_text("utf-8")


@pytest.mark.usefixtures("_small")
def test_the_tour_of_dates_shows_alignments_and_speaks_korean(tmp_path, capsys):
    folder = tmp_path / "demo"
    cli.run(["demo", "dates", "--out", str(folder), "--threads", "1", "--language", "ko"])
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[")]
    assert all(re.search("[가-힣]", line) for line in lines)
    assert len(lines) == 9
    text = (folder / "index.html").read_text("utf-8")
    measured = json.loads((folder / "dates" / "run" / "measure" / "measure.json").read_text())
    error = next(iter(measured["methods"].values()))["aer"]["value"]
    assert f"{error:.3f}" in text
    assert "2026년 11월 22일 일요일" in text
    for target in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert (folder / target).is_file(), target


@pytest.mark.usefixtures("_small")
def test_other_tours_join_the_page_and_generated_data_stays(tmp_path):
    folder = tmp_path / "demo"
    cli.run(["demo", "--out", str(folder), "--threads", "1"])
    before = (folder / "images" / "data" / "sample.json").stat().st_mtime_ns
    cli.run(["demo", "shapes", "--out", str(folder), "--threads", "1"])
    cli.run(["demo", "compare", "--out", str(folder), "--threads", "1"])
    text = (folder / "index.html").read_text("utf-8")
    accuracy = json.loads((folder / "images" / "eval" / "eval.json").read_text())["accuracy"]
    answered = json.loads((folder / "shapes" / "run" / "eval" / "eval.json").read_text())["accuracy"]
    blind = json.loads((folder / "shapes" / "run" / "measure" / "measure.json").read_text())["baselines"]
    best = max(each["accuracy"] for each in json.loads((folder / "compare/all/compare.json").read_text())["systems"])
    for share in (accuracy, answered, blind["question-blind"]["pointing"]["value"], best):
        assert f"{share:.1%}" in text
    for target in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert (folder / target).is_file(), target
    (folder / "images" / "old.txt").write_text("of an earlier demo")
    cli.run(["demo", "--out", str(folder), "--threads", "1"])  # again: the images stay, the rest is made anew
    assert (folder / "images" / "data" / "sample.json").stat().st_mtime_ns == before
    assert not (folder / "images" / "old.txt").exists()
    assert f"{answered:.1%}" in (folder / "index.html").read_text("utf-8")


def test_a_terminal_shows_what_a_step_said_last(tmp_path):
    log = tmp_path / "demo.log"
    assert last_line.read_last_line(log) == ""
    log.write_text("$ jumok eval\n", "utf-8")
    assert last_line.read_last_line(log) == ""
    log.write_text("가" * 3000 + "\nepoch 1/4  elapsed 30 s\n\n", "utf-8")
    assert last_line.read_last_line(log) == "epoch 1/4  elapsed 30 s"


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "precious.txt").write_text("mine")
    with pytest.raises(JumokError, match="files that no demo wrote"):
        cli.run(["demo", "--out", str(tmp_path)])
    assert (tmp_path / "images" / "precious.txt").read_text() == "mine"
