"""A pass that repeats the last one is not written down, and what differs from it is never taken for it."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.watching.watch import watch

WIDTH = 8


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x, keys=None):
        query, key, value = self.inner(x).view(*x.shape[:2], 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        if keys is not None:
            _, key, value = self.inner(keys).view(*keys.shape[:2], 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        return x + F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        weights = (self.inner(x) @ x.mT).softmax(-1)
        read = weights @ x
        weights.mul_(0)  # in place, after they were used
        return x + read


class Changing(nn.Module):
    """Two layers over the patches of an image, with what can differ from pass to pass."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.first, self.second, self.by_hand = Attention(), Attention(), ByHand()
        self.order = torch.arange(9)
        self.keys = "own"
        self.twice = False

    def forward(self, image):
        start = self.patches(image).flatten(2).mT[:, self.order]
        x = self.first(start)
        keys = {"own": None, "start": start, "made": x}[self.keys]
        x = self.second(x, keys)
        x = self.second(x) if self.twice else x
        return self.by_hand(x)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Changing().eval()


def describe(seen):
    """All that a user reads off: names, weights, axes, and the rollout or why there is none."""
    calls = [(name, seen[name].weights, seen[name].queries.labels(), seen[name].keys.labels()) for name in seen.names]
    try:
        rollout = seen.rollout((0, 0))
        calls.append(("rollout", rollout.weights, rollout.queries.labels(), rollout.keys.labels()))
    except JumokError as error:
        calls.append((str(error),))
    return calls


def look(model, image):
    with torch.no_grad(), watch(model) as seen:
        model(image)
    return describe(seen)


def assert_alike(found, wanted, rounding=0.0):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for part, wish in zip(one, other, strict=True):
            if isinstance(part, torch.Tensor):
                torch.testing.assert_close(part, wish, rtol=0, atol=rounding)
            else:
                assert part == wish


def assert_as_never_watched_before(model, image):
    assert_alike(look(model, image), look(copy.deepcopy(model), image))


def image(seed=0, batch=2, side=12):
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def tape_of(seen):
    return seen._found._recorder.tape


def test_a_repeated_pass_is_not_written_down_and_gives_the_same(model):
    for seed in range(4):
        assert_as_never_watched_before(model, image(seed))
    again = image()
    with torch.no_grad(), watch(model) as seen:
        model(again)
    assert tape_of(seen).ops == []
    assert len(seen) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"keys": "start"},
        {"keys": "made"},
        {"twice": True},
        {"order": torch.arange(9).flip(0)},
        {"order": torch.tensor([0, 1, 2, 3, 4])},
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_a_pass_that_does_something_else_is_seen_as_it_is(model, change):
    look(model, image())
    before = {name: getattr(model, name) for name in change}
    for name, value in change.items():
        setattr(model, name, value)
    assert_as_never_watched_before(model, image(1))
    assert_as_never_watched_before(model, image(2))
    for name, value in before.items():
        setattr(model, name, value)
    assert_as_never_watched_before(model, image(3))


def test_other_keys_by_the_same_functions_are_told_apart(model):
    """Both ways call the same functions in the same order, of tensors of the same shapes."""
    model.keys = "start"
    first = look(model, image())
    model.keys = "made"
    second = look(model, image())
    assert not torch.equal(first[1][1], second[1][1])
    assert_alike(second, look(copy.deepcopy(model), image()))


def test_other_shapes_and_batches(model):
    for shape in ((2, 12), (1, 12), (2, 12), (3, 12)):
        assert_as_never_watched_before(model, image(0, *shape))


def test_passes_over_inputs_of_several_sizes_are_all_remembered(model):
    shapes = [(2, 12), (1, 12), (3, 12)]
    wanted = [look(copy.deepcopy(model), image(1, *shape)) for shape in shapes]
    for shape in shapes:
        look(model, image(0, *shape))
    for shape, wish in zip(shapes, wanted, strict=True):
        again = image(1, *shape)
        with torch.no_grad(), watch(model) as seen:
            model(again)
        assert tape_of(seen).ops == []
        assert_alike(describe(seen), wish)


