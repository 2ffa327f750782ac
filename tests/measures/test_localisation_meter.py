from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from drawn_masks import SEEDS, a_mask, fast, tied_heat
from hypothesis import given

from jumok.attention import AttentionMap, One, Patches, Pixels
from jumok.errors import JumokError
from jumok.measures.baselines import centre_heat, random_heat
from jumok.measures.localisation_meter import LocalisationMeter, Scores, compare, score
from jumok.measures.localisation_scores import RANDOM_MAPS_PER_IMAGE
from jumok.measures.report import BASELINES, TITLES


def an_image(random: np.random.Generator, height: int = 16, width: int = 20) -> torch.Tensor:
    return torch.from_numpy(random.integers(0, 256, (3, height, width), dtype=np.uint8))


# -- many images ----------------------------------------------------------------------------------


def a_meter(images: int = 40, seed: int = 0, **options: int) -> LocalisationMeter:
    """A method that finds the mask in noise."""
    random = np.random.default_rng([seed, 1])  # not the numbers that the meter draws
    meter = LocalisationMeter(seed=seed, **options)
    for _ in range(images):
        mask = a_mask(random)
        heat = mask.float() + 0.9 * torch.from_numpy(random.random((16, 20), dtype=np.float32))
        meter.add(an_image(random), mask, {"ours": heat})
    return meter


def test_report_has_the_means_over_images_beside_all_baselines():
    random = np.random.default_rng(0)
    images, masks = [an_image(random) for _ in range(12)], [a_mask(random) for _ in range(12)]
    ours, theirs = [tied_heat(random) for _ in range(12)], [tied_heat(random) for _ in range(12)]
    report = compare(images, masks, {"ours": ours, "theirs": theirs})
    assert [result.method for result in report.methods] == ["ours", "theirs"]
    assert [result.method for result in report.baselines] == ["random", "centre", "edges"]
    assert report.area == pytest.approx(float(np.mean([mask.float().mean() for mask in masks])))
    for result, heats in zip(report.methods, (ours, theirs), strict=True):
        wanted = np.mean([score(heat, mask) for heat, mask in zip(heats, masks, strict=True)], 0)
        for name, value in zip(TITLES, wanted, strict=True):
            found = result.scores[name]
            assert found.value == pytest.approx(value)
            assert found.low <= found.value <= found.high


def test_every_score_has_a_title():
    assert tuple(TITLES) == Scores._fields


def test_random_scores_the_area_within_its_interval():
    report = a_meter(400).report()
    random = report.baselines[0].scores
    assert random["energy_inside"].low <= report.area <= random["energy_inside"].high
    assert random["pointing"].low <= report.area <= random["pointing"].high
    assert report.chance == {"pointing": report.area, "energy_inside": report.area, "auprc": report.area}
    assert report.area < random["auprc"].value < 2.5 * report.area, "blobs as large as the masks are lucky at times"


@pytest.mark.parametrize(("height", "width"), [(56, 70), (16, 20), (5, 9)])
def test_random_scores_are_the_mean_of_many_random_maps(height, width):
    random = np.random.default_rng(8)
    image, mask = an_image(random, height, width), a_mask(random, height, width)
    found = LocalisationMeter(seed=5, tolerance=1).add(image, mask, {"ours": torch.rand(height, width)})
    assert found is not None
    draws = np.random.default_rng(5)
    maps = [random_heat(height, width, draws) for _ in range(RANDOM_MAPS_PER_IMAGE)]
    assert found["random"] == pytest.approx(np.mean([score(heat, mask, tolerance=1) for heat in maps], 0), abs=1e-6)


def test_chance_of_pointing_grows_with_the_tolerance_and_random_still_scores_it():
    report = a_meter(400, tolerance=3).report()
    assert report.chance["pointing"] > 2 * report.area == 2 * report.chance["auprc"]
    random = report.baselines[0].scores["pointing"]
    assert random.low <= report.chance["pointing"] <= random.high


def test_a_method_that_finds_the_mask_is_better_than_every_baseline():
    report = a_meter().report()
    assert {gain.baseline for gain in report.differences} == set(BASELINES)
    for gain in report.differences:
        assert gain.method == "ours"
        assert all(interval.low > 0 for interval in gain.scores.values())


def test_differences_are_those_of_the_means():
    report = a_meter().report()
    baselines = {result.method: result for result in report.baselines}
    for gain in report.differences:
        for name, interval in gain.scores.items():
            wanted = report.methods[0].scores[name].value - baselines[gain.baseline].scores[name].value
            assert interval.value == pytest.approx(wanted)


