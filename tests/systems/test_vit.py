"""The Vision Transformer: shapes, options, errors, training, and what `watch` sees of it."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.mechanisms.kernels.door import using
from jumok.systems.parts import resize_positions
from jumok.systems.vit import DropPath, ViT, ViTConfig, sine_positions
from jumok.watching.watch import watch

SMALL = {"classes": 4, "image_size": (16, 24), "patch": 4, "width": 16, "depth": 3, "heads": 2}
OPTIONS = {
    "plain": {},
    "mean": {"pool": "mean"},
    "sine": {"position": "sine"},
    "registers": {"registers": 2},
    "mean, registers": {"pool": "mean", "registers": 2},
    "convolutions": {"stem": "convolutions"},
}
EVERY = pytest.mark.parametrize("name", OPTIONS)


def model(seed=0, **options):
    """A small ViT whose weights are large enough to make it look somewhere."""
    torch.manual_seed(seed)
    vit = ViT(ViTConfig(**{**SMALL, **options}))
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return vit.eval()


def pixels(batch=3, height=16, width=24):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


# -- shapes and options -------------------------------------------------------------------------


@EVERY
def test_logits_of_any_size_that_holds_whole_patches(name):
    vit = model(**OPTIONS[name])
    for height, width in ((16, 24), (16, 16), (32, 8), (4, 4)):
        assert vit(pixels(2, height, width)).shape == (2, 4)


@EVERY
def test_images_of_a_batch_do_not_touch_each_other(name):
    vit, images = model(**OPTIONS[name]), pixels()
    alone = torch.cat([vit(image[None]) for image in images])
    torch.testing.assert_close(vit(images), alone, atol=1e-5, rtol=1e-5)


@EVERY
def test_every_parameter_learns(name):
    vit = model(**OPTIONS[name]).train()
    F.cross_entropy(vit(pixels()), torch.tensor([0, 1, 2])).backward()
    for path, parameter in vit.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


@EVERY
def test_places_matter(name):
    vit, images = model(**OPTIONS[name]), pixels(1)
    swapped = images.roll(4, dims=3)  # by one patch
    assert not torch.allclose(vit(images), vit(swapped), atol=1e-4)


def test_without_positions_and_with_mean_pooling_places_would_not_matter():
    vit, images = model(pool="mean"), pixels(1)
    with torch.no_grad():
        vit.position.zero_()
    torch.testing.assert_close(vit(images), vit(images.roll(4, dims=3)), atol=1e-5, rtol=1e-5)


def test_a_mean_leaves_the_registers_out():
    vit = model(pool="mean", registers=2, depth=1)
    with torch.no_grad():  # nothing mixes tokens: what the registers hold cannot reach the patches
        vit.blocks[0].attn.out.weight.zero_()
    before = vit(pixels())
    with torch.no_grad():
        vit.register_tokens.add_(3.0)
    assert torch.equal(vit(pixels()), before)


def test_start():
    torch.manual_seed(0)
    vit = ViT(ViTConfig(classes=10, image_size=32, patch=4, width=96, depth=2, heads=3))
    for path, parameter in vit.named_parameters():
        if path.endswith("bias"):
            assert (parameter == 0).all(), path
        elif "norm" in path:
            assert (parameter == 1).all(), path
        else:
            small = path in ("position", "head.weight") or path.endswith("token")
            wanted = 0.02 if small else parameter[0].numel() ** -0.5
            assert parameter.std().item() == pytest.approx(wanted, rel=0.25), path
    assert vit(torch.randn(4, 3, 32, 32)).abs().max() < 1


# -- positions ----------------------------------------------------------------------------------


def test_positions_of_the_same_grid_are_given_as_they_are():
    position = torch.randn(1, 8, 4, 6)
    assert resize_positions(position, 4, 6) is position


def test_interpolated_positions_keep_their_axes():
    columns = torch.arange(8.0).expand(1, 2, 4, 8)
    finer = resize_positions(columns, 6, 16)
    assert finer.shape == (1, 2, 6, 16)
    torch.testing.assert_close(finer, finer[:, :, :1].expand_as(finer))  # the same in every row
    assert (finer.diff(dim=3) > 0).all()
    torch.testing.assert_close(finer.mean(), columns.mean())


def test_sine_positions_tell_every_place_apart():
    places = sine_positions(16, 6, 9)[0].flatten(1).T
    apart = torch.pdist(places)
    assert apart.min() > 0.1
    torch.testing.assert_close(places.square().sum(1), torch.full((54,), 8.0))  # sin^2 + cos^2 for each frequency


def test_sine_positions_move_with_one_axis_only():
    x_sin, x_cos, y_sin, y_cos = sine_positions(16, 6, 9)[0].chunk(4)
    for part in (x_sin, x_cos):
        assert (part == part[:, :1]).all()
    for part in (y_sin, y_cos):
        assert (part == part[:, :, :1]).all()
    torch.testing.assert_close(x_sin[0, 0], torch.arange(9.0).sin())
    torch.testing.assert_close(y_cos[0, :, 0], torch.arange(6.0).cos())


def test_sine_positions_are_neither_learned_nor_saved():
    vit = model(position="sine")
    assert not [path for path in (*vit.state_dict(), *dict(vit.named_parameters())) if "position" in path]


# -- training -----------------------------------------------------------------------------------


@EVERY
def test_training_gives_the_logits_and_gradients_of_eval(name):
    vit = model(**OPTIONS[name])
    answers = []
    for mode in (False, True):
        logits = vit.train(mode)(pixels())
        loss = F.cross_entropy(logits, torch.tensor([0, 1, 2]))
        answers.append((logits, *torch.autograd.grad(loss, list(vit.parameters()))))
    for wanted, got in zip(*answers, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


class EveryMap:
    """The sizes of every linear map."""

    def __contains__(self, sizes):
        return True


def test_fast_linear_kernels_change_nothing_but_rounding(monkeypatch):
    vit, images = model(image_size=64, depth=2).train(), pixels(8, 64, 64)
    answers = []
    monkeypatch.setattr("jumok.mechanisms.layers.linear.FEWEST_ROWS", 1)
    for sizes in (EveryMap(), ()):
        with using(sizes):
            logits = vit(images)
        answers.append((logits, *torch.autograd.grad(logits.square().sum(), list(vit.parameters()))))
    for wanted, got in zip(*answers, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


def train(vit, steps, images, labels, lr=3e-3):
    optimiser = torch.optim.AdamW(vit.parameters(), lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = F.cross_entropy(vit(images), labels)
        loss.backward()
        optimiser.step()
    return loss.item()


def test_learns_where_a_bright_patch_is():
    torch.manual_seed(0)
    vit = ViT(ViTConfig(**SMALL)).train()
    images, labels = 0.3 * torch.randn(32, 3, 16, 24), torch.arange(32) % 4
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[:, 8 * row : 8 * row + 4, 12 * column : 12 * column + 4] += 2
    assert train(vit, 60, images, labels) < 0.3
    assert (vit.eval()(images).argmax(1) == labels).all()


def test_training_twice_from_one_seed_ends_bit_for_bit_alike():
    ends = []
    for _ in range(2):
        torch.manual_seed(0)
        vit = ViT(ViTConfig(**{**SMALL, "image_size": 64, "dropout": 0.1, "drop_path": 0.1})).train()
        train(vit, 3, pixels(8, 64, 64), torch.arange(8) % 4)
        ends.append(vit.state_dict())
    assert all(torch.equal(tensor, ends[1][path]) for path, tensor in ends[0].items())


def test_dropout_and_drop_path_act_in_training_only():
    for options in ({"dropout": 0.5}, {"drop_path": 0.5}):
        vit = model(**options)
        assert torch.equal(vit(pixels()), vit(pixels()))
        torch.testing.assert_close(vit(pixels()), model()(pixels()))
        vit.train()
        assert not torch.equal(vit(pixels()), vit(pixels()))


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    kept = DropPath(0.25).train()(torch.ones(4000, 3, 2))
    assert sorted(kept.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert (kept == kept[:, :1, :1]).all()
    assert kept.mean().item() == pytest.approx(1, abs=0.05)


def test_later_blocks_are_dropped_more_often():
    vit = model(drop_path=0.3)
    assert [block.drop.probability for block in vit.blocks] == pytest.approx([0.1, 0.2, 0.3])


# -- watched ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"), itertools.product(["plain", "sine", "registers", "mean", "convolutions"], [(16, 24), (24, 8)])
)
def test_watch_finds_names_and_geometry(name, size):
    vit, images = model(**OPTIONS[name]), pixels(2, *size)
    plain = vit(images)
    with watch(vit) as seen:
        assert torch.equal(vit(images), plain)
    assert seen.names == ["blocks.0.attn", "blocks.1.attn", "blocks.2.attn"]
    special = {"registers": ("cls", "reg1", "reg2"), "mean": ()}.get(name, ("cls",))
    for seen_name in seen.names:
        attention = seen[seen_name]
        assert attention.keys == attention.queries == Patches(size[0] // 4, size[1] // 4, special=special)
        assert attention.lead == ("batch", "head")


def test_watch_sees_the_weights_of_the_plain_form():
    vit = model()
    inputs = []
    vit.blocks[1].attn.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with watch(vit) as seen:
        vit(pixels())
    wanted = vit.blocks[1].attn.plain(inputs[0])[1]
    torch.testing.assert_close(seen["blocks.1.attn"].weights, wanted, atol=1e-6, rtol=1e-5)


def test_in_training_the_last_block_looks_from_the_cls_token_only():
    vit = model()
    rows = []
    for mode in (False, True):
        with watch(vit.train(mode)) as seen:
            vit(pixels())
        rows.append(seen["blocks.2.attn"].weights)
    assert rows[1].shape == (3, 2, 1, 25)
    torch.testing.assert_close(rows[1], rows[0][:, :, :1], atol=1e-6, rtol=1e-5)


def test_watched_training_with_fast_kernels_keeps_the_geometry(monkeypatch):
    monkeypatch.setattr("jumok.mechanisms.layers.linear.FEWEST_ROWS", 1)
    vit = model().train()
    with using(EveryMap()):
        plain = vit(pixels())
        with watch(vit) as seen:
            assert torch.equal(vit(pixels()), plain)
    assert seen["blocks.0.attn"].keys == Patches(4, 6, special=("cls",))


# -- what a user can get wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3, 16, 24), (2, 1, 16, 24), (2, 3, 18, 24), (2, 3, 16, 25), (2, 3, 0, 24), (2, 16, 24, 3)]
)
def test_pixels_of_another_shape_raise(shape):
    with pytest.raises(JumokError) as raised:
        model()(torch.zeros(shape))
    assert f"pixels have shape {shape}, wanted (batch, 3, height, width)" in str(raised.value)


def test_bytes_raise():
    with pytest.raises(JumokError, match=r"torch\.uint8, wanted float"):
        model()(torch.zeros(2, 3, 16, 24, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 5}, "patch 5 does not divide image_size"),
        ({"image_size": (16, 25)}, "patch 4 does not divide image_size"),
        ({"heads": 3}, "heads 3 do not divide width 16"),
        ({"width": 18, "position": "sine"}, "multiple of 4, got 18"),
        ({"image_size": 24, "patch": 6, "stem": "convolutions"}, "patch 6 is not a power of 2"),
        ({"image_size": 4, "stem": "convolutions"}, "image_size 4 is one patch"),
        ({"expansion": 0.01}, "gives the MLP"),
        ({"classes": 0}, "classes"),
        ({"depth": 0}, "depth"),
        ({"dropout": 1.0}, "dropout"),
        ({"pool": "max"}, "pool"),
        ({"image_size": "large"}, "image_size"),
        ({"image_size": (16, 16, 16)}, "image_size"),
        ({"widht": 16}, "widht"),
    ],
)
def test_wrong_configurations_raise(options, words):
    with pytest.raises(ValidationError) as raised:
        ViTConfig(**{**SMALL, **options})
    assert words in str(raised.value)


def test_configuration_survives_the_way_through_json():
    config = ViTConfig(**SMALL)
    assert ViTConfig.model_validate_json(config.model_dump_json()) == config
    assert ViTConfig(**config.model_dump(mode="json")) == config
