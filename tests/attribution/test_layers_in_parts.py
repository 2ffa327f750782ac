"""Layers whose last queries lie elsewhere than in one call: taken part by part, or in windows."""

import pytest
import torch
from torch import nn

from jumok.errors import JumokError
from jumok.watching.watch import watch

SIZE, SIDE = 16, 4


class Attending(nn.Module):
    """Two layers over the patches of an image, each of which may take its queries part by part."""

    def __init__(self, parts, *, cls):
        super().__init__()
        self.parts = parts
        self.patches = nn.Conv2d(3, SIZE, SIDE, SIDE)
        self.cls = nn.Parameter(torch.randn(1, 1, SIZE)) if cls else None
        self.layers = nn.ModuleList(nn.Linear(SIZE, 3 * SIZE) for _ in range(2))
        self.head = nn.Linear(SIZE, 3)

    def attend(self, layer, tokens):
        query, key, value = layer(tokens).chunk(3, -1)
        return torch.cat([(part @ key.mT / SIZE**0.5).softmax(-1) @ value for part in query.chunk(self.parts, 1)], 1)

    def forward(self, image):
        tokens = self.patches(image).flatten(2).mT
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], 1)
        for layer in self.layers:
            tokens = tokens + self.attend(layer, tokens)
        return self.head(tokens.mean(1) if self.cls is None else tokens[:, 0])


class Axial(Attending):
    """The rows of an image, and then its columns, each on its own."""

    def forward(self, image):
        tokens = self.patches(image).permute(0, 2, 3, 1)
        for layer in self.layers:
            flat = tokens.flatten(0, 1)
            tokens = (tokens + self.attend(layer, flat).view_as(tokens)).transpose(1, 2)
        return self.head(tokens.mean((1, 2)))


def explain(model, image, method, query=None):
    with watch(model) as seen:
        target = model(image)[:, 1]
    return seen.relevance(target, query, method=method)


@pytest.mark.parametrize("method", ["rollout", "chefer"])
@pytest.mark.parametrize("cls", [False, True], ids=["mean", "cls"])
def test_a_layer_that_takes_its_queries_part_by_part_is_one_layer(cls, method):
    torch.manual_seed(0)
    whole, parts, image = Attending(1, cls=cls).eval(), Attending(3, cls=cls).eval(), torch.randn(2, 3, 16, 16)
    parts.load_state_dict(whole.state_dict())
    wanted, found = explain(whole, image, method), explain(parts, image, method)
    torch.testing.assert_close(found.weights, wanted.weights)
    assert found.keys == wanted.keys
    assert found.queries == wanted.queries


@pytest.mark.parametrize("method", ["rollout", "chefer"])
def test_a_mean_is_read_off_all_windows(method):
    torch.manual_seed(0)
    model, image = Axial(1, cls=False).eval(), torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(explain(model, image, method).weights, explain(model, image, method, "mean").weights)


@pytest.mark.parametrize("method", ["rollout", "chefer"])
def test_a_patch_that_was_read_is_found_where_patches_were_shuffled(method):
    torch.manual_seed(0)
    order = torch.randperm(16)

    class Shuffled(Attending):
        def forward(self, image):
            tokens = self.patches(image).flatten(2).mT[:, order]
            for layer in self.layers:
                tokens = tokens + self.attend(layer, tokens)
            return self.head(tokens[:, 0])

    model, image, place = Shuffled(1, cls=False).eval(), torch.randn(2, 3, 16, 16), divmod(int(order[0]), 4)
    found = explain(model, image, method)
    torch.testing.assert_close(found.weights, explain(model, image, method, place).weights)
    assert found.queries.labels() == [f"{place[0]},{place[1]}"]


def test_one_query_needs_no_name():
    class Pooling(Attending):
        def forward(self, image):
            tokens = self.patches(image).flatten(2).mT
            return self.head((self.layers[0](tokens)[..., :1].softmax(1) * tokens).sum(1))

    model, image = Pooling(1, cls=False).eval(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        found = explain(model, image, "rollout")
        tokens = model.patches(image).flatten(2).mT
        torch.testing.assert_close(found.weights, model.layers[0](tokens)[..., :1].softmax(1).mT)


def test_without_gradients_it_is_said_that_these_would_tell():
    model = Attending(1, cls=False).eval()
    with torch.no_grad(), pytest.raises(JumokError, match="run the model with gradients enabled: then it starts from"):
        explain(model, torch.randn(1, 3, 16, 16), "rollout")
