import numpy as np
import pytest
from PIL import Image, ImageDraw

from jumok.data.images.beside import find_masks_beside
from jumok.data.images.folders import find_images, list_images, scan, scan_folder
from jumok.data.images.masks import MasksBeside
from jumok.errors import JumokError

SIZE = (40, 32)


def photo(path, seed=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(120, 25, (size[1], size[0])).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return path


def mask(path, *, blank=False, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size)
    if not blank:
        ImageDraw.Draw(image).ellipse((8, 8, 20, 22), fill=255)
    image.save(path)
    return path


def castings(root, each=12):
    """Photographs in Imgs/ with masks of the same stem beside them; those of sound parts are black."""
    for number, name in enumerate(("crack", "fray", "sound")):
        for index in range(each):
            size = (40 + index, 30 + number)
            photo(root / name / "Imgs" / f"{index:03}.jpg", 100 * number + index, size)
            mask(root / name / "Imgs" / f"{index:03}.png", blank=name == "sound", size=size)
    return root


def beside(root):
    return find_masks_beside(sorted(root.rglob("*.*")), root)


def test_masks_of_the_same_stem_are_found_told_and_never_images(tmp_path):
    sets = scan(castings(tmp_path))
    paths = [path for images in sets.values() for path in images.paths]
    assert len(paths) == 36
    assert {path.suffix for path in paths} == {".jpg"}
    assert sets["train"].notes == (
        "36 masks lie beside the images (x.png to x.jpg): measure uses them, training does not",
    )
    assert all(images.masks == {path: (path.with_suffix(".png"),) for path in images.paths} for images in sets.values())
    assert sets["train"].skipped == 0


def test_the_masks_beside_are_read_for_their_images(tmp_path):
    images = scan_folder(castings(tmp_path, each=3))
    masks = MasksBeside(images)
    path = tmp_path / "crack/Imgs/001.jpg"
    found = masks.get(path, 30, 41)
    assert found is not None
    assert found.shape == (30, 41)
    assert found[15, 14]
    assert not found[0].any()
    assert masks.without == ()
    sound = masks.get(tmp_path / "sound/Imgs/001.jpg", 32, 41)
    assert sound is not None
    assert not sound.any()


@pytest.mark.parametrize(
    ("image", "name", "how"),
    [
        ("a/{}.jpg", "a/{}_mask.png", "x_mask.png"),
        ("a/{}.png", "a/{}_mask.png", "x_mask.png"),
        ("a/{}.png", "a/masks/{}.png", "masks/x"),
        ("a/images/{}.jpg", "a/GT/{}.png", "GT/x"),
        ("a/{}.png", "masks/a/{}.png", "masks/x"),
        ("a/{}.png", "masks/{}.png", "masks/x"),
        ("train/a/{}.png", "ground_truth/train/a/{}_mask.png", "ground_truth/x_mask"),
    ],
)
def test_masks_are_found_by_what_they_are_called_and_hold(tmp_path, image, name, how):
    for index in range(4):
        photo(tmp_path / image.format(index), index)
        mask(tmp_path / name.format(index))
    found = beside(tmp_path)
    assert found.masks == {tmp_path / image.format(index): [tmp_path / name.format(index)] for index in range(4)}
    assert found.notes == (f"4 masks lie beside the images ({how}): measure uses them, training does not",)


def test_a_folder_of_masks_among_class_folders_is_no_class(tmp_path):
    for name in ("dent", "fine"):
        for index in range(6):
            photo(tmp_path / name / f"{name}{index}.png", index)
    for index in range(6):
        mask(tmp_path / "masks" / f"dent{index}.png")
    mask(tmp_path / "masks" / "gone.png")
    images = scan_folder(tmp_path)
    assert (images.classes, len(images), len(images.masks)) == (("dent", "fine"), 12, 6)
    assert images.notes[0].endswith("training does not; 1 more without an image are left out")
    assert MasksBeside(images).without == ("fine",)


def test_photographs_of_two_formats_both_count_and_that_is_told(tmp_path):
    for name in ("a", "b"):
        for index in range(5):
            photo(tmp_path / name / f"{index}.jpg", index)
            photo(tmp_path / name / f"{index}.png", 50 + index)
    images = scan_folder(tmp_path)
    assert (len(images), images.masks) == (20, {})
    assert images.notes == (
        "10 files could be masks by their names (x.png to x.jpg) but look like images: they count as images",
    )


def test_faces_with_masks_are_no_masks(tmp_path):
    for index in range(5):
        photo(tmp_path / "face" / f"{index}.jpg", index)
        photo(tmp_path / "face" / f"{index}_mask.jpg", 50 + index)
        photo(tmp_path / "labels" / f"{index}.jpg", 90 + index)
    images = scan_folder(tmp_path)
    assert (images.classes, len(images)) == (("face", "labels"), 15)


def test_drawings_in_two_formats_are_images(tmp_path):
    for index in range(4):
        mask(tmp_path / "a" / f"{index}.bmp")
        mask(tmp_path / "a" / f"{index}.png")
    assert beside(tmp_path).masks == {}


def test_masks_of_another_size_than_their_images_are_none(tmp_path):
    for index in range(4):
        photo(tmp_path / "a" / f"{index}.jpg", index)
        mask(tmp_path / "a" / f"{index}.png", size=(8, 8))
    assert beside(tmp_path).masks == {}


def test_where_some_are_masks_and_some_are_not_each_is_looked_at(tmp_path):
    for index in range(10):
        photo(tmp_path / "a" / f"{index}.jpg", index)
        (mask if index % 2 else photo)(tmp_path / "a" / f"{index}.png")
    found = beside(tmp_path)
    assert sorted(path.name for path in found.masks) == ["1.jpg", "3.jpg", "5.jpg", "7.jpg", "9.jpg"]
    assert "5 of 10 files named as masks (x.png to x.jpg) look like masks" in found.notes[0]
    assert "the other 5 count as images" in found.notes[0]


def test_masks_of_jpeg_with_blurred_edges_are_masks(tmp_path):
    for index in range(3):
        photo(tmp_path / "a" / f"{index}.png", index, (160, 128))
        mask(tmp_path / "a" / f"{index}_mask.jpg", size=(160, 128))
    assert len(beside(tmp_path).masks) == 3


def test_looking_at_a_folder_leaves_masks_out_and_tells(tmp_path):
    found = list_images(castings(tmp_path, each=2))
    assert {path.suffix for path in found.paths} == {".jpg"}
    assert len(found.paths) == 6
    assert "6 masks lie beside the images" in found.notes[0]
    assert find_images(tmp_path) == found.paths


def test_images_without_masks_cannot_be_measured_so(tmp_path):
    photo(tmp_path / "a" / "1.png")
    photo(tmp_path / "b" / "1.png")
    with pytest.raises(JumokError, match="no mask lies beside the 2 images"):
        MasksBeside(scan_folder(tmp_path))


@pytest.mark.parametrize("name", ["{}_mask_1.png", "{}_mask2.png", "{}-mask.png", "mask_{}.png", "GT-{}.png"])
def test_numbered_masks_and_masks_named_in_front_are_never_images(tmp_path, name):
    images = {photo(tmp_path / "cut" / f"part {n}.png", n) for n in range(6)}
    for n in range(6):
        mask(tmp_path / "cut" / name.format(f"part {n}"))
    found = beside(tmp_path)
    assert (set(found.masks), len(found.files)) == (images, 6)


def test_an_image_may_have_several_masks(tmp_path):
    images = [photo(tmp_path / "cut" / f"{n}.png", n) for n in range(6)]
    for n in range(6):
        mask(tmp_path / "cut" / f"{n}_mask.png")
    mask(tmp_path / "cut/3_mask_1.png")
    found = beside(tmp_path)
    assert [path.name for path in found.masks[images[3]]] == ["3_mask.png", "3_mask_1.png"]
    assert len(found.files) == 7


def test_a_mask_by_its_name_is_none_of_the_images_whatever_its_size(tmp_path):
    for n in range(6):
        photo(tmp_path / "cut" / f"{n}.png", n)
        mask(tmp_path / "cut" / f"{n}_mask.png", size=(80, 64))
    assert len(beside(tmp_path).files) == 6


def test_of_a_single_file_the_remark_is_about_one(tmp_path):
    photo(tmp_path / "cut/1.png"), photo(tmp_path / "cut/1_mask.png", 1), photo(tmp_path / "cut/2.png", 2)
    assert beside(tmp_path).notes == (
        "1 file could be a mask by its name (x_mask.png) but looks like an image: it counts as one",
    )
