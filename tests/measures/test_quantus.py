"""Quantus as the judge, where it measures the same: `pip install quantus` to run these."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from jumok.measures import sanity
from jumok.measures.fillings import fill_noisy_linear
from jumok.measures.flipping import flip
from jumok.measures.image_units import ImageUnits

SIDE, GRID, CLASSES = 8, (4, 4), 2


@pytest.fixture(scope="module")
def quantus():
    """Without zennit, which imports torchvision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "zennit", None)
        patch.setattr(np, "trapz", np.trapezoid, raising=False)  # its name before NumPy 2
        yield pytest.importorskip("quantus", exc_type=ImportError)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * SIDE**2, 8),
        nn.ReLU(),
        nn.Linear(8, CLASSES),
    ).eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def targets(model, inputs):
    return model(inputs).argmax(1)


@pytest.fixture(scope="module")
def maps():
    """One value for each patch, no two alike."""
    return torch.rand(6, *GRID, generator=torch.Generator().manual_seed(2))


def explain(model, inputs, targets):
    inputs = inputs.clone().requires_grad_()
    score = model(inputs).gather(1, targets[:, None]).sum()
    return (torch.autograd.grad(score, inputs)[0] * inputs).detach().sum(1, keepdim=True)


def explain_arrays(model, inputs, targets, **_):
    tensors = torch.as_tensor(np.asarray(inputs), dtype=torch.float32), torch.as_tensor(np.asarray(targets))
    return explain(model, *tensors).numpy()


QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False}


def ours(model, inputs, maps, targets, steps=16):
    units = ImageUnits(model, grid=GRID, fillings=["zeros"])
    for pixels, heat, target in zip(inputs, maps, targets, strict=True):
        answer = units.answers(pixels, target=int(target))["zeros"]
        yield flip(answer, {"map": units.lay(heat)}, random=np.random.default_rng(0), steps=steps)


def spread(maps):
    return maps.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None].numpy()


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_curves_are_those_of_region_perturbation(quantus, model, inputs, maps, targets, order):
    metric = quantus.RegionPerturbation(
        patch_size=2, regions_evaluation=16, order=order, perturb_baseline=0.0, abs=False, **QUIET
    )
    drops = metric(model, inputs.numpy(), targets.numpy(), spread(maps), device="cpu", softmax=True)
    for flips, drop in zip(ours(model, inputs, maps, targets), drops, strict=True):
        curve = (flips.most_first if order == "morf" else flips.least_first)["map"]
        assert curve[0] - curve[1:] == pytest.approx(drop, abs=1e-6)


