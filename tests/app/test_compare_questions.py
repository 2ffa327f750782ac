"""`jumok compare` with questions, as a person calls it."""

import csv
import json
import re

import pytest
from square_questions import COLOURS, write_squares

from jumok.app.answer.compare import QuestionReport
from jumok.data.questions.question_set import score_answers
from jumok.errors import JumokError
from jumok.tasks import TASKS
from jumok.tasks.answer import comparison
from jumok.tasks.answer.settings import QuestionData, QuestionTraining, Settings
from jumok.tasks.running.comparison import choose_systems

SMALL = ("--device", "cpu", "--threads", "1", "--batch-size", "16", "--budget", "1s", "--shown", "5")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("questions"))


def begun(questions, squares, out):
    """A comparison of systems that answer these questions."""
    data = QuestionData(questions=(str(questions),), images=str(squares / "images"))
    return comparison.begin(Settings(data=data, training=QuestionTraining(device="cpu")), 1, out, "cpu")


def told(folder):
    return json.loads((folder / "compare.json").read_text("utf-8"))


def words_for(squares, out, systems):
    return ("compare", squares, "--images", squares / "images", "--systems", systems, "--out", out, *SMALL)


def test_all_are_the_baselines_and_those_that_attend_in_the_order_in_which_they_came():
    assert choose_systems("all", TASKS["answer"]) == [
        "vqa-question",
        "vqa-image",
        "vqa-concat",
        "vqa-stacked",
        "vqa-transformer",
    ]
    assert not set(choose_systems("all", TASKS["classify"])) & set(choose_systems("all", TASKS["answer"]))


