"""`jumok look IMAGE --model hf:DETECTOR`: each box with its class, score and map, and what is refused in one line."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest
from detectors import CLASSES, make_detector, save_detector
from PIL import Image

from jumok.attention import AttentionMap

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return save_detector(tmp_path_factory.mktemp("models") / "detector")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 144, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def look(jumok, detector, photo, tmp_path):
    return lambda *flags, model=detector: jumok(
        "look", photo, "--model", f"hf:{model}", "--out", tmp_path / "out", *flags
    )


def test_each_box_has_a_row_a_picture_and_a_map(look, tmp_path):
    said = look("--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    box = found["images"][0]
    place = {name: box[name] for name in ("top", "bottom", "left", "right")}
    told = look().out, look("--language", "ko").out
    assert " at rows {top} to {bottom} and columns {left} to {right}".format(**place) in told[0]
    assert ": 행 {top}~{bottom}·열 {left}~{right}".format(**place) in told[1]
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["box"] for row in rows] == [str(each["box"]) for each in found["images"]]
    assert len(rows) == len(found["images"]) >= 3
    assert all(one["score"] >= other["score"] for one, other in pairwise(found["images"]))
    for row in found["images"]:
        assert row["class"] in CLASSES.values()
        assert 0 <= row["top"] < row["bottom"] <= 90
        assert 0 <= row["left"] < row["right"] <= 144
        heat = AttentionMap.load(tmp_path / "out" / row["map"])
        laid = heat.image(90, 144)[0]
        inside = laid[row["top"] : row["bottom"], row["left"] : row["right"]].sum() / laid.sum()
        assert row["inside"] == pytest.approx(float(inside), abs=1e-4)
        area = (row["bottom"] - row["top"]) * (row["right"] - row["left"]) / (90 * 144)
        assert row["area"] == pytest.approx(area)
        assert (tmp_path / "out" / row["picture"]).is_file()
    assert (tmp_path / "out" / found["images"][0]["all_boxes"]).is_file()


def test_the_page_has_an_entry_for_each_box(look, tmp_path):
    count = len(json.loads(look("--json").out)["images"])
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.count('"labels":') == count
    assert f"photo.png box {count}" in page
    assert "cross-attention of the box" in page


def test_where_no_box_is_sure_it_says_so(look, tmp_path):
    import torch

    model = make_detector("Detr")
    with torch.no_grad():
        model.class_labels_classifier.bias[-1] += 20
    said = look("--no-html", "--no-pictures", model=save_detector(tmp_path / "unsure", model=model))
    assert "in 1 of 1 image none reaches it, so the 3 best are shown" in said.out


REFUSED = {
    "a target": (("--target", "cat"), "no use for --target: hf:.* is an object detector"),
    "another method": (("--method", "chefer"), "no method 'chefer' for boxes: .* leave --method out"),
    "a layer that is not there": (("--method", "raw", "--layer", "5"), "has no layer 5: its 2 count from 0"),
    "text flags": (("--generate", "4"), "no use for --generate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_for_boxes_is_refused(look, name, tmp_path):
    flags, message = REFUSED[name]
    said = look(*flags)
    assert said.status == 2
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    import re

    assert re.search(message, " ".join(said.err.split()))


def test_a_head_can_be_chosen(look, tmp_path):
    said = look("--method", "raw", "--layer", "0", "--head", "1", "--json", "--no-pictures")
    assert said.status == 0, said.err
    assert json.loads(said.out)["images"][0]["method"] == "model.decoder.layers.0.encoder_attn"
    assert "layer 0, head 1" in (tmp_path / "out" / "index.html").read_text("utf-8")
