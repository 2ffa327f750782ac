"""Networks of other libraries, built again from plain values."""

import json

import pytest
import torch
import yaml
from pretrained_models import WORDS, make_hf
from timm_library import import_timm

from jumok import systems
from jumok.errors import JumokError
from jumok.systems.pretrained import describe_hf

transformers = pytest.importorskip("transformers", reason="networks of transformers need it (the hf extra)")


def build(options, name="hf:anything"):
    return systems.build(name, systems.configure(name, **options)).eval()


def describe(model):
    return describe_hf(json.loads(model.config.to_json_string(use_diff=False)))


@pytest.mark.parametrize("family", WORDS)
def test_a_network_comes_back_from_text_and_answers_as_before(family):
    model = make_hf(family).eval()
    options = yaml.safe_load(yaml.safe_dump({"classes": 5, "image_size": 16, "architecture": describe(model)}))
    again = build(options)
    again.network.load_state_dict(model.state_dict())
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(pixels), model(pixels).logits, rtol=0, atol=0)


def test_what_would_fetch_code_or_weights_is_left_out():
    given = {
        "model_type": "vit",
        "auto_map": {"AutoConfig": "someone/code--configuration.Evil"},
        "_attn_implementation": "someone/kernel",
        "attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "bnb"},
        "inner": {"_name_or_path": "someone/weights", "use_pretrained_backbone": True, "depth": 3},
    }
    assert describe_hf(given) == {"model_type": "vit", "inner": {"depth": 3}}


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"model_type": "vitt"}, "cannot build the vitt network of transformers: Unrecognized model identifier"),
        ({"model_type": "bert"}, "cannot build the bert network of transformers"),
        ({"hidden_size": 32}, "cannot build the unnamed network"),
        ({"model_type": "vit", "hidden_size": "many"}, "cannot build the vit network"),
    ],
)
def test_what_cannot_be_built_is_one_line(architecture, message):
    with pytest.raises(JumokError, match=message) as caught:
        build({"classes": 2, "architecture": architecture})
    assert "\n" not in str(caught.value)


def test_a_name_that_timm_would_load_from_somewhere_is_not_built():
    import_timm()
    with pytest.raises(JumokError, match="has no architecture 'hf-hub:someone/model'"):
        build({"classes": 2, "architecture": "hf-hub:someone/model"}, "timm:x")
