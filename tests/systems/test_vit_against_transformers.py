"""Our ViT and `transformers`' are one function: same weights, same logits."""

import pytest
import torch

from jumok.systems.vit import ViT, ViTConfig

transformers = pytest.importorskip("transformers")

WIDTH, DEPTH, HEADS, PATCH, CLASSES = 48, 3, 4, 8, 5

BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.out": "attention.o_proj",
    "mlp.widen": "mlp.fc1",
    "mlp.narrow": "mlp.fc2",
}


def theirs(image_size):
    config = transformers.ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
        image_size=image_size, patch_size=PATCH, num_labels=CLASSES, layer_norm_eps=1e-6,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # the weights of a fresh model are too small to tell two models apart
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=draw))
    return model


def converted(model, config):
    """Our ViT with the weights of theirs."""
    given = model.state_dict()
    positions = given["vit.embeddings.position_embeddings"]
    weights = {
        "cls_token": given["vit.embeddings.cls_token"] + positions[:, :1],  # ours has its position in it
        "position": positions[:, 1:].transpose(1, 2).unflatten(2, config.grid),
    }
    for kind in ("weight", "bias"):
        weights[f"patch_embed.{kind}"] = given[f"vit.embeddings.patch_embeddings.projection.{kind}"]
        weights[f"norm.{kind}"] = given[f"vit.layernorm.{kind}"]
        weights[f"head.{kind}"] = given[f"classifier.{kind}"]
        for block in range(config.depth):
            old, new = f"vit.layers.{block}", f"blocks.{block}"
            qkv = [given[f"{old}.attention.{part}_proj.{kind}"] for part in "qkv"]
            weights[f"{new}.attn.qkv.{kind}"] = torch.cat(qkv)
            weights |= {f"{new}.{ours}.{kind}": given[f"{old}.{theirs}.{kind}"] for ours, theirs in BLOCK.items()}
    ours = ViT(config).eval()
    ours.load_state_dict(weights)
    return ours


def pair(image_size):
    model = theirs(image_size)
    config = ViTConfig(
        classes=CLASSES, image_size=image_size, patch=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS
    )  # fmt: skip
    return converted(model, config), model


def test_same_logits():
    ours, model = pair(32)
    pixels = torch.randn(4, 3, 32, 32)
    logits = ours(pixels)
    assert logits.std() > 0.1
    torch.testing.assert_close(logits, model(pixels).logits, atol=1e-5, rtol=0)


def test_same_logits_in_training_where_only_the_cls_token_is_finished():
    ours, model = pair(32)
    pixels = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(ours.train()(pixels), model(pixels).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(48, 48), (24, 56)])
def test_same_logits_for_other_image_sizes(size):
    ours, model = pair(32)
    pixels = torch.randn(2, 3, *size)
    wanted = model(pixels, interpolate_pos_encoding=True).logits
    torch.testing.assert_close(ours(pixels), wanted, atol=1e-5, rtol=0)


def test_same_gradients():
    ours, model = pair(32)
    pixels = torch.randn(2, 3, 32, 32)
    got = torch.autograd.grad(ours(pixels).square().sum(), [ours.patch_embed.weight, ours.blocks[0].attn.qkv.weight])
    attention = model.vit.layers[0].attention
    wanted = torch.autograd.grad(
        model(pixels).logits.square().sum(),
        [
            model.vit.embeddings.patch_embeddings.projection.weight,
            attention.q_proj.weight,
            attention.k_proj.weight,
            attention.v_proj.weight,
        ],
    )
    torch.testing.assert_close(got[0], wanted[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got[1], torch.cat(wanted[1:]), atol=1e-4, rtol=1e-4)
