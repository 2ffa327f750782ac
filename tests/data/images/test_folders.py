import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from jumok.data.images.folders import find_images, scan, scan_folder, scan_ready
from jumok.data.images.splitting import deal as _deal
from jumok.errors import JumokError
from jumok.files import RESULTS_MARK


def fill(root, **classes):
    """Make class folders with so many empty files; a scan never opens them."""
    for name, count in classes.items():
        for index in range(count):
            touch(root / name / f"{index:03d}.png")
    return root


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def names(found):
    return {part: set(images.names) for part, images in found.items()}


# -- one folder ---------------------------------------------------------------------------------


def test_class_folders_become_classes_in_order(tmp_path):
    found = scan_folder(fill(tmp_path, scratch=2, dent=3))
    assert found.classes == ("dent", "scratch")
    assert found.labels == (0, 0, 0, 1, 1)
    assert found.names == ("dent/000.png", "dent/001.png", "dent/002.png", "scratch/000.png", "scratch/001.png")
    assert found.counts() == {"dent": 3, "scratch": 2}
    assert all(path.is_relative_to(tmp_path) for path in found.paths)


def test_suffixes_in_any_case_and_deeper_folders_count(tmp_path):
    for name in ("a.PNG", "b.Jpg", "c.jpeg", "d.webp", "e.BMP", "f.tif", "monday/g.TIFF"):
        touch(tmp_path / "one" / name)
    assert len(scan_folder(tmp_path)) == 7


def test_hidden_files_and_litter_do_not_exist_and_other_files_are_counted(tmp_path):
    fill(tmp_path, one=2, two=1)
    for name in (".DS_Store", "one/Thumbs.db", "one/._000.png", ".git/refs/x.png", "__MACOSX/one/x.png"):
        touch(tmp_path / name)
    assert scan_folder(tmp_path).skipped == 0
    touch(tmp_path / "readme.txt")
    touch(tmp_path / "one" / "labels.json")
    touch(tmp_path / "preview.png")  # beside the class folders, not in one
    found = scan_folder(tmp_path)
    assert (len(found), found.skipped, found.classes) == (3, 3, ("one", "two"))


def test_korean_names_are_composed_and_found(tmp_path):
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        for name in ("정상/가.png", "흠집/나.png"):
            touch(root / unicodedata.normalize(form, name))
        found = scan_folder(root)
        assert found.classes == ("정상", "흠집")
        assert found.names == ("정상/가.png", "흠집/나.png")
        assert all(path.is_file() for path in found.paths)


def test_two_spellings_of_one_name_are_refused(tmp_path):
    for form in ("NFC", "NFD"):
        touch(tmp_path / unicodedata.normalize(form, "정상") / "a.png")
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system composes names itself")
    with pytest.raises(JumokError, match="two folders whose names both read '정상'"):
        scan_folder(tmp_path)


