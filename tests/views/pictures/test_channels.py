"""The picture of gates: bars as high as they are, a line for each class, and what it refuses to draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.attention import AttentionMap, Channels, One, Patches, Scale
from jumok.errors import JumokError
from jumok.views.palette import CLASS_COLOURS, PALE
from jumok.views.pictures.channels import draw_gates


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


def share(path: Path, colour: str) -> float:
    """The share of pixels that have a colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(pixels - wanted).max(-1) <= 3).mean())


def test_a_row_for_each_block_and_a_colour_for_each_class(tmp_path):
    draw_gates(gates(8, 16), tmp_path / "two.png", classes=["dent", "normal", "dent", "scratch"], title="Gates")
    draw_gates(gates(8, 16, 32), tmp_path / "deep" / "three.png")
    assert all(share(tmp_path / "two.png", colour) > 2e-4 for colour in CLASS_COLOURS[:3])
    assert share(tmp_path / "two.png", CLASS_COLOURS[3]) == 0
    assert all(share(tmp_path / "deep" / "three.png", colour) == 0 for colour in CLASS_COLOURS)
    draw_gates(gates(8), tmp_path / "one.svg")
    assert "stages.0.gate" in (tmp_path / "one.svg").read_text() or (tmp_path / "one.svg").stat().st_size > 2000


def test_bars_are_as_high_as_the_gates(tmp_path):
    shares = []
    for value in (0.2, 0.4, 0.8):
        draw_gates(gates(64, value=value), tmp_path / "bars.png")
        shares.append(share(tmp_path / "bars.png", PALE))
    assert shares[1] / shares[0] == pytest.approx(2, rel=0.1)
    assert shares[2] / shares[1] == pytest.approx(2, rel=0.1)


def test_classes_with_equal_means_share_a_line_and_others_do_not(tmp_path):
    apart = gates(4, images=2)
    apart["stages.0.gate"].weights[0] = 0.1
    apart["stages.0.gate"].weights[1] = 0.9
    draw_gates(apart, tmp_path / "apart.png", classes=["a", "b"])
    height = np.asarray(Image.open(tmp_path / "apart.png")).shape[0]
    rows = {}
    for colour in CLASS_COLOURS[:2]:
        pixels = np.asarray(Image.open(tmp_path / "apart.png").convert("RGB")).astype(int)
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        hit = (np.abs(pixels - wanted).max(-1) <= 40)[height // 3 :]
        rows[colour] = hit.any(1).nonzero()[0].mean()
    assert rows[CLASS_COLOURS[0]] > rows[CLASS_COLOURS[1]] + 40  # the gate of 0.1 lies below that of 0.9


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({}, {}, "no gates to draw"),
        (gates(*[4] * 33), {}, "room for the gates of 32 blocks, got 33"),
        (gates(8), {"classes": ["a", "b"]}, "for each of 4 images"),
        (gates(8), {"classes": "abcd"}, "for each of 4 images"),
        (gates(8, images=9), {"classes": list("abcdefghi")}, "colours for 8 classes, got 9"),
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
