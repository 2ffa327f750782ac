import numpy as np
import pytest
from PIL import Image

from jumok.errors import JumokError
from jumok.views.pictures.answer_charts import MOST_LABELS, draw_labels, draw_numbers


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_each_label_has_a_bar_and_those_without_a_score_have_none(tmp_path):
    scores, shares = [0.9, None, 0.4, 1.0], [0.5, 0.0, 0.1, 0.2]
    draw_labels(["a", "b", "$c_1$", "긁힘"], scores, shares, tmp_path / "all.png", title="labels")
    draw_labels(["a"], [0.9], [0.5], tmp_path / "one.png", title="one")
    assert size_of(tmp_path / "all.png")[1] > size_of(tmp_path / "one.png")[1]
    draw_labels(["a"], [None], [0.0], tmp_path / "none.png", title="none")
    many = MOST_LABELS + 40
    draw_labels([f"label {n}" for n in range(many)], [0.5] * many, [0.1] * many, tmp_path / "many.png", title="many")
    assert size_of(tmp_path / "many.png")[1] < 6000
    with pytest.raises(JumokError, match="a score and a share for each of 2 labels"):
        draw_labels(["a", "b"], [0.5], [0.1], tmp_path / "bad.png", title="bad")


def test_numbers_are_drawn_over_the_true_ones(tmp_path):
    true = np.linspace(1000, 1010, 50)
    draw_numbers(true, true[::-1], 1005.0, tmp_path / "n.png", title="numbers")
    draw_numbers(true[:1], true[:1], 1000.0, tmp_path / "one.svg", title="a single one")
    assert min(size_of(tmp_path / "n.png")) > 500
    assert (tmp_path / "one.svg").stat().st_size > 1000
