"""PyTorch's own modules of attention, by its fast path and without."""

import pytest
import torch
from token_models import multi_head
from torch import nn

from jumok.attention import Tokens
from jumok.watching.watch import watch


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 6, "vdim": 5}])
def test_multihead_attention_module(batch_first, need_weights, gradients, options):
    module = multi_head(batch_first=batch_first, **options).eval()
    query = torch.randn(3, 5, 16) if batch_first else torch.randn(5, 3, 16)
    key, value = query, query
    if "kdim" in options:
        key, value = torch.randn(*query.shape[:2], 6), torch.randn(*query.shape[:2], 5)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 4:] = True
    _, wanted = module(query, key, value, key_padding_mask=padding, average_attn_weights=False)
    with torch.set_grad_enabled(gradients):
        plain = module(query, key, value, key_padding_mask=padding, need_weights=need_weights)[0]
        with watch(module) as seen:
            watched = module(query, key, value, key_padding_mask=padding, need_weights=need_weights)[0]
    assert torch.equal(plain, watched)
    assert seen.names == ["attention"]
    torch.testing.assert_close(seen[0].weights, wanted.detach(), atol=1e-6, rtol=1e-5)


def test_multihead_attention_without_a_batch_axis_and_with_a_causal_hint():
    module = multi_head().eval()
    words = torch.randn(5, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    _, wanted = module(words, words, words, attn_mask=mask, average_attn_weights=False)
    with watch(module) as seen:
        module(words, words, words, attn_mask=mask, is_causal=True, need_weights=False)
    torch.testing.assert_close(seen[0].weights[0], wanted.detach(), atol=1e-6, rtol=1e-5)


def encoder_weights(encoder, tokens, **masks):
    """The same layers, run by hand with the weights asked for (post-norm or pre-norm)."""
    found = []
    for layer in encoder.layers:
        inner = layer.norm1(tokens) if layer.norm_first else tokens
        found.append(layer.self_attn(inner, inner, inner, average_attn_weights=False, **masks)[1])
        tokens = layer(
            tokens, **{"src_" + name if name == "key_padding_mask" else "src_mask": m for name, m in masks.items()}
        )
    return found


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_transformer_encoder_fast_path_does_not_hide_it(gradients, norm_first, masked):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm_first)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    tokens = torch.randn(2, 5, 16)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    kwargs = {"src_key_padding_mask": padding} if masked else {}
    wanted = encoder_weights(encoder, tokens, **({"key_padding_mask": padding} if masked else {}))
    with torch.set_grad_enabled(gradients):
        plain = encoder(tokens, **kwargs)
        with watch(encoder) as seen:
            watched = encoder(tokens, **kwargs)
    assert torch.equal(plain, watched)
    assert seen.names == ["layers.0.self_attn", "layers.1.self_attn"]
    for entry, weights in zip(seen.names, wanted, strict=True):
        real = ~padding if masked else torch.ones_like(padding)
        got = seen[entry].weights.transpose(1, 2)[real]
        torch.testing.assert_close(got, weights.detach().transpose(1, 2)[real], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("gradients", [True, False])
def test_whole_transformer(gradients):
    torch.manual_seed(0)
    model = nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True).eval()
    source, target = torch.randn(2, 6, 16), torch.randn(2, 4, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    with torch.set_grad_enabled(gradients):
        plain = model(source, target, tgt_mask=mask)
        with watch(model) as seen:
            watched = model(source, target, tgt_mask=mask)
    assert torch.equal(plain, watched)
    assert seen.names[2:] == [
        f"decoder.layers.{n}.{which}" for n in range(2) for which in ("self_attn", "multihead_attn")
    ]
    memory = model.encoder(source)
    first = model.decoder.layers[0]
    wanted = first.self_attn(target, target, target, attn_mask=mask, average_attn_weights=False)[1]
    torch.testing.assert_close(seen["decoder.layers.0.self_attn"].weights, wanted.detach(), atol=1e-6, rtol=1e-5)
    inner = first.norm1(target + first._sa_block(target, mask, None))
    wanted = first.multihead_attn(inner, memory, memory, average_attn_weights=False)[1]
    torch.testing.assert_close(seen["decoder.layers.0.multihead_attn"].weights, wanted.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_what_looks_at_an_encoder_that_ends_with_a_norm_is_followed_through_it(gradients, batch_first):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first)
            self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16))
            self.pool = nn.MultiheadAttention(16, 2, batch_first=batch_first)

        def forward(self, x):
            x = self.encoder(x)
            return x + self.pool(x, x, x)[0]

    tokens = torch.randn(2, 5, 16)
    with torch.set_grad_enabled(gradients), watch(model := Pooled().eval()) as seen:
        model(tokens if batch_first else tokens.transpose(0, 1))
    wanted = torch.eye(5)
    for name in seen.names:
        wanted = (0.5 * torch.eye(5) + 0.5 * seen[name].weights.mean(1)) @ wanted
    assert len(seen.names) == 3
    assert seen[0].keys == seen.rollout(1).keys == Tokens(tuple("01234"))
    torch.testing.assert_close(seen.rollout(1).weights[:, 0], wanted[:, 1], atol=1e-6, rtol=1e-5)


def test_words_of_a_text_whose_steps_come_first_are_named():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.attention = nn.Embedding(20, 16), nn.MultiheadAttention(16, 2)

        def forward(self, ids):
            x = self.words(ids)
            return x + self.attention(x, x, x)[0]

    ids = torch.randint(0, 20, (5, 2))
    for said, wanted in ((None, "01234"), (list("abcde"), "abcde")):
        with torch.no_grad(), watch(model := Steps().eval(), tokens=said) as seen:
            model(ids)
        assert seen[0].keys == seen[0].queries == seen.rollout(0).keys == Tokens(tuple(wanted))


# -- the fused call and its options -----------------------------------------------------------
