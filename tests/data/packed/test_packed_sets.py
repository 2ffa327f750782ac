"""Parquet and tar files as data sets: each image is read where it lies, and as it is."""

import gzip
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from packed_files import CLASSES, make_images, write_parquet, write_shard, write_tar

from jumok.data.images.contents import hash_file
from jumok.data.images.folders import scan, scan_folder, scan_ready
from jumok.data.images.reading import image_size, read_image
from jumok.data.packed import parquet_images
from jumok.data.packed.members import open_member
from jumok.errors import JumokError

parquet = pytest.importorskip("pyarrow.parquet")
IMAGES = make_images(24)


def contents(found):
    labelled = zip(found.paths, found.labels, strict=True)
    return [(open_member(path).getvalue(), found.classes[label]) for path, label in labelled]


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_parquet(folder / "all.parquet", IMAGES),
        lambda folder: write_parquet(folder / "all.parquet", IMAGES, form="struct"),
        lambda folder: write_parquet(folder / "all.parquet", IMAGES, named=False),
        lambda folder: write_shard(folder / "all.tar", IMAGES, told="json"),
        lambda folder: write_tar(folder / "all.tar", [(f"x/{k}/{n}.v2.png", c) for n, (c, k) in enumerate(IMAGES)]),
    ],
    ids=["bytes", "struct", "numbers", "json", "folders"],
)
def test_every_image_is_what_it_was_with_its_class(tmp_path, write):
    found = scan_folder(write(tmp_path))
    assert found.classes == CLASSES
    assert Counter(contents(found)) == Counter(IMAGES)
    first = found.paths[0]
    written = tmp_path / "one.png"
    written.write_bytes(open_member(first).getvalue())
    assert hash_file(first) == hash_file(written)
    assert image_size(first) == (16, 16)
    assert (read_image(first) == read_image(written)).all()


def test_classes_of_webdataset_are_numbers(tmp_path):
    found = scan_folder(write_shard(tmp_path / "a.tar", IMAGES))
    assert found.kind == "class"
    assert found.classes == ("0", "1", "2")
    assert [CLASSES[label] for label in found.labels] == [name for _, name in IMAGES]
    assert [path.name for path in found.paths] == [f"{number:06}.png" for number in range(24)]


def test_what_belongs_to_a_sample_and_is_another_image_is_left_out(tmp_path):
    content = IMAGES[0][0]
    members = [("1.jpg", content), ("1.seg.png", content), ("1.cls", b"0"), ("2.jpg", content), ("2.cls", b"1")]
    found = scan_folder(write_tar(tmp_path / "a.tar", members))
    assert [path.name for path in found.paths] == ["1.jpg", "2.jpg"]


def test_a_set_is_dealt_out_and_each_image_is_in_one_part(tmp_path):
    parts = scan(write_parquet(tmp_path / "all.parquet", make_images(60)))
    assert {part: len(images) for part, images in parts.items()} == {"train": 42, "val": 9, "test": 9}
    paths = [path for images in parts.values() for path in images.paths]
    assert len(set(paths)) == 60
    for images in parts.values():
        assert list(images.paths) == sorted(images.paths)  # as they are read best
        assert Counter(images.labels) == {0: len(images) // 3, 1: len(images) // 3, 2: len(images) // 3}


@pytest.mark.parametrize("folder", ["", "data"])
def test_parts_are_told_by_the_names_of_files(tmp_path, folder):
    for name, some in (("train-00000-of-00002", IMAGES[:9]), ("train-00001-of-00002", IMAGES[9:15])):
        write_parquet(tmp_path / folder / f"{name}.parquet", some)
    write_parquet(tmp_path / folder / "validation-00000-of-00001.parquet", IMAGES[15:])
    parts = scan_ready(tmp_path)
    assert {part: len(images) for part, images in parts.items()} == {"train": 15, "val": 9}
    assert Counter(contents(parts["val"])) == Counter(IMAGES[15:])


def test_parts_are_told_by_folders_and_by_a_column(tmp_path):
    write_shard(tmp_path / "a" / "train" / "0.tar", IMAGES[:12])
    write_shard(tmp_path / "a" / "test" / "0.tar", IMAGES[12:], first=12)
    assert {part: len(images) for part, images in scan_ready(tmp_path / "a").items()} == {"train": 12, "test": 12}
    split = ["train"] * 15 + ["test"] * 9
    parts = scan_ready(write_parquet(tmp_path / "b.parquet", IMAGES, split=split))
    assert {part: len(images) for part, images in parts.items()} == {"train": 15, "test": 9}


def test_a_column_keeps_images_together(tmp_path):
    groups = [f"g{number // 4}" for number in range(24)]
    parts = scan(write_parquet(tmp_path / "a.parquet", IMAGES, patient=groups), split_by="patient")
    homes = {group: {part for part, images in parts.items() if group in images.groups} for group in set(groups)}
    assert all(len(parts) == 1 for parts in homes.values())


def test_an_archive_beside_class_folders_is_left_alone(tmp_path):
    for name in CLASSES[:2]:
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.png").write_bytes(IMAGES[0][0])
    write_shard(tmp_path / "photos" / "all.tar", IMAGES)
    assert len(scan_folder(tmp_path / "photos")) == 2


def test_row_groups_are_read_once_for_images_that_follow_each_other(tmp_path, monkeypatch):
    held = parquet_images.HeldGroups(1 << 20)
    monkeypatch.setattr(parquet_images, "HELD", held)
    found = scan_folder(write_parquet(tmp_path / "a.parquet", IMAGES, group=4))
    contents(found)
    assert held.reads == 6
    contents(found)
    assert held.reads == 6
    monkeypatch.setattr(parquet_images, "HELD", small := parquet_images.HeldGroups(1))
    contents(found)
    contents(found)
    assert small.reads == 12


# -- what will not do ---------------------------------------------------------------------------


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share) // 512 * 512])
    return path


