import pytest
from question_helpers import write_squares

from jumok.tasks.answer.prepare import prepare
from jumok.tasks.answer.recipe import choose_batch, choose_options
from jumok.tasks.answer.settings import QuestionData, QuestionTraining, Settings


@pytest.mark.parametrize(
    ("questions", "processes", "size"), [(72, 1, 16), (18_000, 1, 80), (9_000_000, 1, 256), (72, 3, 15), (72, 20, 20)]
)
def test_a_batch_goes_by_the_questions_and_divides_among_the_processes(questions, processes, size):
    assert choose_batch(questions, processes)[0] == size


def test_the_width_goes_by_the_questions_unless_it_was_given():
    assert [choose_options({}, count)[0]["width"] for count in (500, 18_000, 500_000)] == [64, 96, 128]
    assert choose_options({"width": 30}, 18_000) == choose_options({"heads": 3}, 18_000) == ({}, "")


def test_a_run_records_what_was_chosen_and_flags_win(tmp_path):
    folder = write_squares(tmp_path)
    data = QuestionData(questions=(str(folder),), images=str(folder / "images"))
    chosen = prepare(Settings(data=data))
    assert (chosen.config.training.batch_size, chosen.config.options["width"]) == (16, 64)
    assert chosen.remarks[0] == "model: width 64: 72 training questions"
    assert chosen.remarks[1] == "batch: 16 questions, so that a pass has about 4 steps"
    given = Settings(data=data, training=QuestionTraining(batch_size=9), options={"width": 12})
    config = prepare(given).config
    assert (config.training.batch_size, config.options["width"]) == (9, 12)
