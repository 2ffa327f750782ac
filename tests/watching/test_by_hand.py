"""Attention that is no single product of matrices: pooled one by one, over windows, between tokens, or cut in parts."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attention import Channels, Patches, Scale
from jumok.watching.watch import watch


def looked(model, *inputs):
    with torch.no_grad(), watch(model.eval()) as seen:
        model(*inputs)
    return seen


def attention():
    return nn.MultiheadAttention(16, 2, batch_first=True)


class Image(nn.Module):
    def __init__(self, scores=1, values=16):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.score, self.value = nn.Linear(16, scores), nn.Linear(16, values)

    def tokens(self, pixels):
        return self.embed(pixels).flatten(2).transpose(1, 2)


PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


# -- one by one ------------------------------------------------------------------------------------


class Pooled(Image):
    """Attention pooling by a product one by one and a sum."""

    def forward(self, pixels):
        x = self.tokens(pixels)
        self.weights = self.score(x).softmax(1)
        return (self.weights * self.value(x)).sum(1)


def test_pooling_one_by_one_is_attention():
    model = Pooled()
    seen = looked(model, PIXELS)
    assert seen.names == ["attention"]
    found = seen[0]
    assert found.keys == Patches(4, 4)
    assert found.scale is Scale.DISTRIBUTION
    torch.testing.assert_close(found.weights, model.weights.mT)
    torch.testing.assert_close(seen.rollout(0).weights, model.weights.mT)  # no token looks, so that none is passed on


POOLED = {
    "mm": lambda scores, bag: torch.mm(F.softmax(torch.transpose(scores, 1, 0), dim=1), bag),
    "its method": lambda scores, bag: scores.T.softmax(-1).mm(bag),
    "one row": lambda scores, bag: scores[:, 0].softmax(0) @ bag,
    "mv": lambda scores, bag: torch.mv(bag.T, scores[:, 0].softmax(0)),
    "its method of a vector": lambda scores, bag: bag.T.mv(scores[:, 0].softmax(0)),
    "letters": lambda scores, bag: torch.einsum("n,nd->d", scores[:, 0].softmax(0), bag),
}


@pytest.mark.parametrize("form", POOLED)
def test_a_bag_without_a_batch_is_pooled_by_attention(form):
    """As in multiple instance learning (Ilse et al. 2018), where one bag of instances is given at a time."""

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.made, self.tanh, self.sigmoid = (nn.Linear(8, size) for size in (8, 4, 4))
            self.score = nn.Linear(4, 1)

        def forward(self, instances):
            bag = self.made(instances).relu()
            self.scores = self.score(self.tanh(bag).tanh() * self.sigmoid(bag).sigmoid())
            return POOLED[form](self.scores, bag)

    model, instances = Bag(), torch.randn(7, 8)
    seen = looked(model, instances)
    assert [found.weights.shape for found in seen] == [(1, 1, 7)]
    wanted = model.scores.mT.softmax(-1)[None]
    torch.testing.assert_close(seen[0].weights, wanted)
    torch.testing.assert_close(seen.rollout().weights, wanted)


MULTIPLIED = {
    "linalg": torch.linalg.matmul,
    "tensordot": lambda weights, values: torch.tensordot(weights, values, dims=1),
    "tensordot, by lists": lambda weights, values: torch.tensordot(values, weights, dims=([0], [1])).T,
    "inner": lambda weights, values: torch.inner(weights, values.T),
    "addmm": lambda weights, values: torch.addmm(torch.ones(8), weights, values),
}


@pytest.mark.parametrize("form", MULTIPLIED)
def test_products_by_any_name_are_attention(form):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            self.weights = torch.tensordot(self.query(x), self.key(x), dims=([1], [1])).softmax(-1)
            return x + MULTIPLIED[form](self.weights, self.value(x))

    model = nn.Sequential(Layer(), Layer())
    seen = looked(model, torch.randn(6, 8))
    first, second = (layer.weights for layer in model)
    assert seen.names == ["0", "1"]
    assert "1" in seen
    assert "2" not in seen
    torch.testing.assert_close(seen[1].weights[0], second)
    wanted = (second[2] + torch.eye(6)[2]) / 2 @ (first + torch.eye(6)) / 2
    torch.testing.assert_close(seen.rollout(2).weights[0, 0], wanted)


@pytest.mark.parametrize("kind", ["experts", "operations", "table"])
def test_a_row_that_weighs_other_things_than_tokens_is_not_attention(kind):
    class Row(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.alpha, self.table = (
                nn.Linear(8, 3),
                nn.Parameter(torch.randn(3)),
                nn.Parameter(torch.randn(3, 8)),
            )
            self.parts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            mean = x.mean(0)
            weights = (self.alpha if kind == "operations" else self.gate(mean)).softmax(0)
            return weights @ (self.table if kind == "table" else torch.stack([part(mean) for part in self.parts]))

    assert len(looked(Row(), torch.randn(7, 8))) == 0


def test_relevance_of_pooling_one_by_one():
    model = Pooled().eval()
    with watch(model) as seen:
        target = model(PIXELS)[:, 3]
    (gradient,) = torch.autograd.grad(target.sum(), model.weights, retain_graph=True)
    wanted = (gradient * model.weights).clamp(min=0).mT
    torch.testing.assert_close(seen.relevance(target, 0).weights, wanted.detach())


def test_a_softmax_for_each_channel_is_shown_by_channels():
    class ByChannel(Image):
        def forward(self, pixels):
            x = self.tokens(pixels)
            self.weights = self.score(x).softmax(1)
            return torch.sum(x * self.weights, dim=1)

    model = ByChannel(scores=16)
    found = looked(model, PIXELS)[0]
    assert (found.queries, found.keys) == (Channels.numbered(16), Patches(4, 4))
    torch.testing.assert_close(found.weights, model.weights.mT)


def test_separable_attention_has_a_map_for_each_place_in_a_patch():
    """MobileViTv2: one softmax over the patches for each pixel of a patch."""

    class Separable(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.project = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 33, 1)

        def forward(self, pixels):
            x = self.embed(pixels).unflatten(2, (-1, 2)).unflatten(4, (-1, 2))
            x = x.permute(0, 1, 3, 5, 2, 4).reshape(2, 16, 4, 16)  # (batch, features, pixels of a patch, patches)
            query, key, value = self.project(x).split([1, 16, 16], 1)
            self.weights = F.softmax(query, -1)
            return F.relu(value) * (key * self.weights).sum(-1, keepdim=True).expand_as(value)

    model = Separable()
    seen = looked(model, PIXELS)
    assert seen[0].lead == ("batch", "window", "head")
    torch.testing.assert_close(seen[0].weights[:, :, 0, 0], model.weights[:, 0])


def test_what_pooling_adds_to_all_tokens_is_followed():
    class Between(Image):
        def __init__(self):
            super().__init__()
            self.first, self.last = attention(), attention()

        def forward(self, pixels):
            x = self.tokens(pixels)
            x = x + self.first(x, x, x)[0]
            x = x + (self.score(x).softmax(1) * x).sum(1, keepdim=True)
            return x + self.last(x, x, x)[0]

    seen = looked(Between(), PIXELS)
    first, last = (seen[name].weights.mean(1) for name in ("first", "last"))
    layers = [0.5 * torch.eye(16) + 0.5 * each for each in (first, seen["attention"].weights, last)]
    found = seen.rollout((1, 2))
    assert found.keys == Patches(4, 4)
    torch.testing.assert_close(found.weights[:, 0], (layers[2] @ layers[1] @ layers[0])[:, 6])


@pytest.mark.parametrize("kind", ["mask", "entropy", "bins", "neighbours", "branches", "one"])
def test_other_sums_of_products_are_not_attention(kind):
    class Other(Image):
        def forward(self, pixels):
            x = self.tokens(pixels)
            weights = x.softmax(-1)
            if kind == "mask":  # weights that are made whole again
                kept = weights * (torch.arange(16) % 2 == 0)
                return kept / kept.sum(-1, keepdim=True)
            if kind == "entropy":
                return (weights * weights.log()).sum(-1)
            if kind == "bins":  # the mean of a distribution over fixed values
                return (weights * torch.arange(16.0)).sum(-1)
            if kind == "neighbours":  # upsampling by a kernel for each place
                around = F.unfold(self.embed(pixels), 3, padding=1).view(2, 16, 9, 16)
                return (self.score(x).softmax(-1).mT[:, None] * around).sum(2)
            if kind == "branches":
                both = torch.stack([x, self.value(x)], 1)
                return (both.mean(2).softmax(1)[:, :, None] * both).sum(1)
            return (self.score(x)[..., :1].softmax(-1) * x).sum(1)  # a softmax over one number each

    assert looked(Other(scores=9), PIXELS).names == []


# -- windows ---------------------------------------------------------------------------------------


class Outlook(nn.Module):
    """Attention in windows of 3 x 3, by weights that the middle token gives to all (VOLO)."""

    def __init__(self, *, folded=True):
        super().__init__()
        self.last = attention()
        self.embed, self.value, self.weigh = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16), nn.Linear(16, 2 * 81)
        self.folded = folded

    def forward(self, pixels):
        x = self.embed(pixels).permute(0, 2, 3, 1)
        value = F.unfold(self.value(x).permute(0, 3, 1, 2), 3, padding=1)
        value = value.reshape(2, 2, 8, 9, 16).permute(0, 1, 4, 3, 2)  # (batch, heads, windows, places, features)
        self.weights = self.weigh(x).reshape(2, 16, 2, 9, 9).permute(0, 2, 1, 3, 4).softmax(-1)
        made = (self.weights @ value).permute(0, 1, 4, 3, 2).reshape(2, 16 * 9, 16)
        if not self.folded:
            return made
        x = (x + F.fold(made, (4, 4), 3, padding=1).permute(0, 2, 3, 1)).flatten(1, 2)
        return x + self.last(x, x, x)[0]


def test_outlook_attention_is_shown_window_by_window():
    model = Outlook()
    seen = looked(model, PIXELS)
    found = seen[0]
    assert found.lead == ("batch", "window", "head")
    torch.testing.assert_close(found.weights, model.weights.transpose(1, 2))


def test_rollout_of_outlook_attention_is_the_dense_one():
    model = Outlook()
    seen = looked(model, PIXELS)
    around = F.unfold(torch.arange(1.0, 17).view(1, 1, 4, 4), 3, padding=1)[0].long()  # (places, windows), 0: outside
    dense, count = torch.zeros(2, 17, 17), torch.zeros(17)
    for window, places in enumerate(around.T):
        at = (places[:, None].expand(9, 9), places.expand(9, 9))
        for image in range(2):
            dense[image].index_put_(at, model.weights[image, :, window].mean(0), accumulate=True)
        count[places] += 1
    layers = [0.5 * torch.eye(17) + 0.5 * dense / count.clamp(min=1)[:, None], torch.eye(17).repeat(2, 1, 1)]
    layers[1][:, 1:, 1:] = 0.5 * torch.eye(16) + 0.5 * seen["last"].weights.mean(1)
    wanted = (layers[1] @ layers[0])[:, 1:]  # of which what went to places beyond the edges is shown apart
    for place in ((0, 0), (1, 1), (3, 1)):
        found = seen.rollout(place)
        own = wanted[:, 4 * place[0] + place[1]]
        outside = [number for number, name in enumerate(found.keys.labels()) if name == "constant"]
        inside = [number for number in range(len(found.keys)) if number not in outside]
        torch.testing.assert_close(found.weights[:, 0, inside], own[:, 1:])
        torch.testing.assert_close(found.weights[:, 0, outside].sum(1), own[:, 0])


def test_windows_that_are_not_laid_back_are_numbered_and_say_so():
    found = looked(Outlook(folded=False), PIXELS)[0]
    assert "places of the window" in found.keys.why


# -- places between tokens -------------------------------------------------------------------------


class Deformed(nn.Module):
    """Attention over two sampled places in each of two grids (Deformable DETR)."""

    def __init__(self, **options):
        super().__init__()
        self.options = options
        self.embed, self.coarse = nn.Conv2d(3, 16, 8, 8), nn.Conv2d(3, 16, 16, 16)
        self.queries = nn.Parameter(torch.randn(5, 16))
        self.value, self.weigh, self.place = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 16)

    def attend(self, queries, tokens):
        batch, count, _ = queries.shape
        values = self.value(tokens).view(batch, -1, 2, 8).split([16, 4], 1)
        places = self.place(queries).view(batch, count, 2, 2, 2, 2).tanh() * 1.2  # two heads, two grids, two points
        self.weights = self.weigh(queries).view(batch, count, 2, 4).softmax(-1)
        sampled = []
        for level, (value, side) in enumerate(zip(values, (4, 2), strict=True)):
            grid = value.flatten(2).transpose(1, 2).reshape(batch * 2, 8, side, side)
            points = places[:, :, :, level].transpose(1, 2).flatten(0, 1)
            sampled.append(F.grid_sample(grid, points, align_corners=False, **self.options))
        weights = self.weights.transpose(1, 2).reshape(batch * 2, 1, count, 4)
        made = (torch.stack(sampled, -2).flatten(-2) * weights).sum(-1)
        return made.view(batch, 16, count).transpose(1, 2)

    def forward(self, pixels):
        fine, coarse = (conv(pixels).flatten(2).transpose(1, 2) for conv in (self.embed, self.coarse))
        self.tokens = torch.cat([fine, coarse], 1)
        self.asking = self.queries.expand(len(pixels), -1, -1)
        return self.attend(self.asking, self.tokens)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_weights_of_sampled_places_are_what_each_token_gives(padding):
    model = Deformed(padding_mode=padding).eval()
    seen = looked(model, PIXELS)
    found = seen[0]
    assert found.weights.shape == (2, 2, 5, 20)
    with torch.no_grad():
        model.value.weight.copy_(torch.eye(16))
        model.value.bias.zero_()
    jacobian = torch.autograd.functional.jacobian(lambda tokens: model.attend(model.asking, tokens), model.tokens)
    for image in range(2):
        for head in range(2):
            feature = 8 * head + 3
            wanted = jacobian[image, :, feature, image, :, feature]
            torch.testing.assert_close(found.weights[image, head], wanted)
    assert found.queries.labels() == [f"queries{number}" for number in range(1, 6)]
    assert [found.keys.box(number, 32, 32) for number in (0, 5, 16)] == [(0, 0, 8, 8), (8, 8, 16, 16), (0, 0, 16, 16)]


def test_rollout_and_relevance_through_sampled_places():
    model = Deformed().eval()
    with watch(model) as seen:
        target = model(PIXELS)[:, 1, 3]
    weights = seen[0].weights
    torch.testing.assert_close(seen["attention"].weights[:, :, 1], seen.row("attention", 1).weights[:, :, 0])
    call = seen._calls[0].attended
    row = torch.rand(2, 5)
    torch.testing.assert_close(call.pull(row), (row[:, None, None] @ weights).mean(1)[:, 0])
    (gradient,) = torch.autograd.grad(target.sum(), call.traced, retain_graph=True)
    torch.testing.assert_close(call.pull_relevance(row, gradient), (row[:, None] @ call.relevant(gradient))[:, 0])
    part = call.relevant(gradient, slice(1, 2))
    torch.testing.assert_close(part, call.relevant(gradient)[1:])
    for_and_against = call.relevant(gradient) + call.relevant(-gradient)  # of one sign alone all may be nothing
    assert (for_and_against[:, 1].sum(-1) > 0).all()


def test_another_way_of_sampling_is_named():
    found = looked(Deformed(mode="nearest"), PIXELS)[0]
    assert "grid_sample (nearest" in found.keys.why


# -- one softmax, several products -----------------------------------------------------------------


class Parts(Image):
    """Learnt tokens and places in one softmax, whose parts are multiplied one after the other (PEGASUS-X)."""

    def __init__(self, *, both=True):
        super().__init__()
        self.memory, self.key, self.both = nn.Parameter(torch.randn(3, 16)), nn.Linear(16, 16), both

    def forward(self, pixels):
        x = self.tokens(pixels)
        memory = self.memory.expand(2, -1, -1)
        scores = torch.cat([torch.einsum("bqf,bgf->bqg", x, self.key(memory)), torch.einsum("bqf,bkf->bqk", x, x)], -1)
        self.weights = scores.softmax(-1)
        made = torch.einsum("bqk,bkf->bqf", self.weights[..., 3:], self.value(x))
        if not self.both:
            return x + made
        return x + torch.einsum("bqg,bgf->bqf", self.weights[..., :3], self.value(memory)) + made


def test_parts_of_one_softmax_are_one_call():
    model = Parts()
    seen = looked(model, PIXELS)
    assert seen.names == ["attention"]
    order = [*range(3, 19), 0, 1, 2]
    torch.testing.assert_close(seen[0].weights, model.weights[..., order])
    labels = seen[0].keys.labels()
    assert labels[:2] + labels[-3:] == ["0,0", "0,1", "memory1", "memory2", "memory3"]
    wanted = 0.5 * torch.eye(19)[:16] + 0.5 * model.weights[..., order]
    found = seen.rollout("1,1")
    torch.testing.assert_close(found.weights[:, 0], wanted[:, 5])


def test_a_part_that_is_used_alone_is_that_part():
    model = Parts(both=False)
    found = looked(model, PIXELS)[0]
    torch.testing.assert_close(found.weights, model.weights[..., 3:])
    assert found.keys == Patches(4, 4)


@pytest.mark.parametrize("graph", [True, False])
def test_relevance_of_parts_is_that_of_their_softmax(graph):
    model = Parts().eval()
    if not graph:
        with torch.inference_mode(), watch(model) as seen:  # views are not followed by PyTorch either
            model(PIXELS)
        torch.testing.assert_close(seen[0].weights, model.weights[..., [*range(3, 19), 0, 1, 2]])
        return
    with watch(model) as seen:
        target = model(PIXELS)[:, 3].square().sum(1)
    (gradient,) = torch.autograd.grad(target.sum(), model.weights, retain_graph=True)
    wanted = (gradient * model.weights).clamp(min=0)[:, 3, [*range(3, 19), 0, 1, 2]]
    wanted[:, 3] += 1
    torch.testing.assert_close(seen.relevance(target, 3).weights[:, 0], wanted.detach())
