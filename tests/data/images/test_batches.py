import itertools
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_batches import Numbers, deal, our_threads, taken, write_files
from PIL import Image

from jumok.data.images import batches as module
from jumok.data.images.batches import IMAGES_PER_TASK, Batches, PixelStore, memory_to_use
from jumok.data.images.reading import read_image
from jumok.errors import JumokError


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


# -- the store ----------------------------------------------------------------------------------


def test_kept_and_streamed_pixels_are_the_same_bytes(files):
    kept, streamed = PixelStore(files, 8, 10), PixelStore(files, 8, 10, memory_limit=0)
    assert (kept.in_memory, streamed.in_memory) == (True, False)
    wanted = torch.stack([read_image(path, (8, 10)) for path in files])
    indices = torch.tensor([36, 0, 5, 5, 20, 1])
    for store in (kept, streamed):
        assert torch.equal(store.get(indices), wanted[indices])
        assert torch.equal(store.get(torch.arange(37)), wanted)
        assert store.get(torch.arange(0)).shape == (0, 3, 8, 10)
    assert our_threads() == []


def test_what_is_got_is_the_callers_own(files):
    store = PixelStore(files, 4, 4)
    before = store.get(torch.tensor([3]))
    store.get(torch.tensor([3])).fill_(0)
    assert torch.equal(store.get(torch.tensor([3])), before)


def test_images_are_decoded_once_if_kept_and_each_time_if_streamed(files, monkeypatch):
    reads = []
    monkeypatch.setattr(
        module, "read_image", lambda path, size, **more: reads.append(path) or read_image(path, size, **more)
    )
    kept, streamed = PixelStore(files, 4, 4), PixelStore(files, 4, 4, memory_limit=0)
    assert reads == []
    kept.load().load().get(torch.tensor([1, 2]))
    assert sorted(reads) == files
    streamed.load()
    assert len(reads) == 37
    streamed.get(torch.tensor([1, 2]))
    streamed.get(torch.tensor([1]))
    assert len(reads) == 40


