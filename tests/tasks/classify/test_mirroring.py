import numpy as np
import pytest
from PIL import Image

from jumok.data.images.batches import PixelStore
from jumok.tasks.classify.mirroring import choose_flips

SIDE = 32


def store(folder, pictures):
    """Write pictures (side, side) of grey values and open them; gives the store and their labels."""
    paths, labels = [], []
    for label, drawn in enumerate(pictures):
        for number, pixels in enumerate(drawn):
            path = folder / f"{label}-{number}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
            paths.append(path)
            labels.append(label)
    return PixelStore(paths, SIDE, SIDE).load(), labels


def noise(chance):
    return chance.normal(128, 30, (SIDE, SIDE))


def arrow(chance, direction):
    """A wedge that grows towards one side, on noise."""
    picture, down = noise(chance), chance.integers(8, 24)
    for column in range(4, 28):
        half = (column - 4) // 4 if direction == "right" else (27 - column) // 4
        picture[max(down - half, 0) : down + half + 1, column] = 255
    return picture


def stripes(chance, rising):
    """Diagonal stripes that rise or fall, anywhere."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return noise(chance) + 80 * np.sin((rows + (columns if rising else -columns) + chance.integers(0, 9)) * 0.7)


def many(draw, count=40):
    chance = np.random.default_rng(0)
    return [draw(chance) for _ in range(count)]


def test_pictures_without_a_direction_may_be_mirrored_and_turned(tmp_path):
    plain, dark = many(noise), many(lambda chance: noise(chance) - 40)
    assert choose_flips(*store(tmp_path, [plain, dark]), ("plain", "dark"))[0] == "all"


def test_pictures_that_are_not_square_are_not_turned(tmp_path):
    pixels, labels = store(tmp_path, [many(noise), many(lambda chance: noise(chance) - 40)])
    wide = PixelStore(pixels.paths, 16, 32).load()
    assert choose_flips(wide, labels, ("plain", "dark"))[0] == "both"


@pytest.mark.parametrize("names", [("pointing", "facing"), ("a1", "b1")])
def test_arrows_are_not_mirrored(tmp_path, names):
    drawn = [many(lambda chance: arrow(chance, "left")), many(lambda chance: arrow(chance, "right"))]
    kind, why = choose_flips(*store(tmp_path, drawn), names)
    assert kind == "none"
    assert "told from the others" in why


def test_stripes_that_rise_or_fall_are_not_mirrored(tmp_path):
    drawn = [many(lambda chance: stripes(chance, True)), many(lambda chance: stripes(chance, False))]
    assert choose_flips(*store(tmp_path, drawn), ("one", "two"))[0] == "none"


def test_a_picture_with_a_sky_is_mirrored_across_alone(tmp_path):
    def outdoors(chance):
        return noise(chance) + np.linspace(80, -80, SIDE)[:, None]

    drawn = [many(outdoors), many(lambda chance: outdoors(chance) * 0.7)]
    assert choose_flips(*store(tmp_path, drawn), ("day", "evening"))[0] == "horizontal"


def test_light_from_one_side_forbids_nothing_where_classes_are_named_all_the_same(tmp_path):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    hole = (rows - 15.5) ** 2 + (columns - 15.5) ** 2 < 60

    def lit(chance, depth):
        return noise(chance) / 8 + 100 + np.linspace(20, -20, SIDE)[None, :] - depth * hole

    drawn = [many(lambda chance: lit(chance, 0)), many(lambda chance: lit(chance, 60))]
    assert choose_flips(*store(tmp_path, drawn), ("fine", "drilled"))[0] in ("horizontal", "both", "all")


@pytest.mark.parametrize(
    ("names", "told"),
    [(("turn left", "turn right"), "direction"), (("왼쪽", "앞"), "direction"), (("0", "1"), "letters or digits")],
)
def test_names_of_classes_can_forbid_it(tmp_path, names, told):
    plain, dark = many(noise), many(lambda chance: noise(chance) - 40)
    kind, why = choose_flips(*store(tmp_path, [plain, dark]), names)
    assert kind == "none"
    assert told in why


def test_classes_of_few_pictures_are_not_mirrored_untested(tmp_path):
    plain, dark = many(noise, 5), many(noise, 5)
    kind, why = choose_flips(*store(tmp_path, [plain, dark]), ("plain", "dark"))
    assert (kind, why) == ("none", "no class has 12 images to test it on")
