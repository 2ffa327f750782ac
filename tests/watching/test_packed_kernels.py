"""flash-attn and xFormers: laid out as in the packages, computed here by hand, and seen from their inputs."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from jumok.errors import JumokError
from jumok.watching.watch import watch

SIZE, HEADS, WIDTH = 12, 2, 16


def scores_of(query, key, scale):
    """(batch, heads, queries, keys) of (batch, tokens, heads, size)."""
    key = key.repeat_interleave(query.shape[2] // key.shape[2], 2)
    return torch.einsum("bqhd,bkhd->bhqk", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)


def flash_weights(q, k, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None):
    scores = scores_of(q, k, softmax_scale)
    if softcap:
        scores = softcap * (scores / softcap).tanh()
    for row in range(q.shape[1]):
        for column in range(k.shape[1]):
            ahead = column - row - (k.shape[1] - q.shape[1])
            if alibi_slopes is not None:
                scores[:, :, row, column] -= alibi_slopes * abs(ahead)
            left, right = window_size
            if ahead > (0 if causal else right if right >= 0 else SIZE) or (left >= 0 and ahead < -left):
                scores[:, :, row, column] = -torch.inf
    return scores.softmax(-1)


def flash_attn_func(q, k, v, dropout_p=0.0, **options):
    v = v.repeat_interleave(q.shape[2] // v.shape[2], 2)
    return torch.einsum("bhqk,bkhd->bqhd", flash_weights(q, k, **options), v)


def flash_attn_qkvpacked_func(qkv, dropout_p=0.0, **options):
    return flash_attn_func(*qkv.unbind(2), dropout_p, **options)


def flash_attn_kvpacked_func(q, kv, dropout_p=0.0, **options):
    return flash_attn_func(q, *kv.unbind(2), dropout_p, **options)


def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_q, max_k, block_table=None, **options):
    bounds = zip(*(pair for ends in (cu_seqlens_q, cu_seqlens_k) for pair in (ends[:-1], ends[1:])), strict=True)
    parts = [flash_attn_func(q[None, a:b], k[None, c:d], v[None, c:d], **options)[0] for a, b, c, d in bounds]
    return torch.cat(parts)


def flash_attn_varlen_qkvpacked_func(qkv, cu_seqlens, max_seqlen, **options):
    return flash_attn_varlen_func(*qkv.unbind(1), cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, **options)


def flash_attn_varlen_kvpacked_func(q, kv, *lengths, **options):
    return flash_attn_varlen_func(q, *kv.unbind(1), *lengths, **options)


PACKED = (
    flash_attn_qkvpacked_func,
    flash_attn_kvpacked_func,
    flash_attn_varlen_func,
    flash_attn_varlen_qkvpacked_func,
    flash_attn_varlen_kvpacked_func,
)


def memory_efficient_attention(query, key, value, attn_bias=None, p=0.0, scale=None):
    four = query if query.dim() == 4 else query[:, :, None]
    keys, values = (each if each.dim() == 4 else each[:, :, None] for each in (key, value))
    scores = scores_of(four, keys, scale)
    if attn_bias is not None:
        scores = scores + (attn_bias if isinstance(attn_bias, torch.Tensor) else attn_bias.materialize(scores.shape))
    output = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values)
    return output if query.dim() == 4 else output[:, :, 0]


class LowerTriangular:
    """A bias that says itself what it is, as those of xFormers do."""

    def materialize(self, shape):
        return torch.full(shape, -torch.inf).triu(1)


@pytest.fixture(autouse=True)
def _packages(monkeypatch):
    flash, ops, xformers = ModuleType("flash_attn"), ModuleType("xformers.ops"), ModuleType("xformers")
    flash.flash_attn_func, ops.memory_efficient_attention, xformers.ops = (
        flash_attn_func,
        memory_efficient_attention,
        ops,
    )
    for function in PACKED:
        setattr(flash, function.__name__, function)
    for module in (flash, ops, xformers):
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Attending(nn.Module):
    """Self-attention by one of the packages' functions, found in the package or in this file."""

    def __init__(self, package, key_heads=HEADS, **options):
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key, self.value = (nn.Linear(WIDTH, WIDTH // HEADS * key_heads) for _ in range(2))
        self.package, self.key_heads, self.options = package, key_heads, options

    def heads(self, tokens):
        counts = (HEADS, self.key_heads, self.key_heads)
        layers = (self.query, self.key, self.value)
        return [layer(tokens).unflatten(-1, (count, -1)) for layer, count in zip(layers, counts, strict=True)]

    def forward(self, tokens):
        if self.package == "here":
            return flash_attn_func(*self.heads(tokens), **self.options).flatten(2)
        if self.package == "flash_attn":
            return sys.modules["flash_attn"].flash_attn_func(*self.heads(tokens), **self.options).flatten(2)
        call = sys.modules["xformers.ops"].memory_efficient_attention
        return call(*self.heads(tokens), **self.options).flatten(2)


FLASH = {
    "plain": {},
    "causal": {"causal": True},
    "window": {"window_size": (3, 1)},
    "causal window": {"causal": True, "window_size": (4, 0)},
    "capped": {"softcap": 0.5, "softmax_scale": 1.5},
    "alibi": {"alibi_slopes": torch.tensor([0.5, 0.1]), "causal": True},
    "grouped": {"key_heads": 1},
}


@pytest.mark.parametrize("package", ["here", "flash_attn"])
@pytest.mark.parametrize("name", FLASH)
def test_flash_attn_is_seen_from_its_inputs(name, package):
    torch.manual_seed(0)
    model, tokens = Attending(package, **FLASH[name]), torch.randn(2, SIZE, WIDTH)
    with torch.no_grad():
        unwatched = model(tokens)
        with watch(model) as seen:
            watched = model(tokens)
        query, key, _ = model.heads(tokens)
        wanted = flash_weights(query, key, **model.options)
    assert torch.equal(watched, unwatched)
    assert flash_attn_func.__module__ == __name__, "nothing is left behind"
    torch.testing.assert_close(seen[seen.names[0]].weights.float(), wanted, atol=1e-6, rtol=1e-5)


BIASES = {
    "none": None,
    "tensor": torch.randn(1, HEADS, SIZE, SIZE, generator=torch.Generator().manual_seed(1)),
    "lower triangular": LowerTriangular(),
}


@pytest.mark.parametrize("name", BIASES)
def test_xformers_is_seen_from_its_inputs(name):
    torch.manual_seed(0)
    model, tokens = Attending("xformers", attn_bias=BIASES[name]), torch.randn(2, SIZE, WIDTH)
    with torch.no_grad(), watch(model) as seen:
        model(tokens)
    query, key, _ = model.heads(tokens)
    scores, bias = scores_of(query, key, None), BIASES[name]
    scores = scores if bias is None else scores + (bias if name == "tensor" else bias.materialize(scores.shape))
    torch.testing.assert_close(seen[seen.names[0]].weights, scores.softmax(-1), atol=1e-6, rtol=1e-5)


def test_rollout_and_relevance_go_through_both_as_through_torch_s_own_kernel():
    torch.manual_seed(0)
    stack = nn.Sequential(Attending("flash_attn"), Attending("xformers"))
    own = nn.Sequential(OwnKernel(stack[0]), OwnKernel(stack[1]))
    tokens = torch.randn(2, SIZE, WIDTH, requires_grad=True)
    maps = []
    for model in (stack, own):
        with watch(model) as seen:
            output = model(tokens)
        maps.append((seen.rollout(query=3).weights, seen.relevance(output[:, 3, 5], query=3).weights))
    for one, other in zip(*maps, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


class OwnKernel(nn.Module):
    def __init__(self, like):
        super().__init__()
        self.like = like

    def forward(self, tokens):
        heads = (each.transpose(1, 2) for each in self.like.heads(tokens))
        return nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def test_relevance_through_dropped_weights_is_refused():
    torch.manual_seed(0)
    model, tokens = Attending("flash_attn", dropout_p=0.1), torch.randn(1, SIZE, WIDTH, requires_grad=True)
    with watch(model) as seen:
        output = model(tokens)
    with pytest.raises(JumokError, match=r"dropout 0\.1 hid some"):
        seen.relevance(output[:, 0, 0], query=0)


class Packed(Attending):
    """Self-attention by one of flash-attn's packed functions; of the joined ones over sequences of 5 and 7 tokens."""

    ENDS = torch.tensor([0, 5, SIZE], dtype=torch.int32)

    def forward(self, tokens):
        function = getattr(sys.modules["flash_attn"], self.package)
        query, key, value = self.heads(tokens)
        if "varlen" in self.package:
            query, key, value = (each.flatten(0, 1) for each in (query, key, value))
        lengths = (self.ENDS, self.ENDS, 7, 7)
        axis = query.dim() - 2
        given = {
            "flash_attn_qkvpacked_func": (torch.stack([query, key, value], axis),),
            "flash_attn_kvpacked_func": (query, torch.stack([key, value], axis)),
            "flash_attn_varlen_func": (query, key, value, *lengths),
            "flash_attn_varlen_qkvpacked_func": (torch.stack([query, key, value], axis), self.ENDS, 7),
            "flash_attn_varlen_kvpacked_func": (query, torch.stack([key, value], axis), *lengths),
        }[self.package]
        return function(*given, **self.options).reshape(tokens.shape)

    def weights(self, tokens):
        """As it is by hand: (batch, heads, queries, keys)."""
        query, key, _ = self.heads(tokens)
        if "varlen" not in self.package:
            return flash_weights(query, key, **self.options)
        whole = torch.zeros(1, HEADS, SIZE, SIZE)
        for part in (slice(0, 5), slice(5, SIZE)):
            whole[:, :, part, part] = flash_weights(query[:, part], key[:, part], **self.options)
        return whole


@pytest.mark.parametrize("name", ["plain", "causal", "window", "capped", "alibi"])
@pytest.mark.parametrize("function", [each.__name__ for each in PACKED])
def test_packed_functions_of_flash_attn_are_seen_from_their_inputs(function, name):
    torch.manual_seed(0)
    model = nn.Sequential(*(Packed(function, **FLASH[name]) for _ in range(2)))
    tokens = torch.randn(1 if "varlen" in function else 2, SIZE, WIDTH)
    unwatched = model(tokens)
    with watch(model) as seen:
        watched = model(tokens)
    assert torch.equal(watched, unwatched)
    wanted = [model[0].weights(tokens), model[1].weights(model[0](tokens))]
    assert seen.names == ["0", "1"]
    for number, each in enumerate(wanted):
        torch.testing.assert_close(seen[number].weights, each, atol=1e-6, rtol=1e-5)
    one, two = (each.mean(1) for each in wanted)  # no residual connections
    torch.testing.assert_close(seen.rollout(3).weights[:, 0], (two @ one)[:, 3], atol=1e-6, rtol=1e-4)
    found = seen.relevance(watched[:, 3].square().sum(-1), 3).weights
    stack = nn.Sequential(*(Attending("here", **FLASH[name]) for _ in range(2)))
    stack.load_state_dict(model.state_dict())
    if "varlen" in function:  # the first sequence alone, where the query is
        tokens, found = tokens[:, :5], found[..., :5]
    with watch(stack) as seen:
        watched = stack(tokens)
    again = seen.relevance(watched[:, 3].square().sum(-1), 3).weights
    torch.testing.assert_close(found, again, atol=1e-6, rtol=1e-4)


def test_keys_in_pages_are_not_seen_and_that_is_said():
    class Paged(Packed):
        def forward(self, tokens):
            query, key, value = (each.flatten(0, 1) for each in self.heads(tokens))
            function = sys.modules["flash_attn"].flash_attn_varlen_func
            table = torch.zeros(2, 1, dtype=torch.int32)
            return function(query, key, value, self.ENDS, self.ENDS, 7, 7, block_table=table).reshape(tokens.shape)

    model = Paged("flash_attn_varlen_func")
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, SIZE, WIDTH))
    with pytest.raises(JumokError, match="no attention"):
        seen.rollout(0)
