"""Dot-product attention against worked examples and its definition."""

import math

import pytest
import torch

from jumok.errors import JumokError
from jumok.mechanisms.dot_product import attend, context, scaled_scores, scores, weights

# The worked examples of a textbook, to three decimals: plain dot product.
FIRST = {
    "query": [0.990, 0.099, 0.099],
    "key": [[0.050, 0.000, 0.998], [0.020, 0.020, 0.999], [0.976, 0.098, 0.195], [0.020, 0.999, 0.020]],
    "value": [[1.0, 2.0, 5.0], [1.0, 1.0, 5.0], [3.0, 2.0, 4.0], [6.0, 1.0, 2.0]],
    "weights": [0.189, 0.184, 0.442, 0.184],
    "context": [2.805, 1.631, 4.005],
}
ROWS = [[0.1, 0.0, 0.8], [0.1, 0.9, 0.0], [0.0, 0.1, 0.8], [0.2, 0.1, 0.6], [0.9, 0.0, 0.1]]
SECOND = {
    "query": [0.2, 0.9, 0.0],
    "key": ROWS,
    "value": ROWS,
    "weights": [0.151, 0.340, 0.162, 0.169, 0.178],
    "context": [0.243, 0.339, 0.370],
}


@pytest.mark.parametrize("example", [FIRST, SECOND], ids=["separate values", "values are the keys"])
def test_worked_examples_to_three_decimals(example):
    query = torch.tensor([example["query"]])
    key, value = torch.tensor(example["key"]), torch.tensor(example["value"])
    looks = weights(scores(query, key))
    assert [round(w, 3) for w in looks[0].tolist()] == example["weights"]
    assert [round(c, 3) for c in context(looks, value)[0].tolist()] == example["context"]


def test_scaled_scores_are_the_plain_ones_over_the_root_of_the_size():
    query, key = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    torch.testing.assert_close(scaled_scores(query, key), scores(query, key) / 4)


def test_attend_equals_torch_on_any_leading_axes():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 6)
    mask = torch.rand(2, 1, 4, 5) > 0.4
    mask[..., 0] = True
    got, _ = attend(query, key, value, mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(got, wanted)


def test_masked_keys_get_exactly_zero_even_with_the_largest_score():
    looks = weights(torch.tensor([[1.0, 80.0, 2.0]]), torch.tensor([[True, False, True]]))
    assert looks[0, 1] == 0
    assert looks.sum() == pytest.approx(1)


def test_large_scores_do_not_overflow():
    looks = weights(torch.tensor([[1000.0, 1000.0 + math.log(3), -1e30]]))
    torch.testing.assert_close(looks, torch.tensor([[0.25, 0.75, 0.0]]), atol=1e-4, rtol=0)


def test_a_row_with_nothing_to_attend_raises():
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(JumokError, match="allows no key"):
        weights(torch.zeros(2, 2), mask)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(2, 3), "torch.float32"),
        (torch.ones(3, dtype=torch.bool), r"\(3,\), wanted \(2, 3\)"),
        (torch.ones(2, 4, dtype=torch.bool), r"\(2, 4\), wanted \(2, 3\)"),
    ],
)
def test_masks_of_another_kind_or_shape_raise(mask, words):
    with pytest.raises(JumokError, match=words):
        weights(torch.zeros(2, 3), mask)


def test_shapes_that_do_not_fit_raise():
    with pytest.raises(JumokError, match=r"query has shape \(3,\)"):
        scores(torch.zeros(3), torch.zeros(2, 3))
    with pytest.raises(JumokError, match=r"key has shape \(4, 2, 3\), wanted \(keys, 3\)"):
        scores(torch.zeros(2, 3), torch.zeros(4, 2, 3))
    with pytest.raises(JumokError, match=r"value has shape \(4, 3\), wanted \(2, size\)"):
        context(torch.zeros(1, 2), torch.zeros(4, 3))
