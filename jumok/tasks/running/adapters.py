"""LoRA: small matrices beside frozen weights learn in their stead, and are added to them in the weights that are kept.

Source: Hu et al. 2022, arXiv 2106.09685, section 4.1; the adapters are those of `peft`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.tasks.running.layers import number_layers

__all__ = ["add_adapters", "merge_adapters"]

SCALE = 2.0
"""Alpha over rank: the factor on what the adapters add."""
NAME = "default"
BASE, DOWN, UP = ".base_layer.", f".lora_A.{NAME}.weight", f".lora_B.{NAME}.weight"


def add_adapters(model: nn.Module, head: str | None, rank: int) -> None:
    """Put an adapter beside each linear layer but the head, and freeze everything but these and the head.

    Raises:
        JumokError: no linear layer in the model's layers.
        ModuleNotFoundError: `peft` is not installed.
    """
    from peft import LoraConfig, inject_adapter_in_model

    depths = number_layers(model)
    within = {name.rpartition(".")[0] for name, depth in depths.of.items() if 0 < depth <= depths.layers}
    linear = [name for name, each in model.named_modules() if isinstance(each, nn.Linear) and name in within - {head}]
    if not linear:
        raise JumokError("--lora puts adapters beside the linear layers of a model, and this one has none")
    options = LoraConfig(r=rank, lora_alpha=round(SCALE * rank), lora_dropout=0.0, target_modules=linear)
    inject_adapter_in_model(options, model, NAME)
    for name, value in model.named_parameters():
        value.requires_grad_(name.endswith((DOWN, UP)) or (head is not None and name.startswith(f"{head}.")))


def merge_adapters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the model without adapters that gives the same answers: W + scale B A."""
    merged: dict[str, Tensor] = {}
    for name, value in weights.items():
        home, found, last = name.partition(BASE)
        if found and last == "weight":
            value = value + SCALE * (weights[home + UP] @ weights[home + DOWN]).to(value)
        if not name.endswith((DOWN, UP)):
            merged[f"{home}.{last}" if found else name] = value
    return merged
