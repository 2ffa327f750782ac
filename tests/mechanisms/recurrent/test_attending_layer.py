"""A layer that attends before each step: its fast path against the loop that autograd follows, gradients included."""

import gc
import weakref

import pytest
import torch

from jumok.errors import JumokError
from jumok.mechanisms.recurrent import attending_steps
from jumok.mechanisms.recurrent.attending_layer import SCORES, AttendingLayer
from jumok.mechanisms.recurrent.attending_steps import FAST_CELLS
from jumok.mechanisms.recurrent.cells import CELLS

EVERY_SCORE = pytest.mark.parametrize("score", SCORES)
FAST_SCORES = pytest.mark.parametrize("score", [score for score in SCORES if score != "multi-head"])
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
SENTENCES, STEPS, PLACES, SIZE, HIDDEN = 3, 4, 5, 6, 8


def layer_of(cell, score, dtype=torch.float64):
    torch.manual_seed(0)
    layer = AttendingLayer(cell, score, SIZE, HIDDEN, HIDDEN, heads=2).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return layer


def given(cell, dtype=torch.float64):
    draw = torch.Generator().manual_seed(1)
    shapes = [(SENTENCES, STEPS, SIZE), (SENTENCES, PLACES, HIDDEN), *[(SENTENCES, 1, HIDDEN)] * CELLS[cell].states]
    words, memory, *state = (torch.randn(s, generator=draw, dtype=dtype).requires_grad_() for s in shapes)
    allowed = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True, False, True, True, False]])
    return words, memory, tuple(state), allowed


def plain(layer, words, memory, state, allowed):
    return layer.plain(layer.u1(words.transpose(0, 1)), layer.prepare(memory, allowed), state)


def fast(layer, words, memory, state, allowed):
    return layer.run(words, layer.prepare(memory, allowed), state)


def test_every_cell_has_a_fast_one():
    assert set(FAST_CELLS) == set(CELLS)


@EVERY_SCORE
@EVERY_CELL
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 2e-5)], ids=str)
def test_fast_equals_plain_with_gradients(cell, score, dtype, close):
    layer, (words, memory, state, allowed) = layer_of(cell, score, dtype), given(cell, dtype)
    results = [how(layer, words, memory, state, allowed) for how in (fast, plain)]
    torch.testing.assert_close(*results, atol=close, rtol=close)
    names = ["words", "memory", *(f"state {at}" for at in range(len(state))), *dict(layer.named_parameters())]
    targets = [words, memory, *state, *layer.parameters()]
    pull = torch.randn(results[0][0].shape, generator=torch.Generator().manual_seed(2), dtype=dtype)
    gradients = [torch.autograd.grad(outputs, targets, pull) for outputs, _ in results]
    for name, got, wanted in zip(names, *gradients, strict=True):
        torch.testing.assert_close(got, wanted, atol=close, rtol=close, msg=lambda text, name=name: f"{name}: {text}")
        if name not in ("look.key.bias",):
            assert wanted.abs().sum() > 0, name


@pytest.mark.parametrize("score", ["additive", "dot"])
@EVERY_CELL
def test_gradients_against_finite_differences(cell, score):
    layer, (words, memory, state, allowed) = layer_of(cell, score), given(cell)
    check = lambda words, memory, *state: fast(layer, words, memory, state, allowed)[0]  # noqa: E731
    assert torch.autograd.gradcheck(check, (words, memory, *state))


@FAST_SCORES
def test_the_fast_path_is_taken(score, monkeypatch):
    calls = []
    monkeypatch.setattr(attending_steps, "run", lambda *a: calls.append(a) or (None, None))
    fast(layer_of("lstm", score), *given("lstm"))
    assert len(calls) == 1


@FAST_SCORES
@EVERY_CELL
def test_under_autocast_only_the_products_are_coarser(cell, score):
    layer, inputs = layer_of(cell, score, torch.float32), given(cell, torch.float32)
    words, memory, state, _ = inputs
    exact, _ = fast(layer, *inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, weights = fast(layer, *inputs)
    assert outputs.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(outputs, exact, atol=0.05, rtol=0.05)
    targets = [words, memory, *state, *layer.parameters()]
    pull = torch.randn(exact.shape, generator=torch.Generator().manual_seed(2))
    for got, wanted in zip(
        torch.autograd.grad(outputs, targets, pull), torch.autograd.grad(exact, targets, pull), strict=True
    ):
        assert torch.cosine_similarity(got.flatten(), wanted.flatten(), 0) > 0.99


@FAST_SCORES
def test_backward_may_run_twice(score):
    layer, inputs = layer_of("lstm", score), given("lstm")
    outputs, _ = fast(layer, *inputs)
    first = torch.autograd.grad(outputs.sum(), inputs[0], retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(outputs.sum(), inputs[0])[0], first)


@FAST_SCORES
def test_nothing_stays_in_memory(score):
    layer, inputs = layer_of("lstm", score), given("lstm")
    prepared = layer.prepare(inputs[1], inputs[3])
    kept = weakref.ref(prepared["values"])
    gc.disable()  # what lives in a circle would only be found by the collector
    try:
        outputs, _ = layer.run(inputs[0], prepared, inputs[2])
        outputs.sum().backward()
        del outputs, prepared
        assert kept() is None
    finally:
        gc.enable()


@EVERY_SCORE
def test_without_gradients_it_gives_the_same(score):
    layer, inputs = layer_of("gru", score), given("gru")
    with torch.no_grad():
        outputs, weights = fast(layer, *inputs)
    torch.testing.assert_close((outputs, weights), fast(layer, *inputs))
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))


def test_an_unknown_score_raises():
    with pytest.raises(JumokError, match="no score 'aditive': did you mean 'additive'"):
        AttendingLayer("lstm", "aditive", 4, 4, 4)
