"""What every mechanism must hold, whichever it is: found by the list in `jumok.mechanisms`."""

import copy
import importlib
import pkgutil

import pytest
import torch
from torch import nn

import jumok.mechanisms
from jumok.attention import AttentionMap, Scale
from jumok.errors import JumokError
from jumok.mechanisms import MECHANISMS
from jumok.mechanisms.example import Example
from jumok.watching.watch import watch

EVERY = pytest.mark.parametrize("name", MECHANISMS)


def example_of(name) -> Example:
    torch.manual_seed(0)
    return importlib.import_module(f"jumok.mechanisms.{name}").example()


def given(example):
    masked = {} if example.mask is None else {"mask": example.mask}
    return {**example.inputs, **masked}


def test_the_list_is_complete():
    modules = {found.name for found in pkgutil.iter_modules(jumok.mechanisms.__path__)}
    shown = {name for name in modules if hasattr(importlib.import_module(f"jumok.mechanisms.{name}"), "example")}
    assert shown == set(MECHANISMS)


@EVERY
def test_weights_obey_their_scale(name):
    example = example_of(name)
    weights = example.weights(**given(example))
    assert torch.isfinite(weights).all()
    if example.scale in (Scale.DISTRIBUTION, Scale.GATE, Scale.MASK):
        assert weights.min() >= 0
        assert weights.max() <= 1
    if example.scale is Scale.DISTRIBUTION:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    if example.scale is Scale.MASK:
        assert ((weights == 0) | (weights == 1)).all()


@EVERY
def test_masked_keys_get_exactly_zero(name):
    example = example_of(name)
    if example.mask is None:
        pytest.skip("takes no mask")
    weights, mask = example.weights(**given(example)), example.mask
    while mask.dim() < weights.dim():
        mask = mask.unsqueeze(1)
    hidden = weights[~mask.expand_as(weights)]
    assert len(hidden) > 0
    assert (hidden == 0).all()


@EVERY
def test_masked_keys_do_not_matter(name):
    example = example_of(name)
    if example.mask is None:
        pytest.skip("takes no mask")
    hidden = ~example.mask.reshape(len(example.mask), -1, example.mask.shape[-1]).any(1)  # (batch, keys): for no query
    changed = dict(given(example))
    for key, tensor in example.inputs.items():
        if tensor.shape[:2] == hidden.shape:
            changed[key] = tensor.masked_fill(hidden[..., None], 9.0)
    assert any(changed[key] is not tensor for key, tensor in example.inputs.items())
    torch.testing.assert_close(example.output(**changed), example.output(**given(example)))


@EVERY
def test_rows_of_a_batch_do_not_touch_each_other(name):
    example = example_of(name)
    before = example.output(**given(example))
    changed = {key: torch.cat([tensor[:1] + 1, tensor[1:]]) for key, tensor in example.inputs.items()}
    after = example.output(**{**given(example), **changed})
    assert not torch.allclose(after[:1], before[:1])
    torch.testing.assert_close(after[1:], before[1:])


@EVERY
def test_eval_is_repeatable(name):
    example = example_of(name)
    assert torch.equal(example.output(**given(example)), example.output(**given(example)))
    assert torch.equal(example.weights(**given(example)), example.weights(**given(example)))


@EVERY
def test_inputs_are_left_as_they_were(name):
    example = example_of(name)
    before = copy.deepcopy(dict(example.inputs))
    example.output(**given(example))
    assert all(torch.equal(before[key], tensor) for key, tensor in example.inputs.items())


@EVERY
def test_gradients_flow(name):
    example = example_of(name)
    if example.hard:
        pytest.skip("chooses, so no gradient flows")
    traced = {key: tensor.clone().requires_grad_() for key, tensor in example.inputs.items()}
    parameters = dict(example.module.named_parameters()) if example.module else {}
    output = example.output(**{**given(example), **traced})
    output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(1)))
    for key, tensor in {**traced, **parameters}.items():
        assert tensor.grad is not None, f"no gradient reaches {key}"
        assert torch.isfinite(tensor.grad).all(), key
        assert tensor.grad.abs().sum() > 0, f"the gradient of {key} is all zero"


class Watched(nn.Module):
    """A mechanism as a module, as `watch` wants it."""

    def __init__(self, example):
        super().__init__()
        self.mechanism, self.run = example.module, example.output

    def forward(self, **tensors):
        return self.run(**tensors)


@EVERY
def test_watched_and_unwatched_are_equal_and_watch_sees_the_weights(name):
    example = example_of(name)
    model = Watched(example).eval()
    plain = model(**given(example))
    with watch(model) as seen:
        watched = model(**given(example))
    assert torch.equal(watched, plain)
    wanted = example.weights(**given(example))
    for number, weights in enumerate(wanted):  # image by image: each may have keys of its own, as glimpses are
        seen_map = seen.of_image(seen.names[0], number)
        assert isinstance(seen_map, AttentionMap)
        assert seen_map.scale is example.scale
        torch.testing.assert_close(seen_map.weights.reshape(weights.shape), weights, atol=1e-6, rtol=1e-5)


@EVERY
def test_wrong_shapes_raise_an_error_that_names_got_and_wanted(name):
    example = example_of(name)
    assert example.wrong
    for key, tensor in example.wrong.items():
        with pytest.raises(JumokError) as raised:
            example.output(**{**given(example), key: tensor})
        message = str(raised.value)
        assert "wanted" in message
        shapes = [tuple(tensor.shape), *(tuple(other.shape) for other in example.inputs.values())]
        assert any(str(shape) in message for shape in shapes), message
        assert "\n" not in message
