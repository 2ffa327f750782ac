"""Systems by name."""

import pytest
import torch
from pydantic import BaseModel

from jumok import systems
from jumok.errors import JumokError
from jumok.systems.vit import ViT, ViTConfig
from jumok.tasks import TASKS, task_of_system

PARAMETERS = {"vit-nano": 0.57e6, "vit-tiny": 5.7e6, "vit-small": 22.1e6, "vit-base": 86.6e6}  # as published, but nano


def test_names_and_tasks():
    tasks = {name: task.name for task in TASKS.values() for name in task.systems}
    images = (*PARAMETERS, "resnet", "senet", "cbam", "eca", "cnn", "mlp", "non-local", "ram", "stn")
    answering = ("vqa-stacked", "vqa-transformer", "vqa-question", "vqa-image", "vqa-concat")
    assert set(tasks) == set(systems.names())
    assert tasks == {
        **dict.fromkeys(images, "classify"),
        **dict.fromkeys(("seq2seq", "transformer"), "translate"),
        **dict.fromkeys(answering, "answer"),
    }


def test_every_mechanism_has_a_system_that_stands_for_it():
    assert set(systems.ATTENDS) <= set(systems.names())
    assert {task_of_system(name).name for name in systems.ATTENDS} == {"classify", "answer"}
    assert systems.attends("ram") == "places, one after the other (2014)"
    assert systems.attends("vit-base") == ""


@pytest.mark.parametrize("name", [name for name in systems.ATTENDS if name in TASKS["classify"].systems])
def test_systems_of_images_classify_whatever_their_size(name):
    for size in ((32, 32), (40, 64)):
        config = systems.configure(name, classes=3, image_size=size)
        model = systems.build(name, config).eval()
        with torch.no_grad():
            logits = model(torch.randn(2, 3, *size))
        assert logits.shape == (2, 3)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["seq2seq", "transformer"])
def test_a_system_built_by_name_writes(name):
    config = systems.configure(name, source_vocabulary=9, target_vocabulary=7)
    model = systems.build(name, config).eval()
    source, target = torch.tensor([[4, 5, 3]]), torch.tensor([[2, 4]])
    assert model(source, target).shape == (1, 2, 7)
    assert isinstance(config, systems.config_of(name))


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes(name):
    with torch.device("meta"):
        model = systems.build(name, systems.configure(name, classes=1000))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(PARAMETERS[name], rel=0.01)


def test_a_system_built_by_name_classifies():
    config = systems.configure("vit-nano", classes=3, image_size=32, depth=1)
    assert isinstance(config, ViTConfig)
    model = systems.build("vit-nano", config)
    assert isinstance(model, ViT)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_options_win_over_what_the_name_stands_for():
    config = systems.configure("vit-tiny", classes=3, depth=2, registers=4)
    assert (config.width, config.depth, config.registers) == (192, 2, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 3, "widht": 8}, "vit-tiny has no option 'widht': did you mean 'width'?"),
        ({}, "vit-tiny: classes is missing"),
        ({"classes": 0}, "vit-tiny: classes is 0; wanted >= 1, <= 1,000,000"),
        ({"classes": 3, "heads": 5}, "vit-tiny: heads 5 do not divide width 192: choose a divisor"),
    ],
)
def test_wrong_options_raise_in_one_line(options, words):
    with pytest.raises(JumokError) as raised:
        systems.configure("vit-tiny", **options)
    assert str(raised.value) == words


def test_an_unknown_name_raises():
    for call in (systems.configure, lambda name: systems.build(name, ViTConfig(classes=2))):
        with pytest.raises(JumokError, match="no system 'vit-tinny': did you mean 'vit-tiny'"):
            call("vit-tinny")


def test_a_configuration_of_another_system_raises():
    class OtherConfig(BaseModel):
        classes: int = 2

    with pytest.raises(JumokError, match="vit-tiny is built from ViTConfig, got OtherConfig"):
        systems.build("vit-tiny", OtherConfig())
