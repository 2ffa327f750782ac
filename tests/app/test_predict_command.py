import csv
import io
import json
import os
import shutil
import sys

import pandas as pd
import pytest
import question_helpers
import torch
from app_helpers import write_coloured
from PIL import Image
from pretrained_models import save_processor
from question_helpers import write_squares

from jumok.tasks.classify.run import ImageRun
from jumok.tasks.translate.run import PairRun


def rows_of(path):
    return list(csv.DictReader(path.open()))


@pytest.fixture
def images(tmp_path):
    """A few images in a folder, one of which is damaged."""
    folder = write_coloured(tmp_path / "new", each=3)
    (folder / "red" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    return folder


def test_names_of_another_encoding_cost_no_row(jumok, trained, images, tmp_path):
    strange = os.fsdecode("이름".encode("cp949")) + ".png"
    shutil.copy(images / "red" / "000.png", images / "red" / strange)
    files = [tmp_path / f"p.{kind}" for kind in ("csv", "jsonl", "parquet")]
    said = jumok("predict", trained, images, *(word for file in files for word in (f"--{file.suffix[1:]}", file)))
    assert said.status == 1  # one of them is damaged
    for rows in (
        rows_of(files[0]),
        list(map(json.loads, files[1].open())),
        pd.read_parquet(files[2]).to_dict("records"),
    ):
        assert len(rows) == 10
        assert [row["predicted"] for row in rows if "\N{REPLACEMENT CHARACTER}" in row["image"]] == ["red"]


def test_frames_that_are_not_read_are_told(jumok, trained, images, tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(images / "red" / "many.gif", save_all=True, append_images=frames[1:])
    said = jumok("predict", trained, images / "red", "--csv", tmp_path / "p.csv")
    assert "1 image has several frames or pages (red/many.gif): only the first is read" in said.out
    assert {row["image"]: row["predicted"] for row in rows_of(tmp_path / "p.csv")}["many.gif"] == "red"


def test_images_get_a_row_each_with_the_probability_of_every_class(jumok, trained, images, tmp_path):
    said = jumok("predict", trained, images, "--csv", tmp_path / "p.csv", "--batch-size", 2)
    assert said.status == 1  # an image was not readable
    assert "8 of 9 inputs predicted" in said.out
    rows = rows_of(tmp_path / "p.csv")
    assert len(rows) == 9
    assert list(rows[0]) == ["image", "predicted", "probability", "p(blue)", "p(green)", "p(red)", "error"]
    bad = [row for row in rows if row["error"]]
    assert [row["image"] for row in bad] == ["red/001.png"]
    assert "cannot read" in bad[0]["error"]
    assert bad[0]["predicted"] == bad[0]["p(red)"] == ""
    run = ImageRun.load(trained)
    for row in rows:
        if not row["error"]:
            shares = run.probabilities(run.prepare([images / row["image"]]))[0]
            found = [float(row[f"p({name})"]) for name in run.classes]
            assert found == pytest.approx(shares.tolist(), abs=1e-5)
            assert row["predicted"] == run.classes[int(shares.argmax())]


def test_every_kind_of_file_holds_the_same(jumok, trained, images, tmp_path):
    files = [f"--{kind}={tmp_path / f'p.{kind}'}" for kind in ("csv", "jsonl", "parquet")]
    assert jumok("predict", trained, images, *files).status == 1
    table = pd.read_csv(tmp_path / "p.csv")
    lines = pd.DataFrame([json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()])
    parquet = pd.read_parquet(tmp_path / "p.parquet")
    assert list(table.columns) == list(lines.columns) == list(parquet.columns)
    for other in (lines, parquet):
        assert other["predicted"].isna().sum() == 1
        torch.testing.assert_close(
            torch.tensor(table["p(red)"]), torch.tensor(other["p(red)"]), atol=1e-5, rtol=0, equal_nan=True
        )


def test_json_has_all_rows_and_writes_no_file(jumok, trained, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = jumok("predict", trained, images / "blue", "--json")
    found = json.loads(said.out)
    assert said.status == 0
    assert found["schema"] == "jumok-predict/1"
    assert (found["inputs"], found["failed"], found["files"]) == (3, 0, [])
    assert sum(found["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    assert not (tmp_path / "predictions.csv").exists()


def test_names_on_standard_input_that_lead_nowhere_are_named_in_their_row(
    jumok, trained, images, tmp_path, monkeypatch
):
    names = f"{images / 'red' / '000.png'}\n{images / 'nowhere.png'}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    said = jumok("predict", trained, "-", "--csv", tmp_path / "p.csv")
    assert said.status == 1
    assert ["nowhere.png" in row["error"] for row in rows_of(tmp_path / "p.csv")] == [False, True]


def test_models_from_elsewhere(jumok, images, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        id2label={0: "crane", 1: "dog", 2: "crane"}, label2id={"crane": 2, "dog": 1},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    save_processor(tmp_path / "vit", 16)
    said = jumok("predict", f"hf:{tmp_path / 'vit'}", images / "blue", "--csv", tmp_path / "p.csv")
    assert said.status == 0
    assert list(rows_of(tmp_path / "p.csv")[0])[3:6] == ["p(crane (0))", "p(dog)", "p(crane (2))"]


def test_sentences_are_translated_and_empty_or_long_ones_are_named(jumok, reverser, tmp_path):
    run = PairRun.load(reverser)
    (tmp_path / "a.txt").write_text("ba bo\n\n" + "ba " * (run.longest + 1) + "\nbo ba\n")
    said = jumok("predict", reverser, tmp_path / "a.txt", "--csv", tmp_path / "p.csv", "--beam", 2)
    assert said.status == 1
    rows = rows_of(tmp_path / "p.csv")
    assert [row["line"] for row in rows] == ["1", "2", "3", "4"]
    assert [bool(row["error"]) for row in rows] == [False, True, True, False]
    assert [row["predicted"] for row in rows][::3] == [best.text for best in run.translate(["ba bo", "bo ba"], beam=2)]


def test_questions_are_answered_without_a_column_of_answers(jumok, tmp_path):
    squares = write_squares(tmp_path / "squares")
    run = question_helpers.untrained(tmp_path / "run", question_helpers.settings_of(squares, squares / "train.csv"))
    asked = ("test-0.png,what colour is the left square?", "test-0.png,", "gone.png,is there a circle?")
    lines = ["image,question", *asked, "test-2.png,what colour is the right square?"]
    (tmp_path / "q.csv").write_text("\n".join(lines) + "\n")
    said = jumok("predict", tmp_path / "run", tmp_path / "q.csv", "--csv", tmp_path / "p.csv")
    assert said.status == 1
    rows = rows_of(tmp_path / "p.csv")
    assert [bool(row["error"]) for row in rows] == [False, True, True, False]
    assert "no words" in rows[1]["error"]
    assert "gone.png" in rows[2]["error"]
    for row in (rows[0], rows[3]):
        (reply,) = run.ask(squares / "images" / row["image"], [row["question"]])
        assert row["predicted"] == reply.best
        assert float(row["probability"]) == pytest.approx(reply.answers[0][1], abs=1e-5)
        assert float(row[f"p({reply.best})"]) == float(row["probability"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{run}", "{nothing}"), "no image or folder at"),
        (("{nothing}", "{images}"), "no run at"),
        (("{run}", "{images}", "--csv", "p.parquet"), "--csv writes a .csv file"),
        (("{run}", "{images}", "--beam", "3"), "no use for --beam"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    jumok, trained, images, tmp_path, arguments, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = {"run": trained, "images": images, "nothing": tmp_path / "nothing"}
    said = jumok("predict", *(word.format(**places) for word in arguments))
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize("names", [b"", b"\n \n", None], ids=["empty", "blank", "closed"])
def test_an_empty_standard_input_is_one_line_and_nothing_is_written(jumok, trained, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", names if names is None else io.TextIOWrapper(io.BytesIO(names)))
    said = jumok("predict", trained, "-")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("jumok: nothing to predict: standard input is empty; wanted the name of a file")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_files_without_an_input_are_one_line_and_nothing_is_written(jumok, reverser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    said = jumok("predict", reverser, "a.txt", "--csv", "p.csv", "--parquet", "p.parquet")
    assert (said.status, said.err) == (2, "jumok: nothing to predict: the files given hold no input\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_is_whole_or_not_there(jumok, trained, images, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    Image.new("RGB", (16, 16)).save(images / "a.png")
    monkeypatch.setattr("jumok.tasks.classify.any_classifier.AnyClassifier.predict_prepared", fail)
    assert jumok("predict", trained, images, "--csv", tmp_path / "p.csv").status == 1
    assert not list(tmp_path.glob("*p*.csv"))
