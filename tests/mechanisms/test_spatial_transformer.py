"""Spatial transformers: where the grids lie, what is read there, and what watchers are told."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from torch import nn

from jumok.attention import One, Sampled
from jumok.errors import JumokError
from jumok.mechanisms.spatial_transformer import (
    TRANSFORMS,
    SpatialTransformer,
    affine_grid,
    attention_grid,
    projective_grid,
    sample,
    spline_shares,
    thin_plate_spline_grid,
)
from jumok.watching.watch import watch

EVERY = pytest.mark.parametrize("transform", TRANSFORMS)


def near_identity(transform, batch=2, spread=0.1, dtype=torch.float64):
    identity = torch.tensor(TRANSFORMS[transform].identity, dtype=dtype)
    noise = torch.randn(batch, len(identity), generator=torch.Generator().manual_seed(3), dtype=dtype)
    return identity + spread * noise


def centres(size):
    return (2 * np.arange(size) + 1) / size - 1


@EVERY
@pytest.mark.parametrize("size", [(5, 7), (8, 3)])
def test_the_identity_reads_every_pixel_as_it_is(transform, size):
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    points = TRANSFORMS[transform].grid(near_identity(transform, spread=0.0), *size)
    torch.testing.assert_close(sample(image, points), image, atol=1e-5, rtol=0)


@EVERY
def test_gradients_of_the_grids_and_of_what_is_read_there(transform):
    numbers = near_identity(transform).requires_grad_()
    assert torch.autograd.gradcheck(lambda n: TRANSFORMS[transform].grid(n, 3, 4), numbers)
    image = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda i, n: sample(i, TRANSFORMS[transform].grid(n, 3, 4)), (image, numbers))


def test_affine_is_a_matrix_times_the_crops_own_places():
    numbers = near_identity("affine", spread=0.5)
    points = affine_grid(numbers, 3, 4)
    for batch in range(2):
        matrix = numbers[batch].reshape(2, 3).numpy()
        for row, y in enumerate(centres(3)):
            for column, x in enumerate(centres(4)):
                wanted = matrix @ [x, y, 1]
                np.testing.assert_allclose(points[batch, row, column].flip(-1), wanted, atol=1e-12)


def test_attention_is_an_affine_transform_without_turns():
    numbers = near_identity("attention", spread=0.5)
    scale, x, y = numbers.unbind(1)
    none = torch.zeros_like(scale)
    wanted = affine_grid(torch.stack([scale, none, x, none, scale, y], 1), 5, 3)
    torch.testing.assert_close(attention_grid(numbers, 5, 3), wanted)


def test_projective_divides_by_the_third_row_and_stays_before_its_horizon():
    numbers = near_identity("projective", spread=0.2)
    points = projective_grid(numbers, 3, 4)
    for batch in range(2):
        matrix = np.append(numbers[batch].numpy(), 1.0).reshape(3, 3)
        for row, y in enumerate(centres(3)):
            for column, x in enumerate(centres(4)):
                across, down, depth = matrix @ [x, y, 1]
                np.testing.assert_allclose(points[batch, row, column], [down / depth, across / depth], atol=1e-12)
    beyond = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 3.0, 0.0]])
    signs = projective_grid(beyond, 2, 8)[0, :, :, 1].sign()
    assert (signs == torch.tensor([-1.0] * 4 + [1.0] * 4)).all()  # none came back from the other side


def test_thin_plate_splines_equal_scipys():
    numbers = near_identity("thin-plate-spline", batch=1, spread=0.2)
    points = thin_plate_spline_grid(numbers, 6, 9)[0].reshape(-1, 2)
    side = np.linspace(-1, 1, 4)
    control = np.array([(y, x) for y in side for x in side])
    known = RBFInterpolator(control, numbers.reshape(16, 2).numpy(), kernel="thin_plate_spline", degree=1)
    asked = np.array([(y, x) for y in centres(6) for x in centres(9)])
    np.testing.assert_allclose(points, known(asked), atol=1e-9)
    np.testing.assert_allclose(spline_shares(4, 6, 9).sum(1), 1, atol=1e-9)


def test_outside_the_image_zeros_or_its_border():
    image = torch.full((1, 1, 4, 4), 5.0)
    points = affine_grid(torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]]), 4, 4)  # half an image to the right
    assert (sample(image, points)[0, 0, :, 2:] == 0).all()
    assert (sample(image, points)[0, 0, :, :2] == 5).all()
    assert (sample(image, points, "border") == 5).all()


@EVERY
def test_a_fresh_one_leaves_images_as_they_are_and_can_be_sent_back(transform):
    look = SpatialTransformer(4, (6, 5), transform)
    image, features = torch.randn(3, 2, 6, 5), torch.randn(3, 4)
    torch.testing.assert_close(look(image, features), image, atol=1e-5, rtol=0)
    nn.init.normal_(look.regression.weight)
    assert not torch.allclose(look(image, features), image, atol=1e-2)
    look.start()
    torch.testing.assert_close(look(image, features), image, atol=1e-5, rtol=0)


@EVERY
def test_the_module_uses_the_grid_of_its_name(transform):
    look = SpatialTransformer(4, (6, 5), transform)
    nn.init.normal_(look.regression.weight, std=0.1)
    features = torch.randn(3, 4)
    wanted = TRANSFORMS[transform].grid(look.regression(features), 6, 5)
    torch.testing.assert_close(look.points(features), wanted, atol=1e-5, rtol=0)


def test_oversampling_averages_what_lies_between():
    image = torch.randn(1, 1, 8, 8)
    look = SpatialTransformer(1, (4, 4), oversampling=2)
    torch.testing.assert_close(look(image, torch.zeros(1, 1)), nn.functional.avg_pool2d(image, 2), atol=1e-6, rtol=0)


def test_places_keep_their_precision_where_the_rest_is_in_16_bits():
    look = SpatialTransformer(3, (40, 40), "thin-plate-spline")
    nn.init.normal_(look.regression.weight, std=0.1)
    features = torch.randn(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        points = look.points(features)
    assert points.dtype == torch.float32
    assert torch.equal(points, look.points(features))
    assert look(torch.randn(2, 1, 8, 8).bfloat16(), features).dtype == torch.bfloat16


def test_watchers_are_told_the_places_of_each_image():
    look = SpatialTransformer(2, (3, 4)).eval()
    nn.init.normal_(look.regression.weight)
    image, features = torch.randn(2, 1, 5, 5), torch.randn(2, 2)
    with watch(look) as seen:
        look(image, features)
    (name,) = seen.in_image()
    points = look.points(features).detach()
    for batch in range(2):
        found = seen.of_image(name, batch)
        assert found.queries == One("image")
        assert isinstance(found.keys, Sampled)
        assert (found.keys.rows, found.keys.columns) == (3, 4)
        torch.testing.assert_close(torch.tensor(found.keys.points), points[batch].reshape(-1, 2), atol=1e-5, rtol=0)
        torch.testing.assert_close(found.weights, torch.full((1, 12), 1 / 12))
    assert look.axes(features)[1] == seen.of_image(name, 1).keys


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpatialTransformer(3, (4, 4), "afine"), "did you mean 'affine'"),
        (lambda: SpatialTransformer(3, (1, 4)), "wanted 2 to"),
        (lambda: SpatialTransformer(3, (4096, 4096)), "wanted 2 to"),
        (lambda: affine_grid(torch.zeros(2, 5), 3, 3), r"wanted float \(batch, 6\)"),
        (lambda: projective_grid(torch.zeros(2, 8, dtype=torch.int64), 3, 3), "int64"),
        (lambda: thin_plate_spline_grid(torch.zeros(2, 7), 3, 3), r"wanted float \(batch, 8\)"),
        (lambda: attention_grid(torch.zeros(2, 3), 0, 3), "0 x 3 samples"),
        (lambda: sample(torch.zeros(2, 1, 3, 3), torch.zeros(1, 3, 3, 2)), r"wanted \(2, height, width, 2\)"),
        (lambda: sample(torch.zeros(2, 3, 3), torch.zeros(2, 3, 3, 2)), "image has shape"),
    ],
)
def test_what_a_spatial_transformer_refuses(make, message):
    with pytest.raises(JumokError, match=message):
        make()
