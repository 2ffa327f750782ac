"""Kernels take the form that was found to be faster, the plain one on a tie, and all of them when it is asked for."""

import json
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from jumok.mechanisms.additive import fast_scores, scores
from jumok.mechanisms.kernels import door, store, timing
from jumok.mechanisms.kernels.door import Call, noting, switch_off, takes_fast, using
from jumok.mechanisms.kernels.timing import Timed, choose, chosen, settle, timed
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.layers.gate_ops import gate_features, mean, mean_and_largest
from jumok.mechanisms.layers.linear import FEWEST_ROWS, Shape, linear
from jumok.mechanisms.non_local import NonLocal
from jumok.mechanisms.pairwise import concatenation

MAP = Shape(16, 64, 4, 6).call
BLOCK = Call("non-local", (0, 6, 3, 5, 4, 1), (2, 0, 6, 3, 5, 4, 1))
OTHERS = [
    Call("dropout", (13,), (5000,)),
    Call("gate-mean", (0, 4, 3, 5, 4, 2, 3), (2, 0, 4, 3, 5, 4, 2, 3)),
    Call("gate-largest", (1, 4, 3, 5, 4, 1), (2, 1, 4, 3, 5, 4, 1)),
    Call("gate-product", (0, 4, 3, 5, 4, 2, 3), (2, 0, 4, 3, 5, 4, 2, 3)),
]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "jumok" / "kernels.json"


@pytest.fixture
def off():
    with using(frozenset()):
        switch_off(True)
        yield


def test_what_was_not_chosen_is_plain():
    with using({MAP.choice}):
        assert takes_fast(MAP)
        assert not takes_fast(BLOCK)
    assert not takes_fast(MAP)


def test_the_plain_form_wins_a_tie():
    times = [Timed(("a", (1,)), 1.0, 0.97), Timed(("a", (2,)), 1.0, 1.5), Timed(("b", (1,)), 1.0, 0.6)]
    assert chosen(times) == {("b", (1,))}


def test_the_faster_form_is_found_by_the_clock(monkeypatch):
    now = [0.0]

    def passing(seconds):
        now[0] += seconds

    monkeypatch.setattr(timing, "TRIALS", {"linear": lambda shape: (lambda: passing(1.0), lambda: passing(0.25))})
    assert timed(MAP, lambda: now[0]) == Timed(MAP.choice, 1.0, 0.25)


def test_each_choice_is_timed_once_by_its_largest_shape(monkeypatch):
    asked = []
    monkeypatch.setattr(timing, "timed", lambda call: asked.append(call) or Timed(call.choice, 2.0, 1.0))
    calls = {MAP, Shape(32, 64, 4, 6).call, Shape(16, 64, 6, 4).call}
    assert choose(calls) == choose(calls) == [Timed(("linear", key), 2.0, 1.0) for key in ((4, 6), (6, 4))]
    assert sorted(asked) == [Shape(32, 64, 4, 6).call, Shape(16, 64, 6, 4).call]


def test_times_are_of_one_processor_these_libraries_and_as_many_threads(monkeypatch, cache):
    asked = []
    monkeypatch.setattr(timing, "timed", lambda call: asked.append(call) or Timed(call.choice, 2.0, 1.0))
    choose({MAP})
    choose({MAP, BLOCK})
    assert asked == [MAP, BLOCK]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    choose({MAP})
    monkeypatch.setattr(store, "machine", lambda: "another processor")
    choose({MAP})
    assert asked == [MAP, BLOCK, MAP, MAP]
    assert json.loads(cache.read_text())["machine"] == "another processor"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"machine": 1}', b"\xff", "times", "long"])
def test_a_damaged_cache_counts_as_none(content, cache, monkeypatch):
    monkeypatch.setattr(store, "LARGEST_FILE", 500)
    wrong = {"machine": store.machine(), "times": {"a": [1.0, "b"]} if content == "times" else {"a" * 600: [1.0, 1.0]}}
    cache.parent.mkdir()
    cache.write_bytes(content if isinstance(content, bytes) else json.dumps(wrong).encode())
    assert store.read_times(["a", "a" * 600]) == {}
    store.keep_times({"b": (2.0, 1.0)})
    assert store.read_times(["a", "b"]) == {"b": (2.0, 1.0)}


