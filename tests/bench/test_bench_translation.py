"""The benches of translators, as far as they need no peer: sentences, batches, the work counted, the rows."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # `bench` is no part of the installed package

from bench import translation_decoding as decoding
from bench import translation_training as training
from bench.measuring import Samples
from jumok.data.pairs.batches import PairBatch
from jumok.special_tokens import EOS, SOS


def test_lengths_are_those_of_multi30k():
    drawn = np.array(training.lengths(20_000))
    assert drawn.mean(1) == pytest.approx([13, 13], abs=0.15)
    assert drawn.std(1) == pytest.approx([4, 4], abs=0.15)
    assert np.corrcoef(drawn)[0, 1] == pytest.approx(0.85, abs=0.02)
    assert drawn.min() >= 3
    assert training.lengths(10) == training.lengths(10)


def test_sentences_hold_no_symbol_and_fit_the_vocabulary():
    made = training.sentences([3, 400, 5], seed=1)
    assert [len(sentence) for sentence in made] == [3, 400, 5]
    assert min(map(min, made)) > EOS
    assert max(map(max, made)) < training.VOCABULARY


def test_batches_hold_about_80_pairs_and_are_the_same_for_all():
    made, again = training.batches(12), training.batches(12)
    assert np.mean([len(batch.source) for batch in made]) == pytest.approx(80, abs=12)
    assert all(
        torch.equal(one.source, other.source) and torch.equal(one.target, other.target)
        for one, other in zip(made, again, strict=True)
    )


def pair(source: int, target: int) -> PairBatch:
    """One pair of so many tokens, </s> counted."""
    words = torch.arange(4, 4 + source + target)
    return PairBatch(
        torch.cat([words[: source - 1], torch.tensor([EOS])])[None],
        torch.cat([torch.tensor([SOS]), words[: target - 1], torch.tensor([EOS])])[None],
    )


def matrices(model) -> int:
    """Numbers in all weights that multiply, each once per token."""
    return sum(value.numel() for name, value in model.named_parameters() if value.ndim > 1 and "embedding" not in name)


def test_a_word_to_a_word_costs_each_weight_of_the_recurrent_model_once():
    products = matrices(training.ours(training.RNN)) + 512 + 4 * 512  # w . tanh(...), and a_j (U4 h_j)
    assert training.operations(training.RNN, pair(1, 1)) == 6 * products


def test_a_word_to_a_word_costs_each_weight_of_the_transformer_once():
    model = training.ours(training.TRANSFORMER)
    output = 256 * training.VOCABULARY  # tied to the embeddings, so it is not among the others
    products = matrices(model) + output + 3 * 3 * 2 * 256  # 3 attentions in each of 3 layers, scores and weighted sum
    assert training.operations(training.TRANSFORMER, pair(1, 1)) == 6 * products


@pytest.mark.parametrize("system", training.SYSTEMS)
def test_padding_is_no_work(system):
    long, short = pair(6, 5), pair(3, 2)
    both = PairBatch(
        torch.cat([long.source, torch.nn.functional.pad(short.source, (0, 3))]),
        torch.cat([long.target, torch.nn.functional.pad(short.target, (0, 3))]),
    )
    apart = training.operations(system, long) + training.operations(system, short)
    assert training.operations(system, both) == apart


def test_rows_divide_the_peers_cost_by_ours():
    times = Samples({"ours": [0.5] * 5, "JoeyNMT": [2.0, 2.0, 2.0, 4.0, 1.0]})
    row = training._faster("Transformer", times, 1000, ("ours", "JoeyNMT"), ">= 3", 4000)
    assert (row.ratio.middle, row.ours, row.peer, row.verdict, row.of_limit) == (4, 2000, 500, "met", 2)
    first, second = training.memory_rows("here", {"ours": (100, 400), "usual": (50, 350), "P": (200, 600)}, "P")
    assert (first.ratio, first.ours, first.peer, first.verdict) == (2, 100, 200, "")
    assert second.ratio == 4
    assert "400 and 600" in first.note
    (alone,) = training.memory_rows("here", {"ours": (100, 400)}, "P")
    assert (alone.ours, alone.peer) == (100, None)


def test_a_search_without_its_peer_is_still_measured(monkeypatch):
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    monkeypatch.setattr(decoding, "Worker", lambda *_, **__: None)
    monkeypatch.setattr(
        decoding, "_timed", lambda workers: (Samples({name: [0.5] for name in workers}), {}, "products 90%")
    )
    monkeypatch.setattr(decoding, "least_seconds", lambda system, beam: 0.25)
    (row,) = decoding._rows(decoding.RNN, 1, "greedy", 1)
    assert (row.ours, row.peer, row.of_limit) == (2 * len(decoding.sources()), None, 2)
    assert "make bench-peers" in row.note


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("beam", decoding.BEAMS)
@pytest.mark.parametrize("system", training.SYSTEMS)
def test_our_decoding_takes_all_steps_and_no_more(system, beam, low, monkeypatch):
    monkeypatch.setattr(training, "VOCABULARY", 40)
    monkeypatch.setattr(decoding, "sources", lambda: torch.tensor([[5, 9, EOS, 0], [7, 8, 6, EOS]]))
    model = training.ours(system)
    monkeypatch.setattr(decoding, "ours", lambda _: model)
    taken, step = [], model.step
    monkeypatch.setattr(
        model, "step", lambda tokens, state: (taken.append(tuple(tokens.shape)), step(tokens, state))[1]
    )
    decoding.our_decoding(system, beam, low)()  # looks at the lengths itself
    assert taken == [(2, 1)] + [(2, beam)] * (decoding.STEPS - 1)
