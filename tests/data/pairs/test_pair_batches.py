import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.data.pairs.batches import PairBatch, PairBatches
from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS


def pairs(count, seed=0, mean=12.0, sd=4.0, correlation=0.8):
    """Encoded pairs of lengths as in Multi30k; their tokens tell which pair they are of."""
    covariance = sd * sd * np.array([[1, correlation], [correlation, 1]])
    draw = np.random.default_rng(seed)
    lengths = draw.multivariate_normal([mean, mean], covariance, count).round().clip(1).astype(int)
    return [[4 + i] * s for i, (s, _) in enumerate(lengths)], [[4 + i] * t for i, (_, t) in enumerate(lengths)]


def made(count=3000, seed=0, **options):
    return PairBatches(*pairs(count), **{"tokens": 1024, "shuffle": True, "seed": seed, **options})


def indices(batches):
    return [batch.indices.tolist() for batch in batches]


def places(batch):
    """On the longer side."""
    return len(batch.source) * max(batch.source.shape[1], batch.target.shape[1] - 1)


# -- a batch ------------------------------------------------------------------------------------


def test_sentences_get_their_symbols_and_are_padded():
    (batch,) = PairBatches([[7, 8], [9]], [[5], [6, 6, 6]], tokens=100, shuffle=False)
    rows = {index: (source, target) for index, source, target in zip(*map(list, parts(batch)), strict=True)}
    assert rows == {
        0: ([7, 8, EOS], [SOS, 5, EOS, PAD, PAD]),
        1: ([9, EOS, PAD], [SOS, 6, 6, 6, EOS]),
    }
    assert batch.source.dtype == batch.target.dtype == batch.indices.dtype == torch.int64
    assert (batch.count, batch.total) == (6, 6)


def parts(batch):
    return batch.indices.tolist(), batch.source.tolist(), batch.target.tolist()


def test_empty_sentences_are_allowed():
    (batch,) = PairBatches([[]], [[]], tokens=10, shuffle=False)
    assert parts(batch) == ([0], [[EOS]], [[SOS, EOS]])
    assert batch.count == 1


def test_a_batch_made_by_hand_counts_its_tokens():
    batch = PairBatch(torch.tensor([[4, EOS]]), torch.tensor([[SOS, 4, EOS, PAD]]))
    assert (batch.count, batch.total, len(batch.indices)) == (2, 2, 0)


def test_a_batch_moves():
    batch = next(iter(made()))
    moved = batch.to("meta", non_blocking=True)
    assert {moved.source.device.type, moved.target.device.type, moved.indices.device.type} == {"meta"}
    assert (moved.count, moved.total) == (batch.count, batch.total)


# -- an epoch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_pair_comes_once_whole_and_with_its_partner(shuffle):
    sources, targets = pairs(2000)
    seen = []
    for batch in PairBatches(sources, targets, tokens=700, shuffle=shuffle):
        for index, source, target in zip(*parts(batch), strict=True):
            assert source[: len(sources[index]) + 1] == [*sources[index], EOS]
            assert set(source[len(sources[index]) + 1 :]) <= {PAD}
            assert target[: len(targets[index]) + 2] == [SOS, *targets[index], EOS]
            assert set(target[len(targets[index]) + 2 :]) <= {PAD}
            seen.append(index)
        assert batch.count == sum(len(targets[index]) + 1 for index in batch.indices) == batch.total
        assert (batch.source != PAD).any(dim=0).all()
        assert (batch.target != PAD).any(dim=0).all()
    assert sorted(seen) == list(range(2000))


@pytest.mark.parametrize("tokens", [300, 1024, 4096])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_epochs_have_equally_many_batches_within_the_budget(tokens, seed):
    batches = made(tokens=tokens, seed=seed)
    for _ in range(6):
        found = list(batches)
        assert len(found) == len(batches)
        assert max(map(places, found)) <= tokens


