"""The residual network: its sizes and gates, images of any size, and what `watch` sees of it."""

import os
import subprocess
import sys

import pytest
import torch
from other_processors import AVX2
from pydantic import ValidationError
from torch import nn

from jumok.attention import Channels, Patches
from jumok.errors import JumokError
from jumok.mechanisms.squeeze_excitation import SqueezeExcitation
from jumok.systems import build, configure, names
from jumok.systems.resnet import NAMED, Pointwise, Residual, ResNet, ResNetConfig, residual_stage
from jumok.watching.watch import watch

EVERY = pytest.mark.parametrize("name", NAMED)


def model(name="senet", seed=0, **options):
    torch.manual_seed(seed)
    return build(name, configure(name, **{"classes": 4, "image_size": 32, "blocks": (1, 1), "width": 8, **options}))


def pixels(batch=3, height=32, width=48):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@EVERY
def test_logits_of_images_of_any_size(name):
    network = model(name).eval()
    assert name in names()
    for height, width in ((32, 32), (17, 40), (1, 1), (64, 8)):
        assert network(pixels(2, height, width)).shape == (2, 4)


@EVERY
def test_images_of_a_batch_do_not_touch_each_other_in_eval(name):
    network, images = model(name).eval(), pixels()
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, atol=1e-5, rtol=1e-5)


@EVERY
def test_every_parameter_learns_after_the_first_step(name):
    network = model(name).train()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):  # a branch whose last norm is 0 passes no gradient on in the first
        optimiser.zero_grad()
        network(pixels()).logsumexp(1).sum().backward()
        optimiser.step()
    for path, value in network.named_parameters():
        assert value.grad is not None, path
        assert value.grad.abs().sum() > 0, path


@EVERY
def test_it_learns_where_the_bright_half_is(name):
    network = model(name, classes=2).train()
    images, drawn = pixels(16, 16, 16), torch.Generator().manual_seed(0)
    labels = torch.randint(2, (16,), generator=drawn)
    for number, label in enumerate(labels.tolist()):
        images[number, :, :, 8 * label : 8 * label + 8] += 1.0
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    first = None
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(images), labels)
        first = first or loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2 * first


NARROW = """
import torch
from jumok.systems import build, configure
for name in ("resnet", "senet"):
    for width in range(1, 8):
        network = build(name, configure(name, classes=2, image_size=32, blocks=[1, 1, 1], width=width)).train()
        network(torch.randn(16, 3, 32, 32)).square().sum().backward()
        assert all(value.grad.isfinite().all() for value in network.parameters())
print("whole")
"""


