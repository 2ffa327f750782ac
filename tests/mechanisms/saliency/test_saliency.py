"""Saliency maps: their forms, plain references for the fast loops, and what must stand out."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

from jumok.attention import One, Pixels, Scale
from jumok.errors import JumokError
from jumok.mechanisms.kernels import compiled
from jumok.mechanisms.saliency import METHODS, boolean_maps, pixels, saliency, saliency_map
from jumok.mechanisms.saliency.fine_grained import SURROUNDS
from jumok.mechanisms.saliency.itti_koch_niebur import normalise
from jumok.mechanisms.saliency.lab import to_lab

EACH = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)


def photograph(name):
    return torch.from_numpy(load_sample_image(name).transpose(2, 0, 1).copy())


def grey_of(image):
    """Brightness from 0 to 255, (height, width)."""
    return np.tensordot([0.299, 0.587, 0.114], image.numpy().astype(np.float64), 1)


def test_lab_is_kornia_s():
    from kornia.color import rgb_to_lab

    images = torch.rand(2, 3, 9, 11)
    images[0, :, 0] = torch.tensor([0.0, 0.02, 1.0])[:, None]  # black, on the line near black, white
    torch.testing.assert_close(to_lab(images), rgb_to_lab(images), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(
        to_lab(images[:, :1]), rgb_to_lab(images[:, :1].expand(-1, 3, -1, -1)), atol=1e-4, rtol=0
    )


# -- forms ----------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 70), (90, 1), (2, 3), (5, 5), (33, 47), (130, 20)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_kind_of_image(method, size, channels):
    found = saliency(noise(2, channels, *size), method)
    assert found.shape == (2, *size)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert (found >= 0).all()


@EACH
def test_bytes_and_floats_mean_the_same(method):
    image = noise(3, 40, 60)
    found = saliency(image, method)
    torch.testing.assert_close(saliency(image.double() / 255, method), found, rtol=1e-3, atol=1e-3 * float(found.max()))


@EACH
def test_grey_is_the_same_as_rgb_with_equal_channels(method):
    grey = noise(40, 60)
    found = saliency(grey, method)
    assert found.shape == (40, 60)
    assert torch.equal(saliency(grey[None], method), found)
    colour = saliency(grey.expand(3, -1, -1), method)
    assert spearmanr(colour.flatten(), found.flatten())[0] > 0.999


@EACH
def test_what_is_transparent_lies_over_white(method):
    image = noise(3, 30, 40)
    alpha = torch.zeros(1, 30, 40, dtype=torch.uint8)
    alpha[:, :, :20] = 255
    white = torch.where(alpha > 0, image, torch.tensor(255, dtype=torch.uint8))
    found = saliency(white, method)
    torch.testing.assert_close(
        saliency(torch.cat([image, alpha]), method), found, rtol=1e-3, atol=1e-3 * float(found.max())
    )


@EACH
def test_each_image_of_a_batch_is_as_if_alone(method, monkeypatch):
    images = noise(5, 3, 24, 36)
    alone = torch.stack([saliency(image, method) for image in images])
    torch.testing.assert_close(saliency(images, method), alone, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr(pixels, "CHUNK_PIXELS", 2 * 24 * 36)
    torch.testing.assert_close(saliency(images, method), alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["spectral-residual", "fine-grained", "boolean-maps"])
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(method, threads, monkeypatch):
    images = noise(2, 3, 70, 90)
    alone = saliency(images, method)
    monkeypatch.setattr(compiled, "NANOSECONDS_PER_THREAD", 1)
    torch.set_num_threads(threads)
    assert torch.equal(saliency(images, method), alone)


@EACH
@pytest.mark.parametrize("value", [0, 77, 255])
def test_where_all_is_alike_nothing_stands_out(method, value):
    plain = torch.full((3, 50, 60), value, dtype=torch.uint8)
    assert saliency(plain, method).max() < 1e-3  # of a colour distance up to 100, and of maps up to 1


@pytest.mark.parametrize("method", ["fine-grained", "frequency-tuned", "spectral-residual"])
def test_a_mirrored_image_has_a_mirrored_map(method):
    image = photograph("flower.jpg")[:, ::4, ::4]
    found, mirrored = saliency(image, method), saliency(image.flip(-1), method)
    assert spearmanr(mirrored.flip(-1).flatten(), found.flatten())[0] > 0.999


@EACH
def test_the_image_is_left_as_it_was_and_asks_for_no_gradient(method):
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = image.detach().clone()
    assert not saliency(image, method).requires_grad
    assert torch.equal(image.detach(), before)


def test_a_map_says_what_it_is():
    one, many = saliency_map(noise(3, 4, 6), "fine-grained"), saliency_map(noise(2, 3, 4, 6), "fine-grained")
    assert (one.queries, one.keys, one.lead) == (One("image"), Pixels(4, 6), ())
    assert (one.scale, one.source) == (Scale.RELEVANCE, "saliency/fine-grained")
    assert many.lead == ("batch",)
    assert torch.equal(many.at(batch=0).image(4, 6)[0], saliency(noise(2, 3, 4, 6)[0], "fine-grained"))


@pytest.mark.parametrize(
    ("images", "method", "message"),
    [
        (noise(3, 8, 8), "spectral", "no saliency method 'spectral'"),
        (noise(5, 8, 8), "fine-grained", r"\(5, 8, 8\), wanted"),
        (noise(1, 1, 3, 8, 8), "fine-grained", r"\(1, 1, 3, 8, 8\), wanted"),
        (noise(3, 0, 8), "fine-grained", "hold no pixels"),
        (noise(3, 8, 8).long(), "fine-grained", "int64, wanted uint8"),
        (noise(3, 8, 8).float(), "fine-grained", "wanted 0 to 1"),
        (torch.full((3, 8, 8), torch.nan), "fine-grained", "wanted 0 to 1"),
        (torch.randn(3, 8, 8), "boolean-maps", "undo the normalisation"),
    ],
)
def test_what_is_refused(images, method, message):
    with pytest.raises(JumokError, match=message):
        saliency(images, method)


# -- spectral residual ----------------------------------------------------------------------------


def shrunk(grey):
    """To 64 x 64, between the four nearest pixels."""
    places = [np.clip((np.arange(64) + 0.5) * size / 64 - 0.5, 0, size - 1) for size in grey.shape]
    return ndimage.map_coordinates(grey, np.meshgrid(*places, indexing="ij"), order=1)


def stretched(small, height, width):
    places = [np.clip((np.arange(size) + 0.5) * 64 / size - 0.5, 0, 63) for size in (height, width)]
    return ndimage.map_coordinates(small, np.meshgrid(*places, indexing="ij"), order=1)


def residual(grey, edge):
    """The published steps, in double precision; `edge`: how the spectrum goes on beyond its own edge."""
    spectrum = np.fft.fft2(grey)
    log = np.log(np.maximum(np.abs(spectrum), 1e-9))
    unexpected = np.exp(log - ndimage.uniform_filter(log, 3, mode=edge))
    found = np.abs(np.fft.ifft2(unexpected * np.exp(1j * np.angle(spectrum))))
    taps = np.exp(-(np.arange(-2, 3) ** 2) / 128)
    for axis in (0, 1):
        found = ndimage.correlate1d(found, taps / taps.sum(), axis, mode="mirror")
    return found**2


@pytest.mark.parametrize("shape", [(3, 100, 150), (1, 37, 64), (3, 20, 300)])
def test_spectral_residual_is_the_plain_form(shape):
    image = noise(*shape) // 4 + 60
    grey = grey_of(image) if shape[0] == 3 else image[0].numpy().astype(np.float64)
    wanted = stretched(residual(shrunk(grey), "wrap"), *shape[1:])
    np.testing.assert_allclose(saliency(image, "spectral-residual"), wanted, rtol=2e-3, atol=1e-4 * wanted.max())


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_spectral_residual_ranks_pixels_as_opencv_does(name):
    """OpenCV's rounds brightness to whole numbers, and mirrors the spectrum at its edge."""
    image = photograph(name)
    opencv = stretched(residual(np.round(shrunk(np.round(grey_of(image)))), "mirror"), *image.shape[1:])
    found = saliency(image, "spectral-residual")
    assert spearmanr(opencv[::4, ::4].ravel(), found[::4, ::4].flatten())[0] > 0.99


