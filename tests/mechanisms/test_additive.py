"""Additive attention: the formula, and the fast ways that must give what it gives."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jumok.errors import JumokError
from jumok.mechanisms import additive
from jumok.mechanisms.additive import Additive, blockwise_scores, fast_scores, scores
from jumok.mechanisms.kernels import additive_scores
from jumok.watching.watch import watch

FAST = pytest.mark.parametrize("fast", [fast_scores, blockwise_scores])
STRESS = int(os.environ.get("JUMOK_STRESS", "1"))
"""How often many threads compute at once."""


def draw(batch, queries, keys, size, *, seed=0, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, queries, size), (batch, keys, size), (size,))
    query, key, w = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return (query * scale).requires_grad_(), (key * scale).requires_grad_(), w.requires_grad_()


def results(way, inputs, mask=None, seed=0):
    """Weights by a way to score, and the gradients that reach its inputs."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    found = way(*inputs) if mask is None else way(*inputs, mask)
    weights = found.softmax(-1)
    pulled = weights * torch.randn(weights.shape, generator=torch.Generator().manual_seed(seed)).to(weights)
    return [found, weights, *torch.autograd.grad(pulled.sum(), inputs)]


def by_formula(query, key, w, mask=None):
    """`scores` in float64, with -inf where the mask forbids."""
    found = scores(query.double(), key.double(), w.double())
    if mask is None:
        return found
    return found.masked_fill(~(mask if mask.dim() == 3 else mask[:, None]), -torch.inf)


def assert_same(fast, inputs, mask=None):
    for got, wanted in zip(results(fast, inputs, mask), results(by_formula, inputs, mask), strict=True):
        bound = wanted[wanted.isfinite()].abs().max().item() if wanted.isfinite().any() else 0.0
        torch.testing.assert_close(got, wanted.to(got), rtol=1e-4, atol=2e-6 * (1 + bound + inputs[2].numel()))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# -- the formula --------------------------------------------------------------------------------


def test_scores_are_w_times_tanh():
    query, key, w = (tensor.detach() for tensor in draw(2, 3, 4, 5))
    wanted = torch.zeros(2, 3, 4)
    for b, i, j in np.ndindex(2, 3, 4):
        wanted[b, i, j] = sum(w[d] * np.tanh(float(query[b, i, d] + key[b, j, d])) for d in range(5))
    torch.testing.assert_close(scores(query, key, w), wanted)


def test_gradients_of_the_formula_are_right():
    assert torch.autograd.gradcheck(scores, draw(2, 3, 4, 5, dtype=torch.float64))


def test_float64_is_as_exact_as_the_formula():
    inputs = draw(2, 3, 4, 5, dtype=torch.float64)
    assert torch.equal(fast_scores(*inputs), scores(*inputs))
    assert torch.autograd.gradcheck(fast_scores, inputs)
    assert torch.autograd.gradgradcheck(fast_scores, inputs)


# -- the fast ways ------------------------------------------------------------------------------


@st.composite
def tasks(draw_):
    shape = [draw_(st.integers(1, high)) for high in (4, 6, 9, 70)]
    seed, scale = draw_(st.integers(0, 1000)), draw_(st.sampled_from([0.01, 1.0, 30.0]))
    batch, queries, keys, _ = shape
    kind = draw_(st.sampled_from(["none", "keys", "each", "one"]))
    generator = torch.Generator().manual_seed(seed)
    places = (batch, queries, keys) if kind == "each" else (batch, keys)
    mask = torch.rand(places, generator=generator) < (0.5 if kind != "one" else 0.0)
    mask.scatter_(-1, torch.randint(keys, (*places[:-1], 1), generator=generator), True)  # each row keeps a key
    return draw(*shape, seed=seed, scale=scale), None if kind == "none" else mask


@FAST
@settings(max_examples=50)
@given(task=tasks())
def test_fast_is_the_formula_in_values_and_gradients(fast, task):
    assert_same(fast, *task)


