"""Greedy and beam search: against trying every sentence, alone and in batches, with limits and equal scores."""

import itertools

import pytest
import torch

from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS, UNK
from jumok.systems.seq2seq import Seq2Seq, Seq2SeqConfig
from jumok.systems.transformer import Transformer, TransformerConfig
from jumok.systems.writing import State
from jumok.tasks.translate import decoding
from jumok.tasks.translate.decoding import Hypothesis, search, translate_ids

VOCABULARY = 7
WORDS = {"source_vocabulary": 11, "target_vocabulary": VOCABULARY}
SYSTEMS = {
    "additive lstm": lambda: Seq2Seq(Seq2SeqConfig(**WORDS, embedding=6, hidden=8, layers=2)),
    "gru alone": lambda: Seq2Seq(Seq2SeqConfig(**WORDS, embedding=6, hidden=8, cell="gru", score="none")),
    "transformer": lambda: Transformer(TransformerConfig(**WORDS, width=8, heads=2, layers=2, tied=False)),
}
EVERY = pytest.mark.parametrize("name", SYSTEMS)


def model_of(name):
    """A model with weights so large that it writes this and that, and ends now and then."""
    torch.manual_seed(3)
    model = SYSTEMS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=2.5 * parameter.shape[1] ** -0.5)
        model.output.bias.zero_()
    return model.eval()


def sentences(count=20):
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 9, (count,), generator=draw).tolist()
    return [torch.randint(4, 11, (length,), generator=draw).tolist() for length in lengths]


def alone(words):
    return torch.tensor([[*words, EOS]])


@torch.no_grad()
def log_probability(model, source, tokens):
    steps = model(source, torch.tensor([[SOS, *tokens]])).log_softmax(-1)[0]
    return float(sum(row[token] for row, token in zip(steps, [*tokens, EOS], strict=True)))


def every_sentence(model, source, longest, penalty):
    """All sentences of up to so many words, the best first."""
    words = [UNK, *range(4, VOCABULARY)]
    found = []
    for length in range(longest + 1):
        for tokens in itertools.product(words, repeat=length):
            score = log_probability(model, source, tokens) / (length + 1) ** penalty
            found.append(Hypothesis(list(tokens), score))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


@EVERY
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_as_large_as_the_space_finds_the_best(name, penalty):
    model, source = model_of(name), alone([5, 8])
    wanted = every_sentence(model, source, 3, penalty)
    (got,) = search(model, source, beam=200, n_best=5, length_penalty=penalty, max_length=3)
    assert [hypothesis.tokens for hypothesis in got] == [hypothesis.tokens for hypothesis in wanted[:5]]
    torch.testing.assert_close([h.score for h in got], [h.score for h in wanted[:5]], atol=1e-5, rtol=1e-5)


@EVERY
def test_all_of_a_small_space_is_found(name):
    model, source = model_of(name), alone([5, 8])
    (got,) = search(model, source, beam=100, n_best=100, max_length=2)
    assert len(got) == 1 + 4 + 16
    assert sorted(hypothesis.tokens for hypothesis in got) == sorted(
        h.tokens for h in every_sentence(model, source, 2, 1)
    )


@EVERY
def test_greedy_takes_the_likeliest_word_of_each_step(name):
    model = model_of(name)
    for words in sentences():
        tokens = [SOS]
        for _ in range(2 * len(words) + 20):
            logits = model(alone(words), torch.tensor([tokens]))[0, -1]
            logits[[PAD, SOS]] = -torch.inf
            tokens.append(int(logits.argmax()))
            if tokens[-1] == EOS:
                break
        ((got,),) = search(model, alone(words))
        assert got.tokens == [token for token in tokens[1:] if token != EOS]
        wanted = log_probability(model, alone(words), got.tokens) / (len(got.tokens) + 1)
        assert got.score == pytest.approx(wanted, abs=1e-5)


@EVERY
@pytest.mark.parametrize("beam", [1, 4])
def test_many_give_the_same_as_one_by_one_in_the_given_order(name, beam):
    model, sources = model_of(name), sentences(40)
    together = translate_ids(model, sources, beam=beam, n_best=beam, batch_tokens=100)
    for words, got in zip(sources, together, strict=True):
        (wanted,) = search(model, alone(words), beam=beam, n_best=beam)
        assert [hypothesis.tokens for hypothesis in got] == [hypothesis.tokens for hypothesis in wanted]
        torch.testing.assert_close([h.score for h in got], [h.score for h in wanted], atol=1e-5, rtol=1e-5)


@EVERY
def test_a_wider_beam_scores_no_worse_on_the_whole(name):
    model, sources = model_of(name), sentences(40)
    scores = [sum(found[0].score for found in translate_ids(model, sources, beam=beam)) for beam in (1, 4, 16)]
    assert scores[0] < scores[1] <= scores[2] + 1e-6


