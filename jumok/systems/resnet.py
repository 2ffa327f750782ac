"""A residual network that classifies images: plain, with a gate in each block, or with non-local blocks.

Pixels -> stem -> stages of residual blocks, each stage at half the size and twice the channels -> mean -> logits.

Source: He et al. 2016, arXiv 1512.03385, 4.1 for large images and 4.2 for small ones; gates stand at the end of a
block's branch, before it is added (Hu et al. 2018, arXiv 1709.01507, figure 3). Differs: shortcuts that change the size
are 1 x 1 convolutions everywhere; the last norm of each branch starts at 0, so that a block begins as the identity
(Goyal et al. 2017, arXiv 1706.02677, 5.1); large images start at half the usual width.

SENet, CBAM and ECA are this network with a gate. In `NonLocalNet` each place can gather from all others: a non-local
block stands right before the last residual block of a stage, in the middle stages (Wang et al. 2018, arXiv 1711.07971,
4.1: res3 and res4 of the paper, whose network also has its form and its sub-sampling).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.cbam import CBAM
from jumok.mechanisms.efficient_channel import EfficientChannel
from jumok.mechanisms.non_local import NonLocal
from jumok.mechanisms.pairwise import Form
from jumok.mechanisms.squeeze_excitation import SqueezeExcitation
from jumok.systems.parts import Side, as_pair, channels_last, check_pixels, convolution

__all__ = [
    "NAMED",
    "NonLocalConfig",
    "NonLocalNet",
    "ResNet",
    "ResNetConfig",
    "Residual",
    "Stage",
    "non_local_stage",
    "residual_stage",
]

NAMED: Mapping[str, Mapping[str, Any]] = {
    "resnet": {"gate": "none"},
    "senet": {"gate": "se"},
    "cbam": {"gate": "cbam"},
    "eca": {"gate": "eca"},
}
HALVED_FROM, QUARTERED_FROM = 48, 160
"""Pixels of the shorter side from which on the stem halves the image, or quarters it."""
NON_LOCAL_STAGES = (1, 2)
"""The stages that have a non-local block where none are named."""

Blocks = Annotated[int, Field(ge=1, le=256)]


class ResNetConfig(BaseModel):
    """Everything needed to build a `ResNet`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width): it decides the stem and the size of the network
            where they are not given. Other sizes can be shown to the model later.
        gate: at the end of each block: none, se (squeeze and excitation), cbam or eca.
        blocks: how many in each stage. None: (3, 3, 3), the network of 20 layers, or (2, 2, 2, 2), the one of 18, for
            large images.
        width: channels of the first stage. None: 16, or 32 for large images (64 is the usual width there).
        stem: 3x3, for small images; 3x3/2, which halves them; 3x3/4, two such convolutions, which quarter them at
            little cost; 7x7/4, with pooling, for large ones. None: 3x3, 3x3/2 or 7x7/4, by the shorter side, from 48
            and from 160 pixels on.
        reduction: how many times fewer units than channels the middle layer of se and cbam has.
        dropout: probability, on what the class is read off, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 32
    gate: Literal["none", "se", "cbam", "eca"] = "none"
    blocks: tuple[Blocks, ...] | None = None
    width: int | None = Field(default=None, ge=1, le=4096)
    stem: Literal["3x3", "3x3/2", "3x3/4", "7x7/4"] | None = None
    reduction: int = Field(default=16, ge=1, le=1024)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> ResNetConfig:
        if self.blocks is not None and not 1 <= len(self.blocks) <= 8:
            raise JumokError(f"blocks are given for 1 to 8 stages, got {len(self.blocks)}: such as [3, 3, 3]")
        return self

    @property
    def chosen_stem(self) -> str:
        """The stem as given, or by the size of the image."""
        side = min(as_pair(self.image_size))
        return self.stem or ("7x7/4" if side >= QUARTERED_FROM else "3x3/2" if side >= HALVED_FROM else "3x3")

    @property
    def stages(self) -> list[Stage]:
        """What each stage is to be."""
        large = self.chosen_stem == "7x7/4"
        width = self.width or (32 if large else 16)
        found, channels_in = [], width
        for number, blocks in enumerate(self.blocks or ((2, 2, 2, 2) if large else (3, 3, 3))):
            channels = width << number
            found.append(Stage(number, blocks, channels_in, channels, 2 if number else 1))
            channels_in = channels
        return found


