import pytest
import torch
from torch import nn

from jumok.attention import Patches, Scale
from jumok.errors import JumokError
from jumok.mechanisms.non_local import NonLocal
from jumok.mechanisms.pairwise import FORMS
from jumok.systems import build, configure
from jumok.systems.resnet import Residual, ResNet, ResNetConfig
from jumok.watching.watch import watch


def model_of(image_size=32, **options):
    torch.manual_seed(0)
    return build("non-local", configure("non-local", classes=4, image_size=image_size, width=8, **options)).eval()


def kinds(stage):
    return [type(block) for block in stage]


def test_a_block_stands_before_the_last_residual_block_of_the_middle_stages():
    model = model_of(blocks=(3, 3, 3))
    with_block = [Residual, Residual, NonLocal, Residual]
    assert [kinds(stage) for stage in model.stages] == [[Residual] * 3, with_block, with_block]


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({"blocks": (1,)}, (0,)),
        ({"blocks": (1, 1)}, (1,)),
        ({"blocks": (1, 1, 1, 1)}, (1, 2)),
        ({"blocks": (1, 1, 1), "non_local": (0, 2)}, (0, 2)),
    ],
)
def test_which_stages_have_a_block(options, stages):
    model = model_of(**options)
    assert tuple(number for number, stage in enumerate(model.stages) if NonLocal in kinds(stage)) == stages
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_it_starts_as_the_network_without_the_blocks():
    model = model_of()
    plain = ResNet(ResNetConfig(classes=4, image_size=32, width=8)).eval()
    theirs = dict(plain.named_parameters())
    mine = [p for name, p in model.named_parameters() if not _of_block(model, name)]
    with torch.no_grad():
        for parameter, other in zip(theirs.values(), mine, strict=True):
            parameter.copy_(other)
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(pixels), plain(pixels))


def _of_block(model, name):
    blocks = [path for path, module in model.named_modules() if isinstance(module, NonLocal)]
    return any(name.startswith(f"{path}.") for path in blocks)


@pytest.mark.parametrize("form", FORMS)
def test_it_learns_with_each_form(form):
    model = model_of(form=form, blocks=(1, 1, 1)).train()
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(16) % 4
    pixels = torch.randn(16, 3, 32, 32, generator=draw) * 0.3 + labels.view(-1, 1, 1, 1)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(pixels), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    block = model.stages[1][1]
    assert block.norm.weight.abs().max() > 0
    if block.theta is not None:
        assert block.theta.weight.grad.abs().max() > 0, "once the norm has left 0, all of the block learns"


@pytest.mark.parametrize("form", FORMS)
def test_watch_sees_place_by_place_maps_in_the_image(form):
    model = model_of(form=form)
    pixels = torch.randn(2, 3, 32, 48)
    plain = model(pixels)
    with watch(model) as seen:
        assert torch.equal(model(pixels), plain)
    assert seen.names == seen.in_image() == ["stages.1.2", "stages.2.2"]
    assert seen.axes(0) == (Patches(16, 24), Patches(8, 12))
    assert seen.axes(1) == (Patches(8, 12), Patches(4, 6))
    assert seen[0].weights.shape == (2, 16 * 24, 8 * 12)
    if "gaussian" in form:
        assert seen[0].scale is Scale.DISTRIBUTION
        torch.testing.assert_close(seen[1].weights.sum(-1), torch.ones(2, 8 * 12))


def test_sub_sampling_can_be_left_out():
    with watch(model := model_of(sub_sample=False)) as seen:
        model(torch.randn(1, 3, 32, 32))
    assert seen.axes(0) == (Patches(16, 16), Patches(16, 16))


def test_any_size_can_be_shown_later_and_images_do_not_touch_each_other():
    model = model_of()
    for block in model.modules():
        if isinstance(block, NonLocal):
            nn.init.ones_(block.norm.weight)
    pixels = torch.randn(3, 3, 40, 56)
    together = model(pixels)
    torch.testing.assert_close(together[1:2], model(pixels[1:2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"non_local": (3,)}, "stage 3, and there are stages 0 to 2"),
        ({"non_local": (-1,)}, "stage -1"),
        ({"non_local": (1, 1)}, "twice"),
        ({"non_local": ()}, "non_local"),
        ({"form": "cosine"}, "form"),
        ({"gait": "se"}, "gate"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(JumokError, match=message):
        configure("non-local", classes=4, image_size=32, **options)