@EVERY
def test_results_are_sorted_and_scored_as_said(name):
    model = model_of(name)
    for words in sentences(5):
        (got,) = search(model, alone(words), beam=6, n_best=6, length_penalty=0.7)
        assert [h.score for h in got] == sorted((h.score for h in got), reverse=True)
        assert len({tuple(h.tokens) for h in got}) == len(got) == 6
        for hypothesis in got:
            wanted = log_probability(model, alone(words), hypothesis.tokens) / (len(hypothesis.tokens) + 1) ** 0.7
            assert hypothesis.score == pytest.approx(wanted, abs=1e-5)


# -- limits ----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("longest", [0, 1, 4])
def test_no_sentence_is_longer_than_allowed(name, beam, longest):
    model = model_of(name)
    with torch.no_grad():
        model.output.bias[EOS] -= 30  # it would never stop
    found = translate_ids(model, sentences(), beam=beam, max_length=longest)
    assert {len(hypotheses[0].tokens) for hypotheses in found} == {longest}
    assert {len(h[0].tokens) for h in translate_ids(model, [[5, 6], [5] * 4], beam=beam)} == {24, 28}


@EVERY
@pytest.mark.parametrize("beam", [1, 5])
def test_some_symbols_are_never_written(name, beam):
    model = model_of(name)
    with torch.no_grad():
        model.output.bias[[PAD, SOS]] += 10
    found = translate_ids(model, sentences(), beam=beam, n_best=beam)
    written = {token for hypotheses in found for hypothesis in hypotheses for token in hypothesis.tokens}
    assert written <= {UNK, *range(4, VOCABULARY)}
    assert all(len(hypotheses) >= 1 for hypotheses in found)


def test_learned_positions_limit_the_length():
    model = Transformer(TransformerConfig(**WORDS, width=8, heads=2, layers=1, position="learned", max_length=6)).eval()
    with torch.no_grad():
        model.output.bias[EOS] -= 30
    assert [len(hypotheses[0].tokens) for hypotheses in translate_ids(model, [[5, 6]])] == [5]


def test_empty_sentences():
    model = model_of("additive lstm")
    assert translate_ids(model, []) == []
    found = translate_ids(model, [[], [5, 6], []])
    assert found[0] == found[2] == [Hypothesis([], 0.0)]
    assert found[1] == search(model, alone([5, 6]))[0]
    assert search(model, torch.zeros(0, 3, dtype=torch.int64)) == []
    assert len(search(model, torch.tensor([[EOS]]))) == 1  # no words, but the end is there


def test_sentences_that_are_too_long_are_left_out_like_empty_ones():
    model = model_of("additive lstm")
    sources = [[5, 6], [5, 6, 7], [6]]
    found = translate_ids(model, sources, longest=2)
    assert found == translate_ids(model, [[5, 6], [], [6]])
    assert found[1] == [Hypothesis([], 0.0)]


# -- order of what is equal, and stopping ----------------------------------------------------------


class Table:
    """A writer that finds the next word by a function of the words so far, and counts its steps."""

    def __init__(self, logits):
        self.logits, self.steps, self.sizes = logits, 0, []

    def encode(self, source, beams=1):
        return State({}, {"words": torch.zeros(len(source), beams, 0, dtype=torch.int64)})

    def step(self, tokens, state):
        words = torch.cat([state.carried["words"], tokens[..., None]], 2)
        self.steps += 1
        self.sizes.append(len(tokens))
        rows = [self.logits(row[1:]) for row in words.flatten(0, 1).tolist()]
        return torch.stack(rows).view(*tokens.shape, -1), State({}, {"words": words})


def test_of_equal_scores_the_lower_id_comes_first():
    even = Table(lambda words: torch.zeros(30))
    (got,) = search(even, alone([5]), beam=6, n_best=6, max_length=1, length_penalty=0.0)
    assert [hypothesis.tokens for hypothesis in got] == [[], [UNK], [4], [5], [6], [7]]
    assert search(even, alone([5]))[0][0].tokens == [UNK] * 22  # greedy: 1 is the lowest that may come


def finds_an_early_end(words):
    """A short sentence is good, a long one better by the mean: only the sound bound waits for it."""
    logits = torch.full((6,), -20.0)
    if not words:
        logits[EOS], logits[4] = 0.0, -1.0
    else:
        logits[EOS if len(words) == 8 else 4] = 0.0
    return logits


def test_it_waits_for_what_can_still_win():
    writer = Table(finds_an_early_end)
    ((got,),) = search(writer, alone([5] * 4), beam=2, length_penalty=1.0)
    assert got.tokens == [4] * 8
    ((got,),) = search(Table(finds_an_early_end), alone([5] * 4), beam=2, enough=1)
    assert got.tokens == []


