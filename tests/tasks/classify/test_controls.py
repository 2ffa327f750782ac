"""A model that says what its accuracy must be held against is judged in those ways too, on the same images."""

import json

import pytest
import torch
from breaking import At, Stop, same_end, stop
from small_runs import Job
from torch import nn

from jumok.tasks.classify.evaluation import controls_of
from jumok.tasks.classify.kinds.class_scores import evaluate, evaluate_each


class Says(nn.Module):
    """Names every image alike, and holds itself against naming another class."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, pixels):
        return 5 * torch.eye(2)[self.number].expand(len(pixels), -1)

    def controls(self):
        return {"the other": Says(1 - self.number)}


def batches():
    for labels in ([0, 0, 1], [0]):
        yield torch.zeros(len(labels), 3, 2, 2), torch.tensor(labels)


def test_each_model_is_judged_by_itself_on_one_pass():
    model = Says(0)
    assert list(controls_of(model)) == ["the other"]
    found = evaluate_each({"model": model, **controls_of(model)}, batches(), ("a", "b"))
    assert {name: each.accuracy for name, each in found.items()} == {"model": 0.75, "the other": 0.25}
    alone = evaluate(model, batches(), ("a", "b"))
    assert torch.equal(alone.confusion, found["model"].confusion)
    assert alone.loss == pytest.approx(found["model"].loss)


def test_most_models_have_none():
    assert controls_of(nn.Linear(2, 2)) == {}


def test_the_command_prints_and_keeps_them(jumok, coloured, tmp_path):
    options = ("--epochs", 1, "--image-size", 16, "--option", "hidden=8", "--option", "glimpses=2")
    said = jumok("train", coloured, "--system", "ram", *options, "--out", tmp_path / "run")
    assert said.status == 0, said
    said = jumok("eval", tmp_path / "run", coloured, "--out", tmp_path / "eval")
    assert said.status == 0, said
    report = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert list(report["controls"]) == ["random places", "all in the middle", "one drawn scanpath"]
    for name, control in report["controls"].items():
        assert f"same weights, {name}: {control['accuracy']:.1%}" in said.out
        assert control["accuracy_95"][0] <= control["accuracy"] <= control["accuracy_95"][1]


@pytest.mark.parametrize("code", ["linear", "convolutions"])
def test_a_broken_run_of_drawn_places_goes_on_to_the_same_end(photos, tmp_path, code):
    """The places are drawn in each step; their noise comes of the step's own seed."""
    torch.set_num_threads(1)
    options = {"hidden": 16, "glimpses": 3, "samples": 2, "code": code}

    def job(folder):
        made = Job(photos, folder)
        config = made.config.model_dump()
        from_data = {name: config["options"][name] for name in ("classes", "image_size")}
        made.config = type(made.config)(**{**config, "system": "ram", "options": {**from_data, **options}})
        return made

    whole, broken = job(tmp_path / "whole"), job(tmp_path / "broken")
    whole.start()
    with pytest.raises(Stop):
        broken.start(At(4, stop))
    broken.start()
    same_end(whole.folder, broken.folder)
