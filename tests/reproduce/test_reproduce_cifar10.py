"""The CIFAR-10 table: the archive it reads, the augmentation, its networks, and its rows."""

import io
import tarfile

import pytest
import torch
from PIL import Image

from jumok.errors import JumokError
from jumok.systems import names
from reproduce import __main__ as command
from reproduce import cifar10
from reproduce.cifar10 import CLASSES, RECIPES, Normalise, channels_of, moved_and_flipped, some
from reproduce.image_training import Images
from reproduce.small_photographs import ARCHIVE, read_photographs


def picture(value, size=(32, 32), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, value).save(file, kind)
    return file.getvalue()


def write_archive(folder, members):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return folder


def small(folder, classes=("b-class", "a-class"), each=3):
    """Of each class, in the archive's order, pictures of a colour of their own."""
    members = {
        f"{part}/{name}/{number:04}.png": picture((number, 10 * place, part == "test"))
        for part in ("train", "test")
        for place, name in enumerate(classes)
        for number in range(each)
    }
    return write_archive(folder, members)


def test_pictures_come_in_the_order_of_their_names_with_their_classes(tmp_path):
    train, test = read_photographs(small(tmp_path), "train", "test")
    assert train.pixels.shape == (6, 3, 32, 32)
    assert train.pixels.dtype is torch.uint8
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.pixels[:, 1, 0, 0].tolist() == [10, 10, 10, 0, 0, 0]  # a-class was written second
    assert train.pixels[:, 0, 5, 5].tolist() == [0, 1, 2, 0, 1, 2]
    assert test.pixels[:, 2].unique().tolist() == [1]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"train/a/1.png": picture(0)}, "lacks the part 'test'"),
        ({"train/a/1.png": picture(0), "train/b/1.png": picture(0), "test/a/1.png": picture(0)}, "class 'b' of part"),
        ({"train/a/1.png": picture(0, (33, 32)), "test/a/1.png": picture(0)}, "33 x 32, wanted 32 x 32 pixels"),
        ({"train/a/1.png": picture(0)[:40], "test/a/1.png": picture(0)}, "train/a/1.png is no picture"),
        ({"train/a/1.png": b"GIF89a not", "test/a/1.png": picture(0)}, "train/a/1.png is no picture"),
        ({"train/a/1.png": bytes(70_000), "test/a/1.png": picture(0)}, "70,000 bytes, wanted a picture of at most"),
        ({"other.txt": b"nothing"}, "lacks the part 'train'"),
    ],
)
def test_archives_that_hold_something_else_are_refused(members, said, tmp_path):
    with pytest.raises(JumokError, match=said) as raised:
        read_photographs(write_archive(tmp_path, members), "train", "test")
    assert "\n" not in str(raised.value)


def test_missing_and_damaged_archives_are_refused(tmp_path):
    with pytest.raises(JumokError, match=f"does not hold {ARCHIVE}"):
        read_photographs(tmp_path, "train")
    (tmp_path / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(JumokError, match="cannot be read"):
        read_photographs(tmp_path, "train")
    whole = (small(tmp_path / "whole") / ARCHIVE).read_bytes()
    (tmp_path / ARCHIVE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JumokError, match=r"cannot be read|lacks"):
        read_photographs(tmp_path, "train", "test")


def test_images_are_moved_whole_and_half_of_them_flipped():
    pixels = torch.zeros(400, 3, 32, 32)
    pixels[:, 0, 10, 12] = 1.0
    pixels[:, 1, 10, 12] = 2.0
    moved = moved_and_flipped(pixels, torch.Generator().manual_seed(0))
    places = moved[:, 0].flatten(1).argmax(1)
    rows, columns = places // 32, places % 32
    assert torch.equal(moved[:, 1], 2 * moved[:, 0])  # the colours go together
    assert (moved[:, 0].sum((1, 2)) == 1).all()
    assert set(rows.tolist()) == set(range(6, 15))
    plain = columns[columns <= 16]
    assert set(plain.tolist()) == set(range(8, 17))
    assert set(columns[columns > 16].tolist()) == {31 - column for column in range(8, 17) if 31 - column > 16}
    assert 0.4 < len(plain) / 400 < 0.6 + 0.1
    again = moved_and_flipped(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)


def test_black_comes_in_at_the_edges():
    moved = moved_and_flipped(torch.ones(50, 3, 32, 32), torch.Generator().manual_seed(1))
    assert moved.sum((1, 2, 3)).min() >= 3 * 28 * 28
    assert moved.sum((1, 2, 3)).min() < 3 * 32 * 32
    assert set(moved.unique().tolist()) == {0.0, 1.0}


def test_colours_are_brought_to_mean_0_and_spread_1():
    pixels = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = Images(pixels, torch.zeros(20, dtype=torch.int64))
    normal = Normalise(*channels_of(images))(images.batch(torch.arange(20))[0])
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_a_part_of_the_images_is_of_all_classes():
    images = Images(torch.zeros(50, 3, 2, 2, dtype=torch.uint8), torch.arange(5).repeat_interleave(10))
    assert some(images, 10).labels.bincount().tolist() == [2] * 5
    assert some(images, None) is images
    assert some(images, 60) is images


@pytest.mark.parametrize("network", [name for name, recipe in RECIPES.items() if recipe.system in names()])
def test_every_network_makes_its_row(network, tmp_path):
    data = small(tmp_path / "data", classes=tuple("abcdefghij"), each=2)
    out = tmp_path / "cifar10.json"
    given = ["cifar10", "--data", str(data), "--networks", network, "--seeds", "1", "--epochs", "1", "--batch", "10"]
    assert command.main([*given, "--blocks", "1", "--out", str(out)]) == 0
    table = out.with_suffix(".md").read_text()
    assert "test error, %, seed 0" in table
    assert "20 images, 1 epoch in batches of 10" in table
    assert str(tmp_path) not in table


def test_other_classes_are_refused(tmp_path, capsys):
    given = ["cifar10", "--data", str(small(tmp_path)), "--networks", "plain", "--out", str(tmp_path / "a.json")]
    assert command.main(given) == 2
    assert "pictures of 2 classes, wanted 10" in capsys.readouterr().err


def test_rows_of_several_seeds_and_their_mean(tmp_path, monkeypatch):
    data = small(tmp_path / "data", classes=tuple("abcdefghij"), each=2)
    errors = iter([30.0, 40.0, 32.0, 36.0])
    monkeypatch.setattr(cifar10, "error", lambda *_: next(errors))
    given = ["cifar10", "--data", str(data), "--networks", "plain", "se", "--seeds", "2", "--epochs", "1"]
    out = tmp_path / "cifar10.json"
    assert command.main([*given, "--batch", "10", "--blocks", "1", "--out", str(out)]) == 0
    table = out.with_suffix(".md").read_text().splitlines()
    means = {line.split("|")[2].strip(): float(line.split("|")[4]) for line in table if "%, mean" in line}
    assert means == {"plain": 31.0, "se": 38.0}
    assert any("2 seeds, 30.00 to 32.00" in line for line in table)
    assert CLASSES == 10
