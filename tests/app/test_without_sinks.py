"""Maps without sinks: on a model in which a sink was planted, they are more faithful."""

import csv

import pytest
import torch
from planted_sinks import SINK, draw_images, plant_sink, train_classifier

from jumok.app.classify.maps import MapMaker
from jumok.app.classify.without_sinks import drop_sinks
from jumok.attention import AttentionMap, One, Patches, Scale
from jumok.errors import JumokError
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.image_units import ImageUnits
from jumok.measures.sinks import find_patch_sinks
from jumok.tasks.classify.looking import LookOptions, look

METHODS = ("raw", "rollout", "chefer")


@pytest.fixture(scope="module")
def planted():
    """The model, and the share of its answers that are right."""
    classifier = train_classifier()
    plant_sink(classifier.model, strength=1.0)
    images, classes = draw_images(64, seed=2)
    return classifier, float((classifier.predict(list(images)).argmax(1) == classes).float().mean())


def test_a_planted_sink_is_found_and_no_other_patch_is(planted):
    classifier, right = planted
    assert right > 0.9, "the model still does what it has learnt"
    images, _ = draw_images(16, seed=3)
    found = [
        find_patch_sinks(each.layers, each.values)
        for each in look(classifier, list(images), LookOptions(("raw",), layers=True, values=True))
    ]
    assert found == [[1 + SINK]] * 16


def test_without_a_planted_sink_maps_are_more_faithful(planted):
    classifier, _ = planted
    images, _ = draw_images(48, seed=4)
    units = ImageUnits(classifier, grid=(6, 6), fillings=["mean"], mean=torch.zeros(3))
    meter = FaithfulnessMeter(steps=36)
    found = MapMaker(classifier, LookOptions(METHODS), (), without_sinks=True).make(list(images))
    for pixels, heats in zip(classifier.prepare(list(images)), found, strict=True):
        corrected = {name: units.lay(heat) for name, heat in heats.items() if "without" in name}
        plain = {name: units.lay(heat) for name, heat in heats.items() if "without" not in name}
        meter.add(units.answers(pixels), corrected, baselines=plain)
    gains = {(gap.method, gap.baseline): gap.scores["srg, mean"] for gap in meter.report().differences}
    assert gains["raw without sinks", "raw"].low > 0.02
    assert gains["rollout without sinks", "rollout"].low > 0.02
    unharmed = gains["chefer without sinks", "chefer"]
    assert abs(unharmed.value) < 0.005, "gradients see that a sink tells nothing: chefer has no need of this"


def attention(weights, source, lead=()):
    axis = Patches(1, 9, ("cls",))
    return AttentionMap(weights, axis, axis, lead, source=source)


def layers():
    """Of 10 tokens: all look at token 3 in the first layer, and at cls in the second."""
    first, second = torch.full((10, 10), 0.05), torch.full((10, 10), 0.05)
    first[:, 3], second[:, 0] = 0.55, 0.55
    return [attention(first, "blocks.0.attn"), attention(second[None], "blocks.1.attn", ("head",))]


def row(source, scale=Scale.DISTRIBUTION):
    return AttentionMap(torch.full((1, 10), 0.1), One("cls"), Patches(1, 9, ("cls",)), scale=scale, source=source)


def short(*sinks):
    """Values of both layers, of which some are short."""
    lengths = torch.ones(10)
    lengths[list(sinks)] = 0.1
    return [lengths, lengths]


def test_sinks_of_any_layer_leave_a_map_of_all_layers():
    found, sinks = drop_sinks(row("rollout(cls)"), layers(), short(0, 3))
    assert sinks == 1
    assert found.weights[0].tolist() == pytest.approx([1 / 9] * 3 + [0] + [1 / 9] * 6)
    assert found.source == "rollout(cls) without sinks"
    relevance, _ = drop_sinks(row("chefer(cls)", Scale.RELEVANCE), layers(), short(0, 3))
    assert relevance.weights[0].tolist() == pytest.approx([0.1] * 3 + [0] + [0.1] * 6)


def test_a_map_of_one_layer_loses_the_sinks_of_that_layer_only():
    assert drop_sinks(row("blocks.0.attn"), layers(), short(0, 3))[1] == 1
    found, sinks = drop_sinks(row("blocks.1.attn"), layers(), short(0, 3))
    assert sinks == 0, "cls covers no part of the image"
    assert torch.equal(found.weights, row("blocks.1.attn").weights)


def test_what_all_look_at_and_what_tells_much_is_no_sink():
    heat = row("rollout(cls)")
    assert drop_sinks(heat, layers(), short()) == (heat, 0)
    assert drop_sinks(heat, layers(), [None, None]) == (heat, 0), "not known: nothing is taken away"


def test_layers_of_windows_are_refused():
    with pytest.raises(JumokError, match=r"choose with \.at"):
        find_patch_sinks([attention(torch.full((2, 10, 10), 0.1), "a", ("window",))], short()[:1])


def test_looking_shows_both_maps(jumok, trained, coloured, tmp_path, monkeypatch):
    monkeypatch.setattr("jumok.measures.sinks.find_patch_sinks", lambda layers, values: [2, 3])
    words = ("look", coloured / "red" / "000.png", "--model", trained, "--out", tmp_path)
    said = jumok(*words, "--method", "rollout", "--without-sinks")
    assert said.status == 0, said.err
    assert "sinks in 1 of 1 image, shown" in said.out
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["rollout(cls)", "rollout(cls) without sinks"]
    plain, corrected = (AttentionMap.load(tmp_path / row["map"]) for row in rows)
    assert not corrected.weights[0, [2, 3]].any()
    assert float(corrected.weights.sum()) == pytest.approx(1)
    assert plain.weights[0, [2, 3]].all()
    assert all((tmp_path / row["picture"]).is_file() for row in rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("look", "IMAGE", "--model", "RUN", "--method", "libra", "--without-sinks"), "come from attention"),
        (("look", "IMAGE", "--without-sinks"), "--without-sinks"),
        (("measure", "RUN", "IMAGES", "--method", "libra", "--without-sinks"), "come from attention"),
        (("measure", "IMAGES", "--method", "boolean-maps", "--without-sinks"), "maps of a model"),
    ],
)
def test_what_has_no_sinks_is_said_in_one_line(jumok, trained, coloured, tmp_path, words, message):
    known = {"IMAGE": coloured / "red" / "000.png", "IMAGES": coloured, "RUN": trained}
    said = jumok(*(known.get(word, word) for word in words), "--out", tmp_path / "out")
    assert said.status == 2
    assert message in said.err
    assert said.err.count("\n") == 1


def test_measuring_compares_maps_with_and_without_sinks(jumok, trained, coloured, tmp_path):
    words = ("--method", "rollout", "--without-sinks", "--steps", 2, "--fillings", "zeros", "--shown", 2)
    said = jumok("measure", trained, coloured, "--split", "all", "--out", tmp_path / "out", *words)
    assert said.status == 0, said.err
    assert "rollout without sinks" in said.out
