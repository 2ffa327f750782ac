"""What `watch` sees, against attention weights that each model computes eagerly by itself."""

import pytest
import torch
from token_models import multi_head
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


@pytest.mark.parametrize("sides", [(6, 8), (2, 3)], ids=["larger", "smaller"])
def test_interpolated_positions_and_a_non_square_image(sides):
    model = VISION["vit"]()
    height, width = (8 * side for side in sides)
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(1, 3, height, width), interpolate_pos_encoding=True)
    assert seen[0].keys == Patches(*sides, special=("cls",))
    assert seen.rollout("cls").image(height, width).shape == (1, 1, height, width)


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
