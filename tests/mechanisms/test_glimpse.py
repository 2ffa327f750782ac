"""Glimpses: what is cut where, what watchers hear of it, and the density of the locations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.attention import Glimpses, One
from jumok.errors import JumokError
from jumok.mechanisms.glimpse import Retina, draw_seeded_noise, glimpse, log_probability, make_scanpaths, place_windows
from jumok.watching.watch import watch


def cut_slowly(image, place, size, scale):
    """One window by hand: (channels, size, size), pixel by pixel of the fovea's grid."""
    channels, *sides = image.shape
    step = 1 << scale
    corner = []
    for where, side in zip(place, sides, strict=True):
        centre = round((where + 1) * side / 2 - (size % 2) / 2)  # rounds halves to even, as torch does
        corner.append(min(max(centre, 0), side - size % 2) - size * step // 2)
    seen = torch.zeros(channels, size, size)
    for row in range(size * step):
        for column in range(size * step):
            y, x = corner[0] + row, corner[1] + column
            if 0 <= y < sides[0] and 0 <= x < sides[1]:
                seen[:, row // step, column // step] += image[:, y, x] / step**2
    return seen


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 3), st.integers(5, 12), st.integers(5, 12), st.sampled_from([1, 2, 3, 4, 5]),
    st.integers(1, 3),
)  # fmt: skip
def test_every_scale_is_the_windows_mean_pixel_by_pixel(seed, channels, height, width, size, scales):
    scales = 1 if size % 2 else scales
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randn(2, channels, height, width, generator=draw)
    places = torch.rand(2, 3, 2, generator=draw).mul(2.4).sub(1.2).clamp(-1, 1)
    seen = glimpse(pixels, places, size, scales).view(2, 3, scales, channels, size, size)
    for image in range(2):
        for number in range(3):
            for scale in range(scales):
                wanted = cut_slowly(pixels[image], places[image, number].tolist(), size, scale)
                torch.testing.assert_close(seen[image, number, scale], wanted, atol=1e-5, rtol=1e-4)


def test_rows_may_look_at_the_same_image():
    pixels = torch.randn(2, 1, 9, 9)
    places = torch.tensor([[[0.1, 0.2]], [[0.5, 0.5]], [[-0.3, 0.0]]])
    rows = torch.tensor([1, 0, 1])
    seen = Retina(pixels, 4, 2).see(places, rows)
    assert torch.equal(seen, glimpse(pixels[rows], places, 4, 2))


def test_gradients_reach_the_pixels_that_were_seen_and_no_others():
    pixels = torch.randn(1, 1, 8, 8, requires_grad=True)
    glimpse(pixels, torch.tensor([[[-0.5, -0.5]]]), 2).sum().backward()
    wanted = torch.zeros(8, 8)
    wanted[1:3, 1:3] = 1
    assert torch.equal(pixels.grad[0, 0], wanted)


def test_watchers_hear_each_images_own_windows_at_their_true_places():
    class Eye(torch.nn.Module):
        def forward(self, pixels):
            return glimpse(pixels, torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]]), 2, 2)

    pixels = torch.zeros(2, 1, 8, 16)
    pixels[0, 0, 3:5, 7:9] = 1
    eye = Eye()
    with watch(eye) as seen:
        cut = eye(pixels)
    assert seen.in_image() == seen.names
    first, second = (seen.of_image(0, image) for image in range(2))
    assert first.queries == One("image")
    assert first.weights.tolist() == [[0.5, 0.5]]
    assert [first.keys.box(entry, 8, 16) for entry in range(2)] == [(3, 7, 5, 9), (2, 6, 6, 10)]
    assert second.keys.box(0, 8, 16) == (0, 15, 1, 16), "cut at the border"
    assert cut[0, 0, :4].tolist() == [1, 1, 1, 1], "the fovea sees what its box shows"
    heat = first.image(8, 16)[0]
    assert torch.equal(heat.nonzero(), (pixels[0, 0] > 0).logical_or(heat == 0.5).nonzero())
    assert heat[3:5, 7:9].eq(1).all(), "what was seen at both scales weighs both"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(3, 20), st.integers(1, 5))