def test_systems_side_by_side_with_figures_kinds_and_a_page(jumok, squares, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.app.comparison_report.LEAST_SECONDS", 120.0)  # a busy machine measures too few in less
    out = tmp_path / "out"
    said = jumok(*words_for(squares, out, "vqa-question,vqa-stacked"), "--masks", squares / "masks")
    assert said.status == 0
    found = told(out)
    assert [each["system"] for each in found["systems"]] == ["vqa-question", "vqa-stacked"]
    for each in found["systems"]:
        assert 0 <= each["low"] <= each["accuracy"] <= each["high"] <= 1
        assert min(each["train_rate"], each["use_rate"], each["parameters"], each["epochs"]) > 0
        kinds = each["kinds"]
        assert {name: kind["questions"] for name, kind in kinds.items()} == {"colour": 8, "<side>": 8}
        mean = sum(kind["accuracy"] * kind["questions"] for kind in kinds.values()) / each["questions"]
        assert mean == pytest.approx(each["accuracy"])
        assert (out / each["system"] / "weights.safetensors").is_file()
    looking = found["looking"]
    assert set(looking["methods"]) == {"vqa-stacked"}, "the question alone looks nowhere"
    assert set(looking["baselines"]) == {"random", "centre", "edges"}
    assert looking["images"] == 12, "the questions that name a mask"
    assert looking["summary"].startswith("12 questions; ")
    assert set(found["faithfulness"]) == {"vqa-stacked"}
    faithful = found["faithfulness"]["vqa-stacked"]
    assert set(faithful["methods"]) == {"hop 1"}, "the look that is shown"
    assert {"random", "centre", "edges", "question-blind"} <= set(faithful["baselines"])
    assert "SRG" in said.out
    assert "over baselines" in said.out
    assert f"vqa-stacked, {faithful['verdicts'][0]}" in said.out
    text = (out / "index.html").read_text("utf-8")
    assert (text.count("data-photo="), text.count('class="heat"'), text.count("no place to show")) == (5, 5, 5)
    assert "어느 쪽에 있나요?" in text
    assert "&lt;side&gt;" in text
    assert "<side>" not in text
    assert "colour" in said.out
    verdicts = re.findall(r'class="said (right|wrong)"', text)
    assert len(verdicts) == 10


def test_what_is_shown_right_is_what_the_file_says(squares, tmp_path):
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import Reply

    held = begun(squares, squares, tmp_path)
    shown = QuestionReport(held, [], {}, None, 4, "1s", held.folder)
    first = held.test.answers[0][0]
    other = next(name for name in COLOURS if name != first)
    for answer, right in ((first, True), (other, False)):
        cell = shown._make_cell(0, Looked("?", ("?",), Reply(((answer, 0.5),))))
        assert (cell.said, cell.right, cell.heat) == (f"{answer} 50%", right, None)


def test_soft_accuracy_is_what_counts(jumok, squares, tmp_path):
    answers = {"colour": "red|red|green", "<side>": "왼쪽|오른쪽|왼쪽"}  # 1 of 3 agrees only half
    for part in ("train", "val", "test"):
        with (squares / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            rows = [(row["image"], row["question"], answers[row["kind"]], row["kind"]) for row in csv.DictReader(file)]
        with (tmp_path / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("image", "question", "answers", "kind"), *rows])
    out = tmp_path / "out"
    words = words_for(tmp_path, out, "vqa-question")
    assert jumok(*(squares / "images" if word == tmp_path / "images" else word for word in words)).status == 0
    (result,) = told(out)["systems"]
    scores = score_answers(answers["colour"].split("|"))
    assert any(result["kinds"]["colour"]["accuracy"] == pytest.approx(score) for score in (*scores.values(), 0))
    assert 0 < result["accuracy"] < 1, "no answer is wholly right here"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{plain}",), "questions are about images: give their folder with --images"),
        (("{data}", "--images", "nowhere"), "nowhere"),
        (("{data}", "--images", "{data}/images", "--systems", "cnn,vqa-concat"), "cnn is trained to classify"),
        (("{data}/images", "--systems", "cnn,vqa-concat"), "vqa-concat is trained to answer"),
        (("{data}", "--images", "{data}/images", "--systems", "vqa-stakced"), "did you mean 'vqa-stacked'?"),
        (("{data}", "--images", "{data}/images", "--mixup", "0.1"), "no use for --mixup"),
        (("{data}/images", "--min-count", "2"), "no use for --min-count"),
        (("{data}/images", "{data}/masks"), "on one folder of images, got 2 paths"),
        (("{data}", "--images", "{data}/images", "--masks", "nowhere"), "no folder of masks at nowhere"),
        (("{data}", "--images", "{data}/images", "--masks", "{data}/images/train"), "no mask at"),
        (("{data}/train.csv", "--images", "{data}/images", "--test-questions", "{plain}", "--masks", "{data}/masks"),
         "none of 1 questions names a mask"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_left(jumok, squares, tmp_path, words, message):
    plain = tmp_path / "plain.csv"
    plain.write_text("image,question,answer\ntest/0.png,What colour is the square?,red\n")
    given = [word.format(data=squares, plain=plain) for word in words]
    said = jumok("compare", *given, "--out", tmp_path / "out", "--budget", "1s", "--device", "cpu")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_questions_are_another_comparison(squares, tmp_path):
    first = begun(squares, squares, tmp_path)
    first.of_system("vqa-image").with_training(epochs=2).write(tmp_path / "vqa-image")
    assert first.begun(tmp_path / "vqa-image").config.training.epochs == 2
    second = begun(squares / "train.csv", squares, tmp_path)
    with pytest.raises(
        JumokError,
        match=r"begun with other questions, or by a version of jumok that dealt them out otherwise: .* another --out",
    ):
        second._reopen(tmp_path / "vqa-image")


def test_shown_are_several_questions_about_an_image_of_all_kinds(squares, tmp_path):
    held = begun(squares, squares, tmp_path)
    shown = QuestionReport(held, [], {}, None, 5, "1s", held.folder)
    shown._keep_readable = lambda numbers: list(numbers)
    numbers = shown.chosen()
    assert [held.test.of[number] for number in numbers] == [0, 0, 1, 1, 2]
    assert {held.test.kinds[number] for number in numbers[:2]} == {"colour", "<side>"}
    assert len(set(numbers)) == 5
