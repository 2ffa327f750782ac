"""What `watch` sees, against attention weights that each model computes eagerly by itself."""

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from watched_models import SMALL, Fused, eager, peaked, vision

from jumok.attention import Patches, Tokens
from jumok.errors import JumokError
from jumok.systems.vit import ViT, ViTConfig
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")

VISION = {
    "vit": lambda: vision(transformers.ViTConfig, transformers.ViTModel),
    "deit": lambda: vision(transformers.DeiTConfig, transformers.DeiTModel),
    "dinov2-registers": lambda: vision(
        transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel, num_register_tokens=3
    ),
}
SPECIAL = {"vit": ("cls",), "deit": ("cls", "dist"), "dinov2-registers": ("cls", "reg1", "reg2", "reg3")}


@pytest.mark.parametrize("name", VISION)
def test_vision_transformers_weights_and_geometry(name):
    model = VISION[name]()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = eager(model)(pixels, output_attentions=True).attentions
        plain = model(pixels).last_hidden_state
        with watch(model) as seen:
            watched = model(pixels).last_hidden_state
    assert torch.equal(plain, watched)
    assert len(seen) == len(wanted) == 3
    for entry, weights in zip(seen.names, wanted, strict=True):
        assert seen[entry].lead == ("batch", "head")
        torch.testing.assert_close(seen[entry].weights, weights, atol=1e-6, rtol=1e-5)
    assert seen[0].keys == Patches(4, 4, special=SPECIAL[name])
    assert seen.row(1, "cls").weights.shape == (2, 4, 1, len(seen[0].keys))
    torch.testing.assert_close(seen.row(1, (2, 3)).weights, seen[1].row((2, 3)).weights)


def test_interpolated_positions_and_a_non_square_image():
    model = VISION["vit"]()
    pixels = torch.randn(1, 3, 48, 64)
    with torch.no_grad(), watch(model) as seen:
        model(pixels, interpolate_pos_encoding=True)
    assert seen[0].keys == Patches(6, 8, special=("cls",))
    assert seen.rollout("cls").image(48, 64).shape == (1, 1, 48, 64)


def test_bert_with_a_padding_mask():
    model = peaked(transformers.BertModel(transformers.BertConfig(vocab_size=50, **SMALL)))
    ids = torch.randint(0, 50, (2, 7))
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    with torch.no_grad():
        wanted = eager(model)(ids, attention_mask=mask, output_attentions=True).attentions
        with watch(model, tokens=["[CLS]", "the", "cat", "sat", "on", "it", "[SEP]"]) as seen:
            model(ids, attention_mask=mask)
    for entry, weights in zip(seen.names, wanted, strict=True):
        torch.testing.assert_close(seen[entry].weights, weights, atol=1e-6, rtol=1e-5)
    assert (seen[0].weights[1, :, :, 4:] == 0).all()
    assert seen.rollout("cat").keys.label(2) == "cat"


