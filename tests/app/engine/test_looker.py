"""`jumok.Looker`: the same rows as `look`, whatever an image is handed in as and whatever lies beside it."""

import pickle

import numpy as np
import pytest
import torch
from engine_models import make_pixels, to_png
from PIL import Image
from pretrained_models import make_hf, save_hf, save_processor

import jumok
from jumok.app.engine import opened as opening
from jumok.app.engine.looker import Looker
from jumok.data.images.reading import read_image
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.looking import LookOptions, look

PIXELS = make_pixels(5)
PNGS = [to_png(pixels) for pixels in PIXELS]


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_rows_are_those_of_look(vit):
    found = jumok.Looker(vit, method="chefer", batch_size=5, device="cpu")({"image": PNGS})
    model = open_model(vit)
    wanted = look(model, [read_image(png) for png in PNGS], LookOptions(("chefer",), 1, empty=True))
    assert list(found["prediction"]) == [model.classes[each.predicted] for each in wanted]
    np.testing.assert_array_equal(found["probabilities"], torch.stack([each.probabilities for each in wanted]))
    weights = torch.cat([each.heats["chefer"].weights for each in wanted])
    np.testing.assert_array_equal(found["map"], weights.half())
    assert found["map"].dtype == np.float16
    assert set(found["method"]) == {wanted[0].heats["chefer"].source}
    assert not any(found["error"])


def test_files_paths_arrays_tensors_and_pillow_images_are_the_same(vit, tmp_path):
    looker = Looker(vit, device="cpu")
    wanted = looker({"image": PNGS})
    for number, png in enumerate(PNGS):
        (tmp_path / f"{number}.png").write_bytes(png)
    tensors = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    wrapped = [{"bytes": png, "path": None} for png in PNGS]
    pillow = [Image.fromarray(pixels) for pixels in PIXELS]
    for images in (PIXELS, tensors, wrapped, pillow, [bytearray(png) for png in PNGS]):
        same(looker({"image": images}), wanted)
    paths = [str(tmp_path / f"{number}.png") for number in range(5)]
    found = looker({"path": paths})
    assert found.pop("path") == paths
    same(found, wanted)


@pytest.mark.parametrize("bad", [b"", PNGS[0][:200], b"no image", None, 7, np.zeros((2, 2)), "nowhere.png"])
def test_a_bad_image_costs_its_own_row_alone(vit, bad):
    looker = Looker(vit, device="cpu")
    found = looker({"image": [PNGS[0], bad, PNGS[1]], "label": [4, 5, 6]})
    assert found["label"] == [4, 5, 6]
    assert found["error"][0] == found["error"][2] == ""
    assert len(found["error"][1]) > 20
    assert found["prediction"][1] == found["method"][1] == ""
    assert np.isnan(found["map"][1]).all()
    assert np.isnan(found["probabilities"][1]).all()
    wanted = looker({"image": PNGS[:2]})
    same({name: values[[0, 2]] for name, values in found.items() if name != "label"}, wanted)


def test_an_image_that_the_model_fails_on_costs_its_own_row_alone(vit, monkeypatch):
    opened = Looker(vit, device="cpu")._opened()
    real = opened.model.model.forward

    def fail_on_black(pixel_values, **options):
        if any(float(each.std()) == 0 for each in pixel_values[:, 0]):
            raise RuntimeError("a kernel of elsewhere does not like black")
        return real(pixel_values, **options)

    monkeypatch.setattr(opened.model.model, "forward", fail_on_black)
    found = Looker(vit, device="cpu")({"image": [PIXELS[0], np.zeros_like(PIXELS[0]), PIXELS[1]]})
    assert list(found["error"]) == ["", "a kernel of elsewhere does not like black", ""]