def trim(path):
    """Cut between two members: what is left looks whole but for its end."""
    with tarfile.open(path) as tar:
        end = tar.getmembers()[20].offset
    path.write_bytes(path.read_bytes()[:end])
    return path


def spoil(path):
    content = bytearray(path.read_bytes())
    content[100:4000] = bytes(3900)
    path.write_bytes(content)
    return path


def squeeze(path):
    file = path.with_name("a.tar.gz")
    file.write_bytes(gzip.compress(path.read_bytes()))
    return file


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda folder: cut(write_shard(folder / "a.tar", IMAGES)), "unexpected end"),
        (lambda folder: trim(write_shard(folder / "a.tar", IMAGES)), "mark of its end is missing"),
        (lambda folder: cut(write_parquet(folder / "a.parquet", IMAGES)), "damaged or not a Parquet file"),
        (lambda folder: squeeze(write_shard(folder / "a.tar", IMAGES)).rename(folder / "b.tar"), "gunzip it"),
        (lambda folder: squeeze(write_shard(folder / "in" / "a.tar", IMAGES)).parent, "decompress it"),
        (lambda folder: write_tar(folder / "a.tar", [("a.txt", b"x")]), "no image in"),
        (lambda folder: write_tar(folder / "a.tar", [("a/1.png", b"x"), ("a/1.png", b"x")]), "two members a/1.png"),
        (lambda folder: write_tar(folder / "a.tar", [("1.png", b"x"), ("2.png", b"x")]), "ending .cls"),
        (lambda folder: write_tar(folder / "a.tar", [("1.png", b"x"), ("1.json", b"{")]), "1.json is not JSON"),
        (lambda folder: write_parquet(folder / "a.parquet", IMAGES, split=["trian"] * 24), "did you mean 'train'"),
        (lambda folder: write_parquet(folder / "a" / "test.parquet", IMAGES).parent, ""),
    ],
    ids=["cut tar", "end", "cut parquet", "gz", "gz inside", "no image", "twice", "no label", "json", "split", "fine"],
)  # fmt: skip
def test_what_will_not_do_is_told_in_one_line(tmp_path, write, said):
    if not said:
        assert len(scan_folder(write(tmp_path))) == 24
        return
    with pytest.raises(JumokError, match=said) as caught:
        scan_ready(write(tmp_path))
    assert "\n" not in str(caught.value)


def test_files_of_two_kinds_or_half_named_after_parts_are_refused(tmp_path):
    write_parquet(tmp_path / "a" / "train.parquet", IMAGES)
    write_parquet(tmp_path / "a" / "more.parquet", IMAGES)
    with pytest.raises(JumokError, match=r"more\.parquet is named after none of train"):
        scan_ready(tmp_path / "a")
    (tmp_path / "a" / "more.parquet").unlink()
    write_shard(tmp_path / "a" / "test.tar", IMAGES)
    with pytest.raises(JumokError, match="a folder of one kind"):
        scan_ready(tmp_path / "a")


def test_a_row_group_that_is_too_large_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.data.packed.sets.WINDOW_BYTES", 2000)
    path = write_parquet(tmp_path / "a.parquet", IMAGES, group=24)
    with pytest.raises(JumokError, match=r"row_group_size=\d+\)"):
        scan_ready(path)


def test_a_column_of_labels_must_be_there(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet.write_table(pa.table({"image": [IMAGES[0][0]], "fine_label": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(JumokError, match="no column 'label': got image, fine_label"):
        scan_ready(tmp_path / "a.parquet")


def test_an_address_is_refused_by_name():
    with pytest.raises(JumokError, match=r"s3://bucket/train\.tar is an address"):
        scan_ready(Path("s3://bucket/train.tar"))


def test_an_image_that_is_damaged_is_named(tmp_path):
    path = write_shard(tmp_path / "a.tar", [(b"no image", "red"), *IMAGES])
    with pytest.raises(JumokError, match=r"cannot read .*a\.tar/000000\.png: it is not a PNG"):
        read_image(scan_folder(path).paths[0])
    path = write_parquet(tmp_path / "a.parquet", [(None, "red"), *IMAGES])
    with pytest.raises(JumokError, match=r"a\.parquet/000000000: there is no image in this row"):
        read_image(scan_folder(path).paths[0])
    with pytest.raises(JumokError, match="no row 000000099"):
        read_image(path / "000000099")


def test_damaged_rows_are_named(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", IMAGES)
    spoil(path)
    with pytest.raises(JumokError, match="damaged from row 0 on"):
        read_image(path / "000000000")
