"""A classifier as a graph: pixels to logits, probabilities of labels or a number and, if wanted, the attention map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jumok.tasks.classify.rollout_graphs import add_rollout
from jumok.tasks.classify.run import ImageRun
from jumok.tasks.exporting import Graph

__all__ = ["describe_images", "make_graph", "prepare_batches"]

STRETCHED = "stretched to size (height, width), bilinear with antialiasing"
BATCH = 8
"""Images of a batch that the graph is checked on."""


def make_graph(run: ImageRun, *, with_map: bool = False) -> Graph:
    """The graph of a run's model.

    Args:
        run: a classifier.
        with_map: also give the attention rollout over the image's patches.
    Raises:
        JumokError: a map of a model that has none.
    """
    module = add_rollout(run.model, run.config.system, run.size) if with_map else run.model
    module, answer = run.kind.make_answering(module)
    outputs = (answer, "map") if with_map else (answer,)
    example, units = {"pixels": torch.zeros(2, 3, *run.size)}, {answer: run.kind.unit}
    return Graph("model", module, example, outputs, {"pixels": {0: "batch"}}, units=units)


def prepare_batches(run: ImageRun, images: Sequence[Path]) -> list[dict[str, Tensor]]:
    """Real images as the graph takes them, in batches of two sizes."""
    pixels = run.prepare(images)
    return [{"pixels": part} for part in (pixels[:BATCH], pixels[BATCH:]) if len(part)]


def describe_images(run: Any) -> dict[str, Any]:
    """What is done to images before the graph sees them; of any run that sees images."""
    found = run.config.found
    processor, way = getattr(found, "processor", None), STRETCHED
    kept = {}
    if processor is not None:
        way, kept = run.preparation.described, {"processor": processor.model_dump(mode="json")}
    return {
        "size": list(run.size),
        "mean": list(found.mean),
        "std": list(found.std),
        "preprocessing": f"RGB, upright; {way}; divided by 255; minus mean, divided by std; float32, channels first",
        **kept,
    }
