import itertools
import random

import pytest

from jumok.data.pairs.pair_set import PairSet
from jumok.data.samples.toy_pairs import REVERSAL
from jumok.data.texts.survey import survey
from jumok.tasks.translate import unit_trial, units
from jumok.tasks.translate.parts import find_parts
from jumok.tasks.translate.settings import PairData
from jumok.tasks.translate.unit_trial import try_units
from jumok.tasks.translate.units import choose_units


def look(train, val):
    return [survey(train.sources, val.sources), survey(train.targets, val.targets)]


def choose(train, val, **data):
    return choose_units(PairData(**data), {"train": train, "val": val}, look(train, val), 0)


def digits(count, seed=0):
    """Numbers, and their digits with a sign between."""
    chance = random.Random(seed)
    numbers = [str(chance.randrange(10**5, 10**8)) for _ in range(count)]
    return PairSet(tuple(numbers), tuple("".join(reversed(number)) for number in numbers))


def long_texts(count, seed):
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghij", k=7)) for _ in range(count * 9)]
    texts = tuple(" ".join(words[n * 9 : n * 9 + 9]) for n in range(count))
    return PairSet(texts, texts)


@pytest.fixture(scope="module")
def reversal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reversal")
    REVERSAL.write(folder, train=400, val=50, test=20, words=20)
    return find_parts(PairData(pairs=(str(folder),)), 0)


@pytest.fixture
def tried(monkeypatch):
    """What was tried, in place of a trial that characters win."""
    calls = []

    def trial(sizes, *_, **__):
        calls.append(dict(sizes))
        return {kind: float(kind != "characters") for kind in sizes}

    monkeypatch.setattr(units, "try_units", trial)
    return calls


def test_a_closed_set_of_words_is_written_in_words(reversal, tried):
    data, said = choose(reversal["train"], reversal["val"])
    assert (data.vocabulary, data.vocabulary_size) == ("words", None)
    assert said == ["units: words: only 20 and 20 different ones, and the validation pairs have hardly a new one"]
    assert tried == []


def test_long_texts_with_new_words_are_cut_into_few_sub_words(tried):
    data, said = choose(long_texts(200, 0), long_texts(40, 1))
    assert (data.vocabulary, data.vocabulary_size) == ("unigram", 500)
    assert said[0].startswith("units: sub-words: 100.0% of the validation words are new, and sentences have 71 char")
    assert said[1] == "at most 500 sub-words a side: 200 training pairs, 11 different characters"
    assert tried == []


def test_what_is_not_clear_is_tried(tried):
    data, said = choose(digits(300), digits(40, 1))
    assert data.vocabulary == "characters"
    assert tried == [{"characters": 20_000, "unigram": 500}]
    wanted = "after a short trial the loss per validation character is 0.00, with sub-words 1.00"
    assert said == [f"units: characters: {wanted}"]


def test_several_processes_decide_without_a_trial(tried, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    data, said = choose(digits(300), digits(40, 1))
    assert data.vocabulary == "characters"
    assert said == ["units: characters: targets have 8 characters on average"]
    assert tried == []


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
def test_what_was_asked_for_stays(kind, tried):
    data, said = choose(digits(300), digits(40, 1), vocabulary=kind, vocabulary_size=50)
    assert (data.vocabulary, data.vocabulary_size) == (kind, 50)
    assert (said, tried) == ([], [])
    data, said = choose(digits(300), digits(40, 1), vocabulary=kind)
    assert data.vocabulary_size == (500 if kind == "bpe" else None)


def test_there_is_room_for_every_character():
    alphabet = "".join(map(chr, range(0xAC00, 0xAC00 + 900)))
    texts = tuple(alphabet[n * 30 : n * 30 + 30] for n in range(30))
    found = PairSet(texts, texts)
    assert units._choose_size(30, look(found, found)) == 900 + 4 + 250


# -- the trial ----------------------------------------------------------------------------------


def test_a_trial_finds_that_digits_are_written_one_by_one(monkeypatch):
    monkeypatch.setattr("jumok.tasks.translate.unit_trial.BUDGET", 40_000)
    sizes = {"characters": 100, "unigram": 500, "words": 500}
    train, val = digits(1500), digits(60, 1)
    train = PairSet((*train.sources, "7", "7"), (*train.targets, "7", "7"))  # one word at least comes twice
    one, other = (try_units(sizes, train, val, seed=0, shared=False) for _ in range(2))
    assert one == other
    assert one["characters"] < one["unigram"]
    assert 2 < one["words"] < 2.7  # every word is unknown, so each character costs a blind guess of eleven


def test_a_trial_leaves_no_trace_in_the_random_numbers(monkeypatch):
    import torch

    monkeypatch.setattr("jumok.tasks.translate.unit_trial.BUDGET", 100)
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    try_units({"characters": 100}, digits(20), digits(5, 1), seed=0, shared=True)
    assert torch.equal(torch.rand(2), wanted)


def test_a_trial_that_would_take_too_long_is_given_up_and_that_is_said(monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(unit_trial.time, "monotonic", lambda: float(next(seconds)))  # each look at it takes one
    train, val = digits(300), digits(40, 1)
    sizes = {"characters": 100, "unigram": 60}
    assert try_units(sizes, train, val, seed=0, shared=False, seconds=5.0) is None
    looked = next(seconds)
    assert looked < 12
    parts = {"train": train, "val": val}
    data, said = choose_units(PairData(), parts, look(train, val), 0, 5.0)
    assert data.vocabulary == "characters"
    assert said == ["units: characters: targets have 8 characters on average; there is no time to try others"]