def test_an_image_for_which_memory_runs_out_costs_its_own_row_alone(vit, monkeypatch):
    from jumok.app.engine import looker as module

    real = module.read_image

    def run_out(image, size):
        if image.getextrema()[0] == (0, 0):
            raise MemoryError
        return real(image, size)

    monkeypatch.setattr(module, "read_image", run_out)
    found = Looker(vit, device="cpu")({"image": [PIXELS[0], np.zeros_like(PIXELS[0]), PIXELS[1]]})
    assert [error == "" for error in found["error"]] == [True, False, True]
    assert "MemoryError" in found["error"][1]


def test_a_map_without_evidence_is_an_error_and_the_prediction_stays(vit, monkeypatch):
    looker = Looker(vit, method="chefer", device="cpu")
    real = opening.look_at_prepared

    def empty(*given):
        return [
            result.__class__(
                result.probabilities,
                result.target,
                {
                    name: jumok.AttentionMap(heat.weights * 0, heat.queries, heat.keys, (), heat.scale)
                    for name, heat in result.heats.items()
                },
                [],
            )
            for result in real(*given)
        ]

    looker.about  # noqa: B018 (opens the model)
    monkeypatch.setattr(opening, "look_at_prepared", empty)
    found = looker({"image": PNGS[:1]})
    assert "zero everywhere" in found["error"][0]
    assert found["prediction"][0].startswith("thing")
    assert np.isnan(found["map"]).all()


@pytest.mark.parametrize(("factor", "fits"), [(1e-9, False), (1.0, True), (1e9, False)])
def test_maps_are_float32_where_float16_cannot_hold_them(factor, fits, vit, monkeypatch):
    def scale(real):
        def scaled(*given):
            for result in (found := real(*given)):
                for name, heat in result.heats.items():
                    result.heats[name] = jumok.AttentionMap(
                        heat.weights * factor, heat.queries, heat.keys, (), jumok.Scale.RELEVANCE
                    )
            return found

        return scaled

    opening.open_recipe.cache_clear()
    for name in ("look", "look_at_prepared"):
        monkeypatch.setattr(opening, name, scale(getattr(opening, name)))
    found = Looker(vit, device="cpu")({"image": PNGS})
    assert found["map"].dtype == (np.float16 if fits else np.float32)
    forced = Looker(vit, map_type="float16", device="cpu")({"image": PNGS})
    assert all("float32" in error for error in forced["error"]) if not fits else not any(forced["error"])
    opening.open_recipe.cache_clear()


def test_without_maps_it_is_prediction_alone(vit):
    found = Looker(vit, maps=False, device="cpu")({"image": PNGS})
    assert set(found) == {"prediction", "probability", "probabilities", "error"}
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(
        found["probabilities"], Looker(vit, device="cpu")({"image": PNGS})["probabilities"], atol=1e-6
    )


def test_the_frame_says_which_part_of_an_image_a_map_lies_on(vit, tmp_path):
    make_hf("ViT").save_pretrained(tmp_path)
    save_processor(tmp_path, 16, size={"shortest_edge": 16}, do_center_crop=True, crop_size={"height": 16, "width": 16})
    wide = np.tile(PIXELS[0], (1, 2, 1))
    found = Looker(f"hf:{tmp_path}", device="cpu")({"image": [wide, PIXELS[0]]})
    np.testing.assert_allclose(found["frame"][0], [0, 0.25, 1, 0.75], atol=0.02)
    np.testing.assert_allclose(found["frame"][1], [0, 0, 1, 1], atol=0.02)
    assert not np.array_equal(found["map"][0], found["map"][1])
    np.testing.assert_array_equal(Looker(vit, device="cpu")({"image": [wide]})["frame"], [[0, 0, 1, 1]])


def test_an_image_whose_map_has_other_places_is_named(tmp_path):
    make_hf("ViT").save_pretrained(tmp_path)
    save_processor(tmp_path, 16)
    looker = Looker(f"hf:{tmp_path}", device="cpu")
    opened = looker._opened()
    object.__setattr__(opened.about, "keys", jumok.Patches(2, 2, ("cls",)).to_dict())
    found = looker({"image": PNGS[:1]})
    assert "4 x 4 patches and cls" in found["error"][0]
    assert "not of the same places" in found["error"][0]
    assert found["prediction"][0]
    opening.open_recipe.cache_clear()


