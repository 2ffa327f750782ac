import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from question_helpers import settings_of, untrained, write_squares

from jumok.data.questions.question_set import QuestionSet
from jumok.tasks.answer.baselines import compare_with_baselines, find_training_questions, judge_guesses
from jumok.tasks.answer.evaluation import Answered, Evaluation
from jumok.tasks.answer.prepare import prepare


def questions(*rows):
    """Questions, each about its own image."""
    texts, answers = zip(*rows, strict=True)
    count = len(rows)
    images = tuple(Path(f"{number}.png") for number in range(count))
    blank = ("",) * count
    return QuestionSet(images, tuple(range(count)), texts, tuple((answer,) for answer in answers), blank, blank)


TRAIN = questions(*[("what colour is it?", "red")] * 3, *[("is there a dog?", "no")] * 2, ("is there a dog?", "yes"))
ASKED = questions(*[("what colour is this?", "red"), ("is there a cat?", "no")] * 10)


def answered(given):
    rows = (
        Answered(n, answer, 1.0, float(answer == right))
        for n, (answer, (right,)) in enumerate(zip(given, ASKED.answers, strict=True))
    )
    return Evaluation(ASKED, tuple(rows), 0)


def test_each_baseline_answers_what_its_name_says():
    overall, nearest = compare_with_baselines(answered(["yes"] * 20), TRAIN)
    assert (overall.name, overall.accuracy.value) == ("the commonest answer", 0.5)
    assert (nearest.name, nearest.accuracy.value) == ("the commonest answer to the nearest question", 1.0)
    assert (overall.better_by.value, nearest.better_by.value) == (-0.5, -1)
    assert -1 <= nearest.better_by.low < nearest.better_by.high < 0


def test_a_model_that_is_as_good_as_the_question_alone_has_not_beaten_it():
    right = answered(["red", "no"] * 10)
    overall, nearest = compare_with_baselines(right, TRAIN)
    assert overall.beaten
    assert not nearest.beaten
    assert nearest.better_by.value == 0
    assert nearest.better_by.low < 0 < nearest.better_by.high


def test_questions_about_one_image_hang_together():
    both = replace(ASKED, images=ASKED.images[:2], of=(0, 1) * 10)
    report = replace(answered(["red", "no"] * 10), questions=both)
    assert not compare_with_baselines(report, TRAIN)[0].beaten  # two images are too few to be sure


def test_answers_that_people_disagree_on_count_by_how_right_they_are():
    train = replace(TRAIN, answers=(("red", "red", "blue", "blue"), ("blue",), ("blue",), *TRAIN.answers[3:]))
    asked = replace(ASKED, answers=(("blue", "blue", "blue", "red"),) * 20)
    _, nearest = compare_with_baselines(replace(answered(["red"] * 20), questions=asked), train)
    assert nearest.accuracy.value == pytest.approx(0.5 * 0.75 + 0)


def test_the_training_questions_are_found_again_unless_they_have_changed_or_gone(tmp_path):
    data = write_squares(tmp_path / "data")
    config = untrained(tmp_path / "run", settings_of(data)).config
    train, lacking = find_training_questions(config)
    assert (len(train), lacking) == (72, "")
    text = (data / "train.csv").read_text("utf-8")
    (data / "train.csv").write_text(text.rsplit("\n", 2)[0] + "\n", "utf-8")
    assert find_training_questions(config) == (None, "the training or validation questions have changed since")
    shutil.rmtree(data)
    assert find_training_questions(config)[1].startswith("the training questions cannot be read (")


def test_guesses_on_validation_questions_are_judged_as_in_an_evaluation():
    wanted = {"the commonest answer": 0.5, "the commonest answer to the nearest question": 1.0}
    assert judge_guesses(TRAIN, ASKED) == wanted


def test_a_training_ends_beside_what_guessing_gives_and_says_when_it_is_no_better(tmp_path):
    prepared = prepare(settings_of(write_squares(tmp_path / "squares")))
    perfect = prepared.reached({"val_accuracy": 1.0})
    assert perfect.startswith("100.0% of 24 validation questions answered correctly; the commonest answer: ")
    assert prepared.shortfall({"val_accuracy": 1.0}) == ""
    told = prepared.shortfall({"val_accuracy": 0.3})
    both = "the commonest answer and the commonest answer to the nearest question"
    assert told.startswith(
        f"this model is not significantly better than {both}: it has learnt nothing that these do not"
    )
