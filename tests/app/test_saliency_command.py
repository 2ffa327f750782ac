"""`jumok saliency`, and `jumok look` without a model, as a person calls them."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jumok.attention import AttentionMap, Pixels
from jumok.files import RESULTS_MARK


@pytest.fixture
def images(tmp_path):
    """A bright square on grey noise: as RGB, as grey, and with what surrounds the square left transparent."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(90, 110, (60, 80, 3), dtype=np.uint8)
    pixels[20:35, 30:50] = (250, 230, 30)
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "colour.png")
    Image.fromarray(pixels).convert("L").save(folder / "deeper" / "회색.png")
    see_through = np.dstack([pixels, np.where(pixels[..., 0] > 200, 255, 0).astype(np.uint8)])
    Image.fromarray(see_through).save(folder / "see-through.png")
    return folder


def table(folder):
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("separation", ["otsu", "adaptive"])
def test_a_folder_gives_pictures_maps_masks_boxes_and_a_page(jumok, images, tmp_path, separation):
    out = tmp_path / "out"
    said = jumok("saliency", images, "--out", out, "--separate", separation, "--threads", 1)
    assert said.status == 0, said.err
    rows = table(out)
    assert [row["image"] for row in rows] == ["colour.png", "deeper/회색.png", "see-through.png"]
    for row in rows:
        folder = out / Path(row["image"]).parent
        found = AttentionMap.load(folder / row["map"])
        assert found.keys == Pixels(60, 80)
        assert found.source == "saliency/boolean-maps" == row["method"]
        mask = np.asarray(Image.open(folder / row["mask"]))
        assert mask.shape == (60, 80)
        assert set(np.unique(mask)) == {0, 255}
        assert float(row["area"]) == pytest.approx((mask > 0).mean(), abs=1e-5)
        assert int(row["objects"]) == 1 == len(row["boxes"].split("; "))
        top, left, bottom, right = map(int, row["boxes"].split())
        assert abs(top - 20) <= 6
        assert abs(left - 30) <= 6
        assert abs(bottom - 35) <= 6
        assert abs(right - 50) <= 6
        for picture in (
            folder / row["picture"],
            folder / row["picture"].replace(".png.boolean-maps.", ".png.boolean-maps.objects."),
        ):
            with Image.open(picture) as shown:
                assert shown.width > 300
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "deeper/회색.png" in page
    assert "1 object: rows" in said.out


@pytest.mark.parametrize("method", ["spectral-residual", "fine-grained", "itti-koch-niebur", "frequency-tuned"])
def test_each_method_by_its_name(jumok, images, tmp_path, method):
    out = tmp_path / "out"
    assert jumok("saliency", images / "colour.png", "--method", method, "--out", out, "--no-html").status == 0
    assert {path.name for path in out.iterdir()} == {
        f"colour.png.{method}.png", f"colour.png.{method}.objects.png", f"colour.png.{method}.mask.png",
        f"colour.png.{method}.safetensors", "results.csv", RESULTS_MARK,
    }  # fmt: skip
    assert table(out)[0]["method"] == f"saliency/{method}"


def test_look_without_a_model_shows_what_stands_out(jumok, images, tmp_path):
    out = tmp_path / "out"
    said = jumok("look", images / "colour.png", "--out", out, "--method", "frequency-tuned")
    assert said.status == 0, said.err
    assert table(out)[0]["method"] == "saliency/frequency-tuned"
    assert (out / "index.html").exists()


def test_an_image_where_nothing_stands_out(jumok, tmp_path):
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "plain.png")
    said = jumok("saliency", tmp_path / "plain.png", "--out", tmp_path / "out")
    assert said.status == 0, said.err
    assert "nothing stands out" in said.out
    assert table(tmp_path / "out")[0]["objects"] == "0"


def test_an_unreadable_image_is_reported_and_left_out(jumok, images, tmp_path):
    (images / "broken.png").write_bytes(b"no picture")
    said = jumok("saliency", images, "--out", tmp_path / "out", "--method", "fine-grained", "--no-html")
    assert said.status == 1
    assert "left out" in said.out
    assert [bool(row["error"]) for row in table(tmp_path / "out")].count(True) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("saliency", "nowhere.png"), "no image or folder at nowhere.png"),
        (("saliency", "I", "--method", "boolean-map"), "did you mean 'boolean-maps'"),
        (("saliency", "I", "--separate", "otzu"), "did you mean 'otsu'"),
        (("saliency", "I", "--smallest", "2"), "--smallest"),
        (("look", "I", "--method", "rollout"), "rollout needs a model"),
        (("look", "I", "--target", "dog"), "no use for --target"),
        (("look", "I", "--layer", "1"), "no use for --layer"),
    ],
)
def test_what_is_refused(jumok, images, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    said = jumok(*(images if word == "I" else word for word in words))
    assert said.status == 2
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "saliency").exists()
    assert not (tmp_path / "look").exists()


STRANGE = ["n" * 240 + ".png", "가" * 80 + ".png", os.fsdecode("이름".encode("cp949")) + ".png"]
"""Names that leave no room for an ending, and one in an encoding of old."""


@pytest.mark.parametrize("words", [["saliency"], ["look"]])
def test_names_that_are_long_or_of_another_encoding_cost_no_result(jumok, images, tmp_path, words):
    for name in STRANGE:
        shutil.copy(images / "colour.png", images / name)
    said = jumok(*words, images, "--out", tmp_path / "out")
    assert said.status == 0, said.err
    rows = table(tmp_path / "out")
    assert [row["error"] for row in rows] == [""] * 6
    assert len({row["map"] for row in rows}) == 6
    written = {name.decode("utf-8", "replace") for _, _, names in os.walk(bytes(tmp_path / "out")) for name in names}
    assert {row["map"] for row in rows} | {row["picture"] for row in rows} <= written


def test_results_among_the_images_are_no_images(jumok, images):
    out = images / "deeper" / "found"
    assert jumok("saliency", images, "--out", out).status == 0
    first = table(out)
    said = jumok("look", images, "--out", images / "look")
    assert "left out: 1 folder of jumok's own results" in said.out
    said = jumok("saliency", images, "--out", out)
    assert "left out: 2 folders of jumok's own results" in said.out
    assert table(out) == first
    assert jumok("saliency", out, "--out", images / "asked-for").status == 0


def test_pictures_are_not_written_among_the_images_themselves(jumok, images, monkeypatch):
    before = sorted(images.rglob("*"))
    monkeypatch.chdir(images)
    said = jumok("look", ".", "--out", images)
    assert said.status == 2
    assert "holds the images themselves: give another folder" in said.err
    assert sorted(images.rglob("*")) == before


def test_a_folder_that_holds_other_things_is_not_marked_as_results(jumok, images, tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy(images / "colour.png", tmp_path / "mine")
    assert jumok("saliency", images, "--out", tmp_path / "mine").status == 0
    assert not (tmp_path / "mine" / RESULTS_MARK).exists()


def test_a_second_call_into_the_same_folder_says_that_it_replaced_files(jumok, images, tmp_path):
    words = ("saliency", images / "colour.png", "--out", tmp_path / "o")
    assert "replaced" not in jumok(*words).out
    (tmp_path / "o" / "mine.txt").write_text("stays")
    again = jumok(*words)
    assert f"remark: 6 earlier files in {tmp_path / 'o'} were replaced" in again.out
    assert "replaced" not in jumok(*words, "--json").out
    assert (tmp_path / "o" / "mine.txt").read_text() == "stays"
