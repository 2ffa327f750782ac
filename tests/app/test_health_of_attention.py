"""What `jumok measure` tells of a model's attention."""

import json

import pytest
import torch
from PIL import Image
from planted_sinks import SINK, draw_images, plant_sink, train_classifier

from jumok.app.classify.health import read_health, tell_health
from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.tasks.classify.attended_layers import read_layers
from jumok.tasks.classify.preparation import Stretched
from jumok.tasks.preprocessing import Preprocessing
from jumok.watching.watch import watch


@pytest.fixture(scope="module")
def classifier():
    return train_classifier()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    for number, image in enumerate(draw_images(10, seed=5)[0]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_layers_come_with_the_lengths_of_what_their_blocks_give_out(classifier):
    images = list(draw_images(3, seed=6)[0])
    given = []
    handle = classifier.model.blocks[1].register_forward_hook(lambda module, inputs, output: given.append(output))
    with torch.no_grad(), watch(classifier.model) as seen:
        classifier(classifier.prepare(images))
    handle.remove()
    first, second = read_layers(classifier, images)
    assert torch.allclose(first.attention.weights, seen["blocks.0.attn"].weights)
    assert torch.allclose(second.norms, given[0].norm(dim=-1))
    assert not classifier.model.blocks[1]._forward_hooks, "no hook stays behind"


def test_a_planted_sink_is_told_and_nothing_is_told_of_a_healthy_layer(paths):
    classifier = train_classifier()
    healthy = read_health(classifier, paths)
    assert healthy.layers[0].inputs == 10
    assert all(layer.cls_on_sinks < 0.3 or SINK + 1 not in layer.places for layer in healthy.layers)
    plant_sink(classifier.model, strength=1.0)
    card = read_health(classifier, paths)
    assert card.special == (0,)
    assert card.cls == 0
    for layer in card.layers:
        assert layer.places[0] == 1 + SINK
        assert layer.with_sinks == 1
        assert layer.cls_on_sinks > 0.3
    assert tell_health(card)[0].startswith("health: attention sinks in 2 of 2 layers (90% of queries")


def test_a_model_without_attention_has_no_card(paths):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    model(torch.zeros(1, 3, 24, 24))
    asked = AnyClassifier(
        "cnn", model, ("a", "b"), Stretched(Preprocessing((24, 24), (0.5,) * 3, (0.5,) * 3)), lambda logits: logits
    )
    assert read_health(asked, paths) is None


def test_measuring_reports_it(jumok, trained, coloured, tmp_path):
    words = ("measure", trained, coloured, "--split", "all", "--method", "rollout", "--steps", 2, "--fillings", "zeros")
    said = jumok(*words, "--out", tmp_path / "a", "--shown", 2)
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "a" / "measure.json").read_text())["health"]
    assert len(found["layers"]) == 2
    assert found["layers"][0]["inputs"] == 32
    assert all(f"health: {line}" in said.out for line in found["warnings"])
    page = (tmp_path / "a" / "index.html").read_text("utf-8")
    assert "Is the attention fit to be read as a map?" in page
    assert page.count('"image":"data:') >= 2
    said = jumok(*words, "--out", tmp_path / "b", "--no-health", "--shown", 0)
    assert json.loads((tmp_path / "b" / "measure.json").read_text())["health"] is None
    assert not (tmp_path / "b" / "index.html").exists()


def test_more_images_than_a_page_can_hold_are_refused(jumok, trained, coloured, tmp_path):
    said = jumok("measure", trained, coloured, "--shown", 1000, "--out", tmp_path / "out")
    assert said.status == 2
    assert "shown" in said.err
    assert said.err.count("\n") == 1
