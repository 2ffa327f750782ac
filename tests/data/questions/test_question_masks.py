"""Masks of what questions are about, by the names that their file gives them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jumok.data.questions.masks import QuestionMasks
from jumok.data.questions.question_set import QuestionSet
from jumok.errors import JumokError


def asked(*masks):
    count = len(masks)
    return QuestionSet((Path("a.png"),), (0,) * count, ("where?",) * count, (("there",),) * count, ("",) * count, masks)


@pytest.fixture
def folder(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255
    (tmp_path / "masks" / "test").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks" / "test" / "\ubcc4-0.png")
    (tmp_path / "elsewhere.png").write_bytes((tmp_path / "masks" / "test" / "\ubcc4-0.png").read_bytes())
    return tmp_path / "masks"


def test_a_question_has_the_mask_that_it_names(folder):
    masks = QuestionMasks(folder, asked("", "test/\ubcc4-0.png"))
    assert masks.marked == (1,)
    assert masks.get(0, 6, 8) is None
    found = masks.get(1, 6, 8)
    assert found.sum() == 6
    assert found[1:3, 2:5].all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("", ""), "none of 2 questions names a mask"),
        (("test/lost.png",), "no mask at"),
        (("../elsewhere.png",), "lies outside"),
        (("/etc/hosts",), "lies outside"),
    ],
)
def test_masks_that_are_not_there_or_lie_outside_are_named(folder, names, message):
    with pytest.raises(JumokError, match=message):
        QuestionMasks(folder, asked(*names))


def test_a_mask_is_as_large_as_its_image(folder):
    with pytest.raises(JumokError, match=r"is 8 x 6 pixels, its image a.png is 6 x 8"):
        QuestionMasks(folder, asked("test/\ubcc4-0.png")).get(0, 8, 6)
    with pytest.raises(JumokError, match="no folder of masks"):
        QuestionMasks(folder / "nowhere", asked("a.png"))
