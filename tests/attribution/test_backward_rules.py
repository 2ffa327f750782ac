"""Rules of going back through a graph, beside the same functions written by hand with what is constant detached."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attribution.backward.gamma import add_gamma
from jumok.attribution.backward.graph import Graph, kind
from jumok.attribution.backward.propagate import propagate
from jumok.attribution.backward.rules import DETACHED, SHARED
from jumok.errors import JumokError

SIZE = 8


def given(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


W, V = given(SIZE, SIZE, seed=1), given(SIZE, SIZE, seed=2)
GAIN = given(SIZE, seed=3)


def back(function, x, rules):
    """What our rules bring back to x from a weighed sum of the function's values."""
    x = x.clone().requires_grad_()
    y = function(x)
    target = (y * given(*y.shape, seed=9)).sum()
    graph = Graph.of(target, lambda node: getattr(node, "variable", None) is x)
    (found,) = propagate(target, graph, [torch.autograd.graph.get_gradient_edge(x)], rules, "test")
    return found


def plainly(function, x):
    """The plain gradient of a function that detaches by itself."""
    x = x.clone().requires_grad_()
    y = function(x)
    (found,) = torch.autograd.grad((y * given(*y.shape, seed=9)).sum(), x)
    return found


def gated(f):
    """F(x) as x times a constant."""
    return lambda x: x * ((f(x) - f(torch.zeros_like(x))) / x).detach()


def halved(x):
    return 0.5 * x + 0.5 * x.detach()


def standardise(x, dims, eps=1e-5):
    centred = x - x.mean(dims, keepdim=True)
    return centred / (x.var(dims, keepdim=True, correction=0) + eps).sqrt().detach()


def by_hand_gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rms_by_hand(x):
    return GAIN * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rms_wanted(x):
    return GAIN * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6).detach()


def sample(x, stop):
    grid = torch.tanh(x[:, :, None, :2] + x[:, :, None, 2:4]).reshape(1, -1, 1, 2)
    return F.grid_sample(x[None], stop(grid), align_corners=False)


def squeeze(x):
    return x * (x.mean(1, keepdim=True) @ W).relu().matmul(V).sigmoid()


SAME = {
    "layer norm": (lambda x: F.layer_norm(x, (SIZE,), GAIN, GAIN), lambda x: standardise(x, -1) * GAIN + GAIN),
    "layer norm by hand": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt(),
        lambda x: standardise(x, -1),
    ),
    "rms norm by hand": (rms_by_hand, rms_wanted),
    "rms norm": (lambda x: F.rms_norm(x, (SIZE,), GAIN, 1e-6), rms_wanted),
    "rms norm by a negative power": (
        lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).pow(-0.5) * GAIN,
        rms_wanted,
    ),
    "group norm": (
        lambda x: F.group_norm(x.mT, 2, GAIN).mT,
        lambda x: standardise(x.mT.unflatten(1, (2, -1)), (2, 3)).flatten(1, 2).mT * GAIN,
    ),
    "instance norm": (lambda x: F.instance_norm(x.mT), lambda x: standardise(x.mT, -1)),
    "batch norm": (
        lambda x: F.batch_norm(x.mT, GAIN, GAIN.abs(), V[0], V[1]),
        lambda x: ((x - GAIN) / (GAIN.abs() + 1e-5).sqrt() * V[0] + V[1]).mT,
    ),
    "normalize": (lambda x: F.normalize(x, dim=-1), lambda x: x / x.norm(dim=-1, keepdim=True).detach()),
    "over its deviation": (lambda x: x / x.std(-1, keepdim=True), lambda x: x / x.std(-1, keepdim=True).detach()),
    "gelu": (F.gelu, gated(F.gelu)),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), gated(lambda x: F.gelu(x, approximate="tanh"))),
    "gelu by tanh, by hand": (by_hand_gelu, gated(by_hand_gelu)),
    "gelu by erf, by hand": (lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), gated(F.gelu)),
    "quick gelu": (lambda x: x * torch.sigmoid(1.702 * x), gated(lambda x: x * torch.sigmoid(1.702 * x))),
    "silu": (F.silu, gated(F.silu)),
    "mish": (F.mish, gated(F.mish)),
    "hardswish": (F.hardswish, gated(F.hardswish)),
    "elu": (F.elu, gated(F.elu)),
    "selu": (F.selu, gated(F.selu)),
    "celu": (lambda x: F.celu(x, 0.7), gated(lambda x: F.celu(x, 0.7))),
    "softplus": (F.softplus, gated(F.softplus)),
    "tanh": (torch.tanh, gated(torch.tanh)),
    "sigmoid": (torch.sigmoid, gated(torch.sigmoid)),
    "hardsigmoid": (F.hardsigmoid, gated(F.hardsigmoid)),
    "relu6": (F.relu6, gated(F.relu6)),
    "clamp": (lambda x: x.clamp(-0.5, 0.7), gated(lambda x: x.clamp(-0.5, 0.7))),
    "relu": (F.relu, F.relu),
    "leaky relu": (F.leaky_relu, F.leaky_relu),
    "squared relu": (lambda x: F.relu(x).square(), lambda x: F.relu(x) * F.relu(x).detach()),
    "a root": (
        lambda x: (x * x).pow(0.5),
        lambda x: gated(lambda y: y.pow(0.5))(0.5 * x * x.detach() + 0.5 * x.detach() * x),
    ),
    "glu": (lambda x: F.glu(x @ W, -1), lambda x: (x @ W)[..., :4] * (x @ W)[..., 4:].sigmoid().detach()),
    "swiglu": (
        lambda x: F.silu(x @ W) * (x @ V),
        lambda x: halved_product(gated(F.silu)(x @ W), x @ V),
    ),
    "swiglu by hand": (
        lambda x: (x @ W) * torch.sigmoid(x @ W) * (x @ V),
        lambda x: halved_product(gated(F.silu)(x @ W), x @ V),
    ),
    "geglu": (lambda x: F.gelu(x @ W) * (x @ V), lambda x: halved_product(gated(F.gelu)(x @ W), x @ V)),
    "squeeze and excitation": (squeeze, lambda x: x * squeeze(x).div(x).detach()),
    "a tanh behind a gate": (
        lambda x: torch.sigmoid(x @ W) * torch.tanh(x @ V),
        lambda x: torch.sigmoid(x @ W).detach() * gated(torch.tanh)(x @ V),
    ),
    "a layer whose weight depends on the input": (
        lambda x: F.linear(x, x[0] @ W, GAIN[:5]),
        lambda x: halved_product_of(lambda a, b: F.linear(a, b, GAIN[:5]), x, x[0] @ W),
    ),
    "places that are sampled": (lambda x: sample(x, lambda grid: grid), lambda x: sample(x, torch.Tensor.detach)),
    "a constant": (lambda x: x * GAIN + (x - 2) / GAIN, lambda x: x * GAIN + (x - 2) / GAIN),
}


