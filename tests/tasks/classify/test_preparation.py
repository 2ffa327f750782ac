"""Models from elsewhere see what their own image processor gives, and it is known where that lies in the image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pretrained_models import save_processor

from jumok.app.classify.described import describe
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.looking import LookOptions, look

transformers = pytest.importorskip("transformers")

SIDE = 32
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SQUARE = {"height": SIDE, "width": SIDE}
EFFICIENT = {"image_processor_type": "EfficientNetImageProcessor", "do_center_crop": False, "size": SQUARE}
PROCESSORS = {
    "stretched": {},
    "not normalised": {"do_normalize": False},
    "neither rescaled nor normalised": {"do_rescale": False, "do_normalize": False},
    "blue first and cropped": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": SIDE + 4},
        "crop_size": SQUARE,
        "do_flip_channel_order": True,
    },
    "normalised twice": {**EFFICIENT, "include_top": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.3, 0.4, 0.5]},
    "offset": {**EFFICIENT, "rescale_offset": True, "rescale_factor": 1 / 127.5, "do_normalize": False},
    "shortest edge and crop": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": SIDE + 8},
        "crop_size": SQUARE,
    },
    "share of the middle": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": SIDE},
        "crop_pct": 0.8,
    },
    "lanczos": {"resample": 1},
    "margins": {
        "image_processor_type": "DonutImageProcessor",
        "size": SQUARE,
        "do_thumbnail": True,
        "do_pad": True,
        "do_align_long_axis": False,
    },
}


def save_vit(folder, classes=3, **options):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        **{**SMALL, "image_size": SIDE, "patch_size": 8, **options}, id2label={n: f"c{n}" for n in range(classes)}
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_vit(tmp_path_factory.mktemp("models") / "vit")


def photograph(height=60, width=90):
    values = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def as_tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


@pytest.mark.parametrize("name", PROCESSORS)
def test_input_and_probabilities_are_those_of_its_own_processor_and_pipeline(vit, name):
    save_processor(vit, SIDE, **PROCESSORS[name])
    opened, picture = open_model(f"hf:{vit}"), photograph()
    theirs = transformers.AutoImageProcessor.from_pretrained(vit)(picture, return_tensors="pt").pixel_values
    torch.testing.assert_close(opened.prepare([as_tensor(picture)]), theirs.float(), atol=1e-6, rtol=0)
    said = transformers.pipeline("image-classification", model=str(vit), top_k=3)(picture)
    shares = opened.predict([as_tensor(picture)])[0].tolist()
    wanted = {each["label"]: each["score"] for each in said}
    assert dict(zip(opened.classes, shares, strict=True)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", PROCESSORS)
def test_colours_go_to_the_models_range_and_back(vit, name):
    save_processor(vit, SIDE, **PROCESSORS[name])
    opened = open_model(f"hf:{vit}")
    square = as_tensor(photograph(SIDE, SIDE))
    there = opened.normalise(square[None])
    torch.testing.assert_close(opened.show(there[0]), square)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (opened.preparation.mean, opened.preparation.std))
    plain = (square / 255 - mean) / std
    order = [2, 1, 0] if name == "blue first and cropped" else [0, 1, 2]
    torch.testing.assert_close(there[0], plain[order], atol=1e-4, rtol=1e-3)


WHERE = {
    "stretched": None,
    "blue first and cropped": (2 / 36, 11 / 54, 34 / 36, 43 / 54),
    "shortest edge and crop": (4 / 40, 14 / 60, 36 / 40, 46 / 60),
    "share of the middle": (4 / 40, 14 / 60, 36 / 40, 46 / 60),
    "margins": (-5 / 21, 0.0, 27 / 21, 1.0),
}


@pytest.mark.parametrize("name", WHERE)
def test_it_is_known_what_part_of_an_image_the_model_sees(vit, name):
    """Sizes as these processors say: 60 x 90 is resized to 36 x 54, 40 x 60, or 21 x 32 with margins."""
    save_processor(vit, SIDE, **PROCESSORS[name])
    found = open_model(f"hf:{vit}").frame(as_tensor(photograph()))
    assert found == (WHERE[name] if WHERE[name] is None else pytest.approx(WHERE[name], abs=0.004))


def test_the_heat_of_a_crop_lies_at_its_place_and_nowhere_else(vit):
    save_processor(vit, SIDE, **PROCESSORS["shortest edge and crop"])
    opened, picture = open_model(f"hf:{vit}"), as_tensor(photograph())
    (answer,) = look(opened, [picture], LookOptions(("rollout",)))
    heat = answer.heats["rollout"]
    laid = heat.within(opened.frame(picture)).image(60, 90)[0]
    top, left, bottom, right = 6, 21, 54, 69
    torch.testing.assert_close(laid[top:bottom, left:right], heat.image(48, 48)[0])
    assert float(laid.sum()) == pytest.approx(float(laid[top:bottom, left:right].sum()))


def test_a_grey_model_reads_grey_images(tmp_path):
    folder = save_vit(tmp_path / "grey", num_channels=1)
    save_processor(folder, SIDE, image_mean=[0.4], image_std=[0.2])
    opened, picture = open_model(f"hf:{folder}"), photograph()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    theirs = processor(picture.convert("L"), return_tensors="pt").pixel_values
    pixels = opened.prepare([as_tensor(picture)])
    torch.testing.assert_close(pixels, theirs, atol=1e-6, rtol=0)
    shown = opened.show(pixels[0])
    assert shown.shape == (3, SIDE, SIDE)
    assert torch.equal(shown[0], shown[2])
    assert opened.preparation.mean == pytest.approx((0.4,) * 3, abs=1e-4)
    described = describe(f"hf:{folder}", Session(device_wanted="cpu"))
    assert described.to_dict()["channels"] == 1
    assert "given as grey, normalised by mean 0.4 and standard deviation 0.2 (in [0, 1])" in list(described.lines())
    assert bool(look(opened, [as_tensor(picture)], LookOptions(("rollout",)))[0].heats["rollout"].weights.any())


def test_images_that_are_brought_to_different_sizes_are_asked_apart(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)
    torch.manual_seed(0)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    edge = {"image_processor_type": "BitImageProcessor", "do_center_crop": False, "size": {"shortest_edge": SIDE}}
    save_processor(tmp_path, SIDE, **edge)
    opened = open_model(f"hf:{tmp_path}")
    pictures = [as_tensor(photograph(*size)) for size in ((60, 90), (60, 60), (90, 60), (30, 45))]
    together = opened.predict(pictures)
    each = torch.cat([opened.predict([picture]) for picture in pictures])
    torch.testing.assert_close(together, each)
    answers = look(opened, pictures, LookOptions(("input-x-gradient",)))
    assert [answer.heats["input-x-gradient"].keys.describe() for answer in answers] == [
        f"{height} x {width} pixels" for height, width in ((32, 48), (32, 32), (48, 32), (32, 48))
    ]
    with pytest.raises(JumokError, match=r"to different sizes \(32 x 48, 32 x 32, 48 x 32\)"):
        opened.prepare(pictures)


def test_labels_of_their_own_have_each_a_sigmoid(tmp_path):
    folder = save_processor(save_vit(tmp_path / "m", problem_type="multi_label_classification"), SIDE)
    opened, picture = open_model(f"hf:{folder}"), photograph()
    said = transformers.pipeline("image-classification", model=str(folder), top_k=3)(picture)
    wanted = {each["label"]: each["score"] for each in said}
    found = dict(zip(opened.classes, opened.predict([as_tensor(picture)])[0].tolist(), strict=True))
    assert found == pytest.approx(wanted, abs=1e-5)
    assert opened.kind.name == "multi"


@pytest.mark.parametrize("problem", ["regression", None])
def test_one_output_is_a_number(tmp_path, problem):
    folder = save_processor(save_vit(tmp_path / "m", classes=1, problem_type=problem), SIDE)
    opened, picture = open_model(f"hf:{folder}"), photograph()
    (logit,) = opened.predict([as_tensor(picture)])[0].tolist()
    (theirs,) = transformers.pipeline("image-classification", model=str(folder), top_k=1)(picture)
    said = opened.kind.say([logit])
    assert said.answer == pytest.approx(logit, rel=1e-6)
    assert opened.kind.name == "number"
    if problem == "regression":
        assert (said.share, logit) == (None, pytest.approx(theirs["score"], abs=1e-5))
    else:
        assert said.share == pytest.approx(theirs["score"], abs=1e-5)


def change(folder, name, **values):
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**settings, **values}))


WRONG = {
    "missing": (lambda f: (f / "preprocessor_config.json").unlink(), r"has no preprocessor_config\.json"),
    "no JSON": (lambda f: (f / "preprocessor_config.json").write_text("{"), "cannot read .*preprocessor_config"),
    "a list": (lambda f: (f / "preprocessor_config.json").write_text("[]"), "preprocessor_config"),
    "mean of text": (lambda f: save_processor(f, SIDE, image_mean="x"), "image_mean x: wanted finite numbers"),
    "std of 0": (lambda f: save_processor(f, SIDE, image_std=[0.5, 0, 0.5]), "image_std .*finite numbers above 0"),
    "mean of two": (lambda f: save_processor(f, SIDE, image_mean=[0.5] * 2), "cannot prepare an image"),
    "another size": (lambda f: save_processor(f, SIDE + 8), "3 x 40 x 40 .*contradict each other"),
    "no size": (lambda f: change(f, "preprocessor_config.json", size=0.5), "Could not convert size input"),
    "endless size": (lambda f: save_processor(f, 10**6), "wanted at most 64 MP"),
    "unknown": (
        lambda f: save_processor(f, SIDE, image_processor_type="NoSuchProcessor"),
        "names an image processor 'NoSuchProcessor'",
    ),
    "code of its own": (
        lambda f: save_processor(f, SIDE, auto_map={"AutoImageProcessor": "code.Mine"}),
        "the image processor of .* asks for code from a repository",
    ),
    "a model's code": (
        lambda f: change(f, "config.json", auto_map={"AutoModelForImageClassification": "code.Mine"}),
        "asks for code from a repository",
    ),
    "six bands": (lambda f: change(f, "config.json", num_channels=6), "its configuration says 32 x 6 x 8 x 8"),
    "no layers": (
        lambda f: change(f, "config.json", num_hidden_layers=0),
        "has weights of layers that its configuration leaves out",
    ),
    "an unknown problem": (
        lambda f: change(f, "config.json", problem_type="ranking"),
        "has 'ranking' as problem_type: wanted single_label_classification, multi_label_classification or regression",
    ),
    "no architectures": (
        lambda f: change(f, "config.json", architectures=True),
        r"config\.json has True as architectures: wanted a list of names",
    ),
    "a detector": (
        lambda f: change(f, "config.json", architectures=["ViTForMaskedImageModeling"]),
        "is a ViTForMaskedImageModeling, which gives no classes",
    ),
    "two numbers": (lambda f: change(f, "config.json", problem_type="regression"), r"gives 3 numbers .*regression"),
    "of timm": (
        lambda f: (f / "config.json").write_text('{"architecture": "vit_tiny_patch16_224"}'),
        "is a model of timm: give it as timm:local-dir:",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_opened_is_said_in_one_line(vit, tmp_path, name):
    import shutil

    folder = save_processor(shutil.copytree(vit, tmp_path / "m"), SIDE)
    (folder / "code.py").write_text("raise SystemExit('run')")
    spoil, message = WRONG[name]
    spoil(folder)
    with pytest.raises(JumokError, match=message) as error:
        open_model(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_an_image_of_a_shape_that_the_model_does_not_read_is_refused(vit, tmp_path):
    """A processor that only brings the shortest edge to the model's size."""
    import shutil

    folder = save_processor(shutil.copytree(vit, tmp_path / "m"), SIDE, **PROCESSORS["shortest edge and crop"])
    change(folder, "preprocessor_config.json", size={"shortest_edge": SIDE}, do_center_crop=False)
    opened = open_model(f"hf:{folder}")
    assert opened.predict([as_tensor(photograph(40, 40))]).shape == (1, 3)
    with pytest.raises(JumokError, match=r"brings to 32 x 48 pixels .*: the two contradict each other"):
        opened.predict([as_tensor(photograph(40, 60))])


