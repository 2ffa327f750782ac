"""A small ViT that reads one patch, and the same ViT with a corner of the background planted as a sink."""

import torch
from torch import nn

from jumok.systems.vit import ViT, ViTConfig
from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.tasks.classify.preparation import Stretched
from jumok.tasks.preprocessing import Preprocessing

PATCH, GRID, CLASSES = 4, 6, 3
SINK = 0
"""The patch in the upper left corner, where nothing is ever drawn."""


def draw_images(count, seed):
    """(count, 3, 24, 24) uint8 noise with one bright patch, whose colour is the class; and the classes."""
    chance = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 90, (count, 3, PATCH * GRID, PATCH * GRID), generator=chance, dtype=torch.uint8)
    classes = torch.randint(0, CLASSES, (count,), generator=chance)
    places = torch.randint(1, GRID, (count, 2), generator=chance) * PATCH
    for image, colour, (top, left) in zip(images, classes.tolist(), places.tolist(), strict=True):
        image[colour, top : top + PATCH, left : left + PATCH] = 255
    return images, classes


def train_classifier():
    """It tells the colour of the bright patch."""
    torch.manual_seed(0)
    model = ViT(ViTConfig(classes=CLASSES, image_size=PATCH * GRID, patch=PATCH, width=24, depth=2, heads=2))
    side = (PATCH * GRID, PATCH * GRID)
    names = ("red", "green", "blue")
    asked = AnyClassifier(
        "small", model, names, Stretched(Preprocessing(side, (0.2,) * 3, (0.25,) * 3)), lambda logits: logits
    )
    images, classes = draw_images(256, seed=1)
    pixels, adam = asked.prepare(list(images)), torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(160):
        some = torch.arange(64) + 64 * (step % 4)
        loss = nn.functional.cross_entropy(model(pixels[some]), classes[some])
        adam.zero_grad()
        loss.backward()
        adam.step()
    model.eval().requires_grad_(False)
    return asked


def plant_sink(model, strength):
    """Turn the corner's key to where all queries point, in every block: they look at it, whatever the image.

    All queries get the same vector, and the corner's key a multiple of it; its value is 0, so that it tells nothing.
    """
    for block in model.blocks:
        block.attn.qkv.register_forward_hook(lambda module, inputs, output: _turn(output, strength))


def _turn(projected, strength):
    query, key, value = projected.chunk(3, -1)
    corner = torch.zeros(1, projected.shape[1], 1)
    corner[:, 1 + SINK] = 1
    return torch.cat([query + 1, key * (1 - corner) + strength * corner, value * (1 - corner)], -1)