def halved_product_of(product, one, other):
    return 0.5 * product(one, other.detach()) + 0.5 * product(one.detach(), other)


def halved_product(one, other):
    return 0.5 * one * other.detach() + 0.5 * one.detach() * other


@pytest.mark.parametrize("rules", [DETACHED, SHARED], ids=["detached", "shared"])
@pytest.mark.parametrize("name", SAME)
def test_a_rule_is_the_gradient_of_the_function_with_its_constants_detached(name, rules):
    function, wanted = SAME[name]
    x = given(2, 5, SIZE)
    torch.testing.assert_close(back(function, x, rules), plainly(wanted, x), rtol=1e-6, atol=1e-8)


def test_shares_of_experts_are_constants_where_softmax_weighs():
    def mix(x, stop):
        most, chosen = stop((x @ W).softmax(-1)).topk(3, -1)
        return x * torch.zeros_like(x).scatter(-1, chosen, most / most.sum(-1, keepdim=True))

    x = given(2, 5, SIZE)
    found = back(lambda x: mix(x, lambda weights: weights), x, DETACHED)
    torch.testing.assert_close(found, plainly(lambda x: mix(x, torch.Tensor.detach), x))


@pytest.mark.parametrize("function", [F.gelu, F.silu, torch.tanh, torch.sigmoid, F.hardswish, F.mish, F.elu])
def test_at_zero_an_activation_has_its_own_slope(function):
    x = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(back(function, x, DETACHED), plainly(function, x))


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid])
def test_a_saturated_activation_gives_something_finite(function):
    found = back(function, torch.tensor([-1e4, 1e4], dtype=torch.float64), DETACHED)
    assert bool(torch.isfinite(found).all())


# -- attention ---------------------------------------------------------------------------------


def rotate(x):
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * torch.linspace(1, 0.1, x.shape[-1] // 2, dtype=x.dtype)
    one, other = x.chunk(2, -1)
    return torch.cat([one * angle.cos() - other * angle.sin(), one * angle.sin() + other * angle.cos()], -1)


def heads_of(x, weight):
    return (x @ weight).unflatten(-1, (2, -1)).transpose(1, 2)


def attend(x, way, prepare=lambda t: t, shared_heads=False, **options):
    query, key, value = prepare(heads_of(x, W)), prepare(heads_of(x, V)), heads_of(x, W + V)
    if shared_heads:
        key, value = key[:, :1], value[:, :1]
    return way(query, key, value, **options)


def fused(query, key, value, **options):
    return F.scaled_dot_product_attention(query, key, value, **options, enable_gqa=key.shape[1] < query.shape[1])


def explicit(query, key, value, attn_mask=None, is_causal=False, stop=lambda a: a, split=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    weights = stop(scores.softmax(-1))
    return weights @ value if split is None else split(weights, value)


def shared(query, key, value, **options):
    """By halves, written as copies that are detached."""

    def half(one, other):
        return 0.5 * (one @ other.detach()) + 0.5 * (one.detach() @ other)

    scores = half(query, key.mT) / math.sqrt(query.shape[-1])
    mask = options.get("attn_mask")
    if options.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return half(scores.softmax(-1), value)


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))


