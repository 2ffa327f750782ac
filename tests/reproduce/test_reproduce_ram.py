"""The images of RAM's tables, and a row made of little."""

import gzip
import json

import pytest
import torch

from reproduce import ram
from reproduce.__main__ import main
from reproduce.ram import CASES, LARGE, PIECE, SIDE, Falling, _placed, cluttered


def digits(count=6):
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.1


def test_a_translated_digit_is_whole_and_somewhere():
    images = digits(200)
    moved = cluttered(images, torch.Generator().manual_seed(0), pieces=0)
    assert moved.shape == (200, 1, LARGE, LARGE)
    corners = []
    for digit, image in zip(images[:, 0], moved[:, 0], strict=True):
        rows, columns = image.nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        assert torch.equal(image[top : top + SIDE, left : left + SIDE], digit)
        assert int((image > 0).sum()) == SIDE * SIDE
        corners.append((top, left))
    tops, lefts = zip(*corners, strict=True)
    for places in (tops, lefts):
        assert min(places) <= 2
        assert max(places) >= LARGE - SIDE - 2


def test_clutter_is_made_of_other_digits():
    images = torch.stack([torch.full((1, SIDE, SIDE), (number + 1) / 10) for number in range(6)])
    plain = cluttered(images, torch.Generator().manual_seed(0), pieces=0)
    full = cluttered(images, torch.Generator().manual_seed(0), pieces=4)
    assert (full >= plain).all()
    extra = (full > 0).sum((1, 2, 3)) - (plain > 0).sum((1, 2, 3))
    assert extra.min() > 0
    assert extra.max() <= 4 * PIECE * PIECE
    for number in range(6):
        found = {round(value * 10) for value in full[number].unique().tolist()}
        assert found <= set(range(7))
        assert len(found - {0, number + 1}) >= 1


def test_a_shift_moves_by_at_most_so_many_pixels_each_way():
    images = torch.zeros(300, 1, SIDE, SIDE)
    images[:, :, 14, 14] = 1
    moved = _placed(images, torch.Generator().manual_seed(0), side=SIDE, most=2)
    places = moved.nonzero()[:, 2:]
    assert places.min() == 12
    assert places.max() == 16
    assert torch.equal(_placed(images, torch.Generator(), side=SIDE, most=0), images)


def test_the_noise_falls_and_stays():
    class Model(ram.RAM):
        def loss(self, pixels, targets):
            return torch.tensor(self.std)

    model = Model(ram.RAMConfig(classes=10, image_size=28, channels=1, size=8, scales=1))
    falling = Falling(0.5, 0.2, steps=30)
    stds = [float(falling(model, torch.zeros(1), torch.zeros(1, dtype=torch.int64))) for _ in range(30)]
    assert stds[0] == pytest.approx(0.5)
    assert stds[10] == pytest.approx(0.35)
    assert stds[20:] == pytest.approx([0.2] * 10)
    assert stds == sorted(stds, reverse=True)


@pytest.mark.parametrize("case", ["28x28-2", "cluttered-8"])
def test_a_row_and_its_controls(case, tmp_path):
    draw = torch.Generator().manual_seed(0)
    for part, count in (("train", 96), ("t10k", 20)):
        pixels = torch.randint(0, 256, (count, SIDE, SIDE), generator=draw, dtype=torch.uint8)
        labels = torch.arange(count, dtype=torch.uint8) % 10
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.dim()]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
            path = tmp_path / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(head + array.numpy().tobytes()))
    out = tmp_path / "ram.json"
    given = ["ram", "--data", str(tmp_path), "--case", case, "--epochs", "1", "--batch", "32", "--out", str(out)]
    assert main(given) in (0, 1)
    rows = json.loads(out.read_text())["rows"]
    assert [row["model"] for row in rows] == [
        "RAM", "same, random places", "same, all in the middle", "same, one drawn scanpath",
    ]  # fmt: skip
    assert all(0 <= row["ours"] <= 100 and row["steps"] == 3 for row in rows)
    assert rows[0]["published"] == CASES[case].published
    assert rows[1]["published"] == CASES[case].random
    assert "arXiv 1406.6247" in rows[0]["source"]