class Stage(NamedTuple):
    """One stage of the network.

    Args:
        number: from 0.
        blocks: how many.
        channels_in: what its first block is given.
        channels: of all its blocks.
        stride: of its first block.
    """

    number: int
    blocks: int
    channels_in: int
    channels: int
    stride: int


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a gate, beside a path that leaves the features as they are.

    Args:
        channels_in: of what comes in.
        channels: of what goes out.
        stride: of the first convolution.
        gate: makes the module at the end of the branch, for so many channels.
    """

    def __init__(
        self, channels_in: int, channels: int, stride: int = 1, gate: Callable[[int], nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.conv1, self.norm1 = convolution(channels_in, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = convolution(channels, channels, 3), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)
        self.gate = nn.Identity() if gate is None else gate(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(Pointwise(channels_in, channels, stride), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels in, rows, columns) to (batch, channels, rows / stride, columns / stride)."""
        branch = F.relu(self.norm1(self.conv1(features)))
        branch = self.gate(self.norm2(self.conv2(branch)))
        return F.relu(self.shortcut(features) + branch)


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution, with a stride or without.

    With fewer than `BLOCK` channels, what the stride leaves out is left out before it. oneDNN's own way for AVX2
    (`jit_1x1:avx2`, `brgconv_strided:avx2`) then writes past its workspace in the backward pass, which ends the process
    (torch 2.13.0; https://github.com/uxlfoundation/oneDNN/issues/6035). With more, that way is right, and the faster
    one of the two by up to a fifth.
    """

    BLOCK = 8

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, 1, stride, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Conv2d names it so)
        rows, columns = self.stride
        if self.in_channels < self.BLOCK and rows * columns > 1:
            return F.conv2d(input[:, :, ::rows, ::columns], self.weight)
        return super().forward(input)


def residual_stage(config: ResNetConfig, stage: Stage) -> nn.Sequential:
    """The blocks of one stage, each with the gate that the configuration names."""
    make = GATES[config.gate]
    gate = None if make is None else lambda channels: make(channels, config)
    blocks = []
    for number in range(stage.blocks):
        first = number == 0
        channels_in, stride = (stage.channels_in, stage.stride) if first else (stage.channels, 1)
        blocks.append(Residual(channels_in, stage.channels, stride, gate))
    return nn.Sequential(*blocks)


Gate = Callable[[int, ResNetConfig], nn.Module]
GATES: Mapping[str, Gate | None] = {
    "none": None,
    "se": lambda channels, config: SqueezeExcitation(channels, config.reduction),
    "cbam": lambda channels, config: CBAM(channels, config.reduction),
    "eca": lambda channels, _: EfficientChannel(channels),
}


class ResNet(nn.Module):
    """A residual network that classifies images.

    Args:
        config: its sizes and its gate.
        make_stage: builds each stage; other systems give one of their own.

    >>> import torch
    >>> model = ResNet(ResNetConfig(classes=4, image_size=32, gate="se", blocks=(1, 1), width=8))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self, config: ResNetConfig, make_stage: Callable[[ResNetConfig, Stage], nn.Module] = residual_stage
    ) -> None:
        super().__init__()
        self.config = config
        stages = config.stages
        self.stem = STEMS[config.chosen_stem](stages[0].channels)
        self.stages = nn.Sequential(*(make_stage(config, stage) for stage in stages))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(stages[-1].channels, config.classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width) float, normalised.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind, number of axes or channels.
        """
        check_pixels(pixels)
        features = self.stages(self.stem(channels_last(pixels)))
        logits: Tensor = self.head(self.dropout(features.mean((2, 3))))
        return logits


def small_stem(channels: int, stride: int) -> nn.Sequential:
    """One 3 x 3 convolution."""
    return nn.Sequential(convolution(3, channels, 3, stride), nn.BatchNorm2d(channels), nn.ReLU())


def quartering_stem(channels: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each of which halves the image."""
    first = max(channels // 2, 1)
    second = (convolution(first, channels, 3, 2), nn.BatchNorm2d(channels), nn.ReLU())
    return nn.Sequential(convolution(3, first, 3, 2), nn.BatchNorm2d(first), nn.ReLU(), *second)


def large_stem(channels: int) -> nn.Sequential:
    """A 7 x 7 convolution and pooling, each of which halves the image."""
    layers = [convolution(3, channels, 7, 2), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*layers)


STEMS: Mapping[str, Callable[[int], nn.Module]] = {
    "3x3": lambda channels: small_stem(channels, 1),
    "3x3/2": lambda channels: small_stem(channels, 2),
    "3x3/4": lambda channels: quartering_stem(channels),
    "7x7/4": large_stem,
}


# -- with non-local blocks ----------------------------------------------------------------------------


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
        return self.non_local or tuple(sorted({min(number, last) for number in NON_LOCAL_STAGES}))


class NonLocalNet(ResNet):
    """A residual network with non-local blocks that classifies images.

    >>> import torch
    >>> model = NonLocalNet(NonLocalConfig(classes=4, image_size=32, blocks=(1, 2), width=8))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: NonLocalConfig) -> None:
        super().__init__(config, non_local_stage)


def non_local_stage(config: ResNetConfig, stage: Stage) -> nn.Sequential:
    """The residual blocks of a stage and, where there is to be one, a non-local block before the last of them."""
    blocks = residual_stage(config, stage)
    if isinstance(config, NonLocalConfig) and stage.number in config.chosen_stages:
        block = NonLocal(stage.channels, form=config.form, sub_sample=config.sub_sample)
        blocks.insert(max(stage.blocks - 1, 1), block)
    return blocks
