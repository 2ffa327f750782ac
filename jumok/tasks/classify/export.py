"""A classifier as a graph: pixels to logits and, if wanted, the attention map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.systems.vit import ViT
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.exporting import Graph

__all__ = ["describe_images", "make_graph", "prepare_batches"]

BATCH = 8
"""Images of a batch that the graph is checked on."""


def make_graph(run: ImageRun, *, with_map: bool = False) -> Graph:
    """The graph of a run's model.

    Args:
        run: a classifier.
        with_map: also give the attention rollout over the image's patches.
    Raises:
        JumokError: a map of a model that is no Vision Transformer.
    """
    module: nn.Module = run.model
    if with_map:
        if not isinstance(module, ViT):
            raise JumokError(f"--with-map gives the attention rollout, which {run.config.system} has not: leave it out")
        module = WithRollout(module)
    outputs = ("logits", "map") if with_map else ("logits",)
    return Graph("model", module, {"pixels": torch.zeros(2, 3, *run.size)}, outputs, {"pixels": {0: "batch"}})


class WithRollout(nn.Module):
    """A Vision Transformer that also says where the attention of all layers leads, in one pass.

    r <- 0.5 r + 0.5 mean_h(r A_h), from the last block to the first, beginning at what the class is read off: the cls
    token, or the mean of the patches.

    Source: Abnar & Zuidema 2020, arXiv 2005.00928, 3.1.
    """

    def __init__(self, model: ViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width), normalised.
        Returns:
            logits: (batch, classes).
            map: (batch, rows, columns), the weight of each patch; with special tokens they sum to 1.
        """
        model, looks = self.model, []
        tokens = model._embed(pixels)
        for block in model.blocks:
            query, key, _ = block.attn.project(block.norm1(tokens))  # type: ignore[union-attr, operator]
            scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
            looks.append(scores.softmax(-1).mean(1))
            tokens = block(tokens)
        special = tokens.shape[1] - model.position.shape[2] * model.position.shape[3]
        patches = torch.arange(tokens.shape[1]) >= special
        start = patches / patches.sum() if model.cls_token is None else (torch.arange(tokens.shape[1]) == 0).float()
        flow = start.expand(pixels.shape[0], 1, -1)
        for look in reversed(looks):
            flow = 0.5 * flow + 0.5 * flow @ look
        heat = flow[:, 0, special:].unflatten(1, model.position.shape[2:])
        return _read_class(model, tokens), heat


def _read_class(model: ViT, tokens: Tensor) -> Tensor:
    """The logits, off the tokens after the last block, as the model itself reads them."""
    if model.cls_token is None:
        pooled: Tensor = model.norm(tokens[:, model.config.registers :]).mean(1)
    else:
        pooled = model.norm(tokens[:, 0])
    logits: Tensor = model.head(pooled)
    return logits


def prepare_batches(run: ImageRun, images: Sequence[Path]) -> list[dict[str, Tensor]]:
    """Real images as the graph takes them, in batches of two sizes."""
    pixels = run.prepare(images)
    return [{"pixels": part} for part in (pixels[:BATCH], pixels[BATCH:]) if len(part)]


def describe_images(run: Any) -> dict[str, Any]:
    """What is done to images before the graph sees them; of any run that sees images."""
    found = run.config.found
    return {
        "size": list(run.size),
        "mean": list(found.mean),
        "std": list(found.std),
        "preprocessing": "RGB, upright; stretched to size (height, width), bilinear with antialiasing; divided by 255; "
        "minus mean, divided by std; float32, channels first",
    }
