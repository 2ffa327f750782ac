"""Writing in steps gives what the whole pass gives, for every system: states and caches are only a faster way."""

import pytest
import torch

from jumok.errors import JumokError
from jumok.mechanisms.recurrent.attending_layer import SCORES
from jumok.mechanisms.recurrent.cells import CELLS
from jumok.special_tokens import EOS, PAD, SOS
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.systems.transformer import CHUNK, Transformer, TransformerConfig
from jumok.watching.watch import watch

WORDS = {"source_vocabulary": 11, "target_vocabulary": 9}
CLOSE = {"atol": 2e-6, "rtol": 1e-5}
SYSTEMS = {
    f"{cell} {score} {layers}": (
        Seq2Seq,
        Seq2SeqConfig(**WORDS, cell=cell, score=score, layers=layers, embedding=6, hidden=8, heads=2),
    )
    for cell in CELLS
    for score in ("none", *SCORES)
    for layers in (1, 2)
} | {
    f"transformer {position}": (Transformer, TransformerConfig(**WORDS, width=8, heads=2, layers=2, position=position))
    for position in ("sine", "learned")
}
EVERY = pytest.mark.parametrize("name", SYSTEMS)
SOME = pytest.mark.parametrize("name", ["lstm additive 2", "gru none 1", "rnn multi-head 1", "transformer sine"])


def model_of(name):
    torch.manual_seed(0)
    build, config = SYSTEMS[name]
    model = build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.eval()


def batch(steps=5, beams=3):
    """Three sentences, the second short, and for each as many hypotheses of random words."""
    source = torch.tensor([[5, 8, 10, 4, EOS], [7, EOS, PAD, PAD, PAD], [6, 6, 9, EOS, PAD]])
    written = torch.randint(4, 9, (3, beams, steps), generator=torch.Generator().manual_seed(1))
    written[..., 0] = SOS
    return source, written


def write(model, source, written, state=None):
    """Logits (sentences, beams, steps, vocabulary) in steps, and the state at the end."""
    state = model.encode(source, written.shape[1]) if state is None else state
    logits = []
    for tokens in written.unbind(2):
        step, state = model.step(tokens, state)
        logits.append(step)
    return torch.stack(logits, 2), state


def uncached(model, source, written):
    return torch.stack([model(source, hypothesis) for hypothesis in written.unbind(1)], 1)


@EVERY
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_logits_equal_uncached_logits(name, beams):
    model, (source, written) = model_of(name), batch(beams=beams)
    cached, state = write(model, source, written)
    torch.testing.assert_close(cached, uncached(model, source, written), **CLOSE)
    assert state.length == written.shape[2]


@EVERY
def test_a_batch_equals_one_by_one_without_padding(name):
    model, (source, written) = model_of(name), batch()
    together = write(model, source, written)[0]
    for number, sentence in enumerate(source):
        alone = write(model, sentence[sentence != PAD][None], written[number : number + 1])[0]
        torch.testing.assert_close(together[number : number + 1], alone, **CLOSE)


@EVERY
def test_hypotheses_follow_others_and_sentences_leave(name):
    """Begin with one hypothesis, go on as three, mix them, drop a sentence, mix again."""
    model, (source, written) = model_of(name), batch(steps=7)
    start = written[:, :1, :2].expand(-1, 3, -1)
    written = torch.cat([start, written[..., 2:]], 2)
    _, state = write(model, source, written[:, :1, :2])
    state = state.follow(torch.zeros(3, 3, dtype=torch.int64))
    _, state = write(model, source, written[..., 2:4], state)
    parents = torch.tensor([[2, 0, 0], [1, 1, 2], [0, 2, 1]])
    state = state.follow(parents)
    written = torch.cat([written[:, :, :4].gather(1, parents[..., None].expand(-1, -1, 4)), written[..., 4:]], 2)
    _, state = write(model, source, written[..., 4:5], state)
    kept = torch.tensor([2, 0])
    state, source, written, parents = state.keep(kept), source[kept], written[kept], torch.tensor([[1, 0], [2, 2]])
    state = state.follow(parents)
    past = written[..., :5].gather(1, parents[..., None].expand(-1, -1, 5))
    written = torch.cat([past, written[:, :2, 5:]], 2)
    last, _ = write(model, source, written[..., 5:], state)
    torch.testing.assert_close(last, uncached(model, source, written)[:, :, 5:], **CLOSE)


@SOME
def test_a_seed_gives_the_same_weights_each_time(name):
    # Several at once, so that they do not lie at the same places in memory.
    models = [model_of(name) for _ in range(6)]
    for model in models[1:]:
        for first, other in zip(models[0].parameters(), model.parameters(), strict=True):
            assert torch.equal(first, other)


@SOME
def test_memory_is_not_copied_per_hypothesis(name):
    model, (source, _) = model_of(name), batch()
    one, many = model.encode(source, 1), model.encode(source, 50)
    assert {key: t.shape for key, t in one.memory.items()} == {key: t.shape for key, t in many.memory.items()}
    assert all(tensor.shape[:2] == (3, 50) for tensor in many.carried.values())


def test_a_cache_grows_past_its_first_chunk():
    model = model_of("transformer sine")
    source, written = batch(steps=3 * CHUNK, beams=2)
    cached, state = write(model, source, written)
    torch.testing.assert_close(cached, uncached(model, source, written), **CLOSE)
    assert state.memory["key 0"].shape[2] >= 2 * 3 * CHUNK


@SOME
def test_watched_steps_give_the_same(name):
    model, (source, written) = model_of(name), batch()
    plain = write(model, source, written)[0]
    with watch(model):
        watched = write(model, source, written)[0]
    torch.testing.assert_close(watched, plain, **CLOSE)


def test_attention_is_seen_step_by_step():
    model, (source, written) = model_of("lstm additive 1"), batch()
    with watch(model) as whole:
        model(source, written[:, 0])
    with watch(model) as seen:
        write(model, source, written[:, :1])
    assert len(seen) == written.shape[2]
    joined = torch.cat([seen[number].weights for number in range(len(seen))], 1)
    torch.testing.assert_close(joined, whole[0].weights, **CLOSE)


@SOME
def test_wrong_tokens_raise(name):
    model, (source, _) = model_of(name), batch()
    with pytest.raises(JumokError, match=r"tokens have shape \(3, 1\) .* wanted \(sentences, beams\) = \(3, 2\)"):
        model.step(torch.full((3, 1), SOS), model.encode(source, 2))