@pytest.mark.parametrize("family", ["Bart", "Marian"])
def test_encoder_decoder_with_cross_attention(family):
    config = getattr(transformers, f"{family}Config")(
        vocab_size=40, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32,
        pad_token_id=1, eos_token_id=2, bos_token_id=0, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    model = peaked(getattr(transformers, f"{family}Model")(config))
    source, target = torch.randint(3, 40, (2, 6)), torch.randint(3, 40, (2, 4))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    with torch.no_grad():
        result = eager(model)(source, attention_mask=mask, decoder_input_ids=target, output_attentions=True)
        plain = model(source, attention_mask=mask, decoder_input_ids=target).last_hidden_state
        with watch(model) as seen:
            watched = model(source, attention_mask=mask, decoder_input_ids=target).last_hidden_state
    assert torch.equal(plain, watched)
    encoder, decoder = seen.only("encoder"), seen.only("decoder")
    for entry, weights in zip(encoder.names, result.encoder_attentions, strict=True):
        torch.testing.assert_close(encoder[entry].weights, weights, atol=1e-6, rtol=1e-5)
    wanted = [w for pair in zip(result.decoder_attentions, result.cross_attentions, strict=True) for w in pair]
    for entry, weights in zip(decoder.names, wanted, strict=True):
        torch.testing.assert_close(decoder[entry].weights, weights, atol=1e-6, rtol=1e-5)
    with pytest.raises(JumokError, match="not one chain"):
        seen.rollout(0)
    assert encoder.rollout(0).weights.shape == (2, 1, 6)


def test_swin_gives_maps_per_window_and_one_rollout_through_shifts_and_merges():
    config = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    model = peaked(transformers.SwinModel(config))
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = eager(model)(pixels, output_attentions=True).attentions
        with watch(model) as seen:
            model(pixels)
    assert seen[0].lead == ("batch", "window", "head")
    for stage, weights in enumerate(wanted):  # transformers gives the last block of each stage
        got = seen[f"encoder.layers.{stage}.blocks.1.attention"].weights.flatten(0, -4)
        torch.testing.assert_close(got, weights, atol=1e-6, rtol=1e-5)
    dense = [
        lay_out_windows(seen[n].weights.mean(-3).reshape(2, -1, 16, 16), side, shift)
        for n, side, shift in zip(range(4), (8, 8, 4, 4), (0, 2, 0, 0), strict=True)
    ]
    first, second = (mix(dense[n + 1]) @ mix(dense[n]) for n in (0, 2))
    merge = torch.zeros(16, 64)
    for place in range(64):
        merge[place // 16 * 4 + place % 8 // 2, place] = 1 / 4
    whole = second @ merge @ first
    for query in (0, 5, 15):
        got = seen.rollout(query)
        assert got.keys == Patches(8, 8)
        torch.testing.assert_close(got.weights[:, 0], whole[:, query], atol=1e-6, rtol=1e-5)


def lay_out_windows(weights, side, shift):
    """(batch, windows, 16, 16) to (batch, side x side, side x side): each window's places where they are."""
    places = torch.arange(side * side).view(side, side).roll((-shift, -shift), (0, 1))
    places = places.unflatten(0, (-1, 4)).unflatten(2, (-1, 4)).transpose(1, 2).reshape(-1, 16)
    dense = torch.zeros(len(weights), side * side, side * side)
    for window, own in enumerate(places):
        dense[:, own[:, None], own] = weights[:, window]
    return dense


def mix(weights):
    return 0.5 * torch.eye(weights.shape[-1]) + 0.5 * weights


def test_eager_models_are_seen_by_their_softmax():
    model = eager(VISION["vit"]())
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        result = model(pixels, output_attentions=True)
        with watch(model) as seen:
            watched = model(pixels).last_hidden_state
    assert torch.equal(result.last_hidden_state, watched)
    for entry, weights in zip(seen.names, result.attentions, strict=True):
        assert torch.equal(seen[entry].weights, weights)


# -- PyTorch's own modules --------------------------------------------------------------------


def multi_head(**options):
    torch.manual_seed(0)
    return nn.MultiheadAttention(16, 4, **options)


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


# -- the fused call and its options -----------------------------------------------------------


def textbook(query, key, mask=None, causal=False, scale=None):
    query, key = query.double(), key.double()
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query @ key.transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    return scores.softmax(-1).float()


BOOL_MASK = torch.rand(2, 1, 6, 9, generator=torch.Generator().manual_seed(1)) > 0.4
BOOL_MASK[..., 0] = True
FLOAT_MASK = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(2))
FUSED = {
    "plain": {},
    "scale": {"scale": 0.7},
    "causal": {"is_causal": True},
    "bool mask": {"attn_mask": BOOL_MASK},
    "float mask": {"attn_mask": FLOAT_MASK},
    "grouped queries": {"enable_gqa": True},
    "dropout": {"dropout_p": 0.5},
}


@pytest.mark.parametrize("case", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("gradients", [False, True])
def test_options_of_the_fused_call(case, dtype, gradients):
    options = {
        k: v.to(dtype) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in FUSED[case].items()
    }
    torch.manual_seed(0)
    heads = 2 if case == "grouped queries" else 4
    query, key, value = torch.randn(2, 4, 6, 8), torch.randn(2, heads, 9, 8), torch.randn(2, heads, 9, 8)
    query, key, value = (t.to(dtype).requires_grad_(gradients) for t in (query, key, value))
    model = Fused(**options)
    torch.manual_seed(1)
    plain = model(query, key, value)
    torch.manual_seed(1)
    with watch(model) as seen:
        watched = model(query, key, value)
    assert torch.equal(plain, watched)
    wanted = textbook(query.detach(), key.detach(), options.get("attn_mask"), case == "causal", options.get("scale"))
    torch.testing.assert_close(seen[0].weights, wanted, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(seen.row(0, 3).weights, wanted[:, :, 3:4], atol=2e-6, rtol=1e-5)


def test_a_row_that_may_attend_to_nothing_is_zero_not_nan():
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    query = torch.randn(1, 1, 5, 8)
    model = Fused(attn_mask=mask)
    with watch(model) as seen:
        model(query, query, query)
    assert (seen[0].weights[0, 0, 2] == 0).all()
    assert torch.allclose(seen[0].weights[0, 0, 3].sum(), torch.tensor(1.0))


# -- by hand ----------------------------------------------------------------------------------


class ByHand(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
        self.num_heads = 2

    def forward(self, query, key, value):
        scores = query @ key.transpose(-1, -2)
        if self.form == "einsum":
            return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), value)
        if self.form == "values first":
            weights = torch.softmax(scores, dim=-1)
            return value.transpose(-1, -2) @ weights.transpose(-1, -2)
        if self.form == "heads in the batch":
            weights = F.softmax(scores.flatten(0, 1), dim=-1)
            return torch.bmm(F.dropout(weights, 0.1, self.training), value.flatten(0, 1))
        return torch.matmul(F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


@pytest.mark.parametrize("form", ["matmul", "einsum", "values first", "heads in the batch"])
def test_softmax_by_hand(form):
    query = torch.randn(3, 2, 5, 8)
    model = ByHand(form).eval()
    with watch(model) as seen:
        model(query, query, query)
    assert seen[0].lead == ("batch", "head")
    torch.testing.assert_close(seen[0].weights, (query @ query.transpose(-1, -2)).softmax(-1))


def test_a_softmax_that_weighs_nothing_is_not_attention():
    model = nn.Sequential(nn.Linear(4, 5), nn.Softmax(-1))
    with watch(model) as seen:
        model(torch.randn(2, 3, 4))
    assert len(seen) == 0
    with pytest.raises(JumokError, match="no attention call was seen"):
        seen.rollout()


# -- manners ----------------------------------------------------------------------------------


def state_of_torch():
    classes = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
    return [cls.forward for cls in classes], torch._C._len_torch_function_stack()


def test_nothing_stays_behind():
    before = state_of_torch()
    model = VISION["vit"]()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    keys = [set(m.__dict__) for m in model.modules()]
    with torch.no_grad(), watch(model) as seen:
        output = model(torch.randn(1, 3, 32, 32)).last_hidden_state
    assert state_of_torch() == before
    assert hooks == [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]
    assert keys == [set(m.__dict__) for m in model.modules()]
    kept = weakref.ref(seen._calls[0].attended.query)
    left = weakref.ref(output)
    del seen, output
    gc.collect()
    assert kept() is None
    assert left() is None


def test_nothing_stays_behind_when_the_model_raises():
    before = state_of_torch()
    with pytest.raises(RuntimeError), watch(Fused()):
        Fused()(torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2, 4))
    assert state_of_torch() == before


def test_threads_do_not_see_each_other():
    models = [Fused() for _ in range(4)]
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval()
    counts, barrier = {}, threading.Barrier(5)

    def look(number):
        with torch.no_grad(), watch(models[number]) as seen:
            barrier.wait()
            for _ in range(number + 1):
                models[number](*[torch.randn(1, 1, 3, 4)] * 3)
            barrier.wait()
        counts[number] = len(seen)

    def run_unwatched():
        barrier.wait()
        with torch.no_grad():
            counts["plain"] = encoder(torch.randn(1, 3, 16)).shape
        barrier.wait()

    threads = [threading.Thread(target=look, args=(n,)) for n in range(4)] + [threading.Thread(target=run_unwatched)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {0: 1, 1: 2, 2: 3, 3: 4, "plain": torch.Size([1, 3, 16])}


def test_watching_inside_watching_records_in_the_inner_block_too():
    model = VISION["vit"]()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad(), watch(model) as outer:
        with watch(model) as inner:
            model(pixels)
        model(pixels)
    assert len(inner) == 3
    assert len(outer) in (3, 6)


def test_compiled_and_scripted_models_are_refused_with_the_way_out():
    with pytest.raises(JumokError, match="_orig_mod"), watch(torch.compile(nn.Linear(2, 2))):
        pass
    inner = nn.Linear(2, 2)
    inner.compile()
    with pytest.raises(JumokError, match="submodule '0' is compiled"), watch(nn.Sequential(inner)):
        pass


def test_two_passes_have_numbered_names_and_no_common_chain():
    model = VISION["vit"]()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
        model(torch.randn(1, 3, 32, 32))
    assert len(seen.passes) == 2
    assert seen.names[3].endswith("@2")
    with pytest.raises(JumokError, match="ran 2 times"):
        seen.rollout()
    assert seen.passes[1].rollout().weights.shape == (1, 1, 17)


def test_passes_of_other_batches_and_sizes_are_not_taken_for_windows():
    model = VISION["vit"]()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
        model(torch.randn(4, 3, 48, 32), interpolate_pos_encoding=True)
    assert seen.passes[0][0].lead == seen.passes[1][0].lead == ("batch", "head")
    assert seen.passes[1].rollout().weights.shape == (4, 1, 25)
    assert seen.passes[1][0].keys == Patches(6, 4, special=("cls",))


def test_a_layer_that_is_shared_within_one_pass_is_one_chain():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = multi_head(batch_first=True)

        def forward(self, tokens):
            for _ in range(3):
                tokens = tokens + self.attention(tokens, tokens, tokens)[0]
            return tokens

    model = Shared().eval()
    with watch(model) as seen:
        model(torch.randn(1, 4, 16))
    assert seen.names == ["attention", "attention@2", "attention@3"]
    assert len(seen.passes) == 1
    assert seen.rollout("mean").weights.shape == (1, 1, 4)


def test_a_key_changed_in_place_is_noticed():
    query = torch.randn(1, 1, 3, 4)
    model = Fused()
    with watch(model) as seen:
        model(query, query, query)
    query.zero_()
    with pytest.raises(JumokError, match="changed in place"):
        _ = seen[0]


def test_learnt_tokens_are_named_by_their_parameter_or_by_the_user():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.extra = nn.Parameter(torch.zeros(1, 5, 16))
            self.attention = multi_head(batch_first=True)

        def forward(self, pixels):
            tokens = self.embed(pixels).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.extra.expand(len(tokens), -1, -1), tokens], 1)
            return self.attention(tokens, tokens, tokens)[0]

    model = Odd().eval()
    with watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
    assert seen[0].keys == Patches(4, 4, special=("extra1", "extra2", "extra3", "extra4", "extra5"))
    axis = Patches(4, 4, special=("a", "b", "c", "d", "e"))
    with watch(model, tokens=axis) as seen:
        model(torch.randn(1, 3, 32, 32))
    assert seen.rollout("e").keys == axis


def test_patches_embedded_by_a_linear_layer():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.cls_token = nn.Parameter(torch.randn(1, 1, 16))
            self.embed = nn.Linear(3 * 8 * 8, 16)
            self.attention = multi_head(batch_first=True)

        def forward(self, img):
            tokens = self.embed(F.unfold(img, 8, stride=8).transpose(1, 2))
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
            return self.attention(tokens, tokens, tokens)[0]

    model = Linear().eval()
    with watch(model) as seen:
        model(torch.randn(1, 3, 32, 48))
    assert seen[0].keys == Patches(4, 6, special=("cls",))


@pytest.mark.parametrize("wrong", [99, "dog", (9, 9)])
def test_a_query_that_is_not_there(wrong):
    model = VISION["vit"]()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
    with pytest.raises(JumokError, match="with query="):
        seen.rollout(wrong)


def test_words_must_be_a_sequence():
    with pytest.raises(JumokError, match="split it"), watch(Fused(), tokens="the cat"):
        pass


def test_unknown_names_are_suggested():
    model = VISION["vit"]()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, 32, 32))
    with pytest.raises(JumokError, match="did you mean"):
        _ = seen["layers.0.atention"]
    assert isinstance(Tokens(("a",)), Tokens)


def test_our_own_vit_with_registers_on_an_image_that_is_not_square():
    torch.manual_seed(0)
    config = ViTConfig(classes=3, image_size=(32, 48), patch=8, width=32, depth=3, heads=4, registers=2)
    model = ViT(config).eval()
    pixels = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        plain = model(pixels)
        with watch(model) as seen:
            watched = model(pixels)
        assert torch.equal(plain, watched)
        tokens = model.embed(pixels)
        for name, block in zip(seen.names, model.blocks, strict=True):
            wanted = block.attn.plain(block.norm1(tokens))[1]
            torch.testing.assert_close(seen[name].weights, wanted, atol=1e-6, rtol=1e-5)
            tokens = block(tokens)
    assert seen.names == [f"blocks.{number}.attn" for number in range(3)]
    assert seen[0].keys == Patches(4, 6, special=("cls", "reg1", "reg2"))
    assert seen.rollout().image(32, 48).shape == (2, 1, 32, 48)