def test_a_copy_of_a_baseline_gains_nothing_on_it():
    random = np.random.default_rng(3)
    meter = LocalisationMeter()
    for _ in range(10):
        meter.add(an_image(random), a_mask(random), {"copy": centre_heat(16, 20)})
    gain = next(gain for gain in meter.report().differences if gain.baseline == "centre")
    assert {(interval.value, interval.low, interval.high) for interval in gain.scores.values()} == {(0, 0, 0)}


def test_same_images_and_seed_give_the_same_report():
    assert a_meter(seed=4).report().to_dict() == a_meter(seed=4).report().to_dict()


def test_images_with_nothing_or_everything_marked_are_left_out_and_counted():
    meter = a_meter(5)
    before = meter.report()
    nothing, everything = torch.zeros(16, 20, dtype=torch.bool), torch.ones(16, 20, dtype=torch.bool)
    image = torch.zeros(3, 16, 20, dtype=torch.uint8)
    flat = {"ours": torch.ones(16, 20)}
    assert meter.add(image, nothing, flat) is None
    assert meter.add(image, None, {}) is None
    assert meter.add(image, everything, flat) is None
    after = meter.report()
    assert (after.images, after.empty, after.full) == (5, 2, 1)
    assert after.methods == before.methods
    assert "2 without a mask left out; 1 fully masked left out" in after.summary()


def test_add_gives_back_the_scores_of_the_image():
    random = np.random.default_rng(0)
    mask, heat = a_mask(random), tied_heat(random)
    found = LocalisationMeter().add(an_image(random), mask, {"ours": heat})
    assert found is not None
    assert list(found) == ["ours", "random", "centre", "edges"]
    assert found["ours"] == score(heat, mask)


def test_random_baseline_is_as_coarse_as_the_coarsest_map():
    random = np.random.default_rng(0)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[4:24, 4:24] = True
    coarse = AttentionMap(torch.rand(1, 4), One("cls"), Patches(2, 2))
    fine = AttentionMap(torch.rand(1, 64 * 64), One("cls"), Pixels(64, 64))

    def spread(heats):
        meter = LocalisationMeter()
        found = [meter.add(an_image(random, 64, 64), mask, heats) for _ in range(60)]
        return np.std([scores["random"].energy_inside for scores in found])

    assert spread({"coarse": coarse, "fine": fine}) > 2 * spread({"fine": fine})


@pytest.mark.parametrize("shade", [0, 200])
def test_an_image_without_edges_scores_the_area_as_a_flat_map_should(shade):
    mask = a_mask(np.random.default_rng(0))
    image = torch.full((3, 16, 20), shade, dtype=torch.uint8)
    scores = LocalisationMeter().add(image, mask, {"ours": torch.rand(16, 20)})
    assert scores is not None
    area = float(mask.float().mean())
    assert scores["edges"] == pytest.approx(Scores(area, area, area, 0, area))


@pytest.mark.parametrize(
    ("image", "heats", "message"),
    [
        (
            torch.zeros(3, 16, 20, dtype=torch.uint8),
            {"ours": torch.ones(16, 20)},
            "scratch/1.png: the map of ours: all",
        ),
        (
            torch.zeros(3, 16, 20, dtype=torch.uint8),
            {"ours": torch.rand(20, 16)},
            "scratch/1.png: the map of ours: got",
        ),
        (
            torch.zeros(3, 16, 21, dtype=torch.uint8),
            {"ours": torch.rand(16, 20)},
            "16 x 21 pixels has a mask of 16 x 20",
        ),
        (torch.zeros(3, 16, 20), {"ours": torch.rand(16, 20)}, "uint8 image"),
        (torch.zeros(3, 16, 20, dtype=torch.uint8), {"other": torch.rand(16, 20)}, "the methods changed"),
        (
            torch.zeros(3, 16, 20, dtype=torch.uint8),
            {"edges": torch.rand(16, 20)},
            "'edges' is the name of a built-in baseline",
        ),
        (torch.zeros(3, 16, 20, dtype=torch.uint8), {}, "no map to measure"),
    ],
)
def test_what_cannot_be_measured_is_an_error_that_names_it_and_adds_nothing(image, heats, message):
    meter, mask = a_meter(3), a_mask(np.random.default_rng(0))
    before = meter.report().to_dict()
    with pytest.raises(JumokError, match=message) as caught:
        meter.add(image, mask, heats, name="scratch/1.png")
    assert str(caught.value).startswith("scratch/1.png: ")
    assert meter.report().to_dict() == before


