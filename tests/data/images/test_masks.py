from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.data.images.folders import scan_folder
from jumok.data.images.masks import MaskFolder, read_mask
from jumok.errors import JumokError

MARK = np.zeros((6, 8), dtype=bool)
MARK[1:3, 2:6] = True


def put(path: Path, size: tuple[int, int] = (8, 6), mode: str = "L") -> Path:
    """A picture of `MARK`, or of another size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(MARK.astype(np.uint8) * 255).convert(mode).resize(size).save(path)
    return path


def tree(root: Path, *names: str) -> Path:
    for name in names:
        put(root / name)
    return root


def folder(tmp_path: Path, images: list[str], masks: list[str], **options: object) -> MaskFolder:
    found = scan_folder(tree(tmp_path / "images", *images), classes_are="top")
    return MaskFolder(tree(tmp_path / "masks", *masks), found, **options)


def mask_of(masks: MaskFolder, tmp_path: Path, image: str) -> str | None:
    found = masks.find(tmp_path / "images" / image)
    return None if found is None else found.relative_to(tmp_path / "masks").as_posix()


# -- reading --------------------------------------------------------------------------------------


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("value", [1, 3, 128, 255])
def test_every_grey_above_0_marks(tmp_path, value):
    path = saved(tmp_path / "m.png", Image.fromarray(MARK.astype(np.uint8) * value))
    assert torch.equal(read_mask(path), torch.from_numpy(MARK))


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp", "m.gif"])
def test_one_bit_masks(tmp_path, name):
    assert torch.equal(read_mask(saved(tmp_path / name, Image.fromarray(MARK))), torch.from_numpy(MARK))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("value", [1, 200])
def test_deep_masks(tmp_path, kind, value):
    path = saved(tmp_path / "m.tif", Image.fromarray(MARK.astype(kind) * kind(value)))
    assert torch.equal(read_mask(path), torch.from_numpy(MARK))


def test_floats_from_0_to_1_mark(tmp_path):
    path = saved(tmp_path / "m.tif", Image.fromarray(MARK.astype(np.float32) * np.float32(0.25)))
    assert torch.equal(read_mask(path), torch.from_numpy(MARK))


def test_sixteen_bit_png(tmp_path):
    path = saved(tmp_path / "m.png", Image.fromarray(MARK.astype(np.uint16) * np.uint16(255)))
    assert torch.equal(read_mask(path), torch.from_numpy(MARK))


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 1), (255, 255, 255)])
def test_every_colour_but_black_marks(tmp_path, colour):
    path = saved(tmp_path / "m.png", Image.fromarray(MARK[..., None] * np.array(colour, dtype=np.uint8)))
    assert torch.equal(read_mask(path), torch.from_numpy(MARK))


def test_transparent_pixels_do_not_mark(tmp_path):
    white = np.full((6, 8, 3), 255, dtype=np.uint8)
    pixels = np.concatenate([white, MARK[..., None].astype(np.uint8) * 255], -1)
    assert torch.equal(read_mask(saved(tmp_path / "m.png", Image.fromarray(pixels))), torch.from_numpy(MARK))


def test_a_palette_counts_by_its_colours_not_its_indices(tmp_path):
    indexed = Image.fromarray((~MARK).astype(np.uint8))
    indexed.putpalette([255, 0, 0, 0, 0, 0])  # 0 is red, 1 is black
    assert indexed.mode == "P"
    assert torch.equal(read_mask(saved(tmp_path / "m.png", indexed)), torch.from_numpy(MARK))


def test_the_faint_values_that_jpeg_leaves_do_not_mark(tmp_path):
    mark = np.zeros((64, 64), dtype=bool)
    mark[10:30, 13:43] = True
    path = saved(tmp_path / "m.jpg", Image.fromarray(mark.astype(np.uint8) * 255), quality=60)
    raw = np.asarray(Image.open(path))
    assert ((raw > 0) & ~mark).any(), "this file does have faint values"
    assert torch.equal(read_mask(path), torch.from_numpy(mark))


def test_a_mask_is_turned_upright_like_its_image(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6  # to be turned by 90 degrees
    path = saved(tmp_path / "m.png", Image.fromarray(MARK), exif=tag)
    assert torch.equal(read_mask(path), torch.from_numpy(np.rot90(MARK, -1).copy()))


def test_what_is_no_mask_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    cut = put(tmp_path / "cut.png", size=(200, 200))
    cut.write_bytes(cut.read_bytes()[:60])
    for name in ("text.png", "empty.png", "cut.png", "absent.png"):
        with pytest.raises(JumokError, match=name) as caught:
            read_mask(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_bomb_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.data.images.masks.MAX_PIXELS", 40)
    with pytest.raises(JumokError, match="8 x 6 pixels, more than the 40"):
        read_mask(put(tmp_path / "large.png"))


# -- matching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["scratch/001.png", "scratch/001.BMP", "scratch/001_mask.png"])
def test_same_relative_path_whatever_the_suffix(tmp_path, mask):
    masks = folder(tmp_path, ["scratch/001.jpg", "dent/001.jpg"], [mask, "dent/001.png"])
    assert mask_of(masks, tmp_path, "scratch/001.jpg") == mask
    assert mask_of(masks, tmp_path, "dent/001.jpg") == "dent/001.png"


def test_get_reads_the_mask(tmp_path):
    masks = folder(tmp_path, ["scratch/001.png", "good/001.png"], ["scratch/001.png"])
    assert torch.equal(masks.get(tmp_path / "images/scratch/001.png", 6, 8), torch.from_numpy(MARK))
    assert masks.get(tmp_path / "images/good/001.png", 6, 8) is None


def test_mvtec_layout(tmp_path):
    """Test images numbered anew in each class; `good` has no masks; masks end in _mask."""
    images = [f"{kind}/{number:03}.png" for kind in ("good", "broken_large", "contamination") for number in range(3)]
    marked = [name for name in images if not name.startswith("good")]
    masks = folder(tmp_path, images, [name.replace(".png", "_mask.png") for name in marked])
    assert masks.without == ("good",)
    assert mask_of(masks, tmp_path, "good/000.png") is None
    for name in marked:
        assert mask_of(masks, tmp_path, name) == name.replace(".png", "_mask.png")


def test_masks_may_lie_inside_the_folder_of_images(tmp_path):
    bottle = tree(tmp_path / "bottle", "test/good/000.png", "test/cut/000.png", "ground_truth/cut/000_mask.png")
    masks = MaskFolder(bottle / "ground_truth", scan_folder(bottle / "test"))
    assert masks.find(bottle / "test/cut/000.png") == bottle / "ground_truth/cut/000_mask.png"
    assert masks.find(bottle / "test/good/000.png") is None


def test_the_images_may_lie_deeper_than_the_masks(tmp_path):
    masks = folder(tmp_path, ["test/scratch/1.png", "test/dent/1.png"], ["scratch/1.png", "dent/1.png"])
    assert mask_of(masks, tmp_path, "test/scratch/1.png") == "scratch/1.png"


def test_the_masks_may_lie_deeper_than_the_images(tmp_path):
    names = ["train/scratch/1.png", "test/scratch/1.png"]
    tree(tmp_path / "masks", *names)
    images = tree(tmp_path / "images", *names)
    masks = MaskFolder(tmp_path / "masks", scan_folder(images / "test"))
    assert masks.find(images / "test/scratch/1.png") == tmp_path / "masks/test/scratch/1.png"


def test_a_mask_of_another_split_is_not_taken(tmp_path):
    masks = folder(tmp_path, ["val/scratch/1.png", "val/dent/2.png"], ["train/scratch/1.png", "val/dent/2.png"])
    assert mask_of(masks, tmp_path, "val/dent/2.png") == "val/dent/2.png"
    images = ["val/dent/2.png", "val/scratch/1.png", "val/good/1.png"]
    masks = folder(tmp_path / "b", images, ["train/scratch/1.png", "val/dent/2.png"])
    with pytest.raises(JumokError, match=r"no mask for .*val/scratch/1\.png"):
        mask_of(masks, tmp_path / "b", "val/scratch/1.png")


def test_the_name_alone_will_do_where_it_is_the_only_one(tmp_path):
    masks = folder(tmp_path, ["scratch/a7.jpg", "dent/b3.jpg"], ["a7.png", "deep/inside/b3_mask.png"])
    assert mask_of(masks, tmp_path, "scratch/a7.jpg") == "a7.png"
    assert mask_of(masks, tmp_path, "dent/b3.jpg") == "deep/inside/b3_mask.png"


def test_a_name_that_several_images_have_will_not_do(tmp_path):
    """Else the good image 000 would get the scratch's mask."""
    masks = folder(tmp_path, ["scratch/000.png", "dent/x.png", "good/000.png"], ["000.png", "x.png"])
    assert mask_of(masks, tmp_path, "good/000.png") is None
    assert masks.without == ("good", "scratch")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["scratch/1.png", "scratch/1_mask.png"], r"could be .*scratch/1\.png or .*scratch/1_mask\.png"),
        (["a/scratch/1.png", "b/scratch/1.png"], r"could be .*a/scratch/1\.png or .*b/scratch/1\.png"),
        (["a/1.png", "b/1.png"], r"could be .*a/1\.png or .*b/1\.png"),
    ],
)
def test_two_masks_for_an_image_are_an_error_that_lists_both(tmp_path, files, message):
    masks = folder(tmp_path, ["scratch/1.png", "good/2.png"], files)
    with pytest.raises(JumokError, match=message):
        mask_of(masks, tmp_path, "scratch/1.png")


