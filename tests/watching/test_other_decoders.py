"""Decoders that are not of `transformers`: their steps are joined in the same way."""

import pytest
import torch
from small_translators import (
    END,
    PAD,
    START,
    WORDS,
    bart,
    peaked,
    sources,
)
from torch import nn
from torch.nn import functional as F

from jumok.watching.watch import watch
from jumok.watching.watchers import report


class Translator(nn.Module):
    """PyTorch's own Transformer; decoded by a loop that feeds the whole prefix again."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16, padding_idx=PAD)
        self.places = nn.Embedding(32, 16)
        self.transformer = nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True)

    def embed(self, ids):
        return self.words(ids) + self.places(torch.arange(ids.shape[1])[None].expand(len(ids), -1))

    def encode(self, source, mask):
        return self.transformer.encoder(self.embed(source), src_key_padding_mask=~mask.bool())

    def decode(self, ids, memory, mask):
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        padding = ~mask.bool()
        return self.transformer.decoder(self.embed(ids), memory, causal, memory_key_padding_mask=padding)

    def forward(self, source, mask, ids):
        return self.decode(ids, self.encode(source, mask), mask) @ self.words.weight.T

    def greedy(self, source, mask, again):
        ids = torch.full((len(source), 1), START)
        memory = None if again else self.encode(source, mask)
        for _ in range(8):
            memory = self.encode(source, mask) if again else memory
            logits = self.decode(ids, memory, mask)[:, -1] @ self.words.weight.T
            taken = torch.zeros_like(logits).scatter_(1, ids, torch.inf)
            ids = torch.cat([ids, (logits - taken).argmax(-1, keepdim=True)], 1)
        return ids


@pytest.mark.parametrize("again", [False, True], ids=["encoded once", "encoded at each step"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_loop_around_pytorchs_transformer(again):
    model = peaked(Translator())
    batch = sources(bart())
    with torch.no_grad(), watch(model) as seen:
        output = model.greedy(batch["input_ids"], batch["attention_mask"], again)
    with torch.no_grad(), watch(model) as once:
        model(batch["input_ids"], batch["attention_mask"], output[:, :-1])
    names = [f"transformer.decoder.layers.{number}.multihead_attn" for number in range(2)]
    wanted = torch.stack([once[name].weights for name in names], 1)
    torch.testing.assert_close(seen.alignment(output).weights, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(once.alignment(output).weights, wanted, atol=1e-6, rtol=1e-5)


class Stepping(nn.Module):
    """A decoder layer with a cache that its own beam search reorders by plain indexing, beams in rows of their own."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.inner, self.outer = nn.Linear(16, 48), nn.Linear(16, 48)

    def attend(self, query, key, value):
        split = [tensor.unflatten(-1, (2, 8)).transpose(1, 2) for tensor in (query, key, value)]
        return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(-2)

    def forward(self, ids, cache, memory):
        hidden = self.words(ids)
        query, key, value = self.inner(hidden).chunk(3, -1)
        cache = torch.cat([cache, torch.cat([key, value], -1)], 1)
        hidden = hidden + self.attend(query, *cache.chunk(2, -1))
        _, key, value = self.outer(memory).chunk(3, -1)
        hidden = hidden + self.attend(self.outer(hidden)[..., :16], key, value)
        return hidden[:, -1] @ self.words.weight.T, cache


def test_a_beam_search_of_another_make_with_a_cache():
    model = peaked(Stepping())
    memory = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)).repeat_interleave(3, 0)
    ids, cache = torch.full((6, 1), START), torch.zeros(6, 0, 32)
    scores = torch.tensor([0.0, -1e9, -1e9]).repeat(2)
    with torch.no_grad(), watch(model) as seen:
        for _ in range(7):
            logits, cache = model(ids[:, -1:], cache, memory)
            logits = logits.scatter(1, ids, -torch.inf)
            best = (scores[:, None] + logits.log_softmax(-1)).view(2, -1).topk(3)
            parents = best.indices // WORDS + torch.arange(0, 6, 3)[:, None]
            scores, parents, tokens = best.values.flatten(), parents.flatten(), (best.indices % WORDS).flatten()
            ids, cache = torch.cat([ids[parents], tokens[:, None]], 1), cache[parents]
    joined = seen.alignment(ids[[0, 3]])
    for output, row in ((ids[0], 0), (ids[3], 3)):
        cache = torch.zeros(1, 0, 32)
        with torch.no_grad(), watch(model) as alone:
            for token in output[:-1]:
                _, cache = model(token[None, None], cache, memory[row : row + 1])
        wanted = torch.cat([alone[number].weights for number in range(1, len(alone), 2)], -2)
        torch.testing.assert_close(joined.weights[row // 3, 0], wanted[0], atol=1e-6, rtol=1e-5)


class Reporting(nn.Module):
    """A mechanism that tells of one map for a whole pass, as a recurrent decoder of ours does."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, 8), nn.Embedding(WORDS, 8, padding_idx=PAD)

    def forward(self, source, target):
        weights = (self.target(target) @ self.source(source).transpose(1, 2)).softmax(-1)
        report(weights)
        return weights


def test_a_pass_that_was_reported_as_one_map():
    model = Reporting()
    source, output = torch.randint(3, WORDS, (2, 6)), torch.tensor([[START, 5, 6, 7, END], [START, 8, END, PAD, PAD]])
    with torch.no_grad(), watch(model) as seen:
        weights = model(source, output[:, :-1])
    joined = seen.alignment(output).at(layer=0, head=0)
    assert torch.equal(joined.weights[0], weights[0])
    assert torch.equal(joined.weights[1, :2], weights[1, :2])
    assert (joined.weights[1, 2:] == 0).all()
