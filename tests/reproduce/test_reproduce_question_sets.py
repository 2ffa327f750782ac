"""Published sets of questions: what is written, that it is the definition's, and that the answers are true."""

import csv
import math
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from jumok.errors import JumokError
from reproduce import question_sets
from reproduce.question_sets import COLOURS, Drawn, easy_vqa, sort_of_clevr

IMAGES = 220


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def clevr(tmp_path_factory):
    return sort_of_clevr(tmp_path_factory.mktemp("clevr") / "set", images=IMAGES, val=5)


# -- Sort-of-CLEVR -----------------------------------------------------------------------------


def test_200_images_are_for_the_test_and_no_image_is_in_two_parts(clevr):
    names = [{row["image"] for row in rows(path)} for path in (clevr.train, clevr.val, clevr.test)]
    assert [len(some) for some in names] == [IMAGES - 205, 5, 200]
    assert len(set.union(*names)) == IMAGES
    assert all((clevr.images / name).exists() for some in names for name in some)


def test_each_image_has_ten_relational_and_ten_other_questions(clevr):
    kinds = Counter((row["image"], row["kind"]) for row in rows(clevr.test))
    assert set(kinds.values()) == {10}
    assert {kind for _, kind in kinds} == {"relational", "non-relational"}
    details = Counter((row["kind"], row["detail"]) for row in rows(clevr.test))
    assert len(details) == 6
    assert all(abs(count / 4000 - 1 / 6) < 0.02 for count in details.values())


def seen(path: Path) -> dict[str, tuple[str, float, float]]:
    """Shape and centre of each colour, from the pixels alone."""
    pixels = np.asarray(Image.open(path))
    assert pixels.shape == (75, 75, 3)
    found = {}
    for colour, value in COLOURS.items():
        y, x = np.nonzero((pixels == value).all(-1))
        box = (y.max() - y.min() + 1) * (x.max() - x.min() + 1)
        assert box == 121  # nothing covers a part of it
        found[colour] = ("square" if len(y) == box else "circle", x.mean(), y.mean())
    others = ~np.array([(pixels == value).all(-1) for value in COLOURS.values()]).any(0)
    assert (pixels[others] == 255).all()
    return found


def the_answer(objects: dict[str, tuple[str, float, float]], question: str) -> str:
    """From the words of the question, and what is seen."""
    (colour,) = (name for name in COLOURS if f" {name} " in question)
    shape, x, y = objects[colour]
    far = {math.dist((x, y), other[1:]): other[0] for name, other in objects.items() if name != colour}
    answers = {
        "that is closest": far[min(far)],
        "that is furthest": far[max(far)],
        "left or right": "left" if x < 37 else "right",
        "top or bottom": "top" if y < 37 else "bottom",
        "How many": str(sum(other[0] == shape for other in objects.values())),
        "What is the shape of the": shape,
    }
    return next(answer for words, answer in answers.items() if words in question)


def test_answers_are_what_is_seen(clevr):
    objects: dict[str, dict] = {}
    for row in rows(clevr.test):
        name = row["image"]
        if name not in objects:
            objects[name] = seen(clevr.images / name)
        assert the_answer(objects[name], row["question"]) == row["answer"], row


def test_answers_are_about_as_likely_but_for_counts():
    found = Counter((row[4], row[2]) for number in range(400) for row in Drawn(1, number).rows)
    for detail in ("shape", "horizontal", "vertical", "closest", "furthest"):
        counts = [count for (some, _), count in found.items() if some == detail]
        assert len(counts) == 2
        assert abs(counts[0] - counts[1]) / sum(counts) < 0.1
    assert {answer for detail, answer in found if detail == "count"} == set("123456")


def test_closest_and_furthest_are_never_in_doubt():
    for number in range(100):
        scene = question_sets.certain_scene(Random(number))
        for one in scene.values():
            far = sorted((one.x - other.x) ** 2 + (one.y - other.y) ** 2 for other in scene.values())
            assert far[0] == 0
            assert far[1] < far[2]
            assert far[-2] < far[-1]