# -- fine-grained ---------------------------------------------------------------------------------


def window_means(grey, reach, first):
    """Means over [x + first, x + reach] both ways, cut at the border, without the pixel itself."""
    sums = np.pad(grey.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    edges = [
        (np.clip(np.arange(size) + first, 0, size), np.clip(np.arange(size) + reach + 1, 0, size))
        for size in grey.shape
    ]
    (top, bottom), (left, right) = edges
    total = sums[bottom][:, right] + sums[top][:, left] - sums[bottom][:, left] - sums[top][:, right]
    area = np.outer(bottom - top, right - left) - 1
    return (total - grey) / np.maximum(area, 1)


def blurred(grey):
    for axis in (0, 1):
        grey = ndimage.correlate1d(grey, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror")
    return grey


@pytest.mark.parametrize("shape", [(3, 60, 90), (3, 300, 8), (1, 4, 260), (3, 250, 301)])
def test_fine_grained_is_the_plain_form(shape):
    image = noise(*shape)
    grey = blurred(grey_of(image) if shape[0] == 3 else image[0].numpy().astype(np.float64))
    contrasts = [grey - window_means(grey, reach, -reach) for reach in SURROUNDS]
    on, off = (sum(np.maximum(sign * each, 0) for each in contrasts) for sign in (1, -1))
    np.testing.assert_allclose(saliency(image, "fine-grained"), on / on.max() + off / off.max(), atol=2e-4)


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_fine_grained_ranks_pixels_as_opencv_does(name):
    """OpenCV's rounds at every step, and its surround reaches one pixel less to the left and above."""
    image = photograph(name)
    grey = np.round(grey_of(image))
    for _ in range(2):
        for axis in (0, 1):
            grey = ndimage.correlate1d(grey, np.array([1, 2, 1]) / 4, axis, mode="mirror")
        grey = np.round(grey)
    contrasts = [grey - window_means(grey, reach, 1 - reach) for reach in SURROUNDS]
    on, off = (sum(np.floor(np.maximum(sign * each, 0)) for each in contrasts) for sign in (1, -1))
    opencv = np.floor(255 * on / on.max()) + np.floor(255 * off / off.max())
    found = saliency(image, "fine-grained")
    assert spearmanr(opencv[::4, ::4].ravel(), found[::4, ::4].flatten())[0] > 0.99


# -- boolean maps ---------------------------------------------------------------------------------


def surrounded(plane, step, reach):
    """By labelled regions, with scipy's own morphology."""
    total, square = np.zeros(plane.shape), np.ones((3, 3), bool)
    for number in range(int(np.ceil((plane.max() - plane.min()) / step))):
        above = plane > plane.min() + number * step
        for side in (above, ~above):
            labels, _ = ndimage.label(side)
            outer = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
            kept = ndimage.binary_erosion(side & ~np.isin(labels, outer), square)
            wide = ndimage.binary_dilation(kept, np.ones((2 * reach + 3,) * 2, bool))
            if wide.any():
                total += wide / np.sqrt(wide.sum())
    return total


@pytest.mark.parametrize("shape", [(2, 3, 40, 60), (1, 1, 25, 18), (1, 2, 1, 30), (1, 1, 2, 2)])
def test_surrounded_regions_are_those_of_labels(shape):
    chance = np.random.default_rng(0)
    channels = ndimage.gaussian_filter(chance.normal(size=shape), (0, 0, 2, 2)).astype(np.float32) * 400
    found = np.zeros(shape, np.float32)
    boolean_maps._add_surrounded(0, shape[0] * shape[1], channels, np.float32(8), 2, found)
    for b, c in np.ndindex(*shape[:2]):
        np.testing.assert_allclose(found[b, c], surrounded(channels[b, c], 8, 2), rtol=1e-5, atol=1e-6)
    assert found.max() > 0 or min(shape[2:]) < 3


# -- Itti, Koch & Niebur --------------------------------------------------------------------------


def test_normalising_promotes_the_one_and_presses_down_the_many():
    one, many = torch.zeros(9, 9), torch.zeros(9, 9)
    one[4, 4], many[1::3, 1::3] = 5.0, 5.0
    promoted = normalise(torch.stack([one, many, torch.zeros(9, 9)]))
    assert promoted[0].max() == 1
    assert promoted[1:].abs().max() == 0
    pair = torch.zeros(1, 9, 9)
    pair[0, 2, 2], pair[0, 6, 6] = 2.0, 1.0
    assert float(normalise(pair).max()) == pytest.approx(0.25)  # (1 - 0.5)^2


# -- what must stand out --------------------------------------------------------------------------


def squares(y, x, image, odd, usual):
    image[:, y - 10 : y + 10, x - 10 : x + 10] = torch.tensor(usual if odd is None else odd)[:, None, None]


def bars(y, x, image, odd, usual):
    tall, wide = (18, 3) if odd is None else (3, 18)
    image[:, y - tall : y + tall, x - wide : x + wide] = 1


DISPLAYS = {
    "brightness": (squares, (0.95,) * 3, (0.62,) * 3),
    "colour": (squares, (0.75, 0.2, 0.2), (0.383,) * 3),  # as bright as the others
    "orientation": (bars, (), ()),
}
CLAIMS = [(feature, method) for feature, methods in {
    "brightness": METHODS,
    "colour": ("itti-koch-niebur", "frequency-tuned", "boolean-maps"),
    "orientation": ("itti-koch-niebur",),
}.items() for method in methods]  # fmt: skip


@pytest.mark.parametrize(("feature", "method"), CLAIMS)
@pytest.mark.parametrize("odd", [11, 19, 28, 37])
def test_the_odd_one_among_many_is_the_peak(feature, method, odd):
    paint, special, usual = DISPLAYS[feature]
    image, place = torch.full((3, 480, 640), 0.5), (0, 0)
    for number in range(48):
        y, x = 40 + 80 * (number // 8), 40 + 80 * (number % 8)
        paint(y, x, image, special if number == odd else None, usual)
        place = (y, x) if number == odd else place
    peak = divmod(int(saliency(image, method).argmax()), 640)
    assert max(abs(peak[0] - place[0]), abs(peak[1] - place[1])) <= 25


@pytest.mark.parametrize("method", ["frequency-tuned", "boolean-maps"])
def test_the_flower_stands_out_from_its_leaves(method):
    image = photograph("flower.jpg")
    found = saliency(image, method)
    y, x = np.mgrid[:427, :640]
    inside = torch.from_numpy((y - 222) ** 2 + (x - 312) ** 2 < 120**2)
    outside = torch.from_numpy((y - 222) ** 2 + (x - 312) ** 2 > 160**2)
    assert found[inside].mean() > 2 * found[outside].mean()
