"""Import what imports torchvision: its compiled part does not load beside torch's CPU build, so name what it adds."""

from __future__ import annotations

import torch

_libraries: list[torch.library.Library] = []


def define() -> None:
    """Give torch the names of torchvision's operators, where they are missing. No bench calls them."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)  # what it defines is gone when it is
