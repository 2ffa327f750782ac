"""A text classifier as a graph: token ids to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from jumok.errors import JumokError
from jumok.tasks.exporting import Graph
from jumok.tasks.label.run import TextRun

__all__ = ["describe_texts", "make_graph", "prepare_batches"]

FEWEST_TOKENS = 2


def make_graph(run: TextRun, *, with_map: bool = False) -> Graph:
    """The graph of a run's model.

    Args:
        run: a text classifier.
        with_map: refused: what spoke for a class takes a pass back, which a graph has not.
    Raises:
        JumokError: a map was asked for.
    """
    if with_map:
        raise JumokError("--with-map is for vit systems: maps of words take a pass back, which a graph has not")
    ids = [run.tokens.padding] * 3
    example = {"tokens": torch.tensor([ids, ids]), "there": torch.tensor([[True] * 3, [True, True, False]])}
    axes = {name: {0: "batch", 1: "length"} for name in example}
    limits = {"length": (FEWEST_TOKENS, run.longest)}
    return Graph("model", run.model, example, ("logits",), axes, limits)


def prepare_batches(run: TextRun, texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
    """Real texts as the graph takes them: a batch, and each of a few alone."""
    groups = [list(texts), *([text] for text in texts[:2])]
    return [dict(zip(("tokens", "there"), run.encode(some), strict=True)) for some in groups]


def describe_texts(run: TextRun) -> dict[str, Any]:
    """What is done to texts before the graph sees them."""
    return {
        "tokenizer": "tokenizer.json (of the library tokenizers)",
        "padding": run.tokens.padding,
        "longest": run.longest,
        "preprocessing": "NFC, runs of white space made one space; tokens by tokenizer.json, cut off after `longest`, "
        "filled up with `padding`; there: true for tokens, false for padding",
    }
