"""A spatial transformer network from the command line: trained, looked into, judged, and remarked on."""

import csv
import shutil

import pytest
import torch
from app_helpers import write_coloured

from jumok.app.cli import main
from jumok.attention import AttentionMap, Sampled
from jumok.tasks.classify.run import ImageRun

SMALL = "--system stn --option crop=8 --option localisation=8 --option widths=[8,16] --option transform=attention"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_coloured(tmp_path_factory.mktemp("photos") / "images", each=6)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stn") / "run"
    words = f"train {photos} {SMALL} --epochs 2 --batch-size 8 --device cpu --threads 1 --out {folder}"
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 0
    return folder


def test_the_validation_shows_how_the_regions_lie(run):
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(0 <= float(row["val_outside"]) < 0.5 and 0.5 < float(row["val_scale"]) < 2 for row in rows)


def zoomed_out(run, folder):
    """The same run with regions of three times the image's side."""
    copy = shutil.copytree(run, folder)
    spoilt = ImageRun.load(copy)
    spoilt.model.look.regression.bias.data = torch.tensor([3.0, 0.0, 0.0])
    spoilt.save(copy)
    return copy


@pytest.mark.parametrize("verb", ["look", "eval"])
def test_one_remark_if_the_regions_have_left_the_image_and_none_if_not(jumok, run, photos, tmp_path, verb):
    words = {"look": ("look", photos / "red", "--model"), "eval": ("eval",)}[verb]
    more = {"look": ("--out", tmp_path / "out", "--batch-size", 3), "eval": (photos, "--out", tmp_path / "out")}[verb]
    well = jumok(*words, run, *more)
    assert well.status == 0
    assert "remark:" not in well.out
    spoilt = jumok(*words, zoomed_out(run, tmp_path / "copy"), *more)
    assert spoilt.status == 0
    assert spoilt.out.count("remark: the regions of") == 1
    assert "zoomed out to 3." in spoilt.out or "zoomed out to 2.9" in spoilt.out


def test_look_keeps_the_region_of_each_image(jumok, run, photos, tmp_path):
    assert jumok("look", photos / "blue", "--model", run, "--out", tmp_path / "out").status == 0
    found = [AttentionMap.load(path) for path in sorted((tmp_path / "out").glob("*.safetensors"))]
    assert len(found) == 6
    assert all(isinstance(each.keys, Sampled) and len(each.keys) == 64 for each in found)
    assert len(list((tmp_path / "out").glob("*.attention.png"))) == 6