def test_an_image_does_not_get_the_mask_of_a_namesake_in_another_part(tmp_path):
    """The test part holds good/007 and scratch/003, and scratch/007 is in train: its mask is not for good/007."""
    names = ["good/007.png", "scratch/003.png", "scratch/007.png"]
    every = scan_folder(tree(tmp_path / "images", *names))
    part = dataclasses.replace(every, paths=every.paths[:2], labels=every.labels[:2])
    assert [path.name for path in part.paths] == ["007.png", "003.png"]
    nested = MaskFolder(tree(tmp_path / "masks", "scratch/003_mask.png", "scratch/007_mask.png"), part)
    assert nested.find(part.paths[0]) is None
    flat = MaskFolder(tree(tmp_path / "flat", "003.png", "007.png"), part)
    assert flat.find(part.paths[0]) is None
    assert flat.find(part.paths[1]) == tmp_path / "flat/003.png"


def test_a_mask_that_fits_two_images_is_an_error_that_lists_both(tmp_path):
    masks = folder(tmp_path, ["train/scratch/1.png", "test/scratch/1.png"], ["scratch/1.png"])
    with pytest.raises(JumokError, match=r"fits .*test/scratch/1\.png and .*train/scratch/1\.png"):
        mask_of(masks, tmp_path, "test/scratch/1.png")


