"""The table of distorted digits: what is done to them, its networks, its rows, and the command."""

import gzip
import json
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from scipy import ndimage

from jumok.errors import JumokError
from reproduce import __main__ as command
from reproduce import distorted, stn
from reproduce.image_training import Training
from reproduce.stn import Trained, Transformed, maker, size


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def dot(side=28, at=(10, 18)):
    """A soft dot off the centre of an image, so that one sees where it goes."""
    y, x = np.mgrid[:side, :side]
    return torch.tensor(np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 8), dtype=torch.float32)[None, None]


def centre(picture):
    """(y, x) in pixels from the image's centre."""
    found = np.array(ndimage.center_of_mass(picture.numpy()))
    return found - (np.array(picture.shape) - 1) / 2


def test_turning_keeps_the_distance_and_reaches_every_angle_up_to_a_quarter():
    pixels = dot().expand(400, 1, 28, 28)
    places = np.array([centre(each[0]) for each in distorted.turned(pixels, drawn())])
    before = centre(dot()[0, 0])
    np.testing.assert_allclose(np.hypot(*places.T), np.hypot(*before), atol=0.1)
    angles = np.angle(np.exp(1j * (np.arctan2(*places.T) - np.arctan2(*before))), deg=True)
    assert -90.5 < angles.min() < -85
    assert 85 < angles.max() < 90.5
    assert abs(angles.mean()) < 8


def test_a_turn_agrees_with_scipys():
    angle = torch.tensor([0.5])
    ours = distorted._placed(dot(), angle, torch.ones(1), torch.zeros(1, 2), 28)[0, 0]
    theirs = ndimage.rotate(dot()[0, 0].numpy(), np.degrees(-0.5), reshape=False, order=1)
    both = ndimage.rotate(dot()[0, 0].numpy(), np.degrees(0.5), reshape=False, order=1)
    assert min(np.abs(ours - theirs).max(), np.abs(ours - both).max()) < 0.05


def test_scaling_and_placing_in_a_larger_image():
    scale, place = torch.tensor([0.8]), torch.tensor([[5.0, -3.0]])  # (x, y)
    moved = distorted._placed(dot(), torch.zeros(1), scale, place, 42)
    assert moved.shape == (1, 1, 42, 42)
    np.testing.assert_allclose(centre(moved[0, 0]), 0.8 * centre(dot()[0, 0]) + [-3, 5], atol=0.05)
    assert float(moved.sum() / dot().sum()) == pytest.approx(0.64, rel=0.02)


def test_digits_stay_whole_whatever_their_scale_and_place():
    disc = dot(at=(13.5, 13.5)).expand(500, 1, 28, 28)
    moved = distorted.turned_scaled_moved(disc, drawn())
    sizes = (moved.sum((1, 2, 3)) / disc[0].sum()).sqrt()
    assert 0.69 < sizes.min() < 0.73
    assert 1.17 < sizes.max() < 1.21
    places = np.array([centre(each[0]) for each in moved])
    assert 10 < np.abs(places).max() < (42 - 0.7 * 28) / 2 + 0.3
    assert torch.equal(moved, distorted.turned_scaled_moved(disc, drawn()))
    assert not torch.equal(moved, distorted.turned_scaled_moved(disc, drawn(1)))


@pytest.mark.parametrize("side", [28, 42])
@pytest.mark.parametrize("network", ["affine", "projective", "thin-plate-spline"])
def test_both_networks_have_as_many_parameters(side, network):
    plain, other = maker(side, "cnn")(), maker(side, network)()
    assert 0.98 * size(plain) < size(other) <= size(plain)
    assert isinstance(other, Transformed)
    pixels = torch.rand(2, 1, side, side)
    assert plain(pixels).shape == other(pixels).shape == (2, 10)


def test_a_gain_is_held_against_the_larger_spread():
    done = {
        "cnn": [Trained(each, 1, 1.0, "") for each in (1.0, 1.2)],
        "affine": [Trained(each, 1, 1.0, "") for each in (0.7, 0.8)],
    }
    row = stn._gain("R", "affine", done)
    assert row.ours == pytest.approx(0.35)
    assert row.goal == ">= 0.200"
    assert row.met
    mean = stn._mean("R", "affine", done["affine"])
    assert (mean.ours, mean.published) == (pytest.approx(0.75), 0.7)
    assert mean.setup == "2 seeds, 0.70 to 0.80"


def test_the_same_seed_gives_the_same_row(digits):
    options = ArgumentParser()
    stn.add_options(options)
    given = options.parse_args(["--data", str(digits)])
    images, test = (stn._digits(given.data, part, most) for part, most in stn._parts(given))
    first, again = (stn._trained("R", "affine", Training(1, 32, seed=3), images, test) for _ in range(2))
    assert first.error == again.error
    assert first.setup == again.setup
    assert "of the samples outside" in first.setup


@pytest.fixture
def digits(tmp_path):
    """96 pictures of two sorts in the place of MNIST."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 96), ("t10k", 40)):
        labels = draw.integers(0, 2, count).astype(np.uint8)
        pixels = np.zeros((count, 28, 28), dtype=np.uint8)
        pixels[labels == 0, 8:20, 12:16] = 255
        pixels[labels == 1, 10:18, 10:18] = 255
        for name, values in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
            with gzip.open(tmp_path / f"{name}.gz", "wb") as file:
                file.write(head + values.tobytes())
    return tmp_path


def test_the_command_keeps_a_row_per_seed_their_means_and_the_gain(tmp_path, digits):
    out = tmp_path / "stn.json"
    given = f"stn --data {digits} --distortions R RTS --epochs 1 1 --seeds 2 --batch 32 --out {out}"
    assert command.main(given.split()) in (0, 1)
    kept = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert len(kept) == 2 * (2 * 2 + 2 + 1)
    named = {(row["case"], row["model"], row["measure"]) for row in kept}
    assert ("RTS", "st-cnn, affine", "test error, %, seed 1") in named
    assert ("R", "cnn minus st-cnn, affine", "difference of the mean test errors, %") in named
    published = {(row["case"], row["model"]): row["published"] for row in kept if row["measure"].endswith("mean")}
    assert published == {
        ("R", "cnn"): 1.2,
        ("R", "st-cnn, affine"): 0.7,
        ("RTS", "cnn"): 0.8,
        ("RTS", "st-cnn, affine"): 0.5,
    }


def test_epochs_are_given_for_each_distortion(digits):
    options = ArgumentParser()
    stn.add_options(options)
    with pytest.raises(JumokError, match="2 numbers for 1 distortions"):
        next(stn.run(options.parse_args(["--data", str(digits), "--distortions", "R"])))
