import numpy as np
import pytest
from PIL import Image

from jumok.data.images.batches import PixelStore
from jumok.tasks.classify import look_alikes
from jumok.tasks.classify.look_alikes import describe_look_alikes


def save(folder, name, seed, size=(64, 48)):
    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    small.resize((64, 48), Image.Resampling.BICUBIC).resize(size).save(folder / name)
    return folder / name


@pytest.fixture
def paths(tmp_path):
    train = [save(tmp_path, f"t{seed}.png", seed) for seed in range(24)]
    val = [save(tmp_path, f"v{seed}.jpg", seed, (40, 30)) for seed in (3, 90, 91, 5)]
    return train, val


def test_validation_images_that_look_like_training_images_are_counted(paths):
    train, val = (PixelStore(some, 32, 32) for some in paths)
    folder = paths[0][0].parent.name
    assert describe_look_alikes(train, val) == [
        "near duplicates: 2 of 4 val images look nearly the same as one in train "
        f"({folder}/v3.jpg = {folder}/t3.png; {folder}/v5.jpg = {folder}/t5.png); "
        "this may flatter the figures (jumok inspect shows them)"
    ]
    assert describe_look_alikes(train, PixelStore(paths[1][1:3], 32, 32)) == []
    assert "1 of 4 val images" in describe_look_alikes(train, val, [True, False, False, False])[0]
    assert describe_look_alikes(train, val, [True, True, True, True]) == []


def test_what_is_streamed_or_too_much_is_not_compared(paths, monkeypatch):
    train, val = paths
    told = describe_look_alikes(PixelStore(train, 32, 32, memory_limit=0), PixelStore(val, 32, 32))
    assert len(told) == 1
    assert "were not looked for among 28 images: jumok inspect" in told[0]
    monkeypatch.setattr(look_alikes, "MOST_IMAGES", 27)
    assert describe_look_alikes(PixelStore(train, 32, 32), PixelStore(val, 32, 32)) == told
