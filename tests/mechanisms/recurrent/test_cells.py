"""Cells against a plain reference written from their formulas, gate by gate, and against PyTorch's fused layers."""

import math

import pytest
import torch

from jumok.mechanisms.recurrent import cells
from jumok.mechanisms.recurrent.cells import CELLS, run_layer, runs_in, start_layer, step_layer, weights_of

EVERY = pytest.mark.parametrize("name", CELLS)
SIZE, HIDDEN, STEPS = 3, 4, 6
CLOSE = {"atol": 1e-6, "rtol": 1e-6}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def times(matrix, vector, bias):
    return [sum(w * v for w, v in zip(row, vector, strict=True)) + b for row, b in zip(matrix, bias, strict=True)]


def plain_rnn(x, state, u1, u3, b1, b3):
    (h,) = state
    return ([math.tanh(a + b) for a, b in zip(times(u3, h, b3), times(u1, x, b1), strict=True)],)


def plain_lstm(x, state, u1, u3, b1, b3):
    h, c = state
    total = [a + b for a, b in zip(times(u1, x, b1), times(u3, h, b3), strict=True)]
    i, f, u, o = (total[k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    c = [sigmoid(f[k]) * c[k] + sigmoid(i[k]) * math.tanh(u[k]) for k in range(HIDDEN)]
    return [sigmoid(o[k]) * math.tanh(c[k]) for k in range(HIDDEN)], c


def plain_gru(x, state, u1, u3, b1, b3):
    (h,) = state
    given, back = times(u1, x, b1), times(u3, h, b3)
    after = []
    for k in range(HIDDEN):
        r, z = sigmoid(given[k] + back[k]), sigmoid(given[HIDDEN + k] + back[HIDDEN + k])
        n = math.tanh(given[2 * HIDDEN + k] + r * back[2 * HIDDEN + k])
        after.append((1 - z) * n + z * h[k])
    return (after,)


PLAIN = {"rnn": plain_rnn, "lstm": plain_lstm, "gru": plain_gru}


def layer_of(name):
    torch.manual_seed(0)
    return CELLS[name].layer(SIZE, HIDDEN, batch_first=True).double()


def sentence(batch=2):
    return torch.randn(batch, STEPS, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def run(name, layer, inputs):
    cell = CELLS[name]
    state = tuple(inputs.new_zeros(len(inputs), HIDDEN) for _ in range(cell.states))
    outputs = []
    for x in inputs.unbind(1):
        state = step_layer(cell, layer, x, state)
        outputs.append(state[0])
    return torch.stack(outputs, 1), state


@EVERY
def test_a_cell_follows_its_formula(name):
    layer, inputs = layer_of(name), sentence(batch=1)
    weights = [weight.tolist() for weight in weights_of(layer)]
    state = tuple([0.0] * HIDDEN for _ in range(CELLS[name].states))
    wanted = []
    for x in inputs[0].tolist():
        state = PLAIN[name](x, state, *weights)
        wanted.append(state[0])
    outputs, after = run(name, layer, inputs)
    torch.testing.assert_close(outputs[0], torch.tensor(wanted, dtype=torch.float64), **CLOSE)
    torch.testing.assert_close(
        torch.cat(after, 1)[0], torch.tensor([v for part in state for v in part]).double(), **CLOSE
    )


@EVERY
def test_a_cell_agrees_with_the_fused_layer_gradients_included(name):
    layer, inputs = layer_of(name), sentence()
    fused, (ours, _) = layer(inputs)[0], run(name, layer, inputs)
    torch.testing.assert_close(ours, fused, **CLOSE)
    pull = torch.randn(fused.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = list(layer.parameters())
    for got, wanted in zip(
        torch.autograd.grad(ours, given, pull), torch.autograd.grad(fused, given, pull), strict=True
    ):
        torch.testing.assert_close(got, wanted, **CLOSE)


@EVERY
def test_a_fresh_layer_keeps_the_spread(name):
    layer = CELLS[name].layer(SIZE, 64)
    start_layer(name, *weights_of(layer))
    u1, u3, b1, b3 = weights_of(layer)
    for part in u3.detach().chunk(CELLS[name].gates):
        torch.testing.assert_close(part @ part.T, torch.eye(64), atol=1e-5, rtol=0)
    assert (b3 == 0).all()
    assert b1.sum() == (64 if name == "lstm" else 0)
    assert u1.std() > 0.1


def states_of(name, batch=2):
    drawn = torch.Generator().manual_seed(3)
    return tuple(torch.randn(1, batch, HIDDEN, generator=drawn) for _ in range(CELLS[name].states))


@EVERY
@pytest.mark.parametrize("before", [False, True])
def test_all_steps_are_those_of_torch(name, before):
    layer, inputs = layer_of(name).float(), sentence().float()
    state = states_of(name) if before else None
    wanted = layer(inputs, state if state is None or len(state) > 1 else state[0])[0]
    assert torch.equal(run_layer(layer, inputs, state), wanted)


@EVERY
def test_a_layer_that_this_processor_has_not_in_bf16_runs_in_float32(name, monkeypatch):
    monkeypatch.setattr(cells, "runs_in", lambda dtype, layer: False)
    layer, state = layer_of(name).float(), states_of(name)
    inputs = sentence().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        got = run_layer(layer, inputs, tuple(part.bfloat16() for part in state))
    wanted = run_layer(layer, inputs.float(), tuple(part.bfloat16().float() for part in state))
    assert torch.equal(got, wanted)
    got.sum().backward()
    assert inputs.grad is not None


@EVERY
def test_trying_a_layer_draws_no_random_numbers_and_may_be_done_in_inference_mode(name):
    cells._trains.cache_clear()
    layer, before = layer_of(name), torch.get_rng_state()
    with torch.inference_mode():
        found = runs_in(torch.bfloat16, layer)
    assert torch.equal(torch.get_rng_state(), before)
    cells._trains.cache_clear()
    assert runs_in(torch.bfloat16, layer) == found


@EVERY
def test_bf16_learns_on_this_processor_one_way_or_the_other(name):
    layer, inputs = layer_of(name).float(), sentence().float()
    with torch.autocast("cpu", torch.bfloat16):
        got = run_layer(layer, inputs)
    torch.testing.assert_close(got.float(), layer(inputs)[0], atol=0.02, rtol=0.02)
    got.float().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())
