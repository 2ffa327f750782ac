"""Attention that a model computes head by head, or part by part, and tokens that are mixed before it begins."""

import pytest
import torch
from token_models import attention, looked
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class ByHand(nn.Module):
    """Two blocks of attention by hand, of which `attend` makes (batch, heads, tokens, size) and keeps the weights."""

    def __init__(self, attend):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.attend = nn.Conv2d(3, 16, 8, 8), attend
        self.projections = nn.ModuleList(nn.Linear(16, 48) for _ in range(2))
        self.outputs = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))

    def forward(self, pixels):
        self.kept = []
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        for project, out in zip(self.projections, self.outputs, strict=True):
            q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in project(x).chunk(3, -1))
            made, weights = self.attend(3 * q, k, v)
            self.kept.append(weights)
            x = x + out(made.transpose(1, 2).flatten(2))
        return x

    def roll(self, query):
        """Row of the product of dense matrices."""
        one, two = (0.5 * torch.eye(16) + 0.5 * weights.mean(1) for weights in self.kept)
        return (two @ one)[:, query]


def head_by_head(q, k, v):
    weights = [(q[:, head] @ k[:, head].mT).softmax(-1) for head in range(2)]
    return torch.stack([each @ v[:, head] for head, each in enumerate(weights)], 1), torch.stack(weights, 1)


def all_at_once(q, k, v):
    weights = (q @ k.mT).softmax(-1)
    return (weights[..., None] * v[:, :, None]).sum(-2), weights


def largest_by_where(q, k, v):
    weights = (q @ k.mT).softmax(-1)
    least = weights.topk(5, -1).values[..., -1:]
    weights = torch.where(weights < least, torch.zeros_like(weights), weights)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ v, weights


@pytest.mark.parametrize("attend", [head_by_head, all_at_once, largest_by_where])
def test_rollout_is_the_dense_one(attend):
    seen = looked(model := ByHand(attend), PIXELS)
    assert seen[0].keys == Patches(4, 4)
    if attend is not head_by_head:
        torch.testing.assert_close(seen[0].weights, model.kept[0])
        assert len(seen) == 2
    torch.testing.assert_close(seen.rollout((1, 2)).weights[:, 0], model.roll(6))


def test_relevance_of_heads_one_by_one_is_their_mean():
    model = ByHand(head_by_head).eval()
    with watch(model) as seen:
        target = model(PIXELS)[:, 0, 3]
    wanted = torch.eye(16).expand(2, 16, 16)
    for heads in (slice(0, 2), slice(2, 4)):
        gains = []
        for call in [call.attended for call in seen._calls[heads]]:
            (gradient,) = torch.autograd.grad(target.sum(), call.traced, retain_graph=True)
            gains.append(call.relevant(gradient))
        wanted = wanted + sum(gains) / 2 @ wanted
    torch.testing.assert_close(seen.relevance(target, 0).weights[:, 0], wanted[:, 0])


def parts_of_keys(q, k, v):
    scores = [q @ part.mT for part in k.split(8, 2)]
    made = [each.softmax(-1) @ part for each, part in zip(scores, v.split(8, 2), strict=True)]
    shares = torch.stack([each.logsumexp(-1, keepdim=True) for each in scores]).softmax(0)
    return (torch.stack(made) * shares).sum(0), (q @ k.mT).softmax(-1)


def test_parts_that_are_weighed_against_one_another_are_named():
    seen = looked(ByHand(parts_of_keys), PIXELS)
    with pytest.raises(JumokError, match="a choice among what several calls of attention gave"):
        seen.rollout((1, 2))


# -- before the first call ------------------------------------------------------------------------


def hard(module, x):
    return x + F.one_hot((x @ x.mT).argmax(-1), 16).float() @ x


def rows_added(module, x):
    groups = torch.arange(16) // 4
    return x + torch.zeros(len(x), 4, 16).index_add_(1, groups, x)[:, groups]


def step_by_step(module, x):
    state, made = torch.zeros_like(x[:, 0]), []
    for step in range(16):
        state = torch.tanh(0.5 * state + x[:, step])
        made.append(state)
    return x + torch.stack(made, 1)


