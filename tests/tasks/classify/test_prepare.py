import pytest
import torch
from PIL import Image
from small_runs import write_photos

from jumok.data.images.batches import PixelStore
from jumok.errors import JumokError
from jumok.tasks.classify import prepare
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings
from jumok.tasks.classify.system_options import system_options
from jumok.tasks.preprocessing import channel_statistics, choose_size, stores


def found(folder, **data):
    config = ImageData(images=str(folder), **data)
    return config, prepare.find_parts(config, seed=0)


@pytest.mark.parametrize(
    ("side", "size", "why"),
    [
        (16, 16, "as the images are"),
        (28, 28, "as the images are"),
        (100, 100, "as the images are"),
        (31, 24, "31 x 31"),  # no patch divides it
        (98, 96, "98 x 98"),  # 2,401 patches of 2 x 2
        (300, 224, "larger"),
    ],
)
def test_images_that_are_alike_and_small_keep_their_size(tmp_path, side, size, why):
    config, sets = found(write_photos(tmp_path / "p", each=4, side=side))
    chosen, reason = choose_size(config, sets["train"].paths)
    assert chosen == (size, size)
    assert why in reason


def test_images_of_several_sizes_are_brought_to_one(tmp_path):
    folder = write_photos(tmp_path / "p", each=8)
    for path in folder.rglob("000*.png"):
        Image.new("RGB", (40, 20)).save(path)
    config, sets = found(folder, val_fraction=0.01, test_fraction=0.01)
    assert choose_size(config, sets["train"].paths) == ((224, 224), "the images have several sizes")
    asked = ImageData(images=str(folder), image_size=(32, 48))
    assert choose_size(asked, sets["train"].paths)[0] == (32, 48)


def test_turned_photographs_count_as_they_are_seen(tmp_path):
    folder = write_photos(tmp_path / "p", each=4)
    exif = Image.Exif()
    exif[274] = 6
    for path in folder.rglob("*.png"):
        Image.new("RGB", (64, 32)).save(path.with_suffix(".jpg"), exif=exif)
        path.unlink()
    config, sets = found(folder)
    assert choose_size(config, sets["train"].paths)[0] == (64, 32)


def test_wide_images_stay_wide_all_the_way(tmp_path):
    folder = write_photos(tmp_path / "p", each=6)
    for path in folder.rglob("*.png"):
        Image.open(path).resize((48, 16)).save(path)
    config, sets = found(folder)
    size, _ = choose_size(config, sets["train"].paths)
    train, _ = stores(config, sets["train"].paths, sets["val"].paths, size)
    settings = Settings(system="vit-nano", data=config)
    run = prepare.configure(settings, sets, size, train)
    assert run.size == (16, 48)
    assert run.options["image_size"] == [16, 48]
    assert (run.options["patch"], run.options["stem"]) == (2, "convolutions")


def test_options_that_were_chosen_win_over_what_follows_from_the_data():
    options = system_options("vit-tiny", {"patch": 16, "stem": "patch", "depth": 2}, 5, (64, 64))
    assert (options["patch"], options["stem"], options["depth"], options["classes"]) == (16, "patch", 2, 5)
    assert system_options("vit-tiny", {}, 5, (64, 64))["patch"] == 8
    assert system_options("vit-base", {}, 5, (224, 224))["stem"] == "patch"
    with pytest.raises(JumokError, match="'classes' follows from the data"):
        system_options("vit-tiny", {"classes": 3}, 5, (64, 64))
    with pytest.raises(JumokError, match="did you mean 'vit-tiny'"):
        system_options("vit-tinny", {}, 5, (64, 64))
    with pytest.raises(JumokError, match="patch 7 does not divide"):
        system_options("vit-tiny", {"patch": 7}, 5, (64, 64))


def test_mean_and_spread_are_those_of_the_pixels(photos):
    _, sets = found(photos)
    paths = sets["train"].paths
    store = PixelStore(paths, 16, 16)
    mean, std = channel_statistics(store)
    pixels = store.get(torch.arange(len(paths))).double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-5)


def test_images_without_any_contrast_do_not_divide_by_nothing(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / name / "x.png")
    store = PixelStore(sorted(tmp_path.rglob("*.png")), 8, 8)
    assert min(channel_statistics(store)[1]) >= 0.0039


def test_a_batch_is_never_larger_than_the_data(monkeypatch):
    assert prepare.batch_size(64, 28) == 28
    assert prepare.batch_size(16, 28) == 16
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert prepare.batch_size(64, 28) == 27
    with pytest.raises(JumokError, match="cannot be shared among 3 processes"):
        prepare.batch_size(64, 2)


def test_memory_is_shared_between_training_and_validation_images(photos):
    config, sets = found(photos, memory=0)
    assert [store.in_memory for store in stores(config, sets["train"].paths, sets["val"].paths, (16, 16))] == [
        False,
        False,
    ]
    config, sets = found(photos, memory=1)
    assert [store.in_memory for store in stores(config, sets["train"].paths, sets["val"].paths, (16, 16))] == [
        True,
        True,
    ]
    assert [store.in_memory for store in stores(config, sets["train"].paths, sets["val"].paths, (600, 600))] == [
        False,
        False,
    ]


def test_changed_images_are_noticed_and_moved_ones_are_not(job, photos, tmp_path):
    run = job()
    began = prepare.check_unchanged(run.config, run.sets, tmp_path)  # where nothing is recorded yet
    began.write(tmp_path)
    _, sets = found(write_photos(tmp_path / "elsewhere"))
    assert prepare.check_unchanged(run.config, sets, tmp_path) == began
    path = sets["train"].paths[0]
    held = path.read_bytes()
    Image.new("RGB", (16, 16)).save(path)
    with pytest.raises(JumokError, match=r"files of the train part in .* hold other images"):
        prepare.check_unchanged(run.config, sets, tmp_path)
    path.write_bytes(held)
    next((tmp_path / "elsewhere").rglob("*.png")).unlink()
    _, sets = found(tmp_path / "elsewhere")
    with pytest.raises(JumokError, match="not those that this run began with"):
        prepare.check_unchanged(run.config, sets, tmp_path)


def test_shares_that_leave_nothing_are_refused(photos):
    with pytest.raises(JumokError, match="leave nothing to train on"):
        prepare.find_parts(ImageData(images=str(photos), val_fraction=0.6, test_fraction=0.5), 0)
    with pytest.raises(JumokError, match="give a folder"):
        prepare.find_parts(ImageData(), 0)


def test_loaders_deal_full_batches_and_all_validation_images(job):
    run = job(batch_size=8)
    train, val = prepare.loaders(run.config, run.sets, *run.stores)
    assert {len(batch.labels) for batch in train} == {8}
    assert sum(len(batch.labels) for batch in val) == len(run.sets["val"])
    assert ImageTraining().batch_size == 64


def test_the_images_of_a_table_lie_in_its_folder_or_the_one_given():
    assert ImageData(images="a/photos").folder == "a/photos"
    assert ImageData(images="a/labels.csv").folder == "a"
    assert ImageData(images="a/labels.csv", image_folder="b").folder == "b"
    assert ImageData().folder is None


def test_frames_that_are_not_read_are_told(tmp_path):
    folder = write_photos(tmp_path / "p", each=4)
    pages = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (10, 200)]
    pages[0].save(folder / "red" / "pages.tif", save_all=True, append_images=pages[1:])
    ready = prepare.prepare(Settings(data=ImageData(images=str(folder)), training=ImageTraining(epochs=1)))
    assert any("1 image has several frames or pages (red/pages.tif)" in line for line in ready.remarks)
