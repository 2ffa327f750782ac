"""A place that cannot be written to is refused before any work is done for it."""

import os

import pytest

from jumok.app.outputs import check_named, check_writable
from jumok.errors import JumokError


def test_a_folder_that_is_there_or_can_be_made_is_taken(tmp_path):
    for place in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        check_writable(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "reason"), [("file", "File exists"), ("file/in", "Not a directory")])
def test_a_file_in_its_way_is_told(tmp_path, place, reason):
    (tmp_path / "file").touch()
    with pytest.raises(JumokError, match=f"cannot make the folder .*{place}: {reason}; choose another place"):
        check_writable(tmp_path / place)


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("look", "p.png", "--model", "M"), "heat.png"),
        (("train", "photos"), "runs/model.pt"),
        (("export", "M"), "m.onnx"),
        (("select", "t.csv", "--target", "a"), "best.CSV"),
        (("demo",), "demo.html"),
    ],
)
def test_a_folder_that_is_named_as_a_file_is_refused(jumok, tmp_path, monkeypatch, words, out):
    monkeypatch.chdir(tmp_path)
    said = jumok(*words, "--out", out)
    assert said.status == 2
    assert said.err.startswith(f"jumok: {out} is named as a file, and a folder of files is written: leave out the")
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_under_such_a_name_is_gone_on_with(tmp_path):
    (tmp_path / "old.png").mkdir()
    check_named(tmp_path / "old.png")


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    with pytest.raises(JumokError, match=r"new: Permission denied; choose another place"):
        check_writable(tmp_path / "new")


@pytest.mark.parametrize(
    "words",
    [
        ("look", "photos", "--model", "run", "--out", "{file}"),
        ("saliency", "photos", "--out", "{file}"),
        ("measure", "run", "photos", "--out", "{file}/in"),
        ("eval", "run", "photos", "--out", "{file}"),
        ("export", "run", "--out", "{file}"),
        ("select", "table.csv", "--target", "t", "--out", "{file}"),
        ("compare", "photos", "--out", "{file}"),
        ("predict", "run", "photos", "--csv", "{file}/p.csv"),
    ],
)
def test_every_command_refuses_before_it_works(jumok, trained, photos, tmp_path, words):
    (tmp_path / "file").write_text("x")
    names = {"run": str(trained), "photos": str(photos)}
    said = jumok(*(names.get(word, word).format(file=tmp_path / "file") for word in words))
    assert said.status == 2
    assert said.err.startswith("jumok: cannot make the folder ")
    assert said.err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "x"
