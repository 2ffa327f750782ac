import sys

import numpy as np
import pytest
from PIL import Image

from jumok.errors import JumokError
from reproduce import stranger_sets
from reproduce.__main__ import main
from reproduce.hand_tuned import Settings, accuracy_by_hand
from reproduce.stranger_sets import choose_part, write_set
from reproduce.strangers import accuracy_of_one_class


@pytest.fixture
def cells(tmp_path):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(40):
        Image.fromarray(np.full((30, 30), 5 * number, np.uint8)).save(folder / f"images/cell{number:04}.png")
        probability = (0.0, 1 / 3, 2 / 3, 1.0)[number % 4]
        lines.append(f"images/cell{number:04}.png  {probability:.2f}  {'mono' if number % 2 else 'poly'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_cells_are_defective_from_a_half_on_and_split_by_their_names(cells, tmp_path):
    folder = write_set("cells", cells, tmp_path / "set")
    found = {path.name: path.relative_to(folder).parts for path in folder.rglob("*.png")}
    assert len(found) == 40
    for name, (part, label, _) in found.items():
        number = int(name.removesuffix(".png")[-4:])
        assert label == ("defective" if number % 4 >= 2 else "functional")
        assert part == choose_part(name)
    assert {part for part, *_ in found.values()} == {"train", "val", "test"}


def test_a_package_that_is_not_installed_is_named(cells, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    assert main(["strangers", "--set", "cells", "--data", str(cells), "--quick"]) == 2
    assert capsys.readouterr().err == (
        "error: this table needs skimage, which is not installed: pip install scikit-image\n"
    )


def test_without_the_labels_it_is_said_what_is_missing(tmp_path):
    with pytest.raises(JumokError, match=r"has no labels.csv: give the data folder of elpv-dataset"):
        write_set("cells", tmp_path, tmp_path / "set")


def test_sets_that_are_not_carried_by_a_package_need_a_folder(tmp_path):
    with pytest.raises(JumokError, match="give --data"):
        write_set("digits", None, tmp_path / "set")


@pytest.fixture
def stripes(tmp_path):
    chance = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 8), ("test", 20)):
        for label in ("across", "down"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                lines = 60 * np.sin(np.arange(32) * 0.8 + chance.integers(0, 9))
                pixels = chance.normal(128, 20, (32, 32)) + (lines[:, None] if label == "across" else lines)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
                    tmp_path / part / label / f"{number}.png"
                )
    return tmp_path


def test_the_loop_by_hand_learns_what_is_easy_and_keeps_to_its_time(stripes):
    settings = Settings(16, 1, (8, 16), 8, 0.05, (-1,), 0.1, 0.02, 0.1, 12)
    assert accuracy_by_hand(stripes, settings, seed=0, seconds=30).accuracy >= 0.95
    assert accuracy_by_hand(stripes, settings, seed=0, seconds=1e-9).accuracy <= 0.7, "no time, nothing learnt"


def test_the_part_that_settings_are_chosen_on_can_be_tested(stripes):
    settings = Settings(16, 1, (8, 16), 8, 0.05, (-1, -2), 0.1, 0.02, 0.0, 12)
    assert accuracy_by_hand(stripes, settings, seed=0, seconds=30, part="val").balanced >= 0.9


def test_one_class_is_right_as_often_as_it_comes(stripes):
    assert accuracy_of_one_class(stripes) == 0.5


def test_the_generated_set_is_written_with_its_parts(tmp_path, monkeypatch):
    monkeypatch.setitem(stranger_sets.SETS, "few", lambda data: stranger_sets.read_inspection(data, train=8, val=4))
    folder = write_set("few", None, tmp_path / "few")
    counts = {part: len(list((folder / part).rglob("*.png"))) for part in ("train", "val", "test")}
    assert counts == {"train": 8, "val": 4, "test": 400}
    assert sorted(path.name for path in (folder / "train").iterdir()) == ["dent", "normal", "scratch", "stain"]


def test_the_forest_tells_apart_what_is_easy(stripes):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    from reproduce.hog_forest import accuracy_of_forest

    assert accuracy_of_forest(stripes, seed=0) >= 0.95
