"""A text encoder of `transformers` with one linear layer behind it, rebuilt from plain values: no code, no download."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from jumok.errors import JumokError, first_line
from jumok.systems.pretrained import describe_hf

__all__ = ["HEAD", "TextConfig", "TextNetwork", "drop_pooler"]

HEAD = "head"
"""The name of the linear layer that the logits come out of."""


class TextConfig(BaseModel):
    """Everything needed to build a text classifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    classes: int = Field(ge=2)
    architecture: dict[str, Any] = Field(min_length=1)
    """The encoder's configuration in `transformers`, with its `model_type`."""
    pool: Literal["mean", "first"] = "mean"
    """What the classes are read off: the mean of the last states, or the first one."""


class TextNetwork(nn.Module):
    """A text encoder with fresh weights, and a head that reads the classes off its last states.

    Raises:
        JumokError: a kind of model that the library does not have, or one that is no encoder.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        import torch
        from transformers import AutoConfig, AutoModel

        values = describe_hf(config.architecture)
        kind = values.pop("model_type", "")
        try:
            made = AutoConfig.for_model(kind, **values)
            self.encoder: nn.Module = AutoModel.from_config(made, trust_remote_code=False, dtype=torch.float32)
            size = int(made.get_text_config().hidden_size)
        except Exception as error:  # values of a file, and each architecture refuses them in its own way
            raise JumokError(
                f"cannot build the {kind or 'unnamed'} encoder of transformers: {first_line(error)}"
            ) from error
        drop_pooler(self.encoder)
        self.pool = config.pool
        self.head = nn.Linear(size, config.classes)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Classify texts.

        Args:
            tokens: (batch, tokens) int64.
            there: (batch, tokens) bool; False: padding.
        Returns:
            logits: (batch, classes).
        """
        states = self.encoder(input_ids=tokens, attention_mask=there.long()).last_hidden_state
        weights = there.to(states)[..., None]
        read = states[:, 0] if self.pool == "first" else (states * weights).sum(1) / weights.sum(1)
        logits: Tensor = self.head(read)
        return logits


def drop_pooler(encoder: nn.Module) -> None:
    """Leave out the layer that some encoders have for the next-sentence task: nothing here is read off it."""
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = None  # type: ignore[assignment]