def test_the_order_of_the_file_system_does_not_matter(tmp_path, monkeypatch):
    fill(tmp_path, a=9, b=7)
    touch(tmp_path / "a" / "deep" / "x.png")
    before, real = scan(tmp_path), os.scandir

    class Backwards:
        def __init__(self, folder):
            with real(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert scan(tmp_path) == before


def test_links_are_followed_but_never_in_circles(tmp_path):
    outside, root = fill(tmp_path / "outside", more=2), fill(tmp_path / "root", a=1, b=1)
    (root / "a" / "more").symlink_to(outside / "more")
    (root / "a" / "again").symlink_to(outside / "more")
    (root / "a" / "self").symlink_to(root / "a" / "self")
    (root / "a" / "up").symlink_to(root)  # would bring b's images into a
    (root / "a" / "here").symlink_to(root / "a")
    (outside / "more" / "back").symlink_to(root / "a")
    (root / "c").symlink_to(outside / "more")
    assert scan_folder(root).names == (
        "a/000.png",
        "a/again/000.png",
        "a/again/001.png",
        "b/000.png",
        "c/000.png",
        "c/001.png",
        "c/back/000.png",
    )


def test_all_images_of_a_folder_without_classes(tmp_path):
    fill(tmp_path, b=1, a=1)
    touch(tmp_path / "z.jpg")
    touch(tmp_path / "z.txt")
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == [
        "a/000.png",
        "b/000.png",
        "z.jpg",
    ]
    with pytest.raises(JumokError, match="no such folder"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(JumokError, match=r"no image in .*empty: wanted PNG"):
        find_images(tmp_path / "empty")


# -- the split ----------------------------------------------------------------------------------


def test_the_split_takes_its_share_of_each_class_and_loses_nothing(tmp_path):
    found = scan(fill(tmp_path, a=100, b=20))
    assert [found[part].counts() for part in ("train", "val", "test")] == [
        {"a": 70, "b": 14},
        {"a": 15, "b": 3},
        {"a": 15, "b": 3},
    ]
    parts = names(found)
    assert set.union(*parts.values()) == set(scan_folder(tmp_path).names)
    assert sum(map(len, parts.values())) == 120
    assert [found[part].classes for part in found] == [("a", "b")] * 3


def test_the_split_follows_the_seed_and_not_the_place(tmp_path):
    one, two = fill(tmp_path / "one", a=40, b=40), fill(tmp_path / "two", a=40, b=40)
    assert names(scan(one, seed=3)) == names(scan(two, seed=3))
    assert names(scan(one, seed=3)) != names(scan(one, seed=4))


def test_more_images_hardly_move_the_others(tmp_path):
    before = names(scan(fill(tmp_path, a=100, b=100)))
    after = names(scan(fill(tmp_path, a=104, b=100)))
    moved = sum(len(before[part] - after[part]) for part in before)
    assert moved <= 8
    assert {name for name in after["test"] if name.startswith("b/")} == {
        name for name in before["test"] if name.startswith("b/")
    }


def test_tiny_classes_stay_in_train_first(tmp_path):
    found = scan(fill(tmp_path, one=1, two=2, three=3, many=30))
    assert found["train"].counts() == {"many": 20, "one": 1, "three": 1, "two": 1}
    assert found["val"].counts() == {"many": 5, "one": 0, "three": 1, "two": 1}
    assert found["test"].counts() == {"many": 5, "one": 0, "three": 1, "two": 0}


@given(st.integers(1, 500), st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1)))
@example(3, (0.5, 1.0, 0.5))
def test_every_deal_is_whole_and_gives_train_some(count, weights):
    shares = {part: weight / sum(weights) for part, weight in zip(("train", "val", "test"), weights, strict=True)}
    dealt = _deal(count, shares)
    assert sum(dealt.values()) == count
    assert dealt["train"] >= 1
    for part in ("val", "test"):
        assert (dealt[part] == 0) if shares[part] == 0 else (count < 3 or dealt[part] >= 1)
        if count >= 100 and min(share for share in shares.values() if share) > 0.02:
            assert abs(dealt[part] - count * shares[part]) <= 1


def test_a_share_of_nothing_leaves_a_part_empty(tmp_path):
    found = scan(fill(tmp_path, a=10, b=10), shares=(0.8, 0.2, 0))
    assert [len(found[part]) for part in ("train", "val", "test")] == [16, 4, 0]


def test_ready_made_parts_are_kept(tmp_path):
    for part, count in (("train", 5), ("VALID", 2), ("test", 3)):
        fill(tmp_path / part, a=count, b=count)
    touch(tmp_path / "notes" / "x.txt")
    found = scan(tmp_path, seed=9)
    assert {part: len(images) for part, images in found.items()} == {"train": 10, "val": 4, "test": 6}
    assert found["val"].names[0] == "VALID/a/000.png"
    assert list(found) == ["train", "val", "test"]


def test_a_missing_part_is_split_off_train_in_proportion(tmp_path):
    fill(tmp_path / "train", a=34, b=34)
    fill(tmp_path / "test", a=2, b=2)
    found = scan(tmp_path)
    assert {part: len(images) for part, images in found.items()} == {"train": 56, "val": 12, "test": 4}  # 15 of 85
    assert not names(found)["train"] & names(found)["val"]


# -- what is wrong, and what to do --------------------------------------------------------------


