"""The projection that an attention gives its queries or keys, with an error that names what was wrong."""

from __future__ import annotations

from torch import Tensor

from jumok.errors import JumokError
from jumok.mechanisms.layers.linear import Linear

__all__ = ["project"]


def project(given: Tensor, layer: Linear, name: str, count: str) -> Tensor:
    """Project vectors, once their shape is known to fit.

    Args:
        given: (batch, count, layer.in_features), float.
        layer: the projection.
        name, count: what is given and how the number of them is called, as "key" and "keys", for errors.
    Returns:
        (batch, count, layer.out_features).
    Raises:
        JumokError: another shape.
    """
    if given.dim() != 3 or given.shape[2] != layer.in_features:
        raise JumokError(f"{name} has shape {tuple(given.shape)}, wanted (batch, {count}, {layer.in_features})")
    projected: Tensor = layer(given)
    return projected
