"""Weights that are mixed before they weigh values: heads by a constant or by what the tokens say, maps with maps."""

import pytest
import torch
from torch import nn

from jumok.attention import Patches, Scale
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
PARTS = torch.tensor([[0.5, 0.5], [0.2, 0.8]])


class Mixed(nn.Module):
    """One layer over patches; `change` is done to its weights."""

    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.qkv, self.change = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 48), change
        self.heads, self.words = nn.Parameter(torch.randn(2, 2)), nn.Linear(16, 4)
        self.one, self.three = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.relative = nn.Parameter(torch.randn(31, 8))

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        self.used = self.change(self, (query @ key.mT).softmax(-1), x)
        return x + (self.used @ value + self.add(self.used)).transpose(1, 2).flatten(2)

    def add(self, weights):
        return 0.0


CHANGES = {
    "a constant": lambda model, weights, x: torch.einsum("hg,bgqk->bhqk", PARTS, weights),
    "a softmax of parameters": lambda model, weights, x: torch.einsum(
        "hg,bgqk->bhqk", model.heads.softmax(-1), weights
    ),
    "what each token says": lambda model, weights, x: torch.einsum(
        "bqhg,bgqk->bhqk", model.words(x).unflatten(-1, (2, 2)).softmax(-1), weights
    ),
    "a convolution": lambda model, weights, x: model.one(weights),
    "a convolution of neighbours": lambda model, weights, x: model.three(weights),
    "another map": lambda model, weights, x: weights @ weights.roll(1, 0),
    "maps over some tokens": lambda model, weights, x: (
        (x @ x[:, ::4].mT).softmax(-1) @ (x[:, ::4] @ x.mT).softmax(-1)
    ).unsqueeze(1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_mixed_weights_are_shown_as_they_weigh_the_values(change):
    model = Mixed(CHANGES[change]).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    assert seen.names == ["attention"]
    found = seen[0]
    assert (found.queries, found.keys) == (Patches(4, 4), Patches(4, 4))
    torch.testing.assert_close(found.weights, model.used)
    if "convolution" in change:
        assert found.scale is Scale.SCORE
        return
    row = seen.rollout((1, 2)).weights[:, 0]
    torch.testing.assert_close(row, (0.5 * torch.eye(16) + 0.5 * model.used.mean(1))[:, 6])


@pytest.mark.parametrize("learnt", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_relative_places_that_weights_weigh_are_no_tokens(learnt, layers):
    """Shaw, Uszkoreit & Vaswani 2018, arXiv 1803.02155, eq. 3."""

    class Relative(Mixed):
        def add(self, weights):
            apart = torch.arange(16)[None] - torch.arange(16)[:, None] + 15
            places = self.relative[apart] if learnt else torch.stack([torch.sin(apart / n) for n in range(1, 9)], -1)
            return torch.einsum("bhqk,qkd->bhqd", weights, places)

        def forward(self, pixels):
            x, self.every = super().forward(pixels), [self.used]
            if layers == 2:
                query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
                self.every.append((query @ key.mT).softmax(-1))
                found = self.every[1] @ value + self.add(self.every[1])
                x = x + found.transpose(1, 2).flatten(2)
            return x

    model = Relative(lambda model, weights, x: weights).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    assert len(seen) == layers
    wanted = torch.eye(16)
    for name, used in zip(seen.names, model.every, strict=True):
        torch.testing.assert_close(seen[name].weights, used)
        wanted = (0.5 * torch.eye(16) + 0.5 * used.mean(1)) @ wanted
    torch.testing.assert_close(seen.rollout((1, 2)).weights[:, 0], wanted[:, 6])


def test_keys_that_a_layer_makes_of_all_tokens_are_no_channels():
    """Wang et al. 2020, Linformer, arXiv 2006.04768, eq. 7."""

    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.project = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 4)

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            few = self.project(x.mT).mT
            return x + (x @ few.mT).softmax(-1) @ few

    model = Projected().eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    assert seen[0].queries == Patches(4, 4)
    assert seen[0].keys.in_image
    assert len(seen[0].keys) == 4
    found = seen.rollout((1, 2), partial=True)
    assert "a product over tokens in project, unseen" in found.source