def test_an_error_leaves_the_later_images_as_they_would_have_been():
    random = np.random.default_rng(0)
    image, mask, heat = an_image(random), a_mask(random), tied_heat(random)
    plain, disturbed = LocalisationMeter(), LocalisationMeter()
    with pytest.raises(JumokError):
        disturbed.add(image, mask, {"ours": torch.ones(16, 20)})
    assert plain.add(image, mask, {"ours": heat}) == disturbed.add(image, mask, {"ours": heat})


def test_nothing_to_measure_is_an_error_that_says_why():
    meter = LocalisationMeter()
    meter.add(torch.zeros(3, 4, 4, dtype=torch.uint8), None, {})
    with pytest.raises(JumokError, match="no image to measure: of 1, 1 have an empty mask or none"):
        meter.report()


def test_compare_wants_a_map_for_every_image():
    random = np.random.default_rng(0)
    with pytest.raises(JumokError, match="2 images and 1 of ours"):
        compare([an_image(random)] * 2, [a_mask(random)] * 2, {"ours": [tied_heat(random)]})


def test_a_single_image_has_the_widest_interval_not_the_narrowest():
    random = np.random.default_rng(0)
    report = compare([an_image(random)], [a_mask(random)], {"ours": [tied_heat(random)]})
    for interval in report.methods[0].scores.values():
        assert (interval.low, interval.high) == (0, 1)


# -- further baselines ------------------------------------------------------------------------------


def with_blind(images: int = 30, **options: bool) -> LocalisationMeter:
    """A method that finds the mask, and a baseline that always finds where the mask was in the image before."""
    random = np.random.default_rng(0)
    meter, before = LocalisationMeter(**options), a_mask(random)
    for _ in range(images):
        mask = a_mask(random)
        noise = torch.from_numpy(random.random((16, 20), dtype=np.float32))
        heats = {name: marked.float() + 0.5 * noise for name, marked in (("ours", mask), ("blind", before))}
        meter.add(an_image(random), mask, {"ours": heats["ours"]}, baselines={"blind": heats["blind"]})
        before = mask
    return meter


def test_further_baselines_stand_behind_the_usual_ones_with_their_differences():
    report = with_blind().report()
    assert [result.method for result in report.methods] == ["ours"]
    assert [result.method for result in report.baselines] == ["random", "centre", "edges", "blind"]
    gains = {gain.baseline: gain for gain in report.differences}
    assert list(gains) == ["random", "centre", "edges", "blind"]
    assert gains["blind"].method == "ours"
    for name, interval in gains["blind"].scores.items():
        wanted = report.methods[0].scores[name].value - report.baselines[-1].scores[name].value
        assert interval.value == pytest.approx(wanted)
        assert interval.low > 0
    assert [row[0] for row in report.rows()] == ["ours", "random", "centre", "edges", "blind"]
    assert list(report.to_dict()["baselines"]) == ["random", "centre", "edges", "blind"]


def test_a_further_baseline_is_scored_as_a_method_is_and_changes_no_other_score():
    random = np.random.default_rng(1)
    image, mask, ours, blind = an_image(random), a_mask(random), tied_heat(random), tied_heat(random)
    found = LocalisationMeter(seed=3).add(image, mask, {"ours": ours}, baselines={"blind": blind})
    alone = LocalisationMeter(seed=3).add(image, mask, {"ours": ours})
    assert found is not None
    assert list(found) == ["ours", "random", "centre", "edges", "blind"]
    assert found.pop("blind") == score(blind, mask)
    assert found == alone


def test_compare_takes_further_baselines_too():
    random = np.random.default_rng(0)
    images, masks = [an_image(random) for _ in range(3)], [a_mask(random) for _ in range(3)]
    heats = [tied_heat(random) for _ in range(3)]
    report = compare(images, masks, {"ours": heats}, baselines={"blind": heats})
    assert report.baselines[-1].scores["auprc"].value == report.methods[0].scores["auprc"].value
    with pytest.raises(JumokError, match="3 images and 2 of blind"):
        compare(images, masks, {"ours": heats}, baselines={"blind": heats[:2]})


