"""Whether a token goes past the attention, beside it or not at all: rollout follows what the model does."""

import pytest
import torch
from token_models import attention, looked
from torch import nn

from jumok.errors import JumokError

EYE = torch.eye(5)


class Layers(nn.Module):
    """Layers of attention, put together in some way."""

    def __init__(self, together):
        super().__init__()
        self.layers = nn.ModuleList([attention(), attention()])
        self.norm, self.together, self.bias = nn.LayerNorm(16), together, nn.Parameter(torch.ones(16))

    def forward(self, x):
        return self.together(x, *(lambda x, layer=layer: layer(x, x, x)[0] for layer in self.layers), self)


def half(weights):
    return 0.5 * EYE + 0.5 * weights


WAYS = {
    "none": (lambda x, a, b, m: b(a(x)), lambda a, b: b @ a),
    "both": (lambda x, a, b, m: (y := x + a(x)) + b(y), lambda a, b: half(b) @ half(a)),
    "the second": (lambda x, a, b, m: (y := a(x)) + b(y), lambda a, b: half(b) @ a),
    "the first": (lambda x, a, b, m: b(x + a(x)), lambda a, b: b @ half(a)),
    "past both": (lambda x, a, b, m: x + b(a(x)), lambda a, b: half(b @ a)),
    "from the input": (lambda x, a, b, m: x + b(x + a(x)), lambda a, b: half(b @ half(a))),
    "before a norm": (lambda x, a, b, m: (y := m.norm(x + a(x))) + b(y), lambda a, b: half(b) @ half(a)),
    "in place": (lambda x, a, b, m: (y := a(x).add_(x)) + b(y), lambda a, b: half(b) @ half(a)),
    "a bias is none": (lambda x, a, b, m: b(a(x) + m.bias) + m.bias, lambda a, b: b @ a),
    "a gate is none": (lambda x, a, b, m: (y := x * a(x)) * b(y), lambda a, b: b @ a),
    "a sum of a stack": (lambda x, a, b, m: torch.stack([y := x + a(x), b(y)]).sum(0), lambda a, b: half(b) @ half(a)),
    "features side by side": (
        lambda x, a, b, m: torch.cat([y := x + a(x), b(y)], -1) @ torch.ones(32, 2),
        lambda a, b: half(b) @ half(a),
    ),
    "addmm": (lambda x, a, b, m: torch.addmm(x[0], b(a(x))[0], torch.ones(16, 16)), lambda a, b: half(b @ a)),
    "side by side": (lambda x, a, b, m: x + (a(x) + b(x)), lambda a, b: 0.5 * EYE + 0.25 * (a + b)),
    "side by side, none": (lambda x, a, b, m: a(x) + b(x), lambda a, b: 0.5 * (a + b)),
}


@pytest.mark.parametrize("way", WAYS)
def test_rollout_has_the_residual_connections_of_the_model(way):
    torch.manual_seed(0)
    together, textbook = WAYS[way]
    seen = looked(Layers(together), torch.randn(1, 5, 16))
    wanted = textbook(*(seen[name].weights[0].mean(0) for name in seen.names))
    torch.testing.assert_close(seen.rollout(1).weights[0, 0], wanted[1], atol=1e-6, rtol=1e-5)


def test_a_constant_token_goes_past_attention_that_it_looks_by_as_a_learnt_one():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.scale = nn.ModuleList([attention(), attention()]), nn.Parameter(torch.ones(16))

        def forward(self, x):
            x = nn.functional.pad(x, (0, 0, 1, 0)) + 0.5
            for layer in self.layers:
                normed = nn.functional.layer_norm(x, (16,)) + 1e-3 * self.scale
                x = x + layer(normed, normed, normed)[0]
            return x

    torch.manual_seed(0)
    seen = looked(Padded(), torch.randn(2, 4, 16))
    first, last = (0.5 * EYE + 0.5 * seen[name].weights.mean(1) for name in seen.names)
    torch.testing.assert_close(seen.rollout(2).weights[:, 0], (last @ first)[:, 2], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
@pytest.mark.parametrize("residual", [True, False])
def test_a_class_token_goes_past_attention_where_the_others_do(kind, residual):
    class Classed(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention()
            if kind == "parameter":
                self.cls_token = nn.Parameter(torch.randn(1, 1, 16))
            else:
                self.register_buffer("cls_token", torch.randn(1, 1, 16))

        def forward(self, x):
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
            made = self.attention(x, x, x)[0]
            return x + made if residual else made

    torch.manual_seed(0)
    seen = looked(Classed(), torch.randn(2, 5, 16))
    weights = seen[0].weights.mean(1)[:, 0]
    wanted = 0.5 * torch.eye(6)[0] + 0.5 * weights if residual else weights
    torch.testing.assert_close(seen.rollout(0).weights[:, 0], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_pytorchs_encoder_has_residual_connections_however_it_runs(fast):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 16, batch_first=True), 2)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        seen = looked(encoder, torch.randn(2, 5, 16))
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    first, last = (seen[name].weights.mean(1) for name in seen.names)
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], (half(last) @ half(first))[:, 1], atol=1e-6, rtol=1e-5)


class Looking(nn.Module):
    """Sentences that look at themselves, then all at the first of them."""

    def __init__(self):
        super().__init__()
        self.own, self.other = attention(), attention()

    def forward(self, x):
        x = x + self.own(x, x, x)[0]
        first = x[:1].expand(len(x), -1, -1)
        return x + self.other(x, first, first)[0]


def test_sentences_that_look_at_another_one_are_refused():
    with pytest.raises(JumokError, match="does not reach the tokens"):
        looked(Looking(), torch.randn(2, 5, 16)).rollout(1)


def test_sentences_of_the_same_tokens_do_not_add_up():
    """Mixed in a batch, each holds of both: their maps are none the less their own."""
    torch.manual_seed(0)
    seen = looked(Layers(lambda x, a, b, m: a(x + 2 * x.flip(0))), torch.randn(2, 5, 16))
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], seen[0].weights.mean(1)[:, 1], atol=1e-6, rtol=1e-5)


class Near(nn.Module):
    """Each token looks at itself and its two neighbours, by a product that leaves it no axis of its own."""

    def __init__(self):
        super().__init__()
        self.pair = nn.Linear(16, 32)

    def forward(self, x):
        key, value = (torch.cat([t, t, t], 1)[:, 4:11].unfold(1, 3, 1) for t in self.pair(x).chunk(2, -1))
        self.weights = torch.einsum("bnd,bndw->bnw", x, key).softmax(-1)
        return x + torch.einsum("bnw,bndw->bnd", self.weights, value)


def test_a_token_that_looks_at_a_window_of_its_own_has_a_residual_connection():
    torch.manual_seed(0)
    model = Near()
    seen = looked(model, torch.randn(2, 5, 16))
    wanted = 0.5 * torch.nn.functional.pad(model.weights[:, 1], (0, 2)) + 0.5 * EYE[1]
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], wanted, atol=1e-6, rtol=1e-5)
