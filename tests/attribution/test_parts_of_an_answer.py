"""Answers that hold for a part only: one head of several, windows, weights below 0, copies."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.watching.watch import watch

WORDS = torch.randint(0, 30, (2, 8), generator=torch.Generator().manual_seed(0))


class Words(nn.Module):
    """Two layers over words; `weigh` makes what they gather."""

    def __init__(self, weigh):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head, self.weigh = nn.Embedding(30, 16), nn.Linear(16, 4), weigh
        self.layers = nn.ModuleList(nn.Linear(16, 48) for _ in range(2))

    def forward(self, ids):
        x, self.used = self.embed(ids), []
        for layer in self.layers:
            x = x + self.weigh(self, *layer(x).chunk(3, -1))
        return self.head(x.mean(1))


def plainly(model, query, key, value):
    model.used.append((query @ key.mT / 4).softmax(-1))
    return model.used[-1] @ value


def head_by_head(model, *parts):
    gathered = []
    for query, key, value in zip(*(part.chunk(2, -1) for part in parts), strict=True):
        model.used.append((query @ key.mT).softmax(-1))
        gathered.append(model.used[-1] @ value)
    return torch.cat(gathered, -1)


def head_by_head_with_nothing(model, *parts):
    gathered = head_by_head(model, *parts)
    return torch.cat([gathered[..., :0], gathered], -1)


def in_windows(model, *parts):
    cut = (part.unflatten(1, (2, 4)).flatten(0, 1) for part in parts)
    return plainly(model, *cut).unflatten(0, (-1, 2)).flatten(1, 2)


def less_the_next(model, query, key, value):
    weights = (query @ key.mT / 4).softmax(-1)
    return (weights - 0.9 * weights.roll(1, -1)) @ value


def fused(model, *parts):
    return F.scaled_dot_product_attention(*(part.unsqueeze(1) for part in parts)).squeeze(1)


@pytest.mark.parametrize("weigh", [head_by_head, head_by_head_with_nothing])
def test_raw_is_the_mean_of_heads_that_are_computed_one_by_one(weigh):
    model = Words(weigh).eval()
    with torch.no_grad(), watch(model) as seen:
        model(WORDS)
    assert seen.heads() == seen.names[2:]
    found = seen.relevance(torch.zeros(()), 3, method="raw")
    torch.testing.assert_close(found.weights[:, 0], torch.stack(model.used[2:]).mean(0)[:, 3])
    assert found.source == "attention@3, attention@4"
    layers = [0.5 * torch.eye(8) + 0.5 * torch.stack(model.used[n : n + 2]).mean(0) for n in (0, 2)]
    torch.testing.assert_close(seen.rollout(3).weights[:, 0], (layers[1] @ layers[0])[:, 3])
    found = seen.relevance(torch.zeros(()), 3, method="raw", head=0)
    torch.testing.assert_close(found.weights[:, 0], model.used[2][:, 3])
    with pytest.raises(JumokError, match="head=2 is outside the 2"):
        seen.relevance(torch.zeros(()), 3, method="raw", head=2)


def test_legrad_adds_up_windows_that_lie_one_behind_the_other():
    model = Words(in_windows).eval()
    with watch(model) as seen:
        scores = model(WORDS)[:, 1]
    slopes = torch.autograd.grad(scores.sum(), model.used, retain_graph=True)
    wanted = sum(slope.clamp(min=0).unflatten(0, (2, 2)).sum(2).flatten(1) / 8 for slope in slopes) / 2
    torch.testing.assert_close(seen.relevance(scores, method="legrad").weights[:, 0], wanted)


@pytest.mark.parametrize("query", [0, "mean"])
def test_rollout_of_weights_below_0_is_refused(query):
    model = Words(less_the_next).eval()
    with torch.no_grad(), watch(model) as seen:
        model(WORDS)
    with pytest.raises(JumokError, match="no shares of a whole"):
        seen.rollout(query)


@pytest.mark.parametrize("weigh", [plainly, fused])
def test_a_deep_copy_of_what_was_seen_gives_the_same(weigh):
    model = Words(weigh).eval()
    with torch.no_grad(), watch(model) as seen:
        model(WORDS)
    model.used.clear()
    other = copy.deepcopy(seen)
    assert torch.equal(other["attention@2"].weights, seen["attention@2"].weights)
    assert torch.equal(other.rollout(0).weights, seen.rollout(0).weights)