def test_a_model_of_six_bands_is_refused_by_name(tmp_path):
    folder = save_processor(save_vit(tmp_path / "m", num_channels=6), SIDE)
    with pytest.raises(JumokError, match="reads images of 6 channels: wanted 3"):
        open_model(f"hf:{folder}")


def test_a_family_without_classifiers_is_refused_by_name(tmp_path):
    config = transformers.SamVisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(JumokError, match="transformers has no image classifier of the family sam"):
        open_model(f"hf:{tmp_path}")
    transformers.LlavaConfig().save_pretrained(tmp_path)
    with pytest.raises(JumokError, match=r"answers questions about images: jumok ask PHOTO .* --model hf:"):
        open_model(f"hf:{tmp_path}")


def test_a_folder_of_transformers_given_as_one_of_timm_is_recognised(vit):
    with pytest.raises(JumokError, match="is a model of transformers: give it as hf:"):
        open_model(f"timm:local-dir:{vit}")


@pytest.mark.parametrize(
    ("names", "problem", "said"),
    [
        ("ab", "multi_label_classification", ["answers: 2 labels: a, b"]),
        (["LABEL_0"], "regression", ["answers: a number"]),
        (["LABEL_0", "LABEL_1"], None, ["answers: 2 classes: LABEL_0, LABEL_1", "remark: its configuration does not"]),
    ],
)
def test_what_a_model_answers_is_said_once(names, problem, said, tmp_path):
    options = {
        **SMALL,
        "image_size": SIDE,
        "patch_size": 8,
        "id2label": dict(enumerate(names)),
        "problem_type": problem,
    }
    transformers.ViTForImageClassification(transformers.ViTConfig(**options)).save_pretrained(tmp_path)
    lines = list(describe(f"hf:{save_processor(tmp_path, SIDE)}", Session(device_wanted="cpu")).lines())[4:-1]
    assert len(lines) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(lines, said, strict=True))
