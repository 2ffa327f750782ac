"""Remarks on regions that leave the image or are zoomed out, and a system's own figures in validation."""

import pytest
import torch
from torch import nn

from jumok.attention import AttentionMap, One, Pixels
from jumok.data.images.batches import Batch
from jumok.mechanisms.spatial_transformer import SpatialTransformer
from jumok.systems.stn import STN, STNConfig
from jumok.tasks.classify.kinds import OneClass
from jumok.tasks.classify.regions import Regions
from jumok.tasks.classify.settings import ImageTraining
from jumok.tasks.classify.training import Classifier


def stn(numbers=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)):
    """A network that looks at the same region of every image."""
    model = STN(STNConfig(classes=2, image_size=16, crop=8, widths=(8,), localisation=4)).eval()
    with torch.no_grad():
        model.look.regression.bias.copy_(torch.tensor(numbers))
    return model


def maps(numbers):
    look = SpatialTransformer(1, (8, 8))
    with torch.no_grad():
        look.regression.bias.copy_(torch.tensor(numbers))
    (keys,) = look.axes(torch.zeros(1, 1))
    return [AttentionMap(torch.full((1, 64), 1 / 64), One("image"), keys)]


WELL, OUT, LARGE = (0.5, 0.0, 0.0, 0.0, 0.5, 0.0), (1.0, 0.0, 1.0, 0.0, 1.0, 0.0), (1.3, 0.0, 0.0, 0.0, 1.0, 0.0)
SAID = [
    (WELL, []),
    (OUT, ["the regions of 3 images have left what there is to see: 50% of their samples lie outside the image"]),
    (
        LARGE,
        ["the regions of 3 images have left what there is to see: they are zoomed out to 1.14 of the image's side"],
    ),
]


@pytest.mark.parametrize(("numbers", "said"), SAID)
def test_one_remark_for_all_images_that_were_looked_at(numbers, said):
    regions = Regions()
    for _ in range(3):
        regions.add(maps(numbers))
    assert [line[: len(start)] for line, start in zip(regions.remarks(), said, strict=True)] == said


@pytest.mark.parametrize(("numbers", "said"), SAID)
def test_one_remark_for_all_batches_of_an_evaluation(numbers, said):
    regions, batches = (
        Regions(),
        [(torch.randn(2, 3, 16, 16), torch.zeros(2)), (torch.randn(1, 3, 16, 16), torch.zeros(1))],
    )
    assert list(regions.counting(stn(numbers), batches)) == batches
    assert [line[: len(start)] for line, start in zip(regions.remarks(), said, strict=True)] == said


def test_models_and_maps_without_regions_are_passed_over():
    regions, batches = Regions(), [(torch.zeros(1, 3, 4, 4), torch.zeros(1))]
    regions.add([AttentionMap(torch.ones(1, 4), One("image"), Pixels(2, 2))])
    assert list(regions.counting(nn.Identity(), batches)) == batches
    assert regions.remarks() == []


def test_the_validation_shows_the_systems_own_figures():
    training = ImageTraining(epochs=1)
    given = {
        "kind": OneClass(("a", "b")),
        "mean": torch.zeros(3),
        "std": torch.ones(3),
        "training": training,
        "steps": 1,
    }
    module = Classifier(stn(OUT), **given)
    assert module.figure_names == ("val_loss", "val_accuracy", "val_outside", "val_scale")
    assert Classifier(nn.Flatten(), **given).figure_names == ("val_loss", "val_accuracy")
    images, labels = torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    module.validation_step(Batch(images, labels, torch.arange(4)), 0)
    module.on_validation_epoch_end()
    assert module.figures["val_outside"] == 0.5
    assert module.figures["val_scale"] == pytest.approx(1)
