"""Rollout and relevance against the textbook's N x N products."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from watched_models import IMAGE, SMALL, Fused, eager, peaked, vision

from jumok.attention import Scale
from jumok.errors import JumokError
from jumok.watching import dot_product
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


def classifier(implementation="sdpa", **options):
    config = transformers.ViTConfig(**{**IMAGE, **options}, num_labels=5)
    model = peaked(transformers.ViTForImageClassification(config))
    return model if implementation == "sdpa" else eager(model)


def textbook_rollout(attentions, residual=0.5):
    count = attentions[0].shape[-1]
    product = torch.eye(count).expand(len(attentions[0]), -1, -1)
    for weights in attentions:
        product = (residual * torch.eye(count) + (1 - residual) * weights.mean(1)) @ product
    return product


def textbook_relevance(attentions, target):
    gradients = torch.autograd.grad(target.sum(), attentions)
    relevance = torch.eye(attentions[0].shape[-1]).expand(len(attentions[0]), -1, -1)
    for weights, gradient in zip(attentions, gradients, strict=True):
        relevance = relevance + (weights * gradient).clamp(min=0).mean(1) @ relevance
    return relevance.detach()


@pytest.fixture(params=[(1 << 17, 1024), (20, 4)], ids=["one block", "small blocks"])
def _blocks(request, monkeypatch):
    """Block sizes that cut rows, columns and the batch, beside the shipped ones."""
    monkeypatch.setattr(dot_product, "HEAD_VALUES", request.param[0])
    monkeypatch.setattr(dot_product, "BLOCK_COLUMNS", request.param[1])
    if request.param[0] == 20:
        monkeypatch.setattr(dot_product, "BLOCK_VALUES", 160)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rollout_is_the_textbook_product(implementation, dtype):
    model = classifier(implementation).to(dtype)
    pixels = torch.randn(3, 3, 32, 32, dtype=dtype)
    with torch.no_grad():
        wanted = textbook_rollout([a.float() for a in eager(model)(pixels, output_attentions=True).attentions])
        with watch(model) as seen:
            model(pixels)
    for query, index in (("cls", 0), ((1, 2), 7), (16, 16)):
        got = seen.rollout(query)
        assert got.scale is Scale.DISTRIBUTION
        assert (got.weights[:, 0] - wanted[:, index]).abs().max() < 1e-5
        torch.testing.assert_close(got.weights.sum(-1), torch.ones(3, 1))
    assert (seen.rollout("mean").weights[:, 0] - wanted[:, 1:].mean(1)).abs().max() < 1e-5
    other = (
        textbook_rollout(eager(model)(pixels, output_attentions=True).attentions, 0.9)
        if dtype == torch.float32
        else None
    )
    if other is not None:
        assert (seen.rollout("cls", residual=0.9).weights[:, 0] - other[:, 0]).abs().max() < 1e-5


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_relevance_is_the_textbook_product(implementation):
    model = classifier(implementation)
    pixels = torch.randn(3, 3, 32, 32)
    result = eager(model)(pixels, output_attentions=True)
    wanted = textbook_relevance(result.attentions, result.logits[:, 2])
    with watch(model) as seen:
        logits = model(pixels).logits
    for query, index in (("cls", 0), ((1, 2), 7)):
        got = seen.relevance(logits[:, 2], query)
        assert got.scale is Scale.RELEVANCE
        assert (got.weights[:, 0] - wanted[:, index]).abs().max() < 1e-5
    per_image = seen.relevance(logits[0, 2]).weights
    torch.testing.assert_close(per_image[0, 0], wanted[0, 0], atol=1e-5, rtol=1e-5)


def test_a_batch_is_as_one_by_one():
    model = classifier()
    pixels = torch.randn(4, 3, 32, 32)
    with watch(model) as seen:
        logits = model(pixels).logits
    together = seen.relevance(logits[:, 1]).weights
    for number in range(4):
        with watch(model) as alone:
            one = model(pixels[number : number + 1]).logits
        torch.testing.assert_close(alone.relevance(one[:, 1]).weights[0], together[number], atol=1e-5, rtol=1e-4)


def test_bert_with_padding_follows_the_masked_weights():
    config = transformers.BertConfig(vocab_size=50, num_labels=3, **SMALL)
    model = peaked(transformers.BertForSequenceClassification(config))
    ids, mask = torch.randint(0, 50, (2, 7)), torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    result = eager(model)(ids, attention_mask=mask, output_attentions=True)
    with watch(model) as seen:
        logits = model(ids, attention_mask=mask).logits
    wanted = textbook_relevance(result.attentions, result.logits[:, 0])
    assert (seen.relevance(logits[:, 0], 0).weights[:, 0] - wanted[:, 0]).abs().max() < 1e-5
    rolled = seen.rollout(0).weights
    assert (rolled[:, 0] - textbook_rollout(result.attentions)[:, 0]).abs().max() < 1e-5
    assert (rolled[1, :, 4:] == 0).all()


@pytest.mark.parametrize("need_weights", [True, False])
def test_relevance_through_pytorchs_multi_head_attention(need_weights):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        module.in_proj_weight.mul_(4)
    tokens, readout = torch.randn(2, 6, 16), torch.randn(16)
    with watch(module) as seen:
        output = module(tokens, tokens, tokens, need_weights=need_weights)[0]
    query, key, value = F.linear(tokens, module.in_proj_weight, module.in_proj_bias).chunk(3, -1)
    query, key, value = (t.unflatten(-1, (4, 4)).transpose(1, 2) for t in (query, key, value))
    weights = (query @ key.transpose(-1, -2) / 2).softmax(-1)
    again = module.out_proj((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(again, output)
    wanted = textbook_relevance([weights], again[:, 0] @ readout) - torch.eye(6)  # no residual connection
    assert (seen.relevance(output[:, 0] @ readout, 0).weights[:, 0] - wanted[:, 0]).abs().max() < 1e-5


class Scaled(nn.Module):
    """Attention of tokens to themselves, query, key and value each scaled in its own way."""

    def __init__(self):
        super().__init__()
        self.scales = nn.Parameter(torch.randn(3, 8))

    def project(self, tokens):
        return (tokens * scale for scale in self.scales)

    def forward(self, tokens):
        return F.scaled_dot_product_attention(*self.project(tokens))


@pytest.mark.parametrize("shape", [(5, 8), (3, 5, 8), (2, 3, 5, 8), (2, 2, 3, 5, 8)])
def test_relevance_of_calls_with_any_number_of_axes(shape):
    torch.manual_seed(0)
    tokens, readout = (torch.randn(shape, requires_grad=True) for _ in range(2))
    model = Scaled()
    query, key, value = model.project(tokens)
    with watch(model) as seen:
        output = model(tokens)
    weights = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
    target = ((weights @ value) * readout).sum()
    gradient = torch.autograd.grad(target, weights)[0]
    wanted = (weights * gradient).clamp(min=0).detach()
    wanted = wanted.reshape(-1, 1, 5, 5) if len(shape) < 4 else wanted.flatten(0, -4)
    got = seen.relevance((output * readout).sum(), 2).weights[:, 0]
    if len(shape) == 5:  # two windows an image, of which the first holds the query
        assert seen[0].lead == ("batch", "window", "head")
        got, rest = got[:, :5], got[:, 5:]
        wanted = wanted[::2]
        assert not rest.any()
    torch.testing.assert_close(got, wanted.mean(1)[:, 2], atol=1e-5, rtol=1e-5)  # no residual connection


def test_causal_and_grouped_queries_without_a_known_normaliser():
    torch.manual_seed(0)
    tokens = torch.randn(1, 6, 32)

    class Grouped(nn.Module):
        def forward(self, tokens):
            query = tokens.unflatten(-1, (4, 8)).transpose(1, 2)
            key = tokens.unflatten(-1, (4, 8)).transpose(1, 2)[:, 1:3]
            return F.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)

    model = Grouped()
    with watch(model) as seen:
        model(tokens)
    assert seen[0].lead == ("batch", "head")
    wanted = seen[0].weights.mean(1)[0, 3]  # no residual connection
    torch.testing.assert_close(seen.rollout(3).weights[0, 0], wanted, atol=1e-6, rtol=1e-5)


def test_no_array_of_queries_by_keys_is_made():
    """A chain over 3,000 tokens: N x N of one head would be 36 MB; the largest new tensor stays at one block."""
    model = Fused()
    tokens = torch.randn(1, 2, 3000, 8)
    with torch.no_grad(), watch(model) as seen:
        model(tokens, tokens, tokens)
    largest = LargestTensor()
    with largest:
        seen.rollout("mean")
    assert 0 < largest.values <= dot_product.BLOCK_VALUES
    assert largest.values < 3000 * 3000 / 4


class LargestTensor(torch.utils._python_dispatch.TorchDispatchMode):
    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.values = max(self.values, tensor.numel())
        return result


def test_relevance_says_what_is_missing():
    model = classifier()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad(), watch(model) as seen:
        logits = model(pixels).logits
    with pytest.raises(JumokError, match=r"outside torch.no_grad"):
        seen.relevance(logits[:, 0])
    with watch(model) as seen:
        model(pixels)
    with pytest.raises(JumokError, match="does not depend"):
        seen.relevance(model(pixels).logits[:, 0])
    with watch(model) as seen:
        logits = model(pixels).logits
    with pytest.raises(JumokError, match="no gradient at any"):
        seen.relevance(logits[:, 0] * 0)


def test_relevance_refuses_dropped_weights():
    torch.manual_seed(0)
    model = Fused(dropout_p=0.5)
    tokens = torch.randn(1, 2, 4, 8, requires_grad=True)
    with watch(model) as seen:
        output = model(tokens, tokens, tokens)
    with pytest.raises(JumokError, match=r"model.eval\(\)"):
        seen.relevance(output[0, 0, 0].sum(), 0)
    assert seen.rollout(0).weights.shape == (1, 1, 4)


def test_dinov2_registers_are_part_of_the_chain():
    model = vision(transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel, num_register_tokens=3)
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
    rolled = seen.rollout("reg2")
    assert rolled.queries.labels() == ["reg2"]
    assert float(rolled.image(32, 32).sum()) > 0
