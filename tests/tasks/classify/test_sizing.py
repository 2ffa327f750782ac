import math
import time

import numpy as np
import pytest
from PIL import Image

from jumok.systems import build, configure
from jumok.tasks.classify.sizing import choose_size, measure_seconds


def write(folder, sizes):
    paths = []
    for number, (height, width) in enumerate(sizes):
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.zeros((height, width), np.uint8)).save(paths[-1])
    return paths


def by_area(size):
    """A network for which each pixel takes a second."""
    return float(size[0] * size[1])


PLENTY = 1e12


@pytest.mark.parametrize(
    ("sizes", "chosen", "why"),
    [
        ([(28, 28)] * 3, (28, 28), "as the images are"),
        ([(30, 50)] * 3, (30, 50), "as the images are"),
        ([(96, 96)] * 3, (96, 96), "as the images are"),
        ([(300, 300)] * 3, (224, 224), "the images are 300 x 300"),
        ([(300, 600)] * 3, (224, 448), "the images are 300 x 600"),
        ([(600, 300)] * 3, (448, 224), "the images are 600 x 300"),
        ([(1000, 100)] * 3, (200, 96), "the images are 1000 x 100"),  # no longer than twice their width
        ([(80, 80), (100, 100), (300, 300)], (96, 96), "several sizes, 100 x 100 in the middle; all are stretched"),
    ],
)
def test_with_time_enough_images_keep_their_size_and_shape(tmp_path, sizes, chosen, why):
    size, told = choose_size(write(tmp_path, sizes), by_area, PLENTY)
    assert size == chosen
    assert why in told
    assert "too seldom" not in told


def test_with_less_time_they_are_smaller_and_that_is_said(tmp_path):
    paths = write(tmp_path, [(300, 300)] * 10)
    size, told = choose_size(paths, by_area, 40 * 10 * 128 * 128)
    assert size == (128, 128)
    assert told == "the images are 300 x 300; larger ones would be seen too seldom in the time"


def test_they_do_not_get_smaller_than_can_be_seen(tmp_path):
    assert choose_size(write(tmp_path, [(300, 300)] * 3), by_area, 1.0)[0] == (64, 64)
    assert choose_size(write(tmp_path / "..", [(48, 48)] * 3), by_area, 1.0)[0] == (48, 48)


def test_the_speed_is_that_of_a_step():
    system = build("mlp", configure("mlp", classes=3, image_size=96))
    began = time.perf_counter()
    seconds = measure_seconds(system, (96, 96))
    assert 0 < seconds * 8 * 3 <= time.perf_counter() - began


def test_of_sizes_that_take_as_long_the_largest_is_taken(tmp_path):
    """As with a stem, or patches, that are coarser from some size on."""
    costs = {64: 4.2, 96: 4.3, 128: 6.9, 160: 9.0, 192: 12.0, 224: 16.0}
    paths = write(tmp_path, [(300, 300)] * 10)
    assert choose_size(paths, lambda size: costs[size[0]], 1.0)[0] == (96, 96), "none is quick enough"
    assert choose_size(paths, lambda size: costs[size[0]], 40 * 10 * 7.0)[0] == (128, 128)


def test_images_of_one_possible_size_are_not_timed(tmp_path):
    assert choose_size(write(tmp_path, [(60, 70), (64, 64)]), None, 1.0)[0] == (56, 64)


def test_a_size_that_the_system_does_not_take_is_passed_over(tmp_path):
    costs = {224: math.inf, 192: math.inf, 160: 9.0}
    assert choose_size(write(tmp_path, [(300, 300)] * 3), lambda size: costs[size[0]], PLENTY)[0] == (160, 160)
