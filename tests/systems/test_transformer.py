"""The Transformer: what each place may see, padding, positions, and what a watcher sees."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS, UNK
from jumok.systems.transformer import Transformer, TransformerConfig
from jumok.watching.watch import watch

SIZES = {"source_vocabulary": 11, "target_vocabulary": 9, "width": 8, "layers": 2, "heads": 2, "dropout": 0.0}
VARIANTS = [
    {},
    {"position": "learned", "activation": "gelu"},
    {"tied": False, "expansion": 1.5},
    {"source_vocabulary": 9, "shared": True},
]
EVERY = pytest.mark.parametrize("options", VARIANTS, ids=lambda options: ",".join(options) or "plain")


def model_of(**options):
    torch.manual_seed(0)
    return Transformer(TransformerConfig(**{**SIZES, **options})).eval()


def batch():
    source = torch.tensor([[5, 8, 8, 4, EOS], [7, EOS, PAD, PAD, PAD], [6, 6, 7, EOS, PAD]])
    target_in = torch.tensor([[SOS, 4, 6, 7], [SOS, 5, PAD, PAD], [SOS, 8, 4, PAD]])
    return source, target_in


@EVERY
def test_a_batch_equals_one_by_one_and_padding_does_not_matter(options):
    model, (source, target_in) = model_of(**options), batch()
    together = model(source, target_in)
    for number in range(len(source)):
        words, steps = (source[number] != PAD).sum(), (target_in[number] != PAD).sum()
        alone = model(source[number : number + 1, :words], target_in[number : number + 1, :steps])
        torch.testing.assert_close(together[number, :steps], alone[0], atol=1e-5, rtol=1e-5)


def test_a_place_sees_what_came_before_it_only():
    model, (source, target_in) = model_of(), batch()
    changed = target_in.clone()
    changed[:, 2] = 5
    before, after = model(source, target_in), model(source, changed)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


@EVERY
def test_the_order_of_words_matters(options):
    model, (source, target_in) = model_of(**options), batch()
    turned = source.clone()
    turned[0, :4] = source[0, :4].flip(0)
    assert not torch.allclose(model(source, target_in)[0], model(turned, target_in)[0], atol=1e-4)


@EVERY
def test_gradients_reach_every_parameter(options):
    model = model_of(**options)
    model(*batch()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_equals_torchs_own_layers():
    """A decoder block against `nn.TransformerDecoderLayer`, an encoder block against `nn.TransformerEncoderLayer`."""
    model = model_of()
    theirs = torch.nn.TransformerDecoderLayer(8, 2, 32, 0.0, batch_first=True, norm_first=True).eval()
    block = model.decoder[0]
    pairs = {
        "self_attn": block.attn, "multihead_attn": block.cross, "norm1": block.norm1, "norm2": block.norm2,
        "norm3": block.norm3, "linear1": block.mlp.widen, "linear2": block.mlp.narrow,
    }  # fmt: skip
    copy_weights(theirs, pairs)
    tokens, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    allowed = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    wanted = theirs(
        tokens, memory, tgt_mask=torch.ones(4, 4).triu(1).bool(), memory_key_padding_mask=~allowed, tgt_is_causal=True
    )
    torch.testing.assert_close(block(tokens, memory, allowed), wanted, atol=1e-5, rtol=1e-5)
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 32, 0.0, batch_first=True, norm_first=True).train()
    block = model.encoder[0]
    pairs = {
        "self_attn": block.attn, "norm1": block.norm1, "norm2": block.norm2, "linear1": block.mlp.widen,
        "linear2": block.mlp.narrow,
    }  # fmt: skip
    copy_weights(theirs, pairs)
    wanted = theirs(memory, src_key_padding_mask=~allowed)
    torch.testing.assert_close(block(memory, allowed)[allowed], wanted[allowed], atol=1e-5, rtol=1e-5)


def copy_weights(theirs, pairs):
    with torch.no_grad():
        for name, ours in pairs.items():
            target = getattr(theirs, name)
            if isinstance(target, torch.nn.MultiheadAttention):
                target.in_proj_weight.copy_(ours.qkv.weight)
                target.in_proj_bias.copy_(ours.qkv.bias)
                target.out_proj.load_state_dict(ours.out.state_dict())
            else:
                target.load_state_dict(ours.state_dict())


def test_sine_positions_go_as_far_as_they_must():
    short, long = model_of(max_length=4), model_of(max_length=64)
    source = torch.full((1, 30), 5)
    torch.testing.assert_close(short(source, source.clamp(max=8)), long(source, source.clamp(max=8)))
    table = long.position(0, 30)
    torch.testing.assert_close(table[7, 1], torch.sin(torch.tensor(7 / 10_000 ** (2 / 8))))
    torch.testing.assert_close(table[7, 5], torch.cos(torch.tensor(7 / 10_000 ** (2 / 8))))


def test_learned_positions_end():
    model = model_of(position="learned", max_length=4)
    with pytest.raises(JumokError, match="a sentence has 5 tokens and there are 4 learned positions"):
        model(*batch())


def test_dropout_and_word_dropout_act_in_training_only():
    for options in ({"dropout": 0.5}, {"attention_dropout": 0.5}):
        model = model_of(**options)
        torch.testing.assert_close(model(*batch()), model(*batch()), atol=0, rtol=0)
        model.train()
        assert not torch.equal(model(*batch()), model(*batch()))
    lossy = model_of(word_dropout=0.999999)
    unknown = [torch.where(ids > EOS, UNK, ids) for ids in batch()]
    torch.testing.assert_close(lossy.train()(*batch()), lossy.eval()(*unknown), atol=1e-5, rtol=1e-5)


def test_shared_and_tied_tables_are_one():
    model = model_of(source_vocabulary=9, shared=True)
    assert model.source_embedding is model.target_embedding
    assert model.output.weight is model.target_embedding.weight


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 3}, "heads 3 do not divide width 8"),
        ({"width": 9, "heads": 3}, "sine positions need a width that is a multiple of 2"),
        ({"shared": True}, "a shared vocabulary has one size, got 11 and 9"),
        ({"expansion": 0.01}, "expansion 0.01 gives the MLP of width 8 no hidden units"),
        ({"wdith": 8}, "wdith"),
    ],
)
def test_wrong_options_raise(options, words):
    with pytest.raises(ValidationError, match=words):
        TransformerConfig(**{**SIZES, **options})


def test_wrong_calls_raise():
    model, (source, target_in) = model_of(), batch()
    with pytest.raises(JumokError, match="choose teacher forcing"):
        model.decode(source, target_in, torch.ones_like(target_in, dtype=torch.bool))
    with pytest.raises(JumokError, match="target_in holds id 9"):
        model(source, target_in + 1)


@EVERY
def test_a_watched_pass_shows_each_attention_and_is_the_same(options):
    model, (source, target_in) = model_of(**options), batch()
    with torch.no_grad():
        plain = model(source, target_in)
        with watch(model) as seen:
            watched = model(source, target_in)
    assert torch.equal(watched, plain)
    assert seen.names == [
        "encoder.0.attn", "encoder.1.attn", "decoder.0.attn", "decoder.0.cross", "decoder.1.attn", "decoder.1.cross",
    ]  # fmt: skip
    cross = seen["decoder.1.cross"].weights
    assert cross.shape == (3, 2, 4, 5)
    torch.testing.assert_close(cross.sum(-1), torch.ones(3, 2, 4))
    assert (cross[(source == PAD)[:, None, None].expand_as(cross)] == 0).all()


def test_it_learns_to_reverse():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(source_vocabulary=12, target_vocabulary=12, width=32, layers=1, heads=2))
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(200):
        body = torch.randint(4, 12, (64, 5))
        source = F.pad(body, (0, 1), value=EOS)
        target = F.pad(F.pad(body.flip(1), (1, 0), value=SOS), (0, 1), value=EOS)
        loss = F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = model.eval()(source, target[:, :-1]).argmax(-1) == target[:, 1:]
    assert right.float().mean() > 0.95
