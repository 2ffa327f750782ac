"""Object detectors of `transformers` with their image processor: which are read, how they are opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jumok.errors import JumokError
from jumok.tasks.classify.foreign import name_classes
from jumok.tasks.classify.preparation import Preparation
from jumok.tasks.classify.processors import load_hf_processor, prepare_by
from jumok.tasks.foreign_models import is_folder, open_config, open_network
from jumok.tasks.model_types import PREFIX

__all__ = ["LISTS", "Detector", "open_detector"]

LISTS = ("OBJECT_DETECTION",)
"""The lists of `transformers` that hold detectors."""
HEAD = "ForObjectDetection"
TIMM = "timm_backbone"
CROSS = r"model\.decoder\.layers\.(\d+)\.encoder_attn(\.attn)?"
"""The calls in which object queries look at the image, layer by layer."""
SELF = r"vit\.encoder\.layer\.(\d+)\.attention\.attention"
"""Those of a Vision Transformer whose last tokens are detection tokens."""
FAMILIES = {
    "detr": CROSS,
    "conditional_detr": CROSS,
    "table-transformer": CROSS,
    "deformable_detr": CROSS,
    "rt_detr": CROSS,
    "yolos": SELF,
}
"""By model_type: the names of the calls in which what becomes a box looks at the image."""


@dataclass(frozen=True)
class Detector:
    """An object detector from elsewhere.

    Args:
        name: as the user gave it.
        network: its module, in eval mode, without gradients.
        classes: in the order of its logits, "no object" left out.
        processor: of its images, as `transformers` opens it.
        preparation: what that does to the places of pixels.
        calls: pattern of the names of the calls in which its queries look at the image; its group is the layer.
    """

    name: str
    network: nn.Module
    classes: tuple[str, ...]
    processor: Any
    preparation: Preparation
    calls: str

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    @property
    def crosses(self) -> bool:
        """Whether what becomes a box looks at the image by cross-attention, and not as one token among its patches."""
        return self.calls == CROSS


def open_detector(model: str, device: str = "cpu") -> Detector:
    """Open an object detector: weights from safetensors only, and no code of the model's own.

    Args:
        model: `hf:` and a folder, or a name on the hub.
        device: to compute on.
    Raises:
        JumokError: there is no such model, its attention or its boxes cannot be read, it lacks weights, or its images
            cannot be prepared as it wants.
        ModuleNotFoundError: `transformers`, or timm where its backbone is one of timm, is not installed.
    """
    config = open_config(model)
    calls = _find_calls(model, config)
    name = model.removeprefix(PREFIX)
    processor = load_hf_processor(name, config, local=is_folder(name))
    network, fresh = open_network(model, "AutoModelForObjectDetection", device)
    if fresh:
        raise JumokError(
            f"{model} lacks the weights {fresh}, so its boxes would be random: give a checkpoint with them"
        )
    return Detector(name, network, name_classes(config), processor, prepare_by(processor, name, config), calls)


def _find_calls(model: str, config: Any) -> str:
    """The pattern of a family.

    Raises:
        JumokError: a model with another head, or of a family whose attention is not read.
    """
    head = next(iter(config.architectures or ()), HEAD)
    if not head.endswith(HEAD):
        raise JumokError(
            f"{model} is a {head}, which gives no boxes with classes: wanted an object detector (a name that ends in "
            f"{HEAD}); in Python, use jumok.watch around it"
        )
    if config.model_type not in FAMILIES:
        raise JumokError(
            f"{model} is a {head}, a family of detectors ({config.model_type}) whose boxes jumok does not lead back to "
            f"attention: wanted one of {', '.join(FAMILIES)}; in Python, use jumok.watch around it"
        )
    if getattr(getattr(config, "backbone_config", None), "model_type", "") == TIMM:
        import timm  # noqa: F401  # so that what is missing is named with the command that installs it
    return FAMILIES[config.model_type]