def test_a_target_is_explained_in_every_image(vit):
    found = Looker(vit, target="thing 3", method="chefer", device="cpu")({"image": PNGS})
    assert set(found["target"]) == {"thing 3"}
    other = Looker(vit, target="thing 1", method="chefer", device="cpu")({"image": PNGS})
    assert not np.array_equal(found["map"], other["map"])


def test_it_is_pickled_by_recipe_and_opened_once(vit, monkeypatch):
    looker = Looker(vit, method="rollout", device="cpu")
    wanted = looker({"image": PNGS})
    packed = pickle.dumps(looker)
    assert len(packed) < 1000
    opened = []
    monkeypatch.setattr(opening, "open_model", lambda *given: opened.append(given))
    same(pickle.loads(packed)({"image": PNGS}), wanted)
    assert not opened


def test_a_model_that_was_changed_in_its_folder_is_opened_anew_by_a_new_looker_alone(tmp_path):
    folder = save_hf(tmp_path / "model")
    looker = Looker(f"hf:{folder}", device="cpu")
    before = looker({"image": PNGS})
    changed = make_hf("ViT")
    torch.nn.init.normal_(changed.classifier.weight)
    changed.save_pretrained(folder)
    same(looker({"image": PNGS}), before)
    other = Looker(f"hf:{folder}", device="cpu")
    assert not np.array_equal(other({"image": PNGS})["probabilities"], before["probabilities"])
    assert other.fingerprint != looker.fingerprint


def test_batches_of_any_size_go_through_the_model_in_those_asked_for(vit, monkeypatch):
    sizes = []
    real = opening.look_at_prepared
    Looker(vit, device="cpu")({"image": PNGS})
    monkeypatch.setattr(opening, "look_at_prepared", lambda *given: sizes.append(len(given[1])) or real(*given))
    Looker(vit, batch_size=2, device="cpu")({"image": PNGS})
    assert sizes == [2, 2, 1]


def test_an_image_smaller_than_a_patch_is_named(vit):
    found = Looker(vit, device="cpu")({"image": [np.zeros((2, 2, 3), np.uint8)]})
    assert "less than one patch" in found["error"][0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda vit: Looker(vit, method="cheffer"), "did you mean 'chefer'"),
        (lambda vit: Looker(vit, map_type="int8"), "map_type"),
        (lambda vit: Looker(vit, batch_size=0), "at least 1"),
        (lambda vit: Looker(vit, device="cpu")({"label": [1]}), "no column image or bytes or path in a batch of label"),
        (lambda vit: Looker(vit, column="x", device="cpu")({"image": [1]}), "no column x in a batch of image"),
        (lambda vit: Looker(vit, target="dog", device="cpu")({"image": PNGS}), "no class 'dog'"),
        (lambda vit: Looker("nowhere", device="cpu")({"image": PNGS}), "nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(vit, made, said):
    with pytest.raises(JumokError) as caught:
        made(vit)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_places_that_differ_from_image_to_image_are_refused(vit, monkeypatch):
    real = opening.look

    def other_places(model, images, options):
        found = real(model, images, options)
        heat = found[1].heats["chefer"]
        moved = jumok.Tokens(tuple(map(str, range(len(heat.keys)))))
        found[1].heats["chefer"] = jumok.AttentionMap(heat.weights, heat.queries, moved, (), heat.scale)
        return found

    opening.open_recipe.cache_clear()
    monkeypatch.setattr(opening, "look", other_places)
    with pytest.raises(JumokError, match="differ from image to image"):
        Looker(vit, method="chefer", device="cpu")({"image": PNGS})
    opening.open_recipe.cache_clear()
