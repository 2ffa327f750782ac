"""What it costs to measure faithfulness: ViT-S/16 at 224 x 224, jumok beside Quantus: `python -m bench faithfulness`.

Both measure maps of the same images by deletion in both orders (SRG) in 12 steps, with random weights: costs do not
depend on them. Each perturbed image is one pass of the model on either side, so that passes bound what can be gained:
the first row, where both measure a random map, too, says how near to that bound both are. The second row sets our 12
steps beside taking patches away one by one, as Quantus' `RegionPerturbation` does; its note says how much SRG differs
by that.

Quantus cuts an image's values, not its patches, into steps of equal size; a step may end within a patch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import torchvision_names
from bench.measuring import interleaved, is_quick, ratio
from bench.table import Part, Row
from jumok.measures.flipping import flip
from jumok.measures.image_units import ImageUnits
from jumok.wording import write_count

IMAGES, SIDE, GRID, STEPS, ROUNDS = 2, 224, (14, 14), 12, 5
MAPS = ("method", "another", "centre", "edges")


class Logits(nn.Module):
    """`transformers`' ViT-S/16 classifier, as a module that gives logits."""

    def __init__(self) -> None:
        super().__init__()
        torchvision_names.define()
        from transformers import ViTConfig, ViTForImageClassification

        sizes = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}
        config = ViTConfig(**sizes, image_size=SIDE, patch_size=SIDE // GRID[0], num_labels=1000)
        self.model = ViTForImageClassification(config)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixels).logits
        return logits


def run(threads: int = 2) -> Iterator[Part]:
    """All rows of this bench."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Logits().eval()
    count = 1 if is_quick() else IMAGES
    images = torch.randn(count, 3, SIDE, SIDE)
    maps = {name: torch.rand(count, *GRID) for name in MAPS}
    yield "SRG, Quantus PixelFlipping", lambda: [_same_passes(model, images, maps)]
    yield "SRG, Quantus RegionPerturbation", lambda: [_patch_by_patch(model, images, maps)]


def _same_passes(model: nn.Module, images: Tensor, maps: dict[str, Tensor]) -> Row:
    passes = {"ours": 0}

    def ours() -> None:
        passes["ours"] = sum(found.passes for found in _flip_all(model, images, maps, STEPS))

    every = {**maps, "random": torch.rand(len(images), *GRID)}
    steps: dict[str, Callable[[], object]] = {"ours": ours, "quantus": lambda: _flip_values(model, images, every)}
    times = interleaved(steps, ROUNDS, warm_up=1)
    theirs = 2 * len(every) * STEPS * len(images)
    note = f"{STEPS} steps, {write_count(len(images), 'image')}; passes {passes['ours']} and {theirs}"
    claim = f"SRG of {len(every)} maps, Quantus PixelFlipping / jumok, ViT-S/16"
    return Row(claim, ratio(times, "quantus", "ours"), ">= 0.95", times["ours"], times["quantus"], "s", note)


def _patch_by_patch(model: nn.Module, images: Tensor, maps: dict[str, Tensor]) -> Row:
    """One image and one map: patch by patch takes minutes else."""
    image, alone = images[:1], {"method": maps["method"][:1]}
    steps: dict[str, Callable[[], object]] = {
        "ours": lambda: _flip_all(model, image, alone, STEPS),
        "quantus": lambda: _flip_patches(model, image, alone["method"]),
    }
    times = interleaved(steps, 5, warm_up=0)
    few, many = (_flip_all(model, image, alone, count)[0].scores["method"].srg for count in (STEPS, GRID[0] * GRID[1]))
    note = f"SRG in {STEPS} steps {few:+.4f}, patch by patch {many:+.4f}; jumok measures the random baseline, too"
    claim = "SRG of a map, Quantus RegionPerturbation patch by patch / jumok, ViT-S/16"
    return Row(claim, ratio(times, "quantus", "ours"), "", times["ours"], times["quantus"], "s", note)


def _flip_all(model: nn.Module, images: Tensor, maps: dict[str, Tensor], steps: int) -> list[Any]:
    units = ImageUnits(model, grid=GRID, fillings=["zeros"])
    random = np.random.default_rng(0)
    return [
        flip(
            units.answers(pixels)["zeros"],
            {name: heat[number].flatten() for name, heat in maps.items()},
            random=random,
            steps=steps,
        )
        for number, pixels in enumerate(images)
    ]


def _quantus() -> Any:
    """Quantus without zennit, of which it uses nothing here."""
    sys.modules.setdefault("zennit", None)  # type: ignore[arg-type]
    import quantus

    return quantus


QUIET: dict[str, Any] = {"disable_warnings": True, "normalise": False, "abs": False, "perturb_baseline": 0.0}


@torch.no_grad()
def _flip_values(model: nn.Module, images: Tensor, maps: dict[str, Tensor]) -> None:
    metric = _quantus().PixelFlipping(features_in_step=3 * SIDE**2 // STEPS, **QUIET)
    targets = model(images).argmax(1).numpy()
    for heat in maps.values():
        for values in (heat, 1 - heat):
            metric(model, images.numpy(), targets, _enlarge(values), device="cpu", softmax=True)


@torch.no_grad()
def _flip_patches(model: nn.Module, images: Tensor, heat: Tensor) -> None:
    targets = model(images).argmax(1).numpy()
    for order in ("morf", "lerf"):
        metric = _quantus().RegionPerturbation(
            patch_size=SIDE // GRID[0], regions_evaluation=GRID[0] * GRID[1], order=order, **QUIET
        )
        metric(model, images.numpy(), targets, _enlarge(heat), device="cpu", softmax=True)


def _enlarge(heat: Tensor) -> np.ndarray[Any, Any]:
    size = SIDE // GRID[0]
    values: np.ndarray[Any, Any] = heat.repeat_interleave(size, 1).repeat_interleave(size, 2)[:, None].numpy()
    return values
