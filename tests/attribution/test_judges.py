"""Attribution beside other packages that implement the same methods; without them these tests are skipped.

`pip install jumok[judges]` brings all but LXT, which `pip install --no-deps lxt` does: it asks for torchvision.

autolrp has no judgement on layer norms here: it shares a norm's mean in another way than LXT and the paper.
"""

import pytest
import torch
from attributed_models import Net, ask, pixels
from test_backward_rules import GAIN, SIZE, V, W, given
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.attribution.backward.gamma import add_gamma
from jumok.attribution.backward.graph import Graph
from jumok.attribution.backward.propagate import propagate
from jumok.attribution.backward.rules import DETACHED, SHARED
from jumok.watching.watch import watch


def relevance(target, x, rules):
    graph = Graph.of(target, lambda node: getattr(node, "variable", None) is x)
    (found,) = propagate(target, graph, [torch.autograd.graph.get_gradient_edge(x)], rules, "test")
    return (found * x).detach()


# -- relevance propagation ---------------------------------------------------------------------


def to_heads(x, weight):
    return F.linear(x, weight).unflatten(-1, (2, -1)).transpose(1, 2)


def block(x):
    """A layer of a Transformer, its norm first."""
    normed = F.layer_norm(x, (SIZE,), GAIN, GAIN)
    mixed = F.scaled_dot_product_attention(*(to_heads(normed, weight) for weight in (W, V, W + V)))
    return F.linear(x + F.linear(mixed.transpose(1, 2).flatten(2), W), V)


def test_attnlrp_is_that_of_lxt():
    lxt = pytest.importorskip("lxt.explicit.functional")

    def told(x):
        normed = lxt.layer_norm(x, GAIN, GAIN, 1e-5)
        query, key, value = (
            lxt.linear_epsilon(normed, weight, epsilon=0).unflatten(-1, (2, -1)).transpose(1, 2)
            for weight in (W, V, W + V)
        )
        scores = lxt.mul2(lxt.matmul(query, key.transpose(-1, -2), epsilon=0), torch.tensor(0.5))
        mixed = lxt.matmul(lxt.softmax(scores, -1), value, epsilon=0).transpose(1, 2).flatten(2)
        return lxt.linear_epsilon(lxt.add2(x, lxt.linear_epsilon(mixed, W, epsilon=0), epsilon=0), V, epsilon=0)

    x = given(2, 5, SIZE).requires_grad_()
    y, same = block(x), told(x)
    torch.testing.assert_close(y, same)
    seed = given(*y.shape, seed=9)
    (wanted,) = torch.autograd.grad(same, x, (same * seed).detach())
    found = relevance((y * seed).sum(), x, SHARED)
    assert float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())  # LXT adds 1e-6 to denominators


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(SIZE, 16, bias=False), nn.GELU(), nn.Linear(16, SIZE, bias=False)).double()


def attend():
    return lambda x: (
        F.scaled_dot_product_attention(*(to_heads(x, weight) for weight in (W, V, W + V))).transpose(1, 2).flatten(2)
    )


GAMMA = {name: ("gamma", {"gamma": 0.25}) for name in ("AddmmBackward", "MmBackward", "ConvolutionBackward")}


@pytest.mark.parametrize("make", [mlp, attend])
@pytest.mark.parametrize("preset", ["CPLRP", "ATTNLRP"])
@pytest.mark.parametrize("gamma", [0.0, 0.25])
def test_lrp_is_that_of_autolrp(make, preset, gamma):
    autolrp = pytest.importorskip("autolrp")
    rule = {**autolrp.BASE, **getattr(autolrp, preset), **(GAMMA if gamma else {})}
    model, x = make(), given(1, 5, SIZE).requires_grad_()
    weights = [W, V] if gamma and make is attend else []
    for weight in weights:  # torch keeps what went into a layer whose weight asks for gradients
        weight.requires_grad_()
    try:
        target = model(x)[0, 0, 1]
        found = relevance(target, x, add_gamma(SHARED if preset == "ATTNLRP" else DETACHED, gamma, gamma))
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    wrapped = autolrp.tensor(x.detach().clone())
    model(wrapped)[0, 0, 1].lrp(config=autolrp.LRPConfig(rule=rule))
    torch.testing.assert_close(found, wrapped.relevance * target.detach(), rtol=1e-6, atol=1e-9)


# -- more passes -------------------------------------------------------------------------------


def small_net():
    torch.manual_seed(0)
    model, images = Net().eval(), pixels()
    with watch(model) as seen:
        target = model(images)[:, 1]
    return model, images, seen, target


def test_integrated_gradients_are_those_of_captum():
    captum = pytest.importorskip("captum.attr")
    model, images, seen, target = small_net()
    found = seen.relevance(
        target, method="integrated-gradients", inputs=images, forward=lambda x: model(x)[:, 1], steps=20
    )
    wanted = captum.IntegratedGradients(model).attribute(images, target=1, n_steps=20, method="gausslegendre")
    torch.testing.assert_close(found.weights[:, 0], wanted.sum(1).flatten(1).float(), rtol=1e-3, atol=1e-5)


def test_occlusion_is_that_of_captum():
    captum = pytest.importorskip("captum.attr")
    model, images, seen, target = small_net()
    found = seen.relevance(
        target, method="occlusion", inputs=images, forward=lambda x: model(x)[:, 1], grid=Patches(4, 4)
    )
    wanted = captum.Occlusion(model).attribute(images, (3, 8, 8), strides=(3, 8, 8), target=1)[:, 0, ::8, ::8]
    torch.testing.assert_close(found.weights[:, 0], wanted.flatten(1).float(), rtol=1e-3, atol=1e-5)


def test_input_times_gradient_is_that_of_captum():
    captum = pytest.importorskip("captum.attr")
    model, images, seen, target = small_net()
    wanted = captum.InputXGradient(model).attribute(images, target=1).sum(1).flatten(1)
    found = seen.relevance(target, method="input-x-gradient").weights[:, 0]
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-6)


# -- attention ---------------------------------------------------------------------------------


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.self_attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, tokens):
        normed = self.norm(tokens)
        return tokens + self.self_attention(normed, normed, normed, need_weights=False)[0]


class Pooled(nn.Module):
    """A ViT whose classifier reads the mean of the tokens, as LeGrad reads those of each layer."""

    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(3, 16, 8, 8)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def score(self, tokens):
        return self.head(self.norm(tokens.mean(1)))

    def forward(self, images):
        tokens = self.cut(images).flatten(2).mT
        for layer in self.layers:
            tokens = layer(tokens)
        return self.score(tokens)


def test_legrad_of_the_last_layer_is_that_of_torchcam():
    torchcam = pytest.importorskip("torchcam.methods.gradient")
    torch.manual_seed(0)
    model, images = Pooled().eval(), pixels(1)
    with watch(model) as seen:
        target = ask(model, images)[:, 1]
    found = seen.relevance(target, method="legrad", layers=1).weights.flatten()
    with torchcam.LeGrad(model, model.layers[1], score_projection=model.score, prefix_tokens=0) as judge:
        model(images)
        wanted = judge(1, normalized=False)[0].flatten()
    assert float(torch.corrcoef(torch.stack([found, wanted.float()]))[0, 1]) > 0.999
