"""Watching is turned on and off, and leaves nothing behind."""

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from watched_models import Fused, vision

from jumok.errors import JumokError
from jumok.watching.watch import watch

transformers = pytest.importorskip("transformers")


def state_of_torch():
    classes = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
    return [cls.forward for cls in classes], torch._C._len_torch_function_stack()


def test_nothing_stays_behind():
    before = state_of_torch()
    model = vision(transformers.ViTConfig, transformers.ViTModel)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
    keys = [set(m.__dict__) for m in model.modules()]
    with torch.no_grad(), watch(model) as seen:
        output = model(torch.randn(1, 3, 32, 32)).last_hidden_state
    assert state_of_torch() == before
    assert hooks == [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]
    assert keys == [set(m.__dict__) for m in model.modules()]
    kept = weakref.ref(seen._calls[0].attended.query)
    left = weakref.ref(output)
    del seen, output
    gc.collect()
    assert kept() is None
    assert left() is None


def test_nothing_stays_behind_when_the_model_raises():
    before = state_of_torch()
    with pytest.raises(RuntimeError), watch(Fused()):
        Fused()(torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2, 4))
    assert state_of_torch() == before


def test_threads_do_not_see_each_other():
    models = [Fused() for _ in range(4)]
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval()
    counts, barrier = {}, threading.Barrier(5)

    def look(number):
        with torch.no_grad(), watch(models[number]) as seen:
            barrier.wait()
            for _ in range(number + 1):
                models[number](*[torch.randn(1, 1, 3, 4)] * 3)
            barrier.wait()
        counts[number] = len(seen)

    def run_unwatched():
        barrier.wait()
        with torch.no_grad():
            counts["plain"] = encoder(torch.randn(1, 3, 16)).shape
        barrier.wait()

    threads = [threading.Thread(target=look, args=(n,)) for n in range(4)] + [threading.Thread(target=run_unwatched)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {0: 1, 1: 2, 2: 3, 3: 4, "plain": torch.Size([1, 3, 16])}


def test_watching_inside_watching_records_in_the_inner_block_too():
    model = vision(transformers.ViTConfig, transformers.ViTModel)
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad(), watch(model) as outer:
        with watch(model) as inner:
            model(pixels)
        model(pixels)
    assert len(inner) == 3
    assert len(outer) in (3, 6)


def test_what_is_no_module_is_refused_with_the_way_out():
    holder = type("Run", (), {"model": nn.Linear(2, 2)})()
    for given, words in [
        (holder, r"takes a torch.nn.Module, got Run: watch its \.model"),
        ("google/vit-base-patch16-224", "got str: give the module itself"),
        (lambda pixels: pixels, "got function: give the module itself"),
    ]:
        with pytest.raises(JumokError, match=words), watch(given):
            pass
