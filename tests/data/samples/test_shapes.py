"""The sample of coloured shapes: what is on disk, that it is true, and that no question gives its answer away."""

import csv
import itertools
import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from jumok.app.commands import sample as app
from jumok.data.samples import image_folder
from jumok.data.samples.shape_folder import COLUMNS, write_shapes
from jumok.data.samples.shape_questions import KINDS, compose, find_related, plan_questions
from jumok.data.samples.shapes import COLOURS, SHAPES, Thing, draw_scene, make_scene
from jumok.errors import JumokError

SMALL = {"size": 40, "train": 5, "val": 4, "test": 6}
PARTS = {"train": 5, "val": 4, "test": 6}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, part: str) -> list[dict[str, str]]:
    with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "sample"
    write_shapes(folder, **SMALL)
    return folder


def asked(seed: int, count: int, questions: int = len(KINDS)):
    """Scenes with their questions, as the sample has them, without pictures."""
    for number in range(count):
        draw = Random(f"{seed} {number}")
        yield compose(draw, plan_questions(draw, number, questions))


@pytest.fixture(scope="module")
def scenes():
    return list(asked(1, 1800))


# -- on disk -----------------------------------------------------------------------------------


def test_every_part_has_its_images_and_six_questions_about_each(sample):
    for part, count in PARTS.items():
        found = rows(sample, part)
        assert len(found) == 6 * count
        assert tuple(found[0]) == COLUMNS
        images = Counter(row["image"] for row in found)
        assert len(images) == count
        assert set(images.values()) == {6}
        assert all((sample / "images" / name).exists() for name in images)
        for name in images:
            assert len({row["kind"] for row in found if row["image"] == name}) == 6


def test_images_are_rgb_and_masks_black_and_white(sample):
    for path in (sample / "images").rglob("*.png"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (40, 40))
    masks = list((sample / "masks").rglob("*.png"))
    assert masks
    for path in masks:
        mask = np.asarray(Image.open(path))
        assert mask.shape == (40, 40)
        assert set(np.unique(mask)) == {0, 255}


def test_only_what_is_to_be_looked_at_has_a_mask_and_none_for_training(sample):
    for part in PARTS:
        named = [row["mask"] for row in rows(sample, part) if row["mask"]]
        there = [path.relative_to(sample / "masks").as_posix() for path in (sample / "masks" / part).rglob("*.png")]
        assert sorted(named) == sorted(there)
        for row in rows(sample, part):
            nothing = row["answer"] in ("no", "아니요", "0") or part == "train"
            assert (row["mask"] == "") == nothing


def test_the_folder_explains_itself(sample):
    about = {"format": "jumok-shapes/1", "seed": 0, **SMALL, "questions": 6, "kinds": list(KINDS)}
    assert json.loads((sample / "sample.json").read_text()) == about
    readme = (sample / "README.md").read_text()
    assert all(f"| {kind} |" in readme for kind in KINDS)
    assert "CC0" in readme
    assert "{" not in readme


def test_the_same_parameters_give_the_same_bytes_on_any_number_of_cores(sample, tmp_path, monkeypatch):
    for cores in (1, 3):
        monkeypatch.setattr(image_folder, "_count_processes", lambda cores=cores: cores)
        write_shapes(tmp_path / str(cores), **SMALL)
        assert contents(tmp_path / str(cores)) == contents(sample)


def test_a_larger_sample_starts_with_the_smaller_one(sample, tmp_path):
    write_shapes(tmp_path, **{**SMALL, "train": 8, "test": 9})
    larger, smaller = contents(tmp_path), contents(sample)
    assert all(larger[name] == smaller[name] for name in smaller if name.endswith(".png"))
    assert all(larger[f"{part}.csv"].startswith(smaller[f"{part}.csv"]) for part in PARTS)


def test_seed_part_and_number_each_change_the_image(sample, tmp_path):
    write_shapes(tmp_path, **SMALL, seed=1)
    images = [data for one in (sample, tmp_path) for name, data in contents(one).items() if name.startswith("images")]
    assert len(set(images)) == len(images) == 30