def test_batches_are_of_about_equal_cost():
    cost = sorted(places(batch) for batch in made(29_000, tokens=4096))
    assert np.mean(cost) > 0.9 * 4096
    assert cost[len(cost) // 10] > 0.9 * 4096


@pytest.mark.parametrize("tokens", [1024, 4096, 8192])
@pytest.mark.parametrize("shuffle", [True, False])
def test_little_of_real_lengths_is_padding(tokens, shuffle):
    batches = made(29_000, tokens=tokens, shuffle=shuffle)
    for _ in range(2):
        told = batches.padding
        assert told < 0.1
        held = [(batch.source.numel() + batch.target[:, 1:].numel(), tokens_of(batch)) for batch in batches]
        computed, useful = map(sum, zip(*held, strict=True))
        assert told == pytest.approx(1 - useful / computed)


def tokens_of(batch):
    return int((batch.source != PAD).sum() + (batch.target[:, 1:] != PAD).sum())


def test_epochs_differ_in_what_is_together_and_in_order():
    batches = made(6000)
    first, second = indices(batches), indices(batches)
    together = [{frozenset(batch) for batch in epoch} for epoch in (first, second)]
    assert not together[0] & together[1]
    places_of = [{i: number for number, batch in enumerate(epoch) for i in batch} for epoch in (first, second)]
    steps = [[epoch[i] for i in range(6000)] for epoch in places_of]
    assert abs(np.corrcoef(steps)[0, 1]) < 0.3
    lengths = [np.mean([len(batch.source[0]) for batch in part]) for part in np.array_split(list(batches), 3)]
    assert max(lengths) < 1.3 * min(lengths)  # long and short ones lie mixed


def test_an_epoch_depends_on_the_seed_and_its_number_only():
    batches = made(seed=3)
    epochs = [indices(batches) for _ in range(3)]
    again = made(seed=3)
    again.set_epoch(2)
    assert indices(again) == epochs[2]
    assert indices(made(seed=4)) != epochs[0]


def test_without_shuffling_the_longest_come_first_and_epochs_are_alike():
    batches = made(shuffle=False, seed=5)
    first = list(batches)
    assert [batch.indices.tolist() for batch in first] == indices(batches) == indices(made(shuffle=False))
    lengths = [float((batch.source != PAD).sum(dim=1).float().mean()) for batch in first]
    assert lengths[0] > 2 * lengths[-1]
    assert np.corrcoef(lengths, range(len(lengths)))[0, 1] < -0.95


def test_one_very_long_pair_goes_alone():
    sources, targets = pairs(500)
    sources[77] = [9] * 5000
    for shuffle in (True, False):
        batches = PairBatches(sources, targets, tokens=512, shuffle=shuffle)
        (alone,) = (batch for batch in batches if 77 in batch.indices)
        assert len(alone.indices) == 1
        assert max(places(batch) for batch in batches if 77 not in batch.indices) <= 512


# -- ranks --------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60),
    tokens=st.integers(1, 200),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
    seed=st.integers(0, 5),
)
def test_whatever_the_lengths_all_ranks_step_together(lengths, tokens, world, shuffle, seed):
    sources, targets = [[4] * s for s, _ in lengths], [[4] * t for _, t in lengths]
    options = {"tokens": tokens, "shuffle": shuffle, "seed": seed, "world_size": world}
    if len(lengths) < world:
        with pytest.raises(JumokError, match="cannot be shared"):
            PairBatches(sources, targets, **options)
        return
    ranks = [PairBatches(sources, targets, rank=rank, **options) for rank in range(world)]
    for _ in range(2):
        epochs = [list(rank) for rank in ranks]
        assert len({len(rank) for rank in ranks} | {len(epoch) for epoch in epochs}) == 1
        assert sorted(i for epoch in epochs for batch in epoch for i in batch.indices.tolist()) == [
            *range(len(lengths))
        ]
        for step in zip(*epochs, strict=True):
            assert all(len(batch.indices) for batch in step)
            assert {batch.total for batch in step} == {sum(batch.count for batch in step)}


def test_the_work_is_shared_evenly_among_ranks():
    epochs = [list(made(rank=rank, world_size=3, tokens=3000)) for rank in range(3)]
    counts = np.array([[batch.count for batch in epoch] for epoch in epochs])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() < 0.2 * counts.mean()


# -- passes -------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 200))
def test_a_pass_goes_on_where_it_was(stop):
    batches = made(400, tokens=200)
    wanted = [*indices(batches), *indices(batches), *indices(batches)]
    batches = made(400, tokens=200)
    stream = (batch for _ in range(3) for batch in batches)
    for _ in range(stop % len(wanted)):
        next(stream)
    other = made(400, tokens=200)
    other.load_state_dict(batches.state_dict())
    rest = [batch for _ in range(3) for batch in indices(other)]
    got = wanted[: stop % len(wanted)] + rest
    assert got[: len(wanted)] == wanted


def test_the_state_tells_what_was_given_out():
    batches = made()
    assert (batches.epoch, batches.position) == (0, 0)
    stream = iter(batches)
    next(stream)
    next(stream)
    state = batches.state_dict()
    assert (state["epoch"], state["position"]) == (0, 2)
    list(stream)
    assert (batches.epoch, batches.position) == (1, 0)


def test_a_pass_left_early_is_over():
    batches = made()
    stream = iter(batches)
    next(stream)
    assert next(iter(batches)).indices.tolist() == indices(made_at(1))[0]
    with pytest.raises(JumokError, match="keep one at a time"):
        next(stream)


def made_at(epoch):
    batches = made()
    batches.set_epoch(epoch)
    return batches


def test_a_position_may_be_set_as_a_training_run_does():
    batches = made()
    wanted = [indices(batches), indices(batches)]
    batches.load_state_dict({**batches.state_dict(), "epoch": 1, "position": 5})
    assert indices(batches) == wanted[1][5:]
    assert batches.sampler is batches
    assert indices(made_at(1)) == wanted[1]


@pytest.mark.parametrize(
    "other",
    [
        {"tokens": 999},
        {"seed": 1},
        {"shuffle": False},
        {"world_size": 2},
        {"count": 2999},
    ],
)
def test_a_state_of_something_else_is_refused(other):
    state = made().state_dict()
    with pytest.raises(JumokError, match="cannot resume"):
        made(**other).load_state_dict(state)


def test_a_state_of_other_text_or_of_nowhere_is_refused():
    sources, targets = pairs(100)
    batches = PairBatches(sources, targets, tokens=500, shuffle=True)
    state = batches.state_dict()
    targets[5] = [3 + len(targets[5])] * len(targets[5])
    with pytest.raises(JumokError, match="saved state has text"):
        PairBatches(sources, targets, tokens=500, shuffle=True).load_state_dict(state)
    for position in (-1, len(batches), None, "1"):
        with pytest.raises(JumokError, match="cannot resume at epoch"):
            batches.load_state_dict({**state, "position": position})


@pytest.mark.parametrize(
    ("sources", "targets", "options", "said"),
    [
        ([[4]], [[4], [5]], {}, "same number of source and target sentences"),
        ([], [], {}, "at least one"),
        ([[4]], [[4]], {"tokens": 0}, "at least 1 token"),
        ([[4]], [[4]], {"rank": 1}, "rank must be from 0 to 0"),
        ([[4]], [[4]], {"rank": 0, "world_size": 2}, "1 pairs cannot be shared among 2 ranks"),
    ],
)
def test_arguments_that_do_not_fit(sources, targets, options, said):
    with pytest.raises(JumokError, match=said):
        PairBatches(sources, targets, **{"tokens": 10, "shuffle": True, **options})
