"""Classifiers that also say in one pass where the attention of all layers leads, for graphs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError, first_line
from jumok.mechanisms import dot_product
from jumok.systems.pretrained import HFNetwork
from jumok.systems.vit import Block, ViT
from jumok.watching.watch import watch

__all__ = ["WithHFRollout", "WithRollout", "add_rollout"]

CLOSE = 1e-4
"""Most that a weight may differ from the one that watching gives."""


def add_rollout(model: nn.Module, name: str, size: tuple[int, int]) -> nn.Module:
    """The model with a map as its second output.

    Args:
        model: a classifier.
        name: of its system, for messages.
        size: (height, width) of its images.
    Raises:
        JumokError: a model of which no such map is known to be right.
    """
    if isinstance(model, ViT):
        return WithRollout(model)
    if isinstance(model, HFNetwork):
        return _add_hf_rollout(model, name, size)
    raise JumokError(f"--with-map gives the attention rollout of vit and hf: systems, not of {name}: leave it out")


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


class WithHFRollout(nn.Module):
    """A Vision Transformer of `transformers` with the same map, beginning at its first token.

    Its own plain attention takes the place of the fused one, as weights are asked for.

    Args:
        model: whose layers all attend from all tokens to all tokens.
        patches: what its tokens are.
    """

    def __init__(self, model: HFNetwork, patches: Patches) -> None:
        super().__init__()
        self.model, self.grid, self.special = model, (patches.rows, patches.columns), len(patches.special)
        model.network.set_attn_implementation("eager")  # type: ignore[operator]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As `WithRollout`."""
        said = self.model.network(pixel_values=pixels, output_attentions=True)
        looks = said.attentions
        flow = torch.zeros_like(looks[0][:, 0, :1])
        flow[..., 0] = 1
        for look in reversed(looks):
            flow = 0.5 * flow + 0.5 * flow @ look.mean(1)
        return said.logits, flow[:, 0, self.special :].unflatten(1, self.grid)


def _add_hf_rollout(model: HFNetwork, name: str, size: tuple[int, int]) -> WithHFRollout:
    """The model with a map that is the one that watching finds, on images of noise.

    Raises:
        JumokError: watching finds none, or another one.
    """
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    refused = f"--with-map is not known to be right for {name}"
    try:
        with torch.no_grad(), watch(model) as seen:
            model(noise)
        wanted: AttentionMap = seen.rollout("cls")
    except JumokError as error:
        raise JumokError(f"{refused} ({first_line(error)}): leave it out") from error
    patches = wanted.keys
    if not isinstance(patches, Patches):
        raise JumokError(f"{refused} (its tokens are no patches of the image): leave it out")
    made = WithHFRollout(model, patches).eval()
    try:
        with torch.no_grad():
            found = made(noise)[1]
    except (RuntimeError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise JumokError(f"{refused} ({first_line(error)}): leave it out") from error
    heat = wanted.weights[:, 0, len(patches.special) :].unflatten(1, (patches.rows, patches.columns))
    if found.shape != heat.shape or float((found - heat).abs().max()) > CLOSE:
        raise JumokError(f"{refused} (it gives another map than the model's own attention): leave it out")
    return made
