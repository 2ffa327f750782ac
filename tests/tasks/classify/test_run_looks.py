"""Where a run looked, asked in Python."""

import numpy as np
import pytest
import torch
from PIL import Image

import jumok
from jumok.data.images.reading import read_image
from jumok.errors import JumokError
from jumok.tasks.classify.any_classifier import open_model
from jumok.tasks.classify.looking import LookOptions, look


@pytest.fixture(scope="module")
def run(trained):
    return jumok.load(trained)


@pytest.fixture(scope="module")
def paths(coloured):
    return sorted(coloured.rglob("*.png"))[:5]


def wanted(run, paths, *methods, target=None):
    answers = look(open_model(str(run.folder)), [read_image(path) for path in paths], LookOptions(methods, 1, target))
    return [next(iter(answer.heats.values())) for answer in answers]


def test_it_gives_what_the_command_shows(run, paths):
    one, several = run.look(paths[0]), run.look(paths, batch_size=2)
    assert len(several) == len(paths)
    method = run.look(paths[0]).source.split("(")[0]
    for found, each in zip(
        [one, *several], [*wanted(run, paths[:1], method), *wanted(run, paths, method)], strict=True
    ):
        torch.testing.assert_close(found.weights, each.weights)
        assert found.keys == each.keys
        assert len(found.queries) == 1


def test_method_and_class_can_be_named(run, paths):
    for target in run.classes:
        found = run.look(paths[0], method="chefer", target=target)
        (each,) = wanted(run, paths[:1], "chefer", target=run.classes.index(target))
        torch.testing.assert_close(found.weights, each.weights)
    with pytest.raises(JumokError, match="no method 'chefr': did you mean 'chefer'"):
        run.look(paths[0], method="chefr")
    with pytest.raises(JumokError, match="has no class 'nothing'"):
        run.look(paths[0], target="nothing")
    with pytest.raises(JumokError, match="wanted 1 or more, got 0"):
        run.look(paths, batch_size=0)


def test_an_image_is_given_in_any_form(run, paths):
    picture = Image.open(paths[0]).convert("RGB")
    pixels = np.asarray(picture)
    of_path = run.look(paths[0], method="rollout").weights
    for form in (str(paths[0]), picture, pixels, torch.from_numpy(pixels.copy()).permute(2, 0, 1)):
        torch.testing.assert_close(run.look(form, method="rollout").weights, of_path)


def test_the_most_faithful_map_is_taken_where_that_was_measured(run, paths, monkeypatch):
    class Told:
        method = "raw"

    monkeypatch.setattr("jumok.tasks.classify.any_classifier.read_trust", lambda folder: Told())
    assert run.look(paths[0]).source == wanted(run, paths[:1], "raw")[0].source
    assert run.look(paths[0], method="rollout").source == wanted(run, paths[:1], "rollout")[0].source


def test_the_model_is_left_as_it_was(run, paths):
    before = [each.requires_grad for each in run.model.parameters()]
    run.look(paths)
    assert [each.requires_grad for each in run.model.parameters()] == before
    assert not run.model.training
    assert all(each.grad is None for each in run.model.parameters())
