"""Sub-words to words, the next step's rows, and links."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.attention import AttentionMap, Scale, Steps, Tokens
from jumok.attention.word_alignment import align_words, diagonal, links, merge_words, shift
from jumok.errors import JumokError


def words(count, prefix="w"):
    return tuple(f"{prefix}{number}" for number in range(count))


def an_alignment(weights, scale=Scale.DISTRIBUTION, lead=(), source="cross"):
    weights = torch.as_tensor(weights, dtype=torch.float32)
    targets, sources = weights.shape[-2:]
    return AttentionMap(weights, Tokens(words(targets, "t")), Tokens(words(sources, "s")), lead, scale, source)


def softmax(*shape, seed=0, lead=()):
    return an_alignment(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).softmax(-1), lead=lead)


# -- merging --------------------------------------------------------------------------------------


PIECES = an_alignment([[0.5, 0.1, 0.1, 0.3], [0.2, 0.4, 0.0, 0.4], [0.0, 0.0, 0.6, 0.4]])


def test_source_pieces_are_summed_and_target_pieces_averaged():
    merged = merge_words(PIECES, queries=[0, 0, 1], keys=[0, 0, 1, None], query_words=["A", "B"], key_words=["x", "y"])
    assert torch.allclose(merged.weights, torch.tensor([[0.6, 0.05], [0.0, 0.6]]))
    assert merged.queries == Tokens(("A", "B"))
    assert merged.keys == Tokens(("x", "y"))
    assert merged.scale is Scale.GATE, "what went to a piece of no word is missing"
    assert merged.source == "cross"


def test_renormalised_rows_sum_to_one():
    owners = {"queries": [0, 0, 1], "keys": [0, 0, 1, -1]}
    merged = merge_words(PIECES, **owners, query_words=["A", "B"], key_words=["x", "y"], renormalise=True)
    assert torch.allclose(merged.weights, torch.tensor([[0.6 / 0.65, 0.05 / 0.65], [0.0, 1.0]]))
    assert merged.scale is Scale.DISTRIBUTION


def test_pieces_of_a_word_need_not_be_neighbours_and_target_pieces_of_no_word_go():
    merged = merge_words(PIECES, queries=[0, None, 0], keys=[1, 0, 1, 0], query_words=["A"], key_words=["x", "y"])
    assert torch.allclose(merged.weights, torch.tensor([[0.4, 0.6]]))
    assert merged.scale is Scale.DISTRIBUTION, "every source piece has its word"


def test_a_source_word_without_pieces_gets_nothing():
    merged = merge_words(PIECES, queries=[0, 1, 2], keys=[0, 0, 0, 0], query_words=words(3), key_words=["x", "gone"])
    assert torch.allclose(merged.weights, torch.tensor([[1.0, 0.0]] * 3))


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4))
def test_merging_is_the_plain_loop_and_keeps_all_weight(seed, targets, sources, target_words, source_words):
    map_ = softmax(2, 3, targets, sources, seed=seed, lead=("layer", "head"))
    target_words = min(target_words, targets)
    queries = [number * target_words // targets for number in range(targets)]
    keys = torch.randint(source_words, (sources,), generator=torch.Generator().manual_seed(seed)).tolist()
    merged = merge_words(
        map_, queries=queries, keys=keys, query_words=words(target_words), key_words=words(source_words)
    )
    wanted = torch.zeros(2, 3, target_words, source_words)
    for target, row in enumerate(queries):
        for source, column in enumerate(keys):
            wanted[..., row, column] += map_.weights[..., target, source] / queries.count(row)
    assert torch.allclose(merged.weights, wanted, atol=1e-6)
    assert torch.allclose(merged.weights.sum(-1), torch.ones(2, 3, target_words), atol=1e-5)
    assert merged.scale is Scale.DISTRIBUTION
    assert merged.lead == ("layer", "head")


def test_sums_of_gates_are_no_gates():
    gates = an_alignment([[0.9, 0.8]], Scale.GATE)
    merged = merge_words(gates, queries=[0], keys=[0, 0], query_words=["A"], key_words=["x"])
    assert merged.scale is Scale.RELEVANCE


@pytest.mark.parametrize(
    ("changes", "words_of_it"),
    [
        ({"queries": [0, 0]}, "2 target pieces for a map of 3"),
        ({"keys": [0, 0, 1]}, "3 source pieces for a map of 4"),
        ({"keys": [0, 0, 2, None]}, "source piece 2 belongs to word 2, but there are only 2"),
        ({"queries": [1, 1, 1]}, "'A' has no piece"),
        ({"key_words": "xy"}, "split it first"),
        ({"query_words": []}, "belongs to word 0, but there are only 0"),
        ({"keys": [None] * 4, "renormalise": True}, "cannot sum to 1"),
    ],
)
def test_what_does_not_fit_is_said(changes, words_of_it):
    good = {"queries": [0, 0, 1], "keys": [0, 0, 1, None], "query_words": ["A", "B"], "key_words": ["x", "y"]}
    with pytest.raises(JumokError, match=words_of_it):
        merge_words(PIECES, **{**good, **changes})


def test_scores_are_not_merged():
    with pytest.raises(JumokError, match="softmax"):
        merge_words(an_alignment([[1.0]], Scale.SCORE), queries=[0], keys=[0], query_words=["A"], key_words=["x"])


# -- the next step --------------------------------------------------------------------------------


def test_each_token_gets_the_row_of_the_step_that_was_fed_it():
    map_ = softmax(2, 4, 5, lead=("head",))
    moved = shift(map_)
    assert moved.queries == Tokens(("t0", "t1", "t2")), "the end token, produced last, has gone"
    for token in range(3):
        assert torch.equal(moved.weights[:, token], map_.weights[:, token + 1])
    assert moved.keys == map_.keys
    assert moved.scale is Scale.DISTRIBUTION
    assert moved.source == "cross, next step"


def test_steps_without_names_can_be_shifted_too():
    assert len(shift(AttentionMap(torch.eye(3), Steps(3), Steps(3))).queries) == 2


def test_one_step_has_no_next():
    with pytest.raises(JumokError, match="at least 2 steps"):
        shift(softmax(1, 4))


# -- a pair of sentences --------------------------------------------------------------------------


class Cut(NamedTuple):
    words: list[str]
    owner: list[int]


def test_steps_over_pieces_become_words_by_both_readings():
    steps = an_alignment([[0.5, 0.2, 0.2, 0.1], [0.0, 0.5, 0.1, 0.4], [0.1, 0.0, 0.8, 0.1], [0.0, 0.0, 0.0, 1.0]])
    aligned = align_words({"mean": steps}, Cut(["a", "b"], [0, 0, 1]), Cut(["A", "B"], [0, 1, 1]))
    assert (aligned.source, aligned.target) == (("a", "b"), ("A", "B"))
    assert list(aligned.maps) == ["mean", "mean, next step"]
    own, following = aligned.maps.values()
    torch.testing.assert_close(own.weights, torch.tensor([[0.7, 0.2], [0.3, 0.45]]))
    torch.testing.assert_close(following.weights, torch.tensor([[0.5, 0.1], [0.05, 0.4]]))
    assert own.queries.labels() == ["A", "B"]
    assert own.keys.labels() == ["a", "b"]
    assert aligned.links("mean") == links(own) == {(0, 0), (1, 1)}


# -- links ----------------------------------------------------------------------------------------


def test_the_largest_weight_links_the_first_of_equals_and_none_where_all_is_zero():
    map_ = an_alignment([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 0.0]], Scale.GATE)
    assert links(map_) == {(1, 0), (0, 1)}


def test_ties_over_many_words_go_to_the_first():
    assert links(an_alignment(torch.full((40, 70), 1 / 70))) == {(0, target) for target in range(40)}


@pytest.mark.parametrize(("threshold", "wanted"), [(0.0, 2), (0.5, 2), (0.500001, 1), (1.0, 0)])
def test_a_threshold_is_the_least_weight(threshold, wanted):
    assert len(links(an_alignment([[0.5, 0.5], [0.1, 0.9]]), threshold=threshold)) == wanted


@pytest.mark.parametrize(
    ("map_", "options", "said"),
    [
        (softmax(2, 3, 4, lead=("head",)), {}, "choose with .at"),
        (an_alignment([[1.0]], Scale.SCORE), {}, "softmax"),
        (softmax(2, 2), {"threshold": -0.1}, "0 or more"),
        (softmax(2, 2), {"threshold": float("nan")}, "0 or more"),
    ],
)
def test_links_of_what_cannot_be_linked(map_, options, said):
    with pytest.raises(JumokError, match=said):
        links(map_, **options)


@given(st.integers(1, 30), st.integers(1, 30))
def test_the_diagonal_is_the_nearest_middle(sources, targets):
    found = links(diagonal(words(sources), words(targets)))
    for target in range(targets):
        distances = [abs((2 * i + 1) * targets - (2 * target + 1) * sources) for i in range(sources)]
        assert (distances.index(min(distances)), target) in found
    assert len(found) == targets


def test_the_diagonal_of_equal_lengths_is_the_diagonal():
    map_ = diagonal(["a", "b", "c"], ["x", "y", "z"])
    assert torch.equal(map_.weights, torch.eye(3))
    assert (map_.scale, map_.source, map_.queries.label(2)) == (Scale.MASK, "diagonal", "z")


def test_the_diagonal_of_no_words_is_refused():
    with pytest.raises(JumokError, match="at least 1"):
        diagonal([], ["x"])
