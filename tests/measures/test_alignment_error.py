"""Precision, recall and AER of links, and the weight that lies on known ones."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.attention.word_alignment import diagonal, links
from jumok.errors import JumokError
from jumok.intervals import wilson
from jumok.measures.alignment_error import TITLES, AlignmentMeter, anti_diagonal_weight, diagonal_weight, weight_on


@dataclass(frozen=True)
class Drawn:
    sure: frozenset = frozenset()
    possible: frozenset = field(default_factory=frozenset)


def gold(sure=(), possible=()):
    return Drawn(frozenset(sure), frozenset(possible))


def a_map(weights, lead=()):
    weights = torch.as_tensor(weights, dtype=torch.float32)
    targets, sources = weights.shape[-2:]
    names = [Tokens(tuple(map(str, range(count)))) for count in (targets, sources)]
    return AttentionMap(weights, *names, lead, Scale.GATE)


def report_of(*sentences, size=(9, 9), **options):
    meter = AlignmentMeter()
    for truth, found in sentences:
        meter.add(truth, {"ours": found}, source=size[0], target=size[1])
    return meter.report(**options)


def scores_of(result):
    return {name: interval.value for name, interval in result.scores.items()}


# -- the scores -----------------------------------------------------------------------------------


def test_an_example_worked_by_hand():
    """Two sentences: |A| = 3 + 2, |S| = 2 + 2, |A & S| = 1 + 2, |A & P| = 2 + 2."""
    first = gold({(0, 0), (1, 1)}, {(2, 1), (0, 0), (1, 1)}), {(0, 0), (2, 1), (3, 3)}
    second = gold({(0, 1), (1, 0)}), {(0, 1), (1, 0)}
    report = report_of(first, second, size=(4, 4))
    wanted = {"precision": 4 / 5, "recall": 3 / 4, "aer": 1 - (3 + 4) / (5 + 4)}
    assert scores_of(report.methods[0]) == pytest.approx(wanted)
    assert (report.sentences, report.sure, report.possible, report.unmarked) == (2, 4, 5, 0)
    assert report.methods[0].count == 5


def test_sure_links_are_possible_whether_listed_or_not():
    listed = report_of((gold({(0, 0)}, {(0, 0), (1, 1)}), {(0, 0), (1, 1)}))
    unlisted = report_of((gold({(0, 0)}, {(1, 1)}), {(0, 0), (1, 1)}))
    assert scores_of(listed.methods[0]) == scores_of(unlisted.methods[0]) == {"precision": 1, "recall": 1, "aer": 0}


def test_the_diagonal_stands_beside_and_has_its_own_scores():
    """9 x 9: the diagonal has 9 links, one of them right."""
    report = report_of((gold({(0, 0), (8, 1)}), {(0, 0), (8, 1)}))
    assert [result.method for result in report.baselines] == ["diagonal"]
    wanted = {"precision": 1 / 9, "recall": 1 / 2, "aer": 1 - 2 / 11}
    assert scores_of(report.baselines[0]) == pytest.approx(wanted)
    gaps = {name: interval.value for name, interval in report.differences[0].scores.items()}
    assert gaps == pytest.approx({"precision": 8 / 9, "recall": 1 / 2, "aer": -(1 - 2 / 11)})


def test_the_diagonal_as_a_method_differs_by_nothing_for_sure():
    meter = AlignmentMeter()
    for source in range(3, 9):
        found = links(diagonal([""] * source, [""] * 5))
        meter.add(gold({(0, 0), (2, 4)}), {"same": found}, source=source, target=5)
    assert {(gap.value, gap.low, gap.high) for gap in meter.report().differences[0].scores.values()} == {(0, 0, 0)}


def random_sentences(seed, count=20):
    random = np.random.default_rng(seed)

    def pairs(most):
        return {tuple(map(int, pair)) for pair in random.integers(0, 6, (random.integers(0, most), 2))}

    return [(gold(pairs(5), pairs(4)), pairs(7)) for _ in range(count)]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_scores_are_those_of_one_long_sentence_set_by_set(seed):
    """As if every link carried its sentence's number: A, S and P of the corpus are plain sets."""
    sentences = random_sentences(seed)
    a, s, p = set(), set(), set()
    for number, (truth, found) in enumerate(sentences):
        a |= {(number, pair) for pair in found}
        s |= {(number, pair) for pair in truth.sure}
        p |= {(number, pair) for pair in truth.possible | truth.sure}
    report = report_of(*sentences, resamples=10)
    aer = 1 - (len(a & s) + len(a & p)) / (len(a) + len(s))
    wanted = {"precision": len(a & p) / len(a), "recall": len(a & s) / len(s), "aer": aer}
    assert scores_of(report.methods[0]) == pytest.approx(wanted)


