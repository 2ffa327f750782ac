"""Seq2seq: its formula by the textbook, padding, teacher forcing and its opposite, and what a watcher sees."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.mechanisms.recurrent.attending_layer import SCORES
from jumok.mechanisms.recurrent.cells import CELLS
from jumok.special_tokens import EOS, PAD, SOS, UNK
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.watching.watch import watch

SIZES = {"source_vocabulary": 11, "target_vocabulary": 9, "embedding": 6, "hidden": 8, "heads": 2, "dropout": 0.0}
EVERY_SCORE = pytest.mark.parametrize("score", ["none", *SCORES])
EVERY_ATTENTION = pytest.mark.parametrize("score", SCORES)
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


def model_of(**options):
    torch.manual_seed(0)
    model = Seq2Seq(Seq2SeqConfig(**{**SIZES, **options}))
    with torch.no_grad():
        for parameter in model.parameters():  # no bias that is 0, no gate that is half open
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.eval()


def batch():
    source = torch.tensor([[5, 8, 10, 4, EOS], [7, EOS, PAD, PAD, PAD], [6, 6, 9, EOS, PAD]])
    target_in = torch.tensor([[SOS, 4, 6, 7], [SOS, 5, PAD, PAD], [SOS, 8, 4, PAD]])
    return source, target_in


# -- the formula -----------------------------------------------------------------------------------


def textbook_weights(model, g, h):
    look, score = model.decoder.first.look, model.config.score
    if score == "dot":
        return torch.softmax(h @ g, 0)
    if score == "scaled-dot":
        return torch.softmax(h @ g / math.sqrt(len(g)), 0)
    if score == "general":
        return torch.softmax(torch.stack([g @ look.key.weight @ h_j for h_j in h]), 0)
    w, wq, uk = look.w, look.query.weight, look.key.weight
    return torch.softmax(torch.stack([w @ torch.tanh(wq @ g + uk @ h_j) for h_j in h]), 0)


@pytest.mark.parametrize("score", ["none", "dot", "scaled-dot", "general", "additive"])
def test_an_rnn_follows_the_formula(score):
    """One sentence, word by word: g_i = tanh(U3 g_{i-1} + U1 y_{i-1} + U4 c_i), o_i = U2 g_i."""
    model = model_of(cell="rnn", score=score, bidirectional=False)
    source, target_in = torch.tensor([[5, 8, EOS]]), torch.tensor([[SOS, 4, 6, 7]])
    u1, u3, b1, b3 = (p for p in model.encoder.layers[0][0].parameters())
    h = [torch.zeros(8)]
    for word in source[0]:
        h.append(torch.tanh(u3 @ h[-1] + b3 + u1 @ model.source_embedding.weight[word] + b1))
    h = torch.stack(h[1:])
    g = torch.tanh(model.decoder.bridge(h[-1]))
    first, wanted = model.decoder.first, []
    if score == "none":
        u1, u3, b1, b3 = (p for p in model.decoder.layers[0].parameters())
    for word in target_in[0]:
        y = model.target_embedding.weight[word]
        if score == "none":
            g = torch.tanh(u3 @ g + b3 + u1 @ y + b1)
        else:
            c = textbook_weights(model, g, h) @ h
            g = torch.tanh(first.u3.weight @ g + first.u1.weight @ y + first.u1.bias + first.u4.weight @ c)
        wanted.append(model.output.weight @ g + model.output.bias)
    torch.testing.assert_close(model(source, target_in)[0], torch.stack(wanted), atol=1e-6, rtol=1e-5)


@EVERY_CELL
def test_u4_learns(cell):
    model = model_of(cell=cell)
    model(*batch()).square().sum().backward()
    assert model.decoder.first.u4.weight.grad.abs().sum() > 0


def test_without_attention_only_the_last_hidden_state_reaches_the_decoder():
    model = model_of(score="none", bidirectional=False)
    assert model.encode(batch()[0]).memory == {}
    memory, states = model._read(batch()[0])
    assert memory == {}
    lengths = (batch()[0] != PAD).sum(1)
    h, _ = model.encoder(model.source_embedding(batch()[0]), lengths)
    last = torch.stack([row[length - 1] for row, length in zip(h, lengths, strict=True)])
    torch.testing.assert_close(torch.cat(states[0], -1)[:, 0], torch.tanh(model.decoder.bridge(last)))


# -- batches ---------------------------------------------------------------------------------------


@EVERY_SCORE
@EVERY_CELL
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_batch_equals_one_by_one_and_padding_does_not_matter(cell, score, bidirectional):
    model = model_of(cell=cell, score=score, layers=2, bidirectional=bidirectional)
    source, target_in = batch()
    together = model(source, target_in)
    for number in range(len(source)):
        words, steps = (source[number] != PAD).sum(), (target_in[number] != PAD).sum()
        alone = model(source[number : number + 1, :words], target_in[number : number + 1, :steps])
        torch.testing.assert_close(together[number, :steps], alone[0], atol=1e-6, rtol=1e-5)


@EVERY_SCORE
def test_gradients_reach_every_parameter(score):
    model = model_of(score=score, layers=2, tied=True)
    model(*batch()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias that is the same for all keys moves no weight; every other parameter must feel the loss.
        assert parameter.grad.abs().sum() > 0, name


# -- teacher forcing and its opposite --------------------------------------------------------------


@EVERY_SCORE
def test_reading_its_own_words_is_greedy_writing(score):
    model = model_of(score=score, layers=2)
    source, target_in = batch()
    own = torch.ones_like(target_in, dtype=torch.bool)
    logits = model.readout(model.decode(source, target_in, own))
    fed = torch.cat([target_in[:, :1], logits.argmax(-1)[:, :-1]], 1)
    torch.testing.assert_close(logits, model(source, fed), atol=1e-6, rtol=1e-5)
    assert not torch.equal(fed, target_in)


def test_reading_its_own_words_at_some_steps():
    model = model_of()
    source, target_in = batch()
    own = torch.tensor([[False, False, True, False], [True] * 4, [False] * 4])
    logits = model.readout(model.decode(source, target_in, own))
    guess = torch.cat([target_in[:, :1], logits.argmax(-1)[:, :-1]], 1)
    own[:, 0] = False  # nothing was written before the first step
    torch.testing.assert_close(logits, model(source, torch.where(own, guess, target_in)), atol=1e-6, rtol=1e-5)


def test_a_wrong_own_raises():
    source, target_in = batch()
    with pytest.raises(JumokError, match=r"own has shape \(3, 5\)"):
        model_of().decode(source, target_in, torch.ones(3, 5, dtype=torch.bool))


# -- options ---------------------------------------------------------------------------------------


def test_dropout_and_word_dropout_act_in_training_only():
    model = model_of(dropout=0.5)
    assert torch.equal(model(*batch()), model(*batch()))
    model.train()
    assert not torch.equal(model(*batch()), model(*batch()))
    lossy = model_of(word_dropout=0.999999)
    unknown = [torch.where(ids > EOS, UNK, ids) for ids in batch()]
    plain = lossy(*batch())
    torch.testing.assert_close(lossy.train()(*batch()), lossy.eval()(*unknown))
    assert not torch.equal(plain, lossy(*unknown))


def test_shared_and_tied_tables_are_one():
    model = model_of(source_vocabulary=9, shared=True, tied=True)
    assert model.source_embedding is model.target_embedding
    assert model.output.weight is model.target_embedding.weight
    assert model.narrow.out_features == 6  # hidden 8 to embedding 6
    assert not list(model_of(tied=True, embedding=8).narrow.parameters())


def test_the_encoder_may_be_larger_than_the_decoder():
    model = model_of(encoder_hidden=12)
    assert model.decoder.first.u4.in_features == 12
    assert model(*batch()).shape == (3, 4, 9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": 7}, "choose an even one"),
        ({"encoder_hidden": 12, "score": "dot"}, "needs encoder_hidden = hidden"),
        ({"heads": 3, "score": "multi-head"}, "heads 3 do not divide hidden 8"),
        ({"shared": True}, "a shared vocabulary has one size, got 11 and 9"),
        ({"hiden": 8}, "hiden"),
        ({"source_vocabulary": 3}, "greater than 3"),
    ],
)
def test_wrong_options_raise(options, words):
    with pytest.raises(ValidationError, match=words):
        Seq2SeqConfig(**{**SIZES, **options})


@pytest.mark.parametrize(
    ("source", "target_in", "words"),
    [
        (torch.zeros(2, 3), torch.full((2, 2), SOS), r"source has shape \(2, 3\) and torch.float32"),
        (torch.full((2, 3), 4), torch.full((3, 2), SOS), r"target_in has shape \(3, 2\)"),
        (torch.full((2, 3), 11), torch.full((2, 2), SOS), "source holds id 11, wanted ids from 0 to 10"),
        (torch.full((2, 3), -1), torch.full((2, 2), SOS), "source holds id -1"),
        (torch.full((0, 3), 4), torch.full((0, 2), SOS), "no sentence"),
        (torch.full((2, 0), 4), torch.full((2, 2), SOS), "at least one token"),
        (torch.tensor([[4, PAD, EOS]]), torch.full((1, 2), SOS), "padding"),
        (torch.tensor([[PAD, PAD]]), torch.full((1, 2), SOS), "padding"),
    ],
)
def test_wrong_ids_raise(source, target_in, words):
    with pytest.raises(JumokError, match=words) as raised:
        model_of()(source, target_in)
    assert "\n" not in str(raised.value)


# -- watched ---------------------------------------------------------------------------------------


@EVERY_ATTENTION
@EVERY_CELL
def test_a_watched_pass_is_one_map_and_the_same(cell, score):
    model = model_of(cell=cell, score=score, layers=2)
    source, target_in = batch()
    plain = model(source, target_in)
    with watch(model) as seen:
        watched = model(source, target_in)
    assert torch.equal(watched, plain)
    assert len(seen) == 1
    weights = seen[0].weights
    assert seen[0].lead == (("batch", "head") if score == "multi-head" else ("batch",))
    assert weights.shape == ((3, 2, 4, 5) if score == "multi-head" else (3, 4, 5))
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    hidden = (source == PAD)[:, None].expand(3, 4, 5) if weights.dim() == 3 else (source == PAD)[:, None, None]
    assert (weights[hidden.expand_as(weights)] == 0).all()


def test_without_attention_a_watcher_sees_none():
    model = model_of(score="none")
    with watch(model) as seen:
        model(*batch())
    assert len(seen) == 0


def test_own_words_are_watched_as_one_map():
    model = model_of()
    source, target_in = batch()
    with watch(model) as seen:
        model.decode(source, target_in, torch.ones_like(target_in, dtype=torch.bool))
    assert [tuple(seen[name].weights.shape) for name in seen.names] == [(3, 4, 5)]


# -- it learns -------------------------------------------------------------------------------------


def test_it_learns_to_reverse_and_looks_where_it_must():
    torch.manual_seed(0)
    length, words = 5, 8
    model = Seq2Seq(
        Seq2SeqConfig(source_vocabulary=12, target_vocabulary=12, embedding=16, hidden=32, cell="gru", dropout=0.0)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        body = torch.randint(4, 4 + words, (64, length))
        source = F.pad(body, (0, 1), value=EOS)
        target = F.pad(F.pad(body.flip(1), (1, 0), value=SOS), (0, 1), value=EOS)
        loss = F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with watch(model.eval()) as seen:
        right = model(source, target[:, :-1]).argmax(-1) == target[:, 1:]
    assert right.float().mean() > 0.98
    diagonal = seen[0].weights[:, :length, :length].flip(-1).diagonal(dim1=1, dim2=2)
    assert diagonal.mean() > 2 / length


@pytest.mark.parametrize("score", ["additive", "general", "dot"])
def test_inference_mode_gives_the_same_but_for_the_kernel(score):
    """Bits are equal where kernels are: with gradients and without, oneDNN takes two LSTMs on some processors."""
    torch.manual_seed(0)
    config = Seq2SeqConfig(source_vocabulary=9, target_vocabulary=8, embedding=6, hidden=8, score=score)
    model = Seq2Seq(config).eval()
    source, target = torch.tensor([[5, 8, 3], [4, 3, 0]]), torch.tensor([[2, 4, 6], [2, 5, 0]])
    wanted = model(source, target)
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            found = model(source, target)
            assert torch.equal(model(source, target), found)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
