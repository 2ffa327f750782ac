"""What attention takes are the values: of other tokens than the keys, moved, mixed before, or of another layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
EYE = torch.eye(16)
FORMS = pytest.mark.parametrize("form", ["by hand", "fused", "module", "fast"])


class Model(nn.Module):
    """Tokens of an image, and attention in one of the forms that people write it in.

    Args:
        form: of the attention.
        run: what is done with the tokens.
    """

    def __init__(self, form, run):
        super().__init__()
        torch.manual_seed(0)
        self.form, self.run = form, run
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.first, self.second = (nn.MultiheadAttention(16, 2, batch_first=True) for _ in range(2))
        self.places = nn.Parameter(torch.randn(1, 16, 16))
        self.lstm, self.mix = nn.LSTM(16, 8, bidirectional=True, batch_first=True), nn.Linear(16, 16)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.25)

    def attend(self, part, query, key, value):
        if self.form in ("module", "fast"):
            return part(query, key, value, need_weights=False)[0]
        rows, biases = part.in_proj_weight.chunk(3), part.in_proj_bias.chunk(3)
        parts = (F.linear(*each) for each in zip((query, key, value), rows, biases, strict=True))
        query, key, value = (each.unflatten(-1, (2, 8)).transpose(1, 2) for each in parts)
        if self.form == "fused":
            found = F.scaled_dot_product_attention(query, key, value)
        else:
            found = (query @ key.mT / 8**0.5).softmax(-1) @ value
        return part.out_proj(found.transpose(1, 2).flatten(2))

    def forward(self, *images):
        return self.run(self, *(self.embed(image).flatten(2).transpose(1, 2) for image in images))


def look(form, run, *images):
    model = Model(form, run).eval()
    with torch.set_grad_enabled(form != "fast"), watch(model) as seen:
        model(*(images or (PIXELS,)))
    return seen


def list_layers(seen):
    return [seen[name].weights.mean(1) for name in seen.names]


def roll_out(seen):
    return torch.cat([seen.rollout(number).weights for number in range(16)], 1)


@FORMS
@pytest.mark.parametrize("move", [lambda x: x.roll(1, 1), lambda x: x.flip(1)], ids=["rolled", "flipped"])
def test_values_that_were_moved_are_read_where_they_come_from(form, move):
    seen = look(form, lambda model, x: x + model.attend(model.first, x, x, move(x)))
    (weights,) = list_layers(seen)
    found = roll_out(seen)
    torch.testing.assert_close(found, 0.5 * EYE + 0.5 * weights @ move(EYE[None])[0])
    assert seen[0].keys.labels() == [
        f"{int(n) // 4},{int(n) % 4}" for n in move(torch.arange(16)[None, :, None])[0, :, 0]
    ]


@FORMS
def test_values_of_a_later_layer_weighed_as_an_earlier_one_did(form):
    """As where layers share queries and keys, or one map of weights."""

    def run(model, x):
        y = x + model.attend(model.first, x, x, x)
        return y + model.attend(model.second, x, x, y)

    first, second = list_layers(seen := look(form, run))
    torch.testing.assert_close(roll_out(seen), (0.5 * EYE + 0.5 * second) @ (0.5 * EYE + 0.5 * first))


def test_one_map_of_weights_for_two_layers():
    class Shared(Model):
        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            weights = (x @ x.mT).softmax(-1)
            x = x + weights @ x
            return x + weights @ self.mix(x)

    model = Shared("", None).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    layer = 0.5 * EYE + 0.5 * seen[0].weights
    torch.testing.assert_close(roll_out(seen), layer @ layer)


def test_values_that_another_call_gathered():
    """Agents look at the tokens, and the tokens at the agents, by two softmaxes over one product each."""

    class Agents(Model):
        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            agents = x.unflatten(1, (4, 4)).mean(2)
            gathered = (agents @ x.mT).softmax(-1) @ self.mix(x)
            return x + (x @ agents.mT).softmax(-1) @ gathered

    model = Agents("", None).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    gathered, given = (seen[name].weights for name in seen.names)
    torch.testing.assert_close(roll_out(seen), 0.5 * EYE + 0.5 * given @ gathered)


@FORMS
def test_queries_and_keys_of_places_alone(form):
    def run(model, x):
        places = model.places.expand(len(x), -1, -1)
        return x + model.attend(model.first, places, places, x)

    (weights,) = list_layers(seen := look(form, run))
    assert seen[0].keys == Patches(4, 4)
    found = roll_out(seen)
    torch.testing.assert_close(found[..., 16:], 0.5 * EYE + 0.5 * weights)
    assert not found[..., :16].any()


MIXED = {
    "a recurrent layer": lambda model, x: model.lstm(x)[0],
    "cumsum": lambda model, x: x.cumsum(1),
    "a product over tokens": lambda model, x: model.mix(x.mT).mT,
}


@FORMS
@pytest.mark.parametrize("named", MIXED)
def test_values_that_were_mixed_before_are_named(form, named):
    seen = look(form, lambda model, x: x + model.attend(model.first, x, x, MIXED[named](model, x)))
    with pytest.raises(JumokError, match=f"mixed by {named}"):
        seen.rollout(0)


@FORMS
def test_values_of_another_image_are_those_that_are_seen(form):
    run = lambda model, x, y: x + model.attend(model.first, x, x, y)  # noqa: E731
    seen = look(form, run, PIXELS, PIXELS.flip(0))
    with pytest.raises(JumokError, match="tokens of 2 inputs"):
        seen.rollout(0)


def test_values_that_an_unknown_step_made_of_a_product_of_tokens_are_named():
    """Xiong et al. 2021, Nystroemformer, arXiv 2102.03902, eq. 13: an inverse stands between two maps."""

    class Landmarks(Model):
        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            few = x.unflatten(1, (4, 4)).mean(2)
            middle = torch.linalg.pinv((few @ few.mT).softmax(-1))
            return x + (x @ few.mT).softmax(-1) @ (middle @ ((few @ x.mT).softmax(-1) @ x))

    model = Landmarks("", None).eval()
    with torch.no_grad(), watch(model) as seen:
        model(PIXELS)
    assert (len(seen[-1].queries), len(seen[-1].keys)) == (16, 4)
    with pytest.raises(JumokError, match="whose weights are not seen"):
        seen.rollout(0)


class Grouped(nn.Module):
    """Grouped-query attention.

    Args:
        keys, values: how many heads these have.
        shifted: which of both have half of their heads moved on by one token, with none before the first.
    """

    def __init__(self, keys, values, shifted):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.shifted = nn.Linear(5, 16), shifted
        self.keys, self.values = nn.Linear(16, 4 * keys), nn.Linear(16, 4 * values)

    def split(self, layer, x):
        heads = layer(x).unflatten(-1, (-1, 4)).transpose(1, 2)
        if getattr(self, self.shifted) is not layer:
            return heads
        stay, move = heads.chunk(2, 1)
        return torch.cat([stay, F.pad(move, (0, 0, 1, 0))[:, :, :-1]], 1)

    def forward(self, x):
        x = self.embed(x)
        queries = x.unflatten(-1, (-1, 4)).transpose(1, 2)
        keys, values = self.split(self.keys, x), self.split(self.values, x)
        return x + F.scaled_dot_product_attention(queries, keys, values, enable_gqa=True).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("keys", "values", "shifted"), [(2, 2, "values"), (4, 2, "values"), (2, 4, "values"), (4, 2, "keys")]
)
def test_groups_of_heads_that_read_different_tokens_are_named(keys, values, shifted):
    with torch.no_grad(), watch(model := Grouped(keys, values, shifted)) as seen:
        model(torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1)))
    assert "groups of heads that read different tokens" in seen[0].keys.why
    with pytest.raises(JumokError, match="groups of heads that read different tokens"):
        seen.rollout(0)


def test_keys_and_values_of_other_numbers_of_heads_are_those_of_their_tokens():
    x = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), watch(model := Grouped(4, 2, "embed")) as seen:
        model(x)
    assert seen[0].keys.labels() == list("012345")
    queries, keys = (
        each.unflatten(-1, (-1, 4)).transpose(1, 2) for each in (model.embed(x), model.keys(model.embed(x)))
    )
    torch.testing.assert_close(seen[0].weights, (queries @ keys.mT / 2).softmax(-1))


def test_values_that_were_moved_of_tokens_that_were_given_as_numbers():
    class Moved(nn.Module):
        def forward(self, x):
            return x + F.scaled_dot_product_attention(x, x, x.roll(1, 1))

    with torch.no_grad(), watch(model := Moved()) as seen:
        model(torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(1)))
    assert seen[0].keys.labels() == ["3", "0", "1", "2"]
    weights = 0.5 * torch.eye(4) + 0.5 * seen[0].weights[0] @ torch.eye(4).roll(1, 0)
    rows = torch.cat([seen.rollout(number).weights for number in range(4)], 1)[0]
    torch.testing.assert_close(rows, weights[:, [int(name) for name in seen.rollout(0).keys.labels()]])


class Cache:
    """Keys and values of tokens that were read before, in an object."""

    def __init__(self, heads):
        self.layers = [{"keys": torch.randn(2, heads, 4, 8), "values": torch.randn(2, heads, 4, 8)}]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("as_object", [True, False])
def test_tokens_of_a_cache_that_was_handed_over_have_numbers_of_their_own(as_object, heads):
    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.pair = nn.Embedding(20, 8 * heads), nn.Linear(8 * heads, 16 * heads)

        def forward(self, ids, cache):
            layer = cache.layers[0] if as_object else cache
            x = self.words(ids)
            query, *pair = (each.unflatten(-1, (heads, 8)).transpose(1, 2) for each in (x, *self.pair(x).chunk(2, -1)))
            keys, values = (torch.cat([layer[n], each], 2) for n, each in zip(("keys", "values"), pair, strict=True))
            return x + F.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(2)

    cache = Cache(heads)
    with torch.no_grad(), watch(model := Step()) as seen:
        model(torch.randint(0, 20, (2, 3)), cache if as_object else cache.layers[0])
    labels = seen[0].keys.labels()
    assert [label.partition(":")[2] for label in labels[:4]] == list("0123")
    assert labels[4:] == list("456")
    assert "several inputs" in seen[0].keys.why
