"""A run of a model from elsewhere keeps its image processor: training, use and every command prepare images by it."""

import json
import shutil

import pytest
import torch
import yaml
from PIL import Image
from pretrained_models import MEAN, STD, make_hf, save_processor
from timm_library import import_timm

from jumok.data.images.reading import read_image
from jumok.errors import JumokError
from jumok.tasks.classify import prepare
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.evaluation import read_batches
from jumok.tasks.classify.processors import open_kept
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.classify.settings import ImageData, ImageTraining, Processor, RunConfig, Settings
from jumok.tasks.running import fit

pytest.importorskip("transformers", reason="networks of transformers need it (the hf extra)")

CROPPED = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 20},
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": MEAN,
    "image_std": STD,
}
QUIET = {"epochs": 1, "batch_size": 8, "device": "cpu", "lr": 0.01}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Images twice as wide as high, of noise, in two classes."""
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(1)
    for name in ("left", "right"):
        (folder / name).mkdir()
        for number in range(12):
            pixels = torch.randint(0, 256, (24, 48, 3), dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(folder / name / f"{number}.png")
    return folder


def save(folder, **settings):
    make_hf("ViT").save_pretrained(folder)
    return save_processor(folder, 16, **{**CROPPED, **settings})


@pytest.fixture(scope="module")
def cropping(tmp_path_factory):
    return save(tmp_path_factory.mktemp("hf") / "vit")


def prepared(images, model, size=None, **training):
    data = ImageData(images=str(images), image_size=size)
    return prepare.prepare(Settings(system=f"hf:{model}", data=data, training=ImageTraining(**{**QUIET, **training})))


def train(ready, folder):
    ready.write(folder)
    fit.fit(ready.module(), ready.train, ready.val, folder, ready.training)
    return folder


@pytest.fixture(scope="module")
def moved(wide, tmp_path_factory):
    """A run that lies elsewhere than where it was trained, while the model it began with is gone."""
    place = tmp_path_factory.mktemp("run")
    folder = train(prepared(wide, save(place / "model")), place / "run")
    shutil.rmtree(place / "model")
    return shutil.move(folder, place / "elsewhere")


def own_pixels(model, path):
    """What the model's own processor gives it of a file."""
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(model, backend="pil")(Image.open(path), return_tensors="pt").pixel_values


def test_what_is_trained_on_is_what_the_models_own_processor_gives(wide, cropping):
    ready = prepared(wide, cropping)
    module, store = ready.module(), ready.train.source
    for number in (0, 5):
        given = module.normalise(store.get(torch.tensor([number])))
        torch.testing.assert_close(given, own_pixels(cropping, store.paths[number]), rtol=0, atol=1e-5)
    stretched = prepared(wide, cropping, size=16)
    assert not torch.equal(stretched.train.source.get(torch.tensor([0])), store.get(torch.tensor([0])))


@pytest.mark.parametrize("memory", [None, 0])
def test_images_that_are_streamed_are_the_same(wide, cropping, memory):
    data = ImageData(images=str(wide), memory=memory)
    ready = prepare.prepare(Settings(system=f"hf:{cropping}", data=data, training=ImageTraining(**QUIET)))
    path = ready.train.source.paths[3]
    given = ready.module().normalise(ready.train.source.get(torch.tensor([3])))
    torch.testing.assert_close(given, own_pixels(cropping, path), rtol=0, atol=1e-5)


def test_a_moved_run_needs_nothing_of_the_model(wide, cropping, moved):
    path = next((wide / "left").iterdir())
    wanted = own_pixels(cropping, path)
    run, model = ImageRun.load(moved), open_model(str(moved))
    image = read_image(path)
    for given in (
        run.prepare([path]),
        run.prepare([image]),
        run.prepare([Image.open(path)]),
        model.prepare([image]),
    ):
        torch.testing.assert_close(given, wanted, rtol=0, atol=1e-5)
    assert model.frame(image) == pytest.approx((0.1, 0.3, 0.9, 0.7), abs=0.01)
    assert model.preparation.described == "resized to 20 on the shorter side (bicubic), centre crop of 16 x 16"
    shares = model.predict([image])[0].tolist()
    assert run.predict(path).probabilities == pytest.approx(dict(zip(run.classes, shares, strict=True)), abs=1e-6)


