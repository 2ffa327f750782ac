"""`jumok ask --engine`: the same questions about each image of a source, as plain asking answers them."""

import csv
import json

import numpy as np
import pytest
from pyarrow import parquet
from question_helpers import settings_of, untrained, write_squares

import jumok as package
from jumok.app.engine.tables import METADATA
from jumok.attention import AttentionMap

LEFT, RIGHT = "what colour is the left square?", "what colour is the right square?"


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module", params=["vqa-stacked", "vqa-transformer", "vqa-question"])
def run(request, squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / request.param
    untrained(folder, settings_of(squares, system=request.param))
    return folder


@pytest.fixture
def photos(squares, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted((squares / "images").iterdir())[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "zz.png").write_bytes(b"no image")
    return folder


def words(run, source, out, *more):
    engine = ["--engine", "local", "--shard-size", 4, "--threads", 1, "--device", "cpu"]
    return [str(each) for each in ("ask", run, source, LEFT, RIGHT, "--out", out, *engine, *more)]


def read(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def read_about(folder):
    (first, *_) = sorted(folder.glob("*.parquet"))
    return json.loads(parquet.read_schema(first).metadata[METADATA])


def test_each_image_has_its_answers_and_maps_as_plain_asking_gives_them(jumok, run, photos, tmp_path):
    said = jumok(*words(run, photos, tmp_path / "out"))
    assert said.status == 1, said.err  # of what is no image
    rows = read(tmp_path / "out")
    assert [row["path"].rpartition("/")[2] for row in rows] == sorted(path.name for path in photos.iterdir())
    assert rows[-1]["answers"] is None
    assert "zz" in rows[-1]["path"]
    assert rows[-1]["error"]
    opened = package.load(run)
    for row in rows[:-1]:
        replies = opened.ask(row["path"], [LEFT, RIGHT], top=1)
        assert row["answers"] == [reply.answers[0][0] for reply in replies]
        assert row["probabilities"] == pytest.approx([reply.answers[0][1] for reply in replies], abs=1e-5)
        assert row["error"] is None


def test_maps_are_those_that_ask_saves(jumok, run, photos, tmp_path):
    assert jumok(*words(run, photos, tmp_path / "out")).status == 1
    about = read_about(tmp_path / "out")
    rows = read(tmp_path / "out")
    if not about["method"]:
        assert run.name == "vqa-question"  # which sees no image
        assert "maps" not in rows[0]
        return
    asked = ["ask", run, rows[0]["path"], LEFT, RIGHT, "--out", tmp_path / "ask", "--no-html", "--device", "cpu"]
    assert jumok(*map(str, asked)).status == 0
    found = np.array(rows[0]["maps"], np.float32).reshape(2, about["places"])
    for number, heat in enumerate(found, 1):
        saved = AttentionMap.load(tmp_path / "ask" / f"{number}.{about['method'].replace(' ', '-')}.safetensors")
        assert json.loads(json.dumps(saved.keys.to_dict())) == about["keys"]
        assert str(saved.scale) == about["scale"]
        np.testing.assert_allclose(heat, saved.weights[0].numpy(), atol=1e-6)
    assert jumok(*words(run, photos, tmp_path / "plain", "--no-maps")).status == 1
    assert "maps" not in read(tmp_path / "plain")[0]


def test_what_will_not_do_is_one_line(jumok, run, photos, tmp_path):
    def refuse(*given, told):
        said = jumok(*map(str, given))
        assert said.status == 2
        assert told in said.err
        assert said.err.count("\n") == 1

    engine = ("--engine", "local", "--out", tmp_path / "out", "--device", "cpu")
    refuse("ask", run, photos, *engine, told="no question")
    refuse("ask", run, *engine, told="--engine takes a run, images and a question")
    refuse("ask", photos, photos, LEFT, *engine, told="photos")
    refuse("ask", run, photos, LEFT, "--model", "hf:x", *engine, told="--engine asks a run of our own")
    refuse("ask", run, photos, "very " * 500, *engine, told="is too long")
    refuse("ask", run, photos, LEFT, "--top", 2, *engine, told="no use for --top")
    assert not (tmp_path / "out").exists()
    assert jumok(*words(run, photos, tmp_path / "out")).status == 1
    refuse("ask", run, photos, RIGHT, *engine, "--shard-size", 4, told="belongs to another command (questions: ")


def test_rows_are_drawn_with_a_picture_for_each_question(jumok, run, photos, tmp_path):
    assert jumok(*words(run, photos, tmp_path / "out")).status == 1
    drawn = jumok("look", tmp_path / "out", "--pages", 2, "--where", "error is None", "--out", tmp_path / "pages")
    if run.name == "vqa-question":
        assert drawn.status == 2
        assert "has no maps to draw" in drawn.err
        return
    assert drawn.status == 0, drawn.err
    rows = list(csv.DictReader((tmp_path / "pages" / "results.csv").open()))
    assert [row["target"] for row in rows] == [LEFT, RIGHT] * 2
    said = {row["index"]: row["answers"] for row in read(tmp_path / "out")}
    assert [row["predicted"] for row in rows] == [word for row in rows[::2] for word in said[int(row["row"])]]
    assert len(list((tmp_path / "pages").glob("*-[12]-*.png"))) == 4