def test_korean_names_match_however_they_are_spelt(tmp_path):
    name = "긁힘/사진.png"
    masks = folder(tmp_path, [unicodedata.normalize("NFD", name)], [unicodedata.normalize("NFC", name)])
    assert mask_of(masks, tmp_path, unicodedata.normalize("NFD", name)) == unicodedata.normalize("NFC", name)


def test_names_with_dots_and_an_ending_of_their_own(tmp_path):
    masks = folder(tmp_path, ["a/v1.2.png", "a/x_mask.png"], ["a/v1.2_mask.png", "a/x_mask.png"])
    assert mask_of(masks, tmp_path, "a/v1.2.png") == "a/v1.2_mask.png"
    assert mask_of(masks, tmp_path, "a/x_mask.png") == "a/x_mask.png"


def test_hidden_files_and_other_files_are_no_masks(tmp_path):
    (tmp_path / "masks/scratch").mkdir(parents=True)
    (tmp_path / "masks/scratch/1.txt").touch()
    masks = folder(tmp_path, ["scratch/1.png"], ["scratch/1.png", "scratch/.1.png", ".trash/scratch/1.png"])
    assert mask_of(masks, tmp_path, "scratch/1.png") == "scratch/1.png"


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_missing_mask_is_an_error_that_names_the_image(tmp_path):
    masks = folder(tmp_path, ["scratch/1.png", "scratch/2.png", "good/3.png"], ["scratch/1.png"])
    with pytest.raises(JumokError, match=r"no mask for .*scratch/2\.png .* class 'scratch' has masks"):
        masks.get(tmp_path / "images/scratch/2.png", 6, 8)


def test_required_classes_may_be_named(tmp_path):
    masks = folder(tmp_path, ["a/1.png", "a/2.png", "b/3.png"], ["a/1.png"], required=["b"])
    assert masks.without == ("a",)
    assert mask_of(masks, tmp_path, "a/1.png") == "a/1.png"
    assert mask_of(masks, tmp_path, "a/2.png") is None
    with pytest.raises(JumokError, match=r"no mask for .*b/3\.png"):
        mask_of(masks, tmp_path, "b/3.png")


def test_an_unknown_required_class_is_an_error(tmp_path):
    with pytest.raises(JumokError, match="did you mean 'scratch'"):
        folder(tmp_path, ["scratch/1.png"], ["scratch/1.png"], required=["scrach"])


def test_a_mask_of_another_size_is_an_error_with_file_and_sizes(tmp_path):
    masks = folder(tmp_path, ["scratch/1.png"], ["scratch/1.png"])
    with pytest.raises(JumokError, match=r"scratch/1\.png is 8 x 6 pixels, its image .*scratch/1\.png is 9 x 7"):
        masks.get(tmp_path / "images/scratch/1.png", 7, 9)


def test_masks_that_fit_no_image_are_an_error(tmp_path):
    with pytest.raises(JumokError, match=r"none of the 1 images in .*images has a mask among the 1 files in .*masks"):
        folder(tmp_path, ["scratch/1.png"], ["scratch/2.png"])


@pytest.mark.parametrize("masks", ["", "images", "images/../images"])
def test_the_images_themselves_are_not_taken_for_masks(tmp_path, masks):
    images = scan_folder(tree(tmp_path / "images", "scratch/1.png"))
    with pytest.raises(JumokError, match="holds the images themselves"):
        MaskFolder(tmp_path / masks, images)


def test_the_images_themselves_by_a_link_are_not_taken_for_masks(tmp_path):
    images = scan_folder(tree(tmp_path / "images", "scratch/1.png"))
    (tmp_path / "link").symlink_to(tmp_path / "images")
    with pytest.raises(JumokError, match="holds the images themselves"):
        MaskFolder(tmp_path / "link", images)


def test_no_folder_of_masks_is_an_error(tmp_path):
    images = scan_folder(tree(tmp_path / "images", "scratch/1.png"))
    with pytest.raises(JumokError, match=r"no folder of masks at .*absent"):
        MaskFolder(tmp_path / "absent", images)


def test_an_image_of_another_set_is_an_error(tmp_path):
    masks = folder(tmp_path, ["scratch/1.png"], ["scratch/1.png"])
    with pytest.raises(JumokError, match="not among the images"):
        masks.find(tmp_path / "elsewhere/1.png")
