"""The kernels that a run is trained by: chosen once, kept in its folder, and taken up by whatever goes on."""

import json
import os
from pathlib import Path

import pytest
import torch
from breaking import At, Stop, same_end, stop
from pytorch_lightning import Callback

from jumok.errors import JumokError
from jumok.mechanisms.kernels import door
from jumok.mechanisms.kernels.timing import Timed
from jumok.mechanisms.layers import linear as module
from jumok.tasks.running import kernels
from jumok.tasks.running.kernels import KERNELS, Kernels

MAP = {"kernel": "linear", "key": [16, 48], "by": "fast", "plain": 2.0, "fast": 1.0}
pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="there is one kernel only")


@pytest.fixture
def timings(monkeypatch):
    """Every map can go either way; the convolution is the faster one in the first timing, the product in all others."""
    made = []

    def choose(calls):
        made.append(calls)
        return [Timed(call.choice, 1.0, 0.5 if len(made) == 1 else 2.0) for call in sorted(calls)]

    monkeypatch.setattr(module, "FEWEST_ROWS", 1)
    monkeypatch.setattr(module, "SMALL_BATCH", 2)
    monkeypatch.setattr(kernels, "choose", choose)
    return made


class Taken(Callback):
    """Counts the maps that go by convolution, step by step."""

    def __init__(self, monkeypatch):
        self.steps, self._real = [], module.multiply_by_convolution
        monkeypatch.setattr(module, "multiply_by_convolution", self._counted)

    def _counted(self, *given):
        self.steps[-1] += 1
        return self._real(*given)

    def on_train_batch_start(self, *_):
        self.steps.append(0)


def test_the_first_step_is_plain_and_all_others_go_by_what_was_faster(job, timings, monkeypatch):
    run, taken = job(epochs=1), Taken(monkeypatch)
    run.start(taken)
    assert taken.steps[0] == 0
    assert min(taken.steps[1:]) > 4
    assert len(timings) == 1
    kept = json.loads((run.folder / KERNELS).read_text())["forms"]
    assert {"kernel": "linear", "key": [16, 48], "by": "fast", "plain": 1000.0, "fast": 500.0} in kept
    assert door._door.fast == frozenset()
    assert door._door.noted is None


@pytest.mark.parametrize("step", [0, 1, 2, 4])
def test_a_run_that_goes_on_keeps_its_choice_and_ends_bit_for_bit_the_same(job, timings, step):
    whole, broken = job("whole", epochs=2), job("broken", epochs=2)
    whole.start()
    timings.clear()
    with pytest.raises(Stop):
        broken.start(At(step, stop))
    broken.start()
    assert len(timings) == 1
    same_end(broken.folder, whole.folder)


def test_a_run_killed_before_its_first_checkpoint_keeps_its_choice(job, timings):
    whole, broken = job("whole", epochs=2, checkpoint_every=100), job("broken", epochs=2, checkpoint_every=100)
    whole.start()
    timings.clear()
    with pytest.raises(Stop):
        broken.start(At(3, stop))
    broken.start()
    assert len(timings) == 1
    same_end(broken.folder, whole.folder)


@pytest.mark.parametrize("step", [0, 2])
def test_a_run_begun_by_plain_kernels_goes_on_by_them(job, timings, step, monkeypatch):
    """Whatever the environment says by then: dropout of ours draws other numbers than PyTorch's."""
    whole, broken = job("whole", epochs=2), job("broken", epochs=2)
    monkeypatch.setattr(door._door, "off", True)
    whole.start()
    with pytest.raises(Stop):
        broken.start(At(step, stop))
    monkeypatch.setattr(door._door, "off", False)
    broken.start()
    assert Kernels.read(broken.folder / KERNELS).off or step == 0  # stopped before the choice, it begins anew
    if step:
        same_end(broken.folder, whole.folder)
    assert not door.is_off()


def test_what_is_written_is_read_again(tmp_path):
    assert Kernels.read(tmp_path / KERNELS) is None
    made = Kernels.model_validate({"forms": [MAP]})
    (tmp_path / KERNELS).write_text(made.model_dump_json())
    assert Kernels.read(tmp_path / KERNELS) == made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\x80\x04",
        json.dumps({"format": 1}).encode(),
        json.dumps({"forms": [{**MAP, "by": "magic"}]}).encode(),
        json.dumps({"forms": [{**MAP, "plain": -1}]}).encode(),
        json.dumps({"more": 1}).encode(),
        b" " * (kernels.LARGEST_FILE + 1),
    ],
    ids=["empty", "a list", "bytes", "another format", "no such form", "no time", "an unknown key", "too large"],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / KERNELS).write_bytes(content)
    with pytest.raises(JumokError, match="put this run's own file back") as raised:
        Kernels.read(tmp_path / KERNELS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "said"), [(os.mkfifo, "is a pipe or a device"), (Path.touch, "is damaged (all of it: Invalid JSON")]
)
def test_a_file_of_choices_that_is_none_is_told_and_not_waited_for(tmp_path, spoil, said):
    spoil(tmp_path / KERNELS)
    with pytest.raises(JumokError) as caught:
        Kernels.read(tmp_path / KERNELS)
    assert said in str(caught.value)