MIXING = {
    "a linear layer over tokens": lambda m, x: x + m.over(x.mT).mT,
    "a gate of tokens": lambda m, x: x * m.over(x.mT).mT,
    "their mean": lambda m, x: x + x.mean(1, keepdim=True),
    "their largest": lambda m, x: x + x.amax(1, keepdim=True),
    "a graph": lambda m, x: x + m.graph @ x,
    "the most alike": hard,
    "sums of groups": rows_added,
    "a loop over time": step_by_step,
}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", MIXING)
def test_tokens_that_are_mixed_by_something_else_are_named(name, before):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.over = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16)
            self.first, self.last = attention(), attention()
            self.register_buffer("graph", torch.rand(16, 16))

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            x = MIXING[name](self, x) if before else x
            x = x + self.first(x, x, x)[0]
            x = x if before else MIXING[name](self, x)
            return self.last(x, x, x)[0]

    with pytest.raises(JumokError, match=r"several tokens gave|what others gave"):
        looked(Net(), PIXELS).rollout(0)


def test_neighbours_added_to_a_token_are_part_of_it():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.attention = nn.Conv2d(3, 16, 8, 8), attention()

        def forward(self, pixels):
            x = self.embed(pixels)
            x = (x + x.roll(-1, 2)).flatten(2).transpose(1, 2)[:, :12]
            return self.attention(x, x, x)[0]

    boxes = looked(Shifted(), PIXELS)[0].keys.boxes
    assert boxes[:2] == ((0, 0, 16, 8), (0, 8, 16, 16))


# -- tokens that were handed over -----------------------------------------------------------------