@pytest.mark.parametrize(
    ("methods", "baselines", "message"),
    [
        (("ours",), (), r"baselines changed from \('blind',\) to \(\)"),
        (("ours",), ("blind", "deaf"), "baselines changed"),
        (("ours",), ("centre",), "'centre' is the name of a built-in baseline"),
        (("ours", "blind"), ("blind",), "'blind' is a method and a baseline"),
    ],
)
def test_baselines_keep_their_names(methods, baselines, message):
    meter, random = with_blind(3), np.random.default_rng(0)
    before = meter.report().to_dict()
    every = [{name: tied_heat(random) for name in names} for names in (methods, baselines)]
    with pytest.raises(JumokError, match=message):
        meter.add(an_image(random), a_mask(random), every[0], baselines=every[1])
    assert meter.report().to_dict() == before


def test_a_blank_map_of_a_baseline_is_an_error_or_counts_as_chance():
    random = np.random.default_rng(0)
    given = an_image(random), a_mask(random), {"ours": tied_heat(random)}
    blank = {"blind": torch.zeros(16, 20)}
    with pytest.raises(JumokError, match="the map of blind: all values are equal"):
        LocalisationMeter().add(*given, baselines=blank)
    meter = LocalisationMeter(blank_is_chance=True)
    found = meter.add(*given, baselines=blank)
    assert found is not None
    assert found["blind"].pointing == pytest.approx(float(given[1].float().mean()))
    assert meter.blank == {"blind": 1}


# -- the report -----------------------------------------------------------------------------------


def test_report_goes_through_json_with_every_figure():
    report = a_meter().report(resamples=500, level=0.9)
    values = json.loads(json.dumps(report.to_dict()))
    assert values["bootstrap"] == {"level": 0.9, "resamples": 500, "seed": 0}
    assert list(values["baselines"]) == ["random", "centre", "edges"]
    assert values["methods"]["ours"]["auprc"]["low"] == report.methods[0].scores["auprc"].low
    assert len(values["differences"]) == 3
    assert values["images"] == 40
    assert values["area"] == report.area


def test_rows_are_text_of_the_same_width_as_the_header():
    report = a_meter().report()
    rows = report.rows() + report.difference_rows()
    assert {len(row) for row in rows} == {len(report.header())}
    assert [row[0] for row in rows] == [
        *("ours", "random", "centre", "edges"),
        *("ours - random", "ours - centre", "ours - edges"),
    ]
    first = report.methods[0].scores["pointing"]
    assert rows[0][1] == f"{first.value:.3f} ({first.low:.3f} to {first.high:.3f})"
    assert rows[4][1].startswith("+")


@fast
@given(SEEDS)
def test_no_score_leaves_0_to_1(seed):
    report = a_meter(4, seed=seed).report(resamples=50)
    for result in (*report.methods, *report.baselines):
        for interval in result.scores.values():
            assert 0 <= interval.low <= interval.value + 1e-12
            assert interval.value - 1e-12 <= interval.high <= 1 + 1e-12


def test_a_blank_map_is_an_error_or_counts_as_chance_and_is_counted():
    image, mask = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.bool)
    image[:, 2:5, 2:5], mask[1:3, 1:5] = 200, True
    blank = {"cam": torch.zeros(8, 8)}
    with pytest.raises(JumokError, match="all values are equal"):
        LocalisationMeter().add(image, mask, blank)
    meter = LocalisationMeter(blank_is_chance=True)
    found = meter.add(image, mask, blank)["cam"]
    area = 8 / 64
    assert (found.pointing, found.energy_inside, found.auprc) == pytest.approx((area, area, area))
    assert found.iou_best == pytest.approx(area)
    assert found.iou_mean == 0
    assert meter.blank == {"cam": 1}


def test_what_hangs_together_counts_once():
    """Three maps of one image and one of another: the image's mean, and an interval over two images."""
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    right, wrong = torch.zeros(4, 4), torch.zeros(4, 4)
    right[0, 0] = wrong[3, 3] = 1.0
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    meter, alone = LocalisationMeter(), LocalisationMeter()
    for heat, group in ((right, "a"), (right, "a"), (wrong, "a"), (wrong, "b")):
        meter.add(image, mask, {"m": heat}, group=group)
        alone.add(image, mask, {"m": heat})
    together = meter.report().methods[0].scores["pointing"]
    assert together.value == pytest.approx((2 / 3 + 0) / 2)
    assert (together.low, together.high) == pytest.approx((0, 2 / 3))  # one image or the other, drawn twice
    assert alone.report().methods[0].scores["pointing"].value == pytest.approx(2 / 4)
    assert meter.report(noun="maps").summary().startswith("4 maps;")
