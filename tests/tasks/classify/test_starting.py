"""What a run begins with: the weights of another run, or of a model from elsewhere."""

import pytest
import torch
from torch import nn

from jumok.errors import JumokError
from jumok.tasks.classify.foreign import _read_normalisation
from jumok.tasks.classify.starting import Start
from jumok.tasks.running.beginning import begin_with


def net(width=4, classes=2):
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, classes))


def test_weights_are_taken_where_name_and_shape_fit_and_the_others_are_named():
    torch.manual_seed(0)
    model, other = net(classes=2), net(classes=3)
    fresh = model[1].weight.clone()
    begun = begin_with(model, other.state_dict(), "there")
    assert (begun.origin, begun.taken, begun.new) == ("there", 2, ("1.weight", "1.bias"))
    assert torch.equal(model[0].weight, other[0].weight)
    assert torch.equal(model[1].weight, fresh)


def test_weights_of_another_network_are_refused():
    with pytest.raises(JumokError, match="there has only 8% of the weights of such a network"):
        begin_with(net(width=4), net(width=5).state_dict(), "there")


@pytest.mark.parametrize(
    ("classes", "names"),
    [(("a", "b"), {"0.weight", "0.bias", "1.weight", "1.bias"}), (("b", "a"), {"0.weight", "0.bias"})],
)
def test_the_head_is_kept_for_the_same_classes_in_the_same_order_only(classes, names):
    weights = dict(net().state_dict())
    start = Start("there", "x", {}, weights, ("a", "b"), (8, 8), (0.0,) * 3, (1.0,) * 3, "1")
    assert set(start.weights_for(classes)) == names


def test_options_of_a_network_from_elsewhere_are_values_of_its_architecture():
    start = Start("hf:there", "hf:there", {"architecture": {"depth": 3}}, {}, (), (8, 8), (), (), None)
    assert start.options_with({"depth": 2}) == {"architecture": {"depth": 2}}
    with pytest.raises(JumokError, match="hf:there has no option 'dept': did you mean 'depth'"):
        start.options_with({"dept": 2})


@pytest.mark.parametrize(
    ("values", "pixel", "wanted"),
    [
        ({"image_mean": [0.2] * 3, "image_std": [0.5] * 3}, 255, 1.6),
        ({"do_normalize": False}, 51, 0.2),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3}, 0, -1.0),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 255, 1.0),
        ({"image_mean": [0.2] * 3, "image_std": [0.5] * 3, "include_top": True}, 255, 3.2),
        ({"do_rescale": False, "image_mean": [100.0] * 3, "image_std": [50.0] * 3}, 200, 2.0),
    ],
)
def test_pixels_come_to_the_range_that_the_models_own_processor_gives_them(values, pixel, wanted):
    mean, std = _read_normalisation(values)
    assert (pixel / 255 - mean[0]) / std[0] == pytest.approx(wanted)
