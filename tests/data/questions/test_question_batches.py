"""Batches of questions: each image once, each question once an epoch, in an order that a seed decides."""

from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.data.questions.batches import QuestionBatches, pad_questions
from jumok.errors import JumokError
from jumok.special_tokens import PAD, SOS


class Numbered:
    """Images of one pixel whose value is their number; remembers what was read."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def get(self, indices):
        self.read.append(indices.tolist())
        return indices.to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)


ANSWERS = 5


def asked(images, each, seed=0):
    """Which image each question is about, its ids and its scores; the ids tell the question, many are asked twice."""
    chance = torch.Generator().manual_seed(seed)
    of = torch.randperm(images * each, generator=chance).remainder(images).tolist()
    texts = [[4 + number % 7] * (1 + number % 4) for number in range(len(of))]
    return of, texts, [{number % ANSWERS: 1.0} if number % 6 else {} for number in range(len(of))]


def made(images=20, each=4, source=None, **options):
    given = {"answers": ANSWERS, "batch_size": 16, "shuffle": True, **options}
    return QuestionBatches(source or Numbered(images), *asked(images, each), **given)


def indices(batches):
    return [batch.indices.tolist() for batch in batches]


# -- a batch ------------------------------------------------------------------------------------


def test_questions_get_their_start_and_are_padded():
    assert pad_questions([[7, 8], [9], []]).tolist() == [[SOS, 7, 8], [SOS, 9, PAD], [SOS, PAD, PAD]]
    assert pad_questions([]).shape == (0, 1)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 16, 500])
def test_a_batch_has_each_image_and_each_text_once_and_says_who_belongs_to_whom(shuffle, batch_size):
    source = Numbered(20)
    of, texts, scores = asked(20, 4)
    for batch in made(source=source, shuffle=shuffle, batch_size=batch_size):
        shown = batch.images[:, 0, 0, 0].tolist()
        assert len(set(shown)) == len(shown)
        assert len({tuple(row) for row in batch.questions.tolist()}) == len(batch.questions)
        assert batch.pairs.dtype == batch.indices.dtype == batch.questions.dtype == torch.int64
        assert batch.pairs.shape == (len(batch.indices), 2)
        assert (batch.questions != PAD).any(0).all()
        for row, number in enumerate(batch.indices.tolist()):
            image, text = batch.pairs[row].tolist()
            assert shown[image] == of[number]
            assert [token for token in batch.questions[text].tolist() if token != PAD] == [SOS, *texts[number]]
            assert batch.scores[row].tolist() == [scores[number].get(answer, 0.0) for answer in range(ANSWERS)]
        assert set(batch.pairs[:, 0].tolist()) == set(range(len(shown)))
        assert set(batch.pairs[:, 1].tolist()) == set(range(len(batch.questions)))
    assert source.read


def test_a_batch_moves():
    moved = next(iter(made())).to("meta", non_blocking=True)
    assert {value.device.type for value in vars(moved).values()} == {"meta"}


# -- an epoch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_question_comes_once_in_every_epoch(shuffle):
    batches = made(shuffle=shuffle)
    for _ in range(3):
        found = indices(batches)
        assert len(found) == len(batches)
        assert sorted(chain(*found)) == list(range(80))


def test_shuffled_questions_of_one_image_come_one_after_the_other():
    of = asked(20, 4)[0]
    batches = made()
    for epoch in range(3):
        images = [of[number] for number in batches.order(epoch).tolist()]
        changes = sum(one != other for one, other in pairwise(images))
        assert changes == 19
    source = Numbered(20)
    list(made(source=source))
    assert sum(map(len, source.read)) < 20 + len(batches)  # only an image that a batch ends in is read twice


def test_an_epoch_depends_on_the_seed_and_its_number_only():
    batches = made(seed=3)
    epochs = [indices(batches) for _ in range(3)]
    again = made(seed=3)
    again.set_epoch(2)
    assert indices(again) == epochs[2]
    assert len({str(epoch) for epoch in (*epochs, indices(made(seed=4)))}) == 4
    of = asked(20, 4)[0]
    within = [[number for number in chain(*epoch) if of[number] == 0] for epoch in epochs]
    assert len({tuple(numbers) for numbers in within}) > 1  # the questions of one image change places too


def test_without_shuffling_it_is_the_order_of_the_set():
    assert list(chain(*indices(made(shuffle=False)))) == list(range(80))


# -- going on -----------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 15))
def test_a_pass_goes_on_where_it_was(stop):
    batches = made()
    wanted = [*indices(batches), *indices(batches), *indices(batches)]
    batches = made()
    stream = (batch for _ in range(3) for batch in batches)
    for _ in range(stop % len(wanted)):
        next(stream)
    other = made()
    other.load_state_dict(batches.state_dict())
    rest = [batch for _ in range(3) for batch in indices(other)]
    assert (wanted[: stop % len(wanted)] + rest)[: len(wanted)] == wanted


@pytest.mark.parametrize("other", [{"batch_size": 8}, {"seed": 1}, {"shuffle": False}, {"each": 3}, {"images": 40}])
def test_a_state_of_something_else_is_refused(other):
    with pytest.raises(JumokError, match="cannot resume"):
        made(**other).load_state_dict(made().state_dict())


@pytest.mark.parametrize("part", range(3))
def test_a_state_of_another_set_is_refused(part):
    given = asked(20, 4)
    options = {"answers": ANSWERS, "batch_size": 16, "shuffle": True}
    state = QuestionBatches(Numbered(20), *given, **options).state_dict()
    given[part][3] = ((given[0][3] + 1) % 20, [5, 5, 5, 5, 5], {3: 0.3})[part]
    with pytest.raises(JumokError, match="cannot resume"):
        QuestionBatches(Numbered(20), *given, **options).load_state_dict(state)


# -- ranks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("world", "images"), [(2, 20), (4, 20), (4, 4), (8, 3)])
def test_ranks_share_the_batches_of_one(world, images, shuffle):
    whole = indices(made(images=images, shuffle=shuffle, batch_size=8))
    ranks = [
        indices(made(images=images, shuffle=shuffle, batch_size=8, rank=rank, world_size=world))
        for rank in range(world)
    ]
    assert {len(rank) for rank in ranks} == {len(ranks[0])}
    assert all(batch for rank in ranks for batch in rank)
    joined = [list(chain(*parts)) for parts in zip(*ranks, strict=True)]
    assert joined[:-1] == whole[: len(joined) - 1]  # fewer than there are ranks join the batch before
    assert list(chain(*joined)) == list(chain(*whole))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"rank": 1}, "rank must be from 0 to 0"),
        ({"world_size": 3}, "16 does not divide among 3 ranks"),
        ({"images": 2, "each": 1, "world_size": 4}, "2 questions cannot be shared among 4 ranks"),
    ],
)
def test_arguments_that_do_not_fit(options, said):
    with pytest.raises(JumokError, match=said):
        made(**options)


def test_as_many_of_everything():
    of, texts, scores = asked(20, 4)
    with pytest.raises(JumokError, match="got 80 images, 79 questions and 80 answers"):
        QuestionBatches(Numbered(20), of, texts[1:], scores, answers=ANSWERS, batch_size=4, shuffle=False)
