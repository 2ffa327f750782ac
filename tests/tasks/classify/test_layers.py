import pytest
import torch
from pretrained_models import make_hf
from torch import nn

from jumok import systems
from jumok.errors import JumokError
from jumok.tasks.running.layers import find_head, freeze, number_layers, still


def own_vit(**options):
    torch.manual_seed(0)
    given = {"classes": 3, "image_size": 16, "patch": 4, "width": 16, "depth": 3, "heads": 2, "stem": "patch"}
    return systems.build("vit-nano", systems.configure("vit-nano", **{**given, **options}))


class Logits(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network(pixels).logits


def test_the_head_is_the_layer_that_the_logits_come_out_of():
    assert find_head(own_vit(), 3, (16, 16)) == "head"


@pytest.mark.parametrize(("family", "head"), [("ViT", "network.classifier"), ("ResNet", "network.classifier.1")])
def test_the_head_of_other_networks_is_found_by_its_output(family, head):
    pytest.importorskip("transformers", reason="networks of transformers need it (the hf extra)")
    assert find_head(Logits(make_hf(family)), 5, (16, 16)) == head


def test_logits_that_are_changed_behind_the_last_layer_have_no_head():
    twice = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Tanh())
    assert find_head(twice, 3, (2, 2)) is None


def test_looking_for_the_head_changes_nothing():
    model = own_vit(dropout=0.5).train()
    model.blocks[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    state = torch.get_rng_state()
    find_head(model, 3, (16, 16))
    assert {name: module.training for name, module in model.named_modules()} == before
    assert torch.equal(torch.get_rng_state(), state)
    with still(model):
        assert not any(module.training for module in model.modules())


def test_layers_are_numbered_from_the_image_to_the_head():
    depths = number_layers(own_vit())
    assert depths.layers == 3
    blocks = {name: depth for name, depth in depths.of.items() if name.startswith("blocks.")}
    assert blocks == {name: int(name.split(".")[1]) + 1 for name in blocks}
    assert {depth for name, depth in depths.of.items() if name.startswith("head")} == {4}
    rest = {depth for name, depth in depths.of.items() if not name.startswith(("blocks.", "head", "norm"))}
    assert rest == {0}


def test_what_lies_between_two_lists_of_layers_counts_to_the_one_before():
    def stage():
        return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    model = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 1), "a": stage(), "join": nn.LayerNorm(4), "b": stage()})
    model["head"] = nn.Linear(4, 2)
    depths = number_layers(model)
    weights = {name: depth for name, depth in depths.of.items() if name.endswith("weight")}
    assert depths.layers == 4
    assert list(weights.values()) == [0, 1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("what", "learnt"),
    [("none", ("blocks.0", "blocks.1", "blocks.2", "head")), ("2", ("blocks.2", "head")), ("backbone", ("head",))],
)
def test_frozen_weights_do_not_learn_and_their_modules_stay_in_eval_mode(what, learnt):
    model = own_vit()
    frozen = freeze(model, what, "head")
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    parts = {".".join(name.split(".")[: 2 if name.startswith("blocks") else 1]) for name in learns}
    assert {part for part in parts if part.startswith(("blocks", "head"))} == set(learnt)
    for index in range(3):
        assert (model.blocks[index] in frozen) == (f"blocks.{index}" not in learnt)


def test_what_cannot_be_frozen_is_said():
    with pytest.raises(JumokError, match="--freeze 9: this model has 3 layers"):
        freeze(own_vit(), "9", "head")
    with pytest.raises(JumokError, match="nothing tells where its head begins"):
        freeze(own_vit(), "backbone", None)
