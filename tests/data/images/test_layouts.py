import os

import pytest

from jumok.data.images.folders import scan, scan_folder
from jumok.errors import JumokError


def fill(root, *folders, each=12):
    """So many empty files in each folder; a scan never opens them."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            (root / folder / f"{index}.png").touch()
    return root


def refused(root, **options):
    with pytest.raises(JumokError) as caught:
        scan(root, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "names", [("Train", "Valid", "Test"), ("TRAIN", "dev", "test"), ("training", "val", "Testing")]
)
def test_parts_are_known_in_any_case_and_spelling(tmp_path, names):
    fill(tmp_path, *(f"{part}/{name}" for part in names for name in "ab"), each=3)
    sets = scan(tmp_path)
    assert {part: len(images) for part, images in sets.items()} == {"train": 6, "val": 6, "test": 6}
    assert sets["train"].classes == ("a", "b")


@pytest.mark.parametrize(
    "names", [("valid", "invalid"), ("bus", "car", "train"), ("test", "other"), ("train", "test", "x")]
)
def test_a_class_may_be_called_as_a_part_where_its_images_lie_in_it_directly(tmp_path, names):
    assert scan(fill(tmp_path, *names))["train"].classes == tuple(sorted(names))


def test_a_layout_with_two_readings_is_refused_until_it_is_said_which(tmp_path):
    fill(tmp_path, *(f"{name}/{when}" for name in ("bus", "car", "train") for when in ("day", "night")))
    said = refused(tmp_path)
    for words in ("train/ beside bus/, car/", "--classes-are inside", "--classes-are top"):
        assert words in said
    assert scan(tmp_path, classes_are="top")["train"].classes == ("bus", "car", "train")
    inside = scan(tmp_path, classes_are="inside")["train"]
    assert inside.classes == ("day", "night")
    assert inside.notes == ("not used, beside train/: bus/ (24 images), car/ (24 images)",)


def test_folders_beside_a_split_are_told(tmp_path):
    fill(tmp_path, "train/a", "train/b", "val/a", "val/b", "extra/a", "unlabelled")
    (tmp_path / "notes").mkdir()
    assert scan(tmp_path)["train"].notes == ("not used, beside train/: extra/ (12 images), unlabelled/ (12 images)",)


def test_a_test_part_without_class_folders_is_not_used_and_that_is_told(tmp_path):
    fill(tmp_path, "train/a", "train/b", "test", each=20)
    sets = scan(tmp_path)
    assert sets["train"].notes == ("test/ is not used: its images lie in no class folders",)
    assert {path.parts[-3] for path in sets["test"].paths} == {"train"}


def test_parts_that_hold_their_images_directly_are_refused_with_both_ways_out(tmp_path):
    said = refused(fill(tmp_path, "train", "test"))
    assert "train/" in said
    assert "--classes-are top if these folders are the classes" in said
    assert scan(tmp_path, classes_are="top")["train"].classes == ("test", "train")


def test_a_split_without_train_names_both_ways_out(tmp_path):
    said = refused(fill(tmp_path, "test/a", "test/b"))
    assert "holds test/ but no train/: add it, or use --classes-are top" in said
    assert scan_folder(tmp_path).classes == ("a", "b")


def test_an_unknown_reading_is_named(tmp_path):
    assert "did you mean 'top'?" in refused(fill(tmp_path, "a", "b"), classes_are="topp")


def test_all_of_a_split_is_one_set(tmp_path):
    fill(tmp_path, "train/a", "train/b", "val/a", "val/b", each=2)
    whole = scan_folder(tmp_path)
    assert (len(whole), whole.classes, whole.labels) == (8, ("a", "b"), (0, 0, 0, 0, 1, 1, 1, 1))


def test_files_that_are_left_out_are_told_by_reason(tmp_path):
    fill(tmp_path, "a", "b")
    for name in ("a/x.txt", "a/y.txt", "b/z.json", "b/raw.nef", "note"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "a" / "pipe.png")
    notes = scan(tmp_path)["train"].notes
    assert "left out: 1 .nef image (convert them to PNG" in notes[0]
    assert notes[1] == "left out: 1 pipe, device or broken link"
    assert notes[2] == "left out: 4 files that are not images (2 .txt, 1 .json, 1 without ending)"
    assert len(notes) == 3


def test_groups_of_folders_stay_in_one_part(tmp_path):
    fill(tmp_path, *(f"{name}/{person}" for name in "ab" for person in range(10)), each=3)
    sets = scan(tmp_path, split_by="folder")
    homes = {part: {path.parent for path in images.paths} for part, images in sets.items()}
    assert not homes["train"] & homes["val"]
    assert not homes["train"] & homes["test"]
    assert not homes["val"] & homes["test"]
    assert {part: len(images) for part, images in sets.items()} == {"train": 42, "val": 9, "test": 9}
    assert all(min(images.counts().values()) >= 3 for images in sets.values())
    with pytest.raises(JumokError, match="class folders take 'folder'"):
        scan(tmp_path, split_by="patient")