@FAST
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 1, 60, 512), (2, 30, 30, 200), (1, 40, 50, 129)])
def test_fast_is_the_formula_at_real_sizes(fast, shape, threads):
    threads(2)
    inputs = draw(*shape)
    assert_same(fast, inputs)
    assert_same(fast, inputs, torch.arange(shape[2]) < torch.arange(1, shape[0] + 1)[:, None])


def test_blocks_may_be_of_any_size(monkeypatch):
    inputs = draw(5, 7, 4, 6)
    wanted = results(scores, inputs)
    for limit in (1, 24, 50, 72, 10**6):
        monkeypatch.setitem(additive.BLOCK_VALUES, "cpu", limit)
        for got, want in zip(results(blockwise_scores, inputs), wanted, strict=True):
            torch.testing.assert_close(got, want)


@FAST
def test_tensors_that_are_not_contiguous(fast):
    query, key, w = draw(3, 5, 4, 24)
    mixed = query.detach().transpose(1, 2).contiguous().transpose(1, 2), key.detach()[..., ::2], w.detach()[::2]
    mixed = mixed[0][..., 1::2], mixed[1], mixed[2]
    mask = torch.ones(4, 3, dtype=torch.bool).tril(2).T
    assert_same(fast, mixed, mask)


@FAST
def test_masked_keys_are_passed_over_whatever_they_hold(fast):
    query, key, w = draw(2, 3, 4, 20)
    mask = torch.tensor([[True, True, False, True], [True, False, False, False]])
    spoilt = key.detach().masked_fill(~mask[..., None], 1e30)
    for got, wanted in zip(results(fast, (query, spoilt, w), mask), results(fast, (query, key, w), mask), strict=True):
        torch.testing.assert_close(got, wanted)
    assert (fast(query, key, w, mask).isneginf() == ~mask[:, None]).all()


def test_no_keys_queries_or_examples():
    for shape in ((0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4)):
        inputs = draw(*shape)
        found = fast_scores(*inputs)
        found.sum().backward()
        assert found.shape == shape[:3]
        assert all((tensor.grad == 0).all() for tensor in inputs)


def test_only_what_needs_a_gradient_gets_one():
    query, key, w = draw(2, 3, 4, 20)
    fast_scores(query.detach(), key, w.detach()).sum().backward()
    wanted = torch.autograd.grad(scores(query.detach(), key, w.detach()).sum(), key)[0]
    torch.testing.assert_close(key.grad, wanted, atol=1e-5, rtol=1e-4)
    assert query.grad is None
    assert w.grad is None


def test_the_gradient_can_be_differentiated():
    inputs = draw(2, 3, 4, 20)

    def second(way):
        first = torch.autograd.grad(way(*inputs).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(part.square().sum() for part in first), inputs)

    for got, wanted in zip(second(fast_scores), second(scores), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single_on_a_cpu(dtype):
    inputs = [tensor.detach().to(dtype) for tensor in draw(2, 3, 4, 20)]
    got = fast_scores(*inputs)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, scores(*(tensor.float() for tensor in inputs)), atol=1e-5, rtol=1e-5)


# -- the compiled loops -------------------------------------------------------------------------


def tanh(x: Tensor) -> Tensor:
    """The loops' tanh: the score of one number."""
    return fast_scores(x.reshape(1, -1, 1), torch.zeros(1, 1, 1), torch.ones(1)).flatten()


def test_numba_compiles_here():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        additive._kernel.cache_clear()
        assert additive._kernel() is additive_scores


def test_tanh_is_within_its_stated_error():
    whole = torch.linspace(-12, 12, 2_000_001)
    small = torch.logspace(-38, 1, 600_001)  # enough for the loops
    for x in (whole, small, -small):
        assert float((tanh(x).double() - x.double().tanh()).abs().max()) <= 4e-7


def test_tanh_is_odd_to_the_bit_and_below_1():
    x = torch.cat([torch.linspace(0, 12, 1_000_001), torch.tensor([1e10, 3e38, torch.inf])])
    assert torch.equal(tanh(-x), -tanh(x))
    assert float(tanh(x).max()) < 1


