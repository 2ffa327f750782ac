"""`jumok measure` of questions without masks, and the look that a run shows because it was the most faithful one."""

import json
import shutil

import pytest
import torch
from question_helpers import settings_of, untrained, write_squares

from jumok.app import training
from jumok.app.answer.faithful import measure_faithfulness
from jumok.app.answer.looks import QuestionLooks
from jumok.app.measuring import Plan
from jumok.attention import AttentionMap, One, Patches, Tokens
from jumok.data.questions.question_set import read_questions
from jumok.tasks.answer.looking import Looked
from jumok.tasks.answer.run import QuestionRun, Reply
from jumok.tasks.running.trust import Trust, read_trust, write_trust

QUESTION = "what colour is the left square?"
ROWS, COLUMNS = 4, 6
PLACE = 8
"""The place that the made-up model looks at, in the second row."""


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def runs(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for system in ("vqa-stacked", "vqa-transformer", "vqa-question"):
        untrained(folder / system, settings_of(squares, system=system))
    return folder


@pytest.fixture
def measured(jumok, runs, tmp_path):
    def call(system, *words):
        out = tmp_path / "out"
        said = jumok("measure", runs / system, "--out", out, "--steps", 2, *words)
        return said, json.loads((out / "measure.json").read_text("utf-8")) if said.status == 0 else None

    return call


# -- values by closed form ------------------------------------------------------------------------


@pytest.fixture
def made_up(runs, squares, monkeypatch):
    """A model whose answer is certain while one place and the last word are there; and maps that know it, or do not."""
    run = QuestionRun.load(runs / "vqa-stacked")
    known = run.encode([QUESTION])[0, -1]

    def answer_pixels(self, pixels, ids):
        patch = pixels[:, :, 4:8, 4 * (PLACE - COLUMNS) : 4 * (PLACE - COLUMNS) + 4].abs().sum((1, 2, 3)) > 1e-6
        return torch.stack([40.0 * patch, torch.zeros(len(pixels))], 1)

    def answer_ids(self, scene, ids):
        return torch.stack([40.0 * (ids == known).any(1), torch.zeros(len(ids))], 1)

    def look(run, images, questions, *, words=True, rank=1):
        return [_look(question) for question in questions]

    def _look(question):
        shown = tuple(question.split())
        right = torch.zeros(1, ROWS * COLUMNS)
        right[0, PLACE] = 1
        maps = {"right": right, "wrong": -right}
        looks = {name: AttentionMap(value, One("question"), Patches(ROWS, COLUMNS)) for name, value in maps.items()}
        weights = AttentionMap(torch.arange(len(shown)).float()[None], One("answer"), Tokens(shown), source="attention")
        return Looked(question, shown, Reply((("red", 1.0),)), looks, {}, weights)

    monkeypatch.setattr(QuestionRun, "answer_pixels", answer_pixels)
    monkeypatch.setattr(QuestionRun, "answer_ids", answer_ids)
    monkeypatch.setattr("jumok.tasks.answer.looking.look", look)
    questions = read_questions([squares / "test.csv"], squares / "images")
    asked = [number for number, text in enumerate(questions.questions) if text == QUESTION]
    return QuestionLooks(run, questions.select(asked))


def test_a_look_at_what_the_answer_depends_on_is_faithful_and_its_opposite_is_not(made_up):
    found = measure_faithfulness(made_up, Plan(("zeros",), 4, 100), seed=0)
    right, wrong = (found.places.srg(name, "zeros") for name in ("right", "wrong"))
    assert right.low > 0
    assert (wrong.value, wrong.high) == pytest.approx((-right.value, -right.low))
    # the place is 4 units of 96, so that it goes with the first fourth of the image: 1, 1/2, 1/2, 1/2, 1/2
    deletion = found.places.methods[0].scores["deletion, zeros"].value
    assert deletion == pytest.approx((1 + 0.5) / 2 / 4 + 0.5 * 3 / 4)
    assert right.value == pytest.approx((1 - deletion) + 0.5 - deletion)


def test_words_that_the_answer_depends_on_are_found(made_up):
    found = measure_faithfulness(made_up, Plan(("replace", "remove"), 6, 100), seed=0)
    assert {result.method for result in found.words.baselines} == {"random", "first words", "long words", "last words"}
    # six words, the last of which decides: 1, then 1/2, against 1 until it goes as the last one
    deletion, insertion = (1 + 0.5) / 2 / 6 + 0.5 * 5 / 6, 5 / 6 + (1 + 0.5) / 2 / 6
    for filling in ("replace", "remove"):
        assert found.words.srg("attention", filling).value == pytest.approx(insertion - deletion)
        assert found.words.srg("last words", filling).value == pytest.approx(insertion - deletion)
        assert found.words.srg("first words", filling).value == pytest.approx(deletion - insertion)


def test_where_all_questions_are_alike_there_is_no_map_blind_to_them(made_up):
    found = measure_faithfulness(made_up, Plan(("zeros",), 2, 100), seed=0, words=False)
    assert {result.method for result in found.places.baselines} == {"random", "centre", "edges"}
    assert found.words is None
    assert found.images == 4


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "looks", "weighing", "further"),
    [
        ("vqa-stacked", {"hop 1", "hop 2"}, "attention", {"question-blind"}),
        ("vqa-transformer", {"relevance", "layer 1", "layer 2"}, "relevance", {"question-blind", "other answer"}),
    ],
)
def test_measuring_needs_no_masks(measured, tmp_path, system, looks, weighing, further):
    said, found = measured(system)
    assert (said.status, said.err) == (0, "")
    places, words = found["faithfulness"], found["word_faithfulness"]
    assert "area" not in found
    assert (found["masks"], found["split"]) == (None, "test")
    assert set(places["methods"]) == looks
    assert set(places["baselines"]) == {"random", "centre", "edges", *further}
    assert (places["fillings"], words["fillings"]) == (["mean", "blur"], ["replace", "remove"])
    assert set(words["methods"]) == {weighing}
    assert places["inputs"] == words["inputs"] == 24
    assert "places of the image, 8 images (intervals count each once): 24 questions" in said.out
    assert all(verdict in said.out for verdict in (*places["verdicts"], *words["verdicts"]))
    for name in ("faithfulness.png", "word-faithfulness.png"):
        assert (tmp_path / "out" / name).is_file()


