"""However a model is run, its tokens are followed."""

import copy
import pickle
import types

import pytest
import torch
import torch.utils.checkpoint
from token_models import ByHand, Image, attention, looked
from torch import nn
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.watching.watch import watch


def rolled(model, pixels):
    with torch.no_grad():
        plain = model(pixels)
        with watch(model) as seen:
            assert torch.equal(model(pixels), plain)
    return seen.rollout((1, 2))


def test_other_parameters_by_functional_call():
    model, pixels = Image().eval(), torch.randn(2, 3, 32, 32)
    others = {name: 2 * value for name, value in model.named_parameters()}
    with torch.no_grad(), watch(model) as seen:
        torch.func.functional_call(model, others, (pixels,))
    doubled = Image().eval()
    doubled.load_state_dict(others)
    torch.testing.assert_close(seen.rollout((1, 2)).weights, rolled(doubled, pixels).weights)
    assert seen[0].keys == Patches(4, 4)


def test_int8_layers_and_data_parallel():
    model, pixels = ByHandOfImage().eval(), torch.randn(2, 3, 32, 32)
    whole = torch.ao.quantization.quantize_dynamic(ByHandOfImage().eval(), {nn.Linear}, dtype=torch.qint8)
    assert rolled(whole, pixels).keys == Patches(4, 4)
    torch.testing.assert_close(rolled(nn.DataParallel(model), pixels).weights, rolled(model, pixels).weights)


class ByHandOfImage(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.block = nn.Conv2d(3, 16, 8, 8), ByHand(lambda module, scores: scores.softmax(-1))

    def forward(self, pixels):
        return self.block(self.embed(pixels).flatten(2).transpose(1, 2))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_blocks(reentrant):
    class Checkpointed(ByHandOfImage):
        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            return torch.utils.checkpoint.checkpoint(self.block, tokens, use_reentrant=reentrant)

    plain, model, pixels = ByHandOfImage().eval(), Checkpointed().eval(), torch.randn(2, 3, 32, 32)
    model.load_state_dict(plain.state_dict())
    with watch(model) as seen:
        target = model(pixels)[:, 0, 0]
    torch.testing.assert_close(seen.rollout((1, 2)).weights, rolled(plain, pixels).weights)
    if reentrant:
        with pytest.raises(JumokError, match="use_reentrant=False"):
            seen.relevance(target, (0, 0))
        return
    with watch(plain) as direct:
        wanted = plain(pixels)[:, 0, 0]
    torch.testing.assert_close(seen.relevance(target, (0, 0)).weights, direct.relevance(wanted, (0, 0)).weights)


def test_vmap_runs_and_what_it_hides_is_said():
    class Fused(nn.Module):
        def forward(self, tokens):
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    model, tokens = Fused(), torch.randn(3, 2, 5, 8)
    with torch.no_grad(), watch(model) as seen:
        watched = torch.func.vmap(model)(tokens)
    torch.testing.assert_close(watched, model(tokens))
    with pytest.raises(JumokError, match=r"torch.func.vmap hides"):
        seen.rollout(0)


def test_a_traced_graph_is_followed():
    class Traceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.query, self.key = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            return (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1) @ tokens

    model, pixels = Traceable().eval(), torch.randn(2, 3, 32, 32)
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(rolled(graph, pixels).weights, rolled(model, pixels).weights)
    assert rolled(graph, pixels).keys == Patches(4, 4)


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_unseen_beside_or_between_attention_of_words_is_named(beside):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(20, 16), nn.GRU(16, 16, batch_first=True)
            self.first, self.last = attention(), attention()

        def forward(self, ids):
            x = self.embed(ids)
            if beside:
                x = x + self.first(x, x, x)[0] + self.rnn(x)[0]
            else:
                x = x + self.first(x, x, x)[0]
                x = x + self.rnn(x)[0]
            return x + self.last(x, x, x)[0]

    seen = looked(Mixed(), torch.randint(0, 20, (2, 5)))
    with pytest.raises(JumokError, match="a recurrent layer in rnn"):
        seen.rollout(0)
    first, last = (0.5 * torch.eye(5) + 0.5 * seen[name].weights.mean(1) for name in ("first", "last"))
    found = seen.rollout(2, partial=True)
    assert "100% through a recurrent layer in rnn, unseen" in found.source
    torch.testing.assert_close(found.weights[:, 0], (last @ first)[:, 2])


def test_a_pass_that_does_the_same_again_is_not_read_again():
    model, pixels = ByHandOfImage().eval(), torch.randn(2, 3, 32, 32)
    first, again = looked(model, pixels), looked(model, 2 * pixels)
    assert first[0].keys == again[0].keys == Patches(4, 4)
    assert first._axes.replay.known is again._axes.replay.known
    other = looked(model, torch.randn(2, 3, 32, 48))
    assert other[0].keys == Patches(4, 6)
    alone = ByHandOfImage().eval()
    alone.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.rollout((1, 2)).weights, looked(alone, 2 * pixels).rollout((1, 2)).weights)


def test_other_places_chosen_in_the_same_way_are_read_again():
    orders = [torch.arange(16), torch.arange(16).flip(0)]
    model = Image(lambda tokens: tokens[:, orders[0]])
    pixels = torch.randn(1, 3, 32, 32)
    assert looked(model, pixels)[0].keys == Patches(4, 4)
    orders.reverse()
    assert looked(model, pixels)[0].keys.boxes[0] == (24, 24, 32, 32)


@pytest.mark.parametrize("way", ["pooled by a sigmoid", "mixed by a linear layer"])
def test_a_sum_with_what_all_tokens_gave_is_named(way):
    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.first, self.last = attention(), attention()
            self.score, self.mix = nn.Linear(16, 1), nn.Linear(16, 16)

        def forward(self, pixels):
            x = self.embed(pixels).flatten(2).transpose(1, 2)
            x = x + self.first(x, x, x)[0]
            if way == "pooled by a sigmoid":
                x = x + (self.score(x).sigmoid() * x).sum(1, keepdim=True)
            else:
                x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
            return self.last(x, x, x)[0]

    seen = looked(Between(), torch.randn(2, 3, 32, 32))
    with pytest.raises(JumokError, match="a sum with what several tokens gave"):
        seen.rollout((0, 0))


def test_code_that_another_library_made_runs_as_it_does_unwatched():
    """Functions that torch.compile makes, as for masks of flex_attention, hold constants that have no hash."""

    def shift(x, by):
        return x + by

    code = shift.__code__
    made = types.FunctionType(code.replace(co_consts=(*code.co_consts, {})), {})
    with pytest.raises(TypeError):
        hash(made.__code__)

    class Model(nn.Module):
        def forward(self, x):
            x = made(x, 1)
            return x + F.scaled_dot_product_attention(x, x, x)

    x = torch.randn(1, 4, 8)
    with torch.no_grad(), watch(model := Model()) as seen:
        found = model(x)
    assert torch.equal(found, model(x))
    assert seen[0].keys.labels() == list("0123")


def test_what_was_seen_is_copied_and_not_pickled(tmp_path):
    seen = looked(Image(), torch.randn(1, 3, 16, 16))
    for made in (copy.copy(seen), copy.deepcopy(seen)):
        assert torch.equal(made[0].weights, seen[0].weights)
    with pytest.raises(JumokError, match="cannot be pickled"):
        pickle.dumps(seen)
    seen[0].save(tmp_path / "map.safetensors")