def test_a_finished_sample_is_left_as_it_is_and_a_half_written_one_completed(sample, tmp_path):
    write_shapes(tmp_path, **SMALL)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_shapes(tmp_path, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    (tmp_path / "sample.json").rename(tmp_path / "unfinished.json")
    (tmp_path / "test.csv").unlink()
    next((tmp_path / "masks").rglob("*.png")).write_bytes(b"half")
    write_shapes(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(sample)


def test_foreign_folders_are_refused_and_not_touched(sample, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(JumokError, match=r"holds other files, such as holiday\.jpg"):
        write_shapes(tmp_path, **SMALL)
    assert contents(tmp_path) == {"holiday.jpg": b"precious"}
    for other in ({"seed": 1}, {"questions": 5}, {"size": 41}):
        with pytest.raises(JumokError, match="holds another sample"):
            write_shapes(sample, **{**SMALL, **other})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 31}, "32 to 1024 pixels, got 31"),
        ({"train": 0}, "train needs at least 1 images"),
        ({"seed": -1}, "seed is 0 or more"),
        ({"questions": 0}, "1 to 7 questions can be asked about an image, one of each kind: got 0"),
        ({"questions": 8}, "got 8"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(JumokError, match=message):
        write_shapes(tmp_path / "new", **{**SMALL, **wrong})
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_to_do_next(tmp_path):
    options = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    said = CliRunner().invoke(app.app, ["shapes", str(tmp_path / "s"), *options, "--questions", "2"])
    assert said.exit_code == 0
    assert len(rows(tmp_path / "s", "train")) == 10
    last = said.output.replace("\n", " ").split("next: ")[1]
    folder = tmp_path / "s"
    assert last.strip() == f"jumok train {folder} --out runs/s"


# -- the picture -------------------------------------------------------------------------------


def nearest_colours(pixels: np.ndarray) -> list[str]:
    names = list(COLOURS)
    far = ((pixels[:, None].astype(float) - np.array(list(COLOURS.values()))) ** 2).sum(-1)
    return [names[place] for place in far.argmin(1)]


@pytest.mark.parametrize("size", [32, 64, 129])
def test_the_pixels_under_a_mask_have_the_objects_colour(size):
    for number in range(15):
        things = make_scene(Random(number))
        image, masks = draw_scene(np.random.default_rng(number), things, size)
        assert image.shape == (size, size, 3)
        assert masks.sum(0).max() == 1
        for thing, mask in zip(things, masks, strict=True):
            assert 0.3 < mask.sum() / (math.pi * (thing.radius * size) ** 2) < 1.12
            y, x = np.nonzero(mask)
            assert np.hypot((x + 0.5) / size - thing.x, (y + 0.5) / size - thing.y).max() < thing.radius + 1 / size
            inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
            own = Counter(nearest_colours(image[inner]))
            assert own[thing.colour] > 0.95 * inner.sum()


def test_what_is_not_under_a_mask_is_pale(sample):
    things = make_scene(Random(5))
    image, masks = draw_scene(np.random.default_rng(5), things, 64)
    wall = ~np.array([masks.any(0)] + [np.roll(masks.any(0), by, axis) for by in (1, -1) for axis in (0, 1)]).any(0)
    assert image[wall].min() > 160


def test_masks_on_disk_show_the_objects_of_the_question(sample):
    for part in ("val", "test"):
        for row in rows(sample, part):
            if row["mask"] and row["language"] == "en":
                image = np.asarray(Image.open(sample / "images" / row["image"]))
                mask = np.asarray(Image.open(sample / "masks" / row["mask"])) > 0
                shares = Counter(nearest_colours(image[mask]))
                seen = {name for name, count in shares.items() if count > 0.2 * mask.sum()}
                named = {word for word in re.findall(r"\w+", f"{row['question']} {row['answer']}") if word in COLOURS}
                assert named <= seen


# -- the scene ---------------------------------------------------------------------------------


def test_objects_are_different_and_keep_clear_of_each_other_and_of_the_border(scenes):
    for things, _ in scenes[:400]:
        assert 4 <= len(things) <= 6
        assert len({(thing.colour, thing.shape) for thing in things}) == len(things)
        for one, other in itertools.combinations(things, 2):
            assert math.dist((one.x, one.y), (other.x, other.y)) > one.radius + other.radius
        assert all(thing.radius < at < 1 - thing.radius for thing in things for at in (thing.x, thing.y))


def test_no_colour_no_shape_and_no_quarter_is_preferred(scenes):
    things = [thing for some, _ in scenes for thing in some]
    colours, shapes = (Counter(getattr(thing, name) for thing in things) for name in ("colour", "shape"))
    assert all(abs(colours[name] * 6 / len(things) - 1) < 0.07 for name in COLOURS)
    assert all(abs(shapes[name] * 5 / len(things) - 1) < 0.07 for name in SHAPES)
    quarters = Counter((thing.x < 0.5, thing.y < 0.5) for thing in things)
    assert all(abs(count * 4 / len(things) - 1) < 0.07 for count in quarters.values())


def test_relations_in_doubt_are_not_asked_about():
    def at(x, y):
        return Thing("red", "circle", x, y, 0.1, 0.0)

    middle, left, far_left, right = at(0.5, 0.5), at(0.3, 0.5), at(0.1, 0.5), at(0.9, 0.5)
    assert find_related((middle, left, right), 0, "closest") == 1
    assert find_related((middle, left, right), 0, "left") == 1
    assert find_related((middle, left, right), 0, "farthest") == 2
    assert find_related((middle, left, right), 0, "above") is None
    assert find_related((middle, left, far_left), 0, "left") == 1
    assert find_related((middle, far_left, right), 0, "closest") is None  # both as far
    assert find_related((middle, far_left, right), 0, "farthest") is None
    assert find_related((middle, at(0.3, 0.3), right), 0, "left") is None  # as much above as left
    assert find_related((middle, left, at(0.49, 0.3)), 0, "left") is None  # another one as near, by a hair to the left


# -- the truth ---------------------------------------------------------------------------------

KOREAN = {
    **dict(zip(COLOURS, ("빨간", "주황색", "노란", "초록색", "파란", "보라색"), strict=True)),
    **dict(zip(SHAPES, ("원", "사각형", "삼각형", "별", "십자가"), strict=True)),
}
KOREAN_ANSWERS = dict(zip(COLOURS, ("빨강", "주황", "노랑", "초록", "파랑", "보라"), strict=True))
SIDES = {
    "left of|왼쪽": lambda one, other: other.x < one.x,
    "right of|오른쪽": lambda one, other: other.x > one.x,
    "above|위쪽": lambda one, other: other.y < one.y,
    "below|아래쪽": lambda one, other: other.y > one.y,
    "closest|가까운": lambda one, other: other is not one,
    "farthest|가장 먼": lambda one, other: other is not one,
}


def named(text: str, names, language: str) -> str | None:
    """The colour or shape that a question names: the longest, since a Korean triangle ends as a square does."""
    found = [name for name in names if (KOREAN[name] if language == "ko" else name) in text]
    return max(found, key=lambda name: len(KOREAN[name]) if language == "ko" else len(name), default=None)


def the_answer(things, question) -> tuple[str, list[Thing]]:
    """The English answer and what it is about, from the words of the question alone."""
    text = question.text
    colour = named(text, COLOURS, question.language)
    shape = named(text, SHAPES, question.language)
    meant = [thing for thing in things if colour in (None, thing.colour) and shape in (None, thing.shape)]
    if re.search("how many|몇 개", text, re.IGNORECASE):
        return str(len(meant)), meant
    if re.search("is there|있나요", text, re.IGNORECASE):
        return ("yes" if meant else "no"), meant
    (one,) = meant
    asked_for = "colour" if re.search("what colour|무슨 색", text, re.IGNORECASE) else "shape"
    for words, fits in SIDES.items():
        if re.search(words, text):
            some = [other for other in things if fits(one, other)]
            pick = max if "farthest" in words else min
            found = pick(some, key=lambda other: math.dist((one.x, one.y), (other.x, other.y)))
            return getattr(found, asked_for), [one, found]
    return getattr(one, asked_for), [one]


def test_answers_are_what_the_words_of_the_question_say(scenes):
    seen = set()
    for things, questions in scenes[:500]:
        for question in questions:
            answer, about = the_answer(things, question)
            if question.language == "ko":
                names = {**KOREAN, **KOREAN_ANSWERS, "yes": "네", "no": "아니요"}
                answer = names.get(answer, answer)
            assert question.answer == answer, (things, question)
            assert sorted(question.about) == sorted(things.index(thing) for thing in about)
            seen.add((question.kind, question.language))
    assert seen == {(kind, language) for kind in KINDS for language in ("en", "ko")}


def test_korean_is_composed_and_in_every_second_question_alone(scenes):
    languages = Counter(question.language for _, questions in scenes for question in questions)
    assert abs(languages["ko"] - languages["en"]) <= len(scenes)
    for _, questions in scenes[:300]:
        for question in questions:
            both = question.text + question.answer
            assert unicodedata.normalize("NFC", both) == both
            korean = bool(re.search("[가-힣]", question.text))
            assert korean == (question.language == "ko")
            assert korean or both.isascii()
            assert not (korean and re.search("[a-zA-Z]", both))


def test_particles_and_articles_fit_their_words(scenes):
    texts = {question.text for _, questions in scenes for question in questions}
    assert {"원은 무슨 색인가요?", "십자가는 무슨 색인가요?", "별이 몇 개 있나요?", "십자가가 몇 개 있나요?"} <= texts
    assert "How many crosses are there?" in texts
    assert any(text.startswith("Is there an orange ") for text in texts)
    assert not any("a orange" in text for text in texts)


# -- balance -----------------------------------------------------------------------------------


def chance(question) -> float:
    if question.kind in ("exists", "count"):
        return 1 / 2 if question.kind == "exists" else 1 / 4
    return 1 / 6 if re.search("What colour|무슨 색", question.text) else 1 / 5


def test_the_likeliest_answer_to_a_question_is_no_better_than_chance(scenes):
    learnt: dict[str, Counter] = defaultdict(Counter)
    for _, questions in scenes[:1200]:
        for question in questions:
            learnt[question.text][question.answer] += 1
    hits, chances = defaultdict(list), defaultdict(list)
    for _, questions in scenes[1200:]:
        for question in questions:
            guess = learnt[question.text].most_common(1)
            hits[question.kind].append(bool(guess) and guess[0][0] == question.answer)
            chances[question.kind].append(chance(question))
    for kind in KINDS:
        # 600 questions: the standard deviation is 1.5 to 2 points
        assert abs(np.mean(hits[kind]) - np.mean(chances[kind])) < 0.065, kind


def test_all_answers_of_a_kind_are_as_likely(scenes):
    counts = defaultdict(Counter)
    same = defaultdict(list)
    for things, questions in scenes:
        for question in questions:
            counts[question.kind, question.language, round(1 / chance(question))][question.answer] += 1
            if question.kind in ("beside", "closest", "farthest"):
                one, other = (things[number] for number in question.about)
                asked_for = "colour" if chance(question) < 0.19 else "shape"
                same[asked_for].append(getattr(one, asked_for) == getattr(other, asked_for))
    for (_, _, answers), found in counts.items():
        assert len(found) == answers
        expected = found.total() / answers
        assert all(abs(count - expected) < 4 * math.sqrt(expected) for count in found.values())
    # Nor does the name of the reference tell: the answer is its own as often as any other.
    assert abs(np.mean(same["colour"]) - 1 / 6) < 0.025
    assert abs(np.mean(same["shape"]) - 1 / 5) < 0.025


def test_kinds_of_questions_can_be_chosen(tmp_path):
    write_shapes(tmp_path, train=6, val=2, test=2, kinds=("count", "colour"))
    with (tmp_path / "train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"colour", "count"}
    assert len(rows) == 6 * 2  # one of each kind, where there are fewer than usual
    with pytest.raises(JumokError, match="no kind of question 'colours': did you mean 'colour'"):
        write_shapes(tmp_path / "other", kinds=("colours",))
    with pytest.raises(JumokError, match="1 to 2 questions"):
        write_shapes(tmp_path / "other", questions=3, kinds=("count", "colour"))
