"""A classifier as a graph: pixels to logits, probabilities of labels or a number and, if wanted, the attention map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms import dot_product
from jumok.systems.vit import Block, ViT
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
    module, answer = run.kind.make_answering(module)
    outputs = (answer, "map") if with_map else (answer,)
    example, units = {"pixels": torch.zeros(2, 3, *run.size)}, {answer: run.kind.unit}
    return Graph("model", module, example, outputs, {"pixels": {0: "batch"}}, units=units)


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
        tokens, looks = self.model.embed(pixels), []
        for block in self.model.blocks:
            assert isinstance(block, Block)
            query, key, _ = block.attn.project(block.norm1(tokens))
            looks.append(dot_product.weights(dot_product.scaled_scores(query, key)).mean(1))
            tokens = block(tokens)
        return self.model.readout(tokens), self._roll(looks, tokens.shape[1])

    def _roll(self, looks: Sequence[Tensor], count: int) -> Tensor:
        """The map, from (batch, tokens, tokens) of each block, heads averaged."""
        grid = self.model.position.shape[2:]
        special = count - grid[0] * grid[1]
        numbers = torch.arange(count)
        asked = numbers == 0 if self.model.cls_token is not None else numbers >= special
        flow = (asked / asked.sum()).expand(looks[0].shape[0], 1, -1)
        for look in reversed(looks):
            flow = 0.5 * flow + 0.5 * flow @ look
        heat: Tensor = flow[:, 0, special:].unflatten(1, grid)
        return heat


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
