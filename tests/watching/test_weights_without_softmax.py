"""Attention without `softmax`: weights that a model divides by their sum itself, and weights that need not sum to 1."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches, Scale
from jumok.errors import JumokError
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIZE = 8


def scores(q, k):
    return q @ k.mT / SIZE**0.5


def exp_and_sum(q, k):
    weights = scores(q, k).exp()
    return weights / weights.sum(-1, keepdim=True)


def masked_less_the_largest(q, k):
    found = scores(q, k).masked_fill(torch.ones(16, 16).triu(1).bool(), -torch.inf)
    found = found - found.max(-1, keepdim=True)[0]
    weights = found.exp()
    return weights / weights.sum(-1, keepdim=True)


def mask_after_exp(q, k):
    found = torch.einsum("bhqd,bhkd->bhqk", q, k)
    found = found - found.amax(-1, keepdim=True).detach()
    weights = torch.exp(found) * torch.ones(16, 16).tril()
    return weights / (weights.sum(dim=-1, keepdim=True) + 1e-6)


def sum_with_a_new_axis(q, k):
    weights = scores(q, k).exp()
    return weights / weights.sum(-1)[..., None].clamp(min=1e-6)


def times_one_over_the_sum(q, k):
    weights = scores(q, k).exp()
    return weights * (1 / weights.sum(-1, keepdim=True))


def normalize(q, k):
    return F.normalize(scores(q, k).exp(), p=1, dim=-1)


def log_sum_exp(q, k):
    found = scores(q, k)
    return (found - found.logsumexp(-1, keepdim=True)).exp()


def log_softmax(q, k):
    return scores(q, k).log_softmax(-1).exp()


def kernel_of_features(q, k):
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    return weights / weights.sum(-1, keepdim=True)


def sparsemax(q, k):
    found = scores(q, k)
    largest = found.sort(-1, descending=True)[0]
    total, rank = largest.cumsum(-1), torch.arange(1, 17.0)
    count = (1 + rank * largest > total).sum(-1, keepdim=True)
    return (found - (total.gather(-1, count - 1) - 1) / count).clamp(min=0)


def distance(q, k):
    return (-torch.cdist(q, k)).softmax(-1)


def one_by_one(q, k):
    weights = (q[..., None, :] * k[..., None, :, :]).sum(-1).exp()
    return weights / weights.sum(-1, keepdim=True)


SHARES = [
    exp_and_sum, masked_less_the_largest, mask_after_exp, sum_with_a_new_axis, times_one_over_the_sum, normalize,
    log_sum_exp, log_softmax, kernel_of_features, sparsemax, distance, one_by_one,
]  # fmt: skip


def sigmoid(q, k):
    return (scores(q, k) - 1).sigmoid()


def squared_relu(q, k):
    return scores(q, k).relu().square() * 4


def softmax_over_queries(q, k):
    return scores(q, k).softmax(-2)


def difference(q, k):
    return scores(q, k).softmax(-1) - 0.5 * scores(q * 0.3, k).softmax(-1)


class Model(nn.Module):
    """Two layers of attention whose weights a function forms, between residual connections."""

    def __init__(self, form):
        super().__init__()
        self.form, self.embed, self.head = form, nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 4)
        self.layers = nn.ModuleList(nn.Linear(16, 48) for _ in range(2))
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.15

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        self.used = []
        for layer in self.layers:
            q, k, v = (part.unflatten(-1, (2, SIZE)).transpose(1, 2) for part in layer(x).chunk(3, -1))
            self.used.append(self.form(q, k))
            x = x + (self.used[-1] @ v).transpose(1, 2).flatten(2)
        return self.head(x.mean(1))


def look(form):
    model = Model(form).eval()
    plain = model(PIXELS)
    with watch(model) as seen:
        logits = model(PIXELS)
    assert torch.equal(plain, logits)
    return model, seen, logits


@pytest.mark.parametrize("form", SHARES)
def test_shares_that_are_formed_by_hand_are_attention(form):
    model, seen, logits = look(form)
    assert len(seen) == 2
    for found, used in zip((seen[0], seen[1]), model.used, strict=True):
        assert (found.lead, found.queries, found.keys) == (("batch", "head"), Patches(4, 4), Patches(4, 4))
        assert found.scale is Scale.DISTRIBUTION
        torch.testing.assert_close(found.weights, used.detach())
    first, last = (0.5 * torch.eye(16) + 0.5 * used.detach().mean(1) for used in model.used)
    torch.testing.assert_close(seen.rollout((1, 2)).weights[:, 0], (last @ first)[:, 6])
    gradients = torch.autograd.grad(logits[:, 1].sum(), model.used, retain_graph=True)
    gains = [(used * each).clamp(min=0).mean(1) for used, each in zip(model.used, gradients, strict=True)]
    wanted = (torch.eye(16) + gains[1]) @ (torch.eye(16) + gains[0])
    torch.testing.assert_close(seen.relevance(logits[:, 1], (1, 2)).weights[:, 0], wanted[:, 6].detach())


@pytest.mark.parametrize(
    ("form", "scale"),
    [(sigmoid, Scale.GATE), (squared_relu, Scale.SCORE), (softmax_over_queries, Scale.GATE), (difference, Scale.SCORE)],
)
def test_weights_that_are_no_shares_say_so(form, scale):
    model, seen, _ = look(form)
    torch.testing.assert_close(seen[0].weights, model.used[0].detach())
    assert seen[0].scale is scale
    assert seen[0].keys == Patches(4, 4)


def test_rollout_of_weights_that_are_no_shares_is_refused_with_the_reason():
    _, seen, _ = look(sigmoid)
    with pytest.raises(JumokError, match="do not sum to 1 \\(no softmax over keys"):
        seen.rollout(0)
    assert seen.rollout(0, partial=True).scale is Scale.SCORE


def test_a_second_pass_sees_the_same():
    model = Model(exp_and_sum).eval()
    for _ in range(3):
        with torch.no_grad(), watch(model) as seen:
            model(PIXELS)
        torch.testing.assert_close(seen[1].weights, model.used[1])


def test_weights_that_are_written_in_place():
    def form(q, k):
        found = scores(q, k)
        found -= found.amax(-1, keepdim=True)
        found.exp_()
        return found.div_(found.sum(-1, keepdim=True))

    model = Model(form).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    torch.testing.assert_close(seen[1].weights, model.used[1])
    assert seen.rollout(0).scale is Scale.DISTRIBUTION


# -- pooling, and what is no attention between tokens ----------------------------------------------


class Pooled(nn.Module):
    """Attention pooling by scores that a linear layer gives each token, after a layer of attention."""

    def __init__(self, form):
        super().__init__()
        self.form, self.embed, self.score = form, nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 1)
        self.first = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        x = x + self.first(x, x, x)[0]
        return self.form(self, x)


def pool_by_sum(model, x):
    weights = model.score(x).exp()
    model.weights = weights / weights.sum(1, keepdim=True)
    return (model.weights * x).sum(1)


def pool_by_product(model, x):
    weights = model.score(x).exp()
    model.weights = weights / weights.sum(1, keepdim=True)
    return (model.weights.mT @ x)[:, 0]


def pool_by_reciprocal(model, x):
    weights = model.score(x).exp()
    model.weights = weights * weights.sum(1, keepdim=True).reciprocal()
    return (model.weights * x).sum(1)


def pool_by_two_exponentials(model, x):
    found = model.score(x)
    model.weights = found.exp() / found.exp().sum(1, keepdim=True)
    return (model.weights * x).sum(1)


@pytest.mark.parametrize("form", [pool_by_sum, pool_by_product, pool_by_reciprocal, pool_by_two_exponentials])
def test_pooling_by_exp_and_sum_is_attention(form):
    model = Pooled(form).eval()
    for _ in range(2):  # the second pass is compared with the first
        with torch.no_grad(), watch(model) as seen:
            model(PIXELS)
        assert seen.names == ["first", "attention"]
        torch.testing.assert_close(seen[1].weights, model.weights.mT)
        layer = 0.5 * torch.eye(16) + 0.5 * seen[0].weights.mean(1)
        torch.testing.assert_close(seen.rollout(0).weights[..., -16:], model.weights.mT @ layer)


def linear_attention(q, k, v):
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return (q @ (k.mT @ v)) / (q @ k.sum(-2, keepdim=True).mT)


def sigmoid_between_channels(q, k, v):
    return ((q.mT @ k).sigmoid() @ v.mT).mT


def divided_afterwards(q, k, v):
    weights = scores(q, k).exp()
    return (weights @ v) / weights.sum(-1, keepdim=True)


class Between(nn.Module):
    """What a function does between two layers of attention."""

    def __init__(self, form):
        super().__init__()
        self.form, self.embed, self.qkv = form, nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 48)
        self.first, self.last = (nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(2))

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        x = x + self.first(x, x, x)[0]
        x = x + self.form(*self.qkv(x).chunk(3, -1))
        return x + self.last(x, x, x)[0]


@pytest.mark.parametrize("form", [linear_attention, sigmoid_between_channels])
def test_products_without_weights_between_tokens_are_none_and_are_named(form):
    with torch.no_grad(), watch(model := Between(form).eval()) as seen:
        model(PIXELS)
    assert seen.names == ["first", "last"]
    with pytest.raises(JumokError, match="tokens are mixed by"):
        seen.rollout(0)


def test_weights_that_are_divided_after_they_weighed_are_no_shares_and_say_so():
    with torch.no_grad(), watch(model := Between(divided_afterwards).eval()) as seen:
        model(PIXELS)
    assert seen["attention"].scale is Scale.SCORE
    assert "divided by their sum only afterwards" in seen["attention"].keys.why
    with pytest.raises(JumokError, match="divided by their sum only afterwards"):
        seen.rollout(0)


class Words(nn.Module):
    """Attention between words, as `run` forms it."""

    def __init__(self, run):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.run = nn.Embedding(30, SIZE), run
        self.query, self.key, self.value, self.other = (nn.Linear(SIZE, SIZE) for _ in range(4))
        self.tell, self.gate = nn.Linear(SIZE, 6), nn.Linear(SIZE, 1)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.5)

    def forward(self, ids):
        x = self.words(ids)
        return x + self.run(self, x)


IDS = torch.randint(0, 30, (2, 6), generator=torch.Generator().manual_seed(0))


def read_words(run):
    with watch(model := Words(run).eval()) as seen:
        out = model(IDS)
    return model, seen, out


def roll_out(seen):
    return torch.cat([seen.rollout(number).weights for number in range(6)], 1)


def test_weights_that_each_token_tells_of_itself():
    """Tay et al. 2021, Synthesizer, arXiv 2005.00743, section 3.1: dense."""
    model, seen, _ = read_words(lambda model, x: model.tell(x).relu().softmax(-1) @ model.value(x))
    weights = model.tell(model.words(IDS)).relu().softmax(-1).detach()
    assert seen[0].keys.labels() == seen[0].queries.labels() == list("012345")
    torch.testing.assert_close(seen[0].weights, weights)
    torch.testing.assert_close(roll_out(seen), 0.5 * torch.eye(6) + 0.5 * weights)


def test_weights_of_features_over_tokens_and_of_tokens_over_features_are_followed():
    """Shen et al. 2021, Efficient Attention, arXiv 1812.01243, eq. 4."""

    def run(model, x):
        return model.query(x).softmax(-1) @ (model.key(x).softmax(1).mT @ model.value(x))

    model, seen, _ = read_words(run)
    x = model.words(IDS)
    wanted = model.query(x).softmax(-1) @ model.key(x).softmax(1).mT
    found = seen.rollout(2)
    assert found.keys.labels() == list("012345")
    torch.testing.assert_close(roll_out(seen), (0.5 * torch.eye(6) + 0.5 * wanted).detach())


LESS = {
    "two products": lambda one, other: one * other,
    "half of each": lambda one, other: 0.5 * one,
    "a mask": lambda one, other: one * torch.ones(6, 6).tril(),
}


@pytest.mark.parametrize("way", LESS)
def test_shares_that_are_multiplied_by_something_are_shares_no_more(way):
    def run(model, x):
        one, other = (each.softmax(-1) for each in (model.query(x) @ model.key(x).mT, model.key(x) @ model.query(x).mT))
        return LESS[way](one, other) @ model.value(x)

    _, seen, _ = read_words(run)
    assert seen[0].scale is Scale.GATE
    with pytest.raises(JumokError, match="do not sum to 1"):
        seen.rollout(0)
    assert seen.rollout(0, partial=True).scale is Scale.SCORE


def test_shares_of_which_some_queries_are_left_out_are_shares_still():
    left = torch.tensor([1.0, 1, 1, 1, 0, 0])[:, None]
    _, seen, _ = read_words(lambda model, x: (model.query(x) @ model.key(x).mT).softmax(-1) * left @ model.value(x))
    assert seen[0].scale is Scale.DISTRIBUTION
    assert seen[0].row(5).scale is Scale.DISTRIBUTION


def whole(model, x):
    return (model.query(x) @ model.key(x).mT).softmax(-1) @ model.value(x)


def join_parts(model, x):
    """Two halves of the keys, joined by their log-sum-exp."""
    parts, norms = [], []
    for part in x.chunk(2, 1):
        found = model.query(x) @ model.key(part).mT
        parts.append(found.softmax(-1) @ model.value(part))
        norms.append(found.logsumexp(-1, keepdim=True))
    first, second = torch.cat(norms, -1).softmax(-1).split(1, -1)
    return first * parts[0] + second * parts[1]


def gate_two(model, x):
    gate = model.gate(x).sigmoid()
    one = (model.query(x) @ model.key(x).mT).softmax(-1) @ model.value(x)
    return gate * one + (1 - gate) * ((model.key(x) @ model.query(x).mT).softmax(-1) @ model.other(x))


@pytest.mark.parametrize("run", [join_parts, gate_two])
def test_calls_that_are_added_up_by_weights_of_their_own_have_no_rollout(run):
    _, seen, _ = read_words(run)
    with pytest.raises(JumokError, match="their shares are not known"):
        seen.rollout(0)
    _, seen, _ = read_words(lambda model, x: whole(model, x + run(model, x)))
    with pytest.raises(JumokError, match="their shares are not known"):
        seen.rollout(0)


def test_relevance_of_parts_that_are_joined_is_that_of_the_whole():
    found = []
    for run in (whole, join_parts):
        _, seen, out = read_words(run)
        found.append(seen.relevance(out[:, 1].sum(-1), 1).weights)
    torch.testing.assert_close(found[0], found[1])


def test_one_call_behind_a_gate_is_followed():
    def run(model, x):
        return model.other(x).sigmoid() * ((model.query(x) @ model.key(x).mT).softmax(-1) @ model.value(x))

    _, seen, _ = read_words(run)
    torch.testing.assert_close(roll_out(seen), 0.5 * torch.eye(6) + 0.5 * seen[0].weights)


def test_rollout_of_weights_of_any_sign_is_refused_though_their_mean_over_heads_looks_like_shares():
    """DeepViT normalises over heads what a learnt product of these gave: their mean is 0, each is of any sign."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.mix, self.norm = nn.Linear(16, 48), nn.Parameter(torch.randn(4, 4)), nn.LayerNorm(4)

        def forward(self, x):
            q, k, v = (t.unflatten(-1, (4, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
            weights = torch.einsum("bhij,hg->bgij", (q @ k.mT).softmax(-1), self.mix)
            weights = self.norm(weights.movedim(1, -1)).movedim(-1, 1)
            return x + (weights @ v).transpose(1, 2).flatten(2)

    model = Normed()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(2, 5, 16))
    assert seen[0].scale is Scale.SCORE
    assert float(seen[0].weights.mean(1).abs().max()) < 1e-5
    with pytest.raises(JumokError, match="do not sum to 1"):
        seen.rollout(0)
    assert seen.rollout(0, partial=True).scale is Scale.SCORE
