from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import jumok
from jumok.attention import AttentionMap, One, Patches
from jumok.errors import JumokError
from jumok.measures.fillings import find_fillings
from jumok.measures.image_units import ImageUnits, average_on_grid

GRID = (4, 4)


class TwoPatches(nn.Module):
    """A classifier that looks at the first two patches only."""

    def forward(self, pixels):
        evidence = 4 * pixels[:, :, :2, :4].mean((1, 2, 3))
        return torch.stack([evidence, -evidence], 1)


def images(count=24, side=8):
    """Noise, and smooth evidence for one of the classes where `TwoPatches` looks: no edge, and not in the middle."""
    pixels = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels[::2, :, :2, :4], pixels[1::2, :, :2, :4] = 1, -1
    return pixels


def true_maps(count=24):
    maps = torch.zeros(count, *GRID)
    maps[:, 0, :2] = 1
    return maps


def test_the_patches_that_a_model_uses_are_faithful_and_their_reverse_is_not():
    report = jumok.faithfulness(
        TwoPatches(),
        images(),
        {"true": true_maps(), "reverse": -true_maps(), "noise": torch.rand(24, *GRID)},
        fillings=("zeros", "mean"),
        mean=torch.full((3,), 0.1),
    )
    assert report.best() == report.ranking()[0] == "true"
    assert report.is_faithful("true"), report.verdicts()
    assert "worse than" in report.verdict("reverse")
    assert [each.method for each in report.baselines] == ["random", "centre", "edges"]


def test_arrays_are_taken_as_tensors_are():
    tensors = jumok.faithfulness(
        TwoPatches(), images(), {"true": true_maps()}, targets=torch.zeros(24, dtype=torch.long)
    )
    arrays = jumok.faithfulness(TwoPatches(), images().numpy(), {"true": list(true_maps().numpy())}, targets=[0] * 24)
    assert arrays == tensors


@pytest.mark.parametrize("form", ["a tensor", "a map of a batch", "one image"])
def test_the_maps_of_one_method_need_no_name(form):
    count = 1 if form == "one image" else 24
    maps = true_maps(count)
    rows = AttentionMap(maps.flatten(1)[:, None], One("cls"), Patches(*GRID), ("batch",))
    given = {"a tensor": maps, "a map of a batch": rows, "one image": rows.at(batch=0)}[form]
    alone = jumok.faithfulness(TwoPatches(), images(count), given)
    assert alone == jumok.faithfulness(TwoPatches(), images(count), {"map": maps}, grid=GRID)


def test_another_classs_maps_may_be_a_baseline():
    report = jumok.faithfulness(
        TwoPatches(), images(), {"true": true_maps()}, baselines={"other class": -true_maps()}, fillings=["zeros"]
    )
    assert report.baselines[-1].method == "other class"


def test_maps_of_any_resolution_measure_the_same():
    fine = true_maps().repeat_interleave(2, 1).repeat_interleave(2, 2)
    attention = [
        AttentionMap(torch.cat([torch.ones(1), each.flatten()])[None], One("cls"), Patches(*GRID, special=("cls",)))
        for each in true_maps()
    ]
    report = jumok.faithfulness(
        TwoPatches(), images(), {"grid": true_maps(), "pixels": fine, "attention": attention}, fillings=["zeros"]
    )
    cells = {row[1:] for row in report.rows()[:3]}
    assert len(cells) <= 3
    gains = [each.scores["srg, zeros"].value for each in report.methods]
    assert max(gains) - min(gains) < 0.05  # ties are broken at random


def test_outputs_may_be_objects_and_targets_given():
    model = TwoPatches()
    pixels, maps = images(), {"true": true_maps()}
    targets = model(pixels).argmax(1)
    wanted = jumok.faithfulness(model, pixels, maps).to_dict()
    assert jumok.faithfulness(lambda x: SimpleNamespace(logits=model(x)), pixels, maps).to_dict() == wanted
    assert jumok.faithfulness(model, pixels, maps, targets=targets).to_dict() == wanted


def test_a_module_is_evaluated_and_put_back_as_it_was():
    model = nn.Sequential(nn.Dropout(0.5), TwoPatches())
    model[1].eval()
    first = jumok.faithfulness(model, images(), {"true": true_maps()}).to_dict()
    assert first == jumok.faithfulness(model, images(), {"true": true_maps()}).to_dict()
    assert model.training
    assert model[0].training
    assert not model[1].training


def test_colourless_images_have_edges_too():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert jumok.faithfulness(model, images()[:, :1], {"true": true_maps()}).inputs == 24


