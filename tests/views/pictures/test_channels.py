"""The picture of gates: bars as high as they are, a row of shades for each class, and what it refuses to draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

from jumok.attention import AttentionMap, Channels, One, Patches, Scale
from jumok.errors import JumokError
from jumok.views.palette import PALE, SEQUENTIAL
from jumok.views.pictures.channels import CLASS_HEIGHT, draw_gates
from jumok.views.pictures.figures import DPI


def gates(*counts, images=4, value=None):
    drawn = torch.Generator().manual_seed(0)
    found = {}
    for number, count in enumerate(counts):
        weights = (
            torch.rand(images, 1, count, generator=drawn) if value is None else torch.full((images, 1, count), value)
        )
        name = f"stages.{number}.gate"
        found[name] = AttentionMap(weights, One("image"), Channels.numbered(count), ("batch",), Scale.GATE, name)
    return found


def find(path: Path, colour: str) -> np.ndarray:
    """Where pixels have a colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.abs(pixels - wanted).max(-1) <= 3


def share(path: Path, colour: str) -> float:
    """The share of pixels that have a colour."""
    return float(find(path, colour).mean())


def find_rows(path: Path, colour: str) -> np.ndarray:
    """The rows of pixels, half of which at least have a colour."""
    return np.flatnonzero(find(path, colour).mean(1) > 0.5)


def test_a_row_for_each_block_and_for_each_class(tmp_path):
    draw_gates(gates(8, 16), tmp_path / "two.png", classes=["dent", "normal", "dent", "scratch"], title="Gates")
    draw_gates(gates(8, 16), tmp_path / "deep" / "none.png")
    tall, low = (np.asarray(Image.open(tmp_path / name)).shape[0] for name in ("two.png", "deep/none.png"))
    assert tall > low + 2 * 3 * CLASS_HEIGHT * DPI
    draw_gates(gates(8), tmp_path / "one.svg")
    assert (tmp_path / "one.svg").stat().st_size > 2000


def test_bars_are_as_high_as_the_gates(tmp_path):
    shares = []
    for value in (0.2, 0.4, 0.8):
        draw_gates(gates(64, value=value), tmp_path / "bars.png")
        shares.append(share(tmp_path / "bars.png", PALE))
    assert shares[1] / shares[0] == pytest.approx(2, rel=0.1)
    assert shares[2] / shares[1] == pytest.approx(2, rel=0.1)


def test_the_shade_of_a_class_is_the_mean_of_its_gates(tmp_path):
    apart = gates(4, images=4)
    for image, value in enumerate((0.0, 1.0, 0.5, 1.0)):
        apart["stages.0.gate"].weights[image] = value
    draw_gates(apart, tmp_path / "apart.png", classes=["a", "b", "a", "b"])
    shades = [to_hex(colormaps[SEQUENTIAL](value)) for value in (0.25, 1.0)]
    rows = [find_rows(tmp_path / "apart.png", shade) for shade in shades]
    assert all(len(each) > 0.7 * CLASS_HEIGHT * DPI for each in rows)
    assert rows[0].max() < rows[1].min(), "in the order of the classes"
    assert share(tmp_path / "apart.png", to_hex(colormaps[SEQUENTIAL](0.0))) < 0.02


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({}, {}, "no gates to draw"),
        (gates(*[4] * 33), {}, "room for the gates of 32 blocks, got 33"),
        (gates(8), {"classes": ["a", "b"]}, "for each of 4 images"),
        (gates(8), {"classes": "abcd"}, "for each of 4 images"),
        (gates(8, images=13), {"classes": list("abcdefghijklm")}, "room for 12 classes, got 13"),
        ({**gates(8), **{"b": gates(8, images=2)["stages.0.gate"]}}, {}, r"of \[2, 4\] images"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, options, said, tmp_path):
    with pytest.raises(JumokError, match=said):
        draw_gates(given, tmp_path / "a.png", **options)
    assert not (tmp_path / "a.png").exists()


def test_other_maps_and_files_are_refused(tmp_path):
    places = AttentionMap(torch.rand(4, 1, 6), One("image"), Patches(2, 3), ("batch",), Scale.GATE)
    with pytest.raises(JumokError, match=r"wanted gates of channels, \(batch, 1, channels\)"):
        draw_gates({"spatial": places}, tmp_path / "a.png")
    with pytest.raises(JumokError, match=r"\.svg or \.pdf files, got 'a\.gif'"):
        draw_gates(gates(8), tmp_path / "a.gif")
