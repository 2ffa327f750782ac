"""The forms of libra that read the tokens between the layers, beside the states that a model itself tells."""

import pytest
import torch
import transformers
from attributed_models import bert, drop_biases, ids, pixels, vit
from torch.nn import functional as F
from watched_models import SMALL, eager, peaked

from jumok.errors import JumokError
from jumok.watching.watch import watch


def llama():
    config = transformers.LlamaConfig(**SMALL, vocab_size=50, num_labels=3, num_key_value_heads=2, pad_token_id=0)
    return peaked(transformers.LlamaForSequenceClassification(config))


MODELS = {"vit": (vit, pixels), "bert": (bert, ids), "llama": (llama, ids)}


def build(name, **options):
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    return drop_biases(make(**options)), inputs()


@pytest.mark.parametrize("name", MODELS)
def test_what_the_tokens_contribute_is_the_same_in_every_layer_of_a_model_without_biases(name):
    model, given = build(name)
    with watch(model) as seen:
        target = model(given).logits[:, 1]
    sums = seen.relevance(target, method="libra", form="fullgrad+").weights.sum((1, 2))
    layers = len(seen)
    torch.testing.assert_close(sums, target.detach() * (layers + 1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["fullgrad+", "attcat"])
def test_attention_written_out_gives_the_same(name, form):
    model, given = build(name)
    found = []
    for each in (model, eager(model)):
        with watch(each) as seen:
            target = each(given).logits[:, 1]
        found.append(seen.relevance(target, method="libra", form=form).weights)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


def test_attcat_is_the_sum_of_what_hidden_states_contribute_weighed_by_what_attention_they_got():
    """One layer, so that the states' gradient can be written out."""
    config = transformers.ViTConfig(**{**SMALL, "num_hidden_layers": 1}, image_size=32, patch_size=8, num_labels=3)
    model = peaked(transformers.ViTForImageClassification(config))
    given = pixels()
    with watch(model) as seen:
        result = model(given, output_hidden_states=True)
    hidden = result.hidden_states[0].detach().requires_grad_()
    layer = model.vit.layers[0]
    normed = constant_norm(hidden, layer.layernorm_before)
    attention = seen[0].weights
    value = named(layer, "v")(normed).unflatten(-1, (4, -1)).transpose(1, 2)
    mixed = named(layer, "o")((attention @ value).transpose(1, 2).flatten(2)) + hidden
    inner = named(layer, "up")(constant_norm(mixed, layer.layernorm_after))
    gate = (F.gelu(inner) / inner).detach()
    out = named(layer, "down")(inner * gate) + mixed
    logits = model.classifier(constant_norm(out, model.vit.layernorm)[:, 0])
    torch.testing.assert_close(logits, result.logits, rtol=1e-3, atol=1e-4)
    (slope,) = torch.autograd.grad(logits[:, 1].sum(), hidden)
    wanted = (hidden * slope).sum(-1) * attention.mean((1, 2))
    found = seen.relevance(result.logits[:, 1], method="libra", form="attcat").weights[:, 0]
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-3, atol=1e-5)


def constant_norm(x, norm):
    deviation = (x.var(-1, keepdim=True, correction=0) + norm.eps).sqrt().detach()
    return (x - x.mean(-1, keepdim=True)) / deviation * norm.weight + norm.bias


def named(layer, which):
    """The projections of a layer by what they are, whatever they are called."""
    linear = [module for module in layer.modules() if isinstance(module, torch.nn.Linear)]
    return dict(zip(("q", "k", "v", "o", "up", "down"), linear, strict=True))[which]


def test_layers_over_other_tokens_are_refused():
    config = transformers.SwinConfig(
        embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=2, patch_size=4, image_size=32, num_labels=3
    )
    model = peaked(transformers.SwinForImageClassification(config))
    given = pixels()
    with watch(model) as seen:
        target = model(given).logits[:, 1]
    for options in ({"method": "libra", "form": "attcat"}, {"method": "legrad"}):
        with pytest.raises(JumokError, match="is over others"):
            seen.relevance(target, **options)
    with pytest.raises(JumokError, match="did you mean 'attcat'"):
        seen.relevance(target, method="libra", form="atcat")