def test_the_same_numbers_give_the_same_set_and_fewer_images_begin_alike(clevr, tmp_path):
    again = sort_of_clevr(tmp_path / "again", images=IMAGES, val=5)
    before = contents(clevr.images.parent)
    assert contents(again.images.parent) == before
    fewer = sort_of_clevr(tmp_path / "fewer", images=206, val=5)
    assert fewer.test.read_bytes() == clevr.test.read_bytes()
    assert clevr.train.read_bytes().startswith(fewer.train.read_bytes())
    other = sort_of_clevr(tmp_path / "other", images=206, seed=1)
    assert other.test.read_bytes() != clevr.test.read_bytes()
    assert other.val is None


def test_a_set_that_is_there_is_kept(clevr, monkeypatch):
    monkeypatch.setattr(question_sets, "picture", lambda _: pytest.fail("drawn again"))
    assert sort_of_clevr(clevr.images.parent, images=IMAGES, val=5) == clevr
    with pytest.raises(JumokError, match="holds another sample"):
        sort_of_clevr(clevr.images.parent, images=IMAGES)


@pytest.mark.parametrize("wrong", [{"images": 200}, {"seed": -1}, {"val": -1}, {"images": 205, "val": 5}])
def test_numbers_that_cannot_be(tmp_path, wrong):
    with pytest.raises(JumokError, match="Sort-of-CLEVR needs"):
        sort_of_clevr(tmp_path / "x", **{"images": 300, **wrong})
    assert not (tmp_path / "x").exists()


# -- easy-VQA ----------------------------------------------------------------------------------


def test_easy_vqa_as_published(tmp_path):
    pytest.importorskip("easy_vqa")
    parts = easy_vqa(tmp_path / "set")
    train, test = rows(parts.train), rows(parts.test)
    assert (len(train), len(test), parts.val) == (38_575, 9_673, None)
    assert sum(row["kind"] == "yes-no" for row in test) == 7_136
    assert {row["kind"] for row in train} == {"yes-no", "shape", "colour"}
    assert len({row["answer"] for row in train}) == 13
    for row in train:
        asked_for = {"shape": "what shape|what is the \\w+ shape", "colour": "color", "yes-no": "^(is|does)"}[
            row["kind"]
        ]
        assert re.search(asked_for, row["question"])
    for some, count in ((train, 4000), (test, 1000)):
        names = {row["image"] for row in some}
        assert len(names) == count
        assert all((parts.images / name).exists() for name in names)
    with Image.open(parts.images / train[0]["image"]) as image:
        assert (image.mode, image.size) == ("RGB", (64, 64))


def test_easy_vqa_gives_training_images_for_validation(tmp_path):
    pytest.importorskip("easy_vqa")
    parts = easy_vqa(tmp_path / "set", val=200)
    train, val = rows(parts.train), rows(parts.val)
    assert len(train) + len(val) == 38_575
    assert len({row["image"] for row in val}) == 200
    assert not {row["image"] for row in val} & {row["image"] for row in train}
    with pytest.raises(JumokError, match="val takes 0 to 3999"):
        easy_vqa(tmp_path / "more", val=4000)


def test_easy_vqa_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(JumokError, match="pip install easy-vqa"):
        easy_vqa(tmp_path / "set")


def test_questions_of_sort_of_clevr_in_code_are_the_same_questions(tmp_path):
    sentences = question_sets.sort_of_clevr(tmp_path / "set", images=205, val=2)
    code = question_sets.coded(sentences, tmp_path / "code")
    assert code.images == sentences.images
    for one, other in ((sentences.train, code.train), (sentences.val, code.val), (sentences.test, code.test)):
        pairs = list(zip(rows_of(one), rows_of(other), strict=True))
        assert pairs
        for asked, in_code in pairs:
            assert {**asked, "question": ""} == {**in_code, "question": ""}
            colour, detail = in_code["question"].split()
            assert detail == asked["detail"]
            assert f"{colour} object" in asked["question"]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
