"""The generated samples: what is on disk, that it repeats, and that no simple prior finds the defects."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jumok.data.samples import image_folder
from jumok.data.samples.image_folder import write_inspection
from jumok.data.samples.inspection import CLASSES, MARKS, TEXTURES, draw
from jumok.data.samples.surfaces import Surface
from jumok.data.splits import SPLITS
from jumok.errors import JumokError

SMALL = {"size": 32, "train": 8, "val": 4, "test": 5}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "sample"
    write_inspection(folder, **SMALL)
    return folder


def drawn(number: int, kind: str, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    return draw(np.random.default_rng((5, number)), kind, size)


@pytest.fixture(scope="module")
def defects():
    """180 defective pictures with their masks as truth values."""
    kinds = [CLASSES[1 + number % 3] for number in range(180)]
    return [(image, mask > 0) for image, mask in (drawn(number, kind) for number, kind in enumerate(kinds))]


def test_every_class_of_every_split_has_its_share_of_images(sample):
    shares = {split: [len(list((sample / "images" / split / kind).iterdir())) for kind in CLASSES] for split in SPLITS}
    assert shares == {"train": [2, 2, 2, 2], "val": [1, 1, 1, 1], "test": [2, 1, 1, 1]}


def test_images_are_rgb_and_masks_black_and_white_of_the_same_name(sample):
    for path in (sample / "images").rglob("*.png"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (32, 32))
        mask_path = sample / "masks" / path.relative_to(sample / "images")
        assert mask_path.exists() == (path.parent.name != "normal")
        if mask_path.exists():
            mask = np.asarray(Image.open(mask_path))
            assert mask.shape == (32, 32)
            assert set(np.unique(mask)) == {0, 255}


def test_the_folder_explains_itself(sample):
    assert json.loads((sample / "sample.json").read_text()) == {"format": image_folder.FORMAT, "seed": 0, **SMALL}
    readme = (sample / "README.md").read_text()
    assert all(word in readme for word in (*CLASSES, "CC0", "32 x 32", "| test | 5 |"))
    assert not (sample / "unfinished.json").exists()


def test_the_same_parameters_give_the_same_bytes_on_any_number_of_cores(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "_count_processes", lambda: 1)
    write_inspection(tmp_path / "one", **SMALL)
    monkeypatch.setattr(image_folder, "_count_processes", lambda: 7)
    write_inspection(tmp_path / "seven", **SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "seven") == contents(sample)


def test_a_larger_sample_starts_with_the_smaller_one(sample, tmp_path):
    write_inspection(tmp_path, **{**SMALL, "train": 13, "test": 9})
    larger, smaller = contents(tmp_path), contents(sample)
    pictures = {name for name in smaller if name.endswith(".png")}
    assert {name: larger[name] for name in pictures} == {name: smaller[name] for name in pictures}


def test_seed_split_and_number_each_change_the_picture(sample, tmp_path):
    write_inspection(tmp_path, **SMALL, seed=1)
    one, other = contents(sample), contents(tmp_path)
    pictures = [data for files in (one, other) for name, data in files.items() if name.startswith("images")]
    assert len(set(pictures)) == len(pictures) == 2 * 17


def test_a_finished_sample_is_left_as_it_is(tmp_path):
    write_inspection(tmp_path, **SMALL)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_inspection(tmp_path, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_an_unfinished_sample_is_completed(sample, tmp_path):
    write_inspection(tmp_path, **SMALL)
    (tmp_path / "sample.json").rename(tmp_path / "unfinished.json")
    pictures = sorted(tmp_path.rglob("*.png"))
    pictures[0].write_bytes(pictures[0].read_bytes()[:40])
    pictures[1].unlink()
    write_inspection(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(sample)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_a_finished_sample_that_lost_a_picture_gets_it_back(sample, tmp_path, harm):
    write_inspection(tmp_path, **SMALL)
    harm(next(iter((tmp_path / "masks").rglob("*.png"))))
    write_inspection(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(sample)


def test_a_failure_half_way_leaves_an_unfinished_sample_and_a_clear_error(sample, tmp_path, monkeypatch):
    save, left = Image.Image.save, iter(range(6))

    def fill_up(image, *args, **options):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fill_up)
        with pytest.raises(JumokError, match=r"No space left on device; free some space"):
            write_inspection(tmp_path, **SMALL)
    assert (tmp_path / "unfinished.json").exists()
    assert not (tmp_path / "sample.json").exists()
    write_inspection(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(sample)


def test_a_folder_with_other_files_is_refused_and_not_touched(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(JumokError, match=r"holds other files, such as holiday\.jpg"):
        write_inspection(tmp_path, **SMALL)
    assert contents(tmp_path) == {"holiday.jpg": b"precious"}


@pytest.mark.parametrize("state", ["sample.json", "unfinished.json"])
def test_another_sample_is_refused_and_not_touched(tmp_path, state):
    write_inspection(tmp_path, **SMALL)
    (tmp_path / "sample.json").rename(tmp_path / state)
    before = contents(tmp_path)
    with pytest.raises(JumokError, match="holds another sample"):
        write_inspection(tmp_path, **SMALL, seed=3)
    assert contents(tmp_path) == before


def test_a_strange_file_in_a_sample_is_named(tmp_path):
    write_inspection(tmp_path, **SMALL)
    (tmp_path / "images/train/dent/mine.png").write_bytes(b"x")
    with pytest.raises(JumokError, match=r"not part of the sample, images/train/dent/mine\.png"):
        write_inspection(tmp_path, **SMALL)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(JumokError, match="is a file"):
        write_inspection(tmp_path / "file", **SMALL)
    with pytest.raises(JumokError, match="cannot write"):
        write_inspection(tmp_path / "file" / "below", **SMALL)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 31}, "32 to 1024 pixels, got 31"),
        ({"size": 1025}, "32 to 1024 pixels, got 1025"),
        ({"train": -1}, "train needs at least 4 images, one for each class, got -1"),
        ({"val": 0}, "val needs at least 4"),
        ({"test": 3}, "test needs at least 4"),
        ({"seed": -2}, "seed is 0 or more, got -2"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(JumokError, match=message):
        write_inspection(tmp_path / "new", **{**SMALL, **wrong})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", [32, 33, 100, 129, 200])
@pytest.mark.parametrize("kind", CLASSES)
def test_pictures_of_any_size(size, kind):
    image, mask = drawn(size, kind, size)
    assert image.shape == (size, size, 3)
    assert mask.shape == (size, size)
    assert image.dtype == mask.dtype == np.uint8
    assert bool(mask.any()) == (kind != "normal")


@pytest.mark.parametrize("kind", CLASSES[1:])
def test_the_mask_is_where_the_defect_changed_the_picture(kind):
    ratios = []
    for number in range(20):
        image, mask = drawn(number, kind)
        change = np.abs(image.astype(float) - drawn(number, "normal")[0]).max(-1)
        inside = mask > 0
        ratios.append(change[inside].mean() / change[~inside].mean())
    assert min(ratios) > 2
    assert np.median(ratios) > 5


def test_defects_cover_little_and_lie_anywhere(defects):
    masks = np.stack([mask for _, mask in defects])
    areas = masks.mean((1, 2))
    assert areas.min() > 0.01
    assert 0.02 < areas.mean() < 0.06
    quarters = [masks[:, y : y + 32, x : x + 32].mean() for y in (0, 32) for x in (0, 32)]
    assert min(quarters) > 0.7 * areas.mean()
    edge = np.ones((64, 64), bool)
    edge[4:-4, 4:-4] = False
    assert masks[:, edge].mean() > 0.4 * areas.mean()


def test_neither_the_centre_nor_the_strongest_edge_gives_the_defect_away(defects):
    centre = np.mean([mask[32, 32] for _, mask in defects])
    assert centre < 0.1
    hits = []
    for image, mask in defects:
        dy, dx = np.gradient(image.mean(-1))
        hits.append(mask.flat[np.hypot(dy, dx).argmax()])
    assert np.mean(hits) < 0.35


def test_no_picture_is_black_or_burnt_out(defects):
    levels = [image.mean() for image, _ in defects]
    assert min(levels) > 15
    assert max(levels) < 225


def test_there_are_several_textures_and_every_mark_draws_something():
    assert len(TEXTURES) >= 5
    for mark in MARKS:
        changed = []
        for seed in range(5):
            surface = Surface.blank(np.random.default_rng(seed), 128)
            surface.albedo *= 0.5
            mark(surface)
            changed.append((np.abs(surface.albedo - 0.5) > 0.1).any(0).mean())
        assert max(changed) > 0.002, mark.__name__
