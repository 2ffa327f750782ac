"""A residual network with non-local blocks, in which each place can gather from all others.

Pixels -> stem -> stages of residual blocks, some with a non-local block before the last of them -> mean -> logits.

Source: Wang et al. 2018, arXiv 1711.07971, 4.1: a non-local block stands right before the last residual block of a
stage, in the middle stages (res3 and res4 of the paper, whose network also has its form and its sub-sampling).
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import nn

from jumok.errors import JumokError
from jumok.mechanisms.non_local import Form, NonLocal
from jumok.systems.resnet import ResNet, ResNetConfig, Stage, residual_stage

__all__ = ["NonLocalConfig", "NonLocalNet"]

MIDDLE = (1, 2)


class NonLocalConfig(ResNetConfig):
    """Everything needed to build a `NonLocalNet`.

    Args:
        form: of a(x_i, x_j): embedded-gaussian, gaussian, dot-product or concatenation.
        non_local: numbers of the stages that have a non-local block, from 0. None: the second and the third, as far as
            there are so many.
        sub_sample: let each place gather from a quarter of the places, the largest of each 2 x 2.
    """

    form: Form = "embedded-gaussian"
    non_local: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=8)
    sub_sample: bool = True

    @model_validator(mode="after")
    def _has_the_stages(self) -> NonLocalConfig:
        stages = len(self.stages)
        for number in self.non_local or ():
            if not 0 <= number < stages:
                raise JumokError(f"non_local names stage {number}, and there are stages 0 to {stages - 1}")
        if len(set(self.non_local or ())) < len(self.non_local or ()):
            raise JumokError(f"non_local names a stage twice: {list(self.non_local or ())}")
        return self

    @property
    def chosen_stages(self) -> tuple[int, ...]:
        """The stages with a non-local block, as given or by how many there are."""
        last = len(self.stages) - 1
        return self.non_local or tuple(sorted({min(number, last) for number in MIDDLE}))


class NonLocalNet(ResNet):
    """A residual network with non-local blocks that classifies images.

    >>> import torch
    >>> model = NonLocalNet(NonLocalConfig(classes=4, image_size=32, blocks=(1, 2), width=8))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: NonLocalConfig) -> None:
        super().__init__(config, _stage)


def _stage(config: ResNetConfig, stage: Stage) -> nn.Sequential:
    """The residual blocks of a stage and, where there is to be one, a non-local block before the last of them."""
    blocks = residual_stage(config, stage)
    if isinstance(config, NonLocalConfig) and stage.number in config.chosen_stages:
        block = NonLocal(stage.channels, form=config.form, sub_sample=config.sub_sample)
        blocks.insert(max(stage.blocks - 1, 1), block)
    return blocks