ORDERS = {
    "heads in the batch": (lambda t: t.flatten(0, 1), lambda t: t.unflatten(0, (2, 4))),
    "heads first": (lambda t: t.transpose(0, 1).flatten(0, 1), lambda t: t.unflatten(0, (4, 2)).transpose(0, 1)),
    "heads before images": (lambda t: t.transpose(0, 1), lambda t: t.transpose(0, 1)),
    "groups of heads": (lambda t: t.unflatten(1, (2, 2)), lambda t: t.flatten(1, 2)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_heads_of_tokens_that_were_handed_over(name):
    """Of (batch, tokens, size), by a module that says nowhere how many heads it has."""

    class Handed(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(16, 96)

        def forward(self, x):
            parts = [t.unflatten(-1, (4, 8)).transpose(1, 2) for t in self.project(x).chunk(3, -1)]
            self.weights = (parts[0] @ parts[1].mT / 8**0.5).softmax(-1)
            there, back = ORDERS[name]
            return back(F.scaled_dot_product_attention(*(there(part) for part in parts)))

    seen = looked(model := Handed(), torch.randn(2, 7, 16))
    assert seen[0].lead == ("batch", "head")
    torch.testing.assert_close(seen[0].weights, model.weights)


# -- the last calls -------------------------------------------------------------------------------


def test_attention_beside_the_last_one_that_is_not_added_to_it_is_not_followed():
    class Sides(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.beside, self.last = nn.Conv2d(3, 16, 8, 8), attention(), attention()

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            self.other = self.beside(x, x, x)[0]
            return x + self.last(x, x, x)[0]

    seen = looked(Sides(), PIXELS)
    with pytest.raises(JumokError, match="nothing of beside reaches last"):
        seen.rollout(0)
    found, weights = seen.rollout(0, end="last").weights, seen["last"].weights.mean(1)
    torch.testing.assert_close(found[:, 0], 0.5 * torch.eye(16)[0] + 0.5 * weights[:, 0])


def test_rows_that_are_added_at_their_places_keep_their_residual_path():
    class Depths(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.first, self.last = nn.Conv2d(3, 16, 8, 8), attention(), attention()

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            index = torch.tensor([1, 3, 5, 7])[None, :, None].expand(2, 4, 16)
            some = x.gather(1, index)
            x = x.scatter_add(1, index, self.first(some, some, some)[0])
            return x + self.last(x, x, x)[0]

    seen = looked(Depths(), PIXELS)
    first, some = torch.eye(16).repeat(2, 1, 1), torch.tensor([1, 3, 5, 7])
    first[:, some[:, None], some] = 0.5 * torch.eye(4) + 0.5 * seen["first"].weights.mean(1)
    wanted = (0.5 * torch.eye(16) + 0.5 * seen["last"].weights.mean(1)) @ first
    torch.testing.assert_close(seen.rollout(3).weights[:, 0], wanted[:, 3])


def test_numbers_less_their_mean_by_their_deviation_are_still_those_numbers():
    """As time series are brought to one scale before a model reads them."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.attention = nn.Linear(16, 16), attention()

        def forward(self, series):
            mean, spread = series.mean(1, keepdim=True), series.std(1, keepdim=True)
            spread = torch.where(spread > 0, spread, spread.mean(0))
            x = self.embed((series - mean) / spread)
            return x + self.attention(x, x, x)[0]

    seen = looked(Scaled(), torch.randn(2, 9, 16))
    wanted = 0.5 * torch.eye(9)[2] + 0.5 * seen[0].weights.mean(1)[:, 2]
    torch.testing.assert_close(seen.rollout(2).weights[:, 0], wanted)


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.LSTMCell, nn.RNNCell])
def test_slots_that_a_recurrent_cell_keeps(cell):
    """Locatello et al. 2020, Slot Attention, arXiv 2006.15055, algorithm 1: a softmax over slots."""

    class Slots(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.ask, self.cell = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16), cell(16, 16)
            self.slots = nn.Parameter(torch.randn(1, 4, 16))

        def forward(self, pixels):
            x, slots = self.embed(pixels).flatten(2).transpose(1, 2), self.slots.expand(len(pixels), -1, -1)
            self.weights, more = [], slots.reshape(-1, 16)
            for _ in range(3):
                weights = (self.ask(slots) @ x.mT).softmax(1) + 1e-8
                self.weights.append(weights / weights.sum(-1, keepdim=True))
                found, state = (self.weights[-1] @ x).flatten(0, 1), slots.flatten(0, 1)
                made = self.cell(found, (state, more) if cell is nn.LSTMCell else state)
                slots, more = made if cell is nn.LSTMCell else (made, more)
                slots = slots.view(len(x), 4, 16)
            return slots

    model = Slots().eval()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(2, 3, 32, 32))
    wanted = torch.cat([torch.eye(4), torch.zeros(4, 16)], 1)
    for name, weights in zip(seen.names, model.weights, strict=True):
        assert seen[name].queries.labels() == ["slots1", "slots2", "slots3", "slots4"]
        torch.testing.assert_close(seen[name].weights, weights)
        wanted = 0.5 * wanted + 0.5 * nn.functional.pad(weights, (4, 0))
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], wanted[:, 1])


def test_a_cell_that_is_given_several_tokens_at_once_is_named_as_losing_them():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.attention = nn.GRUCell(32, 16), attention()

        def forward(self, x):
            state = x[:, 1]
            for _ in range(40):  # each state would be made of twice as much as the one before
                read = self.attention(state[:, None], x, x)[0][:, 0]
                state = self.cell(torch.cat([read, x[:, 0]], -1), state)
            return self.attention(state[:, None], x, x)[0]

    with torch.no_grad(), watch(model := Decoder().eval()) as seen:
        model(torch.randn(2, 5, 16))
    assert seen[-1].queries.why == "lost: gru_cell"


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.LSTMCell, nn.RNNCell])
def test_a_cell_that_begins_with_zeros_is_followed(cell):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.attention = cell(16, 16), attention()

        def forward(self, x):
            state, zeros = x[:, 3], torch.zeros_like(x[:, 0])
            made = self.cell(zeros, (state, zeros)) if cell is nn.LSTMCell else self.cell(zeros, state)
            return self.attention((made[0] if cell is nn.LSTMCell else made)[:, None], x, x)[0]

    with torch.no_grad(), watch(model := Decoder().eval()) as seen:
        model(torch.randn(2, 5, 16))
    assert seen[0].queries.labels() == ["3"]
    assert seen[0].keys.labels() == ["0", "1", "2", "3", "4"]
    assert not seen[0].queries.why
