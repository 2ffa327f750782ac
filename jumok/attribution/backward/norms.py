"""Normalising layers with their denominators taken as constants: what is left is linear."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from jumok.attribution.backward.graph import Graph
from jumok.attribution.backward.step import Rule, Step, first_only
from jumok.errors import JumokError

__all__ = ["NORMS"]


def _layer_norm(node: Any, graph: Graph) -> Step:
    def change(gradient: Tensor, output: Tensor) -> Tensor:
        scaled: Tensor = _weigh(output, node._saved_weight) * node._saved_result2
        return scaled - scaled.mean(_last(node._saved_normalized_shape), keepdim=True)

    return Step(first_only(change))


def _rms_norm(node: Any, graph: Graph) -> Step:
    return Step(first_only(lambda gradient, output: _weigh(output, node._saved_weight) * node._saved_result1))


def _group_norm(node: Any, graph: Graph) -> Step:
    def change(gradient: Tensor, output: Tensor) -> Tensor:
        weighed = _weigh_channels(output, node._saved_weight)
        images, groups = output.shape[0], node._saved_group
        scaled: Tensor = weighed.reshape(images, groups, -1) * node._saved_result2.view(images, groups, 1)
        centred = scaled - scaled.mean(-1, keepdim=True)
        return centred.view_as(output)

    return Step(first_only(change))


def _batch_norm(node: Any, graph: Graph) -> Step:
    """Linear in eval mode. In training mode an image has a norm of its own only as instance norm calls it."""
    if not node._saved_training:
        return Step()
    if node._saved_input.shape[0] != 1:
        raise JumokError("batch norm in training mode mixes the images of a batch: call model.eval() before the pass")

    def change(gradient: Tensor, output: Tensor) -> Tensor:
        scaled = _weigh_channels(output, node._saved_weight) * _lay(node._saved_result2, output)
        return scaled - scaled.mean(tuple(range(2, output.dim())), keepdim=True)

    return Step(first_only(change))


def _weigh(output: Tensor, weight: Tensor | None) -> Tensor:
    return output if weight is None else output * weight


def _weigh_channels(output: Tensor, weight: Tensor | None) -> Tensor:
    return output if weight is None else output * _lay(weight, output)


def _lay(channels: Tensor, output: Tensor) -> Tensor:
    return channels.view(1, -1, *(1,) * (output.dim() - 2))


def _last(shape: Any) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0))


NORMS: dict[str, Rule] = {
    "NativeLayerNorm": _layer_norm,
    "FusedRmsNorm": _rms_norm,
    "NativeGroupNorm": _group_norm,
    "NativeBatchNorm": _batch_norm,
    "CudnnBatchNorm": _batch_norm,
    "MiopenBatchNorm": _batch_norm,
    "BatchNormWithUpdate": _batch_norm,
}