def test_a_model_that_sees_no_image_is_measured_by_words_alone(measured):
    said, found = measured("vqa-question", "--fillings", "remove")
    assert said.status == 0, said.err
    assert "faithfulness" not in found
    assert found["word_faithfulness"]["fillings"] == ["remove"]


def test_a_look_that_is_named_is_measured_alone(measured):
    said, found = measured("vqa-stacked", "--method", "hop 2", "--most", 5, "--fillings", "zeros")
    assert said.status == 0, said.err
    assert "word_faithfulness" not in found
    assert list(found["faithfulness"]["methods"]) == ["hop 2"]
    assert found["faithfulness"]["inputs"] == 5
    _said, found = measured("vqa-stacked", "--method", "attention")
    assert "faithfulness" not in found
    assert list(found["word_faithfulness"]["methods"]) == ["attention"]


def test_with_masks_both_are_measured(measured, squares):
    said, found = measured("vqa-stacked", "--masks", squares / "masks", "--fillings", "zeros")
    assert said.status == 0, said.err
    assert found["methods"]["hop 1"]["pointing"]
    assert found["faithfulness"]["methods"]["hop 1"]["srg, zeros"]
    _said, found = measured("vqa-stacked", "--masks", squares / "masks", "--no-faithful")
    assert "faithfulness" not in found


def test_what_was_scored_against_masks_is_kept_at_ctrl_c(jumok, tmp_path, monkeypatch):
    data = write_squares(tmp_path / "squares")
    untrained(tmp_path / "run", settings_of(data, system="vqa-stacked"))
    look, asked = QuestionLooks.look, []

    def stop(looks, picture, numbers, others=()):
        asked.append(numbers)
        if len(asked) == 10:
            raise KeyboardInterrupt
        return look(looks, picture, numbers, others)

    monkeypatch.setattr(QuestionLooks, "look", stop)
    words = ("measure", tmp_path / "run", "--masks", data / "masks", "--split", "train", "--out", tmp_path / "out")
    said = jumok(*words)
    assert said.status == 0, said.err
    assert "interrupted: 9 of" in said.out
    found = json.loads((tmp_path / "out" / "measure.json").read_text("utf-8"))
    assert found["images"] + found["left_out"]["empty"] == sum(map(len, asked[:9]))
    assert "faithfulness" not in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fillings", "blurr"), "did you mean 'blur'"),
        (("--fillings", "removed"), "did you mean 'remove'"),
        (("--no-faithful",), "without --masks there is nothing to measure but faithfulness"),
        (("--method", "hop 3"), "no look 'hop 3'"),
        (("--time", "soon"), "--time"),
        (("--time", "0.000001s"), "--time"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(measured, tmp_path, words, message):
    said, _ = measured("vqa-stacked", *words)
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# -- the look that is shown first -----------------------------------------------------------------


def test_a_training_ends_with_the_most_faithful_look(jumok, squares, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHARE_FOR_TRUST", 500.0)
    words = ("--device", "cpu", "--threads", 1, "--batch-size", 16, "--epochs", 1, "--option", "width=16")
    words = (*words, "--option", "heads=2", "--option", "patch=4")
    said = jumok("train", squares, "--out", tmp_path / "run", *words)
    assert said.status == 0, said.err
    trust = read_trust(tmp_path / "run")
    assert trust.inputs == 24
    assert trust.why() in said.out
    assert "24 validation questions" in trust.why()
    assert f"| maps | {trust.why()} |" in (tmp_path / "run" / "card.md").read_text()
    jumok("train", squares, "--out", tmp_path / "again", *words, "--system", "vqa-question")
    assert read_trust(tmp_path / "again") is None


def test_a_run_shows_the_look_that_was_most_faithful_first(jumok, runs, squares, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(runs / "vqa-stacked", run)
    trust = Trust(method="hop 2", verdict="hop 2: beats an edge map by 0.10", inputs=9, noun="questions")
    write_trust(run, trust)
    shown = []
    monkeypatch.setattr("jumok.app.commands.ask._draw", lambda image, name, found, asked, out: shown.extend(asked))
    said = jumok("ask", run, squares / "images" / "test-0.png", QUESTION, "--out", tmp_path / "ask", "--no-html")
    assert said.status == 0, said.err
    assert f"maps: {trust.why()}" in said.out
    assert list(shown[0].looks) == ["hop 2", "hop 1"]
    jumok("ask", runs / "vqa-stacked", squares / "images" / "test-0.png", QUESTION, "--out", tmp_path, "--no-html")
    assert list(shown[1].looks) == ["hop 1", "hop 2"]
