from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.views.palette import METHOD_COLOURS
from jumok.views.pictures.faithfulness_curves import draw_curves


def report(methods=("relevance", "rollout"), fillings=("mean", "blur")):
    meter = FaithfulnessMeter()
    for seed in range(12):
        random = np.random.default_rng(seed)
        weight = torch.from_numpy(random.dirichlet(np.full(9, 0.3)))
        maps = {name: weight + 0.1 * torch.from_numpy(random.random(9)) for name in methods}
        meter.add({filling: lambda kept, w=weight: kept.double() @ w for filling in fillings}, maps)
    return meter.report()


def has_colour(path, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(np.asarray(Image.open(path).convert("RGB")).astype(int) - wanted).max(-1) <= 2).any())


def test_every_method_has_its_curve_and_each_filling_its_row(tmp_path):
    draw_curves(report(), tmp_path / "two.png")
    draw_curves(report(fillings=("mean",)), tmp_path / "one.png")
    assert all(has_colour(tmp_path / "two.png", colour) for colour in METHOD_COLOURS[:2])
    assert not has_colour(tmp_path / "two.png", METHOD_COLOURS[3])
    heights = [Image.open(tmp_path / name).size[1] for name in ("one.png", "two.png")]
    assert heights[1] > 1.6 * heights[0]


def test_names_of_any_letters_and_number_are_drawn(tmp_path):
    draw_curves(report([f"주목 {n} $a_b$" for n in range(6)]), tmp_path / "many.svg", title="제목")
    assert (tmp_path / "many.svg").stat().st_size > 10_000


def test_a_report_without_curves_is_refused(tmp_path):
    class Other:
        def to_dict(self):
            return {"methods": {}}

    with pytest.raises(JumokError, match="no curves"):
        draw_curves(Other(), tmp_path / "a.png")