def linear(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, outputs))


def nan(pixels):
    return pixels.mean((2, 3)) / 0 * 0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (linear(1), "one output per input"),
        (nan, "NaN"),
        (lambda pixels: pixels.mean(), "wanted logits of shape"),
        (lambda pixels: "cat", "got str"),
    ],
)
def test_models_that_are_no_classifiers_are_refused(model, said):
    with pytest.raises(JumokError, match=said):
        jumok.faithfulness(model, images(), {"true": true_maps()})


@pytest.mark.parametrize(
    ("maps", "options", "said"),
    [
        ({}, {}, "at least one method"),
        (None, {}, "maps of map are NoneType .*: wanted a map for each image"),
        ([["left"]] * 24, {}, "maps of map are list .*: wanted a map for each image"),
        ({"a": true_maps(3)}, {}, "got 3 maps of a for 24 images"),
        ({"a": torch.rand(24, 4, 6)}, {}, "wanted the same aspect"),
        ({"a": torch.rand(24, 16)}, {}, "wanted \\(height, width\\) for each image$"),
        ({"a": torch.rand(24, 3, 8, 8)}, {}, "for each image, so sum over the channels first$"),
        ({"a": true_maps()}, {"targets": torch.full((24,), 7)}, "no class 7: the model has 2, counted from 0"),
        ({"a": true_maps()}, {"targets": torch.zeros(3, dtype=torch.long)}, "shape \\(3,\\) .* for 24 images"),
        ({"a": true_maps()}, {"targets": torch.rand(24)}, "type torch.float32 for 24 images"),
        ({"a": torch.zeros(24, 4, 4)}, {}, "all maps are constant"),
        ({"a": torch.full((24, 4, 4), torch.nan)}, {}, "NaN"),
        ({"a": true_maps()}, {"fillings": ["blurr"]}, "did you mean 'blur'"),
        ({"a": true_maps()}, {"fillings": "blur"}, "a sequence of names"),
        ({"a": true_maps()}, {"grid": (14, 14)}, "does not hold 14 x 14 patches"),
    ],
)
def test_wrong_maps_and_options_are_refused(maps, options, said):
    with pytest.raises(JumokError, match=said):
        jumok.faithfulness(TwoPatches(), images(), maps, **options)


def test_wrong_inputs_are_refused():
    for wrong in (images()[0], images()[:0], images() * torch.nan):
        with pytest.raises(JumokError, match="inputs"):
            jumok.faithfulness(TwoPatches(), wrong, {"true": true_maps(len(wrong))})


@pytest.mark.parametrize(
    ("maps", "grid"),
    [
        ({"a": torch.rand(1, 16, 16), "b": torch.rand(1, 7, 7)}, (7, 7)),
        ({"a": [AttentionMap(torch.rand(1, 256), One("cls"), Patches(16, 16))]}, (16, 16)),
        ({"a": torch.rand(1, 224, 224)}, (14, 14)),
        ({"a": torch.rand(1, 112, 112)}, (14, 14)),
        ({"a": [AttentionMap(torch.rand(1, 2560), One("cls"), Patches(256, 10))]}, (14, 14)),
    ],
)
def test_the_units_are_the_coarsest_patches_among_the_maps(maps, grid):
    from jumok.measures.faithfulness import _choose_grid

    assert _choose_grid({name: list(given) for name, given in maps.items()}, torch.zeros(1, 3, 224, 224)) == grid


# -- the grid -------------------------------------------------------------------------------------


def test_a_map_is_averaged_by_area():
    assert average_on_grid(torch.tensor([[1.0, 2.0, 3.0]]), (1, 2)).tolist() == pytest.approx([4 / 3, 8 / 3])
    fine = torch.rand(12, 20)
    wanted = fine.reshape(3, 4, 5, 4).mean((1, 3)).flatten()
    assert average_on_grid(fine, (3, 5)).tolist() == pytest.approx(wanted.tolist())
    coarse = torch.rand(2, 2)
    assert torch.allclose(average_on_grid(coarse, (4, 4)).reshape(4, 4)[::2, ::2].float(), coarse)


