"""Attribution through models of the transformers library, which no rule was written for."""

import pytest
import torch
import torch.utils.checkpoint
import transformers
from attributed_models import ask, drop_biases, ids, pixels
from watched_models import IMAGE, SMALL, eager, peaked

from jumok.errors import JumokError
from jumok.watching.watch import watch

TEXT = {**SMALL, "vocab_size": 50, "pad_token_id": 0}
TOWER = {"vision_config": IMAGE, "text_config": TEXT}
IMAGES = {
    "ViT": IMAGE,
    "Beit": IMAGE,
    "Dinov2": {**IMAGE, "use_swiglu_ffn": True},
    "Siglip": TOWER,
    "CLIP": TOWER,
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "MobileViT": {**IMAGE, "patch_size": 2},
    "Swin": {
        "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 2, "patch_size": 4, "image_size": 32
    },
}  # fmt: skip
TEXTS = {
    "Bert": TEXT,
    "Roberta": TEXT,
    "DistilBert": {"vocab_size": 50, "dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64},
    "GPT2": {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0},
    "Llama": {**TEXT, "num_key_value_heads": 2},
    "Qwen3": {**TEXT, "num_key_value_heads": 2, "head_dim": 8},
    "Gemma3Text": {**TEXT, "num_key_value_heads": 2, "head_dim": 8},
    "Mixtral": {**TEXT, "num_key_value_heads": 2, "num_local_experts": 3},
    "DebertaV2": TEXT,
    "ModernBert": TEXT,
}
EVERY = {
    **{name: (f"{name}ForImageClassification", options, pixels) for name, options in IMAGES.items()},
    **{name: (f"{name}ForSequenceClassification", options, ids) for name, options in TEXTS.items()},
}


def build(name):
    torch.manual_seed(0)
    model, options, inputs = EVERY[name]
    config = getattr(transformers, name + "Config")(**options, num_labels=3)
    return peaked(getattr(transformers, model)(config)), inputs()


def explain(model, given, **options):
    with watch(model) as seen:
        target = ask(model, given)[:, 1]
    return seen.relevance(target, **options).weights, target.detach()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "options", [{"method": "libra"}, {"method": "lrp", "attention": "detached"}], ids=["libra", "lrp"]
)
def test_relevance_sums_to_the_target_without_biases(name, options):
    model, given = build(name)
    found, target = explain(drop_biases(model), given, **options)
    assert float(((found.sum((1, 2)) - target) / target).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["ViT", "Dinov2", "CLIP", "Bert", "GPT2", "Llama", "Qwen3", "ModernBert"])
@pytest.mark.parametrize("method", ["libra", "lrp", "legrad", "input-x-gradient"])
def test_attention_written_out_gives_the_same(name, method):
    model, given = build(name)
    model = model.double()
    given = given.detach().double().requires_grad_() if given.is_floating_point() else given
    one, other = (explain(each, given, method=method)[0] for each in (model, eager(model)))
    # ModernBert takes its softmax in float32, whatever the model has.
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 + 1e-4 * float(one.abs().max()))


def test_cp_lrp_without_gamma_is_libra():
    model, given = build("Dinov2")
    lrp, _ = explain(model, given, method="lrp", attention="detached", gamma=0.0)
    assert torch.equal(lrp, explain(model, given, method="libra")[0])


def test_words_beside_kinds_of_words_are_the_words():
    model, given = build("Bert")
    with watch(model) as seen:
        target = model(given, token_type_ids=torch.ones_like(given)).logits[:, 1]
    assert seen.relevance(target, method="libra").weights.shape == (2, 1, 7)


def test_words_have_the_names_that_were_said():
    model, given = build("Bert")
    with watch(model, tokens=["one", "of", "the", "seven", "words", "it", "is"]) as seen:
        target = model(given).logits[:, 1]
    assert seen.relevance(target, method="lrp").keys.labels()[3] == "seven"


def test_half_precision_gives_nearly_the_same():
    model, given = build("ViT")
    wanted, _ = explain(model, given, method="libra")
    half, _ = explain(model.bfloat16(), given.detach().bfloat16().requires_grad_(), method="libra")
    assert float(torch.corrcoef(torch.stack([wanted.flatten(), half.flatten()]))[0, 1]) > 0.99


class Checkpointed(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *args, **kwargs):
        return torch.utils.checkpoint.checkpoint(self.layer, *args, use_reentrant=False, **kwargs)


def test_checkpoints_are_refused_where_rules_read_what_torch_keeps():
    model, given = build("ViT")
    for number, layer in enumerate(model.vit.layers):
        model.vit.layers[number] = Checkpointed(layer)
    assert bool(explain(model, given, method="input-x-gradient")[0].any())
    with pytest.raises(JumokError, match="checkpointing hands that out once only"):
        explain(model, given, method="libra")
