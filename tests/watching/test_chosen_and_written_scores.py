"""Scores of which the largest are chosen, or some are written over; heads that choose keys of their own."""

import pytest
import torch
from torch import nn

from jumok.attention import Patches
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def put_back_scores(s):
    largest, places = s.topk(4, -1)
    return torch.full_like(s, -torch.inf).scatter(-1, places, largest).softmax(-1)


def put_back_in_place(s):
    largest, places = s.topk(4, -1)
    kept = torch.full_like(s, -torch.inf)
    kept.scatter_(-1, places, largest)
    return kept.softmax(-1)


def put_back_by_a_copy_of_the_places(s):
    largest, places = s.topk(14, -1)
    return torch.full_like(s, -torch.inf).scatter(-1, places.clone(), largest).softmax(-1)


def put_back_weights(s):
    largest, places = s.topk(4, -1)
    return torch.zeros_like(s).scatter(-1, places, largest.softmax(-1))


def chosen_after_the_softmax(s):
    largest, places = s.softmax(-1).topk(4, -1)
    weights = torch.zeros_like(s).scatter_(-1, places, largest)
    return weights / weights.sum(-1, keepdim=True)


def put_back_in_order(s):
    largest, places = s.sort(-1, descending=True)
    return torch.zeros_like(s).scatter(-1, places, largest.softmax(-1))


def written_by_a_mask(s):
    s[..., torch.ones(16, 16).triu(1).bool()] = -1e9
    return s.softmax(-1)


def written_by_a_mask_of_all(s):
    s[torch.ones(2, 2, 16, 16).triu(1).bool()] = -1e9
    return s.softmax(-1)


def written_in_part(s):
    s[:, :, 3:, :2] = -1e9
    return s.softmax(-1)


class Model(nn.Module):
    """Two layers of attention with residual connections and no projection of what heads gathered."""

    def __init__(self, heads=2):
        super().__init__()
        self.heads, self.embed = heads, nn.Conv2d(3, 16, 8, 8)
        self.qkv, self.last = nn.Linear(16, 48), nn.MultiheadAttention(16, 2, batch_first=True)
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def attend(self, q, k, v):
        raise NotImplementedError

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        parts = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        x = x + self.attend(*parts).transpose(1, 2).flatten(2)
        return x + self.last(x, x, x)[0]


class Scored(Model):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def attend(self, q, k, v):
        self.weights = self.form(q @ k.mT)
        return self.weights @ v


class EachItsOwn(Model):
    """Each query of each head attends to four keys, which are gathered for it."""

    def attend(self, q, k, v):
        places = torch.rand(2, self.heads, 16, 16, generator=torch.Generator().manual_seed(0)).topk(4, -1)[1]
        own_keys, own_values = (self.gather(each, places) for each in (k, v))
        weights = (q[..., None, :] @ own_keys.mT).softmax(-1)
        self.weights = torch.zeros(2, self.heads, 16, 16).scatter(-1, places, weights[..., 0, :])
        return (weights @ own_values)[..., 0, :]

    def gather(self, tokens, places):
        wide = tokens[:, :, None].expand(-1, -1, 16, -1, -1)
        return wide.gather(3, places[..., None].expand(*places.shape, tokens.shape[-1]))


class Largest(EachItsOwn):
    """As `EachItsOwn`, of the keys with the largest scores."""

    def attend(self, q, k, v):
        largest, places = (q @ k.mT).topk(4, -1)
        weights = largest.softmax(-1)
        self.weights = torch.zeros(2, self.heads, 16, 16).scatter(-1, places, weights)
        return (weights[..., None, :] @ self.gather(v, places))[..., 0, :]


class OneByOne(Model):
    """Heads that a loop computes, one beside the other."""

    def attend(self, q, k, v):
        weights = [(q[:, head] @ k[:, head].mT).softmax(-1) for head in range(self.heads)]
        self.weights = torch.stack(weights, 1)
        return torch.stack([each @ v[:, head] for head, each in enumerate(weights)], 1)


def look(model):
    with torch.no_grad(), watch(model.eval()) as seen:
        model(PIXELS)
    return seen


def assert_rollout_is_the_dense_one(seen, model):
    layers = [0.5 * torch.eye(16) + 0.5 * each.mean(1) for each in (model.weights, seen["last"].weights)]
    found = seen.rollout((1, 2))
    torch.testing.assert_close(found.weights[:, 0, -16:], (layers[1] @ layers[0])[:, 6])
    assert found.keys == Patches(4, 4)


@pytest.mark.parametrize(
    "form",
    [
        put_back_scores, put_back_in_place, put_back_by_a_copy_of_the_places, put_back_weights,
        chosen_after_the_softmax, put_back_in_order, written_by_a_mask, written_by_a_mask_of_all, written_in_part,
    ],
)  # fmt: skip
def test_chosen_and_written_scores_are_those_of_their_places(form):
    seen = look(model := Scored(form))
    found = seen[0]
    assert (found.lead, found.queries, found.keys) == (("batch", "head"), Patches(4, 4), Patches(4, 4))
    torch.testing.assert_close(found.weights, model.weights)
    assert_rollout_is_the_dense_one(seen, model)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("kind", [EachItsOwn, Largest, OneByOne])
def test_rollout_of_heads_that_are_added_without_a_projection(kind, heads):
    seen = look(model := kind(heads))
    assert_rollout_is_the_dense_one(seen, model)


def test_rollout_and_relevance_of_heads_without_a_projection_through_norms_and_layers():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.head = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16), nn.Linear(16, 3)
            self.qkv = nn.ModuleList(nn.Linear(16, 48) for _ in range(3))
            self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(3))

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            self.weights = []
            for qkv, mlp in zip(self.qkv, self.mlp, strict=True):
                q, k, v = (part.chunk(2, -1) for part in qkv(self.norm(x)).chunk(3, -1))
                weights = [(q[head] @ k[head].mT).softmax(-1) for head in range(2)]
                x = x + torch.cat([each @ v[head] for head, each in enumerate(weights)], -1)
                x = x + mlp(self.norm(x))
                self.weights += weights
            return self.head(x.mean(1))

    model = Deep().eval()
    with watch(model) as seen:
        target = model(PIXELS)[:, 1]
    gradients = torch.autograd.grad(target.sum(), model.weights, retain_graph=True)
    rollout = relevance = torch.eye(16)
    for number in range(0, 6, 2):
        weights = torch.stack(model.weights[number : number + 2], 1)
        gains = (weights * torch.stack(gradients[number : number + 2], 1)).clamp(min=0)
        rollout = (0.5 * torch.eye(16) + 0.5 * weights.mean(1)) @ rollout
        relevance = relevance + gains.mean(1) @ relevance
    torch.testing.assert_close(seen.rollout(3).weights[:, 0], rollout[:, 3].detach())
    torch.testing.assert_close(seen.relevance(target, 3).weights[:, 0], relevance[:, 3].detach())