def test_reported_boxes_are_the_pixels_that_were_cut(seed, height, width, size):
    place = torch.rand(1, 1, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    pixels = torch.arange(1.0, 1 + height * width).view(1, 1, height, width)
    top, left, bottom, right = make_scanpaths(place, (height, width), size)[0].box(0, height, width)
    seen = glimpse(pixels, place, size).flatten()
    assert seen[seen > 0].tolist() == pixels[0, 0, top:bottom, left:right].flatten().tolist()


def test_windows_lie_on_whole_pixels_within_one_pixel_of_the_location():
    places = torch.linspace(-1, 1, 41)[:, None].expand(-1, 2)
    centres, widths = place_windows(places, (28, 20), 8, 3)
    assert widths == (8.0, 16.0, 32.0)
    pixels = (centres + 1) * torch.tensor([14.0, 10.0])
    torch.testing.assert_close(pixels, pixels.round(), atol=1e-4, rtol=0)
    assert ((centres - places).abs() <= torch.tensor([0.5 / 14, 0.5 / 10]) + 1e-6).all()


def test_the_density_is_that_of_the_location_used():
    """The log-probability integrates to 1 over the image, wherever the mean is, with nothing lost at the border."""
    side = 400
    axis = (torch.arange(side, dtype=torch.float64) + 0.5) / side * 2 - 1
    u = torch.atanh(axis)
    for mean, std in ((0.0, 0.3), (1.2, 0.5), (-2.0, 0.4)):
        noise = (u - mean) / std  # the noise that leads to each location
        both = torch.stack(torch.meshgrid(noise, noise, indexing="ij"), -1)
        density = log_probability(torch.full_like(both, mean), both, std).exp()
        assert density.sum().item() * (2 / side) ** 2 == pytest.approx(1, abs=0.02)


def test_the_gradient_of_the_log_probability_is_that_of_a_gaussian():
    mean = torch.randn(5, 2, requires_grad=True)
    noise = torch.randn(5, 2)
    log_probability(mean, noise, 0.25).sum().backward()
    torch.testing.assert_close(mean.grad, noise / 0.25)


def test_reinforce_by_this_density_points_where_the_reward_is():
    """The estimated gradient of E[R] equals the true one, found by differences."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(400_000, 2, generator=draw)

    def reward(places):
        return -(places - torch.tensor([0.5, -0.2])).square().sum(-1)

    def expected(mean):
        return reward((mean + 0.3 * noise).tanh()).mean()

    mean = torch.tensor([0.1, 0.2], requires_grad=True)
    places = (mean + 0.3 * noise).tanh().detach()
    (reward(places) * log_probability(mean.expand_as(noise), noise, 0.3)).mean().backward()
    with torch.no_grad():
        wanted = [(expected(mean + step) - expected(mean - step)) / 0.02 for step in 0.01 * torch.eye(2)]
    torch.testing.assert_close(mean.grad, torch.stack(wanted), atol=0.02, rtol=0.05)


def test_an_images_noise_is_its_own():
    pixels = torch.randn(300, 3, 6, 6)
    noise = draw_seeded_noise(pixels, 40)
    assert torch.equal(draw_seeded_noise(pixels[7:9], 40), noise[7:9]), "whatever the batch"
    assert not torch.equal(draw_seeded_noise(pixels, 40, seed=1), noise)
    turned = draw_seeded_noise(pixels.flip(-1), 40)
    assert not torch.isclose(turned, noise).all(1).any(), "the order of pixels counts"
    assert noise.min() > 0
    assert noise.max() < 1
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    related = torch.corrcoef(noise.T) - torch.eye(40)
    assert related.abs().max() < 5 / math.sqrt(300)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: glimpse(torch.zeros(2, 1, 4, 4), torch.zeros(3, 1, 2), 2), r"places have shape \(3, 1, 2\)"),
        (lambda: glimpse(torch.zeros(2, 1, 4, 4), torch.zeros(2, 2), 2), r"wanted \(2, glimpses, 2\)"),
        (lambda: glimpse(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 2), 1.5), 2), "outside the image"),
        (lambda: glimpse(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 2), math.nan), 2), "outside the image"),
        (lambda: Retina(torch.zeros(2, 1, 4, 4), 3, 2), "an even size"),
        (lambda: Retina(torch.zeros(2, 1, 4, 4), 0), "1 or more"),
        (lambda: Retina(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), 2), "wanted float"),
        (lambda: Retina(torch.zeros(0, 1, 4, 4), 2), r"\(0, 1, 4, 4\), wanted"),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, words):
    with pytest.raises(JumokError, match=words):
        call()


def test_glimpses_of_one_step_share_a_centre_and_nest():
    axis = make_scanpaths(torch.tensor([[[0.25, -0.5], [0.0, 0.0]]]), (32, 32), 4, 3)[0]
    assert isinstance(axis, Glimpses)
    assert axis.centres == ((0.25, -0.5),) * 3 + ((0.0, 0.0),) * 3
    assert axis.sizes == ((0.125, 0.125), (0.25, 0.25), (0.5, 0.5)) * 2
