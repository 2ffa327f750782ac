"""`flash_attn_with_kvcache`: laid out as in flash-attn, computed here by hand, and seen from what it was given."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from jumok.errors import JumokError
from jumok.watching.watch import watch

HEADS, KEY_HEADS, SIZE, ROOM, WORDS = 4, 2, 8, 10, 30
WIDTH = HEADS * SIZE
ANGLES = torch.arange(ROOM)[:, None] * torch.tensor([1.0, 0.3])  # of the first 4 numbers of a head
PLAIN: dict = {}
TURNED = {"rotary_cos": ANGLES.cos(), "rotary_sin": ANGLES.sin()}


def turn(token, place, cosine, sine, interleaved):
    """One head of one token with its position turned in."""
    turned, count = token.clone(), cosine.shape[1]
    for number in range(count):
        one, other = (2 * number, 2 * number + 1) if interleaved else (number, count + number)
        turned[one] = token[one] * cosine[place, number] - token[other] * sine[place, number]
        turned[other] = token[one] * sine[place, number] + token[other] * cosine[place, number]
    return turned


@torch.no_grad()
def cached_weights(q, k_cache, v_cache, k, v, cache_seqlens=None, cache_batch_idx=None, **options):
    """(batch, heads, queries, room): each number by itself, and the new keys written into the cache."""
    causal, (left, right) = options.get("causal", False), options.get("window_size", (-1, -1))
    cosine, sine = options.get("rotary_cos"), options.get("rotary_sin")
    interleaved = options.get("rotary_interleaved", True)
    scores = torch.full((len(q), HEADS, q.shape[1], ROOM), -torch.inf)
    for image in range(len(q)):
        home = image if cache_batch_idx is None else int(cache_batch_idx[image])
        filled = ROOM if cache_seqlens is None else int(torch.as_tensor(cache_seqlens).expand(len(q))[image])
        start = int(options["cache_leftpad"][image]) if "cache_leftpad" in options else 0
        count = 0 if k is None else k.shape[1]
        for number in range(count):
            for head in range(KEY_HEADS):
                new = k[image, number, head]
                turned = new if cosine is None else turn(new, filled + number, cosine, sine, interleaved)
                k_cache[home, filled + number, head] = turned
                v_cache[home, filled + number, head] = v[image, number, head]
        for row in range(q.shape[1]):
            own = filled + count - q.shape[1] + row
            place = filled + row if causal or left >= 0 or right >= 0 else filled
            for head in range(HEADS):
                query = q[image, row, head]
                query = query if cosine is None else turn(query, place, cosine, sine, interleaved)
                for column in range(start, filled + count):
                    if (causal and column > own) or (left >= 0 and column < own - left):
                        continue
                    key = k_cache[home, column, head // (HEADS // KEY_HEADS)]
                    scores[image, head, row, column] = query @ key / SIZE**0.5
    return scores.softmax(-1)


def flash_attn_with_kvcache(q, k_cache, v_cache, k=None, v=None, **options):
    weights = cached_weights(q, k_cache, v_cache, k, v, **options)
    home = torch.arange(len(q)) if options.get("cache_batch_idx") is None else options["cache_batch_idx"]
    values = v_cache[home].repeat_interleave(HEADS // KEY_HEADS, 2)
    return torch.einsum("bhqk,bkhd->bqhd", weights, values)


@pytest.fixture(autouse=True)
def _package(monkeypatch):
    flash = ModuleType("flash_attn")
    flash.flash_attn_with_kvcache = flash_attn_with_kvcache
    monkeypatch.setitem(sys.modules, "flash_attn", flash)


class Decoding(nn.Module):
    """Two layers that keep their keys in a cache of a fixed size."""

    def __init__(self, **options):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.query = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.key = nn.ModuleList(nn.Linear(WIDTH, KEY_HEADS * SIZE) for _ in range(2))
        self.options = options

    def make_caches(self, images):
        return [torch.zeros(2, images, ROOM, KEY_HEADS, SIZE) for _ in range(2)]

    def forward(self, ids, caches, filled, **more):
        tokens = self.words(ids)
        for query, key, (keys, values) in zip(self.query, self.key, caches, strict=True):
            new = key(tokens).unflatten(-1, (KEY_HEADS, SIZE))
            run, heads = sys.modules["flash_attn"].flash_attn_with_kvcache, query(tokens).unflatten(-1, (HEADS, SIZE))
            found = run(heads, keys, values, new, new, cache_seqlens=filled, **self.options, **more)
            tokens = tokens + found.flatten(2)
        return tokens


def make(**options):
    torch.manual_seed(0)
    return Decoding(**options), torch.randint(1, WORDS, (2, 4)), torch.tensor([0, 0])


OPTIONS = {
    "causal": {"causal": True},
    "all": {},
    "window": {"window_size": (2, 0), "causal": True},
    "turned": {"causal": True, **TURNED},
    "turned in halves": {"causal": True, "rotary_interleaved": False, **TURNED},
    "turned at one place": TURNED,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_prompt_and_two_steps_are_seen_as_the_kernel_weighs_them(name, monkeypatch):
    model, prompt, filled = make(**OPTIONS[name])
    steps = [prompt, torch.tensor([[3], [4]]), torch.tensor([[5], [6]])]
    wanted = []

    def run():
        caches, outputs = model.make_caches(2), []
        for number, ids in enumerate(steps):
            outputs.append(model(ids, caches, filled + sum(each.shape[1] for each in steps[:number])))
        return outputs

    weigh = cached_weights
    monkeypatch.setitem(
        globals(), "cached_weights", lambda *args, **kw: wanted.append(weigh(*args, **kw)) or wanted[-1]
    )
    with torch.no_grad():
        unwatched = run()
        wanted.clear()
        with watch(model) as seen:
            watched = run()
    assert all(torch.equal(one, other) for one, other in zip(unwatched, watched, strict=True))
    assert len(seen.names) == len(wanted) == 6
    for number, each in enumerate(wanted):
        found = seen[number].weights
        torch.testing.assert_close(found, each[..., : found.shape[-1]], atol=1e-6, rtol=1e-5)
        assert found.shape[-1] == 4 + number // 2, "room that is not filled yet is not shown"
        assert len(seen[number].keys.labels()) == found.shape[-1]


def test_keys_are_the_words_that_were_read():
    model, prompt, filled = make(causal=True)
    with torch.no_grad(), watch(model) as seen:
        caches = model.make_caches(2)
        model(prompt, caches, filled)
    assert seen[0].keys.labels() == seen[0].queries.labels() == ["0", "1", "2", "3"]
    whole = [0.5 * torch.eye(4) + 0.5 * seen[number].weights.mean(1) for number in range(2)]
    torch.testing.assert_close(seen.rollout(query=3).weights[:, 0], (whole[1] @ whole[0])[:, 3], atol=1e-6, rtol=1e-5)


def test_sentences_of_several_lengths_in_other_rows_of_a_cache():
    model, prompt, _ = make(causal=True)
    with torch.no_grad(), watch(model) as seen:
        caches, rows, filled = model.make_caches(3), torch.tensor([2, 0]), torch.tensor([1, 3], dtype=torch.int32)
        for cache in caches:
            cache.normal_()
        first = caches[0].clone()
        model(prompt, caches, filled, cache_batch_idx=rows, cache_leftpad=torch.tensor([0, 1]))
    heads = model.query[0](model.words(prompt)).unflatten(-1, (HEADS, SIZE))
    new = model.key[0](model.words(prompt)).unflatten(-1, (KEY_HEADS, SIZE))
    starts = torch.tensor([0, 1])
    wanted = cached_weights(heads, *first, new, new, filled, rows, causal=True, cache_leftpad=starts)
    torch.testing.assert_close(seen[0].weights, wanted[..., :7], atol=1e-6, rtol=1e-5)
    assert bool((seen[0].weights[0, ..., 5:] == 0).all()), "the shorter sentence ends earlier"
    assert bool((seen[0].weights[1, ..., 0] == 0).all()), "padding in front is not seen"


def test_a_cache_in_pages_is_not_seen_and_that_is_said(monkeypatch):
    model, prompt, filled = make(causal=True)

    def flash_attn_with_kvcache(q, *_, **__):
        return q

    monkeypatch.setattr(sys.modules["flash_attn"], "flash_attn_with_kvcache", flash_attn_with_kvcache)
    with torch.no_grad(), watch(model) as seen:
        model(prompt, model.make_caches(2), filled, block_table=torch.zeros(2, 1, dtype=torch.int32))
    with pytest.raises(JumokError, match="no attention"):
        seen.rollout(0)