def test_a_run_is_judged_on_what_it_was_trained_on(wide, cropping, moved):
    images = prepare.find_parts(ImageData(images=str(wide)), 0)["val"]
    for model in (ImageRun.load(moved), open_model(str(moved))):
        pixels, labels = zip(*read_batches(model, images, 2), strict=True)
        wanted = torch.cat([own_pixels(cropping, path) for path in images.paths])
        torch.testing.assert_close(torch.cat(pixels), wanted, rtol=0, atol=1e-5)
        assert torch.cat(labels).tolist() == list(images.labels)


def test_training_goes_on_with_the_same_pixels(wide, cropping, moved):
    again = prepare.resume(RunConfig.load(moved / "config.yaml"), moved)
    first = prepared(wide, cropping)
    order = torch.arange(len(first.train.source))
    assert torch.equal(again.train.source.get(order), first.train.source.get(order))


def test_a_run_that_begins_with_it_keeps_its_processor(wide, moved):
    first = ImageRun.load(moved).config
    training = ImageTraining(**QUIET, init=str(moved))
    ready = prepare.prepare(Settings(system=first.system, data=ImageData(images=str(wide)), training=training))
    assert ready.config.found.processor == first.found.processor
    assert "centre crop of 16 x 16" in ready.remarks[0]


def test_images_are_varied_after_they_are_cropped(wide, cropping):
    ready = prepared(wide, cropping, augment=False, flips="horizontal", mixup=0.0)
    module = ready.module()
    batch = next(iter(ready.train))
    plain = module.normalise(batch.images)
    varied, _ = module.vary(batch)
    mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(varied, plain, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(varied, plain, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


def test_a_size_that_is_asked_for_is_stretched_to_and_told(wide, cropping):
    ready = prepared(wide, cropping, size=16)
    assert ready.config.found.processor is None
    assert ready.remarks[0] == (f"image size: 16 x 16 pixels (as asked; stretched, and not as hf:{cropping} has them)")


def test_blue_first_and_another_range_are_kept(wide, tmp_path):
    settings = {"do_normalize": False, "do_flip_channel_order": True, "image_processor_type": "MobileViTImageProcessor"}
    model = save(tmp_path / "model", **settings)
    run = ImageRun.load(train(prepared(wide, model), tmp_path / "run"))
    path = next((wide / "left").iterdir())
    seen = []
    run.model.network.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    run.predict(path)
    torch.testing.assert_close(seen[0], own_pixels(model, path), rtol=0, atol=1e-5)


def test_images_of_several_sizes_are_refused_in_one_line(wide, tmp_path):
    model = save(tmp_path / "model", do_center_crop=False, size={"shortest_edge": 16})
    with pytest.raises(
        JumokError, match=r"brings an image of 24 x 48 .* to 16 x 32 pixels and a square one to 16 x 16"
    ):
        prepared(wide, model)
    assert prepared(wide, model, size=16).train.source.get(torch.tensor([0])).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_processor_type", "NoImageProcessor", "that transformers .* does not have"),
        ("auto_map", {"AutoImageProcessor": "x.y"}, "code"),
        ("crop_size", {"height": 99_999, "width": 99_999}, "wanted at most"),
        ("crop_size", {"height": 8, "width": 8}, "brings images to 8 x 8 pixels, and its model takes 16 x 16"),
        ("image_std", [0, 1, 1], "wanted finite numbers above 0"),
    ],
)
def test_a_kept_processor_that_was_spoilt_is_refused(moved, tmp_path, key, value, message):
    folder = shutil.copytree(moved, tmp_path / "run")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["found"]["processor"]["settings"][key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(JumokError, match=message) as found:
        open_model(str(folder))
    assert "\n" not in str(found.value)


def test_settings_of_timm_are_kept_as_they_are():
    import_timm()
    settings = {"input_size": [3, 16, 16], "interpolation": "bicubic", "mean": MEAN, "std": STD, "crop_pct": 0.8}
    opened = open_kept(Processor(library="timm", settings=settings), "run")
    assert opened.size == (16, 16)
    assert opened.frame(24, 48) is not None
    assert json.loads(json.dumps(opened.kept.settings)) == settings
