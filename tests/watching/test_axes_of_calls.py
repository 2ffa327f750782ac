"""What is attention, and which of its axes are which."""

import pytest
import torch
import torch.utils.checkpoint
from token_models import CHANGES, ByHand, Image, looked
from torch import nn
from torch.nn import functional as F
from watched_models import SMALL, eager, peaked

from jumok.attention import Channels, Patches
from jumok.errors import JumokError

transformers = pytest.importorskip("transformers")


def test_tables_of_relative_positions_are_not_text():
    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads, self.qkv, self.bias = 2, nn.Linear(16, 48), nn.Embedding(31, 2)
            self.register_buffer("places", torch.arange(16)[:, None] - torch.arange(16) + 15)

        def forward(self, x):
            q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            weights = (q @ k.mT / 8**0.5 + self.bias(self.places).permute(2, 0, 1)).softmax(-1)
            return x + (weights @ v).transpose(1, 2).flatten(2)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.blocks = nn.Sequential(Window(), Window())

        def forward(self, pixels):
            x = self.patches(pixels).unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(-1, 16, 16)
            return self.blocks(x).mean((0, 1))

    seen = looked(Net(), torch.randn(2, 3, 32, 32))
    assert (seen[0].lead, tuple(seen[0].weights.shape[:3])) == (("batch", "window", "head"), (2, 4, 2))
    assert seen.rollout((5, 2)).keys == Patches(8, 8)


def test_heads_before_windows():
    config = transformers.HieraConfig(image_size=[64, 64], embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
    model = peaked(transformers.HieraModel(config))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        right = eager(model)(pixels, output_attentions=True).attentions[1]  # (batch, head, window, queries, keys)
    found = looked(model, pixels)["encoder.stages.1.layers.0.attn"]
    assert found.lead == ("batch", "window", "head")
    torch.testing.assert_close(found.weights, right.transpose(1, 2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("change", CHANGES)
def test_the_weights_are_those_that_multiply_the_values(change):
    model = ByHand(CHANGES[change])
    seen = looked(model, torch.randn(2, 6, 16))
    assert seen[0].lead == ("batch", "head")
    torch.testing.assert_close(seen[0].weights, model.used)


def test_attention_between_channels_is_shown_as_channels():
    class Cross(Image):
        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            q = k = F.normalize(tokens.mT, dim=-1)
            tokens = tokens + ((q @ k.mT).softmax(-1) @ tokens.mT).mT
            return self.attention(tokens, tokens, tokens)[0]

    seen = looked(Cross(), torch.randn(1, 3, 32, 32))
    assert isinstance(seen[0].keys, Channels)
    assert seen[1].keys == Patches(4, 4)


def test_the_kernel_of_a_convolution_is_not_attention():
    config = transformers.ConvBertConfig(**SMALL, embedding_size=32, vocab_size=50)
    model = eager(peaked(transformers.ConvBertModel(config)))
    ids = torch.randint(2, 40, (2, 7))
    with torch.no_grad():
        wanted = model(ids, output_attentions=True).attentions
    seen = looked(model, ids)
    assert len(seen) == len(wanted)
    for name, weights in zip(seen.names, wanted, strict=True):
        torch.testing.assert_close(seen[name].weights, weights)
    with pytest.raises(JumokError, match="mixed by a product of tokens"):
        seen.rollout(0)


def test_experts_are_not_attention():
    class Mixture(Image):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(16, 4)
            self.experts = nn.Parameter(torch.randn(4, 16, 16))

        def forward(self, pixels):
            tokens = super().forward(pixels)
            shares = self.router(tokens).softmax(-1)
            return torch.einsum("bne,bned->bnd", shares, torch.einsum("bnd,edf->bnef", tokens, self.experts))

    assert looked(Mixture(), torch.randn(1, 3, 32, 32)).names == ["attention"]


def lay_out(rows, window):
    """Weights over six keys around two queries, as weights over all eight tokens."""
    whole = torch.zeros(*rows.shape[:-1], 12)
    whole[..., 2 * window : 2 * window + 6] = rows
    return whole[..., 2:10]


def test_windows_that_slide_are_one_map_over_all_tokens():
    config = transformers.LongformerConfig(**SMALL, attention_window=[4, 4, 4], vocab_size=50, pad_token_id=0)
    model = peaked(transformers.LongformerModel(config))
    ids = torch.randint(2, 40, (1, 8))
    with torch.no_grad():
        bands = model(ids, output_attentions=True).attentions[0]  # (batch, heads, tokens, 5): two before, two behind
    seen = looked(model, ids)
    whole = torch.zeros(4, 8, 8)
    for row in range(8):
        for step in range(5):
            if 0 <= row + step - 2 < 8:
                whole[:, row, row + step - 2] = bands[0, :, row, step]
    found = seen[0].at(batch=0)
    assert found.lead == ("window", "head")
    for window, rows in enumerate(found.weights):  # two queries each; the keys from two before to two behind them
        assert not torch.cat([rows[..., : max(0, 2 - 2 * window)], rows[..., 10 - 2 * window :]], -1).any()
        torch.testing.assert_close(lay_out(rows, window), whole[:, 2 * window : 2 * window + 2])
    layers = []
    for number in range(3):
        parts = seen[number].at(batch=0).mean("head").weights
        layers.append(0.5 * torch.eye(8) + 0.5 * torch.cat([lay_out(rows, n) for n, rows in enumerate(parts)]))
    found = seen.rollout(3)
    assert found.keys.labels()[:4] == ["constant"] * 4  # what stands beyond the ends, to which nothing looks
    assert not found.weights[..., :4].any()
    torch.testing.assert_close(found.weights[0, 0, 4:], (layers[2] @ layers[1] @ layers[0])[3])