# -- the intervals --------------------------------------------------------------------------------


def test_intervals_resample_the_sentences_counts():
    """Against a bootstrap written out: sentences drawn with replacement, their counts added up, then the ratio."""
    sentences = random_sentences(3, count=60)
    found = report_of(*sentences, size=(6, 6), resamples=4000).methods[0].scores["aer"]
    counts = np.array([(len(a & g.sure) + len(a & (g.sure | g.possible)), len(a) + len(g.sure)) for g, a in sentences])
    random = np.random.default_rng(99)
    draws = [1 - np.divide(*counts[random.integers(0, 60, 60)].sum(0)) for _ in range(4000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)
    assert found.low < found.value < found.high


def test_intervals_of_differences_are_paired():
    """Half of the sentences run along the diagonal, and the method is one right link better in each of the others."""
    straight = {(word, word) for word in range(9)}
    moved = {(word, (word + 4) % 9) for word in range(9)}
    sentences = [(gold(straight), straight), (gold(moved), straight | {(0, 4)})] * 20
    report = report_of(*sentences)
    ours, base, gap = (x.scores["recall"] for x in (report.methods[0], report.baselines[0], report.differences[0]))
    assert ours.low < base.high, "their own intervals overlap"
    assert gap.low > 0, "their difference is sure"


def test_the_same_seed_gives_the_same_report():
    sentences = random_sentences(5)
    assert report_of(*sentences).to_dict() == report_of(*sentences).to_dict()


def test_one_sentence_alone_says_nothing_of_others():
    scores = report_of((gold({(0, 0)}), {(0, 0), (1, 0)})).methods[0].scores
    assert {(interval.low, interval.high) for interval in scores.values()} == {(0, 1)}


# -- edges ----------------------------------------------------------------------------------------


def test_a_sentence_without_gold_links_counts_what_is_linked_there_as_wrong():
    report = report_of((gold({(0, 0)}), {(0, 0)}), (gold(), {(1, 1)}))
    assert scores_of(report.methods[0]) == pytest.approx({"precision": 1 / 2, "recall": 1, "aer": 1 / 3})
    assert report.unmarked == 1
    assert "1 sentence without gold links" in report.summary()


def test_few_sure_links_leave_resamples_without_any_out():
    """Half of the resamples or so hold no sure link: their recall is of nothing."""
    report = report_of((gold({(0, 0)}), {(0, 0)}), *[(gold(possible={(1, 1)}), set())] * 3)
    assert scores_of(report.methods[0]) == {"precision": 1, "recall": 1, "aer": 0}
    recall = report.methods[0].scores["recall"]
    assert (recall.low, recall.high) == (pytest.approx(wilson(4, 4)[0]), 1)  # all found says nothing of other sentences


def test_a_method_without_links_misses_everything():
    report = report_of(*[(gold({(0, 0)}), set())] * 3)
    assert scores_of(report.methods[0]) == {"precision": 0, "recall": 0, "aer": 1}
    assert report.methods[0].scores["precision"].high == 1, "precision of no link is not known"
    assert all(np.isfinite(list(gap.to_dict().values())).all() for gap in report.differences[0].scores.values())


@pytest.mark.parametrize("sentences", [[], [(gold(possible={(0, 0)}), {(0, 0)})] * 2])
def test_no_sure_link_at_all_is_an_error(sentences):
    with pytest.raises(JumokError, match=f"no sure link in the gold of {len(sentences)} sentences"):
        report_of(*sentences)


@pytest.mark.parametrize("pair", [(4, 0), (0, 3), (-1, 0), (0, -1)])
@pytest.mark.parametrize("whose", ["sure", "possible", "ours"])
def test_a_link_outside_the_sentence_names_the_sentence(pair, whose):
    meter = AlignmentMeter()
    meter.add(gold({(3, 2)}), {"ours": {(3, 2)}}, source=4, target=3)
    truth = gold({pair}) if whose == "sure" else gold(possible={pair} if whose == "possible" else ())
    with pytest.raises(JumokError, match=r"sentence 2: .* links source word -?\d to target word -?\d.* 4 source and 3"):
        meter.add(truth, {"ours": {pair} if whose == "ours" else set()}, source=4, target=3)
    assert meter.report().sentences == 1, "nothing was added"


@pytest.mark.parametrize(
    ("found", "source", "said"),
    [
        ({}, 2, "at least one method"),
        ({"diagonal": set()}, 2, "name of the baseline"),
        ({"theirs": set()}, 2, "methods changed"),
        ({"ours": set()}, 0, "words on both sides"),
    ],
)
def test_what_cannot_be_compared_is_said(found, source, said):
    meter = AlignmentMeter()
    meter.add(gold({(0, 0)}), {"ours": {(0, 0)}}, source=2, target=2)
    with pytest.raises(JumokError, match=f"line 7: .*{said}"):
        meter.add(gold(), found, source=source, target=2, name="line 7")


# -- the report -----------------------------------------------------------------------------------


def test_the_report_is_text_and_plain_values():
    report = report_of(*random_sentences(1))
    assert report.header() == ("alignment", *TITLES.values(), "links")
    assert [row[0] for row in report.rows()] == ["ours", "diagonal"]
    assert all(len(row) == len(report.header()) for row in (*report.rows(), *report.difference_rows()))
    assert report.difference_rows()[0][0] == "ours - diagonal"
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["methods"]["ours"]["aer"]["value"] == report.methods[0].scores["aer"].value
    assert plain["baselines"]["diagonal"]["links"] == 9 * 20
    assert "20 sentences" in report.summary()


# -- weight on links ------------------------------------------------------------------------------


def test_weight_is_summed_over_a_words_links_and_averaged_over_linked_words():
    map_ = a_map([[0.5, 0.3, 0.1], [0.2, 0.2, 0.2], [0.0, 0.1, 0.6]])
    assert weight_on(map_, {(0, 0), (1, 0), (2, 2)}) == pytest.approx((0.8 + 0.6) / 2)
    assert weight_on(map_, [(2, 2), (2, 2)]) == pytest.approx(0.6), "a link given twice is one"


def test_both_diagonals():
    map_ = a_map([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
    assert diagonal_weight(map_) == pytest.approx((0.7 + 0.8 + 0.6) / 3)
    assert anti_diagonal_weight(map_) == pytest.approx((0.1 + 0.8 + 0.3) / 3)
    assert anti_diagonal_weight(a_map(torch.eye(5).flip(0))) == 1


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: diagonal_weight(a_map([[0.5, 0.5]])), "1 x 2"),
        (lambda: weight_on(a_map([[1.0]]), set()), "no link"),
        (lambda: weight_on(a_map([[0.5, 0.5]]), {(0, 1)}), "outside its 2 source and 1 target"),
        (lambda: weight_on(a_map(torch.ones(2, 3, 3), ("head",)), {(0, 1)}), "choose with .at"),
    ],
)
def test_weights_that_cannot_be_taken(act, said):
    with pytest.raises(JumokError, match=said):
        act()
