import random

import pytest

from jumok.data.pairs.oddities import describe_oddities, find_swapped
from jumok.data.pairs.pair_set import PairSet

GERMAN = "der hund die katze ein mann eine frau läuft schläft über straße durch wald und isst das brot nicht"
ENGLISH = "the dog a cat man woman with walks sleeps over street through forest and eats bread this not"
KOREAN = "개가 고양이는 남자와 여자 숲을 달린다 잔다 길에서 빵을 먹는다 그리고 오늘 어제 우리는"


def sentences(words, count, seed):
    chance, words = random.Random(seed), words.split()
    return [" ".join(chance.choices(words, k=chance.randint(5, 9))) for _ in range(count)]


@pytest.mark.parametrize("other", [ENGLISH, KOREAN])
def test_swapped_sides_are_found(other):
    sources, targets = sentences(GERMAN, 300, 1), sentences(other, 300, 2)
    planted = list(range(5, 300, 25))
    for number in planted:
        sources[number], targets[number] = targets[number], sources[number]
    assert find_swapped(sources, targets) == planted


def test_sides_that_are_written_alike_tell_nothing():
    sources = sentences(ENGLISH, 500, 3)
    assert find_swapped(sources, [source[::-1] for source in sources]) == []
    assert find_swapped(sources, [" ".join(source.split()[::-1]) for source in sources]) == []
    assert find_swapped(sources, sentences(ENGLISH, 500, 4)) == []


def test_what_is_odd_is_told_with_an_example():
    sources, targets = sentences(GERMAN, 200, 1), sentences(ENGLISH, 200, 2)
    sources += [sources[0], sources[1], sources[1]]
    targets += [targets[0], targets[2], targets[3]]
    targets[7] = sources[7]
    targets[8] = sources[8]
    sources[9], targets[9] = targets[9], sources[9]
    again, copies, swapped = describe_oddities(PairSet(tuple(sources), tuple(targets)))
    assert again == "1 of 203 pairs looked at is the same as another one and counts more than once in training"
    assert copies.startswith(
        f"2 of 203 pairs looked at have the same sentence on both sides (such as {sources[7][:20]!r}"[:-1]
    )
    assert swapped.startswith("1 of 203 pairs looked at seem to have source and target swapped")
    sources += [sources[4], sources[5]]
    targets += [targets[6], targets[6]]
    told = list(describe_oddities(PairSet(tuple(sources), tuple(targets))))
    assert any(line.startswith("3 source sentences have several targets (such as ") for line in told)


def test_pairs_with_nothing_odd_get_no_line():
    assert list(describe_oddities(PairSet(tuple(sentences(GERMAN, 300, 1)), tuple(sentences(ENGLISH, 300, 2))))) == []
