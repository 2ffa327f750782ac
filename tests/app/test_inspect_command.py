import json
import re
import shutil

import numpy as np
import pytest
from browser_visit import CHROME, needs_browser
from PIL import Image

PARTS = (("Train", 12), ("Val", 4), ("Test", 4))


def photo(seed, side=(40, 48)):
    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(0, 256, (5, 6), dtype=np.uint8))
    return small.resize(side[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def parts(tmp_path):
    """Three parts of two classes with everything in them that is worth a remark."""
    root, seed = tmp_path / "parts", 0
    for part, count in PARTS:
        for name in ("fine", "dent"):
            (root / part / name).mkdir(parents=True)
            for number in range(count if name == "fine" else count // 4):
                photo(seed := seed + 1).save(root / part / name / f"{number}.png")
    shutil.copy(root / "Train/fine/0.png", root / "Test/fine/copy.png")
    shutil.copy(root / "Train/fine/1.png", root / "Train/dent/other.png")
    Image.open(root / "Train/fine/2.png").resize((96, 80)).save(root / "Val/fine/large.jpg", quality=95)
    Image.fromarray(np.asarray(photo(99)).astype(np.uint16) * 16).save(root / "Train/fine/deep.png")
    (root / "Train/fine/broken.png").write_bytes((root / "Train/fine/3.png").read_bytes()[:300])
    (root / "Train/fine/notes.txt").write_text("x")
    return root


def inspected(jumok, folder, out, *words):
    said = jumok("inspect", folder, "--out", out, *words)
    assert said.status == 0, said.err
    return said, json.loads((out / "inspect.json").read_text())


def test_everything_that_matters_is_told(jumok, parts, tmp_path):
    said, report = inspected(jumok, parts, tmp_path / "o")
    assert report["images"] == 30
    assert report["counts"] == {
        "train": {"dent": 4, "fine": 14},
        "val": {"dent": 1, "fine": 5},
        "test": {"dent": 1, "fine": 5},
    }
    assert report["sizes"] == {"smallest": [40, 48], "median": [40, 48], "largest": [80, 96], "different": 2}
    assert report["formats"] == {"PNG": 28, "JPEG": 1}
    assert report["kinds"] == {"grey": 28, "grey, 16 bits": 1}
    assert report["bits"] == 12
    assert report["broken_images"] == 1
    assert report["broken"][0]["image"] == "fine/broken.png"
    assert report["left_out"] == {".txt": 1}
    assert (report["duplicates"]["images"], report["duplicates"]["groups_across_parts"]) == (2, 1)
    assert report["near_duplicates"]["groups"] == [["fine/2.png", "fine/large.jpg"]]
    assert report["near_duplicates"]["groups_across_parts"] == 1
    assert report["contradictions"] == 1
    for words in (
        "30 images (2 classes)",
        "sizes: 40 x 48 to 80 x 96 pixels, median 40 x 48; 2 different",
        "left out: 1 file that is not an image (1 .txt)",
        "1 image cannot be read",
        "fine/broken.png: ",
        "2 duplicates: the same file as another image; 1 group of them in several parts",
        "copies of 1 file have different classes: only one can be right",
        "1 near duplicate: nearly the same to look at as another image (fine/2.png and fine/large.jpg); 1 group "
        "of them in several parts, which may flatter the figures",
        "fine has 3.5 times the images of dent; always saying 'fine' would be right for 77.8%",
        "16-bit images use 12 bits: 4,095 is taken for white",
    ):
        assert words in said.out


def test_a_plain_folder_gets_no_remark(jumok, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for number in range(8):
            photo(number + 50 * (name == "a")).save(tmp_path / "d" / name / f"{number}.png")
    said, report = inspected(jumok, tmp_path / "d", tmp_path / "o", "--no-html")
    assert report["remarks"] == []
    assert "remark" not in said.out
    assert not (tmp_path / "o" / "index.html").exists()


def test_near_duplicates_are_looked_for_among_many_images_where_that_is_asked(jumok, parts, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.data.images.near_duplicates.MOST_COMPARED", 20)
    said, report = inspected(jumok, parts, tmp_path / "o", "--no-html")
    assert report["near_duplicates"] is None
    assert "near duplicates were not looked for among so many images (29): add --near-duplicates" in said.out
    said, report = inspected(jumok, parts, tmp_path / "o", "--no-html", "--near-duplicates")
    assert report["near_duplicates"]["groups"] == [["fine/2.png", "fine/large.jpg"]]


def test_pages_that_are_not_read_are_told(jumok, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        pages = [photo(number + 50 * (name == "a")) for number in range(3)]
        pages[0].save(tmp_path / "d" / name / "pages.tif", save_all=True, append_images=pages[1:])
    said, report = inspected(jumok, tmp_path / "d", tmp_path / "o", "--no-html")
    assert "remark: 2 images have several frames or pages (such as a/pages.tif): only the first of each" in said.out
    assert len(report["remarks"]) == 1


def test_groups_that_lie_in_several_parts_are_told(jumok, tmp_path):
    (tmp_path / "im").mkdir()
    lines = ["image,label,split,patient"]
    for number in range(12):
        photo(number).save(tmp_path / "im" / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]},{'train' if number < 8 else 'test'},{number // 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ("--images", tmp_path / "im", "--split-by", "patient")
    said, report = inspected(jumok, tmp_path / "labels.csv", tmp_path / "o", *words)
    assert report["groups"] == {"groups": 4, "in_several_parts": 1}
    assert "4 groups are to stay together; 1 of them lies in several parts" in said.out


def test_what_cannot_be_inspected_is_one_line(jumok, tmp_path):
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "x.png").write_bytes(b"nothing")
    said = jumok("inspect", tmp_path / "d", "--out", tmp_path / "o")
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "none of the 1 images can be read" in said.err
    assert not (tmp_path / "o").exists()


@needs_browser
def test_the_page_shows_each_class_and_what_is_alike(jumok, parts, tmp_path):
    from playwright.sync_api import sync_playwright

    shutil.copytree(parts / "Val" / "fine", parts / "Val" / "<b>bold")
    shutil.copytree(parts / "Train" / "dent", parts / "Train" / "<b>bold")
    (parts / "Test" / "<b>bold").mkdir()
    inspected(jumok, parts, tmp_path / "o")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROME, args=["--no-sandbox"])
        page = browser.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "o" / "index.html").as_uri())
        headings = page.locator("section h2").all_inner_texts()
        assert headings == ["<b>bold", "dent", "fine", "Duplicates", "Near duplicates"]
        assert page.locator("img").evaluate_all("every => every.every(each => each.naturalWidth > 0)")
        assert page.locator("section").nth(2).locator("img").count() == 12
        assert complaints == []
        browser.close()


def test_images_of_one_size_have_one(jumok, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (30, 20), name).save(tmp_path / "photos" / name / "1.png")
    said = jumok("inspect", tmp_path / "photos", "--out", tmp_path / "o", "--no-html")
    assert "size: 20 x 30 pixels, all of them" in said.out


def test_each_share_is_written_beside_its_bar(jumok, coloured, tmp_path):
    assert jumok("inspect", coloured, "--out", tmp_path / "out").status == 0
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert re.findall(r"<p class=.share[^>]*>([^<]+)<meter", page) == ["33.3% of all images"] * 3