def test_it_stops_when_nothing_can_win():
    writer = Table(finds_an_early_end)
    ((got,),) = search(writer, alone([5] * 4), beam=2, length_penalty=0.0)
    assert got.tokens == []
    assert writer.steps == 1


def test_sentences_leave_the_batch():
    writer = Table(lambda words: torch.tensor([0.0, 0, 0, 9.0 if len(words) > 2 else 0, 1]))
    writer.encode = lambda source, beams=1: State({}, {"words": source[:, None, :0]})
    source = torch.tensor([[5, EOS, PAD, PAD], [5, 6, 7, EOS]])
    search(writer, source, max_length=2)
    assert writer.sizes == [2, 2, 2]
    search(writer, source)
    assert writer.sizes[3:] == [2, 2, 2, 2]


def test_each_sentence_leaves_when_it_is_done():
    model = model_of("additive lstm")
    sizes, step = [], model.step
    model.step = lambda tokens, state: sizes.append(len(tokens)) or step(tokens, state)
    found = translate_ids(model, sentences(30))
    lengths = [len(hypotheses[0].tokens) for hypotheses in found]
    assert len(set(lengths)) > 2
    assert sizes == [sum(length >= number for length in lengths) for number in range(len(sizes))]


# -- around it -------------------------------------------------------------------------------------


def test_a_model_in_training_searches_in_eval_and_trains_on():
    model = Seq2Seq(Seq2SeqConfig(**WORDS, embedding=6, hidden=8, dropout=0.9))
    wanted = translate_ids(model.eval(), sentences(5))
    model.train()
    assert translate_ids(model, sentences(5)) == wanted
    assert model.training
    model(alone([5, 6]), torch.tensor([[SOS, 4]])).sum().backward()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beam": 2, "n_best": 3}, "n_best 3 is more than beam 2"),
        ({"beam": 0}, "beam and n_best are 1 or more"),
        ({"n_best": 0}, "beam and n_best are 1 or more"),
        ({"length_penalty": -1.0}, "length_penalty is 0 to 10"),
        ({"length_penalty": float("nan")}, "length_penalty is 0 to 10"),
        ({"length_penalty": 1e308}, "length_penalty is 0 to 10"),
        ({"max_length": -1}, "max_length is 0 to 16,384"),
        ({"max_length": 10**8}, "max_length is 0 to 16,384"),
        ({"beam": 10**6}, "beam is 1,024 at most"),
        ({"beam": 1000, "max_length": 10_000}, "max_length x beam"),
        ({"enough": 0}, "are 1 or more"),
    ],
)
def test_wrong_options_raise(options, words):
    with pytest.raises(JumokError, match=words):
        search(model_of("gru alone"), alone([5]), **options)


@pytest.mark.parametrize("beam", [1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_end_the_search(beam, bad):
    model = model_of("gru alone")
    with torch.no_grad():
        model.output.bias[5:].fill_(bad)
    with pytest.raises(JumokError, match="NaN or infinite"):
        search(model, alone([5, 6]), beam=beam, max_length=10)


@EVERY
@pytest.mark.parametrize("beam", [1, 4])
def test_mixed_precision_finds_much_the_same(name, beam):
    model, source = model_of(name), sentences()
    exact, mixed = (translate_ids(model, source, beam=beam, precision=bits) for bits in ("32", "bf16"))
    near = [one[0].score == pytest.approx(other[0].score, abs=0.05) for one, other in zip(mixed, exact, strict=True)]
    assert sum(near) >= 0.8 * len(near)  # where two words are equally likely, rounding may choose the other


def test_a_precision_that_is_not_there_is_refused():
    with pytest.raises(JumokError, match="no precision 'bf15': did you mean 'bf16'"):
        translate_ids(model_of("transformer"), [[5]], precision="bf15")


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("vocabulary", [40, 3000, 3015])
@pytest.mark.parametrize("kind", ["all apart", "many alike", "all alike", "three possible"])
def test_the_likeliest_words_are_those_of_a_whole_sort(kind, vocabulary, count, monkeypatch):
    monkeypatch.setattr(decoding, "MANY", 1)  # also few logits are looked at block by block
    logits = torch.randn(6, 2, vocabulary, generator=torch.Generator().manual_seed(vocabulary + count))
    if kind == "many alike":
        logits = logits.mul(2).round()
    elif kind == "all alike":
        logits = torch.zeros_like(logits)
    elif kind == "three possible":
        logits[..., 3:] = -torch.inf
    values, ids = logits.sort(dim=-1, descending=True, stable=True)
    found_values, found_ids = decoding._top(logits, count)
    assert torch.equal(found_values, values[..., :count])
    assert torch.equal(found_ids, ids[..., :count])