def test_nan_stays_nan():
    query, key, w = draw(2, 2, 3, 40)
    spoilt = query.detach().clone()
    spoilt[0, 1, 7] = torch.nan
    found, _, _, to_key, to_w = results(fast_scores, (spoilt, key, w))
    assert found.isnan().all(-1).tolist() == [[False, True], [False, False]]
    assert to_key[0].isnan().any()
    assert to_w.isnan().any()


def by_loops(inputs):
    """Scores and gradients of the loops alone: torch's softmax sums in an order that depends on the threads."""
    found = fast_scores(*inputs)
    return [found, *torch.autograd.grad(found, inputs, found.detach().sin())]


@pytest.mark.parametrize("shape", [(1, 40, 60, 500), (3, 20, 30, 512), (64, 1, 30, 300)])
def test_the_number_of_threads_changes_no_bit(shape, threads):
    inputs = draw(*shape)
    threads(1)
    wanted = by_loops(inputs)
    for number in (2, 4):
        threads(number)
        for _ in range(3):
            assert all(map(torch.equal, by_loops(inputs), wanted))


def test_many_threads_at_once(threads):
    inputs = [draw(4, 20, 20, 200, seed=seed) for seed in range(4)]
    wanted = [by_loops(each) for each in inputs]
    right = []

    def work(number):
        torch.set_num_threads(2)
        right.extend(all(map(torch.equal, by_loops(inputs[number]), wanted[number])) for _ in range(10))

    threads(2)
    for _ in range(STRESS):
        running = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        assert right == [True] * 40
        right.clear()