def test_without_a_place_to_write_times_are_taken_again(cache):
    cache.parent.parent.joinpath("jumok").write_text("a file")
    store.keep_times({"b": (2.0, 1.0)})
    assert store.read_times(["b"]) == {}


def test_each_kernel_can_be_timed():
    assert {call.kernel for call in (MAP, BLOCK, *OTHERS)} == set(timing.TRIALS)


@pytest.mark.parametrize("call", [MAP, BLOCK, *OTHERS], ids=lambda call: call.kernel)
def test_timing_draws_no_random_numbers_of_the_run_s_and_notes_nothing(call):
    before = torch.get_rng_state()
    with noting() as calls:
        found = timed(call)
    assert found.plain > 0 < found.fast
    assert torch.equal(torch.get_rng_state(), before)
    assert not {each.choice for each in calls} - {call.choice}


def test_a_step_settles_the_choice(monkeypatch):
    monkeypatch.setattr(timing, "choose", lambda calls: [Timed(call.choice, 2.0, 1.0) for call in calls])
    tokens, weight = torch.randn(16, FEWEST_ROWS // 16, 4), torch.randn(6, 4)
    with using(frozenset()):
        settle(lambda: linear(tokens, weight, None))
        assert takes_fast(MAP) == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("sub_sample", [True, False])
@pytest.mark.parametrize("form", ["embedded-gaussian", "gaussian", "dot-product"])
def test_both_forms_of_a_non_local_block_are_one(form, sub_sample):
    block = NonLocal(8, form=form, sub_sample=sub_sample)
    torch.nn.init.ones_(block.norm.weight)
    features = torch.randn(3, 8, 3, 4, requires_grad=True)
    inputs, found = [features, *block.parameters()], []
    for choices in (frozenset(), {block._call(features).choice}):
        with using(choices), noting() as calls:
            output = block(features)
        assert block._call(features) in calls
        found.append([output, *torch.autograd.grad(output, inputs, features.detach().cos())])
    for plain, fast in zip(*found, strict=True):
        torch.testing.assert_close(plain, fast, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[0][0], block.plain(features)[0], atol=1e-4, rtol=1e-4)


def test_switched_off_all_take_the_plain_form(off):
    tokens, weight = torch.randn(16, FEWEST_ROWS // 16, 4), torch.randn(6, 4)
    with noting() as calls:
        linear(tokens, weight, None)
    assert not calls
    values = torch.ones(5000)
    torch.manual_seed(1)
    dropped = Dropout(0.5)(values)
    torch.manual_seed(1)
    assert torch.equal(dropped, F.dropout(values, 0.5))
    query, key, w = (torch.randn(shape, requires_grad=True) for shape in ((2, 3, 4), (2, 5, 4), (4,)))
    assert torch.equal(fast_scores(query, key, w), scores(query, key, w))
    features, gates = torch.randn(2, 3, 4, 4, requires_grad=True), torch.rand(2, 3, 1, 1, requires_grad=True)
    assert gate_features(features, gates).grad_fn.name() == "MulBackward0"
    assert mean(features, (2, 3)).grad_fn.name() == "MeanBackward1"
    assert mean_and_largest(features, (2, 3))[1].grad_fn.name() == "AmaxBackward0"
    a, b, g = torch.randn(1, 90), torch.randn(1, 90), torch.randn(1, 90, 1)
    assert torch.equal(concatenation(a, b, g), (a[:, :, None] + b[:, None]).relu() @ (g / 90))


def test_a_block_puts_the_switch_back(off):
    with using(frozenset()):
        switch_off(False)
        assert not door.is_off()
    assert door.is_off()


@pytest.mark.parametrize(("value", "said"), [("plain", "True False"), ("", "False True")])
def test_the_environment_switches_all_off(value, said):
    script = "import jumok.machine as m, jumok.mechanisms.kernels.door as door; print(door.is_off(), m.keep_freed())"
    environment = {"JUMOK_KERNELS": value, "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == said


def test_a_user_without_a_home_does_without_kept_times(monkeypatch):
    def find_none(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(store.Path, "home", find_none)
    store.keep_times({"b": (2.0, 1.0)})
    assert store.read_times(["b"]) == {}
