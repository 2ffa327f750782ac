"""The spatial transformer network: sizes, a start that changes nothing, figures, and learning to look."""

import pytest
import torch
from torch import nn

from jumok import systems
from jumok.attention import One, Sampled, Scale
from jumok.errors import JumokError
from jumok.systems.parts import ConvolutionalClassifier
from jumok.systems.stn import STN, STNConfig
from jumok.watching.watch import watch

TRANSFORMS = ("affine", "attention", "projective", "thin-plate-spline")


def small(**options):
    torch.manual_seed(0)
    return STN(STNConfig(**{"classes": 3, "image_size": 16, "crop": 8, "widths": (8, 8), "localisation": 8, **options}))


def moved(model, spread=0.2):
    """The same model with regions that differ by image."""
    nn.init.normal_(model.look.regression.weight, std=spread)
    return model.eval()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("image_size", [16, (24, 40), 70])
def test_any_size_and_every_transform(transform, image_size):
    model = small(transform=transform, image_size=image_size, crop=None).eval()
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    assert model(torch.randn(2, 3, height, width)).shape == (2, 3)
    assert model(torch.randn(2, 3, 33, 47)).shape == (2, 3)  # another size than that it was built for
    assert systems.build("stn", systems.configure("stn", classes=2, image_size=image_size)).config.classes == 2


@pytest.mark.parametrize(("image_size", "crop"), [(224, (112, 112)), (64, (64, 64)), (100, (64, 64)), (20, (20, 20))])
def test_the_crop_is_half_of_a_large_image(image_size, crop):
    assert STNConfig(classes=2, image_size=image_size).crop_size == crop


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_fresh_one_is_the_plain_network_on_the_whole_image(transform):
    model = small(transform=transform, crop=16).eval()
    pixels = torch.randn(4, 3, 16, 16)
    assert isinstance(model.classify, ConvolutionalClassifier)
    torch.testing.assert_close(model(pixels), model.classify(pixels), atol=1e-4, rtol=0)
    figures = model.figures(pixels)
    assert set(figures) == set(model.own_figures)
    torch.testing.assert_close(figures["outside"], torch.zeros(4))
    torch.testing.assert_close(figures["scale"], torch.ones(4))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_watchers_see_a_region_per_image_that_agrees_with_the_figures(transform):
    model = moved(small(transform=transform, crop=(9, 12)))
    pixels = torch.randn(3, 3, 16, 16)
    with watch(model) as seen:
        logits = model(pixels)
    assert torch.equal(logits, model(pixels))
    (name,) = seen.in_image()
    assert name == "look"
    figures = model.figures(pixels)
    for batch in range(3):
        found = seen.of_image(name, batch)
        assert isinstance(found.keys, Sampled)
        assert (found.queries, found.scale) == (One("image"), Scale.DISTRIBUTION)
        assert found.keys.outside == pytest.approx(figures["outside"][batch].item(), abs=0.01)
        if transform in ("affine", "attention"):
            assert found.keys.scale == pytest.approx(figures["scale"][batch].item(), abs=1e-3)
    assert seen.of_image(name, 0).keys != seen.of_image(name, 1).keys


def test_images_of_a_batch_do_not_touch_in_eval():
    model = moved(small())
    pixels = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model(pixels)[2:3], model(pixels[2:3]))


def test_regions_that_leave_the_image_and_zoom_out_show_in_the_figures():
    model = small().eval()
    with torch.no_grad():
        model.look.regression.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0, 3.0, 0.0]))
    figures = model.figures(torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(figures["scale"], torch.full((2,), 3.0))
    assert (figures["outside"] > 0.7).all()


def marks(count, seed):
    """A bright square on one side of a small place that lies anywhere: its class is which of two patterns it has."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=draw)
    pixels = 0.1 * torch.randn(count, 3, 24, 24, generator=draw)
    patterns = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]], [[1.0, 1.0], [-1.0, -1.0]]]).repeat_interleave(3, 1)
    patterns = patterns.repeat_interleave(3, 2)
    for number, (row, column) in enumerate(torch.randint(0, 18, (count, 2), generator=draw).tolist()):
        pixels[number, :, row : row + 6, column : column + 6] += 2 * patterns[labels[number]]
    return pixels, labels


def test_it_learns_and_its_localisation_gets_gradients():
    model = small(classes=2, image_size=24, crop=12, widths=(16, 32)).train()
    before = model.look.regression.weight.clone()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(60):
        pixels, labels = marks(64, step)
        loss = nn.functional.cross_entropy(model(pixels), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert not torch.equal(model.look.regression.weight, before)
    assert all(value.grad is not None for value in model.parameters())
    pixels, labels = marks(200, 1000)
    assert float((model.eval()(pixels).argmax(1) == labels).float().mean()) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transform": "afine"}, "transform is 'afine'"),
        ({"crop": 1}, "crop"),
        ({"crop": 1024, "oversampling": 4}, "choose a smaller crop"),
        ({"widths": ()}, "widths"),
        ({"scale": 2}, "no option 'scale'"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(JumokError, match=words):
        systems.configure("stn", classes=2, **options)


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (3, 16, 16), (2, 3, 0, 16)])
def test_pixels_of_another_shape(shape):
    with pytest.raises(JumokError, match="wanted"):
        small()(torch.zeros(shape))
    with pytest.raises(JumokError, match="wanted float"):
        small()(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