def run(script, **environment):
    """What a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


DIGEST = """
import hashlib, torch, test_additive as t
for number in (1, 2):
    torch.set_num_threads(number)
    found = t.by_loops(t.draw(4, 20, 20, 200))
    print(hashlib.sha256(b"".join(each.detach().numpy().tobytes() for each in found)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["_forward-", "_backward_threads-"])
def test_loops_of_which_half_are_kept_give_the_same_bits(lost, tmp_path):
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + DIGEST
    for _ in range(2):  # as just compiled, and with what lay there only in part, as where two processes compile at once
        one, two = run(script, NUMBA_CACHE_DIR=str(tmp_path))
        assert one == two
        for path in tmp_path.rglob(f"*additive_scores.{lost}*"):
            path.unlink()


SCORE = """
import sys, warnings, torch
from jumok.mechanisms import additive
early = "numba" in sys.modules
torch.manual_seed(0)
inputs = [torch.randn(shape, requires_grad=True) for shape in ((4, 30, 40), (4, 30, 40), (40,))]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(2):
        additive.fast_scores(*inputs).sum().backward()
wanted = torch.autograd.grad(additive.scores(*inputs).sum(), inputs)
print(early, len(said), all(torch.allclose(a.grad / 2, b, atol=1e-3) for a, b in zip(inputs, wanted)))
"""


def test_numba_is_imported_when_it_is_needed():
    assert run(SCORE) == ["False 0 True"]


def test_without_numba_torch_does_it_with_one_warning():
    assert run("import sys; sys.modules['numba'] = None\n" + SCORE) == ["True 1 True"]  # None: cannot be imported


def test_with_numba_switched_off_the_loops_are_not_run(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    additive_scores._load.cache_clear()
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT"):
        additive_scores.load()


def test_without_a_way_to_run_threads_one_does_it():
    assert run(SCORE, NUMBA_THREADING_LAYER="tbb_of_another_world") == ["False 0 True"]


@pytest.mark.slow
def test_with_numbas_work_queue_threads_take_turns():
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + (
        "import torch, test_additive as t\n"
        "t.test_many_threads_at_once(torch.set_num_threads)\n"
        "import numba; print(numba.threading_layer())\n"
    )
    assert run(script, NUMBA_THREADING_LAYER="workqueue") == ["workqueue"]


def test_a_cache_that_cannot_be_written_is_done_without():
    """The last line of defence: every folder that numba would use refuses."""
    script = (
        "from numba.core import caching\n"
        "def refuse(self): raise OSError('read-only')\n"
        "caching._CacheLocator.ensure_cache_path = refuse\n"
    )
    assert run(script + SCORE) == ["True 0 True"]


def test_a_cache_folder_that_cannot_be_made_is_passed_by(tmp_path):
    (tmp_path / "file").touch()
    assert run(SCORE, NUMBA_CACHE_DIR=str(tmp_path / "file" / "folder")) == ["False 0 True"]


def test_a_forked_process_uses_one_thread(monkeypatch):
    loops, plenty = additive_scores.load(), 1 << 40
    assert additive_scores._count_useful_threads(loops, 2, plenty) == min(2, numba.config.NUMBA_NUM_THREADS)
    monkeypatch.setattr(os, "getpid", lambda: loops.process + 1)
    assert additive_scores._count_useful_threads(loops, 2, plenty) == 1


def test_little_work_is_not_shared_out():
    loops = additive_scores.load()
    assert additive_scores._count_useful_threads(loops, 4, 1000) == 1
    assert additive_scores._count_useful_threads(loops, 1, 1 << 40) == 1


# -- the mechanism ------------------------------------------------------------------------------


def attention():
    torch.manual_seed(0)
    given_ = torch.randn(3, 4, 10), torch.randn(3, 6, 12), torch.randn(3, 6, 5)
    return Additive(query_size=10, key_size=12, size=32), given_


def test_the_mechanism_is_the_textbook():
    module, inputs = attention()
    mask = torch.rand(3, 6) < 0.5
    mask[:, 0] = True
    context, weights = module.plain(*inputs, mask)
    torch.testing.assert_close(module(*inputs, mask), context)
    projected = module.project_keys(inputs[1])
    for step in range(4):
        one = module.weights(inputs[0][:, step : step + 1], projected, mask)
        torch.testing.assert_close(one, weights[:, step : step + 1])


def test_the_step_of_a_decoder_is_not_shown():
    module, (query, key, value) = attention()

    class Decoder(torch.nn.Module):
        def forward(self):
            return torch.bmm(module.weights(query, module.project_keys(key)), value)

    model = Decoder()
    with watch(model) as seen:
        model()
    assert len(seen) == 0


@FAST
@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (torch.ones(2, 4), "torch.float32, wanted torch.bool"),
        (torch.ones(2, 3, dtype=torch.bool), r"\(2, 3\), wanted \(batch, keys\) = \(2, 4\)"),
        (torch.ones(2, 1, 4, dtype=torch.bool), r"\(2, 1, 4\), wanted"),
    ],
)
def test_masks_that_do_not_fit(fast, mask, said):
    with pytest.raises(JumokError, match=said):
        fast(*draw(2, 3, 4, 5), mask)


@pytest.mark.parametrize(
    ("query", "key", "w"),
    [((2, 3, 5), (2, 4, 6), 5), ((2, 3, 5), (3, 4, 5), 5), ((2, 3, 5), (2, 4, 5), 6), ((3, 5), (2, 4, 5), 5)],
)
def test_shapes_that_do_not_fit(query, key, w):
    for way in (scores, fast_scores, blockwise_scores):
        with pytest.raises(JumokError, match="wanted"):
            way(torch.zeros(query), torch.zeros(key), torch.zeros(w))


def test_bad_use_of_the_module():
    module, (query, key, value) = attention()
    with pytest.raises(JumokError, match="sizes are 1 or more"):
        Additive(0, 3, 3)
    with pytest.raises(JumokError, match="allows no key"):
        module(query, key, value, torch.zeros(3, 6, dtype=torch.bool))
    with pytest.raises(JumokError, match=r"wanted \(batch, keys, 12\)"):
        module.project_keys(query)
    with pytest.raises(JumokError, match=r"wanted \(batch, queries, 10\)"):
        module.weights(key, module.project_keys(key))


def test_compiling_leaves_the_number_of_torch_threads_alone():
    code = (
        "import torch; torch.set_num_threads(1); from jumok.mechanisms.additive import fast_scores; "
        "fast_scores(torch.randn(64, 30, 64), torch.randn(64, 30, 64), torch.randn(64)); print(torch.get_num_threads())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "1"