def test_threads_that_ask_at_once_decode_only_once(files, monkeypatch):
    reads = []
    monkeypatch.setattr(
        module, "read_image", lambda path, size, **more: reads.append(path) or read_image(path, size, **more)
    )
    store = PixelStore(files, 4, 4)
    threads = [threading.Thread(target=store.get, args=(torch.arange(37),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 37


def test_the_limit_is_exact(files):
    assert PixelStore(files, 8, 10, memory_limit=37 * 3 * 8 * 10).in_memory
    assert not PixelStore(files, 8, 10, memory_limit=37 * 3 * 8 * 10 - 1).in_memory


def test_the_default_limit_is_moderate(monkeypatch, files):
    assert 0 < memory_to_use() <= 4 * 1024**3
    monkeypatch.setattr(module, "_free_memory", lambda: 1024)
    assert memory_to_use() == 256
    assert not PixelStore(files, 8, 10).in_memory


def test_progress_is_told_as_far_as_it_is(files):
    told = []
    PixelStore(files, 4, 4, progress=lambda done, total: told.append((done, total)), threads=2).load()
    assert told == [(IMAGES_PER_TASK, 37), (2 * IMAGES_PER_TASK, 37), (37, 37)]


@pytest.mark.parametrize("limit", [None, 0])
def test_images_that_cannot_be_read_are_named(files, limit):
    whole = files[7].read_bytes()
    files[7].write_bytes(whole[:-40])
    store = PixelStore(files, 4, 4, memory_limit=limit)
    with pytest.raises(JumokError, match=r"cannot read .*07\.png: .*truncated"):
        store.get(torch.arange(37))
    files[20].unlink()
    with pytest.raises(JumokError, match=r"07\.png: .* \(and 1 more image cannot be read\)"):
        store.get(torch.arange(37))
    Image.new("L", (3, 3)).save(files[20])
    files[7].write_bytes(whole)
    assert store.get(torch.tensor([7])).shape == (1, 3, 4, 4)
    assert our_threads() == []


@pytest.mark.parametrize("limit", [None, 0])
def test_an_index_outside_the_set_is_an_error(files, limit):
    with pytest.raises(IndexError):
        PixelStore(files, 4, 4, memory_limit=limit).get(torch.tensor([37]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": []}, "images must be at least 1, got 0"),
        ({"height": 0}, "height must be at least 1, got 0"),
        ({"memory_limit": -1}, "memory_limit must be at least 0, got -1"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_a_store_that_cannot_be_is_refused(files, options, message):
    with pytest.raises(JumokError, match=message):
        PixelStore(**{"paths": files, "height": 4, "width": 4, **options})


# -- one epoch ----------------------------------------------------------------------------------


def test_a_batch_holds_images_labels_and_indices_that_belong_together():
    for batch in deal(10, 4):
        assert batch.images.dtype == torch.uint8
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        assert torch.equal(batch.images[:, 2, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices * 10)


def test_without_shuffling_the_order_is_the_sources():
    assert taken(deal(7, 3, shuffle=False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert taken(deal(7, 3, shuffle=False, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    one, two = deal(50, 10, seed=1), deal(50, 5, seed=1, world_size=5, rank=2)
    torch.manual_seed(0)
    orders = [one.order(epoch).tolist() for epoch in range(3)]
    torch.manual_seed(1)
    assert [two.order(epoch).tolist() for epoch in (2, 0, 1)] == [orders[2], orders[0], orders[1]]
    assert len({tuple(order) for order in orders}) == 3
    assert deal(50, 10, seed=2).order(0).tolist() not in orders


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    taken(deal(20, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_each_pass_is_the_next_epoch():
    batches = deal(8, 4)
    for epoch in range(3):
        assert batches.epoch == epoch
        assert joined(taken(batches)) == batches.order(epoch).tolist()


def test_beginning_a_pass_costs_nothing_and_changes_nothing():
    batches = deal(8, 4)
    for _ in range(5):
        iter(batches)
    assert (batches.source.asked, our_threads(), batches.epoch) == ([], [], 0)


def test_a_pass_that_is_left_early_is_over():
    batches = deal(9, 3)
    assert taken(batches, 2) == batches.order(0)[:6].view(2, 3).tolist()
    assert (batches.epoch, batches.position) == (0, 2)
    assert joined(taken(batches)) == batches.order(1).tolist()


def test_two_passes_at_a_time_are_refused():
    batches = deal(9, 3)
    older = iter(batches)
    next(older)
    next(iter(batches))
    with pytest.raises(JumokError, match="keep one at a time"):
        next(older)


# -- ranks --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ranks_share_every_batch_and_the_epoch_has_every_index_once(data):
    world = data.draw(st.integers(1, 5))
    count = data.draw(st.integers(world, 60))
    size = world * data.draw(st.integers(1, 8))
    drop_last = data.draw(st.booleans()) and count >= size
    options = {"drop_last": drop_last, "shuffle": data.draw(st.booleans()), "seed": data.draw(st.integers(0, 9))}
    ranks = [deal(count, size, rank=rank, world_size=world, **options) for rank in range(world)]
    parts = [taken(rank) for rank in ranks]
    assert {len(part) for part in parts} == {len(rank) for rank in ranks} == {len(ranks[0])}
    for step in zip(*parts, strict=True):
        sizes = [len(part) for part in step]
        assert min(sizes) >= 1
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] - sizes[-1] <= 1
    together = [joined(step) for step in zip(*parts, strict=True)]
    order = ranks[0].order(0).tolist()
    assert joined(together) == (order[: len(order) // size * size] if drop_last else order)
    assert together[:-1] == taken(deal(count, size, **options))[: len(together) - 1]
    assert all(rank.state_dict() == {**ranks[0].state_dict(), "epoch": 1, "position": 0} for rank in ranks)


def test_a_tail_smaller_than_the_world_joins_the_batch_before_it():
    assert taken(deal(9, 4, shuffle=False, world_size=2, rank=0)) == [[0, 1], [4, 5, 6]]
    assert taken(deal(9, 4, shuffle=False, world_size=2, rank=1)) == [[2, 3], [7, 8]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 5, {"world_size": 2}), "a global batch of 5 does not divide among 2 ranks"),
        ((10, 4, {"world_size": 2, "rank": 2}), "rank must be from 0 to 1 in a world of 2, got 2"),
        ((10, 0, {}), "batch_size must be at least 1, got 0"),
        ((3, 4, {"drop_last": True}), "3 images do not fill a batch of 4"),
        ((3, 4, {"world_size": 4}), "3 images cannot be shared among 4 ranks"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, message):
    count, size, options = arguments
    with pytest.raises(JumokError, match=message):
        deal(count, size, **options)


def test_labels_must_match_the_images():
    with pytest.raises(JumokError, match=r"one label for each of the 5 images, got shape \(4,\)"):
        Batches(Numbers(5), torch.zeros(4), batch_size=2, shuffle=False, drop_last=False)
