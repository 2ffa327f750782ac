"""timm, where it can be imported: of torchvision, which it imports, the Python part suffices."""

import pytest

from reproduce import torchvision_names


def import_timm():
    torchvision_names.ensure()
    return pytest.importorskip("timm", reason="networks of timm need it (the timm extra)", exc_type=ImportError)


def save_timm(folder, name="vit_tiny_patch16_224", **arguments):
    """A tiny model with random weights, as timm saves its own."""
    import torch
    from timm import create_model
    from timm.models import save_for_hf

    small = {"img_size": 16, "patch_size": 4, "depth": 2, "embed_dim": 32, "num_heads": 2} if "vit" in name else {}
    given = {**small, **arguments}
    torch.manual_seed(0)
    save_for_hf(create_model(name, **given), folder, safe_serialization=True, model_args=given)
    return f"timm:local-dir:{folder}"
