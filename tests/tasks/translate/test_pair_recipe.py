import pytest
from pair_helpers import write_reversed

from jumok.data.texts.survey import TextSurvey
from jumok.tasks.translate.prepare import prepare
from jumok.tasks.translate.recipe import choose_batch, choose_options, choose_smoothing
from jumok.tasks.translate.settings import PairData, PairTraining, Settings

CLOSED = (TextSurvey(10, 12, 10_000, 100, 0.0),) * 2
OPEN = (TextSurvey(30, 60, 20_000, 3_000, 0.09),) * 2


def test_the_more_pairs_the_larger_the_model_and_the_less_dropout():
    found = [choose_options("seq2seq", {}, pairs, 2_000, OPEN)[0] for pairs in (500, 6_000, 30_000, 2_000_000)]
    assert [options["hidden"] for options in found] == [128, 256, 320, 512]
    assert [options["dropout"] for options in found] == [0.4, 0.4, 0.3, 0.1]
    assert [options["word_dropout"] for options in found] == [0.1, 0.1, 0, 0]
    assert all(options["tied"] for options in found)


def test_a_closed_set_of_words_needs_a_small_model_and_no_dropout():
    options, why = choose_options("seq2seq", {}, 18_000, 15, CLOSED)
    assert options == {"hidden": 128, "embedding": 64, "tied": False, "dropout": 0, "word_dropout": 0}
    assert why.endswith(": 18,000 pairs, 15 target entries, a closed set of words")
    assert choose_smoothing((), CLOSED) == {"label_smoothing": 0}
    assert choose_smoothing((), OPEN) == {"label_smoothing": 0.1}
    assert choose_smoothing(("label_smoothing",), CLOSED) == {}


def test_options_that_were_given_are_left_alone():
    options, why = choose_options("seq2seq", {"hidden": 8, "dropout": 0.5}, 18_000, 15, CLOSED)
    assert not {"hidden", "dropout"} & set(options)
    assert "hidden" not in why


@pytest.mark.parametrize("heads", [1, 3, 4, 7])
def test_a_transformer_s_heads_divide_its_width(heads):
    given = {} if heads == 4 else {"heads": heads}
    options, _ = choose_options("transformer", given, 6_000, 2_000, OPEN)
    assert options["width"] % (2 * heads) == 0
    assert 256 <= options["width"] < 256 + 2 * heads


def test_other_systems_keep_their_own_defaults():
    assert choose_options("another", {}, 10, 10, OPEN) == ({}, "")


@pytest.mark.parametrize(("pairs", "size"), [(100, 16), (5_000, 50), (90_000, 100)])
def test_a_batch_is_a_hundredth_of_the_pairs_within_bounds(pairs, size):
    tokens, why = choose_batch([(9, 19)] * pairs)
    assert tokens == round(size * 20 * 1.1, -2)
    assert f"{size} pairs of the usual length" in why


def test_a_run_records_what_was_chosen_and_says_it(tmp_path):
    data = write_reversed(tmp_path, train=1500)
    chosen = prepare(Settings(data=PairData(pairs=(str(data),)), options={"hidden": 40}))
    config = chosen.config
    assert config.data.vocabulary == "words"
    assert (config.options["hidden"], config.options["embedding"], config.options["dropout"]) == (40, 48, 0)
    assert config.training.label_smoothing == 0
    assert config.training.batch_tokens == 100
    assert [line.partition(":")[0] for line in chosen.remarks[:3]] == ["units", "model", "batch"]


def test_flags_win_over_what_the_data_would_choose(tmp_path):
    data = PairData(pairs=(str(write_reversed(tmp_path, train=300)),), vocabulary="characters")
    training = PairTraining(batch_tokens=333, label_smoothing=0.2)
    config = prepare(Settings(data=data, training=training, options={"embedding": 10, "hidden": 12})).config
    assert (config.data.vocabulary, config.training.batch_tokens, config.training.label_smoothing) == (
        "characters", 333, 0.2,
    )  # fmt: skip
    assert (config.options["embedding"], config.options["hidden"]) == (10, 12)


def test_what_makes_learning_harder_is_off_where_a_batch_is_learnt_by_heart(tmp_path):
    data = PairData(pairs=(str(write_reversed(tmp_path, train=300)),), vocabulary="words")
    options = {"dropout": 0.3, "word_dropout": 0.2, "hidden": 12}
    training = PairTraining(label_smoothing=0.2, teacher_forcing=0.5, sampling=0.4)
    prepared = prepare(Settings(data=data, training=training, options=options))
    plain = prepared.plain()
    assert (plain.config.options["dropout"], plain.config.options["word_dropout"]) == (0, 0)
    settings = plain.training
    assert (settings.label_smoothing, settings.teacher_forcing, settings.sampling) == (0, 1, 0)
    assert plain.module().model.dropout.p == 0
    assert prepared.config.options["dropout"] == 0.3
