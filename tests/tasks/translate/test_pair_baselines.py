import shutil

import pytest
from pair_helpers import settings_of, write_reversed

from jumok.data.pairs.pair_set import PairSet
from jumok.tasks.translate.baselines import Guess, compare_with_baselines, find_training_pairs, judge_guesses
from jumok.tasks.translate.prepare import prepare
from jumok.tasks.translate.scores import Judge

SOURCES = ("the red house", "the blue house", "a red dog", "we saw it", "we saw it")
TARGETS = ("das rote Haus", "das blaue Haus", "ein roter Hund", "ja", "ja")
TRAIN = PairSet(SOURCES, TARGETS)


def compare(found, sources, wanted, train=TRAIN, **options):
    judge = Judge(wanted, resamples=200)
    return {each.name: each for each in compare_with_baselines(judge, judge.judge(found), sources, train, **options)}


def test_each_baseline_says_what_its_name_says():
    sources, wanted = ["the red houses", "ja"], ["das rote Haus", "ja"]
    found = compare(["x", "y"], sources, wanted)
    assert list(found) == ["copying the source", "the commonest target", "the target of the nearest source"]
    exact = {name: each.scores.exact for name, each in found.items()}
    assert exact == dict(zip(found, (0.5, 0.5, 0.5), strict=True))
    assert found["the target of the nearest source"].better_by["exact"].value == -0.5
    assert not any(each.beaten for each in found.values())


def test_a_model_that_is_right_beats_them_and_one_that_copies_does_not():
    sources = [f"word{n} comes here" for n in range(30)]
    wanted = [f"here comes word{n}" for n in range(30)]
    train = PairSet(tuple(f"word{n} goes" for n in range(99, 139)), tuple(f"goes word{n}" for n in range(99, 139)))
    assert all(each.beaten for each in compare(wanted, sources, wanted, train).values())
    copied = compare(sources, sources, wanted, train)
    assert not copied["copying the source"].beaten
    assert copied["copying the source"].better_by["chrf"].value == 0


def test_a_model_that_is_better_by_one_figure_and_worse_by_another_beats_nothing():
    wanted = [f"{n:03} comes here" for n in range(60)]
    sources = [f"{text} now" for text in wanted]  # never right, and always near
    copying = compare([*wanted[:30], *["?"] * 30], sources, wanted, None)["copying the source"]
    assert not copying.beaten
    assert copying.mixed == "better than copying the source by exact match, and worse by chrF"
    assert not compare(wanted, sources, wanted, None)["copying the source"].mixed


def test_of_several_targets_the_commonest_counts_and_ties_go_by_code_points():
    train = PairSet(("a b c",) * 3 + ("x",) * 2, ("no", "yes", "yes", "z", "a"))
    found = compare(["?", "?"], ["a b c", "x"], ["yes", "a"], train)
    assert found["the target of the nearest source"].scores.exact == 1


def test_without_training_pairs_only_the_copy_is_left():
    assert list(compare(["x"], ["y"], ["z"], None)) == ["copying the source"]
    assert "the target of the nearest source" not in compare(["x"], ["y"], ["z"], TRAIN, held_out=False)


@pytest.fixture
def config(tmp_path):
    return prepare(settings_of(write_reversed(tmp_path / "data", train=40))).config


def test_the_training_pairs_are_found_again(config):
    train, lacking = find_training_pairs(config)
    assert (len(train), lacking) == (40, "")


def test_pairs_that_have_changed_or_gone_are_left_out_with_the_reason(config, tmp_path):
    path = tmp_path / "data" / "train.tsv"
    path.write_text(path.read_text() + "one more\tmore one\n")
    assert find_training_pairs(config) == (None, "the training pairs have changed since")
    shutil.rmtree(tmp_path / "data")
    train, lacking = find_training_pairs(config)
    assert train is None
    assert lacking.startswith("the training pairs cannot be read (")


def test_pairs_that_were_too_long_to_learn_from_do_not_count_as_changed(tmp_path):
    data = write_reversed(tmp_path / "data", train=40)
    config = prepare(settings_of(data, longest=3)).config
    assert config.found.skipped["long"] > 0
    assert len(find_training_pairs(config)[0]) == 40


def test_a_training_ends_beside_what_guessing_gives_and_says_when_it_is_no_better(tmp_path):
    prepared = prepare(settings_of(write_reversed(tmp_path / "pairs", train=200)))
    best = {"val_chrf": 100.0, "val_exact": 1.0, "val_accuracy": 1.0}
    assert "; chrF of guesses: copying the source: " in prepared.reached(best)
    assert ", the commonest target: " in prepared.reached(best)
    assert prepared.shortfall(best) == ""
    guesses = judge_guesses(prepared.parts["train"], prepared.parts["val"], 500)
    assert all(each.judged == 60 for each in guesses.values())
    poor = {**best, "val_chrf": guesses["copying the source"].chrf, "val_exact": 0.0}
    assert prepared.shortfall(poor).startswith("this model is not significantly better than copying the source")
    assert "it has learnt nothing that" in prepared.shortfall(poor)


def test_a_guess_is_beaten_by_more_than_chance_gives():
    guess = Guess(chrf=40.0, error=2.0, exact=0.1, judged=100)
    assert guess.beaten(46.0, 0.1)
    assert not guess.beaten(45.0, 0.1)  # 1.96 * sqrt(2) * 2 = 5.5
    assert guess.beaten(40.0, 0.3)
    assert not guess.beaten(40.0, 0.15)