def test_a_narrow_network_trains_on_a_processor_with_avx2_alone():
    """In a process of its own: what goes wrong there writes into foreign memory, and ends it."""
    done = subprocess.run(
        [sys.executable, "-c", NARROW], env={**os.environ, **AVX2, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr[-2000:]


@pytest.mark.parametrize("channels", [1, 4, 7, 8, 20])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_pointwise_convolution_is_what_torch_makes_of_it_gradients_included(channels, stride):
    torch.manual_seed(0)
    layer = Pointwise(channels, 5, stride)
    image = torch.randn(3, channels, 9, 12).requires_grad_()  # channels first: there torch's own way is right
    found = (layer(image), nn.functional.conv2d(image, layer.weight, stride=stride))
    answers = [(each, *torch.autograd.grad(each.square().sum(), [image, layer.weight])) for each in found]
    for got, wanted in zip(*answers, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_sizes_as_published():
    """He et al. 2016, table 6: 0.27 million weights at 20 layers; here with 1 x 1 shortcuts."""
    count = sum(value.numel() for value in build("resnet", configure("resnet", classes=10, image_size=32)).parameters())
    assert count == 272_474
    large = ResNetConfig(classes=1000, image_size=224, width=64)
    assert sum(value.numel() for value in ResNet(large).parameters()) == 11_689_512  # ResNet-18, as everywhere


@pytest.mark.parametrize(
    ("size", "stem", "first"), [(32, "3x3", 32), (47, "3x3", 47), ((48, 300), "3x3/2", 24), (160, "7x7/4", 40)]
)
def test_the_stem_is_chosen_by_the_shorter_side(size, stem, first):
    config = ResNetConfig(classes=2, image_size=size, width=8, blocks=(1,))
    assert config.chosen_stem == stem
    side = size if isinstance(size, int) else min(size)
    assert ResNet(config).eval().stem(pixels(1, side, side)).shape[2:] == (first, first)
    assert ResNetConfig(classes=2, image_size=size, stem="3x3").chosen_stem == "3x3"


@pytest.mark.parametrize(("width", "inner"), [(16, 8), (1, 1)])
def test_two_convolutions_quarter_an_image(width, inner):
    stem = ResNet(ResNetConfig(classes=2, image_size=128, stem="3x3/4", width=width, blocks=(1,))).eval().stem
    assert stem(pixels(1, 128, 96)).shape[1:] == (width, 32, 24)
    assert [tuple(layer.weight.shape) for layer in stem if isinstance(layer, nn.Conv2d)] == [
        (inner, 3, 3, 3),
        (width, inner, 3, 3),
    ]


def test_a_block_begins_as_the_identity():
    block = Residual(8, 8, gate=SqueezeExcitation).eval()
    features = torch.rand(2, 8, 5, 5)
    assert torch.equal(block(features), features)


def test_a_system_may_give_stages_of_its_own():
    made = []

    def stage(config, each):
        made.append(each)
        return nn.Sequential(residual_stage(config, each), nn.Identity())

    config = ResNetConfig(classes=4, blocks=(2, 1), width=8)
    network = ResNet(config, stage).eval()
    assert [tuple(each) for each in made] == [(0, 2, 8, 8, 1), (1, 1, 8, 16, 2)]
    assert network(pixels()).shape == (3, 4)


@pytest.mark.parametrize("name", ["senet", "eca"])
def test_watch_sees_a_gate_per_block_and_channel(name):
    network = model(name, blocks=(2, 1)).eval()
    with torch.no_grad():
        plain = network(pixels())
        with watch(network) as seen:
            assert torch.equal(network(pixels()), plain)
    assert seen.names == ["stages.0.0.gate", "stages.0.1.gate", "stages.1.0.gate"]
    assert [seen[each].keys for each in seen.names] == [Channels.numbered(count) for count in (8, 8, 16)]


def test_watch_sees_both_gates_of_cbam():
    network = model("cbam").eval()
    with watch(network) as seen:
        network(pixels())
    assert seen.names[:2] == ["stages.0.0.gate.channel", "stages.0.0.gate.spatial"]
    assert seen.in_image() == ["stages.0.0.gate.spatial", "stages.1.0.gate.spatial"]
    assert seen.of_image("stages.1.0.gate.spatial", 2).keys == Patches(16, 24)


def test_memory_format_changes_nothing_but_rounding():
    network = model("cbam").eval()
    images = pixels()
    torch.testing.assert_close(network(images), network(images.contiguous(memory_format=torch.channels_last)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(2, 1, 8, 8), r"\(2, 1, 8, 8\), wanted \(batch, 3, height, width\)"),
        (torch.zeros(3, 8, 8), r"\(3, 8, 8\), wanted"),
        (torch.zeros(2, 3, 0, 8), r"\(2, 3, 0, 8\), wanted"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "torch.uint8, wanted float"),
    ],
)
def test_other_pixels_are_refused(wrong, said):
    with pytest.raises(JumokError, match=said):
        model()(wrong)


@pytest.mark.parametrize("options", [{"blocks": ()}, {"blocks": (0,)}, {"width": 0}, {"gate": "other"}, {"depth": 3}])
def test_configurations_that_make_no_network_are_refused(options):
    with pytest.raises((JumokError, ValidationError)):
        ResNetConfig(classes=4, **options)
