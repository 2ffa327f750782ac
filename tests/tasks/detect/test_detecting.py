"""Boxes are those of the detector's own post-processing, and each has the attention of the query that gave it."""

import json

import numpy as np
import pytest
import torch
from detectors import KINDS, QUERIES, make_detector, save_detector
from PIL import Image

from jumok.attention import Patches
from jumok.errors import JumokError
from jumok.tasks.detect.detecting import ENOUGH, FEWEST, detect
from jumok.tasks.detect.opening import LISTS, open_detector
from jumok.tasks.model_types import is_listed

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def image():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 144), np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_detector(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def prepare(detector, image):
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    given = detector.processor(images=picture, return_tensors="pt")
    return {key: given[key] for key in ("pixel_values", "pixel_mask") if key in given}


@torch.no_grad()
def run_eager(folder, given):
    """What `transformers` gives without fused kernels: its outputs, and the last layer's attention to the image."""
    model = transformers.AutoModelForObjectDetection.from_pretrained(folder, attn_implementation="eager").eval()
    keys = given if model.config.model_type != "yolos" else {"pixel_values": given["pixel_values"]}
    found = model(**keys, output_attentions=True)
    if model.config.model_type == "yolos":
        return found, found.attentions[-1][0].mean(0)[-QUERIES:, 1:-QUERIES]
    return found, found.cross_attentions[-1][0].mean(0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_map_is_the_attention_of_its_query(folders, image, kind):
    detector = open_detector(f"hf:{folders[kind]}")
    given = prepare(detector, image)
    _, wanted = run_eager(folders[kind], given)
    found = detect(detector, image)
    assert len({one.query for one in found}) == len(found) >= FEWEST
    for one in found:
        keys = one.heat.keys
        assert isinstance(keys, Patches)
        stride = 16 if kind == "Yolos" else 8
        assert (keys.rows, keys.columns) == tuple(-(-side // stride) for side in given["pixel_values"].shape[2:])
        torch.testing.assert_close(one.heat.weights[0, len(keys.special) :], wanted[one.query], atol=1e-5, rtol=0)
        assert one.heat.weights.sum() == pytest.approx(1, abs=1e-5)  # what lies on other tokens is kept
    assert (wanted[found[0].query] - wanted[found[-1].query]).abs().max() > 1e-3  # else any query's map would do


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_and_scores_are_those_of_the_processor(folders, image, kind):
    detector = open_detector(f"hf:{folders[kind]}")
    outputs, _ = run_eager(folders[kind], prepare(detector, image))
    sizes = torch.tensor([image.shape[1:]])
    (wanted,) = detector.processor.post_process_object_detection(outputs, threshold=-1.0, target_sizes=sizes)
    known = [
        (round(float(score), 4), int(label), [round(edge) for edge in box.tolist()])
        for score, label, box in zip(*(wanted[key] for key in ("scores", "labels", "boxes")), strict=True)
    ]
    found = detect(detector, image)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        top, left, bottom, right = one.box
        same = [box for score, label, box in known if abs(score - one.score) < 2e-4 and label == one.label]
        assert any(np.allclose(box, [left, top, right, bottom], atol=0.6) for box in same)


def test_a_layer_and_a_head_can_be_chosen(folders, image):
    detector = open_detector(f"hf:{folders['Detr']}")
    found = detect(detector, image, layer=0, head=3)[0]
    model = transformers.AutoModelForObjectDetection.from_pretrained(folders["Detr"], attn_implementation="eager")
    with torch.no_grad():
        wanted = model.eval()(**prepare(detector, image), output_attentions=True).cross_attentions[0][0, 3, found.query]
    torch.testing.assert_close(found.heat.weights[0], wanted, atol=1e-5, rtol=0)
    with pytest.raises(JumokError, match=r"has no layer 2: its 2 count from 0"):
        detect(detector, image, layer=2)
    with pytest.raises(JumokError, match=r"no head 4: the 4 of model.decoder"):
        detect(detector, image, head=4)


def test_the_few_best_stand_where_no_score_is_enough(tmp_path, image):
    model = make_detector("Detr")
    with torch.no_grad():
        model.class_labels_classifier.bias[-1] += 20
    found = detect(open_detector(f"hf:{save_detector(tmp_path, model=model)}"), image)
    assert len(found) == FEWEST
    assert found[0].score < ENOUGH


def look_at_bright_places(model):
    """Let every query look at what is bright: keys and queries of one number, the sum of the features."""
    cross = model.model.decoder.layers[-1].encoder_attn
    with torch.no_grad():
        for projection in (cross.q_proj, cross.k_proj):
            projection.weight.zero_()
        cross.q_proj.bias.fill_(1.0)
    return cross


@pytest.mark.parametrize("margins", [False, True])
def test_a_planted_place_is_where_the_map_is_strongest(tmp_path, margins):
    model = make_detector("Detr", encoder_layers=0)
    cross = look_at_bright_places(model)
    settings = {"pad_size": {"height": 128, "width": 160}} if margins else {}
    detector = open_detector(f"hf:{save_detector(tmp_path, model=model, **settings)}")
    plain = torch.full((3, 64, 96), 90, dtype=torch.uint8)
    planted = plain.clone()
    planted[:, 40:56, 64:80] = 255
    with torch.no_grad():
        maps = [features(detector, image) for image in (plain, planted)]
        change = (maps[1] - maps[0]).abs().mean((1, 2))
        axis = change.argmax()  # the feature that tells the planted place best
        sign = (maps[1] - maps[0])[axis].sum().sign()
        for part in (detector.network, model):
            weight = part.model.decoder.layers[-1].encoder_attn.k_proj.weight
            weight[:, axis] = 30 * sign
    heat = detect(detector, planted)[0].heat
    laid = heat.image(64, 96)[0]
    peak = torch.stack(torch.where(laid == laid.max())).double().mean(1)
    assert (peak - torch.tensor([48.0, 72.0])).abs().max() <= 12
    assert cross is not None
    if margins:
        assert heat.keys.frame == pytest.approx((0, 0, 2, 160 / 96), abs=0.01)


@torch.no_grad()
def features(detector, image):
    """(features, rows, columns) that the encoder gives the decoder."""
    given = prepare(detector, image)
    kept = detector.network.model(**given).encoder_last_hidden_state[0]
    stride = given["pixel_values"].shape[2] // 8, given["pixel_values"].shape[3] // 8
    return kept.T.reshape(-1, *stride)


def test_padded_images_have_their_boxes_in_the_image(tmp_path, image):
    folder = save_detector(tmp_path, pad_size={"height": 160, "width": 160})
    detector = open_detector(f"hf:{folder}")
    given = prepare(detector, image)
    assert given["pixel_values"].shape[2:] == (160, 160)
    outputs, wanted = run_eager(folder, given)
    found = detect(detector, image)[0]
    x, y, wide, tall = outputs.pred_boxes[0, found.query].tolist()
    assert found.box == pytest.approx(
        ((y - tall / 2) * 90, (x - wide / 2) * 144, (y + tall / 2) * 90, (x + wide / 2) * 144), abs=0.1
    )
    torch.testing.assert_close(found.heat.weights[0], wanted[found.query], atol=1e-5, rtol=0)
    assert found.heat.image(90, 144)[0].min() > 0  # no margin lies over the image


def change(folder, name, **values):
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**settings, **values}))


def drop_head(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "class_labels_classifier" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


WRONG = {
    "no processor": (lambda f: (f / "preprocessor_config.json").unlink(), r"has no preprocessor_config\.json"),
    "a segmenter": (
        lambda f: change(f, "config.json", architectures=["DetrForSegmentation"]),
        "is a DetrForSegmentation, which gives no boxes with classes: wanted an object detector",
    ),
    "no head": (drop_head, "lacks the weights class_labels_classifier.*its boxes would be random"),
    "code": (
        lambda f: change(f, "config.json", auto_map={"AutoModel": "code.Mine"}),
        "asks for code from a repository",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
    "another family": (
        lambda f: (f / "config.json").write_text(
            json.dumps({"model_type": "lw_detr", "architectures": ["LwDetrForObjectDetection"]})
        ),
        r"is a LwDetrForObjectDetection, a family of detectors \(lw_detr\) .*wanted one of detr",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, folders, name):
    import shutil

    folder = shutil.copytree(folders["Detr"], tmp_path / "m")
    spoil, message = WRONG[name]
    spoil(folder)
    with pytest.raises(JumokError, match=message) as error:
        open_detector(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_detectors_are_told_from_others(folders, tmp_path):
    assert is_listed(f"hf:{folders['Yolos']}", *LISTS)
    assert not is_listed(str(folders["Yolos"]), *LISTS)
    with pytest.raises(JumokError, match=r"has no config\.json"):
        is_listed(f"hf:{tmp_path}", *LISTS)
    transformers.ViTConfig().save_pretrained(tmp_path)
    assert not is_listed(f"hf:{tmp_path}", *LISTS)


def test_a_backbone_of_timm_asks_for_timm(tmp_path, folders, monkeypatch):
    import shutil
    import sys

    folder = shutil.copytree(folders["Detr"], tmp_path / "m")
    change(folder, "config.json", use_timm_backbone=True, backbone="resnet18", backbone_config=None)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="timm"):
        open_detector(f"hf:{folder}")
