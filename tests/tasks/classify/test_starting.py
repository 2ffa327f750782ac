"""What a run begins with: the weights of another run, or of a model from elsewhere."""

import pytest
import torch
from pretrained_models import make_hf, save_hf, save_processor
from torch import nn

from jumok.errors import JumokError
from jumok.systems.pretrained import HFConfig, HFNetwork
from jumok.tasks.classify.preparation import Stretched
from jumok.tasks.classify.settings import Settings
from jumok.tasks.classify.starting import Start, find_start
from jumok.tasks.preprocessing import Preprocessing
from jumok.tasks.running.beginning import begin_with

PLAIN = Stretched(Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3))


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
    start = Start("there", "x", {}, weights, ("a", "b"), PLAIN, "1")
    assert set(start.weights_for(classes)) == names


def test_options_of_a_network_from_elsewhere_are_values_of_its_architecture():
    start = Start("hf:there", "hf:there", {"architecture": {"depth": 3}}, {}, (), PLAIN, None)
    assert start.options_with({"depth": 2}) == {"architecture": {"depth": 2}}
    with pytest.raises(JumokError, match="hf:there has no option 'dept': did you mean 'depth'"):
        start.options_with({"dept": 2})


def test_a_network_that_reads_blue_first_is_given_blue_first_in_training_too(tmp_path):
    pytest.importorskip("transformers")
    folder = save_processor(
        save_hf(tmp_path / "vit"), 16, image_processor_type="MobileViTImageProcessor", do_flip_channel_order=True,
        do_center_crop=False,
    )  # fmt: skip
    start = find_start(Settings(system=f"hf:{folder}"))
    given = start.preparation
    assert (given.mean, given.std, start.size) == ((0.0,) * 3, (1.0,) * 3, (16, 16))
    network = HFNetwork(HFConfig(**start.options, classes=5)).eval()
    network.load_state_dict(start.weights)
    pixels = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network(pixels), make_hf("ViT").eval()(pixels.flip(1)).logits)


def test_a_network_of_grey_images_is_not_trained_on_colours(tmp_path):
    pytest.importorskip("transformers")
    folder = save_processor(save_hf(tmp_path / "vit", num_channels=1), 16, image_mean=[0.5], image_std=[0.5])
    with pytest.raises(JumokError, match="does not read red, green and blue apart"):
        find_start(Settings(system=f"hf:{folder}"))
