"""Runs that answer questions: asked, saved, read again, judged, and refused where something is not theirs."""

import shutil
import unicodedata

import pytest
import torch
from PIL import Image
from question_helpers import SYSTEMS, settings_of, untrained, write_squares
from training_job import in_config

import jumok
from jumok.data.images.reading import read_image
from jumok.data.questions.question_set import read_questions, score_answers
from jumok.data.texts.vocabulary_builder import build_vocabulary
from jumok.errors import JumokError
from jumok.tasks.answer.evaluation import evaluate
from jumok.tasks.answer.parts import find_parts
from jumok.tasks.answer.prepare import prepare
from jumok.tasks.answer.run import QuestionRun
from jumok.tasks.classify.run import ImageRun

LEFT, RIGHT = "what colour is the left square?", "what colour is the right square?"
KOREAN = "왼쪽 네모는 무슨 색인가요?"


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module", params=SYSTEMS)
def run(request, squares, tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run") / request.param, settings_of(squares, system=request.param))


@pytest.fixture(scope="module")
def stacked(squares, tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run") / "stacked", settings_of(squares))


@pytest.fixture
def copy(stacked, tmp_path):
    stacked.save(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def image(squares):
    return squares / "images" / "test-0.png"


def same(replies, others):
    assert [reply.best for reply in replies] == [reply.best for reply in others]
    for one, other in zip(replies, others, strict=True):
        assert dict(one.answers) == pytest.approx(dict(other.answers), abs=1e-5)


# -- asking -------------------------------------------------------------------------------------


def test_an_image_is_looked_at_once_for_many_questions(run, image):
    questions = [LEFT, RIGHT, KOREAN, "is there a circle?", LEFT]
    scene = run.see(image)
    replies = run.ask(scene, questions)
    same(replies, [run.ask(image, [question])[0] for question in questions])
    same(replies, run.ask(read_image(image), questions))
    same(replies, run.ask(Image.open(image), questions))
    same(replies[:1], replies[4:])  # not to the last bit, where several threads share the batch
    if run.fusion == "image":
        same(replies, replies[:1] * len(replies))
    else:
        assert len({str(reply) for reply in replies[:4]}) == 4


def test_answers_come_with_probabilities_the_best_first(run, image):
    (reply,) = run.ask(image, [LEFT], top=99)
    values = [value for _, value in reply.answers]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)
    assert set(dict(reply.answers)) == set(run.answers) == {"red", "green", "blue", "no"}
    assert reply.best == reply.answers[0][0]
    assert [answer for answer, _ in run.ask(image, [LEFT], top=2)[0].answers] == [*dict(reply.answers)][:2]


def test_one_question_gets_one_reply_in_the_form_of_every_task(run, image):
    alone, (listed,) = run.ask(image, LEFT, top=99), run.predict(image, [LEFT], top=99)
    same([alone], [listed])
    assert alone.label == alone.best == max(alone.probabilities, key=alone.probabilities.get)
    assert alone.probability == alone.probabilities[alone.label]
    assert repr(run).startswith(f"QuestionRun({str(run.folder)!r}, system vqa")
    assert len(repr(run)) < 200 + len(str(run.folder))


def test_how_a_question_is_written_does_not_matter(stacked, image):
    for other in (LEFT.upper(), f"  {LEFT.replace(' ', '  ')}\t", LEFT.replace(" ", "\u00a0")):
        same(stacked.ask(image, [other]), stacked.ask(image, [LEFT]))
    same(stacked.ask(image, [unicodedata.normalize("NFD", KOREAN)]), stacked.ask(image, [KOREAN]))
    assert stacked.unknown(unicodedata.normalize("NFD", KOREAN)) == ()


def test_case_matters_where_it_did_in_training(squares, image, tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("image,question,answer\n" + "".join(f"train-{i}.png,Which?,{i % 2}\n" for i in range(20)))
    run = untrained(tmp_path / "run", settings_of(squares, path, lowercase=False))
    assert run.unknown("which?") == ("which",)
    assert run.unknown("Which?") == ()


def test_unknown_words_are_named_and_answered(run, image):
    assert run.ask(image, ["zebra giraffe"])[0].best in run.answers
    reads = run.model.reader is not None  # who reads no question knows no word, and misses none
    assert ({"zebra", "giraffe"} <= set(run.unknown("zebra giraffe"))) is reads
    assert run.unknown(LEFT) == ()


def test_several_images_of_any_size(run, squares, tmp_path):
    wide = tmp_path / "wide.png"
    Image.open(squares / "images" / "test-1.png").resize((90, 31)).convert("L").save(wide)
    assert run.ask(wide, [LEFT])[0].best in run.answers


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ([""], "a question has no words: ask something"),
        ([LEFT, " \t\u3000"], "a question has no words"),
        ([], "at least one question"),
        ("", "a question has no words"),
        ([LEFT + "\nsquare" * 200], "a question of 207 tokens is too long, wanted at most 127: what colour"),
    ],
)
def test_questions_that_cannot_be_asked(run, image, questions, said):
    with pytest.raises(JumokError, match=said) as told:
        run.ask(image, questions)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("top", [0, -1])
def test_at_least_one_answer_is_given(run, image, top):
    with pytest.raises(JumokError, match=f"wanted 1 or more, got {top}"):
        run.ask(image, [LEFT], top=top)


def test_an_image_that_cannot_be_read_is_told(run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    for name in ("bad.png", "none.png"):
        with pytest.raises(JumokError, match=name):
            run.ask(tmp_path / name, [LEFT])


# -- on disk ------------------------------------------------------------------------------------


def test_saved_and_read_it_is_the_same(run, image, tmp_path):
    run.save(tmp_path / "saved")
    again = jumok.load(tmp_path / "saved")
    assert isinstance(again, QuestionRun)
    assert again.config == run.config
    assert not again.model.training
    questions = [LEFT, RIGHT, KOREAN]
    assert again.ask(image, questions) == run.ask(image, questions)


def test_runs_of_another_kind_are_refused(stacked):
    with pytest.raises(
        JumokError,
        match="is a run that was trained to answer questions about images: wanted one that was trained to clas",
    ):
        ImageRun.load(stacked.folder)


def of_other_words(folder):
    words = " ".join(f"w{number}" for number in range(30))
    build_vocabulary("words", [words], min_count=1)[0].save(folder / "questions.vocabulary")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (of_other_words, "questions.vocabulary is not the vocabulary that this run began with: put its own file back"),
        (lambda folder: (folder / "questions.vocabulary").unlink(), "cannot read the vocabulary .*questions"),
        (lambda folder: (folder / "questions.vocabulary").write_bytes(b"\x80nonsense"), "is damaged"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "has no weights yet"),
        (in_config("  answers: 4", "  answers: 5"), "the model .* answers and words but found"),
        (in_config("width: 16", "width: 18"), "do not fit the model"),
        (in_config("task: answer", "task: anser"), "no task 'anser': did you mean 'answer'"),
        (in_config("system: vqa-stacked", "system: vqa-stack"), "did you mean 'vqa-stacked'"),
        (in_config("system: vqa-stacked", "system: vit-tiny"), "vit-tiny|answers and words"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_line(copy, spoil, said):
    spoil(copy)
    with pytest.raises(JumokError, match=said) as told:
        jumok.load(copy)
    assert "\n" not in str(told.value)


# -- judging ------------------------------------------------------------------------------------


def test_a_judgement_is_the_one_worked_out_by_hand(run, squares):
    questions = find_parts(run.config.data, 0)["test"]
    report = evaluate(run, questions, size=7)
    assert len(report.answered) == len(questions) == 24
    for each in report.answered:
        question = report.questions.questions[each.number]
        (reply,) = run.ask(report.questions.image_of(each.number), [question])
        assert each.answer == reply.best
        assert each.probability == pytest.approx(reply.answers[0][1], abs=1e-5)
        assert each.score == score_answers(report.questions.answers[each.number]).get(reply.best, 0)
    right = [each.score for each in report.answered]
    assert report.accuracy == pytest.approx(sum(right) / len(right))
    low, high = report.interval
    assert low <= report.accuracy <= high
    kinds = {row["kind"]: row for row in report.by_kind()}
    assert {kind: row["questions"] for kind, row in kinds.items()} == {"colour": 16, "presence": 8}
    mean = sum(row["accuracy"] * row["questions"] for row in kinds.values()) / 24
    assert mean == pytest.approx(report.accuracy)
    assert evaluate(run, questions.select(range(23, -1, -1)), size=100).accuracy == pytest.approx(report.accuracy)


def test_several_answers_count_in_part_and_unheard_ones_as_wrong(stacked, squares, tmp_path):
    reply = stacked.ask(squares / "images" / "test-0.png", [LEFT])[0].best
    path = tmp_path / "q.jsonl"
    lines = [[reply] * 3 + ["other"], ["never heard"], [reply, "never heard"], ["never", "heard"], [reply]]
    path.write_text(
        "".join(f'{{"image": "test-0.png", "question": "{LEFT}", "answer": {answers}}}\n' for answers in lines).replace(
            "'", '"'
        )
    )
    report = evaluate(stacked, read_questions([path], squares / "images"))
    assert [each.score for each in report.answered] == [0.75, 0, 0.5, 0, 1]
    assert report.unanswerable == 2
    assert report.to_dict()["unanswerable"] == 2


# -- preparing ----------------------------------------------------------------------------------


def table(path, rows):
    path.write_text("image,question,answer\n" + "".join(f"{image},{text},{answer}\n" for image, text, answer in rows))
    return str(path)


def of_train(answers):
    return [(f"train-{number}.png", "what is it?", answer) for number, answer in enumerate(answers)]


def test_answers_are_the_most_frequent_and_others_are_named(squares, tmp_path):
    train = tmp_path / "train.csv"
    table(train, of_train(["dog"] * 5 + ["cat"] * 4 + ["ox"] * 4 + ["hen"]))
    val = table(tmp_path / "val.csv", [("val-0.png", "what?", "cat"), ("val-1.png", "what?", "yak")])
    test = table(tmp_path / "test.csv", [("test-0.png", "what?", "gnu"), ("test-1.png", "what?", "hen")])
    given = {"val_questions": (val,), "test_questions": (test,)}
    prepared = prepare(settings_of(squares, train, answers=3, **given))
    found = prepared.config.found
    assert found.answers == ("dog", "cat", "ox")
    assert found.unanswerable == {"train": 1, "val": 1, "test": 2}
    assert found.counts == {"train": 13, "val": 2, "test": 2}
    said = "\n".join(prepared.remarks)
    assert (
        "1 train questions left out: answers that are not among those to choose from (--answers), such as hen" in said
    )
    assert "1 val questions counted as wrong: answers that" in said
    assert "2 test questions counted as wrong: answers that" in said
    assert "such as gnu, hen" in said
    assert sum(len(batch.indices) for batch in prepared.train) == 13
    assert sum(len(batch.indices) for batch in prepared.val) == 2
    whole = prepare(settings_of(squares, train, **given)).remarks
    assert "1 test questions counted as wrong: answers that never occur in training, such as gnu" in "\n".join(whole)


def test_what_is_missing_is_in_the_remarks(squares, tmp_path):
    train = tmp_path / "q.csv"
    table(train, [*of_train("abab" * 5), ("no.png", "what?", "a"), ("train-1.png", "", "a"), ("train-1.png", "x?", "")])
    said = prepare(settings_of(squares, train)).remarks
    assert "questions left out: 1 no question, 1 no answer, 1 no image" in said
    assert any(line == f"not in {squares / 'images'}: no.png" for line in said)


@pytest.mark.parametrize(
    ("answers", "data", "said"),
    [
        (["a"] * 20, {}, "all training questions have the one answer 'a'"),
        (["a", "b"] * 9, {"val_fraction": 0.6, "test_fraction": 0.4}, "leave nothing to train on"),
        (["a", "b"], {}, "2 images are too few"),
        (["a", "b"] * 9, {"images": None}, "questions are about images: give their folder with --images"),
        (["a", "b"] * 9, {"images": "/nowhere"}, "no folder of images at /nowhere"),
        (["a", "b"] * 9, {"questions": ()}, "no questions: give a file"),
    ],
)
def test_what_cannot_be_trained_on(squares, tmp_path, answers, data, said):
    settings = settings_of(squares, table(tmp_path / "q.csv", of_train(answers)) and tmp_path / "q.csv")
    settings = settings.model_copy(update={"data": settings.data.model_copy(update=data)})
    with pytest.raises(JumokError, match=said):
        prepare(settings)


def test_options_that_follow_from_the_data_are_refused(squares):
    for option in ("answers", "words", "image_size"):
        with pytest.raises(JumokError, match=f"the option '{option}' follows from the data"):
            prepare(settings_of(squares, options={option: 9}))


def test_long_questions_are_cut_off_in_training_as_they_are_in_judging(squares, tmp_path):
    train = tmp_path / "q.csv"
    table(train, [(image, "word " * 50, answer) for image, _, answer in of_train("abab" * 5)])
    settings = settings_of(squares, train, system="vqa-transformer", options={"longest": 9})
    run = untrained(tmp_path / "run", settings)
    assert len(evaluate(run, find_parts(run.config.data, 0)["test"]).answered) == 2


def test_a_run_can_be_moved(copy, image, tmp_path, stacked):
    moved = shutil.move(copy, tmp_path / "elsewhere")
    torch.testing.assert_close(
        QuestionRun.load(moved).model(torch.ones(1, 3, 16, 24), stacked.encode([LEFT])),
        stacked.model(torch.ones(1, 3, 16, 24), stacked.encode([LEFT])),
    )
