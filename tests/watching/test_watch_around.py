"""What else may run while a model is watched: other models, tasks, generators, watchers. Nothing changes or stays."""

import asyncio
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from jumok.watching import watchers
from jumok.watching.watch import watch

TOKENS = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.attention, self.out = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 16)

    def forward(self, x):
        return self.out(x + self.attention(x, x, x, need_weights=False)[0])


def model(seed=0):
    return nn.Sequential(Block(seed), Block(seed + 1)).eval().requires_grad_(False)


def plain(net):
    return net(TOKENS)


@pytest.fixture(autouse=True)
def nothing_stays():
    before = [cls.forward for cls in watchers.FAST_MODULES]
    modes = torch._C._len_torch_function_stack()
    yield
    assert [cls.forward for cls in watchers.FAST_MODULES] == before
    assert torch._C._len_torch_function_stack() == modes
    assert watchers._open_eyes == 0
    assert watchers._list_recorders() == []


def test_another_model_in_the_block_is_not_shown_as_this_one():
    one, other = model(0), model(5)
    wanted = plain(one), plain(other)
    with watch(one) as seen:
        found = one(TOKENS), other(TOKENS)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert seen.names == ["0.attention", "1.attention"]
    assert seen.rollout(0).weights.shape == (2, 1, 5)


def test_a_model_that_another_one_calls_is_seen_within_it():
    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.hidden = [inner]  # no submodule

        def forward(self, x):
            return self.hidden[0](x)

    inner = model()
    outer = Around(inner).eval()
    with watch(outer) as seen:
        found = outer(TOKENS)
    assert torch.equal(found, plain(inner))
    assert seen.names == ["attention", "attention@2"]
    with watch(inner) as seen:
        outer(TOKENS)
    assert seen.names == ["0.attention", "1.attention"]


def test_nested_watchers_of_two_models_each_see_their_own():
    one, other = model(0), model(5)
    wanted = plain(one), plain(other)
    with watch(one) as outer:
        first = one(TOKENS)
        with watch(other) as inner:
            second = other(TOKENS)
        third = one(TOKENS)
    assert all(torch.equal(a, b) for a, b in zip(wanted, (first, second), strict=True))
    assert torch.equal(third, wanted[0])
    assert inner.names == ["0.attention", "1.attention"]
    assert outer.names == ["0.attention", "1.attention", "0.attention@2", "1.attention@2"]


def test_tasks_that_take_turns_within_a_watch():
    """Each runs its model as a whole; what another task runs in between is not of this model."""
    one, other = model(0), model(5)
    wanted = plain(one), plain(other)

    async def look(net, turns):
        with watch(net) as seen:
            first = net(TOKENS)
            await asyncio.sleep(0) if turns else None
        return first, seen

    async def both():
        return await asyncio.gather(look(one, turns=False), look(other, turns=False))

    for (found, seen), right in zip(asyncio.run(both()), wanted, strict=True):
        assert torch.equal(found, right)
        assert seen.names == ["0.attention", "1.attention"]


def test_tasks_whose_watches_overlap_give_the_same_and_leave_nothing():
    one, other = model(0), model(5)
    wanted = plain(one), plain(other)

    async def look(net, waits):
        with watch(net) as seen:
            for _ in range(waits):
                await asyncio.sleep(0)
            found = net(TOKENS)
            for _ in range(3 - waits):
                await asyncio.sleep(0)
        return found, seen

    async def both():
        return await asyncio.gather(look(one, 1), look(other, 2))

    for (found, seen), right in zip(asyncio.run(both()), wanted, strict=True):
        assert torch.equal(found, right)
        assert seen.names == ["0.attention", "1.attention"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_generators_closed_in_any_order(order):
    nets = model(0), model(5)
    wanted = [plain(net) for net in nets]
    kept = []

    def run(net):
        with watch(net) as seen:
            kept.append(seen)
            while True:
                yield net(TOKENS)

    running = [run(net) for net in nets]
    for _ in range(2):
        for generator, right in zip(running, wanted, strict=True):
            assert torch.equal(next(generator), right)
    for number in order:
        running[number].close()
        assert torch.equal(plain(nets[1 - number]), wanted[1 - number])
    twice = ["0.attention", "1.attention", "0.attention@2", "1.attention@2"]
    assert kept[order[0]].names == twice
    assert kept[order[1]].names == [*twice, "0.attention@3", "1.attention@3"]  # it was still open then


def test_other_function_modes_outside_and_inside_see_what_they_saw():
    class Count(TorchFunctionMode):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += func is F.linear
            return func(*args, **(kwargs or {}))

    net, counts = model(), []
    for watched in (False, True):
        for inside in (False, True):
            count = Count()
            with torch.enable_grad():
                if not watched:
                    with count:
                        net(TOKENS)
                elif inside:
                    with watch(net), count:
                        net(TOKENS)
                else:
                    with count, watch(net) as seen:
                        net(TOKENS)
            counts.append(count.calls)
    assert counts[0] == counts[1] == counts[3]
    assert seen.names == ["0.attention", "1.attention"]


def test_autocast_gives_what_it_gives_unwatched():
    net = model()
    with torch.autocast("cpu", torch.bfloat16):
        wanted = net(TOKENS)
        with watch(net) as seen:
            found = net(TOKENS)
    assert found.dtype == wanted.dtype
    assert torch.equal(found, wanted)
    assert len(seen) == 2


def test_a_module_whose_forward_is_replaced_while_it_is_watched():
    net = model()
    own = net[0].forward
    with watch(net) as seen:
        net[0].forward = lambda x: 2 * own(x)
        found = net(TOKENS)
    assert torch.equal(found, net(TOKENS))
    assert seen.names == ["0.attention", "1.attention"]


def test_watching_in_one_thread_leaves_another_alone():
    one, other = model(0), model(5)
    wanted, found = plain(other), []
    with watch(one) as seen:
        thread = threading.Thread(target=lambda: found.append(plain(other)))
        thread.start()
        thread.join()
        one(TOKENS)
    assert torch.equal(found[0], wanted)
    assert len(seen) == 2


def test_another_librarys_patch_takes_part_and_stays(monkeypatch):
    def doubled(forward):
        def patched(self, *args, **kwargs):
            output, weights = forward(self, *args, **kwargs)
            return output * 2, weights

        return patched

    before = doubled(nn.MultiheadAttention.forward)
    monkeypatch.setattr(nn.MultiheadAttention, "forward", before)
    model, x = nn.MultiheadAttention(16, 2, batch_first=True).eval(), torch.randn(1, 5, 16)
    with torch.no_grad():
        plain = model(x, x, x)[0]
        with watch(model) as seen:
            assert torch.equal(model(x, x, x)[0], plain)
        assert len(seen) == 1
        assert nn.MultiheadAttention.forward is before
        with watch(model) as seen:
            within = doubled(nn.MultiheadAttention.forward)
            nn.MultiheadAttention.forward = within
            assert torch.equal(model(x, x, x)[0], 2 * plain)
        assert nn.MultiheadAttention.forward is within
        assert torch.equal(model(x, x, x)[0], 2 * plain)
        with watch(model) as seen:
            assert torch.equal(model(x, x, x)[0], 2 * plain)
        assert len(seen) == 1
