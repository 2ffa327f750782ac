import json
import re
import shutil

import pytest
import torch
from app_helpers import write_coloured
from PIL import Image

from jumok.tasks.classify.kinds.class_scores import Evaluation
from jumok.tasks.running.run import Run


def test_figures_picture_and_table(jumok, trained, coloured, tmp_path):
    said = jumok("eval", trained, coloured, "--out", tmp_path / "eval")
    assert said.status == 0
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert report["split"] == "test"
    assert report["images"] == 6
    assert report["accuracy"] >= 0.8
    assert report["accuracy_95"][0] < report["accuracy"] <= report["accuracy_95"][1]
    assert f"accuracy {report['accuracy']:.1%} (95% interval" in said.out
    assert [row["class"] for row in report["per_class"]] == ["blue", "green", "red"]
    assert all(name in said.out for name in ("precision", "recall", "blue", "green", "red"))
    with Image.open(tmp_path / "eval" / "confusion.png") as picture:
        assert min(picture.size) > 200


def test_it_agrees_with_the_model_asked_by_hand(jumok, trained, coloured, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    assert jumok("eval", copy, coloured, "--split", "all", "--batch-size", 7).status == 0
    report = json.loads((copy / "eval" / "eval.json").read_text())
    run = Run.load(copy)
    paths = sorted(coloured.rglob("*.png"))
    guess = run.probabilities(run.prepare(paths)).argmax(1)
    true = torch.tensor([run.classes.index(path.parent.name) for path in paths])
    confusion = [[int(((true == i) & (guess == j)).sum()) for j in range(3)] for i in range(3)]
    assert report["confusion"] == confusion
    assert report["images"] == len(paths) == 48


@pytest.mark.parametrize(("split", "part", "images"), [("auto", "all", 12), ("val", "val", 3)])
def test_other_folders_are_judged_whole_or_in_part(jumok, trained, tmp_path, split, part, images):
    folder = write_coloured(tmp_path / "new", each=4)
    assert jumok("eval", trained, folder, "--split", split, "--out", tmp_path / "eval").status == 0
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert (report["split"], report["images"]) == (part, images)


def test_a_ready_made_test_part_is_taken(jumok, trained, tmp_path):
    for part, each in (("train", 3), ("val", 2), ("test", 5)):
        write_coloured(tmp_path / "parts" / part, each=each)
    assert jumok("eval", trained, tmp_path / "parts", "--out", tmp_path / "eval").status == 0
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert (report["split"], report["images"]) == ("test", 15)


def test_what_is_wrong_is_one_line(jumok, trained, coloured, tmp_path):
    other = write_coloured(tmp_path / "other", each=3, classes=("blue", "green", "rot"))
    spoilt = shutil.copytree(trained, tmp_path / "spoilt")
    (spoilt / "weights.safetensors").write_bytes(b"nonsense")
    for words, message in (
        (["nowhere", coloured], "no run at nowhere"),
        ([trained, "nowhere"], "no such folder: nowhere"),
        ([trained, other], "3 classes: blue, green, rot, but the model has 3 classes: blue, green, red and no 'rot'"),
        ([trained, coloured, "--split", "tset"], "no split 'tset': did you mean 'test'?"),
        ([trained, coloured, "--device", "tpu"], "no device 'tpu'"),
        ([spoilt, coloured], "weights.safetensors is damaged"),
        ([coloured, coloured], "is not a run: it has no config.yaml"),
    ):
        said = jumok("eval", *words, "--out", tmp_path / "eval")
        assert said.status == 2
        assert message in said.err
        assert said.err.count("\n") == 1
        assert not (tmp_path / "eval").exists()


def test_a_run_is_judged_on_its_own_data_where_none_is_given(jumok, trained, tmp_path):
    assert jumok("eval", trained, "--out", tmp_path / "eval").status == 0
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert (report["split"], report["images"], report["seen"]["trained_on"]) == ("test", 6, 0)


def test_a_run_is_measured_on_its_own_data_where_none_is_given(jumok, trained, coloured, tmp_path):
    words = ("--method", "raw", "--no-health", "--shown", "0")
    for name, data in (("own", ()), ("given", (coloured,))):
        said = jumok("measure", trained, *data, *words, "--out", tmp_path / name)
        assert said.status == 0, said.err
    own, given = (json.loads((tmp_path / name / "measure.json").read_text()) for name in ("own", "given"))
    assert own == given
    assert own["split"] == "test"


def test_of_very_many_classes_only_those_that_occur_are_shown():
    confusion = torch.zeros(1000, 1000, dtype=torch.int64)
    confusion[3, 3], confusion[3, 700] = 2, 1
    report = Evaluation(tuple(f"c{number}" for number in range(1000)), confusion, 0.5)
    assert report.shown == [3, 700]
    assert len(report.table().rows) == 2
    few = Evaluation(("a", "b"), torch.tensor([[1, 0], [0, 0]]), 0.5)
    assert few.shown == [0, 1]


def test_on_a_narrow_terminal_names_are_folded_and_figures_stay_whole(jumok, trained, tmp_path, monkeypatch):
    wide = jumok("eval", trained, "--out", tmp_path / "wide")
    monkeypatch.setenv("COLUMNS", "46")
    narrow = jumok("eval", trained, "--out", tmp_path / "narrow")
    shares = [re.findall(r"\d+\.\d%(?= │)", said.out) for said in (wide, narrow)]
    assert shares[0] == shares[1] != []
    assert "…" not in narrow.out
