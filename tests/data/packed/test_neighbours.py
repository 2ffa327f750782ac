"""Orders in which what is read together stays near: each once, the same for any number of processes."""

import pytest
import torch
from packed_files import make_images, write_parquet

from jumok.data.images.batches import Batches, PixelStore
from jumok.data.images.folders import scan_folder
from jumok.data.neighbours import Neighbours
from jumok.data.packed import parquet_images
from jumok.data.packed.blocks import find_neighbours

BLOCKS = torch.arange(20).repeat_interleave(5)
NEAR = Neighbours(BLOCKS, torch.full((20,), 10), window=40)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_comes_once_and_in_another_order_each_time():
    one, other = NEAR.shuffle(chance()), NEAR.shuffle(chance(1))
    assert one.sort().values.tolist() == other.sort().values.tolist() == list(range(100))
    assert one.tolist() != other.tolist()
    assert one.tolist() == NEAR.shuffle(chance()).tolist()


def test_few_blocks_are_read_at_a_time_and_they_are_mixed():
    order = NEAR.shuffle(chance())
    windows = BLOCKS[order].reshape(5, 20)
    for window in windows:
        assert len(window.unique()) == 4
    assert len(torch.cat([window.unique() for window in windows]).unique()) == 20
    assert any(len(window[:5].unique()) > 2 for window in windows)
    firsts = {
        tuple(NEAR.shuffle(chance(seed))[:20].div(5, rounding_mode="floor").unique().tolist()) for seed in range(9)
    }
    assert len(firsts) > 5


def test_what_is_repeated_stays_near():
    order = torch.tensor([0, 0, 99, 50, 51])
    chosen = NEAR.choose(order)
    assert chosen.blocks.tolist() == [0, 0, 19, 10, 10]
    assert sorted(chosen.shuffle(chance()).tolist()) == list(range(5))


@pytest.fixture
def found(tmp_path):
    pytest.importorskip("pyarrow")
    images = make_images(64)
    write_parquet(tmp_path / "set" / "0.parquet", images[:40], group=4)
    write_parquet(tmp_path / "set" / "1.parquet", images[40:], group=4)
    return scan_folder(tmp_path / "set")


def test_row_groups_are_found(found):
    assert find_neighbours(found.paths) is None  # all can be held
    near = find_neighbours(found.paths, window=4000)
    assert near.blocks.tolist() == [number // 4 for number in range(64)]
    assert len(near.sizes) == 16
    assert int(near.sizes.sum()) > 64 * 700


def batches(found, near, rank=0, world=1):
    store = PixelStore(found.paths, 16, 16, memory_limit=0, threads=1)
    labels = torch.tensor(found.labels)
    share = {"rank": rank, "world_size": world}
    return Batches(store, labels, batch_size=8, seed=3, shuffle=True, drop_last=True, neighbours=near, **share)


def test_any_number_of_processes_sees_each_image_once(found):
    near = find_neighbours(found.paths, window=4000)
    alone = [batch.indices for batch in batches(found, near)]
    assert torch.cat(alone).sort().values.tolist() == list(range(64))
    for world in (2, 4):
        shared = [[batch.indices for batch in batches(found, near, rank, world)] for rank in range(world)]
        joined = [torch.cat(step).tolist() for step in zip(*shared, strict=True)]
        assert joined == [each.tolist() for each in alone]


@pytest.mark.parametrize("stop", [0, 3, 7])
def test_an_epoch_that_is_stopped_goes_on_exactly_there(found, stop):
    near = find_neighbours(found.paths, window=4000)
    whole = batches(found, near)
    wanted = [[batch.indices.tolist() for batch in whole] for _ in range(2)]
    first = batches(found, near)
    for _, batch in zip(range(stop + 1), first, strict=False):
        last = batch
    assert last.indices.tolist() == wanted[0][stop]
    second = batches(found, near)
    second.load_state_dict(first.state_dict())
    went_on = [batch.indices.tolist() for batch in second]
    following = [batch.indices.tolist() for batch in second]
    assert (went_on, following) == ((wanted[0][stop + 1 :], wanted[1]) if stop < 7 else (wanted[1], following))


def test_an_epoch_reads_each_row_group_about_once(found, monkeypatch):
    near = find_neighbours(found.paths, window=12_000)
    monkeypatch.setattr(parquet_images, "HELD", held := parquet_images.HeldGroups(24_000))
    assert sum(len(batch.labels) for batch in batches(found, near)) == 64
    assert held.reads <= 20
    monkeypatch.setattr(parquet_images, "HELD", held := parquet_images.HeldGroups(24_000))
    assert sum(len(batch.labels) for batch in batches(found, None)) == 64
    assert held.reads > 30
