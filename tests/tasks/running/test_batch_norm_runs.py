"""Runs of systems whose norms keep running means: averaged with the weights, saved, and resumed to the last bit."""

import pytest
import torch
from safetensors.torch import load_file
from small_runs import write_photos

from jumok.tasks.classify import prepare
from jumok.tasks.classify.settings import ImageData, ImageTraining, Settings
from jumok.tasks.classify.training import make_classifier
from jumok.tasks.preprocessing import choose_size, stores
from jumok.tasks.running.checkpoint import load_state
from jumok.tasks.running.fit import fit

SIZES = {
    "cnn": {"widths": [4, 8]},
    "mlp": {"hidden": [8]},
    **{name: {"width": 4, "blocks": [1, 1]} for name in ("resnet", "senet", "cbam", "eca")},
}


class BrokenError(Exception):
    pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "images", each=12)


def trained(photos, folder, system, *, stop_after=None, **training):
    """Train from the start or from what the folder holds; stop as a crash would, after some steps."""
    given = {"epochs": 2, "batch_size": 8, "checkpoint_every": 1, "device": "cpu", **training}
    settings = Settings(
        system=system, options=SIZES[system], data=ImageData(images=str(photos)), training=ImageTraining(**given)
    )
    sets = prepare.find_parts(settings.data, settings.training.seed)
    size, _ = choose_size(settings.data, sets["train"].paths)
    stored = stores(settings.data, sets["train"].paths, sets["val"].paths, size)
    config = prepare.configure(settings, sets, size, stored[0])
    train, val = prepare.loaders(config, sets, *stored)
    module = make_classifier(config, steps=config.training.epochs * len(train))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config.to_yaml())
    if stop_after is not None:
        real = module.training_step

        def step(*args, **kwargs):
            if module.global_step == stop_after:
                raise BrokenError
            return real(*args, **kwargs)

        module.training_step = step
    outcome = fit(module, train, val, folder, config.training)
    return module, outcome


@pytest.mark.parametrize("system", SIZES)
def test_a_broken_run_ends_where_an_unbroken_one_ends(system, photos, tmp_path):
    whole = trained(photos, tmp_path / "whole", system)[1]
    with pytest.raises(BrokenError):
        trained(photos, tmp_path / "broken", system, stop_after=3)
    again = trained(photos, tmp_path / "broken", system)[1]
    assert again.rows == whole.rows
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    kept = [load_state(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("whole", "broken")]
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, kept[1][part][name]) for name, value in kept[0][part].items())


def test_running_means_are_averaged_with_the_weights_and_saved(photos, tmp_path):
    trained(photos, tmp_path / "run", "cnn", epochs=1)
    state = load_state(tmp_path / "run" / "checkpoints" / "last.safetensors")
    name = "model.blocks.0.norm.running_var"
    averaged, current = state["state_dict"][name], state["current_model_state"][name]
    assert (current != 1).all()
    assert (torch.sign(1 - averaged) == torch.sign(averaged - current)).all()  # it lags behind what moves off from 1
    counted = "model.blocks.0.norm.num_batches_tracked"
    assert state["state_dict"][counted] == state["current_model_state"][counted] == 2
    saved = load_file(tmp_path / "run" / "weights.safetensors")
    assert torch.equal(saved["blocks.0.norm.running_var"], averaged)


def test_without_averaging_they_are_those_of_the_weights(photos, tmp_path):
    module, _ = trained(photos, tmp_path / "run", "cnn", epochs=1, ema=0.0)
    saved = load_file(tmp_path / "run" / "weights.safetensors")
    for name, value in module.model.state_dict().items():
        assert torch.equal(saved[name], value), name
