from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from jumok.errors import JumokError
from jumok.measures.ranks import correlate_ranks
from jumok.measures.sanity import (
    Explained,
    efficient_mprt,
    max_sensitivity,
    random_logit,
    restoring,
    smooth_mprt,
)
from jumok.measures.sanity_card import SanityPlan, check_sanity

CLASSES = 3


class Raw(nn.Module):
    """Has weights that no `reset_parameters` makes anew."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 36))

    def forward(self, inputs):
        return inputs * self.scale


def a_model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), Raw(), nn.Linear(36, 16), nn.BatchNorm1d(16), nn.Linear(16, CLASSES)).eval()


def gradient(model, inputs, targets):
    """A map that depends on class, weights and input."""
    inputs = inputs.clone().requires_grad_()
    score = model(inputs).gather(1, targets[:, None]).sum()
    return (torch.autograd.grad(score, inputs)[0] * inputs).detach().abs()


def edges(model, inputs, targets):
    """A map that knows the input only."""
    return inputs.abs()


def data(count=8):
    return torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(count) % CLASSES


def test_a_map_that_ignores_the_class_is_found():
    model, (inputs, targets) = a_model(), data()
    assert random_logit(Explained(edges, model, inputs, targets), CLASSES) == pytest.approx(1)
    assert random_logit(Explained(gradient, model, inputs, targets), CLASSES).max() < 0.95


def test_the_other_class_is_never_the_same():
    asked = []

    def explain(model, inputs, targets):
        asked.append(targets)
        return inputs

    inputs, targets = data(300)
    random_logit(Explained(explain, a_model(), inputs, targets), CLASSES)
    assert not (asked[0] == asked[1]).any()
    assert set(asked[1].tolist()) == {0, 1, 2}


def test_a_map_that_ignores_the_weights_is_found_and_the_order_is_from_the_output():
    model, (inputs, targets) = a_model(), data()
    same = smooth_mprt(Explained(edges, model, inputs, targets), samples=3)
    assert list(same) == ["4", "3", "2", "1"]
    assert all(values == pytest.approx(1) for values in same.values())
    changed = smooth_mprt(Explained(gradient, model, inputs, targets), samples=3)
    assert np.mean(changed["1"]) < 0.8
    assert efficient_mprt(Explained(edges, model, inputs, targets)) == pytest.approx(0)


def test_smoothing_averages_maps_of_noisy_inputs():
    seen = []

    def explain(model, inputs, targets):
        seen.append(inputs.clone())
        return inputs

    inputs, targets = data()
    smooth_mprt(Explained(explain, nn.Linear(1, 1), inputs, targets), samples=4, noise=0.1)
    assert len(seen) == 8
    assert torch.equal(seen[0], inputs)
    spread = inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))
    assert float(((seen[1] - inputs) / spread[:, None, None, None]).std()) == pytest.approx(0.1, rel=0.2)


def test_the_model_is_put_back_bit_for_bit_also_after_an_error():
    model, (inputs, targets) = a_model(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    smooth_mprt(Explained(gradient, model, inputs, targets), samples=2)
    efficient_mprt(Explained(gradient, model, inputs, targets))
    with pytest.raises(RuntimeError), restoring(model):
        nn.init.zeros_(model[2].weight)
        raise RuntimeError("stopped")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)


def test_shuffled_weights_keep_their_values():
    layer = Raw()
    from jumok.measures.sanity import randomise_layer

    before = layer.scale.detach().clone()
    randomise_layer(layer, 0)
    assert not torch.equal(layer.scale, before)
    assert torch.equal(layer.scale.detach().sort().values, before)


def test_the_sensitivity_of_a_known_map_is_bounded_by_the_radius():
    inputs, targets = data()
    found = max_sensitivity(Explained(lambda model, x, _: x, a_model(), inputs, targets), radius=0.1, samples=5)
    norms = inputs.flatten(1).norm(dim=1).numpy()
    assert (found * norms <= 0.1 * 6).all()  # 36 values, each changed by 0.1 at most
    assert (found > 0).all()
    assert max_sensitivity(Explained(lambda model, x, _: torch.ones_like(x), a_model(), inputs, targets)).max() == 0


def test_rank_correlations_are_scipys():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (6, 20)).astype(float), random.random((6, 20))
    wanted = [spearmanr(one, other).statistic for one, other in zip(first, second, strict=True)]
    assert correlate_ranks(first, second) == pytest.approx(wanted)
    assert np.isnan(correlate_ranks(np.ones((1, 5)), random.random((1, 5)))).all()


def test_wrong_use_is_said():
    inputs, targets = data()
    with pytest.raises(JumokError, match="two of them"):
        random_logit(Explained(edges, a_model(), inputs, targets), 1)
    with pytest.raises(JumokError, match="no parameters"):
        efficient_mprt(Explained(edges, nn.Flatten(), inputs, targets))
    with pytest.raises(JumokError, match="NaN"):
        efficient_mprt(Explained(lambda model, x, _: x * torch.nan, a_model(), inputs, targets))
    with pytest.raises(JumokError, match="one map for each"):
        efficient_mprt(Explained(lambda model, x, _: x[:2], a_model(), inputs, targets))


# -- the card -------------------------------------------------------------------------------------


def card(explain, name="map"):
    inputs, targets = data()
    return check_sanity(name, Explained(explain, a_model(), inputs, targets), CLASSES, SanityPlan(samples=3))


def test_the_card_warns_of_a_map_that_knows_the_input_only():
    warnings = card(edges, "edges").warnings()
    assert any(line.startswith("edges: ignores the class") for line in warnings)
    assert any(line.startswith("edges: hardly depends on what was learnt") for line in warnings)
    assert any("no more complex" in line for line in warnings)


def test_the_card_does_not_warn_of_a_gradient():
    found = card(gradient)
    assert not [line for line in found.warnings() if "class" in line or "learnt" in line]
    assert list(found.layers) == ["4", "3", "2", "1"]


@pytest.mark.parametrize("stages", [None, 2, 9])
def test_the_plan_tells_how_often_maps_are_made(stages):
    made = []

    def explain(model, inputs, targets):
        made.append(len(inputs))
        return inputs

    plan = SanityPlan(samples=3, stages=stages)
    check_sanity("counting", Explained(explain, a_model(), *data()), CLASSES, plan)
    assert len(made) == plan.count_makings(layers=4)


def test_constant_maps_have_no_figures():
    found = card(lambda model, x, _: torch.ones_like(x))
    assert found.checks["other class"] is None
    assert found.rows()[0][1] == "all maps are constant"
    json.dumps(found.to_dict(), allow_nan=False)
    assert all(len(row) == len(found.header()) for row in found.rows())
