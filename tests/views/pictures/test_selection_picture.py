import numpy as np
import pytest
import torch
from PIL import Image

from jumok.attention import AttentionMap, Features, One, Scale
from jumok.errors import JumokError
from jumok.views.pictures.selection import draw_selection


def scores(values):
    names = Features(tuple(f"x{i}" for i in range(len(values))))
    return AttentionMap(torch.tensor([values]), One("target"), names, scale=Scale.SCORE, source="test")


def coloured(path):
    """Pixels as strongly orange as the bars of what was kept."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return (np.abs(pixels - [0xB0, 0x44, 0x0A]).max(-1) < 12).sum()


def test_what_is_kept_stands_out(tmp_path):
    found = scores([3.0, 1.0, -0.5, 2.0])
    areas = []
    for kept in (1, 2, 4):
        draw_selection(found, [0, 3, 1, 2], kept, tmp_path / "bars.png", title="all")
        areas.append(coloured(tmp_path / "bars.png"))
    first, second, all_ = areas
    assert second / first == pytest.approx(5 / 3, rel=0.05)  # lengths 3 and 3 + 2
    assert all_ / first == pytest.approx(6.5 / 3, rel=0.05)


def test_many_keys_and_no_scores(tmp_path):
    draw_selection(scores([0.0] * 100), list(range(100)), 3, tmp_path / "bars.png")
    assert Image.open(tmp_path / "bars.png").height < 2500


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3]])
def test_orders_that_are_none(tmp_path, order):
    with pytest.raises(JumokError, match="each key once"):
        draw_selection(scores([1.0, 2.0, 3.0]), order, 1, tmp_path / "bars.png")
    assert not (tmp_path / "bars.png").exists()