def test_the_answer_is_the_probability_of_the_class_without_some_patches():
    model = TwoPatches()
    pixels = images(1)[0]
    units = ImageUnits(model, grid=GRID, fillings=["zeros"])
    kept = torch.rand(5, 16, generator=torch.Generator().manual_seed(0)) < 0.5
    found = units.answers(pixels, target=1)["zeros"](kept)
    for row, value in zip(kept, found, strict=True):
        image = pixels.clone()
        for number in (~row).nonzero().flatten().tolist():
            top, left = 2 * (number // 4), 2 * (number % 4)
            image[:, top : top + 2, left : left + 2] = 0
        assert float(model(image[None]).softmax(1)[0, 1]) == pytest.approx(float(value), abs=1e-6)


# -- fillings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mean", "blur", "noisy-linear", "zeros"])
def test_fillings_keep_what_is_kept(name):
    pixels = images(1, 12)[0]
    kept = torch.rand(3, 12, 12) < 0.5
    kept[1], kept[2] = True, False
    filled = find_fillings([name])[name](pixels, kept)
    assert filled.shape == (3, 3, 12, 12)
    assert filled.isfinite().all()
    assert torch.equal(filled[1], pixels)
    for image, mask in zip(filled, kept, strict=True):
        assert torch.equal(image[:, mask], pixels[:, mask])
        assert not mask.any() or mask.all() or not torch.equal(image, pixels)


def test_the_mean_may_be_the_datas():
    mean = torch.tensor([1.0, 2.0, 3.0])
    filled = find_fillings(["mean"], mean=mean)["mean"](images(1)[0], torch.zeros(1, 8, 8, dtype=torch.bool))
    assert torch.equal(filled[0, :, 0, 0], mean)


def test_noisy_linear_solves_for_the_mean_of_the_neighbours():
    from jumok.measures.fillings import fill_noisy_linear

    pixels = images(1, 10)[0].double()
    kept = torch.ones(1, 10, 10, dtype=torch.bool)
    kept[0, 3:7, 0:5] = False
    filled = fill_noisy_linear(pixels, kept, noise=0)[0]
    for row, column in (~kept[0]).nonzero().tolist():
        total, weight = torch.zeros(3, dtype=torch.float64), 0.0
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                y, x = row + down, column + right
                if (down or right) and 0 <= y < 10 and 0 <= x < 10:
                    share = 1 / 12 if down and right else 1 / 6
                    total, weight = total + share * filled[:, y, x], weight + share
        assert filled[:, row, column].tolist() == pytest.approx((total / weight).tolist())


def test_noisy_linear_follows_a_slope():
    slope = torch.arange(12.0).expand(3, 12, 12)
    kept = torch.ones(1, 12, 12, dtype=torch.bool)
    kept[0, 4:8, 4:8] = False
    filled = find_fillings(["noisy-linear"])["noisy-linear"](slope, kept)
    assert (filled[0] - slope).abs().max() < 0.06  # the noise


def test_the_most_probable_class_is_known_of_what_was_asked():
    units = ImageUnits(TwoPatches(), grid=GRID, fillings=("zeros",))
    answer = units.answers(images(1)[0])["zeros"]
    assert answer.target == 0
    kept = torch.tensor([[True] * 16, [False] * 16])
    found = answer(kept)
    best = answer.best(kept)
    assert best[0] == (0, pytest.approx(float(found[0])))
    assert best[1][1] == pytest.approx(0.5)
    with pytest.raises(KeyError):
        answer.best(torch.tensor([[True] * 15 + [False]]))


def test_the_filled_image_is_given_where_it_does_not_depend_on_what_is_kept():
    units = ImageUnits(TwoPatches(), grid=GRID, fillings=("zeros", "mean", "noisy-linear"), mean=torch.full((3,), 0.5))
    filled = units.fill(images(1)[0])
    assert not filled["zeros"].any()
    assert bool((filled["mean"] == 0.5).all())
    assert filled["noisy-linear"] is None


def test_a_processor_is_given_few_large_images_at_once(monkeypatch):
    given = []

    def forward(pixels):
        given.append(len(pixels))
        return pixels.mean(3)[:, 0, :4]

    pixels, kept = torch.rand(3, 8, 8), torch.rand(10, 16) > 0.5
    units = ImageUnits(forward, grid=(4, 4), fillings=["mean"])
    whole = units.answers(pixels, target=1)["mean"]
    together = whole(kept)
    given.clear()
    monkeypatch.setattr("jumok.measures.image_units.CPU_VALUES", 4 * pixels.numel() - 1)
    parts = units.answers(pixels, target=1)["mean"]
    torch.testing.assert_close(parts(kept), together)
    assert given == [3, 3, 3, 1]
    assert [best for best, _ in parts.best(kept)] == [best for best, _ in whole.best(kept)]
    monkeypatch.setattr("jumok.measures.image_units.CPU_VALUES", 1)
    torch.testing.assert_close(parts(kept), together)