SEEN = torch.rand(5, 5, generator=torch.Generator().manual_seed(4)) < 0.6
SEEN.fill_diagonal_(True)
HOW = {
    "plain": {},
    "causal": {"is_causal": True},
    "masked": {"attn_mask": SEEN},
    "with a bias": {"attn_mask": given(5, 5)},
    "shared heads": {"shared_heads": True},
    "rotated": {"prepare": rotate},
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("way", [fused, explicit])
def test_attention_weights_are_constants(how, way):
    x = given(2, 5, SIZE)
    found = back(lambda x: attend(x, way, **HOW[how]), x, DETACHED)
    wanted = plainly(lambda x: attend(x, explicit, stop=torch.Tensor.detach, **HOW[how]), x)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("way", [fused, explicit])
def test_attention_weights_share_with_the_values(how, way):
    x = given(2, 5, SIZE)
    found = back(lambda x: attend(x, way, **HOW[how]), x, SHARED)
    torch.testing.assert_close(found, plainly(lambda x: attend(x, shared, **HOW[how]), x))


def test_norms_of_query_and_key_are_constants():
    x = given(2, 5, SIZE)
    found = back(lambda x: attend(x, fused, prepare=rms), x, SHARED)
    wanted = plainly(
        lambda x: attend(x, shared, prepare=lambda t: t * torch.rsqrt(t.pow(2).mean(-1, keepdim=True)).detach()), x
    )
    torch.testing.assert_close(found, wanted)


# -- gamma -------------------------------------------------------------------------------------


def textbook_gamma(x, weight, bias, relevance, gamma):
    """Contribution by contribution: (inputs,) of (outputs,)."""
    z = x[:, None] * weight
    found = torch.zeros_like(x)
    for j in range(weight.shape[1]):
        y = z[:, j].sum() + bias[j]
        sign = 1.0 if y > 0 else -1.0
        more = z[:, j] + gamma * torch.where(sign * z[:, j] > 0, z[:, j], 0)
        total = more.sum() + bias[j] + gamma * (bias[j] if sign * bias[j] > 0 else 0)
        found += more / total * relevance[j]
    return found


@pytest.mark.parametrize("gamma", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("biased", [True, False])
def test_gamma_is_that_of_the_textbook(gamma, biased):
    layer = nn.Linear(SIZE, 4, bias=biased).double()
    x = given(3, SIZE)
    y = layer(x).detach()
    found = back(layer, x, add_gamma(DETACHED, gamma, gamma)) * x
    relevance = given(3, 4, seed=9) * y
    bias = layer.bias if biased else torch.zeros(4)
    wanted = [textbook_gamma(x[i], layer.weight.T, bias, relevance[i], gamma) for i in range(3)]
    torch.testing.assert_close(found, torch.stack(wanted).detach())


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"groups": 2}, {"bias": False, "dilation": 2}])
def test_gamma_of_a_convolution_is_that_of_the_same_linear_layer(options):
    layer = nn.Conv2d(4, 4, 3, **options).double()
    x = given(1, 4, 7, 7)
    size = x.numel()
    matrix = layer(torch.eye(size, dtype=torch.float64).view(size, 4, 7, 7)).flatten(1)
    offset = layer(torch.zeros(1, 4, 7, 7, dtype=torch.float64)).flatten()
    y = layer(x).detach().flatten()
    relevance = given(*layer(x).shape, seed=9).flatten() * y
    wanted = textbook_gamma(x.flatten(), (matrix - offset).detach(), offset.detach(), relevance, 0.4)
    found = (back(layer, x, add_gamma(DETACHED, 0.4, 0.4)) * x).flatten()
    torch.testing.assert_close(found, wanted)


def test_gamma_of_frozen_layers_is_one_line():
    layer = nn.Linear(SIZE, 4).double().requires_grad_(False)
    with pytest.raises(JumokError, match="parameters require them, or ask for gamma=0"):
        back(layer, given(3, SIZE), add_gamma(DETACHED, 0.25, 0.25))


# -- what is not known -------------------------------------------------------------------------


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


@pytest.mark.parametrize(
    ("function", "name"),
    [(torch.sin, "SinBackward0"), (torch.exp, "ExpBackward0"), (Doubled.apply, "DoubledBackward")],
)
def test_an_operation_without_a_rule_is_refused_by_name(function, name):
    with pytest.raises(JumokError, match=f"test knows no rule for {name}"):
        back(function, given(3, SIZE), DETACHED)


def test_what_is_cut_off_or_depends_on_no_input_needs_no_rule():
    x = given(2, 5, SIZE)
    weight = W.clone().requires_grad_()
    found = back(lambda x: (x @ weight.sin()) * torch.sigmoid(x.exp().sin()), x, DETACHED)
    wanted = plainly(lambda x: (x @ W.sin()) * torch.sigmoid(x.exp().sin()).detach(), x)
    torch.testing.assert_close(found, wanted)


def test_kinds_are_named_without_their_suffix():
    x = torch.ones(2, requires_grad=True)
    assert [kind(f(x).grad_fn) for f in (torch.neg, lambda x: x.mean(0), lambda x: x[None])] == [
        "Neg",
        "Mean",
        "Unsqueeze",
    ]
