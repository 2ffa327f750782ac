"""`jumok look` and `jumok measure` as a person calls them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from page_text import data_of
from PIL import Image
from pretrained_models import save_processor

from jumok.app import cli
from jumok.attention import AttentionMap
from jumok.extras import install_extra
from jumok.files import RESULTS_MARK

transformers = pytest.importorskip("transformers")


def jumok(*words, capsys=None):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8,
        id2label={0: "good", 1: "<b>흠집</b>"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "vit"
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    save_processor(folder, 32)
    return f"hf:{folder}"


@pytest.fixture
def images(tmp_path):
    chance = np.random.default_rng(0)
    for kind in ("good", "scratch"):
        for number in range(3):
            place = tmp_path / "images" / kind / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(chance.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(place)
    for number in range(3):
        mask = np.zeros((40, 50), np.uint8)
        mask[5:20, 10:30] = 255
        place = tmp_path / "masks" / "scratch" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(place)
    return tmp_path / "images"


def table(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_look_writes_picture_map_table_and_page_for_each_image(model, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert jumok("look", images, "--model", model, "--out", out, "--method", "rollout", "--batch-size", 4) == 0
    rows = table(out)
    assert [row["image"] for row in rows] == [f"{kind}/{n}.png" for kind in ("good", "scratch") for n in range(3)]
    for row in rows:
        folder = out / Path(row["image"]).parent
        found = AttentionMap.load(folder / row["map"])
        assert found.source == "rollout(cls)" == row["method"]
        assert found.image(40, 50).shape == (1, 40, 50)
        with Image.open(folder / row["picture"]) as picture:
            assert picture.width > 300
        assert 0 <= float(row["probability"]) <= 1
    listed = data_of((out / "index.html").read_text("utf-8"))["entries"]
    assert [each["truth"] for each in listed] == ["good"] * 3 + [""] * 3, "scratch is no class of the model"
    assert [each["best"][0] for each in listed] == [row["predicted"] for row in rows]
    assert "index.html" in capsys.readouterr().out


def test_one_unreadable_image_is_reported_and_left_out(model, images, tmp_path, capsys):
    (images / "good" / "1.png").write_bytes(b"")
    out = tmp_path / "out"
    assert jumok("look", images, "--model", model, "--out", out, "--no-html") == 1
    broken = [row for row in table(out) if row["error"]]
    assert len(table(out)) == 6
    assert len(broken) == 1
    assert "1.png" in broken[0]["image"]
    assert "left out" in capsys.readouterr().out
    assert not (out / "index.html").exists()


def test_images_smaller_than_a_patch_are_named_and_left_out(model, images, tmp_path, capsys):
    Image.new("RGB", (5, 40)).save(images / "good" / "slim.png")
    message = "slim.png has 40 x 5 pixels (height x width), less than one patch of the model, which is 8 x 8"
    words = ("--model", model, "--out", tmp_path / "out", "--no-html", "--method", "rollout")
    assert jumok("look", images, *words) == 1
    assert message in " ".join(capsys.readouterr().out.split())
    assert jumok("look", images / "good" / "slim.png", *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    measured = ("--out", tmp_path / "out", "--method", "rollout", "--no-faithful", "--no-health")
    assert jumok("measure", model, images, "--masks", images.parent / "masks", *measured) == 0
    assert message in " ".join(capsys.readouterr().out.split())


def test_one_image_for_a_named_class(model, images, tmp_path):
    out = tmp_path / "out"
    path = images / "scratch" / "0.png"
    assert jumok("look", path, "--model", model, "--target", "good", "--out", out) == 0
    assert table(out)[0]["target"] == "good"
    assert {p.name for p in out.iterdir()} == {
        "0.png.chefer.png", "0.png.chefer.safetensors", "results.csv", "index.html", RESULTS_MARK
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("look", "nowhere.png", "--model", "M"), "no image or folder at nowhere.png"),
        (("look", "I", "--model", "runs/none"), "no run at runs/none"),
        (("look", "I", "--model", "M", "--method", "rolout"), "did you mean 'rollout'"),
        (("look", "I", "--model", "M", "--target", "goof"), "did you mean 'good'"),
        (("look", "I", "--model", "M", "--head", "1"), "add --method raw"),
        (("look", "I", "--model", "M", "--method", "raw", "--head", "12"), "head=12 is outside"),
        (("look", "I", "--model", "M", "--device", "cuda:77"), "cuda"),
        (("look", "I", "--modl", "M"), "--modl"),
        (("measure", "M", "I", "--masks", "nowhere"), "nowhere"),
        (("measure", "M", "I", "--masks", "I"), "mask"),
        (("measure", "M", "nowhere", "--masks", "K"), "nowhere"),
        (("measure", "M", "I", "--masks", "K", "--method", "x"), "no method 'x'"),
        (("measure", "I", "--masks", "K", "--method", "boolean"), "did you mean 'boolean-maps'"),
        (("measure", "I", "--masks", "K", "--method", "rollout"), "the method rollout needs a model"),
        (("measure", "M", "I", "--masks", "K", "--method", "boolean-maps"), "or leave the model out"),
        (("measure", "M", "I", "--masks", "K", "--split", "tets"), "did you mean 'test'"),
    ],
)
def test_what_look_and_measure_refuse(words, message, model, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"M": model, "I": images, "K": images.parent / "masks"}
    assert jumok(*(names.get(word, word) for word in words)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert error.startswith("jumok: ")
    assert not (tmp_path / "look").exists()
    assert not (tmp_path / "measure").exists()


def test_a_run_without_its_config_is_not_taken_for_images(images, tmp_path, capsys):
    damaged = tmp_path / "run"
    damaged.mkdir()
    (damaged / "weights.safetensors").write_bytes(b"")
    assert jumok("measure", damaged, images) == 2
    assert capsys.readouterr().err == f"jumok: {damaged} is not a run: it has no config.yaml\n"


def test_all_images_unreadable_is_an_error(model, tmp_path, capsys):
    (tmp_path / "a.png").write_text("no picture")
    assert jumok("look", tmp_path / "a.png", "--model", model, "--out", tmp_path / "out") == 2
    assert "none of the 1 images could be used" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_measure_scores_every_method_beside_three_baselines(model, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert jumok("measure", model, images, "--masks", images.parent / "masks", "--out", out) == 0
    report = json.loads((out / "measure.json").read_text())
    assert set(report["methods"]) == {"chefer", "rollout", "raw", "legrad", "libra", "lrp", "input-x-gradient"}
    assert set(report["baselines"]) == {"random", "centre", "edges"}
    assert report["images"] == 3
    assert report["left_out"]["empty"] == 3
    assert report["area"] == pytest.approx(15 * 20 / 2000)
    for scores in (*report["methods"].values(), *report["baselines"].values()):
        for score in scores.values():
            assert score["low"] <= score["value"] <= score["high"]
    printed = capsys.readouterr().out
    assert "good" in printed
    assert (out / "measure.png").stat().st_size > 5_000


def test_saliency_is_scored_without_a_model_and_beside_one(model, images, tmp_path, capsys):
    masks = ("--masks", images.parent / "masks", "--out", tmp_path / "out")
    assert jumok("measure", images, *masks, "--method", "boolean-maps", "--method", "fine-grained", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] is None
    assert list(report["methods"]) == ["boolean-maps", "fine-grained"]
    assert set(report["baselines"]) == {"random", "centre", "edges"}
    assert report["images"] == 3
    assert jumok("measure", model, images, *masks, "--method", "rollout", "--method", "boolean-maps") == 0
    beside = json.loads((tmp_path / "out" / "measure.json").read_text())
    assert list(beside["methods"]) == ["rollout", "boolean-maps"]
    assert beside["methods"]["boolean-maps"] == report["methods"]["boolean-maps"]  # the same maps, the same scores
    assert jumok("measure", images, *masks) == 0
    assert len(json.loads((tmp_path / "out" / "measure.json").read_text())["methods"]) == 5


@pytest.mark.parametrize("asked", ["model", "no model"])
def test_images_without_classes_are_scored_against_their_masks(asked, model, images, tmp_path, capsys):
    flat, masks, out = images / "scratch", images.parent / "masks" / "scratch", tmp_path / "out"
    words = (model, flat, "--method", "rollout") if asked == "model" else (flat, "--method", "boolean-maps")
    assert jumok("measure", *words, "--masks", masks, "--out", out) == 0
    report = json.loads((out / "measure.json").read_text())
    assert (report["images"], report["left_out"]) == (3, {"empty": 0, "full": 0})
    assert "the images have no classes" in capsys.readouterr().out
    assert jumok("measure", *words, "--masks", masks, "--images", "5") == 2
    assert "has its images inside: leave out the folder 5" in capsys.readouterr().err


def test_a_missing_and_a_wrong_sized_mask_are_named(model, images, tmp_path, capsys):
    masks = images.parent / "masks"
    (masks / "scratch" / "1.png").unlink()
    assert jumok("measure", model, images, "--masks", masks, "--out", tmp_path / "out") == 2
    assert "scratch/1.png" in capsys.readouterr().err
    Image.new("L", (7, 7), 255).save(masks / "scratch" / "1.png")
    assert jumok("measure", model, images, "--masks", masks, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "scratch/1.png" in error
    assert "7 x 7" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["transformers", "timm"])
def test_a_missing_extra_gives_the_command_that_installs_it(package, images, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    prefix = {"transformers": "hf", "timm": "timm"}[package]
    assert jumok("look", images, "--model", f"{prefix}:some-model") == 2
    assert install_extra(prefix) in capsys.readouterr().err


def test_the_map_of_a_cropped_image_is_laid_and_kept_at_the_place_of_the_crop(model, images, tmp_path):
    folder = shutil.copytree(model.removeprefix("hf:"), tmp_path / "cropping")
    crop = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    save_processor(folder, 32, image_processor_type="CLIPImageProcessor", **crop)
    out, image = tmp_path / "out", images / "good" / "0.png"
    assert jumok("look", image, "--model", f"hf:{folder}", "--method", "rollout", "--out", out) == 0
    heat = AttentionMap.load(out / table(out)[0]["map"])
    assert heat.keys.frame == pytest.approx((0.1, 0.18, 0.9, 0.82), abs=0.004)
    laid = heat.image(40, 50)[0]
    assert bool((laid[4:36, 9:41] > 0).all())
    assert float(laid.sum()) == pytest.approx(float(laid[4:36, 9:41].sum()))
    assert "the model saw 51% of the image" in (out / "index.html").read_text()


def test_a_layer_is_chosen_by_name(model, images, tmp_path, capsys):
    image, out = images / "good" / "0.png", tmp_path / "out"
    words = ("look", image, "--model", model, "--out", out, "--no-html", "--no-pictures", "--layer")
    assert jumok(*words, "vit.layers.0", "--method", "raw") == 0
    assert table(out)[0]["method"].startswith("vit.layers.0.")
    assert jumok(*words, "vit.embeddings", "--method", "grad-cam", "--target", "good") in (0, 2)
    assert jumok(*words, "vit.layers.9", "--method", "raw") == 2
    assert "no attention of a layer 'vit.layers.9' was seen: near it: vit.layers" in capsys.readouterr().err
    assert jumok(*words, "vit.layers.0") == 2
    assert "add --method grad-cam" in capsys.readouterr().err
