import gc
import json
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_batches import Numbers, deal, our_threads, taken, write_files
from PIL import Image

from jumok.data.images import batches as module
from jumok.data.images.batches import Batches, PixelStore
from jumok.data.sharded_batches import AHEAD, THREADS
from jumok.errors import JumokError


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


# -- stopping and going on ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.booleans(), st.lists(st.integers(0, 9), max_size=4), st.integers(0, 3))
def test_any_interruption_gives_the_same_continuation(count, size, drop_last, stops, seed):
    options = {"drop_last": drop_last and count >= size, "seed": seed}
    wanted = taken(deal(count, size, **options), sum(stops) + 9)
    seen, state = [], deal(count, size, **options).state_dict()
    for stop in [*stops, 9]:
        batches = deal(count, size, **options)
        batches.load_state_dict(json.loads(json.dumps(state)))
        seen += taken(batches, stop) if stop else []
        state = batches.state_dict()
    assert seen == wanted


def test_the_state_tells_what_was_given_out_not_what_was_read_ahead():
    batches = deal(40, 4)
    for number, _ in enumerate(batches):
        assert (batches.epoch, batches.position) == ((0, number + 1) if number < 9 else (1, 0))
        time.sleep(0.005)
        assert number + 1 <= len(batches.source.asked) <= number + 1 + AHEAD


def test_batches_are_read_ahead_while_the_consumer_works():
    batches = deal(40, 4)
    running = iter(batches)
    next(running)
    deadline = time.monotonic() + 5
    while len(batches.source.asked) < 1 + AHEAD and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(batches.source.asked) == 1 + AHEAD


def test_a_restored_position_waits_for_the_first_batch():
    batches = deal(12, 3)
    taken(batches, 2)
    again = deal(12, 3)
    again.load_state_dict(batches.state_dict())
    iter(again)
    iter(again)
    assert taken(again) == again.order(0)[6:].view(2, 3).tolist()
    assert taken(again, 1) == again.order(1)[:3].view(1, 3).tolist()


def test_loading_a_state_ends_the_pass_under_way():
    batches = deal(12, 3)
    running = iter(batches)
    next(running)
    batches.load_state_dict(batches.state_dict())
    with pytest.raises(JumokError, match="keep one at a time"):
        next(running)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 13}, "the saved state has images 13, but now it is 12"),
        ({"labels": 1}, "the saved state has labels 1, but now it is"),
        ({"seed": 5}, "seed 5, but now it is 0"),
        ({"batch_size": 4}, "batch_size 4, but now it is 3"),
        ({"position": 4}, "batch 4: an epoch has batches 0 to 3"),
        ({"position": -1}, "cannot resume"),
        ({"epoch": "one"}, "cannot resume at epoch one"),
    ],
)
def test_a_foreign_or_damaged_state_is_refused(change, message):
    batches = deal(12, 3)
    with pytest.raises(JumokError, match=message):
        batches.load_state_dict({**batches.state_dict(), **change})
    with pytest.raises(JumokError, match="cannot resume"):
        batches.load_state_dict({})
    assert (batches.epoch, batches.position) == (0, 0)


def test_a_loop_that_counts_epochs_itself_can_say_which():
    batches = deal(12, 3)
    batches.sampler.set_epoch(2)
    assert taken(batches, 2) == batches.order(2)[:6].view(2, 3).tolist()
    batches.set_epoch(2)  # under way already
    assert (batches.epoch, batches.position) == (2, 2)
    batches.set_epoch(3)
    assert (batches.epoch, batches.position) == (3, 0)
    batches.load_state_dict({**batches.state_dict(), "epoch": 7})
    batches.set_epoch(4)
    assert batches.epoch == 7


# -- threads ------------------------------------------------------------------------------------


