"""Where the time of a step goes."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # `bench` is no part of the installed package

from bench import spent


def first_kind(step):
    return spent.tell_spent(step).rpartition("%")[0].split("%")[0].rpartition(" ")[0]


def test_the_kind_that_takes_most_comes_first():
    square, long = torch.randn(700, 700), torch.randn(4_000_000)
    assert first_kind(lambda: square @ square @ square) == "products of matrices"
    assert first_kind(lambda: long.exp()) == spent.OTHER
    assert first_kind(long.sort) == "choosing"
    assert first_kind(lambda: time.sleep(0.05)) == spent.OUTSIDE


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::addmm", "products of matrices"),
        ("aten::mkldnn_rnn_layer", "products of matrices"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "products of matrices"),
        ("aten::convolution_backward", "products of matrices"),
        ("aten::index_select", "moving numbers"),
        ("aten::topk", "choosing"),
        ("aten::_softmax", spent.OTHER),
        ("aten::native_dropout", spent.OTHER),
        ("aten::maximum", spent.OTHER),
    ],
)
def test_operations_by_their_names(operation, kind):
    assert spent._find_kind(operation) == kind
