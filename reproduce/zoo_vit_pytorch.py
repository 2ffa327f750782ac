"""Small models of vit-pytorch, which has a Vision Transformer in each of its files, written out by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Pictured", "build", "list_names", "list_shapes"]

SIZES: Mapping[str, Any] = {
    "image_size": 64, "img_size": 64, "image_height": 64, "image_width": 64, "input_shape": 64, "ndim": 2,
    "patch_size": 8, "patch_height": 8, "patch_width": 8, "image_patch_size": 8, "seq_len": 64, "channels": 3,
    "frames": 4, "frame_patch_size": 2, "spatial_depth": 1, "temporal_depth": 1, "num_classes": 10, "dim": 32,
    "depth": 2, "cls_depth": 1, "heads": 4, "dim_head": 8, "mlp_dim": 64, "patch_dropout": 0.25,
}  # fmt: skip
"""What an argument of that name is given, where it has no default or its default would make the model large."""
USUAL = frozenset(["image_size", "num_classes", "dim_head", "patch_size", "patch_dropout"])
"""Arguments that are given though they have a default."""
OWN: Mapping[str, Mapping[str, Any]] = {
    "ats_vit.ViT": {"max_tokens_per_depth": (32, 16)},
    "cct.CCT": {
        "embedding_dim": 32, "n_conv_layers": 2, "kernel_size": 7, "stride": 2, "padding": 3, "num_layers": 2,
        "pooling_kernel_size": 3, "pooling_stride": 2, "pooling_padding": 1, "num_heads": 4, "mlp_ratio": 2.0,
        "positional_embedding": "learnable",
    },
    "cross_vit.CrossViT": {
        "sm_dim": 32, "sm_patch_size": 8, "sm_enc_depth": 1, "sm_enc_heads": 4, "sm_enc_mlp_dim": 64,
        "sm_enc_dim_head": 8, "lg_dim": 32, "lg_patch_size": 16, "lg_enc_depth": 1, "lg_enc_heads": 4,
        "lg_enc_mlp_dim": 64, "lg_enc_dim_head": 8, "cross_attn_depth": 1, "cross_attn_heads": 4,
        "cross_attn_dim_head": 8,
    },
    "levit.LeViT": {"mlp_mult": 2},
    "look_vit.LookViT": {"patch_size": 16, "highres_patch_size": 8, "cross_attn_heads": 4, "cross_attn_dim_head": 8},
    "max_vit.MaxViT": {"dim": 16, "dim_conv_stem": 16, "depth": (1, 1), "window_size": 4, "mbconv_expansion_rate": 2},
    "max_vit_with_registers.MaxViT": {
        "dim": 16, "dim_conv_stem": 16, "depth": (1, 1), "window_size": 4, "mbconv_expansion_rate": 2,
    },
    "mobile_vit.MobileViT": {
        "image_size": (64, 64), "patch_size": (2, 2), "dims": [32, 32, 32],
        "channels": [8, 8, 16, 16, 24, 24, 32, 32, 32, 32, 64],
    },
    "na_vit_nested_tensor_3d.NaViT": {"max_frames": 4},
    "nest.NesT": {"patch_size": 4, "dim": 16, "heads": 2, "num_hierarchies": 3, "block_repeats": (1, 1, 1)},
    "pit.PiT": {"depth": (1, 1, 1), "heads": 2},
    "scalable_vit.ScalableViT": {
        "dim": 16, "heads": (1, 2), "depth": (1, 1), "ssa_dim_key": (8, 8), "reduction_factor": (4, 2),
        "window_size": (8, None),
    },
    "sep_vit.SepViT": {"dim": 16, "heads": (1, 2), "depth": (1, 1)},
    "simple_vit_with_fft.SimpleViT": {"freq_patch_size": 8},
    "simple_vit_with_hyper_connections.SimpleViT": {"num_residual_streams": 4},
    "t2t.T2TViT": {"depth": 1, "heads": 2, "t2t_layers": ((7, 4), (3, 2))},
    "wwt.WWT": {"num_slots": 4},
}  # fmt: skip
"""What models need beside these, or instead, by file and class."""
PARTS = frozenset(
    [
        "cct.TransformerClassifier", "cct_3d.TransformerClassifier", "cross_vit.ImageEmbedder", "rvt.Transformer",
        "wwt.AutoencodingHead",
    ]
)  # fmt: skip
"""Classes that look like models and are parts of one."""
AROUND = frozenset(["net", "vit", "encoder", "transformer"])
"""Arguments of what is put around another model, to train it or in place of its layers."""


class Pictured(nn.Module):
    """A model that is called by the name that all are called by here."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


def list_names() -> list[str]:
    """Every model that says how many classes, or how large images are, as "file.Class"."""
    return sorted(name for name, _ in _list_models())


def _list_models() -> Iterator[tuple[str, type[nn.Module]]]:
    package = importlib.import_module("vit_pytorch")
    for file in pkgutil.iter_modules(package.__path__):
        try:
            module = importlib.import_module(f"vit_pytorch.{file.name}")
        except ImportError:  # of a package that this file alone needs
            continue
        for name, found in vars(module).items():
            own = inspect.isclass(found) and issubclass(found, nn.Module) and found.__module__ == module.__name__
            if own and f"{file.name}.{name}" not in PARTS and _is_model(found):
                yield f"{file.name}.{name}", found


def _is_model(kind: type[nn.Module]) -> bool:
    """Whether a class says how many classes there are, or how large images are, and is put around no other model."""
    given = set(_arguments(kind))
    return bool({"num_classes", "image_size"} & given) and not AROUND & given


def _arguments(kind: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind.__init__).parameters


def build(name: str) -> nn.Module:
    """A small model, by its name in `list_names`; whatever it raises where it needs what is not known here."""
    file, _, kind = name.partition(".")
    found: type[nn.Module] = getattr(importlib.import_module(f"vit_pytorch.{file}"), kind)
    asked = {
        argument: SIZES[argument]
        for argument, told in _arguments(found).items()
        if argument in SIZES and (argument in USUAL or told.default is inspect.Parameter.empty)
    }
    torch.manual_seed(0)
    return Pictured(found(**{**asked, **OWN.get(name, {})}))


def list_shapes() -> list[tuple[int, ...]]:
    """Shapes of inputs to be tried, in order: images, large ones, a video, a series."""
    return [(2, 3, 64, 64), (2, 3, 224, 224), (1, 3, 4, 64, 64), (2, 3, 64)]