def test_no_thread_stays_behind_a_break_an_error_or_a_forgotten_pass():
    batches = deal(40, 4)
    for _ in batches:
        assert our_threads() == [f"{THREADS}ahead_0"]
        break
    assert our_threads() == []
    with pytest.raises(KeyboardInterrupt):
        interrupted(batches)
    assert our_threads() == []
    running = iter(batches)
    next(running)
    circle = [running]
    circle.append(circle)
    del running, circle
    gc.collect()
    assert our_threads() == []
    taken(batches)
    assert our_threads() == []


def test_what_was_not_begun_when_a_pass_ends_is_not_read():
    batches = deal(40, 4)
    get, second, hold = batches.source.get, threading.Event(), threading.Event()

    def get_slowly(indices):
        found = get(indices)
        if len(batches.source.asked) > 1:
            second.set()
            assert hold.wait(60)
        return found

    batches.source.get = get_slowly
    running = iter(batches)
    next(running)
    assert second.wait(60)
    threading.Timer(0.1, hold.set).start()
    running.close()
    assert len(batches.source.asked) == 2


def interrupted(batches):
    for _ in batches:
        raise KeyboardInterrupt


def test_an_error_comes_with_its_own_batch_and_ends_the_pass(files):
    files[9].write_bytes(b"")
    store = PixelStore(files, 4, 4, memory_limit=0)
    batches = Batches(store, torch.zeros(37), batch_size=4, shuffle=False, drop_last=False)
    running = iter(batches)
    assert [next(running).indices.tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(JumokError, match=r"09\.png: it is empty"):
        next(running)
    assert (batches.epoch, batches.position) == (0, 2)
    assert our_threads() == []


def test_a_forgotten_pass_may_be_cleared_away_by_our_own_thread(monkeypatch):
    """Garbage may be collected by any thread, also by the reader, which must not wait for itself."""
    problems = []
    monkeypatch.setattr(sys, "unraisablehook", problems.append)
    source = Numbers(8)
    batches = Batches(source, torch.zeros(8), batch_size=1, shuffle=False, drop_last=False)
    passes = [iter(batches)]
    started, release, cleared = threading.Event(), threading.Event(), threading.Event()

    def get(indices):
        if int(indices[0]) == 1:
            started.set()
            release.wait(5)
            passes.clear()  # the last reference: the pass is closed here
            cleared.set()
        return torch.zeros(len(indices), 3, 1, 1)

    source.get = get
    next(passes[0])
    assert started.wait(5)
    release.set()
    assert cleared.wait(5)
    assert problems == []


RESUME = """
import json, sys, torch
from jumok.data.images.batches import Batches
class Slow:
    def __len__(self): return 1000
    def get(self, indices): return indices
batches = Batches(Slow(), torch.arange(1000), batch_size=8, seed=3, shuffle=True, drop_last=True)
if len(sys.argv) > 1: batches.load_state_dict(json.loads(sys.argv[1]))
running = iter(batches)
seen = [next(running).indices.tolist() for _ in range(30)]
print(json.dumps([seen, batches.state_dict()]))  # and exit in the middle of a pass
"""


def test_a_fresh_process_goes_on_exactly_and_a_pass_never_holds_up_the_exit():
    seen, state = fresh_process()
    more, _ = fresh_process(json.dumps(state))
    batches = Batches(Numbers(1000), torch.arange(1000), batch_size=8, seed=3, shuffle=True, drop_last=True)
    assert seen + more == taken(batches, 60)


def fresh_process(*arguments):
    command = [sys.executable, "-c", RESUME, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60, text=True).stdout)


def test_large_images_are_taken_in_smaller_turns(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, side in zip(paths, (10, 10, 30, 10, 10, 10), strict=True):
        Image.new("L", (side, side)).save(path)
    names = [[int(path.stem) for path in turn] for turn in module.take_turns(paths, 4)]
    assert names == [[0, 1, 2, 3], [4, 5]]
    monkeypatch.setattr(module, "PIXELS_PER_TURN", 250)
    assert [[int(path.stem) for path in turn] for turn in module.take_turns(paths, 4)] == [[0, 1], [2], [3, 4], [5]]