def refused(root: Path, **options):
    with pytest.raises(JumokError) as caught:
        scan(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder_a_file_and_an_empty_folder(tmp_path):
    assert "no such folder" in refused(tmp_path / "none")
    touch(tmp_path / "x.png")
    assert "is a file: wanted a folder" in refused(tmp_path / "x.png")
    (tmp_path / "empty").mkdir()
    assert "is an empty folder" in refused(tmp_path / "empty")


def test_files_without_class_folders(tmp_path):
    touch(tmp_path / "notes.txt")
    assert "holds 1 files but no folders" in refused(tmp_path)
    touch(tmp_path / "a.png")
    touch(tmp_path / "b.jpg")
    assert "2 images lie directly in" in refused(tmp_path)


def test_a_class_folder_without_images(tmp_path):
    fill(tmp_path, a=2, b=2)
    (tmp_path / "c").mkdir()
    assert f"class folder {tmp_path / 'c'} has no image: wanted" in refused(tmp_path)
    touch(tmp_path / "c" / "x.txt")
    assert "has no image (1 other file): wanted" in refused(tmp_path)


def test_what_is_judged_may_lack_images_of_some_classes(tmp_path):
    fill(tmp_path / "new", a=2, b=2)
    (tmp_path / "new" / "c").mkdir()
    assert scan_folder(tmp_path / "new").counts() == {"a": 2, "b": 2, "c": 0}
    fill(tmp_path / "parts" / "train", a=2, b=2, c=2)
    fill(tmp_path / "parts" / "test", b=2, c=3)
    assert scan_ready(tmp_path / "parts", need_train=False)["test"].counts() == {"a": 0, "b": 2, "c": 3}


def test_one_class_only(tmp_path):
    assert "only one class, 'a'" in refused(fill(tmp_path, a=5))


def test_the_folder_above_is_pointed_down(tmp_path):
    fill(tmp_path / "images", a=5, b=5)
    assert f"did you mean {tmp_path / 'images'}" in refused(tmp_path)
    for part in ("images", "masks"):
        fill(tmp_path / "above" / part / "train", a=5, b=5)
    assert f"did you mean {tmp_path / 'above' / 'images'}" in refused(tmp_path / "above")


def test_parts_that_do_not_fit_together(tmp_path):
    fill(tmp_path / "train", a=5, b=5)
    fill(tmp_path / "val", a=1)
    assert f"{tmp_path / 'val'} lacks the class 'b'" in refused(tmp_path)
    (tmp_path / "val" / "b").mkdir()
    assert scan(tmp_path)["val"].counts() == {"a": 1, "b": 0}
    fill(tmp_path / "val", scrach=1)
    assert f"{tmp_path / 'val'} has the class 'scrach' that train does not have" in refused(tmp_path)


def test_parts_with_confusing_names(tmp_path):
    fill(tmp_path / "test", a=5, b=5)
    assert "holds test/ but no train/" in refused(tmp_path)
    fill(tmp_path / "train", a=5, b=5)
    fill(tmp_path / "validaton", a=5, b=5)
    assert "did you mean validation/?" in refused(tmp_path)
    (tmp_path / "validaton").rename(tmp_path / "validation")
    fill(tmp_path / "val", a=5, b=5)
    assert "keep one of them" in refused(tmp_path)


def test_too_few_images_to_split(tmp_path):
    assert "too few images (2 of 2 classes) to give val any" in refused(fill(tmp_path, a=1, b=1))
    assert len(scan(tmp_path, shares=(1, 0, 0))["train"]) == 2


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.5, -0.5, 0), (0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_shares_that_are_none(tmp_path, shares):
    assert "sum to 1" in refused(tmp_path, shares=shares)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def deny(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", deny)
    assert "Permission denied; check its permissions" in refused(tmp_path)


def test_a_class_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    """Then not even whether it is one of results may be asked."""
    fill(tmp_path, a=1, b=1)
    scan_any, exists_any = os.scandir, Path.exists

    def scan_some(folder):
        return deny(folder) if Path(folder).name == "b" else scan_any(folder)

    def deny(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", scan_some)
    monkeypatch.setattr(Path, "exists", lambda path: deny(path) if path.parent.name == "b" else exists_any(path))
    assert f"cannot read the folder {tmp_path / 'b'}: Permission denied" in refused(tmp_path)


def test_class_folders_whose_names_are_alike_are_told(tmp_path):
    fill(tmp_path, OK=9, ok=9, dent=9)
    if len(list(tmp_path.iterdir())) == 3:  # a disk that tells upper from lower case
        assert "'OK' and 'ok' are taken for different classes" in scan(tmp_path)["train"].notes[-1]


def test_a_folder_of_images_for_a_table_is_refused_beside_class_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "photos" / name / "0.png")
    with pytest.raises(JumokError, match="photos has its images inside: leave out the folder"):
        scan(tmp_path / "photos", images=tmp_path)


def test_results_beside_class_folders_and_parts_are_no_class(tmp_path):
    for root in (fill(tmp_path / "a", b=9, c=9), tmp_path / "parts"):
        fill(tmp_path / "parts" / "train", b=9, c=9)
        fill(root / "look", x=2)
        (root / "look" / RESULTS_MARK).touch()
        found = scan(root)["train"]
        assert found.classes == ("b", "c")
        assert found.notes == ("left out: 1 folder of jumok's own results",)


def test_hidden_folders_with_images_are_told(tmp_path):
    for root in (fill(tmp_path / "a", b=9, c=9), tmp_path / "parts"):
        fill(tmp_path / "parts" / "train", b=9, c=9)
        fill(root, **{".22": 9})
        (root / ".empty").mkdir()
        found = scan(root)["train"]
        assert found.classes == ("b", "c")
        assert found.notes == ("left out: 1 hidden folder with images (its name begins with a dot)",)
    fill(tmp_path / "a" / "b", **{".old": 2, ".older": 2})
    (note,) = scan(tmp_path / "a")["train"].notes
    assert note == "left out: 3 hidden folders with images (their names begin with a dot)"


def test_images_beside_the_class_folders_are_called_images(tmp_path):
    fill(tmp_path, a=12, b=12)
    for name in ("one.png", "two.jpg", "about.txt"):
        (tmp_path / name).touch()
    assert scan(tmp_path)["train"].notes == (
        "left out: 2 images that lie beside the class folders: put each into the folder of its class",
        "left out: 1 file that is not an image (1 .txt)",
    )
