"""What methods share that run the model again: the function that they ask, and its checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jumok.errors import JumokError

__all__ = ["Asked", "Forward"]

Forward = Callable[[Tensor], Tensor]
"""From inputs, as many as were given and in their order, to one number for each."""
AGREE = 1e-2
"""By how much, relatively, the function may miss the target that is explained."""


@dataclass(frozen=True)
class Asked:
    """A function to explain, and where.

    Args:
        inputs: (batch, channels, rows, columns) or (batch, tokens, features).
        forward: the function.
        value: of it, for the inputs.
    """

    inputs: Tensor
    forward: Forward
    value: Tensor

    @staticmethod
    def of(method: str, target: Tensor, inputs: Tensor | None, forward: Forward | None) -> Asked:
        """Check what a caller gave.

        Raises:
            JumokError: something is missing, or the function gives something else than the target.
        """
        if inputs is None or forward is None:
            missing = "inputs=" if inputs is None else "forward="
            raise JumokError(
                f"{method} runs the model again and lacks {missing}: give inputs=pixels and "
                "forward=lambda pixels: model(pixels)[:, 207], one number per image"
            )
        asked = Asked(inputs.detach(), forward, inputs.new_zeros(()))
        value = asked.ask(asked.inputs)
        wanted = target.detach().float().reshape(-1).to(value)
        if len(wanted) == len(value) and not torch.allclose(value, wanted, rtol=AGREE, atol=AGREE):
            raise JumokError(
                f"forward gives {float(value[0]):.4g} where the target is {float(wanted[0]):.4g}: explain the same "
                "number, with the model in eval mode"
            )
        return Asked(asked.inputs, forward, value)

    @torch.no_grad()
    def ask(self, inputs: Tensor) -> Tensor:
        """The function's values, (batch,)."""
        return self.check(self.forward(inputs)).float()

    def check(self, value: Tensor) -> Tensor:
        """Refuse what is not one finite number per image.

        Raises:
            JumokError: it is another.
        """
        batch = len(self.inputs)
        if tuple(value.shape) not in ((batch,), (batch, 1)):
            raise JumokError(f"forward gives one number per image ({batch} here), got shape {tuple(value.shape)}")
        if not bool(torch.isfinite(value).all()):
            raise JumokError("forward gave NaN or infinity: check the inputs and the weights of the model")
        return value.reshape(batch)

    def lay_mask(self, mask: Tensor) -> Tensor:
        """A mask over places or tokens as one over the inputs' values."""
        return mask[None, None] if self.inputs.dim() == 4 else mask[None, :, None]