def test_a_pass_that_was_left_for_another_is_remembered_again(model):
    for twice in (False, True, False, False):
        model.twice = twice
        assert_as_never_watched_before(model, image())
    again = image(1)
    with torch.no_grad(), watch(model) as seen:
        model(again)
    assert tape_of(seen).ops == []


def test_watches_within_each_other_and_one_after_another(model):
    look(model, image())
    wanted = look(copy.deepcopy(model), image(1))
    with torch.no_grad(), watch(model) as outer, watch(model) as inner:
        model(image(1))
    with torch.no_grad(), watch(model) as later:
        model(image(1))
    assert_alike(describe(later), wanted)
    for seen in (inner, outer):
        assert_alike(describe(seen), wanted, 1e-6)


def test_read_in_the_block_between_two_passes(model):
    look(model, image())
    fresh = copy.deepcopy(model)
    found = []
    for each in (model, fresh):
        with torch.no_grad(), watch(each) as seen:
            each(image(1))
            count = len(seen)
            each(image(2))
        assert (count, len(seen)) == (3, 6)
        found.append(describe(seen.passes[1]))
    assert_alike(*found)
    assert_as_never_watched_before(model, image(3))


def _watch_and_drop(times):
    model = Changing().eval()
    for seed in range(times):
        look(model, image(seed))
    return weakref.ref(model)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_is_remembered_keeps_no_model_alive(times):
    gone = _watch_and_drop(times)
    gc.collect()
    assert gone() is None


def test_a_pass_that_ends_early(model):
    look(model, image())
    stop = model.second.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("stopped")))
    with torch.no_grad(), watch(model) as seen, pytest.raises(RuntimeError, match="stopped"):
        model(image(1))
    stop.remove()
    assert seen.names == ["first"]
    assert len(tape_of(seen).ops) > 0
    assert_as_never_watched_before(model, image(2))


def test_a_parameter_that_was_replaced(model):
    look(model, image())
    model.first.inner.weight = nn.Parameter(torch.randn(3 * WIDTH, WIDTH, generator=torch.Generator().manual_seed(9)))
    assert_as_never_watched_before(model, image())


def test_parameters_that_were_replaced_are_let_go(model):
    look(model, image())
    gone = weakref.ref(model.first.inner.weight)
    model.first.inner.weight = nn.Parameter(torch.randn(3 * WIDTH, WIDTH))
    look(model, image())
    gc.collect()
    assert gone() is None


def test_an_earlier_result_stays_what_it_was(model):
    """What was seen before and is read only now, after another pass borrowed what is known of both."""
    look(model, image())
    with torch.no_grad(), watch(model) as early:
        model(image(1))
    model.twice = True
    with torch.no_grad(), watch(model) as late:
        model(image(2))
    assert_alike(describe(late), look(copy.deepcopy(model), image(2)))
    model.twice = False
    assert_alike(describe(early), look(copy.deepcopy(model), image(1)))


class Asking(nn.Module):
    """Looks at what it was given with queries that it was given, or that it makes itself under the same name."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, queries=None):
        if queries is None:
            queries = torch.ones(len(x), 3, WIDTH)
        keys = self.inner(x)
        return F.scaled_dot_product_attention(queries, keys, keys)


def ask(model, *, given):
    tokens = torch.randn(2, 5, WIDTH)
    with torch.no_grad(), watch(model) as seen:
        model(tokens, torch.ones(2, 3, WIDTH)) if given else model(tokens)
    (name,) = seen.names
    return seen, seen[name].queries.labels()


def test_what_a_model_makes_under_the_name_of_an_argument_was_not_handed_to_it():
    model = Asking()
    for given in (False, False, True, True, False, True):
        seen, labels = ask(model, given=given)
        assert labels == (["0", "1", "2"] if given else ["constant"] * 3)
    ask(model, given=False)
    seen, _ = ask(model, given=False)
    assert tape_of(seen).ops == []
