import io

import numpy as np
from PIL import Image

from jumok.data.images.near_duplicates import THUMB_SIDE, align, find_near_pairs, group_pairs


def draw_part(seed, side=96):
    """A photograph of one kind of part: the same disc on the same ground, with marks of its own."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    disc = 150.0 * ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2) + 40
    for _ in range(4):
        row, column = chance.integers(20, 76, 2)
        disc[row : row + 9, column : column + 9] += chance.uniform(-40, 40)
    return (disc + chance.normal(0, 4, disc.shape)).clip(0, 255).astype(np.uint8)


def thumb(pixels):
    return np.asarray(Image.fromarray(pixels).resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS))


def pairs(images):
    return list(find_near_pairs(np.stack(list(map(thumb, images)))))


def test_parts_of_one_kind_are_no_duplicates_and_copies_of_one_are():
    images = [draw_part(seed) for seed in range(40)]
    assert pairs(images) == []
    smaller = np.asarray(Image.fromarray(images[7]).resize((60, 60)))
    darker = (images[9] * 0.8).astype(np.uint8)  # as by another exposure
    assert pairs([*images, smaller, darker]) == [(7, 40), (9, 41)]


def test_pairs_across_two_parts_are_those_of_all_that_have_one_in_each():
    images = [draw_part(seed) for seed in (*range(30), 3, 40, 7, 3)]
    thumbs = np.stack(list(map(thumb, images)))
    every = list(find_near_pairs(thumbs))
    assert {(3, 30), (7, 32), (30, 33)} <= set(every)
    for part in (8, 31, 34):
        assert list(find_near_pairs(thumbs, part)) == [(a, b) for a, b in every if a < part <= b]


def test_frames_of_one_moment_are_near_duplicates():
    scene = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(scene).resize((96, 96), Image.Resampling.BICUBIC)).astype(np.float32)
    frames = [scene + np.random.default_rng(seed).normal(0, 2, scene.shape) for seed in range(4)]
    assert pairs([frame.clip(0, 255).astype(np.uint8) for frame in frames]) == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3),
    ]  # fmt: skip


def test_images_that_show_nothing_are_not_compared():
    assert pairs([np.full((40, 40), 90, np.uint8)] * 3) == []
    assert list(find_near_pairs(np.empty((0, THUMB_SIDE, THUMB_SIDE), np.uint8))) == []


def test_noise_is_like_nothing():
    chance = np.random.default_rng(1)
    assert pairs([chance.integers(0, 256, (32, 32), dtype=np.uint8) for _ in range(60)]) == []


def test_pairs_become_groups():
    assert group_pairs([(0, 1), (3, 4), (1, 2), (7, 9)]) == [[0, 1, 2], [3, 4], [7, 9]]
    assert group_pairs([]) == []


def photograph(seed, smooth):
    """A scene of few large shapes, or of many small ones."""
    chance = np.random.default_rng(seed)
    coarse = Image.fromarray(chance.integers(0, 256, (smooth, smooth), dtype=np.uint8))
    return coarse.resize((128, 128), Image.Resampling.BICUBIC)


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def test_copies_saved_again_scaled_or_slightly_cropped_are_found():
    images = [photograph(seed, 12) for seed in range(120)]
    copies = [
        encoded(images[3], 40),
        images[5].resize((70, 70)),
        images[8].crop((3, 3, 125, 125)),
        images[11].crop((6, 0, 128, 122)),
    ]
    assert pairs([*map(np.asarray, images), *map(np.asarray, copies)]) == [(3, 120), (5, 121), (8, 122), (11, 123)]


def test_where_all_look_alike_only_copies_are_found():
    """As photographs of one kind of part under lamps that differ: nearly all of what sets them apart is the light."""
    rows, columns = np.mgrid[:128, :128] / 128

    def part(seed):
        chance = np.random.default_rng(seed)
        light = chance.normal(0, 1, 2) @ np.stack([rows.ravel(), columns.ravel()])
        grain = np.asarray(photograph(seed, 24), np.float32) - 128
        return (128 + 30 * light.reshape(128, 128) + 0.05 * grain).clip(0, 255).astype(np.uint8)

    images = [part(seed) for seed in range(300)]
    alike = np.corrcoef([thumb(image).ravel() for image in images])
    assert (np.triu(alike, 1) > 0.95).sum() > 200, "many look nearly the same"
    assert len(pairs(images)) <= 3
    copy = np.asarray(encoded(Image.fromarray(images[40]), 90).resize((90, 90)))
    assert (40, 300) in pairs([*images, copy])


def test_laying_over_each_other_undoes_a_crop():
    image = photograph(0, 10)
    whole, part = (thumb(np.asarray(each))[None].astype(np.float32) for each in (image, image.crop((4, 2, 124, 126))))
    before, after = (np.abs(moved - whole)[:, 3:-3, 3:-3].mean() for moved in (part, align(whole, part)))
    assert after < before / 4
