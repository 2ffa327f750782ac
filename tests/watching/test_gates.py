"""Gates of models that tell nothing of themselves: seen by `watch`, whoever wrote the model and however."""

import pytest
import torch
from timm_library import import_timm
from torch import nn
from torch.nn import functional as F

from jumok.attention import Channels, One, Patches, Scale
from jumok.watching.watch import watch

CHANNELS = 8


class Foreign(nn.Module):
    """A feature map times a gate, as someone else would write it."""

    def __init__(self, gate, apply):
        super().__init__()
        self.conv, self.body = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Module()
        self.fc = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.gate, self.apply_gate = gate, apply

    def forward(self, pixels):
        features = F.relu(self.conv(pixels))
        self.gates = self.gate(self, features)
        return self.apply_gate(features, self.gates).mean((2, 3))


def pooled(model, features):
    return model.fc(features.mean((2, 3), keepdim=True))


CHANNEL_GATES = {
    "conv, sigmoid": lambda model, features: pooled(model, features).sigmoid(),
    "in place": lambda model, features: pooled(model, features).sigmoid_(),
    "torch.sigmoid": lambda model, features: torch.sigmoid(pooled(model, features)),
    "module": lambda model, features: nn.Sigmoid()(pooled(model, features)),
    "hard": lambda model, features: nn.Hardsigmoid()(pooled(model, features)),
    "flat": lambda model, features: pooled(model, features).flatten(1).sigmoid()[:, :, None, None],
    "viewed": lambda model, features: torch.sigmoid(pooled(model, features).flatten(1)).view(-1, CHANNELS, 1, 1),
    "neighbours": lambda model, features: features.mean((2, 3)).unsqueeze(1).sigmoid().view(-1, CHANNELS, 1, 1),
}
PRODUCTS = {
    "x * y": lambda features, gates: features * gates,
    "y * x": lambda features, gates: gates * features,
    "mul": lambda features, gates: features.mul(gates),
    "torch.mul": torch.mul,
    "in place": lambda features, gates: features.clone().mul_(gates),
    "spread": lambda features, gates: features * gates.expand_as(features),
}


def photos(batch=2):
    return torch.randn(batch, 3, 6, 9, generator=torch.Generator().manual_seed(0))


def looked(model, pixels, *, traced=False):
    plain = model(pixels)
    with torch.set_grad_enabled(traced), watch(model) as seen:
        assert torch.equal(model(pixels), plain)
    return seen


@pytest.mark.parametrize("gate", CHANNEL_GATES)
@pytest.mark.parametrize("traced", [False, True])
def test_channel_gates_are_seen_however_they_are_made(gate, traced):
    model = Foreign(CHANNEL_GATES[gate], PRODUCTS["x * y"]).eval()
    seen = looked(model, photos(), traced=traced)
    assert seen.names == ["attention"]
    assert (seen[0].queries, seen[0].keys, seen[0].scale) == (One("image"), Channels.numbered(CHANNELS), Scale.GATE)
    assert torch.equal(seen[0].weights[:, 0], model.gates.detach().flatten(1))


@pytest.mark.parametrize("product", PRODUCTS)
def test_channel_gates_are_seen_however_they_are_applied(product):
    model = Foreign(CHANNEL_GATES["conv, sigmoid"], PRODUCTS[product]).eval()
    seen = looked(model, photos())
    assert len(seen) == 1
    assert torch.equal(seen[0].weights[:, 0], model.gates.flatten(1))


@pytest.mark.parametrize("product", PRODUCTS)
def test_gates_of_places_lie_in_the_image(product):
    model = Foreign(lambda model, features: torch.sigmoid(features.mean(1, keepdim=True)), PRODUCTS[product]).eval()
    seen = looked(model, photos())
    assert seen.in_image() == ["attention"]
    assert seen[0].keys == Patches(6, 9)
    assert torch.equal(seen[0].weights[:, 0], model.gates.flatten(1))


NO_GATES = {
    "swish": lambda features, model: features * features.sigmoid(),
    "a gate for each number": lambda features, model: features * model.conv(features[:, :3]).sigmoid(),
    "of no map": lambda features, model: (features.mean((2, 3)) * features.mean((2, 3)).sigmoid())[:, :, None, None],
    "of another size": lambda features, model: features[:, :4] * features.mean((2, 3), keepdim=True).sigmoid()[:, :1],
}


@pytest.mark.parametrize("case", NO_GATES)
def test_other_sigmoids_are_no_gates(case):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, CHANNELS, 1)

        def forward(self, pixels):
            return NO_GATES[case](self.conv(pixels), self)

    assert len(looked(Other(), photos())) == 0


def test_a_part_of_a_softmax_is_that_part():
    class Sliced(nn.Module):
        def forward(self, tokens):
            weights = (tokens @ tokens.transpose(1, 2)).softmax(-1)
            return tokens.mean().sigmoid() * (weights[:, :2] @ tokens)

    tokens = torch.randn(2, 5, 4)
    seen = looked(Sliced(), tokens)
    assert seen.names == ["attention"]
    torch.testing.assert_close(seen[0].weights, (tokens @ tokens.mT).softmax(-1)[:, :2])
    assert (len(seen[0].queries), len(seen[0].keys)) == (2, 5)


def test_nothing_is_kept_of_a_gate_but_the_gate():
    model = Foreign(CHANNEL_GATES["conv, sigmoid"], PRODUCTS["spread"]).eval()
    seen = looked(model, photos())
    assert seen._calls[0].attended.softmax.numel() == 2 * CHANNELS


@pytest.fixture(scope="module")
def timm():
    return import_timm()


@pytest.mark.parametrize(
    ("name", "place", "blocks"),
    [
        ("seresnet18", "layer4.1.se", 8),
        ("legacy_seresnet18", "layer4.1.se_module", 8),
        ("mobilenetv3_small_050", "blocks.4.2.se", 9),
        ("ecaresnet26t", "layer4.1.se", 8),
    ],
)
def test_models_of_timm_show_the_gates_of_each_block(timm, name, place, blocks):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=3).eval()
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        plain = model(pixels)
        with watch(model) as seen:
            assert torch.equal(model(pixels), plain)
    assert len(seen) == blocks
    assert seen.names[-1] == place
    for found in seen.names:
        assert isinstance(seen[found].keys, Channels)
        assert seen[found].scale is Scale.GATE
        assert 0 <= seen[found].weights.min() <= seen[found].weights.max() <= 1
