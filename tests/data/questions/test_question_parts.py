"""How questions are dealt out to parts."""

import hashlib
import random

import pytest
from written_questions import HEAD, many, write

from jumok.data.questions.parts import read_question_parts
from jumok.data.questions.question_set import (
    split_questions,
)
from jumok.data.questions.recognition import looks_like_questions
from jumok.errors import JumokError


def test_a_split_parts_images_and_does_not_depend_on_the_order_of_the_rows():
    whole = many(200)
    order = random.Random(0).sample(range(len(whole)), len(whole))
    parts, again = (split_questions(each, parts=("val", "test"), seed=3) for each in (whole, whole.select(order)))
    assert [len(parts[part].images) for part in ("train", "val", "test")] == [160, 20, 20]
    assert sum(len(part) for part in parts.values()) == len(whole)
    for part, found in parts.items():
        assert set(found.images) == set(again[part].images)
        assert set(found.questions) == set(again[part].questions)
        others = {image for other, each in parts.items() if other != part for image in each.images}
        assert not others & set(found.images)
        for number in range(len(found)):
            at = int(found.answers[number][0])
            assert found.image_of(number) == whole.image_of(at)
            assert found.questions[number] == whole.questions[at]
    assert parts == split_questions(whole, parts=("val", "test"), seed=3)
    assert parts["test"].images != split_questions(whole, parts=("val", "test"), seed=4)["test"].images


def test_too_few_images_to_split_and_shares_that_are_none():
    with pytest.raises(JumokError, match="2 images are too few to keep some for val and test"):
        split_questions(many(2), parts=("val", "test"))
    for shares in ((0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.1, -0.1, 0)):
        with pytest.raises(JumokError, match="sum to 1"):
            split_questions(many(9), parts=("val", "test"), shares=shares)


def of_images(*numbers):
    return HEAD + "".join(f"{number}.png,what is {number}?,{number}\n" for number in numbers)


@pytest.fixture
def numbered(tmp_path):
    for number in range(30):
        write(tmp_path / "images" / f"{number}.png", "")
    return tmp_path / "images"


def test_given_parts_are_taken_whole_and_overlap_is_told(tmp_path, numbered):
    train, val = write(tmp_path / "a.csv", of_images(*range(20))), write(tmp_path / "b.csv", of_images(18, 19, 20))
    test = write(tmp_path / "c.csv", of_images(25))
    parts = read_question_parts([train], numbered, val=[val], test=[test])
    assert {part: len(found) for part, found in parts.items()} == {"train": 20, "val": 3, "test": 1}
    assert parts["val"].notes == ("2 of 3 val images are asked about in training too",)
    assert parts["test"].notes == ()
    alone = read_question_parts([train], numbered, val=[val])
    assert alone["val"].questions == parts["val"].questions
    assert not set(alone["test"].images) & set(alone["train"].images)
    shared = len(set(alone["train"].images) & set(alone["val"].images))
    assert alone["val"].notes == (f"{shared} of 3 val images are asked about in training too",)


def test_a_folder_of_three_parts(tmp_path, numbered):
    folder = tmp_path / "parts"
    write(folder / "train.jsonl", '{"image": "9.png", "question": "x", "answer": "y"}')
    for part, images in (("train", range(10)), ("val", (10, 11)), ("test", (12,))):
        write(folder / f"{part}.csv", of_images(*images))
    parts = read_question_parts([folder], numbered)
    assert {part: len(found) for part, found in parts.items()} == {"train": 10, "val": 2, "test": 1}
    other = write(tmp_path / "other.csv", of_images(20, 21, 22))
    assert len(read_question_parts([folder], numbered, test=[other])["test"]) == 3
    (folder / "val.csv").unlink()
    assert len(read_question_parts([folder], numbered)["val"]) == 1
    with pytest.raises(JumokError, match="holds no questions to train on"):
        read_question_parts([numbered], numbered)


def test_the_files_of_a_folder_go_by_all_names_of_their_part(tmp_path, numbered):
    folder = tmp_path / "parts"
    for name, images in (("training", (0, 1, 2)), ("dev", (3,)), ("Testing", (4, 5))):
        write(folder / f"{name}.csv", of_images(*images))
    assert looks_like_questions([folder])
    parts = read_question_parts([folder], numbered)
    assert [len(parts[part]) for part in ("train", "val", "test")] == [3, 1, 2]
    write(folder / "val.csv", of_images(3))
    with pytest.raises(JumokError, match=r"holds both dev.csv and val.csv for val: keep one"):
        read_question_parts([folder], numbered)


def test_what_is_told_of_a_file_is_told_once(tmp_path, numbered):
    path = write(tmp_path / "a.csv", of_images(*range(20)) + "no.png,x?,1\n0.png,,1\n")
    parts = read_question_parts([path], numbered)
    assert parts["train"].skipped == {"no question": 1, "no image": 1}
    assert parts["train"].notes
    assert not any((*parts[part].notes, *parts[part].skipped) for part in ("val", "test"))


def test_the_fingerprint_tells_another_set():
    whole = many(5)
    assert whole.fingerprint() == many(5).fingerprint()
    order = list(range(len(whole)))
    assert whole.select(order).fingerprint() == whole.fingerprint()
    others = [whole.select(order[1:]), whole.select(order[::-1]), many(6, each=2).select(range(12))]
    from dataclasses import replace

    others += [replace(whole, questions=("other?", *whole.questions[1:])), replace(whole, of=(1, *whole.of[1:]))]
    others += [replace(whole, answers=(("0", "0"), *whole.answers[1:]))]
    assert len({each.fingerprint() for each in (whole, *others)}) == 1 + len(others)


def test_neither_deal_nor_fingerprint_depends_on_what_the_folder_of_images_is_called(tmp_path, numbered):
    path = write(tmp_path / "a.csv", of_images(*range(30)))
    before = read_question_parts([path], numbered)
    after = read_question_parts([path], numbered.rename(tmp_path / "photographs"))
    for part in before:
        assert before[part].questions == after[part].questions
        assert before[part].fingerprint() == after[part].fingerprint()
        assert before[part].fingerprint("folder") != after[part].fingerprint("folder")


def test_images_of_one_name_in_two_folders_are_different_images(tmp_path):
    for folder in ("a", "b"):
        for number in range(20):
            write(tmp_path / "images" / folder / f"{number}.png", "")
    rows = "".join(f"{folder}/{number}.png,what?,{number}\n" for folder in ("a", "b") for number in range(20))
    parts = read_question_parts([write(tmp_path / "a.csv", HEAD + rows)], tmp_path / "images")
    names = [name for part in parts.values() for name in part.names]
    assert len(set(names)) == len(names) == 40


def test_the_deal_of_earlier_versions_is_still_there():
    questions = split_questions(many(12), parts=("val", "test"), seed=5, dealt_by="folder")
    key = lambda path: hashlib.sha256(f"5/{path.parent.name}/{path.name}".encode()).digest()  # noqa: E731
    first, second, *_ = sorted(many(12).images, key=key)
    assert (questions["val"].images, questions["test"].images) == ((first,), (second,))