class Grey(nn.Module):
    """Takes images of one channel: Quantus wants steps that divide the number of pixels, whatever the channels."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model(inputs.expand(-1, 3, -1, -1))


def test_deletion_is_the_area_of_pixel_flipping(quantus, model, inputs, maps):
    model, inputs = Grey(model).eval(), inputs[:, :1]
    targets = model(inputs).argmax(1)
    metric = quantus.PixelFlipping(features_in_step=2 * 4, perturb_baseline=0.0, abs=False, **QUIET)
    curves = metric(model, inputs.numpy(), targets.numpy(), spread(maps), device="cpu", softmax=True)
    for flips, curve in zip(ours(model, inputs, maps, targets, steps=8), curves, strict=True):
        assert flips.most_first["map"][1:] == pytest.approx(curve, abs=1e-6)
        area = quantus.helpers.utils.calculate_auc(flips.most_first["map"]) / 8
        assert flips.scores["map"].deletion == pytest.approx(area, abs=1e-6)


def test_srg_is_the_area_between_both_curves(quantus, model, inputs, maps):
    model, inputs = Grey(model).eval(), inputs[:, :1]
    targets = model(inputs).argmax(1)
    metric = quantus.PixelFlipping(features_in_step=2 * 4, perturb_baseline=0.0, abs=False, **QUIET)
    arrays = inputs.numpy(), targets.numpy()
    most, least = (metric(model, *arrays, spread(each), device="cpu", softmax=True) for each in (maps, 1 - maps))
    area = quantus.helpers.utils.calculate_auc
    for flips, first, last in zip(ours(model, inputs, maps, targets, steps=8), most, least, strict=True):
        whole = flips.most_first["map"][0]  # Quantus leaves the whole image out of its curves, jumok has it in both
        wanted = (area(np.array([whole, *last])) - area(np.array([whole, *first]))) / 8
        assert abs(wanted) > 1e-3
        assert flips.scores["map"].srg == pytest.approx(wanted, abs=1e-6)


def test_random_logit(quantus, model, inputs, targets):
    metric = quantus.RandomLogit(
        num_classes=CLASSES, similarity_func=quantus.similarity_func.correlation_spearman, abs=False, **QUIET
    )
    arrays = {"x_batch": inputs.numpy(), "y_batch": targets.numpy(), "a_batch": explain(model, inputs, targets).numpy()}
    wanted = metric(model, **arrays, explain_func=explain_arrays, device="cpu")
    found = sanity.random_logit(sanity.Explained(explain, model, inputs, targets), CLASSES)
    assert found == pytest.approx(np.asarray(wanted), abs=1e-6)


def as_quantus(layer, _):
    """The random weights that Quantus draws for its seed 42."""
    torch.manual_seed(43)
    layer.reset_parameters()


def test_smooth_mprt(quantus, model, inputs, targets, monkeypatch):
    monkeypatch.setattr(quantus, "explain", explain_arrays)  # it takes no function for smoothed maps
    metric = quantus.SmoothMPRT(
        similarity_func=quantus.similarity_func.correlation_spearman,
        layer_order="top_down",
        nr_samples=2,
        noise_magnitude=0.0,
        abs=False,
        **QUIET,
    )
    arrays = {"x_batch": inputs.numpy(), "y_batch": targets.numpy(), "a_batch": explain(model, inputs, targets).numpy()}
    wanted = metric(model, **arrays, explain_func=explain_arrays, device="cpu")
    found = sanity.smooth_mprt(
        sanity.Explained(explain, model, inputs, targets), samples=2, noise=0.0, randomise=as_quantus
    )
    for layer, values in found.items():
        assert values == pytest.approx(np.asarray(wanted[layer]), abs=1e-6), layer


def test_efficient_mprt(quantus, model, inputs, targets):
    metric = quantus.EfficientMPRT(
        complexity_func=quantus.complexity_func.discrete_entropy,
        complexity_func_kwargs={"n_bins": 100},
        layer_order="top_down",
        abs=False,
        **QUIET,
    )
    arrays = {"x_batch": inputs.numpy(), "y_batch": targets.numpy(), "a_batch": explain(model, inputs, targets).numpy()}
    wanted = metric(model, **arrays, explain_func=explain_arrays, device="cpu")
    found = sanity.efficient_mprt(sanity.Explained(explain, model, inputs, targets), bins=100, randomise=as_quantus)
    assert found == pytest.approx(np.asarray(wanted), abs=1e-6)


def test_max_sensitivity(quantus, model, inputs, targets):
    draw = torch.Generator().manual_seed(0)

    def change(arr, **_):
        noise = (torch.rand(inputs.shape, generator=draw) * 2 - 1) * 0.2
        return arr + noise.numpy().reshape(arr.shape)

    metric = quantus.MaxSensitivity(nr_samples=5, perturb_func=change, abs=False, **QUIET)
    arrays = {"x_batch": inputs.numpy(), "y_batch": targets.numpy(), "a_batch": explain(model, inputs, targets).numpy()}
    wanted = metric(model, **arrays, explain_func=explain_arrays, device="cpu")
    found = sanity.max_sensitivity(sanity.Explained(explain, model, inputs, targets), radius=0.2, samples=5)
    assert found == pytest.approx(np.asarray(wanted), abs=1e-6)


def test_the_noisy_linear_filling(quantus, inputs):
    kept = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(4)) < 0.4
    gone = (~kept).flatten().nonzero().flatten().numpy()
    wanted = quantus.perturb_func.noisy_linear_imputation(
        arr=inputs[0].double().numpy(), indices=gone, indexed_axes=[1, 2], noise=0.0
    )
    found = fill_noisy_linear(inputs[0].double(), kept[None], noise=0.0)[0]
    assert found.numpy() == pytest.approx(wanted, abs=1e-6)
